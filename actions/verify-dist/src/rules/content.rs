//! `CON`: what is in a wheel and should not be, and what should be and is not.

use std::collections::BTreeSet;

use super::Provenance::{BreaksInstall, BreaksRuntime, Hygiene};
use super::Severity::{Error, Note, Warning};
use super::{Check, Out, Rule, some};
use crate::facts::{Binary, Dist, Wheel};

const CWC: &str = "check-wheel-contents; pydistcheck.";
const WHEEL: &str = "PyPA \"Binary distribution format\".";
const EXCLUDE: &str =
    "Exclude it: maturin `exclude = [\"…\"]`, hatchling `exclude`, setuptools `exclude_package_data`.";

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "CON001",
        title: "no caches, editor files or byte code",
        severity: Warning,
        provenance: Hygiene,
        why: "They are of the build machine, and installers make their own byte code.",
        source: CWC,
        fix: EXCLUDE,
        check: Check::Wheel(junk),
    },
    Rule {
        id: "CON002",
        title: "no secrets",
        severity: Error,
        provenance: Hygiene,
        why: "What is published cannot be taken back.",
        source: "The files in which tools keep credentials.",
        fix: "Remove the file and revoke what it holds.",
        check: Check::Dist(secrets),
    },
    Rule {
        id: "CON003",
        title: "the top level is this project's own",
        severity: Warning,
        provenance: BreaksInstall,
        why: "A top-level `tests` or `docs` overwrites that of other packages.",
        source: CWC,
        fix: EXCLUDE,
        check: Check::Wheel(common),
    },
    Rule {
        id: "CON004",
        title: "the wheel installs something",
        severity: Warning,
        provenance: BreaksInstall,
        why: "Nothing but metadata is installed: usually a wrong path in the build's configuration.",
        source: CWC,
        fix: "Check `python-source` and `module-name` of `[tool.maturin]`, or the backend's list of packages.",
        check: Check::Wheel(empty),
    },
    Rule {
        id: "CON005",
        title: "the `.data` folder is named like the file and holds known keys",
        severity: Error,
        provenance: BreaksInstall,
        why: "Installers refuse a scheme that they do not know.",
        source: WHEEL,
        fix: "Use purelib, platlib, headers, scripts or data.",
        check: Check::Wheel(data),
    },
    Rule {
        id: "CON006",
        title: "programs are executable",
        severity: Error,
        provenance: BreaksRuntime,
        why: "A program without its executable bit ends in \"Permission denied\".",
        source: WHEEL,
        fix: "`chmod +x` before the wheel is made; zip tools that drop modes lose it.",
        check: Check::Wheel(executable),
    },
    Rule {
        id: "CON007",
        title: "files can be read by everybody",
        severity: Warning,
        provenance: BreaksRuntime,
        why: "A file that only its owner may read is useless in a shared environment.",
        source: "Installers take the mode from the archive.",
        fix: "`chmod a+r` before the wheel is made; check the umask.",
        check: Check::Wheel(readable),
    },
    Rule {
        id: "CON008",
        title: "no debug information",
        severity: Warning,
        provenance: Hygiene,
        why: "It makes the wheel larger and shows the build machine's paths.",
        source: CWC,
        fix: "`strip = true` in Cargo's release profile.",
        check: Check::Wheel(debug),
    },
    Rule {
        id: "CON009",
        title: "paths are short enough for Windows",
        severity: Warning,
        provenance: BreaksInstall,
        why: "Below a deep folder they pass Windows' 260 characters.",
        source: CWC,
        fix: "Use shorter names.",
        check: Check::Wheel(long),
    },
    Rule {
        id: "CON010",
        title: "no static libraries or object files",
        severity: Note,
        provenance: Hygiene,
        why: "Nothing loads them.",
        source: CWC,
        fix: EXCLUDE,
        check: Check::Wheel(objects),
    },
];

fn junk(_: &Dist, wheel: &Wheel, out: &mut Out) {
    for member in wheel.members.iter().filter(|member| is_junk(&member.name)) {
        out.at(&member.name, "a file of the build machine");
    }
}

/// Caches, editors' and systems' own files, byte code.
pub(super) fn is_junk(name: &str) -> bool {
    let file = name.trim_end_matches('/').rsplit('/').next().unwrap_or(name);
    let folder = |part: &str| {
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
            "node_modules",
            ".ipynb_checkpoints",
        ]
        .contains(&part)
    };
    name.split('/').any(folder)
        || [".DS_Store", "Thumbs.db", "desktop.ini", ".coverage", "core"].contains(&file) && file != "core"
        || [".pyc", ".pyo", ".swp", ".orig", ".rej", "~"].iter().any(|end| file.ends_with(end))
}

fn secrets(dist: &Dist, out: &mut Out) {
    for member in dist.members() {
        let file = member.file_name();
        let known = [
            ".pypirc",
            ".netrc",
            ".npmrc",
            ".env",
            "id_rsa",
            "id_ed25519",
            "id_ecdsa",
            ".git-credentials",
            "credentials.json",
        ]
        .contains(&file);
        let test = member
            .name
            .split('/')
            .any(|part| ["test", "tests", "testing", "fixtures", "examples"].contains(&part));
        if known && member.size > 0 && !test {
            out.at(&member.name, "a file in which credentials are kept");
        }
    }
}

fn common(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let tops: BTreeSet<&str> =
        wheel.members.iter().filter_map(|member| member.name.split_once('/').map(|(top, _)| top)).collect();
    let known = [
        "test",
        "tests",
        "doc",
        "docs",
        "example",
        "examples",
        "build",
        "dist",
        "scripts",
        "src",
        "data",
        "benchmark",
        "benchmarks",
        "node_modules",
        ".github",
    ];
    for top in tops.iter().filter(|top| known.contains(*top)) {
        out.at(&format!("{top}/"), "a folder of a common name at the top level");
    }
}

fn empty(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let installs =
        wheel.members.iter().any(|member| !member.is_dir() && !member.name.contains(".dist-info/"));
    // A package that only pulls in others says so by its requirements.
    let meta = matches!(&wheel.metadata, Some(Ok(metadata)) if metadata.requires_dist().next().is_some());
    if !installs && !meta {
        out.found("there is nothing but metadata");
    }
}

fn data(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let mut told = BTreeSet::new();
    for member in &wheel.members {
        let mut parts = member.name.split('/');
        let Some(top) = parts.next().filter(|top| top.ends_with(".data") && member.name.contains('/')) else {
            continue;
        };
        let expected = wheel.dist_info().map(|folder| folder.replace(".dist-info", ".data"));
        if expected.as_deref() != Some(top) && told.insert(top.to_owned()) {
            let found = dist.wheel_name().is_some().then_some(expected).flatten().unwrap_or_default();
            out.at(top, format!("expected `{found}`"));
        }
        if let Some(key) = parts.next().filter(|key| !key.is_empty())
            && !["purelib", "platlib", "headers", "scripts", "data"].contains(&key)
            && told.insert(format!("{top}/{key}"))
        {
            out.at(&member.name, format!("`{key}` is no scheme"));
        }
    }
}

/// Whether the archive has Unix modes at all; Windows' tools write none.
fn has_modes(wheel: &Wheel) -> bool {
    wheel.members.iter().any(|member| member.mode.is_some_and(|mode| mode & 0o777 != 0))
}

fn executable(_: &Dist, wheel: &Wheel, out: &mut Out) {
    if !has_modes(wheel) {
        return out.not_applicable();
    }
    for member in wheel.members.iter().filter(|member| !member.is_dir()) {
        let Some(mode) = member.mode.filter(|mode| mode & 0o111 == 0) else { continue };
        // Installers set the bit on what goes to `scripts`, but for a program
        // inside a package they take the archive's.
        let script = member.name.contains(".data/scripts/");
        let program = match &member.binary {
            Some(Binary::Elf(facts)) => facts.interpreter.is_some() && !member.name.contains(".so"),
            Some(Binary::MachO(facts)) => facts.slices.iter().any(|slice| slice.file_type == 2),
            _ => false,
        };
        if program || (script && member.binary.is_some()) {
            out.at(&member.name, format!("a program of mode {:o}", mode & 0o7777));
        }
    }
}

fn readable(_: &Dist, wheel: &Wheel, out: &mut Out) {
    if !has_modes(wheel) {
        return out.not_applicable();
    }
    for member in wheel.members.iter().filter(|member| !member.is_dir()) {
        if let Some(mode) = member.mode.filter(|mode| mode & 0o777 != 0 && mode & 0o444 != 0o444) {
            out.at(&member.name, format!("mode {:o}", mode & 0o7777));
        } else if let Some(mode) = member.mode.filter(|mode| mode & 0o7002 != 0) {
            out.at(
                &member.name,
                format!("mode {:o}: writable by everybody, or with another user's rights", mode & 0o7777),
            );
        }
    }
}

fn debug(_: &Dist, wheel: &Wheel, out: &mut Out) {
    for (member, facts) in wheel.macho() {
        if facts.slices.iter().any(|slice| slice.debug) {
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

fn long(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let long: Vec<&str> = wheel
        .members
        .iter()
        .map(|member| member.name.as_str())
        .filter(|name| name.chars().count() > 200)
        .collect();
    if !long.is_empty() {
        out.found(format!("more than 200 characters: {}", some(long)));
    }
}

fn objects(_: &Dist, wheel: &Wheel, out: &mut Out) {
    for member in &wheel.members {
        if matches!(member.binary, Some(Binary::Archive))
            && [".a", ".rlib"].iter().any(|end| member.name.ends_with(end))
        {
            out.at(&member.name, "a static library");
        }
    }
}
