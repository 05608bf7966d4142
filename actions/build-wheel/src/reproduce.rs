//! A second build, elsewhere and later, that must give the same bytes.

use std::path::{Path, PathBuf};

use pydist::filename::DistName;
use toolkit::{Cmd, FileError, ProcessError};

use crate::error::Error;
use crate::inputs::Backend;
use crate::plan::Plan;
use crate::run::{Made, Ports};
use crate::{backend, facts, repair, run};

/// What marks a folder as holding no sources: caches (Cargo's target folder
/// among them) and virtual environments.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", "pyvenv.cfg"];

/// Builds a second time and compares with `first`.
pub(crate) fn verify(plan: &Plan, first: &Made, staging: &Path, ports: &Ports<'_>) -> Result<(), Error> {
    ports.ui.info("building a second time");
    let second = match (plan.backend, &plan.build) {
        (_, None) => run::make(plan, &backend::Built { name: first_name(plan), path: plan.project.clone() })?,
        (_, Some(cmd)) if cmd.program == "nix" => {
            // Nix itself builds in a fresh folder, and compares the outputs.
            let rebuild = Plan { build: Some(cmd.clone().arg("--rebuild")), ..plan.clone() };
            let built = backend::build(&rebuild, staging, ports.ui).map_err(as_difference)?;
            run::make(plan, &built)?
        }
        (_, Some(cmd)) => {
            let elsewhere = staging.join("elsewhere");
            let folder = copy_sources(&plan.project, &elsewhere)?;
            let out = elsewhere.join("out");
            std::fs::create_dir_all(&out).map_err(FileError::new("create", &out))?;
            let target = elsewhere.join("target").display().to_string();
            let cmd = Cmd { directory: Some(folder), ..cmd.clone() }.env("CARGO_TARGET_DIR", target);
            let again = Plan { build: Some(cmd), ..plan.clone() };
            run::make(plan, &backend::build(&again, &out, ports.ui)?)?
        }
    };
    match difference(plan.backend, first, &second) {
        None => Ok(()),
        Some(difference) => Err(Error::NotReproducible(difference)),
    }
}

/// Nix fails where its outputs differ; these are its words for it.
fn as_difference(error: Error) -> Error {
    match &error {
        Error::Build(ProcessError::Failed { stderr, .. }) if stderr.contains("may not be deterministic") => {
            let line = stderr.lines().find(|line| line.contains("may not be deterministic"));
            Error::NotReproducible(line.unwrap_or_default().trim_start_matches("error: ").to_owned())
        }
        _ => error,
    }
}

fn first_name(plan: &Plan) -> String {
    plan.project.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Names the first difference.
fn difference(backend: Backend, first: &Made, second: &Made) -> Option<String> {
    if first.bytes == second.bytes && first.name == second.name {
        return None;
    }
    if first.name != second.name {
        return Some(format!("one is called `{}`, the other `{}`", first.name, second.name));
    }
    let place = first.bytes.iter().zip(&second.bytes).position(|(a, b)| a != b);
    let place = place.unwrap_or(first.bytes.len().min(second.bytes.len()));
    let in_archive = (backend != Backend::Sdist && matches!(first.name, DistName::Wheel(_)))
        .then(|| repair::first_difference(&first.bytes, &second.bytes))
        .flatten();
    Some(in_archive.unwrap_or_else(|| format!("from byte {place} of the archive on")))
}

/// Copies the repository (or, outside of one, the project) to `to`; gives the
/// project's place there.
fn copy_sources(project: &Path, to: &Path) -> Result<PathBuf, Error> {
    let project = project.canonicalize().map_err(FileError::new("read", project))?;
    let root = &facts::root(&project);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Copy { path, source }
    };
    let wanted = |entry: &walkdir::DirEntry| {
        let folder = entry.file_type().is_dir();
        !(folder && MARKS.iter().any(|mark| entry.path().join(mark).exists()))
    };
    for entry in walkdir::WalkDir::new(root).into_iter().filter_entry(wanted) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(root).to_owned();
            Error::Copy { path, source: error.into() }
        })?;
        let path = entry.path();
        let place = to.join(path.strip_prefix(root).unwrap_or(path));
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&place).map_err(failed(&place))?;
        } else if entry.file_type().is_symlink() {
            #[cfg(unix)]
            {
                let link = std::fs::read_link(path).map_err(failed(path))?;
                std::os::unix::fs::symlink(link, &place).map_err(failed(&place))?;
            }
        } else if entry.file_type().is_file() {
            std::fs::copy(path, &place).map_err(failed(path))?;
        }
    }
    Ok(to.join(project.strip_prefix(root).unwrap_or(Path::new(""))))
}
