//! `NAM`: file names.

use std::str::FromStr as _;

use pep440_rs::Version;
use pydist::filename::DistName;
use pydist::name;

use crate::facts::Dist;
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, Hygiene, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Out, Rule, some};

const FORMAT: &str =
    "PyPA \"Binary distribution format\" (PEP 427) and \"Source distribution format\" (PEP 625).";
const BACKEND: &str =
    "Do not rename distributions; let the build backend name them. To change tags use `wheel tags`.";

pub(super) static RULES: &[Rule] = &[GRAMMAR, PROJECT, VERSION, NORMAL_SDIST, NORMAL_WHEEL, LOCAL, DIST_INFO];

const GRAMMAR: Rule = Rule {
    id: "NAM001",
    title: "the file name follows the grammar",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers read project, version and tags from the file name alone.",
    source: FORMAT,
    fix: BACKEND,
    example: "",
    check: Check::Dist(grammar),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.0-any.whl"),
};

fn grammar(dist: &Dist, out: &mut Out) {
    if let Err(error) = &dist.name {
        out.found(error.to_string());
    }
}

const PROJECT: Rule = Rule {
    id: "NAM002",
    title: "file name and metadata name the same project",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers refuse a file that turns out to be another project.",
    source: FORMAT,
    fix: BACKEND,
    example: "",
    check: Check::Dist(project),
    #[cfg(test)]
    fails: || fixture::renamed("simple-1.0-py3-none-any.whl"),
};

fn project(dist: &Dist, out: &mut Out) {
    let (Ok(file), Some(metadata)) = (&dist.name, dist.metadata()) else { return out.not_applicable() };
    if file.project() != name::normalize(&metadata.name) {
        out.found(format!("the file name says `{}`, the metadata say `{}`", file.project(), metadata.name));
    }
}

const VERSION: Rule = Rule {
    id: "NAM003",
    title: "file name and metadata have the same version",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers refuse a file that turns out to be another version.",
    source: FORMAT,
    fix: BACKEND,
    example: "",
    check: Check::Dist(version),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.1-py3-none-any.whl"),
};

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

const NORMAL_SDIST: Rule = Rule {
    id: "NAM004",
    title: "a source distribution's project name is normalised",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses source distributions that are not called by the normalised name.",
    source: "PEP 625.",
    fix: "Use a build backend that follows PEP 625 (maturin 1.5, setuptools 69.3, hatchling 1.13 or newer).",
    example: "",
    check: Check::Dist(normal_sdist),
    #[cfg(test)]
    fails: || ("Sam.ple-1.0.tar.gz".to_owned(), fixture::sdist(|_| ()).1).into(),
};

fn normal_sdist(dist: &Dist, out: &mut Out) {
    let Ok(DistName::Sdist(file)) = &dist.name else { return out.not_applicable() };
    if file.name != name::escape(&file.name) {
        out.found(format!("expected `{}-…`, found `{}-…`", name::escape(&file.name), file.name));
    }
}

const NORMAL_WHEEL: Rule = Rule {
    id: "NAM005",
    title: "project name and version of a wheel are normalised",
    severity: Warning,
    provenance: Hygiene,
    why: "Some tools compare file names literally.",
    source: FORMAT,
    fix: "Use a current build backend.",
    example: "",
    check: Check::Dist(normal_wheel),
    #[cfg(test)]
    fails: || fixture::renamed("Sample-1.0-py3-none-any.whl"),
};

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

const LOCAL: Rule = Rule {
    id: "NAM006",
    title: "the version is a public one",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses local versions (`1.0+local`).",
    source: "PEP 440; Warehouse, `packaging/forklift`.",
    fix: "Drop the part from `+` on. With setuptools-scm: `local_scheme = \"no-local-version\"`.",
    example: "",
    check: Check::Dist(local),
    #[cfg(test)]
    fails: || fixture::metadata("Version: 1.0\n", "Version: 1.0+local\n"),
};

fn local(dist: &Dist, out: &mut Out) {
    if let Ok(version) = Version::from_str(&dist.version())
        && version.is_local()
    {
        out.found(format!("`{version}` is a local version"));
    }
}

const DIST_INFO: Rule = Rule {
    id: "NAM007",
    title: "the `.dist-info` folder is named like the file",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers look the metadata up by the file's name.",
    source: FORMAT,
    fix: BACKEND,
    example: "",
    check: Check::Wheel(dist_info),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.0.1-py3-none-any.whl"),
};

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
        several => out.found(format!("there are several: {}", some(several))),
    }
}
