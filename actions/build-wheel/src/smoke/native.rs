//! Tests a wheel for this machine: installs it, imports it and starts its
//! programs.

use std::path::{Path, PathBuf};

use toolkit::{FileError, OutputMode, make_executable};

use super::install::install;
use super::outcome::CheckOutcome;
use super::python::find;
use super::result::{Check, Smoke, SmokeResult};
use super::smoke_test::{ImportTask, SmokeTest};
use crate::build_result::BuildResult;
use crate::error::Error;
use crate::plan::SmokePlan;
use crate::repair::{Root, installed};
use crate::search_path::{IS_WINDOWS, program, programs};

/// Runs the smoke test.
pub(super) fn run(
    mut smoke_test: SmokeTest<'_>,
    plan: &SmokePlan,
    wheel: &BuildResult,
) -> Result<Smoke, Error> {
    let Some(name) = wheel.name.wheel() else { return Ok(Smoke::none(SmokeResult::Off, None)) };
    let python = match find(&name.tags, plan, smoke_test.runtime) {
        Ok(python) => python,
        Err(reason) => return Ok(Smoke::none(SmokeResult::Skipped, Some(reason))),
    };
    let environment = smoke_test.home.join("environment");
    if let Err((command, source)) = install(plan, &python.path, &environment, &wheel.path, smoke_test.runtime)
    {
        smoke_test.record(command, CheckOutcome::Fails(source))?;
    }
    let bin = programs(&environment);
    if !plan.commands.is_empty() {
        smoke_test.run_commands(&plan.commands, &bin)?;
        return Ok(smoke_test.finish(SmokeResult::Passed, None));
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
        let python = smoke_test.cmd(&bin.join(program("python")).display().to_string(), &bin);
        smoke_test.import(python, &task)?;
    }
    for script in &contents.scripts {
        let Some(words) = script_command(&bin, script, IS_WINDOWS) else {
            let outcome = "not run: Windows can run only programs, batch files and Python scripts";
            smoke_test.not_for_system.push(Check { command: script.clone(), outcome: outcome.to_owned() });
            continue;
        };
        let cmd = smoke_test.cmd(&words[0], &bin).args(&words[1..]).arg("--version");
        smoke_test.must_start(&cmd, task.requires)?;
    }
    let site = site_packages(&smoke_test, &bin);
    for executable in &contents.executables {
        let (root, path) = installed(&wheel.stem(), &executable.member);
        let installed_path = match (&executable.script, root, &site) {
            (Some(script), ..) => bin.join(script),
            (None, Root::Data, _) => environment.join(&*path),
            (None, Root::Site, Some(site)) => site.join(&*path),
            (None, Root::Site, None) => continue,
        };
        // Some packages do so before they start it.
        make_executable(&installed_path)?;
        let cmd = smoke_test.cmd(&installed_path.display().to_string(), &bin).arg("--version");
        smoke_test.must_start(&cmd, false)?;
    }
    Ok(smoke_test.finish(SmokeResult::Passed, None))
}

/// The command line that starts a script in the environment; `None` if Windows has no way to
/// start it. Installers replace `#!python` in a script, but add an `.exe` only for entry points.
fn script_command(bin: &Path, script: &str, is_windows: bool) -> Option<Vec<String>> {
    let words = |paths: &[&Path]| Some(paths.iter().map(|path| path.display().to_string()).collect());
    let path = bin.join(script);
    if !is_windows {
        return words(&[&path]);
    }
    let launcher = bin.join(format!("{script}.exe"));
    if launcher.is_file() {
        return words(&[&launcher]);
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let content = std::fs::read(&path).unwrap_or_default();
    let first = String::from_utf8_lossy(content.split(|byte| *byte == b'\n').next().unwrap_or_default());
    match extension.as_deref() {
        Some("bat" | "cmd") => words(&[&path]),
        Some("py") => words(&[&bin.join(program("python")), &path]),
        _ if first.starts_with("#!") && first.contains("python") => {
            words(&[&bin.join(program("python")), &path])
        }
        _ => None,
    }
}

/// The shared libraries to load: paths below `site-packages`, and whether each
/// is known to be a Python module.
pub(super) fn extensions(wheel: &BuildResult) -> Vec<(String, bool)> {
    let stem = wheel.stem();
    let extensions = wheel.contents.extensions.iter().filter_map(|extension| {
        let (root, path) = installed(&stem, &extension.member);
        (root == Root::Site).then(|| (path.into_owned(), extension.is_module))
    });
    extensions.collect()
}

/// The environment's `site-packages` directory.
fn site_packages(smoke_test: &SmokeTest<'_>, bin: &Path) -> Option<PathBuf> {
    let python = smoke_test.cmd(&bin.join(program("python")).display().to_string(), bin);
    let cmd = python.args(["-I", "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"]);
    let output =
        cmd.run(smoke_test.runtime.ui, OutputMode::Quiet, std::time::Duration::from_secs(60)).ok()?;
    Some(PathBuf::from(output.stdout.trim()))
}

/// Copies `test-sources` to the commands' working directory.
pub(super) fn copy_sources(plan: &SmokePlan, project: &Path, to: &Path) -> Result<(), FileError> {
    std::fs::create_dir_all(to).map_err(FileError::new("create", to))?;
    for source in &plan.sources {
        let from = project.join(source);
        crate::files::copy_tree(&from, &to.join(source), &|_| true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_starts_batch_files_and_the_scripts_of_python() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path();
        for (name, content) in [
            ("tool", "#!C:\\environment\\Scripts\\python.exe\r\nprint(1)\n"),
            ("tool.py", "print(1)\n"),
            ("tool.bat", "@echo off\r\n"),
            ("tool.sh", "#!/bin/sh\necho\n"),
            ("other", "#!/bin/sh\npython tool\n"),
            ("launched", "#!/bin/sh\n"),
            ("launched.exe", "MZ"),
        ] {
            std::fs::write(bin.join(name), content).unwrap();
        }
        let python = bin.join(program("python")).display().to_string();
        let path = |name: &str| bin.join(name).display().to_string();
        for (name, expected) in [
            ("tool", Some(vec![python.clone(), path("tool")])),
            ("tool.py", Some(vec![python, path("tool.py")])),
            ("tool.bat", Some(vec![path("tool.bat")])),
            ("tool.sh", None),
            ("other", None),
            ("launched", Some(vec![path("launched.exe")])),
        ] {
            assert_eq!(script_command(bin, name, true), expected, "{name}");
            assert_eq!(script_command(bin, name, false), Some(vec![path(name)]), "{name}");
        }
    }
}
