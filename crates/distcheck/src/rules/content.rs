//! `CON`: content that a wheel should not have.

use std::collections::BTreeMap;

use pydist::member_path::{directory, file_name};

use crate::dist::{Binary, Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksRelease, Hygiene, PypiRejects};
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Findings, Rule, some};

pub(super) const CWC: &str = "check-wheel-contents; pydistcheck.";

const EXCLUDE: &str =
    "Exclude it: maturin `exclude = [\"…\"]`, hatchling `exclude`, setuptools `exclude_package_data`.";

pub(super) static RULES: &[Rule] = &[BUILD_LEFTOVERS, SECRETS, DEBUG, OBJECTS, KEYS, DUPLICATES, OBFUSCATED];

const BUILD_LEFTOVERS: Rule = Rule {
    id: "CON001",
    title: "no caches, editor files or byte code",
    severity: Warning,
    provenance: Hygiene,
    why: "They belong to the build machine, and installers compile byte code themselves.",
    source: CWC,
    fix: EXCLUDE,
    example: "sample-1.0-py3-none-any.whl: sample/__pycache__/x.cpython-312.pyc: a file of the build machine",
    check: Check::Wheel(build_leftovers),
    #[cfg(test)]
    fails: || fixture::plus("sample/__pycache__/x.cpython-312.pyc", "x"),
};

fn build_leftovers(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    for member in &wheel.members {
        let name = member.name.as_str();
        if is_build_leftover(name) || name.split('/').any(|part| part.ends_with(".egg-info")) {
            out.at(name, "a file of the build machine");
        } else if name.starts_with("node_modules/") {
            out.at(name, "npm packages at the top level");
        } else if let Some(file) = wheel.dist_info().and_then(|own| name.strip_prefix(own))
            && ["/INSTALLER", "/REQUESTED", "/direct_url.json"].contains(&file)
        {
            out.at(name, "a file that installers write");
        } else if is_repository(name) || [".orig", ".rej"].iter().any(|end| name.ends_with(end)) {
            out.with_severity(Note).at(name, "a repository file that users do not need");
        }
    }
}

/// Configuration of version control and repository services.
fn is_repository(name: &str) -> bool {
    let file = file_name(name);
    let known = [
        ".gitignore",
        ".gitattributes",
        ".gitmodules",
        ".pre-commit-config.yaml",
        ".travis.yml",
        ".editorconfig",
        ".readthedocs.yaml",
        "appveyor.yml",
        "codecov.yml",
    ];
    known.contains(&file) || name.split('/').any(|part| [".github", ".circleci"].contains(&part))
}

/// Caches, files of editors and operating systems, byte code.
pub(super) fn is_build_leftover(name: &str) -> bool {
    let file = file_name(name.trim_end_matches('/'));
    let dir = |part: &str| {
        [
            "__pycache__",
            ".git",
            ".hg",
            ".svn",
            ".mypy_cache",
            ".pytest_cache",
            ".ruff_cache",
            ".tox",
            ".venv",
            ".idea",
            ".vscode",
            ".ipynb_checkpoints",
        ]
        .contains(&part)
    };
    name.split('/').any(dir)
        || [".DS_Store", "Thumbs.db", "desktop.ini", ".coverage"].contains(&file)
        || file.starts_with("._")
        || [".pyc", ".pyo", ".swp", "~"].iter().any(|end| file.ends_with(end))
}

const SECRETS: Rule = Rule {
    id: "CON002",
    title: "no secrets",
    severity: Error,
    provenance: Hygiene,
    why: "A published file cannot be taken back.",
    source: "The credentials files of common tools.",
    fix: "Remove the file and revoke the credentials in it.",
    example: "sample-1.0-py3-none-any.whl: sample/.pypirc: a credentials file",
    check: Check::Dist(secrets),
    #[cfg(test)]
    fails: || fixture::plus("sample/.pypirc", "[server]\npassword = x\n"),
};

fn secrets(dist: &Dist, out: &mut Findings) {
    for member in dist.members() {
        if member.has_credentials && !is_example(&member.name) {
            out.at(&member.name, "a credentials file");
        }
    }
}

/// Whether a path belongs to tests or examples by its directories or name, except
/// the first directory, which is the project's.
pub(super) fn is_example(name: &str) -> bool {
    let name = name.split_once('/').map_or(name, |(_, rest)| rest);
    name.to_ascii_lowercase().split(['/', '_', '-', '.']).any(|word| {
        let words = ["test", "tests", "testing", "testdata", "fixture", "fixtures", "example", "examples"];
        words.contains(&word) || ["sample", "samples", "snakeoil", "dummy"].contains(&word)
    })
}

/// Whether a path is in a directory of tests.
pub(super) fn is_test_data(name: &str) -> bool {
    let directories = directory(name);
    directories.split('/').skip(1).any(|part| ["test", "tests", "testdata", "fixtures"].contains(&part))
}

const KEYS: Rule = Rule {
    id: "CON011",
    title: "no private keys",
    severity: Warning,
    provenance: BreaksRelease,
    why: "Anyone with the file has the key. Test keys, recognised by their names, are skipped.",
    source: "RFC 7468, the labels of private keys.",
    fix: "Remove the file, and revoke the key wherever it is trusted.",
    example: "sample-1.0-py3-none-any.whl: sample/key.pem: it starts with a private key",
    check: Check::Dist(keys),
    #[cfg(test)]
    fails: || {
        fixture::plus("sample/key.pem", "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n")
    },
};

fn keys(dist: &Dist, out: &mut Findings) {
    for member in dist.members().iter().filter(|member| member.has_private_key) {
        if !is_example(&member.name) {
            // In a source distribution, most are keys of test servers.
            if dist.wheel().is_none() {
                out.with_severity(Note);
            }
            out.at(&member.name, "it starts with a private key");
        }
    }
}

/// Smaller files are often identical (empty modules, licences), at no cost.
const MIN_DUPLICATE_SIZE: u64 = 4096;

const DUPLICATES: Rule = Rule {
    id: "CON012",
    title: "no duplicate files",
    severity: Note,
    provenance: Hygiene,
    why: "The same content is downloaded and installed twice.",
    source: "check-wheel-contents, W002.",
    fix: "Keep one of them. For a library and its links, ship the one that is loaded.",
    example: "sample-1.0-py3-none-any.whl: `sample/a.txt`, `sample/b.txt` are identical",
    check: Check::Wheel(duplicates),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::pure();
        wheel.members.push(fixture::Member::new("sample/a.txt", "x".repeat(5000)));
        fixture::with(wheel, fixture::Member::new("sample/b.txt", "x".repeat(5000)))
    },
};

fn duplicates(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let mut seen: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for member in wheel.members.iter().filter(|member| member.size >= MIN_DUPLICATE_SIZE) {
        if let Some(sha256) = member.sha256 {
            seen.entry(sha256).or_default().push(&member.name);
        }
    }
    let groups: Vec<_> = seen.into_values().filter(|names| names.len() > 1).collect();
    if let Some(first) = groups.first() {
        let more = match groups.len() {
            1 => String::new(),
            count => format!(", and there are {} more such groups", count - 1),
        };
        out.found(format!("{} are identical{more}", some(first)));
    }
}

const DEBUG: Rule = Rule {
    id: "CON008",
    title: "no debug information",
    severity: Warning,
    provenance: Hygiene,
    why: "It makes the wheel larger and reveals paths of the build machine.",
    source: CWC,
    fix: "`strip = true` in Cargo's release profile.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.pdb: debug information",
    check: Check::Wheel(debug),
    #[cfg(test)]
    fails: || {
        fixture::with(fixture::linux(fixture::Elf::default()), fixture::Member::new("sample/core.pdb", "x"))
    },
};

fn debug(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    for (member, _) in wheel.elf().filter(|(_, info)| info.debug) {
        out.at(&member.name, "it has debug information (.debug_info)");
    }
    for (member, info) in wheel.macho() {
        if info.slices.iter().any(|slice| slice.debug) {
            out.at(&member.name, "it has a __DWARF segment");
        }
    }
    for member in wheel
        .members
        .iter()
        .filter(|member| member.name.contains(".dSYM/") || member.name.to_ascii_lowercase().ends_with(".pdb"))
    {
        out.at(&member.name, "debug information");
    }
}

const OBJECTS: Rule = Rule {
    id: "CON010",
    title: "no static libraries or object files",
    severity: Note,
    provenance: Hygiene,
    why: "Nothing loads them.",
    source: CWC,
    fix: EXCLUDE,
    example: "sample-1.0-py3-none-any.whl: sample/libx.a: a static library",
    check: Check::Wheel(objects),
    #[cfg(test)]
    fails: || fixture::plus("sample/libx.a", "!<arch>\n"),
};

fn objects(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    for member in &wheel.members {
        if matches!(member.binary, Some(Binary::Archive))
            && [".a", ".rlib"].iter().any(|end| member.name.ends_with(end))
        {
            out.at(&member.name, "a static library");
        }
    }
}

const OBFUSCATED: Rule = Rule {
    id: "CON017",
    title: "no code is obfuscated with PyArmor or SourceDefender",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI scans the Python files of each upload and rejects the output of these tools.",
    source: "Warehouse, `utils/scanner_rules`.",
    fix: "Publish the source, or compile the code (Rust, Cython, mypyc).",
    example: "sample-1.0-py3-none-any.whl: sample/x.py: the code is obfuscated with PyArmor",
    check: Check::Dist(obfuscated),
    #[cfg(test)]
    fails: || fixture::plus("sample/x.py", "__pyarmor__(__name__, __file__, b'')\n"),
};

fn obfuscated(dist: &Dist, out: &mut Findings) {
    for member in dist.members() {
        if let Some(tool) = member.obfuscator {
            out.at(&member.name, format!("the code is obfuscated with {tool}"));
        }
    }
}
