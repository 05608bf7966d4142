//! Interprets how a started program ended.

use toolkit::{CommandOutput, ProcessError};

use super::result::SmokeError;

/// The outcome of a check.
#[derive(Debug)]
pub(super) enum CheckOutcome {
    /// It works, with a description.
    Works(String),
    /// It was not run, with the reason.
    NotRun(String),
    /// It does not work.
    Fails(SmokeError),
}

/// Messages of loaders that cannot load a program (glibc's ld.so, musl's, dyld),
/// and of shells that do not find its interpreter.
const LOADER_MESSAGES: [&str; 9] = [
    "error while loading shared libraries",
    "symbol lookup error",
    "version `GLIBC",
    "Error loading shared library",
    "Error relocating ",
    "dyld[",
    "Library not loaded",
    "bad interpreter",
    "No such file or directory: '/nix/store/",
];

/// The outcome of a program that must start, but need not succeed: not every
/// program has `--version`. `requires`: the wheel depends on distributions that
/// are not installed.
pub(super) fn start_outcome(result: Result<CommandOutput, ProcessError>, requires: bool) -> CheckOutcome {
    let Err(error) = result else { return CheckOutcome::Works("ok".to_owned()) };
    let outcome = match &error {
        ProcessError::Failed { stderr, .. } if LOADER_MESSAGES.iter().any(|text| stderr.contains(text)) => {
            None
        }
        ProcessError::Failed { stderr, .. } if requires && stderr.contains("ModuleNotFoundError") => {
            let line = stderr.lines().rfind(|line| line.contains("ModuleNotFoundError"));
            Some(CheckOutcome::NotRun(line.unwrap_or_default().trim().to_owned()))
        }
        // Shells and `env` exit with 126 or 127 if they cannot start a program,
        // and so does a loader that does not find a library; QEMU exits with 255.
        // A signal has no code, and Windows exits with a negative code if it
        // cannot load a library.
        ProcessError::Failed { status, .. } if status.code().is_some_and(|code| (0..126).contains(&code)) => {
            Some(CheckOutcome::Works(format!("started, then ended with {status}")))
        }
        ProcessError::Timeout { limit, .. } => {
            Some(CheckOutcome::NotRun(format!("still running after {} s", limit.as_secs())))
        }
        _ => None,
    };
    outcome.unwrap_or(CheckOutcome::Fails(error.into()))
}
