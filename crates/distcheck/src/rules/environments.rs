//! `INS`: where the set can be installed.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use installs::difference::{Change, difference};
use installs::matrix::{Matrix, matrices};
use installs::require::{Build, Unmet};
use pep440_rs::Version;
use pydist::name::ProjectName;

#[cfg(test)]
use crate::fixture;
use crate::installable::{installable, published};
use crate::rule::Provenance::BreaksRelease;
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, PublishedFile, Rule, Set};

pub(super) static RULES: &[Rule] = &[LOST, REQUIRED];

/// The files of the release before `own`: the newest older version that is not
/// yanked. A pre-release is considered only for a pre-release.
pub(super) fn previous<'p>(
    files: &'p [PublishedFile],
    own: &Version,
) -> Option<(Version, Vec<&'p PublishedFile>)> {
    let version = |listed: &PublishedFile| Version::from_str(&listed.name.version().replace('_', "-")).ok();
    let is_before = |version: &Version| version < own && (own.any_prerelease() || !version.any_prerelease());
    let last = files.iter().filter(|file| !file.yanked).filter_map(version).filter(is_before).max()?;
    let files = files.iter().filter(|listed| version(listed).as_ref() == Some(&last)).collect();
    Some((last, files))
}

/// The changes for users of a package.
#[derive(Debug)]
pub struct PackageChanges {
    /// The package.
    pub package: ProjectName,
    /// The version of its previous release.
    pub previous: Version,
    /// The changes since then, losses first.
    pub changes: Vec<Change>,
}

/// The changes since the previous release of each package, without packages that
/// have none.
pub fn changes(set: &Set<'_>) -> Vec<PackageChanges> {
    let mut found = Vec::new();
    let Some(listed) = set.previous else { return found };
    for after in matrices(installable(set.dists)) {
        let Some(own) = after.files.iter().map(|file| &file.version).max() else { continue };
        let files = listed.get(&after.project).map(Vec::as_slice).unwrap_or_default();
        let Some((version, files)) = previous(files, own) else { continue };
        let before = Matrix::new(after.project.clone(), published(&files));
        let changes = difference(&before, &after);
        found.push(PackageChanges { package: after.project, previous: version, changes });
    }
    found
}

const LOST: Rule = Rule {
    id: "INS001",
    title: "no environment loses what the previous release installed",
    severity: Error,
    provenance: BreaksRelease,
    why: "Users of that environment build from source or find nothing, although the last release had a wheel \
        for them. A warning unless `lost` is `error`.",
    source: "PEP 425; PEP 600; the file selection of pip and uv; black issue 3312, pyscn issue 760.",
    fix: "Build with the oldest system of the previous release (build-wheel: `compatibility`), or add the missing wheel. \
        `verify-dist installs --why \"<environment>\"` explains the choice for every file.",
    example: "since `sample` 0.9, alpine-3.18..3.23 aarch64 (Python 3.10..3.15, 3.13t..3.15t): wheel → nothing (no wheel for Linux with musl on aarch64)",
    check: Check::Set(lost),
    #[cfg(test)]
    fails: || fixture::Case {
        previous: Some(fixture::published(&[("sample-0.9-py3-none-any.whl", None)])),
        ..fixture::linux(fixture::Elf::default()).into()
    },
};

fn lost(set: &Set<'_>, out: &mut Findings) {
    let packages = changes(set);
    if packages.is_empty() {
        return out.not_applicable();
    }
    for PackageChanges { package, previous, changes } in packages {
        for change in changes.iter().filter(|change| change.is_loss) {
            if !set.lost_is_error {
                out.with_severity(Warning);
            }
            let message = format!("since `{package}` {previous}, {}", change.text());
            let file = change.file_after.as_deref();
            match set.dists.iter().find(|dist| Some(dist.filename.as_str()) == file) {
                Some(dist) => out.about(dist, message),
                None => out.found(message),
            }
        }
    }
}

const REQUIRED: Rule = Rule {
    id: "INS002",
    title: "every required environment gets a wheel",
    severity: Error,
    provenance: BreaksRelease,
    why: "The project promises a wheel there; without one, users build from source or find nothing.",
    source: "`require` of the configuration; the file selection of pip and uv.",
    fix: "Build the wheel that the message names; `verify-dist installs --why \"<environment>\"` shows \
        why pip does not install each file.",
    example: "`alpine-3.20 aarch64 cp312` requires a wheel of `sample` for alpine-3.20 aarch64 (Python 3.12), found nothing; build-wheel builds it with `target: aarch64-unknown-linux-musl` and `compatibility: musllinux_1_2` or older",
    check: Check::Set(required),
    #[cfg(test)]
    fails: || fixture::Case {
        require: vec!["alpine-3.20 aarch64 cp312".parse().unwrap()],
        ..fixture::linux(fixture::Elf::default()).into()
    },
};

fn required(set: &Set<'_>, out: &mut Findings) {
    if set.require.is_empty() {
        return out.not_applicable();
    }
    let matrices: BTreeMap<ProjectName, Matrix> =
        matrices(installable(set.dists)).into_iter().map(|matrix| (matrix.project.clone(), matrix)).collect();
    for requirement in set.require {
        for unmet in matrices.values().flat_map(|matrix| requirement.unmet(matrix)) {
            out.found(message(&unmet));
        }
    }
}

fn message(unmet: &Unmet) -> String {
    let advice = match &unmet.build {
        Some(Build { target, compatibility: Some(oldest) }) => {
            format!("build-wheel builds it with `target: {target}` and `compatibility: {oldest}` or older")
        }
        Some(Build { target, compatibility: None }) => {
            format!("build-wheel builds it with `target: {target}`")
        }
        None => "build-wheel has no target for it".to_owned(),
    };
    format!("{}; {advice}", unmet.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_inputs_of_build_wheel() {
        let message = |environment: &str| {
            let set = installs::matrix::Matrix::new(ProjectName::new("sample"), Vec::new());
            let requirement: installs::require::Requirement = environment.parse().unwrap();
            let text = message(&requirement.unmet(&set)[0]);
            text.split_once("; ").unwrap().1.to_owned()
        };
        assert_eq!(
            message("debian-12 s390x cp312"),
            "build-wheel builds it with `target: s390x-unknown-linux-gnu` and `compatibility: manylinux_2_36` or older"
        );
        assert_eq!(
            message("windows x86_64 cp312"),
            "build-wheel builds it with `target: x86_64-pc-windows-msvc`"
        );
        assert_eq!(message("pyodide-2024 wasm32 cp312"), "build-wheel has no target for it");
    }
}
