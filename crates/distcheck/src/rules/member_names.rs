//! `ZIP`: the names of an archive's members.

use std::collections::{BTreeMap, BTreeSet};

use pydist::tags::Platform;

use super::archive::WAREHOUSE;
use crate::dist::{Body, Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, Hygiene, PypiRejects};
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Findings, Rule};

pub(super) static RULES: &[Rule] = &[PATHS, LINKS, CASE, WINDOWS, PLAIN, UNPRINTABLE, ENTRY_KINDS];

const PATHS: Rule = Rule {
    id: "ZIP006",
    title: "paths stay inside the target directory and work on every system",
    severity: Error,
    provenance: BreaksInstall,
    why: "An absolute path, `..`, a backslash or a control character can write outside the environment.",
    source: "PyPA \"Binary distribution format\"; Warehouse rejects control characters.",
    fix: "Find the tool that wrote the file: no build backend writes such a path.",
    example: "sample-1.0-py3-none-any.whl: ../evil.py: the path leaves the directory",
    check: Check::Dist(paths),
    #[cfg(test)]
    fails: || fixture::plus("../evil.py", ""),
};

fn paths(dist: &Dist, out: &mut Findings) {
    for member in dist.members() {
        let name = member.name.strip_suffix('/').unwrap_or(&member.name);
        let sdist = matches!(dist.body, Body::Sdist(_));
        let name = if sdist { name.strip_prefix("./").unwrap_or(name) } else { name };
        let problem = if name.is_empty() {
            "the name is empty"
        } else if name.starts_with('/') || name.as_bytes().get(1) == Some(&b':') {
            "the path is absolute"
        } else if name.split('/').any(|part| part == "..") {
            "the path leaves the directory"
        } else if name.contains('\\') {
            "the path has a backslash, which is a separator only on Windows"
        } else if name.chars().any(char::is_control) {
            "the path has a control character"
        } else if name.split('/').any(|part| part.is_empty() || (part == "." && !sdist)) {
            "the path has an empty or `.` component"
        } else {
            continue;
        };
        out.at(&member.name, problem);
    }
}

const LINKS: Rule = Rule {
    id: "ZIP007",
    title: "no symbolic links in a wheel",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers write the link's target into a regular file instead.",
    source: "PyPA \"Binary distribution format\": a wheel holds regular files.",
    fix: "Replace the link with a copy of the file. In Nix: `cp -L`; `auditwheel repair` copies libraries by itself.",
    example: "sample-1.0-py3-none-any.whl: sample/x.py: a symbolic link",
    check: Check::Wheel(links),
    #[cfg(test)]
    fails: || {
        fixture::with(
            fixture::pure(),
            fixture::Member { mode: 0o120_777, ..fixture::Member::new("sample/x.py", "__init__.py") },
        )
    },
};

fn links(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    for member in wheel.members.iter().filter(|member| member.is_symlink()) {
        out.at(&member.name, "a symbolic link");
    }
}

const CASE: Rule = Rule {
    id: "ZIP008",
    title: "files are installed at paths that differ in more than case",
    severity: Error,
    provenance: BreaksInstall,
    why: "On macOS and Windows, one file overwrites the other, and two directories become one. A warning if the \
        wheel is only for Linux, if the files are identical, or if only directories differ; a note if directories \
        differ in a wheel that is only for Linux. Two files at one path are an error everywhere; a warning if pip \
        installs a command of `entry_points.txt` in place of a script.",
    source: "pydistcheck, `files-only-differ-by-case`.",
    fix: "Rename one of the files or directories.",
    example: "sample-1.0-py3-none-any.whl: sample/__INIT__.py: differs from `sample/__init__.py` only in case",
    check: Check::Dist(case),
    #[cfg(test)]
    fails: || fixture::plus("sample/__INIT__.py", "other"),
};

fn case(dist: &Dist, out: &mut Findings) {
    let linux = |platform: &Platform| {
        matches!(platform, Platform::Manylinux { .. } | Platform::Musllinux { .. } | Platform::Linux { .. })
    };
    let platforms = dist.platforms();
    let linux = !platforms.is_empty() && platforms.iter().all(linux);
    let mut seen: BTreeMap<String, &Member> = BTreeMap::new();
    let mut directories: BTreeMap<String, &str> = BTreeMap::new();
    if let Some(wheel) = dist.wheel() {
        commands(wheel, linux, out);
    }
    let mut reported = BTreeSet::new();
    for member in dist.members() {
        if !member.is_dir()
            && let Some(first) = seen.insert(member.installed_path().to_lowercase(), member)
            && first.name != member.name
        {
            let is_same = first.installed_path() == member.installed_path();
            if (linux && !is_same) || (member.sha256.is_some() && member.sha256 == first.sha256) {
                out.with_severity(Warning);
            }
            out.at(
                &member.name,
                if is_same {
                    format!("it is installed at the same path as `{}`", first.name)
                } else {
                    format!("differs from `{}` only in case", first.name)
                },
            );
        }
        // The outermost directory that differs is reported, once.
        let mut parents = member.name.match_indices('/').map(|(at, _)| &member.name[..at]);
        let other = parents.find_map(|directory| {
            let first = *directories.entry(directory.to_lowercase()).or_insert(directory);
            (first != directory).then_some((directory, first))
        });
        if let Some((directory, first)) = other.filter(|(directory, _)| reported.insert(*directory)) {
            out.with_severity(if linux { Note } else { Warning });
            let what = format!("its directory `{directory}` differs from `{first}` only in case");
            out.at(&member.name, what);
        }
    }
}

/// Reports the scripts that have the path of a command from `entry_points.txt`. Installers give it
/// the extension `.exe` on Windows.
fn commands(wheel: &Wheel, linux: bool, out: &mut Findings) {
    let Some(Ok(found)) = &wheel.entry_points else { return };
    let entries = found.entries.iter().filter(|entry| entry.is_script());
    let file = |name: &str| if linux { name.to_owned() } else { name.to_lowercase() };
    let commands: BTreeMap<String, &str> =
        entries.map(|entry| (file(&entry.name), entry.name.as_str())).collect();
    for member in &wheel.members {
        let Some((_, script)) = member.name.split_once(SCRIPTS) else { continue };
        let script = file(script);
        let without_exe = script.strip_suffix(".exe").filter(|_| !linux);
        if let Some(name) = without_exe.and_then(|name| commands.get(name)).or_else(|| commands.get(&script))
        {
            let what = format!("it is installed at the same path as the command `{name}`");
            out.with_severity(Warning).at(&member.name, what);
        }
    }
}

/// The directory of scripts, in `sample-1.0.data`.
const SCRIPTS: &str = ".data/scripts/";

/// Whether Windows reserves the name for a device, with any extension, like
/// CPython's `ntpath.isreserved`.
fn is_device(part: &str) -> bool {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    let stem = part.split('.').next().unwrap_or(part).trim_end_matches(' ').to_ascii_lowercase();
    let numbered = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    let is_port = numbered.is_some_and(|number| {
        let mut digits = number.chars();
        digits.next().is_some_and(|digit| "123456789¹²³".contains(digit)) && digits.next().is_none()
    });
    is_port || DEVICES.contains(&stem.as_str())
}

/// Whether no file on Windows can have the name.
fn is_reserved(part: &str) -> bool {
    is_device(part)
        || part.contains(['<', '>', ':', '"', '|', '?', '*'])
        || (part.ends_with(['.', ' ']) && !matches!(part, "." | ".."))
}

const WINDOWS: Rule = Rule {
    id: "ZIP014",
    title: "names work on Windows",
    severity: Error,
    provenance: BreaksInstall,
    why: "Windows reserves these names: installation fails or writes to another file. A warning unless the \
        wheel is for Windows.",
    source: "Microsoft, \"Naming Files, Paths, and Namespaces\"; CPython, `ntpath.isreserved`.",
    fix: "Rename the file.",
    example: "sample-1.0-py3-none-any.whl: sample/aux.py: `aux.py` cannot be a file's name on Windows",
    check: Check::Dist(windows),
    #[cfg(test)]
    fails: || fixture::plus("sample/aux.py", ""),
};

fn windows(dist: &Dist, out: &mut Findings) {
    let platforms = dist.platforms();
    let is_for_windows = platforms.iter().any(|platform| matches!(platform, Platform::Windows { .. }));
    let is_for_any = platforms.iter().any(|platform| matches!(platform, Platform::Any));
    if dist.wheel().is_some() && !is_for_windows && !is_for_any {
        return out.not_applicable();
    }
    for member in dist.members() {
        if let Some(part) = member.name.split('/').find(|part| is_reserved(part)) {
            if !is_for_windows {
                out.with_severity(Warning);
            }
            out.at(&member.name, format!("`{part}` cannot be a file's name on Windows"));
        }
    }
}

const PLAIN: Rule = Rule {
    id: "ZIP015",
    title: "names have no spaces or non-ASCII characters",
    severity: Note,
    provenance: Hygiene,
    why: "Spaces and non-ASCII characters need care in scripts and on old systems.",
    source: "pydistcheck, `files-have-spaces`, `path-contains-non-ascii-characters`.",
    fix: "Rename the file.",
    example: "sample-1.0-py3-none-any.whl: sample/a file.txt: the name has a space",
    check: Check::Dist(plain),
    #[cfg(test)]
    fails: || fixture::plus("sample/a file.txt", ""),
};

fn plain(dist: &Dist, out: &mut Findings) {
    for member in dist.members() {
        if member.name.contains(' ') {
            out.at(&member.name, "the name has a space");
        } else if !member.name.is_ascii() {
            out.at(&member.name, "the name has non-ASCII characters");
        }
    }
}

const UNPRINTABLE: Rule = Rule {
    id: "ZIP017",
    title: "names have no control characters",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI rejects an archive with a name that cannot be printed.",
    source: WAREHOUSE,
    fix: "Rename the file.",
    example: "sample-1.0-py3-none-any.whl: sample/a�.py: the name has a control character",
    check: Check::Wheel(unprintable),
    #[cfg(test)]
    fails: || fixture::plus("sample/a\n.py", ""),
};

fn unprintable(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    for member in wheel.members.iter().filter(|member| member.name.contains(|c: char| c.is_ascii_control())) {
        out.at(&member.name, "the name has a control character");
    }
}

const ENTRY_KINDS: Rule = Rule {
    id: "ZIP018",
    title: "no name is both a file and a directory",
    severity: Error,
    provenance: BreaksInstall,
    why: "The second one cannot be installed.",
    source: "PyPA \"Binary distribution format\".",
    fix: "Rename one of them.",
    example: "sample-1.0-py3-none-any.whl: sample/__init__.py: the archive has a file and a directory with this name",
    check: Check::Dist(entry_kinds),
    #[cfg(test)]
    fails: || fixture::plus("sample/__init__.py/x.py", ""),
};

fn entry_kinds(dist: &Dist, out: &mut Findings) {
    let files: BTreeSet<&str> =
        dist.members().iter().filter(|member| !member.is_dir()).map(|member| member.name.as_str()).collect();
    let mut reported = BTreeSet::new();
    for member in dist.members() {
        let path = member.name.trim_end_matches('/');
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        let own = member.is_dir().then_some(path);
        for directory in parents.chain(own).filter(|directory| files.contains(directory)) {
            if reported.insert(directory) {
                out.at(directory, "the archive has a file and a directory with this name");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_names_that_windows_reserves() {
        let devices =
            ["CON", "con.py", "NUL.txt", "nul.tar.gz", "Aux", "prn .txt", "com1.py", "LPT9", "COM¹"];
        let others = ["conin$", "CONOUT$", "a.", "a ", "...", "a:b", "what?.py", "a|b"];
        for name in devices.iter().chain(&others) {
            assert!(is_reserved(name), "{name}");
        }
        let free = ["console.py", "auxiliary", "nul_.txt", "com", "com0", "com10", "lpt.py", ".con", "x.nul"];
        for name in free.iter().chain(&[".", "..", "a.b", "a b", "comé"]) {
            assert!(!is_reserved(name), "{name}");
        }
    }

    /// A wheel for Windows cannot be installed; other wheels can, on other systems.
    #[test]
    fn a_reserved_name_is_an_error_in_a_wheel_for_windows() {
        let severity = |tag: &str| {
            let mut wheel = fixture::Wheel::sample(tag);
            wheel.members.push(fixture::Member::new("sample/NUL.txt", ""));
            let case: fixture::Case = wheel.into();
            let dists = fixture::scan_files(&case.files);
            let selection = crate::Selection::Only(vec![WINDOWS.id.to_owned()]);
            let findings = crate::check(&case.set(&dists), &selection).findings;
            findings.first().map(|finding| finding.severity)
        };
        assert_eq!(severity("py3-none-win_amd64"), Some(Error));
        assert_eq!(severity("py3-none-any"), Some(Warning));
        assert_eq!(severity("py3-none-manylinux_2_17_x86_64"), None);
    }
}
