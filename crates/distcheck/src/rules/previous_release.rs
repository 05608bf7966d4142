//! `SET`: a release, compared with the previous one.

use pep440_rs::Version;
use pydist::digest::hex;
use pydist::name::ProjectName;

use super::environments::previous;
use super::metadata;
use super::set::{SOURCE, packages, source_of, version};
use crate::coverage::{Coverage, Pythons};
use crate::dist::Dist;
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksRelease, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Published, PublishedFile, Rule, Set, some};

pub(super) static RULES: &[Rule] = &[LOST, TAKEN, FLOORS];

fn listed_version(listed: &PublishedFile) -> Option<Version> {
    listed.name.normal_version()
}

const LOST: Rule = Rule {
    id: "SET009",
    title: "every platform of the previous release is still supported",
    severity: Error,
    provenance: BreaksRelease,
    why: "Users of a missing platform get the previous version or build from source.",
    source: SOURCE,
    fix: "Check the build job of the platform. If it was dropped on purpose, accept it with an `ignore` and a reason.",
    example: "`sample` 0.9 had wheels for `macosx arm64`, 1.0 has none",
    check: Check::Set(lost),
    #[cfg(test)]
    fails: || fixture::Case {
        previous: Some(fixture::published(&[("sample-0.9-cp312-cp312-macosx_11_0_arm64.whl", None)])),
        ..fixture::linux(fixture::Elf::default()).into()
    },
};

fn lost(set: &Set<'_>, out: &mut Findings) {
    let Some(published) = set.previous else { return out.not_applicable() };
    let mut compared = false;
    for (package, dists) in packages(set) {
        let Some(release) = Releases::of(&package, &dists, published) else { continue };
        compared = true;
        let (own, last) = (&release.own, &release.last);
        let missing = release.now.lost_systems(&release.before);
        if !missing.is_empty() {
            out.found(format!("`{package}` {last} had wheels for {}, {own} has none", some(missing)));
        }
        if release.had_source && source_of(&dists).is_empty() {
            out.found(format!("`{package}` {last} had a source distribution, {own} has none"));
        }
    }
    if !compared {
        out.not_applicable();
    }
}

/// A package's wheels in this and the previous release.
struct Releases {
    own: Version,
    last: Version,
    now: Coverage,
    before: Coverage,
    had_source: bool,
}

impl Releases {
    /// `None` if there is no previous release.
    fn of(package: &ProjectName, dists: &[&Dist], published: &Published) -> Option<Self> {
        let own = dists.iter().filter_map(|dist| version(dist)).max()?;
        let files = published.get(package).map(Vec::as_slice).unwrap_or_default();
        let (last, files) = previous(files, &own)?;
        let before = Coverage::of(files.iter().filter_map(|listed| Some(&listed.name.wheel()?.tags)));
        let now = Coverage::of(dists.iter().filter_map(|dist| Some(&dist.wheel_name()?.tags)));
        let had_source = files.iter().any(|listed| listed.name.wheel().is_none());
        Some(Self { own, last, now, before, had_source })
    }
}

const FLOORS: Rule = Rule {
    id: "SET011",
    title: "no system or Python loses support since the previous release",
    severity: Warning,
    provenance: BreaksRelease,
    why: "Users of an older system or Python silently get the previous version or build from source.",
    source: SOURCE,
    fix: "Build on the older system again (`manylinux_2_17`, MACOSX_DEPLOYMENT_TARGET) and for the same Pythons. \
        If it was dropped on purpose, raise Requires-Python or accept it with an `ignore` and a reason.",
    example: "`sample`: the floor of manylinux x86_64 rose from 2.12 in 0.9 to 2.17",
    check: Check::Set(floors),
    #[cfg(test)]
    fails: || fixture::Case {
        previous: Some(fixture::published(&[("sample-0.9-cp312-cp312-manylinux_2_12_x86_64.whl", None)])),
        ..fixture::linux(fixture::Elf::default()).into()
    },
};

fn floors(set: &Set<'_>, out: &mut Findings) {
    let Some(published) = set.previous else { return out.not_applicable() };
    let mut compared = false;
    for (package, dists) in packages(set) {
        let Some(release) = Releases::of(&package, &dists, published) else { continue };
        compared = true;
        for (system, old, new) in release.now.raised(&release.before) {
            out.found(format!(
                "`{package}`: the floor of {system} rose from {}.{} in {} to {}.{}",
                old.0, old.1, release.last, new.0, new.1
            ));
        }
        let mut requires = dists.iter().filter_map(|dist| dist.metadata()?.headers.get("Requires-Python"));
        let requires = requires.find_map(metadata::requires_python);
        // A Python that Requires-Python excludes was dropped on purpose.
        let admitted = |pythons: &&&Pythons| match (&requires, pythons.minor()) {
            (Some(requires), Some(minor)) => {
                (0..40).any(|micro| requires.contains(&Version::new([3, minor, micro])))
            }
            _ => true,
        };
        for (system, lost) in release.now.lost_pythons(&release.before) {
            let lost: Vec<String> = lost.iter().filter(admitted).map(ToString::to_string).collect();
            if !lost.is_empty() {
                out.found(format!(
                    "`{package}` {} had wheels for {} on {system}, {} has none",
                    release.last,
                    some(lost),
                    release.own
                ));
            }
        }
    }
    if !compared {
        out.not_applicable();
    }
}

const TAKEN: Rule = Rule {
    id: "SET010",
    title: "no file name is taken by another file",
    severity: Error,
    provenance: PypiRejects,
    why: "The index never accepts a file name twice, or a second source distribution of a release.",
    source: "Warehouse; PEP 527.",
    fix: "Bump the version, or add a build number to the wheel.",
    example: "sample-1.0-py3-none-any.whl: the index has another file with this name",
    check: Check::Set(taken),
    #[cfg(test)]
    fails: || fixture::Case {
        previous: Some(fixture::published(&[("sample-1.0-py3-none-any.whl", Some("00"))])),
        ..fixture::pure().into()
    },
};

fn taken(set: &Set<'_>, out: &mut Findings) {
    let Some(published) = set.previous else { return out.not_applicable() };
    for dist in set.dists {
        let project = dist.project();
        for listed in project.and_then(|project| published.get(&project)).into_iter().flatten() {
            let same = listed.sha256.as_ref().is_none_or(|sha256| *sha256 == hex(&dist.sha256));
            if listed.filename == dist.filename && !same {
                out.about(dist, "the index has another file with this name");
            }
            let second = dist.wheel().is_none()
                && listed.name.wheel().is_none()
                && listed.filename != dist.filename
                && listed_version(listed) == version(dist);
            if second {
                out.about(dist, format!("the index has `{}` of this version", listed.filename));
            }
        }
    }
}
