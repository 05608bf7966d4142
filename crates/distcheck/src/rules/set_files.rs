//! `SET`: the files of a release.

use std::collections::{BTreeMap, BTreeSet};

use pydist::name::ProjectName;
use pydist::tags::{Platform, Tag};

use super::set::{SOURCE, packages, source_of};
use crate::coverage::Pythons;
use crate::dist::Dist;
#[cfg(test)]
use crate::fixture;
use crate::pattern::Pattern;
use crate::rule::Provenance::{BreaksRelease, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule, Set};

pub(super) static RULES: &[Rule] = &[MATRIX, ONE_SDIST, SDISTS, SAME_TAG, OTHER_ARCHIVES];

const MATRIX: Rule = Rule {
    id: "SET005",
    title: "every expected platform has a wheel",
    severity: Error,
    provenance: BreaksRelease,
    why: "Users of the missing platform get the previous version or build from source.",
    source: SOURCE,
    fix: "Check the build job of the platform; its artifact is missing.",
    example: "`sample` has no wheel for `macosx_*_arm64`",
    check: Check::Set(matrix),
    #[cfg(test)]
    fails: || fixture::Case {
        matrix: vec!["macosx_*_arm64".parse().unwrap()],
        ..fixture::linux(fixture::Elf::default()).into()
    },
};

fn matrix(set: &Set<'_>, out: &mut Findings) {
    if set.matrix.is_empty() {
        return out.not_applicable();
    }
    for (package, dists) in packages(set) {
        let tags: Vec<Tag> =
            dists.iter().filter_map(|dist| dist.wheel_name()).flat_map(|name| name.tags.expand()).collect();
        if tags.iter().all(|tag| Platform::parse(&tag.platform) == Platform::Any) {
            continue;
        }
        for expected in set.matrix {
            if !tags.iter().any(|tag| covers(tag, expected)) {
                out.found(format!("`{package}` has no wheel for `{expected}`"));
            }
        }
    }
}

/// An upper bound on Python's minor versions.
const LAST_MINOR: u32 = 40;

/// Whether a tag covers a line of the matrix: a platform or a whole tag, which the
/// stable ABI and pure Python also cover.
fn covers(tag: &Tag, expected: &Pattern) -> bool {
    if !expected.to_string().contains('-') {
        return expected.matches(&tag.platform);
    }
    let of = |minor: u32| format!("cp3{minor}-{}-{}", tag.abi, tag.platform);
    expected.matches(&tag.to_string())
        || match Pythons::of(tag) {
            Pythons::All => (0..LAST_MINOR).any(|minor| expected.matches(&of(minor))),
            Pythons::From(low) => (low..LAST_MINOR).any(|minor| expected.matches(&of(minor))),
            Pythons::One(_) => false,
        }
}

const ONE_SDIST: Rule = Rule {
    id: "SET006",
    title: "a package has at most one source distribution",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects a second one.",
    source: "PEP 527; Warehouse.",
    fix: "Keep the `.tar.gz` that the backend wrote last.",
    example: "sample-1.0.tar.gz: `Sample-1.0.tar.gz` is another source distribution",
    check: Check::Set(one_sdist),
    #[cfg(test)]
    fails: || {
        let second = ("Sample-1.0.tar.gz".to_owned(), fixture::sdist(|_| ()).1);
        fixture::Case { files: vec![fixture::sdist(|_| ()), second], ..fixture::Case::default() }
    },
};

fn one_sdist(set: &Set<'_>, out: &mut Findings) {
    for dists in packages(set).values() {
        let mut seen: BTreeMap<String, &Dist> = BTreeMap::new();
        for dist in source_of(dists) {
            if let Some(first) = seen.insert(dist.version(), dist) {
                out.about(dist, format!("`{}` is another source distribution", first.filename));
            }
        }
    }
}

const SDISTS: Rule = Rule {
    id: "SET007",
    title: "every expected source distribution exists",
    severity: Error,
    provenance: BreaksRelease,
    why: "Users without a matching wheel and distributors need it.",
    source: SOURCE,
    fix: "Add a job with `maturin sdist` or `python -m build --sdist`.",
    example: "`sample` has no source distribution",
    check: Check::Set(sdists),
    #[cfg(test)]
    fails: || fixture::Case { expect_sdist: vec!["all".into()], ..fixture::pure().into() },
};

fn sdists(set: &Set<'_>, out: &mut Findings) {
    if set.expect_sdist.is_empty() {
        return out.not_applicable();
    }
    let packages = packages(set);
    let all = set.expect_sdist.iter().any(|name| name == "all");
    let expected: BTreeSet<ProjectName> = if all {
        packages.keys().cloned().collect()
    } else {
        set.expect_sdist.iter().map(|text| ProjectName::new(text)).collect()
    };
    for package in expected {
        if packages.get(&package).is_none_or(|dists| source_of(dists).is_empty()) {
            out.found(format!("`{package}` has no source distribution"));
        }
    }
}

const SAME_TAG: Rule = Rule {
    id: "SET008",
    title: "no two wheels have the same tag",
    severity: Warning,
    provenance: BreaksRelease,
    why: "Which one is installed is arbitrary.",
    source: "PEP 425.",
    fix: "Remove the older one from the directory.",
    example: "sample-1.0-py3-none-any.whl: `sample-1.0-py2.py3-none-any.whl` also has the tag `py3-none-any`",
    check: Check::Set(same_tag),
    #[cfg(test)]
    fails: || {
        let second = fixture::Wheel::sample("py2.py3-none-any");
        fixture::Case {
            files: vec![fixture::file(&fixture::pure()), fixture::file(&second)],
            ..fixture::Case::default()
        }
    },
};

fn same_tag(set: &Set<'_>, out: &mut Findings) {
    for dists in packages(set).values() {
        let mut seen: BTreeMap<(String, String), &Dist> = BTreeMap::new();
        for dist in dists {
            let Some(name) = dist.wheel_name().filter(|name| name.build.is_none()) else { continue };
            for tag in name.tags.expand() {
                if let Some(first) = seen.insert((dist.version(), tag.to_string()), dist)
                    && first.filename != dist.filename
                {
                    out.about(dist, format!("`{}` also has the tag `{tag}`", first.filename));
                    break;
                }
            }
        }
    }
}

const OTHER_ARCHIVES: Rule = Rule {
    id: "SET012",
    title: "the directory has no other archives",
    severity: Warning,
    provenance: BreaksRelease,
    why: "`twine upload dist/*` would upload them too, unchecked.",
    source: "PEP 527.",
    fix: "Remove them, or build a wheel and a `.tar.gz`.",
    example: "`sample-1.0.zip` is not checked: neither a wheel nor a `.tar.gz`",
    check: Check::Set(others),
    #[cfg(test)]
    fails: || fixture::Case { others: vec!["sample-1.0.zip".into()], ..fixture::pure().into() },
};

fn others(set: &Set<'_>, out: &mut Findings) {
    for name in set.others {
        out.found(format!("`{name}` is not checked: neither a wheel nor a `.tar.gz`"));
    }
}
