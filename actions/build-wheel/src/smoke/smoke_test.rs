//! A smoke test in progress: runs commands in isolation and records their
//! outcomes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pydist::tags::{Platform, TagSet};
use serde::Serialize;
use toolkit::{Cmd, CommandOutput, Env, FileError, OutputMode, ProcessError};

use super::outcome::{CheckOutcome, Expected, import_outcome, start_outcome};
use super::result::{Check, Smoke, SmokeError, SmokeResult};
use crate::build_result::BuildResult;
use crate::error::Error;
use crate::isolation::Isolation;
use crate::repair::{Executable, ProgramPlatform, ProgramSystem, Root, installed};
use crate::runtime::Runtime;
use crate::search_path::{IS_WINDOWS, shell};

/// The time limit of each check of this program's own.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The time limit of `smoke-command`, which may run a whole test suite.
const COMMAND_LIMIT: Duration = Duration::from_secs(3600);

/// The time limit of all imports together.
const IMPORT_LIMIT: Duration = Duration::from_secs(300);

/// The variables with the home and temporary directories.
const HOME_VARIABLES: [&str; 5] = ["HOME", "TMPDIR", "USERPROFILE", "TEMP", "TMP"];

/// The variables of Windows itself, which its programs expect.
const WINDOWS_VARIABLES: [&str; 19] = [
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "COMSPEC",
    "PATHEXT",
    "NUMBER_OF_PROCESSORS",
    "PROCESSOR_ARCHITECTURE",
    "PROCESSOR_ARCHITEW6432",
    "WINDIR",
    "PROGRAMDATA",
    "PROGRAMFILES",
    "PROGRAMFILES(X86)",
    "PROGRAMW6432",
    "COMMONPROGRAMFILES",
    "ALLUSERSPROFILE",
    "PUBLIC",
    "OS",
    "COMPUTERNAME",
    "USERNAME",
    "USERDOMAIN",
];

/// The variables of a user's profile on Windows, with the directories below it.
const PROFILE_VARIABLES: [(&str, [&str; 2]); 2] =
    [("APPDATA", ["AppData", "Roaming"]), ("LOCALAPPDATA", ["AppData", "Local"])];

/// The prefix of the import script's own output.
const OUTPUT_PREFIX: &str = "build-wheel-check:";

const IMPORT_SCRIPT: &str = include_str!("check.py");

/// Executes a program without the fallback to `sh`, with the signals that Python ignores. The exit
/// code is that of shells.
const EXECUTE_SCRIPT: &str = "\
import os, signal, sys
for name in ('SIGPIPE', 'SIGXFSZ'):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
try:
    os.execv(sys.argv[1], sys.argv[1:])
except OSError as error:
    sys.stderr.write('cannot execute: %s\\n' % error)
    sys.exit(126)
";

/// The input of the import script.
#[derive(Debug, Serialize)]
pub(super) struct ImportTask<'t> {
    distribution: &'t str,
    modules: &'t [String],
    own: &'t BTreeSet<String>,
    /// The root, the path below it, and whether it is known to be a module.
    extensions: Vec<(&'static str, String, bool)>,
    libraries: &'t BTreeSet<String>,
    external: &'t BTreeSet<String>,
    entry_points: bool,
    pub(super) requires: bool,
    site: Option<String>,
    data: Option<String>,
}

impl<'t> ImportTask<'t> {
    /// The imports of a wheel. `requires`: it depends on distributions that are not installed.
    /// `prefix`: where it is installed, with its modules in `site`; the test Python's own
    /// directories are the default.
    pub(super) fn new(wheel: &'t BuildResult, requires: bool, prefix: Option<&Path>) -> Option<Self> {
        let contents = &wheel.contents;
        let stem = wheel.stem();
        let extensions = contents.extensions.iter().filter_map(|extension| {
            let (root, path) = installed(&stem, &extension.member);
            let root = match root {
                Root::Site => "site",
                Root::Data => "data",
                Root::Headers => return None,
            };
            Some((root, path.into_owned(), extension.is_module))
        });
        let task = Self {
            distribution: &wheel.name.wheel()?.name,
            modules: &contents.modules,
            own: &contents.own,
            extensions: extensions.collect(),
            libraries: &contents.libraries,
            external: &contents.external,
            entry_points: contents.has_entry_points,
            requires,
            site: prefix.map(|prefix| prefix.join("site").display().to_string()),
            data: prefix.map(|prefix| prefix.display().to_string()),
        };
        let is_empty = task.modules.is_empty() && task.extensions.is_empty() && !task.entry_points;
        (!is_empty).then_some(task)
    }
}

/// A smoke test in progress.
pub(super) struct SmokeTest<'a> {
    /// The wheel's name, for errors.
    pub(super) wheel: String,
    /// A temporary directory of the smoke test.
    pub(super) home: PathBuf,
    /// The commands' working directory.
    pub(super) work: PathBuf,
    pub(super) isolation: Isolation,
    pub(super) runtime: &'a Runtime<'a>,
    pub(super) checks: Vec<Check>,
    /// The checks that were not run, with the reasons.
    pub(super) not_run: Vec<String>,
    /// What this system cannot run for anybody, which is no gap in the test.
    pub(super) not_for_system: Vec<Check>,
}

/// Creates the directories of a user's profile on Windows, which programs expect.
pub(super) fn create_profile(home: &Path) -> Result<(), FileError> {
    for (_, [parent, directory]) in PROFILE_VARIABLES.into_iter().filter(|_| IS_WINDOWS) {
        let path = home.join(parent).join(directory);
        std::fs::create_dir_all(&path).map_err(FileError::new("create", &path))?;
    }
    Ok(())
}

/// The variables of a clean environment with this home.
fn clean_variables(env: &Env, home: &Path, is_windows: bool) -> Vec<(&'static str, String)> {
    let homes = HOME_VARIABLES.map(|name| (name, home.display().to_string()));
    let mut variables = Vec::from(homes);
    if is_windows {
        let system = WINDOWS_VARIABLES.into_iter();
        variables.extend(system.filter_map(|name| Some((name, env.get(name)?.to_owned()))));
        let profile = PROFILE_VARIABLES.map(|(name, [parent, directory])| {
            (name, home.join(parent).join(directory).display().to_string())
        });
        variables.extend(profile);
        let home = home.display().to_string();
        // `C:\Users\a` is `C:` and `\Users\a`.
        if let Some((drive, path)) = home.split_once(':').filter(|(drive, _)| drive.len() == 1) {
            variables.extend([("HOMEDRIVE", format!("{drive}:")), ("HOMEPATH", path.to_owned())]);
        }
    }
    variables
}

impl SmokeTest<'_> {
    /// A command with a new home and a PATH without Nix.
    pub(super) fn cmd(&self, program: &str, bin: &Path) -> Cmd {
        let cmd = Cmd::new(program).env("LANG", "C.UTF-8").env("PYTHONDONTWRITEBYTECODE", "1");
        let variables = clean_variables(self.runtime.env, &self.home, IS_WINDOWS);
        let cmd = variables.into_iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value));
        cmd.env("PATH", self.path(bin, None)).directory(&self.work)
    }

    /// The environment's programs, then those of a shell, then the system's.
    pub(super) fn path(&self, bin: &Path, shell: Option<&Path>) -> String {
        let system: Vec<PathBuf> = if IS_WINDOWS {
            let root = PathBuf::from(self.runtime.env.get("SYSTEMROOT").unwrap_or("C:\\Windows"));
            vec![root.join("System32"), root]
        } else {
            ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from).to_vec()
        };
        let all = std::iter::once(bin.to_owned()).chain(shell.map(Path::to_owned)).chain(system);
        std::env::join_paths(all).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn run(&self, cmd: &Cmd, limit: Duration) -> Result<CommandOutput, ProcessError> {
        self.isolation.wrap(cmd).run(self.runtime.ui, OutputMode::Quiet, limit)
    }

    /// Runs the lines of `smoke-command` in one shell, with `VIRTUAL_ENV` if there is an
    /// environment. Several lines stop at the first command that fails. The exit code of a single
    /// line is its own, so that `tool; test $? = 2` works.
    pub(super) fn run_commands(
        &mut self,
        lines: &[String],
        bin: &Path,
        environment: Option<&Path>,
    ) -> Result<(), Error> {
        let script = lines.join("\n");
        // A file, because Git's `sh` parses its arguments in another way than Rust quotes them.
        let file = self.home.join("smoke-command.sh");
        std::fs::write(&file, format!("{script}\n")).map_err(FileError::new("write", &file))?;
        let flag = (lines.len() > 1).then_some("-e");
        let cmd = match shell(self.runtime.env).filter(|_| IS_WINDOWS) {
            Some(shell) => {
                let path = self.path(bin, shell.parent());
                self.cmd(&shell.display().to_string(), bin).env("PATH", path)
            }
            None => self.cmd("sh", bin),
        };
        let cmd = cmd.args(flag).arg(file.display().to_string());
        let cmd = match environment {
            Some(environment) => cmd.env("VIRTUAL_ENV", environment.display().to_string()),
            None => cmd,
        };
        let outcome = match self.run(&cmd, COMMAND_LIMIT) {
            Ok(_) => CheckOutcome::Works("ok".to_owned()),
            Err(error) => CheckOutcome::Fails(error.into()),
        };
        self.record(script, outcome)
    }

    /// Runs a command that must start.
    pub(super) fn must_start(&mut self, cmd: &Cmd, expected: Expected<'_>) -> Result<(), Error> {
        let outcome = start_outcome(self.run(cmd, TIMEOUT), expected);
        self.record(cmd.to_string(), outcome)
    }

    /// Runs a binary, a command without arguments, that must start. Shells, `env` and glibc
    /// execute a file that the kernel rejects as a script of `sh`; `python` does not.
    pub(super) fn must_execute(
        &mut self,
        cmd: &Cmd,
        python: &Path,
        expected: Expected<'_>,
    ) -> Result<(), Error> {
        if IS_WINDOWS {
            return self.must_start(cmd, expected);
        }
        let file = self.home.join("execute.py");
        std::fs::write(&file, EXECUTE_SCRIPT).map_err(FileError::new("write", &file))?;
        let file = file.display().to_string();
        let args = ["-I", "-S", &file, &cmd.program];
        let args = args.into_iter().map(str::to_owned).chain(cmd.args.clone()).collect();
        let execute = Cmd { program: python.display().to_string(), args, ..cmd.clone() };
        let outcome = start_outcome(self.run(&execute, TIMEOUT), expected);
        self.record(cmd.to_string(), outcome)
    }

    /// Runs the imports with `python`, a command without arguments.
    pub(super) fn import(
        &mut self,
        python: Cmd,
        task: &ImportTask<'_>,
        expected: Expected<'_>,
    ) -> Result<(), Error> {
        // A command line is too short for the task: on Windows it has 32,767 characters.
        let input = serde_json::to_vec(task).unwrap_or_default();
        let cmd = python.args(["-I", "-B", "-c", IMPORT_SCRIPT]).stdin(input);
        let (stdout, crash) = match self.run(&cmd, IMPORT_LIMIT) {
            Ok(output) => {
                if let Some(outcome) = import_outcome(&output.stderr, expected) {
                    self.record("start Python".to_owned(), outcome)?;
                }
                (output.stdout, None)
            }
            Err(ProcessError::Failed { stdout, stderr, status, .. }) => {
                let tail = stderr.trim_end().lines().last().unwrap_or_default().to_owned();
                (stdout, Some(format!("Python ended with {status}: {tail}")))
            }
            Err(error) => return self.record("import".to_owned(), CheckOutcome::Fails(error.into())),
        };
        let mut current = String::new();
        let mut is_complete = false;
        for line in stdout.lines().filter_map(|line| line.strip_prefix(OUTPUT_PREFIX)) {
            let Ok((kind, name, outcome, reason)) =
                serde_json::from_str::<(String, String, String, String)>(line)
            else {
                continue;
            };
            match kind.as_str() {
                "start" => {
                    current = name;
                    continue;
                }
                "end" => {
                    is_complete = true;
                    continue;
                }
                _ => {}
            }
            let outcome = match outcome.as_str() {
                "ok" => CheckOutcome::Works(if reason.is_empty() { "ok".to_owned() } else { reason }),
                "not run" => CheckOutcome::NotRun(reason),
                _ => CheckOutcome::Fails(SmokeError::Import(reason)),
            };
            self.record(format!("{kind} {name}"), outcome)?;
        }
        // A module may end Python with the exit code 0, as `os._exit(0)` does.
        let early = || "Python ended with exit status: 0 before all checks were done".to_owned();
        match crash.or_else(|| (!is_complete).then(early)) {
            None => Ok(()),
            Some(crash) => {
                let command = format!("import {current}").trim_end().to_owned();
                self.record(command, CheckOutcome::Fails(SmokeError::Import(crash)))
            }
        }
    }

    /// Records that a program was not run. It is no gap in the test if no user of the wheel can
    /// run it, as with test data for other platforms.
    pub(super) fn record_foreign(
        &mut self,
        wheel: &BuildResult,
        program: &Executable,
        reason: String,
    ) -> Result<(), Error> {
        let tags = wheel.name.wheel().map(|name| &name.tags);
        let mut platforms = tags.into_iter().flat_map(TagSet::platforms);
        if program.platform.as_ref().is_none_or(|program| platforms.any(|tag| can_run(&tag, program))) {
            return self.record(program.member.clone(), CheckOutcome::NotRun(reason));
        }
        let outcome = format!("not run: {reason}");
        self.not_for_system.push(Check { command: program.member.clone(), outcome });
        Ok(())
    }

    /// Records the outcome of a check, and fails if it fails.
    pub(super) fn record(&mut self, command: String, outcome: CheckOutcome) -> Result<(), Error> {
        let outcome = match outcome {
            CheckOutcome::Works(outcome) => outcome,
            CheckOutcome::NotRun(reason) => {
                self.not_run.push(format!("{command} ({reason})"));
                format!("not run: {reason}")
            }
            CheckOutcome::Fails(source) => {
                return Err(Error::Smoke { wheel: self.wheel.clone(), command, source: source.into() });
            }
        };
        self.checks.push(Check { command, outcome });
        Ok(())
    }

    /// The result: `best` if everything was run.
    pub(super) fn finish(self, best: SmokeResult, reason: Option<String>) -> Smoke {
        let mut checks = self.checks;
        let (result, reason) = if self.isolation == Isolation::Impossible {
            (SmokeResult::NotIsolated, Some("this machine has no way to mask /nix".to_owned()))
        } else if !self.not_run.is_empty() {
            (SmokeResult::Partial, Some(format!("not run: {}", self.not_run.join(", "))))
        } else if checks.is_empty() {
            (SmokeResult::Partial, Some("the wheel has nothing to run".to_owned()))
        } else {
            (best, reason)
        };
        checks.extend(self.not_for_system);
        Smoke { result, isolation: self.isolation.name(), reason, checks }
    }
}

/// Whether a platform with this tag runs the program.
fn can_run(tag: &Platform, program: &ProgramPlatform) -> bool {
    let system = match tag {
        Platform::Any | Platform::Other(_) => return true,
        Platform::Manylinux { .. } | Platform::Musllinux { .. } | Platform::Linux { .. } => {
            ProgramSystem::Linux
        }
        Platform::Macos { .. } => ProgramSystem::Macos,
        Platform::Windows { .. } => ProgramSystem::Windows,
    };
    let arch = tag.arch().unwrap_or_default();
    let is_for = |other: &String| other == arch || arch.starts_with("universal");
    system == program.system && program.archs.iter().any(is_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_environment_has_what_windows_programs_expect() {
        let env = Env::from_iter([
            ("SYSTEMROOT", "C:\\Windows"),
            ("WINDIR", "C:\\Windows"),
            ("PATHEXT", ".COM;.EXE"),
            ("NUMBER_OF_PROCESSORS", "4"),
            ("PROCESSOR_ARCHITECTURE", "AMD64"),
            ("PROGRAMDATA", "C:\\ProgramData"),
            ("PROGRAMFILES", "C:\\Program Files"),
            ("APPDATA", "C:\\Users\\a\\AppData\\Roaming"),
            ("PYTHONPATH", "C:\\modules"),
        ]);
        let home = Path::new("home");
        let of = |is_windows| {
            let all = clean_variables(&env, home, is_windows);
            all.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        let found = of(true);
        for expected in
            ["PATHEXT=.COM;.EXE", "NUMBER_OF_PROCESSORS=4", "PROGRAMFILES=C:\\Program Files", "TEMP=home"]
        {
            assert!(found.iter().any(|variable| variable == expected), "{expected}: {found:?}");
        }
        let roaming = home.join("AppData").join("Roaming");
        assert!(found.contains(&format!("APPDATA={}", roaming.display())), "not the user's own: {found:?}");
        assert!(found.iter().any(|variable| variable.starts_with("LOCALAPPDATA=home")), "{found:?}");
        assert!(!found.iter().any(|variable| variable.starts_with("PYTHONPATH")), "{found:?}");
        assert_eq!(of(false).len(), HOME_VARIABLES.len());
    }
}
