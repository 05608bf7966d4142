//! A smoke test in progress: runs commands in isolation and records their
//! outcomes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use toolkit::{Cmd, CommandOutput, Env, FileError, OutputMode, ProcessError};

use super::outcome::{CheckOutcome, start_outcome};
use super::result::{Check, Smoke, SmokeError, SmokeResult};
use crate::error::Error;
use crate::isolation::Isolation;
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
const WINDOWS_VARIABLES: [&str; 10] = [
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
];

/// The variables of a user's profile on Windows, with the directories below it.
const PROFILE_VARIABLES: [(&str, [&str; 2]); 2] =
    [("APPDATA", ["AppData", "Roaming"]), ("LOCALAPPDATA", ["AppData", "Local"])];

/// The prefix of the import script's own output.
const OUTPUT_PREFIX: &str = "build-wheel-check:";

const IMPORT_SCRIPT: &str = include_str!("check.py");

/// The input of the import script.
#[derive(Debug, Serialize)]
pub(super) struct ImportTask<'t> {
    pub(super) distribution: &'t str,
    pub(super) modules: &'t [String],
    /// Paths below `site-packages`, and whether each is known to be a module.
    pub(super) extensions: Vec<(String, bool)>,
    pub(super) entry_points: bool,
    pub(super) requires: bool,
    pub(super) site: Option<String>,
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
    fn path(&self, bin: &Path, shell: Option<&Path>) -> String {
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

    /// Runs the lines of `smoke-command` in one shell. Several lines stop at the first command
    /// that fails. The exit code of a single line is its own, so that `tool; test $? = 2` works.
    pub(super) fn run_commands(&mut self, lines: &[String], bin: &Path) -> Result<(), Error> {
        let script = lines.join("\n");
        let flag = if lines.len() > 1 { "-ec" } else { "-c" };
        let cmd = match shell(self.runtime.env).filter(|_| IS_WINDOWS) {
            Some(shell) => {
                let path = self.path(bin, shell.parent());
                self.cmd(&shell.display().to_string(), bin).env("PATH", path)
            }
            None => self.cmd("sh", bin),
        };
        let cmd = cmd.args([flag, &script]);
        let outcome = match self.run(&cmd, COMMAND_LIMIT) {
            Ok(_) => CheckOutcome::Works("ok".to_owned()),
            Err(error) => CheckOutcome::Fails(error.into()),
        };
        self.record(script, outcome)
    }

    /// Runs a command that must start.
    pub(super) fn must_start(&mut self, cmd: &Cmd, requires: bool) -> Result<(), Error> {
        let outcome = start_outcome(self.run(cmd, TIMEOUT), requires);
        self.record(cmd.to_string(), outcome)
    }

    /// Runs the imports with `python`, a command without arguments.
    pub(super) fn import(&mut self, python: Cmd, task: &ImportTask<'_>) -> Result<(), Error> {
        // A command line is too short for the task: on Windows it has 32,767 characters.
        let task = serde_json::to_vec(task).unwrap_or_default();
        let cmd = python.args(["-I", "-B", "-c", IMPORT_SCRIPT]).stdin(task);
        let (stdout, crash) = match self.run(&cmd, IMPORT_LIMIT) {
            Ok(output) => (output.stdout, None),
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
