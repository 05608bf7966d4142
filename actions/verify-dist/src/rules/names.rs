//! `NAM`: file names.

use std::str::FromStr as _;

use pep440_rs::Version;
use pydist::filename::DistName;
use pydist::name;

use super::Provenance::{BreaksInstall, Hygiene, PypiRejects};
use super::Severity::{Error, Warning};
use super::{Check, Out, Rule};
use crate::facts::Dist;

const FORMAT: &str =
    "PyPA \"Binary distribution format\" (PEP 427) and \"Source distribution format\" (PEP 625).";
const BACKEND: &str =
    "Do not rename distributions; let the build backend name them. To change tags use `wheel tags`.";

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "NAM001",
        title: "the file name follows the grammar",
        severity: Error,
        provenance: PypiRejects,
        why: "Installers read project, version and tags from the file name alone.",
        source: FORMAT,
        fix: BACKEND,
        check: Check::Dist(grammar),
    },
    Rule {
        id: "NAM002",
        title: "file name and metadata name the same project",
        severity: Error,
        provenance: PypiRejects,
        why: "Installers refuse a file that turns out to be another project.",
        source: FORMAT,
        fix: BACKEND,
        check: Check::Dist(project),
    },
    Rule {
        id: "NAM003",
        title: "file name and metadata have the same version",
        severity: Error,
        provenance: PypiRejects,
        why: "Installers refuse a file that turns out to be another version.",
        source: FORMAT,
        fix: BACKEND,
        check: Check::Dist(version),
    },
    Rule {
        id: "NAM004",
        title: "a source distribution's project name is normalised",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses source distributions that are not called by the normalised name.",
        source: "PEP 625.",
        fix: "Use a build backend that follows PEP 625 (maturin 1.5, setuptools 69.3, hatchling 1.13 or newer).",
        check: Check::Dist(normal_sdist),
    },
    Rule {
        id: "NAM005",
        title: "project name and version of a wheel are normalised",
        severity: Warning,
        provenance: Hygiene,
        why: "Some tools compare file names literally.",
        source: FORMAT,
        fix: "Use a current build backend.",
        check: Check::Dist(normal_wheel),
    },
    Rule {
        id: "NAM006",
        title: "the version is a public one",
        severity: Error,
        provenance: PypiRejects,
        why: "The index refuses local versions (`1.0+local`).",
        source: "PEP 440; Warehouse, `packaging/forklift`.",
        fix: "Drop the part from `+` on. With setuptools-scm: `local_scheme = \"no-local-version\"`.",
        check: Check::Dist(local),
    },
    Rule {
        id: "NAM007",
        title: "the `.dist-info` folder is named like the file",
        severity: Error,
        provenance: BreaksInstall,
        why: "Installers look the metadata up by the file's name.",
        source: FORMAT,
        fix: BACKEND,
        check: Check::Wheel(dist_info),
    },
];

fn grammar(dist: &Dist, out: &mut Out) {
    if let Err(error) = &dist.name {
        out.found(error.to_string());
    }
}

fn project(dist: &Dist, out: &mut Out) {
    let (Ok(file), Some(metadata)) = (&dist.name, dist.metadata()) else { return out.not_applicable() };
    if file.project() != name::normalize(&metadata.name) {
        out.found(format!("the file name says `{}`, the metadata say `{}`", file.project(), metadata.name));
    }
}

fn version(dist: &Dist, out: &mut Out) {
    let (Ok(file), Some(metadata)) = (&dist.name, dist.metadata()) else { return out.not_applicable() };
    let parse = |text: &str| Version::from_str(&text.replace('_', "-")).ok();
    let (left, right) = (parse(file.version()), parse(&metadata.version));
    if right.is_none() {
        out.found(format!("the metadata's version `{}` is not of PEP 440", metadata.version));
    } else if left != right {
        out.found(format!(
            "the file name says `{}`, the metadata say `{}`",
            file.version(),
            metadata.version
        ));
    }
}

fn normal_sdist(dist: &Dist, out: &mut Out) {
    let Ok(DistName::Sdist(file)) = &dist.name else { return out.not_applicable() };
    if file.name != name::escape(&file.name) {
        out.found(format!("expected `{}-…`, found `{}-…`", name::escape(&file.name), file.name));
    }
}

fn normal_wheel(dist: &Dist, out: &mut Out) {
    let Some(file) = dist.wheel_name() else { return out.not_applicable() };
    if file.name != name::escape(&file.name) {
        out.found(format!("expected the name `{}`, found `{}`", name::escape(&file.name), file.name));
    }
    if let Ok(version) = Version::from_str(&file.version.replace('_', "-"))
        && version.to_string() != file.version
    {
        out.found(format!("expected the version `{version}`, found `{}`", file.version));
    }
}

fn local(dist: &Dist, out: &mut Out) {
    if let Ok(version) = Version::from_str(&dist.version())
        && version.is_local()
    {
        out.found(format!("`{version}` is a local version"));
    }
}

fn dist_info(dist: &Dist, wheel: &crate::facts::Wheel, out: &mut Out) {
    match &wheel.dist_infos[..] {
        [] => out.found("there is no `.dist-info` folder"),
        [folder] => {
            let Some(file) = dist.wheel_name() else { return out.not_applicable() };
            let stem = folder.trim_end_matches(".dist-info");
            let same = stem.rsplit_once('-').is_some_and(|(project, version)| {
                let parse = |text: &str| Version::from_str(&text.replace('_', "-")).ok();
                name::normalize(project) == name::normalize(&file.name)
                    && parse(version) == parse(&file.version)
            });
            if !same {
                out.found(format!("expected `{}`, found `{folder}`", file.dist_info()));
            }
        }
        several => out.found(format!("there are several: {}", super::some(several))),
    }
}
