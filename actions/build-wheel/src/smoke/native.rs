//! A wheel for this machine: installed, imported, started.

use std::path::{Path, PathBuf};

use toolkit::{FileError, OutputMode, make_executable};

use super::install::install;
use super::outcome::Outcome;
use super::python::find;
use super::result::{Smoke, SmokeResult};
use super::trial::{ImportTask, Trial};
use crate::build_result::BuildResult;
use crate::error::Error;
use crate::plan::SmokePlan;
use crate::repair::{Root, installed};
use crate::search_path::{IS_WINDOWS, program, programs};

/// Tries the wheel out.
pub(super) fn run(mut trial: Trial<'_>, plan: &SmokePlan, wheel: &BuildResult) -> Result<Smoke, Error> {
    let Some(name) = wheel.name.wheel() else { return Ok(Smoke::none(SmokeResult::Off, None)) };
    let python = match find(&name.tags, plan, trial.runtime) {
        Ok(python) => python,
        Err(reason) => return Ok(Smoke::none(SmokeResult::Skipped, Some(reason))),
    };
    let environment = trial.home.join("environment");
    if let Err((command, source)) = install(plan, &python.path, &environment, &wheel.path, trial.runtime) {
        trial.note(command, Outcome::Fails(source))?;
    }
    let bin = programs(&environment);
    for (line, cmd) in
        plan.commands.iter().map(|line| (line, trial.cmd("sh", &bin).args(["-c", line]))).collect::<Vec<_>>()
    {
        trial.must_succeed(&cmd, line.clone())?;
    }
    if !plan.commands.is_empty() {
        return Ok(trial.finish(SmokeResult::Passed, None));
    }
    let contents = &wheel.contents;
    let task = ImportTask {
        distribution: &name.name,
        modules: &contents.modules,
        extensions: extensions(wheel),
        entry_points: contents.has_entry_points,
        requires: contents.requires && !plan.requires.iter().any(|line| line == "wheel"),
        site: None,
    };
    if !task.modules.is_empty() || !task.extensions.is_empty() || task.entry_points {
        let python = trial.cmd(&bin.join(program("python")).display().to_string(), &bin);
        trial.import(python, &task)?;
    }
    for script in &contents.scripts {
        let path = bin.join(program(script));
        if IS_WINDOWS && !path.is_file() {
            trial.note(script.clone(), Outcome::NotRun("Windows starts no scripts".to_owned()))?;
            continue;
        }
        let cmd = trial.cmd(&path.display().to_string(), &bin).arg("--version");
        trial.must_start(&cmd, task.requires)?;
    }
    let site = site_packages(&trial, &bin);
    for executable in &contents.executables {
        let (root, path) = installed(&wheel.stem(), &executable.member);
        let place = match (&executable.script, root, &site) {
            (Some(script), ..) => bin.join(script),
            (None, Root::Data, _) => environment.join(&*path),
            (None, Root::Site, Some(site)) => site.join(&*path),
            (None, Root::Site, None) => continue,
        };
        // Some packages do that themselves before they start it.
        make_executable(&place)?;
        let cmd = trial.cmd(&place.display().to_string(), &bin).arg("--version");
        trial.must_start(&cmd, false)?;
    }
    Ok(trial.finish(SmokeResult::Passed, None))
}

/// The shared libraries to load, by their paths below `site-packages`.
pub(super) fn extensions(wheel: &BuildResult) -> Vec<(String, bool)> {
    let stem = wheel.stem();
    let extensions = wheel.contents.extensions.iter().filter_map(|extension| {
        let (root, path) = installed(&stem, &extension.member);
        (root == Root::Site).then(|| (path.into_owned(), extension.is_module))
    });
    extensions.collect()
}

/// Where the environment has its packages.
fn site_packages(trial: &Trial<'_>, bin: &Path) -> Option<PathBuf> {
    let python = trial.cmd(&bin.join(program("python")).display().to_string(), bin);
    let cmd = python.args(["-I", "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"]);
    let output = cmd.run(trial.runtime.ui, OutputMode::Quiet, std::time::Duration::from_secs(60)).ok()?;
    Some(PathBuf::from(output.stdout.trim()))
}

/// Copies what `test-sources` names to where the commands run.
pub(super) fn copy_sources(plan: &SmokePlan, project: &Path, to: &Path) -> Result<(), FileError> {
    std::fs::create_dir_all(to).map_err(FileError::new("create", to))?;
    for source in &plan.sources {
        let from = project.join(source);
        crate::files::copy_tree(&from, &to.join(source), &|_| true)?;
    }
    Ok(())
}
