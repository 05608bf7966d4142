//! `NAM`: file names.

use std::str::FromStr as _;

use pep440_rs::Version;
use pydist::filename::DistName;
use pydist::name::ProjectName;

use crate::dist::{Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule, some};

const FORMAT: &str =
    "PyPA \"Binary distribution format\" (PEP 427) and \"Source distribution format\" (PEP 625).";
const BACKEND: &str =
    "Do not rename distributions; let the build backend name them. To change tags, use `wheel tags`.";

pub(super) static RULES: &[Rule] =
    &[GRAMMAR, PROJECT, VERSION, NORMAL_SDIST, NORMAL_WHEEL, LOCAL, DIST_INFO, ONE_DIST_INFO];

const GRAMMAR: Rule = Rule {
    id: "NAM001",
    title: "the file name follows the grammar",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers read project, version and tags only from the file name.",
    source: FORMAT,
    fix: BACKEND,
    example: "sample-1.0-any.whl: expected five or six parts (name-version[-build]-python-abi-platform.whl), found 3",
    check: Check::Dist(grammar),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.0-any.whl"),
};

fn grammar(dist: &Dist, out: &mut Findings) {
    if let Err(error) = &dist.name {
        out.found(error.to_string());
    }
    // The index stores a wheel's metadata beside it.
    if dist.wheel_name().is_some() && dist.filename.len() > NAME_LIMIT {
        out.found(format!("the name has {} bytes, the limit is {NAME_LIMIT}", dist.filename.len()));
    }
}

/// 255 bytes minus the length of `.metadata`.
const NAME_LIMIT: usize = 246;

const PROJECT: Rule = Rule {
    id: "NAM002",
    title: "file name and metadata name the same project",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers reject a file of another project.",
    source: FORMAT,
    fix: BACKEND,
    example: "simple-1.0-py3-none-any.whl: the file name has `simple`, the metadata has `sample`",
    check: Check::Dist(project),
    #[cfg(test)]
    fails: || fixture::renamed("simple-1.0-py3-none-any.whl"),
};

fn project(dist: &Dist, out: &mut Findings) {
    let (Ok(file), Some(metadata)) = (&dist.name, dist.metadata()) else { return out.not_applicable() };
    if file.project() != ProjectName::new(&metadata.name) {
        out.found(format!("the file name has `{}`, the metadata has `{}`", file.project(), metadata.name));
    }
}

const VERSION: Rule = Rule {
    id: "NAM003",
    title: "file name and metadata have the same version",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers reject a file of another version.",
    source: FORMAT,
    fix: BACKEND,
    example: "sample-1.1-py3-none-any.whl: the file name has version `1.1`, the metadata `1.0`",
    check: Check::Dist(version),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.1-py3-none-any.whl"),
};

fn version(dist: &Dist, out: &mut Findings) {
    let (Ok(file), Some(metadata)) = (&dist.name, dist.metadata()) else { return out.not_applicable() };
    let (left, right) = (file.normal_version(), Version::from_str(&metadata.version).ok());
    if right.is_none() {
        out.found(format!("the version `{}` in the metadata is not a version (PEP 440)", metadata.version));
    } else if left != right {
        out.found(format!(
            "the file name has version `{}`, the metadata `{}`",
            file.version(),
            metadata.version
        ));
    }
}

const NORMAL_SDIST: Rule = Rule {
    id: "NAM004",
    title: "a source distribution has the normalized name and version",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI accepts only `name-version.tar.gz` with the normalized name and version.",
    source: "PEP 625; Warehouse, `forklift/legacy.py`.",
    fix: "Use a build backend that follows PEP 625 (maturin 1.5, setuptools 69.3, hatchling 1.13 or newer).",
    example: "Sam.ple-1.0.tar.gz: expected `sam_ple-1.0.tar.gz`",
    check: Check::Dist(normal_sdist),
    #[cfg(test)]
    fails: || ("Sam.ple-1.0.tar.gz".to_owned(), fixture::sdist(|_| ()).1).into(),
};

fn normal_sdist(dist: &Dist, out: &mut Findings) {
    let Ok(DistName::Sdist(file)) = &dist.name else { return out.not_applicable() };
    let Some(version) = dist.name.as_ref().ok().and_then(DistName::normal_version) else { return };
    let expected = format!("{}-{version}.tar.gz", ProjectName::new(&file.name).escaped());
    if dist.filename != expected {
        out.found(format!("expected `{expected}`"));
    }
}

const NORMAL_WHEEL: Rule = Rule {
    id: "NAM005",
    title: "a wheel has the normalized name",
    severity: Error,
    provenance: PypiRejects,
    why: "Since January 2026, PyPI rejects wheels with another spelling. A warning for the version, which some tools \
        compare literally.",
    source: "PEP 427; Warehouse, `forklift/legacy.py`.",
    fix: "Use a current build backend.",
    example: "Sample-1.0-py3-none-any.whl: expected the name `sample`, found `Sample`",
    check: Check::Dist(normal_wheel),
    #[cfg(test)]
    fails: || fixture::renamed("Sample-1.0-py3-none-any.whl"),
};

fn normal_wheel(dist: &Dist, out: &mut Findings) {
    let Some(file) = dist.wheel_name() else { return out.not_applicable() };
    if file.name != ProjectName::new(&file.name).escaped() {
        out.found(format!(
            "expected the name `{}`, found `{}`",
            ProjectName::new(&file.name).escaped(),
            file.name
        ));
    }
    if let Ok(version) = Version::from_str(&file.version)
        && version.to_string() != file.version
    {
        out.with_severity(Warning)
            .found(format!("expected the version `{version}`, found `{}`", file.version));
    }
}

const LOCAL: Rule = Rule {
    id: "NAM006",
    title: "the version is public",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects local versions (`1.0+local`).",
    source: "PEP 440; Warehouse, `packaging/forklift`.",
    fix: "Drop the part from `+` on. With setuptools-scm: `local_scheme = \"no-local-version\"`.",
    example: "sample-1.0-py3-none-any.whl: `1.0+local` is a local version",
    check: Check::Dist(local),
    #[cfg(test)]
    fails: || fixture::metadata("Version: 1.0\n", "Version: 1.0+local\n"),
};

fn local(dist: &Dist, out: &mut Findings) {
    if let Ok(version) = Version::from_str(&dist.version())
        && version.is_local()
    {
        out.found(format!("`{version}` is a local version"));
    }
}

const DIST_INFO: Rule = Rule {
    id: "NAM007",
    title: "the `.dist-info` directory is named after the file",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI and installers look up the metadata by the first two parts of the file name, as spelled there.",
    source: "PyPA \"Binary distribution format\"; Warehouse, `forklift/legacy.py`.",
    fix: BACKEND,
    example: "sample-1.0.1-py3-none-any.whl: expected `sample-1.0.1.dist-info`, found `sample-1.0.dist-info`",
    check: Check::Wheel(dist_info),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.0.1-py3-none-any.whl"),
};

fn dist_info(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(file) = dist.wheel_name() else { return out.not_applicable() };
    let expected = file.dist_info();
    if !wheel.dist_infos.contains(&expected) {
        match wheel.dist_info() {
            Some(found) => out.found(format!("expected `{expected}`, found `{found}`")),
            None => out.found(format!("`{expected}` is missing")),
        }
    }
}

const ONE_DIST_INFO: Rule = Rule {
    id: "NAM008",
    title: "there is one `.dist-info` directory",
    severity: Error,
    provenance: BreaksInstall,
    why: "With several, installers reject the wheel or record the wrong metadata.",
    source: FORMAT,
    fix: BACKEND,
    example: "sample-1.0-py3-none-any.whl: found `sample-1.0.dist-info`, `other-1.0.dist-info`",
    check: Check::Wheel(one_dist_info),
    #[cfg(test)]
    fails: || fixture::plus("other-1.0.dist-info/METADATA", ""),
};

fn one_dist_info(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.dist_infos.len() > 1 {
        out.found(format!("found {}", some(&wheel.dist_infos)));
    }
}
