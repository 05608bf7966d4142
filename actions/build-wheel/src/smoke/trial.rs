//! A trial in progress: commands are run in isolation, and how they ended is
//! written down.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use toolkit::{Cmd, CommandOutput, OutputMode, ProcessError};

use super::outcome::{Outcome, started};
use super::result::{Check, Smoke, SmokeError, SmokeResult};
use crate::error::Error;
use crate::isolation::Isolation;
use crate::runtime::Runtime;
use crate::search_path::IS_WINDOWS;

/// For each check.
const LIMIT: Duration = Duration::from_secs(60);

/// For the imports, all together.
const IMPORT_LIMIT: Duration = Duration::from_secs(300);

/// The variables that name the home and the temporary directory.
const HOMES: [&str; 5] = ["HOME", "TMPDIR", "USERPROFILE", "TEMP", "TMP"];

/// The variables without which programs of Windows do not start.
const SYSTEM: [&str; 3] = ["SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC"];

/// What begins a line of the check's own output.
const MARK: &str = "build-wheel-check:";

const CHECK: &str = include_str!("check.py");

/// What is asked of the script that imports.
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

/// A trial in progress.
pub(super) struct Trial<'a> {
    /// The wheel's name, for errors.
    pub(super) wheel: String,
    /// A directory of the trial's own.
    pub(super) home: PathBuf,
    /// Where commands run.
    pub(super) work: PathBuf,
    pub(super) isolation: Isolation,
    pub(super) runtime: &'a Runtime<'a>,
    pub(super) checks: Vec<Check>,
    /// What was not run, and why.
    pub(super) not_run: Vec<String>,
}

impl Trial<'_> {
    /// A command with a fresh home and a PATH without Nix.
    pub(super) fn cmd(&self, program: &str, bin: &Path) -> Cmd {
        let home = self.home.display().to_string();
        let cmd = Cmd::new(program).env("LANG", "C.UTF-8").env("PYTHONDONTWRITEBYTECODE", "1");
        let cmd = HOMES.iter().fold(cmd, |cmd, name| cmd.env(*name, &home));
        let cmd = SYSTEM.iter().fold(cmd, |cmd, name| match self.runtime.env.get(name) {
            Some(value) if IS_WINDOWS => cmd.env(*name, value),
            _ => cmd,
        });
        cmd.env("PATH", self.path(bin)).directory(&self.work)
    }

    /// The programs of the environment, then those that every machine has.
    fn path(&self, bin: &Path) -> String {
        let system: Vec<PathBuf> = if IS_WINDOWS {
            let root = PathBuf::from(self.runtime.env.get("SYSTEMROOT").unwrap_or("C:\\Windows"));
            vec![root.join("System32"), root]
        } else {
            ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from).to_vec()
        };
        let all = std::iter::once(bin.to_owned()).chain(system);
        std::env::join_paths(all).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn run(&self, cmd: &Cmd, limit: Duration) -> Result<CommandOutput, ProcessError> {
        self.isolation.wrap(cmd).run(self.runtime.ui, OutputMode::Quiet, limit)
    }

    /// Runs a command that must succeed.
    pub(super) fn must_succeed(&mut self, cmd: &Cmd, shown: String) -> Result<(), Error> {
        let outcome = match self.run(cmd, LIMIT) {
            Ok(_) => Outcome::Works("ok".to_owned()),
            Err(error) => Outcome::Fails(error.into()),
        };
        self.note(shown, outcome)
    }

    /// Runs a command that must start.
    pub(super) fn must_start(&mut self, cmd: &Cmd, requires: bool) -> Result<(), Error> {
        let outcome = started(self.run(cmd, LIMIT), requires);
        self.note(cmd.to_string(), outcome)
    }

    /// Imports what there is to import with `python`, a command without its
    /// arguments.
    pub(super) fn import(&mut self, python: Cmd, task: &ImportTask<'_>) -> Result<(), Error> {
        let task = serde_json::to_string(task).unwrap_or_default();
        let cmd = python.args(["-I", "-B", "-c", CHECK, &task]);
        let (stdout, ended) = match self.run(&cmd, IMPORT_LIMIT) {
            Ok(output) => (output.stdout, None),
            Err(ProcessError::Failed { stdout, stderr, status, .. }) => {
                let tail = stderr.trim_end().lines().last().unwrap_or_default().to_owned();
                (stdout, Some(format!("Python ended with {status}: {tail}")))
            }
            Err(error) => return self.note("import".to_owned(), Outcome::Fails(error.into())),
        };
        let mut running = String::new();
        for line in stdout.lines().filter_map(|line| line.strip_prefix(MARK)) {
            let Ok((kind, name, outcome, reason)) =
                serde_json::from_str::<(String, String, String, String)>(line)
            else {
                continue;
            };
            if kind == "start" {
                running = name;
                continue;
            }
            let outcome = match outcome.as_str() {
                "ok" => Outcome::Works(if reason.is_empty() { "ok".to_owned() } else { reason }),
                "not run" => Outcome::NotRun(reason),
                _ => Outcome::Fails(SmokeError::Import(reason)),
            };
            self.note(format!("{kind} {name}"), outcome)?;
        }
        match ended {
            None => Ok(()),
            Some(ended) => self.note(format!("import {running}"), Outcome::Fails(SmokeError::Import(ended))),
        }
    }

    /// Writes down what became of a check.
    pub(super) fn note(&mut self, command: String, outcome: Outcome) -> Result<(), Error> {
        let outcome = match outcome {
            Outcome::Works(outcome) => outcome,
            Outcome::NotRun(reason) => {
                self.not_run.push(format!("{command} ({reason})"));
                format!("not run: {reason}")
            }
            Outcome::Fails(source) => {
                return Err(Error::Smoke { wheel: self.wheel.clone(), command, source: source.into() });
            }
        };
        self.checks.push(Check { command, outcome });
        Ok(())
    }

    /// The result, which is `best` if all was run.
    pub(super) fn finish(self, best: SmokeResult, reason: Option<String>) -> Smoke {
        let (result, reason) = if self.isolation == Isolation::Impossible {
            (SmokeResult::NotIsolated, Some("nothing on this machine can mask /nix".to_owned()))
        } else if !self.not_run.is_empty() {
            (SmokeResult::Partial, Some(format!("not run: {}", self.not_run.join(", "))))
        } else if self.checks.is_empty() {
            (SmokeResult::Partial, Some("there is nothing in the wheel that can be run".to_owned()))
        } else {
            (best, reason)
        };
        Smoke { result, isolation: self.isolation.name(), reason, checks: self.checks }
    }
}
