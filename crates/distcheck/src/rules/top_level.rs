//! `CON`, continued: the top-level names that a wheel installs, a namespace shared
//! by all packages.

use std::collections::BTreeSet;

use crate::dist::{Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::python_name;
use crate::rule::Provenance::{BreaksInstall, BreaksRelease, Hygiene};
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Findings, Rule, Set, some};

const CWC: &str = "check-wheel-contents, W003 to W010.";
const PACKAGES: &str =
    "Check `python-source` and `module-name` of `[tool.maturin]`, or the backend's list of packages.";

pub(super) static RULES: &[Rule] = &[COMMON, EMPTY, IMPORTABLE, SINGLE, DECLARED];

/// A member's path in the library directory; `None` for metadata and for data that
/// is installed elsewhere.
fn installed(member: &Member) -> Option<&str> {
    let (top, rest) = member.name.split_once('/').unwrap_or((&member.name, ""));
    if top.ends_with(".dist-info") || member.is_dir() {
        return None;
    }
    if !top.ends_with(".data") {
        return Some(&member.name);
    }
    ["purelib/", "platlib/"].iter().find_map(|scheme| rest.strip_prefix(scheme))
}

fn is_module(name: &str) -> bool {
    [".py", ".pyi", ".so", ".pyd"].iter().any(|end| name.ends_with(end))
}

/// The name under which a top-level file or directory is imported.
fn import_name(path: &str) -> &str {
    let top = path.split('/').next().unwrap_or(path);
    if path.contains('/') { top } else { top.split('.').next().unwrap_or(top) }
}

const COMMON: Rule = Rule {
    id: "CON003",
    title: "top-level names are specific to the project",
    severity: Warning,
    provenance: BreaksInstall,
    why: "A top-level `tests`, `docs` or `__init__.py` overwrites that of other packages.",
    source: CWC,
    fix: "Exclude it: maturin `exclude = [\"…\"]`, hatchling `exclude`, setuptools `exclude` of `find`.",
    example: "sample-1.0-py3-none-any.whl: tests/: a top-level directory with a common name",
    check: Check::Wheel(common),
    #[cfg(test)]
    fails: || fixture::plus("tests/x.py", ""),
};

fn common(_: &Dist, wheel: &Wheel, out: &mut Findings) {
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
        ".github",
    ];
    let paths = || wheel.members.iter().filter_map(installed);
    let tops: BTreeSet<&str> = paths().filter_map(|path| path.split_once('/')).map(|(top, _)| top).collect();
    for top in tops.iter().filter(|top| known.contains(*top)) {
        out.at(&format!("{top}/"), "a top-level directory with a common name");
    }
    for file in paths().filter(|path| !path.contains('/')) {
        if file == "__init__.py" {
            out.at(file, "it makes the directory of all packages a package");
        } else if !is_module(file) && !file.ends_with(".pth") {
            out.at(file, "a top-level file that is not a module");
        }
    }
}

const EMPTY: Rule = Rule {
    id: "CON004",
    title: "the wheel installs something",
    severity: Warning,
    provenance: BreaksInstall,
    why: "Only metadata is installed, usually because of a wrong path in the build configuration.",
    source: CWC,
    fix: PACKAGES,
    example: "sample-1.0-py3-none-any.whl: the wheel has only metadata",
    check: Check::Wheel(empty),
    #[cfg(test)]
    fails: || fixture::after(|members| drop(members.remove(0))),
};

fn empty(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let installs =
        wheel.members.iter().any(|member| !member.is_dir() && !member.name.contains(".dist-info/"));
    // A metapackage has requirements.
    let meta = matches!(&wheel.metadata, Some(Ok(metadata)) if metadata.requires_dist().next().is_some());
    if !installs && !meta {
        out.found("the wheel has only metadata");
    }
}

const IMPORTABLE: Rule = Rule {
    id: "CON013",
    title: "modules are where they can be imported",
    severity: Note,
    provenance: Hygiene,
    why: "A module below a directory whose name is not an identifier cannot be imported, as in templates.",
    source: CWC,
    fix: "Rename the directory, or ship the file as data.",
    example: "sample-1.0-py3-none-any.whl: cannot be imported: `sample/not-importable/x.py`",
    check: Check::Wheel(importable),
    #[cfg(test)]
    fails: || fixture::plus("sample/not-importable/x.py", ""),
};

fn importable(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let astray = |path: &&str| {
        let bad = |(depth, part): (usize, &str)| {
            !python_name::is_identifier(if depth == 0 {
                part.strip_suffix("-stubs").unwrap_or(part)
            } else {
                part
            })
        };
        path.strip_suffix(".py").is_some_and(|module| module.split('/').enumerate().any(bad))
    };
    let found: Vec<&str> = wheel.members.iter().filter_map(installed).filter(astray).collect();
    if !found.is_empty() {
        out.found(format!("cannot be imported: {}", some(found)));
    }
}

const SINGLE: Rule = Rule {
    id: "CON014",
    title: "there is one top-level package, with modules in it",
    severity: Note,
    provenance: Hygiene,
    why: "Another project may use the second name; a directory without modules is misplaced data.",
    source: CWC,
    fix: PACKAGES,
    example: "sample-1.0-py3-none-any.whl: it installs `sample`, `second`",
    check: Check::Wheel(single),
    #[cfg(test)]
    fails: || fixture::plus("second/x.py", ""),
};

fn single(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let paths: Vec<&str> = wheel.members.iter().filter_map(installed).collect();
    let importable = paths.iter().filter(|path| path.contains('/') || is_module(path));
    let names: BTreeSet<&str> = importable.map(|path| import_name(path)).collect();
    // Names that start with `_`, stubs and bundled libraries belong to another package.
    let own = |name: &&&str| {
        !name.starts_with('_')
            && !["-stubs", ".libs", ".dylibs", "__mypyc"].iter().any(|end| name.ends_with(end))
    };
    let public: Vec<&&str> = names.iter().filter(own).collect();
    if public.len() > 1 {
        out.found(format!("it installs {}", some(public)));
    }
    let dirs: BTreeSet<&str> =
        paths.iter().filter_map(|path| path.split_once('/')).map(|(top, _)| top).collect();
    for dir in dirs {
        let inside = |path: &&&str| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        // A directory with a program is intended.
        let program = wheel.members.iter().any(|member| {
            member.binary.is_some() && member.name.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
        });
        let libraries = dir.ends_with(".libs") || dir.ends_with(".dylibs");
        if !program && !libraries && !paths.iter().filter(inside).any(|path| is_module(path)) {
            out.at(&format!("{dir}/"), "a top-level directory without a module");
        }
    }
}

const DECLARED: Rule = Rule {
    id: "CON015",
    title: "wheels install exactly the names in `top-level`",
    severity: Error,
    provenance: BreaksRelease,
    why: "The project declares in `[tool.verify-dist]` what its wheels install.",
    source: "check-wheel-contents, W101 to W202.",
    fix: PACKAGES,
    example: "`top-level` names `more`, which no wheel installs",
    check: Check::Set(declared),
    #[cfg(test)]
    fails: || fixture::Case { top_level: vec!["sample".into(), "more".into()], ..fixture::pure().into() },
};

fn declared(set: &Set<'_>, out: &mut Findings) {
    if set.top_level.is_empty() {
        return out.not_applicable();
    }
    let expected: BTreeSet<&str> = set.top_level.iter().map(String::as_str).collect();
    let mut missing = expected.clone();
    let mut any = false;
    for dist in set.dists {
        let Some(wheel) = dist.wheel() else { continue };
        any = true;
        let found: BTreeSet<&str> = wheel.members.iter().filter_map(installed).map(import_name).collect();
        let more: Vec<&&str> = found.difference(&expected).collect();
        if !more.is_empty() {
            out.about(dist, format!("it installs {}, which `top-level` does not name", some(more)));
        }
        missing.retain(|name| !found.contains(name));
    }
    if any && !missing.is_empty() {
        out.found(format!("`top-level` names {}, which no wheel installs", some(missing)));
    }
}
