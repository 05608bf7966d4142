//! `SET`: the distributions as one release.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use pep440_rs::Version;
use pydist::digest::hex;
use pydist::filename::DistName;
use pydist::name::ProjectName;
use pydist::release_tag::ReleaseTag;
use pydist::requirement;
use pydist::tags::{Platform, Tag};

use super::environments::previous;
use super::metadata;
use crate::coverage::{Coverage, Pythons};
use crate::facts::Dist;
#[cfg(test)]
use crate::fixture;
use crate::pattern::Pattern;
use crate::rule::Provenance::{BreaksInstall, BreaksRelease, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Out, Published, PublishedFile, Rule, Set, some};

const SOURCE: &str =
    "What a release promises; uv issues 15876 and 20400, lefthook issue 1378, ray issue 36991.";

pub(super) static RULES: &[Rule] =
    &[VERSIONS, TAG, PINS, SAME, MATRIX, ONE_SDIST, SDISTS, TWICE, LOST, TAKEN, FLOORS, OTHERS];

fn listed_version(listed: &PublishedFile) -> Option<Version> {
    listed.name.normal_version()
}

const LOST: Rule = Rule {
    id: "SET009",
    title: "every platform of the previous release is there again",
    severity: Error,
    provenance: BreaksRelease,
    why: "Users of a platform that went missing get the previous version, or a build from source.",
    source: SOURCE,
    fix: "Look at the build job of the platform. If it was dropped on purpose, accept it by an `ignore` with the reason.",
    example: "`sample` 0.9 had wheels for `macosx arm64`, 1.0 has none",
    check: Check::Set(lost),
    #[cfg(test)]
    fails: || fixture::Case {
        previous: Some(fixture::published(&[("sample-0.9-cp312-cp312-macosx_11_0_arm64.whl", None)])),
        ..fixture::linux(fixture::Elf::default()).into()
    },
};

fn lost(set: &Set<'_>, out: &mut Out) {
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

/// A package's wheels now and in the release before.
struct Releases {
    own: Version,
    last: Version,
    now: Coverage,
    before: Coverage,
    had_source: bool,
}

impl Releases {
    /// `None` where there is no release before.
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
    title: "no system or Python is served less than by the previous release",
    severity: Warning,
    provenance: BreaksRelease,
    why: "Users of an older system or Python silently get the previous version, or a build from source.",
    source: SOURCE,
    fix: "Build on the older system again (`manylinux_2_17`, MACOSX_DEPLOYMENT_TARGET) and for the same Pythons. \
        If it was dropped on purpose, raise Requires-Python or accept it by an `ignore` with the reason.",
    example: "`sample`: the floor of manylinux x86_64 rose from 2.12 in 0.9 to 2.17",
    check: Check::Set(floors),
    #[cfg(test)]
    fails: || fixture::Case {
        previous: Some(fixture::published(&[("sample-0.9-cp312-cp312-manylinux_2_12_x86_64.whl", None)])),
        ..fixture::linux(fixture::Elf::default()).into()
    },
};

fn floors(set: &Set<'_>, out: &mut Out) {
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
        // What Requires-Python excludes was dropped openly.
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
    why: "The index never takes a file name twice, and a release can get no second source distribution.",
    source: "Warehouse; PEP 527.",
    fix: "Bump the version, or add a build number to the wheel.",
    example: "sample-1.0-py3-none-any.whl: the index has another file of this name",
    check: Check::Set(taken),
    #[cfg(test)]
    fails: || fixture::Case {
        previous: Some(fixture::published(&[("sample-1.0-py3-none-any.whl", Some("00"))])),
        ..fixture::pure().into()
    },
};

fn taken(set: &Set<'_>, out: &mut Out) {
    let Some(published) = set.previous else { return out.not_applicable() };
    for dist in set.dists {
        let project = dist.project();
        for listed in project.and_then(|project| published.get(&project)).into_iter().flatten() {
            let same = listed.sha256.as_ref().is_none_or(|sha256| *sha256 == hex(&dist.sha256));
            if listed.filename == dist.filename && !same {
                out.about(dist, "the index has another file of this name");
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

/// The files by package.
fn packages<'a>(set: &Set<'a>) -> BTreeMap<ProjectName, Vec<&'a Dist>> {
    let mut packages: BTreeMap<ProjectName, Vec<&Dist>> = BTreeMap::new();
    for dist in set.dists {
        if let Ok(name) = &dist.name {
            packages.entry(name.project()).or_default().push(dist);
        }
    }
    packages
}

fn version(dist: &Dist) -> Option<Version> {
    Version::from_str(&dist.version()).ok()
}

/// Whether the packages of the set belong together: one requires another, or
/// a tag was given for all.
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
            // Released together: names of one family, one requires the other.
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
    title: "every file is of one version",
    severity: Error,
    provenance: BreaksRelease,
    why: "A file of another version was left in the directory, or a package was not bumped.",
    source: SOURCE,
    fix: "Empty the directory before the build; set the version in one place.",
    example: "`sample` is there in the versions `1.0`, `1.1`",
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

fn versions(set: &Set<'_>, out: &mut Out) {
    let packages = packages(set);
    for (package, dists) in &packages {
        let found: BTreeSet<String> =
            dists.iter().filter_map(|dist| version(dist)).map(|version| version.to_string()).collect();
        if found.len() > 1 {
            out.found(format!("`{package}` is there in the versions {}", some(found)));
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
        out.found(format!("packages that are released together differ: {}", some(&found)));
    }
}

const TAG: Rule = Rule {
    id: "SET002",
    title: "the version is the git tag's",
    severity: Error,
    provenance: BreaksRelease,
    why: "What is published is not what the tag says.",
    source: SOURCE,
    fix: "Bump the version before tagging, or tag the right commit.",
    example: "sample-1.0-py3-none-any.whl: expected 1.1 by the tag `v1.1`, found 1.0",
    check: Check::Set(tag),
    #[cfg(test)]
    fails: || fixture::Case { tag: Some("v1.1"), ..fixture::pure().into() },
};

fn tag(set: &Set<'_>, out: &mut Out) {
    let Some(tag) = set.tag else { return out.not_applicable() };
    let expected = match ReleaseTag::parse(tag, None) {
        Ok(tag) => tag.version,
        Err(error) => return out.found(error.to_string()),
    };
    for dist in set.dists {
        if let Some(found) = version(dist).filter(|found| *found != expected) {
            out.about(dist, format!("expected {expected} by the tag `{tag}`, found {found}"));
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

fn pins(set: &Set<'_>, out: &mut Out) {
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

const SAME: Rule = Rule {
    id: "SET004",
    title: "the metadata are equal in all files of a package",
    severity: Error,
    provenance: BreaksInstall,
    why: "Resolvers read one file's metadata and take them for all (uv issue 15876). \
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

fn same(set: &Set<'_>, out: &mut Out) {
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
            // Before 2.2 a source distribution promised nothing (PEP 643).
            if !metadata.is_at_least(2, 2) {
                continue;
            }
            let dynamic: BTreeSet<String> =
                metadata.headers.all("Dynamic").map(str::to_ascii_lowercase).collect();
            compare(source, wheel, &|field| !dynamic.contains(field), out);
        }
    }
}

/// Reports the fields in which two files differ, of those that `is_final`.
fn compare(dist: &Dist, other: &Dist, is_final: &dyn Fn(&str) -> bool, out: &mut Out) {
    let (Some(a), Some(b)) = (dist.metadata(), other.metadata()) else { return };
    let (a, b) = (metadata::essence(a), metadata::essence(b));
    let fields: BTreeSet<&str> =
        a.symmetric_difference(&b).map(|(field, _)| field.as_str()).filter(|field| is_final(field)).collect();
    if fields.is_empty() {
        return;
    }
    if fields.iter().all(|field| !metadata::RESOLVED.contains(field)) {
        out.only(Warning);
    }
    out.about(dist, format!("it differs from `{}` in {}", other.filename, some(fields)));
}

const MATRIX: Rule = Rule {
    id: "SET005",
    title: "every expected platform is there",
    severity: Error,
    provenance: BreaksRelease,
    why: "Users of the missing platform get the previous version, or a build from source.",
    source: SOURCE,
    fix: "Look at the build job of the platform; its artifact did not arrive.",
    example: "`sample` has no wheel for `macosx_*_arm64`",
    check: Check::Set(matrix),
    #[cfg(test)]
    fails: || fixture::Case {
        matrix: vec!["macosx_*_arm64".parse().unwrap()],
        ..fixture::linux(fixture::Elf::default()).into()
    },
};

fn matrix(set: &Set<'_>, out: &mut Out) {
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

/// Python 3 has no more minor versions for a while.
const LAST_MINOR: u32 = 40;

/// Whether a tag is what a line of the matrix asks for: a platform, or a whole
/// tag, for which the stable ABI and pure Python stand in.
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

fn source_of<'a>(dists: &[&'a Dist]) -> Vec<&'a Dist> {
    dists.iter().copied().filter(|dist| matches!(dist.name, Ok(DistName::Sdist(_)))).collect()
}

const ONE_SDIST: Rule = Rule {
    id: "SET006",
    title: "there is at most one source distribution for a package",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses a second one.",
    source: "PEP 527; Warehouse.",
    fix: "Keep the `.tar.gz` that the backend wrote last.",
    example: "sample-1.0.tar.gz: `Sample-1.0.tar.gz` is one already",
    check: Check::Set(one_sdist),
    #[cfg(test)]
    fails: || {
        let second = ("Sample-1.0.tar.gz".to_owned(), fixture::sdist(|_| ()).1);
        fixture::Case { files: vec![fixture::sdist(|_| ()), second], ..fixture::Case::default() }
    },
};

fn one_sdist(set: &Set<'_>, out: &mut Out) {
    for dists in packages(set).values() {
        let mut seen: BTreeMap<String, &Dist> = BTreeMap::new();
        for dist in source_of(dists) {
            if let Some(first) = seen.insert(dist.version(), dist) {
                out.about(dist, format!("`{}` is one already", first.filename));
            }
        }
    }
}

const SDISTS: Rule = Rule {
    id: "SET007",
    title: "every expected source distribution is there",
    severity: Error,
    provenance: BreaksRelease,
    why: "Platforms without a wheel, and distributors, need it.",
    source: SOURCE,
    fix: "Add a job with `maturin sdist` or `python -m build --sdist`.",
    example: "`sample` has no source distribution",
    check: Check::Set(sdists),
    #[cfg(test)]
    fails: || fixture::Case { expect_sdist: vec!["all".into()], ..fixture::pure().into() },
};

fn sdists(set: &Set<'_>, out: &mut Out) {
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

const TWICE: Rule = Rule {
    id: "SET008",
    title: "no two wheels serve the same tag",
    severity: Warning,
    provenance: BreaksRelease,
    why: "Which one is installed is chance.",
    source: "PEP 425.",
    fix: "Remove the older one from the folder.",
    example: "sample-1.0-py3-none-any.whl: `sample-1.0-py2.py3-none-any.whl` serves `py3-none-any` too",
    check: Check::Set(twice),
    #[cfg(test)]
    fails: || {
        let second = fixture::Wheel::sample("py2.py3-none-any");
        fixture::Case {
            files: vec![fixture::file(&fixture::pure()), fixture::file(&second)],
            ..fixture::Case::default()
        }
    },
};

fn twice(set: &Set<'_>, out: &mut Out) {
    for dists in packages(set).values() {
        let mut seen: BTreeMap<(String, String), &Dist> = BTreeMap::new();
        for dist in dists {
            let Some(name) = dist.wheel_name().filter(|name| name.build.is_none()) else { continue };
            for tag in name.tags.expand() {
                if let Some(first) = seen.insert((dist.version(), tag.to_string()), dist)
                    && first.filename != dist.filename
                {
                    out.about(dist, format!("`{}` serves `{tag}` too", first.filename));
                    break;
                }
            }
        }
    }
}

const OTHERS: Rule = Rule {
    id: "SET012",
    title: "the directory holds no other archives",
    severity: Warning,
    provenance: BreaksRelease,
    why: "`twine upload dist/*` sends them too, and nothing here has checked them.",
    source: "PEP 527.",
    fix: "Remove them, or build a wheel and a `.tar.gz`.",
    example: "`sample-1.0.zip` is not checked: neither a wheel nor a `.tar.gz`",
    check: Check::Set(others),
    #[cfg(test)]
    fails: || fixture::Case { others: vec!["sample-1.0.zip".into()], ..fixture::pure().into() },
};

fn others(set: &Set<'_>, out: &mut Out) {
    for name in set.others {
        out.found(format!("`{name}` is not checked: neither a wheel nor a `.tar.gz`"));
    }
}
