//! `CON`, continued: what a wheel puts at the top of the environment, where
//! all packages meet.

use std::collections::BTreeSet;

use crate::facts::{Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::python_name;
use crate::rule::Provenance::{BreaksInstall, BreaksRelease, Hygiene};
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Out, Rule, Set, some};

const CWC: &str = "check-wheel-contents, W003 to W010.";
const PACKAGES: &str =
    "Check `python-source` and `module-name` of `[tool.maturin]`, or the backend's list of packages.";

pub(super) static RULES: &[Rule] = &[COMMON, EMPTY, IMPORTABLE, SINGLE, DECLARED];

/// A member's place in the environment's library: `None` for metadata, and for
/// data that go elsewhere.
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

/// The name under which a top-level file or folder is imported.
fn import_name(path: &str) -> &str {
    let top = path.split('/').next().unwrap_or(path);
    if path.contains('/') { top } else { top.split('.').next().unwrap_or(top) }
}

const COMMON: Rule = Rule {
    id: "CON003",
    title: "the top level is this project's own",
    severity: Warning,
    provenance: BreaksInstall,
    why: "A top-level `tests`, `docs` or `__init__.py` overwrites that of other packages.",
    source: CWC,
    fix: "Exclude it: maturin `exclude = [\"…\"]`, hatchling `exclude`, setuptools `exclude` of `find`.",
    example: "sample-1.0-py3-none-any.whl: tests/: a directory of a common name at the top level",
    check: Check::Wheel(common),
    #[cfg(test)]
    fails: || fixture::plus("tests/x.py", ""),
};

fn common(_: &Dist, wheel: &Wheel, out: &mut Out) {
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
        out.at(&format!("{top}/"), "a directory of a common name at the top level");
    }
    for file in paths().filter(|path| !path.contains('/')) {
        if file == "__init__.py" {
            out.at(file, "it makes the directory of all packages a package");
        } else if !is_module(file) && !file.ends_with(".pth") {
            out.at(file, "a file at the top level that is no module");
        }
    }
}

const EMPTY: Rule = Rule {
    id: "CON004",
    title: "the wheel installs something",
    severity: Warning,
    provenance: BreaksInstall,
    why: "Nothing but metadata is installed: usually a wrong path in the build's configuration.",
    source: CWC,
    fix: PACKAGES,
    example: "sample-1.0-py3-none-any.whl: there is nothing but metadata",
    check: Check::Wheel(empty),
    #[cfg(test)]
    fails: || fixture::after(|members| drop(members.remove(0))),
};

fn empty(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let installs =
        wheel.members.iter().any(|member| !member.is_dir() && !member.name.contains(".dist-info/"));
    // A package that only pulls in others says so by its requirements.
    let meta = matches!(&wheel.metadata, Some(Ok(metadata)) if metadata.requires_dist().next().is_some());
    if !installs && !meta {
        out.found("there is nothing but metadata");
    }
}

const IMPORTABLE: Rule = Rule {
    id: "CON013",
    title: "modules are where they can be imported",
    severity: Note,
    provenance: Hygiene,
    why: "A module below a directory whose name is no identifier cannot be imported; templates are like that.",
    source: CWC,
    fix: "Rename the directory, or ship the file as data.",
    example: "sample-1.0-py3-none-any.whl: no import reaches `sample/not-importable/x.py`",
    check: Check::Wheel(importable),
    #[cfg(test)]
    fails: || fixture::plus("sample/not-importable/x.py", ""),
};

fn importable(_: &Dist, wheel: &Wheel, out: &mut Out) {
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
        out.found(format!("no import reaches {}", some(found)));
    }
}

const SINGLE: Rule = Rule {
    id: "CON014",
    title: "there is one top-level package, with modules in it",
    severity: Note,
    provenance: Hygiene,
    why: "Another project may claim the second name; a directory without modules is data in the wrong place.",
    source: CWC,
    fix: PACKAGES,
    example: "sample-1.0-py3-none-any.whl: it installs `sample`, `second`",
    check: Check::Wheel(single),
    #[cfg(test)]
    fails: || fixture::plus("second/x.py", ""),
};

fn single(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let paths: Vec<&str> = wheel.members.iter().filter_map(installed).collect();
    let importable = paths.iter().filter(|path| path.contains('/') || is_module(path));
    let names: BTreeSet<&str> = importable.map(|path| import_name(path)).collect();
    // Names that start with `_`, stubs and bundled libraries belong to another.
    let own = |name: &&&str| {
        !name.starts_with('_')
            && !["-stubs", ".libs", ".dylibs", "__mypyc"].iter().any(|end| name.ends_with(end))
    };
    let public: Vec<&&str> = names.iter().filter(own).collect();
    if public.len() > 1 {
        out.found(format!("it installs {}", some(public)));
    }
    let folders: BTreeSet<&str> =
        paths.iter().filter_map(|path| path.split_once('/')).map(|(top, _)| top).collect();
    for folder in folders {
        let inside = |path: &&&str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        // A program in a package of its own is no module and no accident.
        let program = wheel.members.iter().any(|member| {
            member.binary.is_some()
                && member.name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        });
        let libraries = folder.ends_with(".libs") || folder.ends_with(".dylibs");
        if !program && !libraries && !paths.iter().filter(inside).any(|path| is_module(path)) {
            out.at(&format!("{folder}/"), "a directory at the top level without a module");
        }
    }
}

const DECLARED: Rule = Rule {
    id: "CON015",
    title: "wheels install exactly the names in `top-level`",
    severity: Error,
    provenance: BreaksRelease,
    why: "The project says in `[tool.verify-dist]` what its wheels install.",
    source: "check-wheel-contents, W101 to W202.",
    fix: PACKAGES,
    example: "`top-level` names `more`, which no wheel installs",
    check: Check::Set(declared),
    #[cfg(test)]
    fails: || fixture::Case { top_level: vec!["sample".into(), "more".into()], ..fixture::pure().into() },
};

fn declared(set: &Set<'_>, out: &mut Out) {
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
