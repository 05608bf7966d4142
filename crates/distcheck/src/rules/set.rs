//! `SET`: the distributions as one release, with the same version and metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use pep440_rs::Version;
use pydist::filename::DistName;
use pydist::name::ProjectName;
use pydist::release_tag::ReleaseTag;
use pydist::requirement;

use super::metadata;
use crate::dist::Dist;
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRelease};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule, Set, some};

pub(super) const SOURCE: &str =
    "The expectations of a release; uv issues 15876 and 20400, lefthook issue 1378, ray issue 36991.";

pub(super) static RULES: &[Rule] = &[VERSIONS, TAG, PINS, SAME_METADATA];

/// The files by package.
pub(super) fn packages<'a>(set: &Set<'a>) -> BTreeMap<ProjectName, Vec<&'a Dist>> {
    let mut packages: BTreeMap<ProjectName, Vec<&Dist>> = BTreeMap::new();
    for dist in set.dists {
        if let Ok(name) = &dist.name {
            packages.entry(name.project()).or_default().push(dist);
        }
    }
    packages
}

pub(super) fn version(dist: &Dist) -> Option<Version> {
    Version::from_str(&dist.version()).ok()
}

/// The packages of the set that are released together: one requires another, or a
/// tag was given for all.
fn related(set: &Set<'_>, packages: &BTreeMap<ProjectName, Vec<&Dist>>) -> BTreeSet<ProjectName> {
    let mut related = BTreeSet::new();
    for (package, dists) in packages {
        for requirement in dists
            .iter()
            .filter_map(|dist| dist.metadata())
            .flat_map(pydist::metadata::Metadata::requires_dist)
        {
            let Ok(requirement) = requirement::parse(requirement) else { continue };
            let other = ProjectName::new(requirement.name.as_ref());
            let base = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
            // Released together: related names, and one requires the other.
            if packages.contains_key(&other) && other != *package && base(&other) == base(package) {
                related.extend([package.clone(), other]);
            }
        }
    }
    if set.tag.is_some() {
        related.extend(packages.keys().cloned());
    }
    related
}

const VERSIONS: Rule = Rule {
    id: "SET001",
    title: "every file has the same version",
    severity: Error,
    provenance: BreaksRelease,
    why: "A file of another version was left in the directory, or a package's version was not bumped.",
    source: SOURCE,
    fix: "Empty the directory before the build; set the version in one place.",
    example: "`sample` has the versions `1.0`, `1.1`",
    check: Check::Set(versions),
    #[cfg(test)]
    fails: || {
        let second = fixture::other("sample-1.1", "Version: 1.0\n", "Version: 1.1\n");
        fixture::Case {
            files: vec![fixture::file(&fixture::pure()), fixture::file(&second)],
            ..fixture::Case::default()
        }
    },
};

fn versions(set: &Set<'_>, out: &mut Findings) {
    let packages = packages(set);
    for (package, dists) in &packages {
        let found: BTreeSet<String> =
            dists.iter().filter_map(|dist| version(dist)).map(|version| version.to_string()).collect();
        if found.len() > 1 {
            out.found(format!("`{package}` has the versions {}", some(found)));
        }
    }
    let related = related(set, &packages);
    let found: BTreeSet<String> = packages
        .iter()
        .filter(|(package, _)| related.contains(*package))
        .filter_map(|(package, dists)| Some(format!("{package} {}", version(dists.first()?)?)))
        .collect();
    let numbers: BTreeSet<&str> = found.iter().filter_map(|text| text.rsplit(' ').next()).collect();
    if numbers.len() > 1 {
        out.found(format!("packages that are released together have different versions: {}", some(&found)));
    }
}

const TAG: Rule = Rule {
    id: "SET002",
    title: "the version matches the git tag",
    severity: Error,
    provenance: BreaksRelease,
    why: "The published version is not the tagged one.",
    source: SOURCE,
    fix: "Bump the version before tagging, or tag the right commit.",
    example: "sample-1.0-py3-none-any.whl: expected 1.1 from the tag `v1.1`, found 1.0",
    check: Check::Set(tag),
    #[cfg(test)]
    fails: || fixture::Case { tag: Some("v1.1"), ..fixture::pure().into() },
};

fn tag(set: &Set<'_>, out: &mut Findings) {
    let Some(tag) = set.tag else { return out.not_applicable() };
    let expected = match ReleaseTag::parse(tag, None) {
        Ok(tag) => tag.version,
        Err(error) => return out.found(error.to_string()),
    };
    for dist in set.dists {
        if let Some(found) = version(dist).filter(|found| *found != expected) {
            out.about(dist, format!("expected {expected} from the tag `{tag}`, found {found}"));
        }
    }
}

const PINS: Rule = Rule {
    id: "SET003",
    title: "packages of the set pin each other exactly",
    severity: Error,
    provenance: BreaksInstall,
    why: "Packages that are released together break when installers mix versions.",
    source: SOURCE,
    fix: "`dependencies = [\"htty-core==0.3.0\"]`, with the version of this release.",
    example: "sample_cli-1.0-py3-none-any.whl: it requires `sample>=1`, expected `sample==1.0`",
    check: Check::Set(pins),
    #[cfg(test)]
    fails: || {
        let second =
            fixture::other("sample_cli-1.0", "Name: sample", "Requires-Dist: sample>=1\nName: sample-cli");
        fixture::Case {
            files: vec![fixture::file(&fixture::pure()), fixture::file(&second)],
            ..fixture::Case::default()
        }
    },
};

fn pins(set: &Set<'_>, out: &mut Findings) {
    let packages = packages(set);
    let related = related(set, &packages);
    if related.is_empty() {
        return out.not_applicable();
    }
    for dist in set.dists {
        let Some(metadata) = dist.metadata() else { continue };
        let own = dist.project();
        for requirement in metadata.requires_dist().filter_map(|text| requirement::parse(text).ok()) {
            let other = ProjectName::new(requirement.name.as_ref());
            let Some(others) =
                packages.get(&other).filter(|_| Some(&other) != own.as_ref() && related.contains(&other))
            else {
                continue;
            };
            let Some(released) = others.first().and_then(|dist| version(dist)) else { continue };
            match requirement::pin(&requirement) {
                Some(pin) if *pin == released => {}
                Some(pin) => out.about(dist, format!("it pins {other} {pin}, the set has {released}")),
                None => out.about(
                    dist,
                    format!(
                        "it requires `{other}{}`, expected `{other}=={released}`",
                        requirement::specifiers(&requirement)
                    ),
                ),
            }
        }
    }
}

const SAME_METADATA: Rule = Rule {
    id: "SET004",
    title: "all files of a package have the same metadata",
    severity: Error,
    provenance: BreaksInstall,
    why: "Resolvers read one file's metadata and assume it for all (uv issue 15876). \
        A warning for fields that no resolver reads.",
    source: SOURCE,
    fix: "Do not compute requirements at build time; use environment markers.",
    example: "sample-1.0-py3-none-any.whl: it differs from `sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl` in `requires-dist`",
    check: Check::Set(same),
    #[cfg(test)]
    fails: || {
        let mut second = fixture::linux(fixture::Elf::default());
        second.metadata = second.metadata.replace("Summary", "Requires-Dist: more\nSummary");
        fixture::Case {
            files: vec![fixture::file(&fixture::pure()), fixture::file(&second)],
            ..fixture::Case::default()
        }
    },
};

fn same(set: &Set<'_>, out: &mut Findings) {
    for dists in packages(set).values() {
        let mut first: BTreeMap<String, &Dist> = BTreeMap::new();
        let (wheels, sources): (Vec<&Dist>, Vec<&Dist>) =
            dists.iter().partition(|dist| dist.wheel().is_some());
        for dist in wheels {
            let first = *first.entry(dist.version()).or_insert(dist);
            compare(dist, first, &|_| true, out);
        }
        for source in sources {
            let (Some(metadata), Some(wheel)) = (source.metadata(), first.get(&source.version())) else {
                continue;
            };
            // Before 2.2, a source distribution's metadata was not binding (PEP 643).
            if !metadata.is_at_least(2, 2) {
                continue;
            }
            let dynamic: BTreeSet<String> =
                metadata.headers.all("Dynamic").map(str::to_ascii_lowercase).collect();
            compare(source, wheel, &|field| !dynamic.contains(field), out);
        }
    }
}

/// Reports the fields in which two files differ, among those that `is_final`.
fn compare(dist: &Dist, other: &Dist, is_final: &dyn Fn(&str) -> bool, out: &mut Findings) {
    let (Some(a), Some(b)) = (dist.metadata(), other.metadata()) else { return };
    let (a, b) = (metadata::comparable_fields(a), metadata::comparable_fields(b));
    let fields: BTreeSet<&str> =
        a.symmetric_difference(&b).map(|(field, _)| field.as_str()).filter(|field| is_final(field)).collect();
    if fields.is_empty() {
        return;
    }
    if fields.iter().all(|field| !metadata::RESOLVED.contains(field)) {
        out.with_severity(Warning);
    }
    out.about(dist, format!("it differs from `{}` in {}", other.filename, some(fields)));
}

pub(super) fn source_of<'a>(dists: &[&'a Dist]) -> Vec<&'a Dist> {
    dists.iter().copied().filter(|dist| matches!(dist.name, Ok(DistName::Sdist(_)))).collect()
}
