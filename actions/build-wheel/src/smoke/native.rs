//! Tests a wheel for this machine: installs it, imports it and starts its
//! programs.

use std::path::{Path, PathBuf};

use pydist::target::{System, Target};
use toolkit::{FileError, OutputMode, make_executable};

use super::install::install;
use super::outcome::{CheckOutcome, Expected};
use super::python::find;
use super::result::{Check, Smoke, SmokeResult};
use super::smoke_test::{ImportTask, SmokeTest};
use crate::build_result::BuildResult;
use crate::error::Error;
use crate::host::{host, starts};
use crate::plan::SmokePlan;
use crate::repair::{Executable, ProgramSystem, Root, installed};
use crate::search_path::{IS_WINDOWS, program, programs};

/// Runs the smoke test.
pub(super) fn run(
    mut smoke_test: SmokeTest<'_>,
    plan: &SmokePlan,
    wheel: &BuildResult,
) -> Result<Smoke, Error> {
    let Some(name) = wheel.name.wheel() else { return Ok(Smoke::none(SmokeResult::Off, None)) };
    let contents = &wheel.contents;
    let python = match find(&name.tags, contents.requires_python.as_deref(), plan, smoke_test.runtime) {
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
        smoke_test.run_commands(&plan.commands, &bin, Some(&environment))?;
        return Ok(smoke_test.finish(SmokeResult::Passed, None));
    }
    let is_installed = plan.requires.iter().any(|line| line == "wheel");
    let requires = !is_installed && contents.requires(python.markers.as_ref());
    let expected = Expected { contents, requires };
    if let Some(task) = ImportTask::new(wheel, requires, None) {
        let python = smoke_test.cmd(&bin.join(program("python")).display().to_string(), &bin);
        smoke_test.import(python, &task, expected)?;
    }
    for script in &contents.scripts {
        let words = match script_command(&bin, script, IS_WINDOWS) {
            Ok(words) => words,
            Err(reason) => {
                let outcome = format!("not run: {reason}");
                smoke_test.not_for_system.push(Check { command: script.clone(), outcome });
                continue;
            }
        };
        let cmd = smoke_test.cmd(&words[0], &bin).args(&words[1..]).arg("--version");
        smoke_test.must_start(&cmd, expected)?;
    }
    start_programs(&mut smoke_test, wheel, &environment, expected)?;
    Ok(smoke_test.finish(SmokeResult::Passed, None))
}

/// Starts the programs, and the scripts in packages, of a wheel in the environment.
fn start_programs(
    smoke_test: &mut SmokeTest<'_>,
    wheel: &BuildResult,
    environment: &Path,
    expected: Expected<'_>,
) -> Result<(), Error> {
    let bin = programs(environment);
    let contents = &wheel.contents;
    let site = site_packages(smoke_test, &bin);
    let installed_path = |member: &str, script: Option<&String>| {
        let (root, path) = installed(&wheel.stem(), member);
        match (script, root, &site) {
            (Some(script), ..) => Some(bin.join(script)),
            (None, Root::Data, _) => Some(environment.join(&*path)),
            (None, Root::Site, Some(site)) => Some(site.join(&*path)),
            (None, Root::Site, None) | (None, Root::Headers, _) => None,
        }
    };
    for member in &contents.package_scripts {
        if IS_WINDOWS {
            let outcome = "not run: Windows starts no script by its first line".to_owned();
            smoke_test.not_for_system.push(Check { command: member.clone(), outcome });
            continue;
        }
        let Some(path) = installed_path(member, None) else { continue };
        if let Some(reason) = lacks_interpreter(smoke_test, &path, &bin) {
            smoke_test.record(member.clone(), CheckOutcome::NotRun(reason))?;
            continue;
        }
        let cmd = smoke_test.cmd(&path.display().to_string(), &bin).arg("--version");
        smoke_test.must_start(&cmd, expected)?;
    }
    let host = host(smoke_test.runtime.env);
    for executable in &contents.executables {
        if let Some(reason) = not_for(host, executable) {
            smoke_test.record_foreign(wheel, executable, reason)?;
            continue;
        }
        let Some(path) = installed_path(&executable.member, executable.script.as_ref()) else { continue };
        // Some packages do so before they start it.
        make_executable(&path)?;
        let cmd = smoke_test.cmd(&path.display().to_string(), &bin).arg("--version");
        smoke_test.must_execute(&cmd, &bin.join(program("python")), expected)?;
    }
    Ok(())
}

/// Why this machine cannot start a program; `None` if it can.
fn not_for(host: Option<Target>, executable: &Executable) -> Option<String> {
    let platform = executable.platform.as_ref()?;
    let is_system = |host: &Target| match platform.system {
        ProgramSystem::Linux => host.is_linux(),
        ProgramSystem::Macos => host.system == System::Macos,
        ProgramSystem::Windows => host.is_windows(),
        ProgramSystem::Other => false,
    };
    let mut archs = platform.archs.iter();
    if !host.filter(is_system).is_some_and(|host| archs.any(|arch| starts(host, arch))) {
        return Some(format!("it is for {}", platform.name));
    }
    let loader = executable.interpreter.as_ref().filter(|loader| !Path::new(loader).exists());
    loader.map(|loader| format!("its loader `{loader}` is not on this machine"))
}

/// Why a script cannot start: the program in its first line is not on this machine. Scripts in
/// packages may be for other machines, or data.
fn lacks_interpreter(smoke_test: &SmokeTest<'_>, script: &Path, bin: &Path) -> Option<String> {
    let content = std::fs::read(script).ok()?;
    let first = String::from_utf8_lossy(content.split(|byte| *byte == b'\n').next()?).into_owned();
    let mut words = first.strip_prefix("#!")?.split_whitespace();
    let program = words.next()?;
    if !program.ends_with("/env") {
        return (!Path::new(program).exists())
            .then(|| format!("its interpreter `{program}` is not on this machine"));
    }
    let name = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    let path = smoke_test.path(bin, None);
    let is_found = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    (!is_found).then(|| format!("there is no `{name}` on PATH"))
}

/// The command line that starts a script in the environment; the error says why this system has no
/// way to start it. Installers replace `#!python` in a script, but add an `.exe` only for entry
/// points.
fn script_command(bin: &Path, script: &str, is_windows: bool) -> Result<Vec<String>, &'static str> {
    let words = |paths: &[&Path]| Ok(paths.iter().map(|path| path.display().to_string()).collect());
    let path = bin.join(script);
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    if !is_windows {
        return match extension.as_deref() {
            Some("bat" | "cmd") => Err("it is a batch file of Windows"),
            _ => words(&[&path]),
        };
    }
    let launcher = bin.join(format!("{script}.exe"));
    if launcher.is_file() {
        return words(&[&launcher]);
    }
    let content = std::fs::read(&path).unwrap_or_default();
    let first = String::from_utf8_lossy(content.split(|byte| *byte == b'\n').next().unwrap_or_default());
    match extension.as_deref() {
        Some("bat" | "cmd") => words(&[&path]),
        Some("py") => words(&[&bin.join(program("python")), &path]),
        _ if first.starts_with("#!") && first.contains("python") => {
            words(&[&bin.join(program("python")), &path])
        }
        _ => Err("Windows can run only programs, batch files and Python scripts"),
    }
}

/// The environment's `site-packages` directory.
fn site_packages(smoke_test: &SmokeTest<'_>, bin: &Path) -> Option<PathBuf> {
    let python = smoke_test.cmd(&bin.join(program("python")).display().to_string(), bin);
    // Windows prints to a pipe in the code page.
    let cmd =
        python.args(["-X", "utf8", "-I", "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"]);
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
            assert_eq!(script_command(bin, name, true).ok(), expected, "{name}");
            let elsewhere = (name != "tool.bat").then(|| vec![path(name)]);
            assert_eq!(script_command(bin, name, false).ok(), elsewhere, "{name}");
        }
    }
}
