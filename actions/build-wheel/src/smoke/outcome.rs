//! How a program that was started ended, and what that says.

use toolkit::{CommandOutput, ProcessError};

use super::result::SmokeError;

/// What became of something that was tried.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It works; in words.
    Works(String),
    /// It could not be tried out; why.
    NotRun(String),
    /// It does not work.
    Fails(SmokeError),
}

/// What loaders print where they cannot load a program (ld.so of glibc, musl's,
/// dyld), and shells where there is no interpreter.
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

/// Judges a program that had to start, and not to succeed: not every program
/// knows `--version`. `requires`: the wheel asks for distributions that are
/// not installed.
pub(super) fn started(result: Result<CommandOutput, ProcessError>, requires: bool) -> Outcome {
    let Err(error) = result else { return Outcome::Works("ok".to_owned()) };
    let outcome = match &error {
        ProcessError::Failed { stderr, .. } if LOADER_MESSAGES.iter().any(|text| stderr.contains(text)) => {
            None
        }
        ProcessError::Failed { stderr, .. } if requires && stderr.contains("ModuleNotFoundError") => {
            let line = stderr.lines().rfind(|line| line.contains("ModuleNotFoundError"));
            Some(Outcome::NotRun(line.unwrap_or_default().trim().to_owned()))
        }
        // 126 and 127 are of the shell and `env`, for what they cannot start,
        // and of the loader, for a library it cannot find; 255 is QEMU's; a
        // signal has none, and a library that Windows cannot load is a negative one.
        ProcessError::Failed { status, .. } if status.code().is_some_and(|code| (0..126).contains(&code)) => {
            Some(Outcome::Works(format!("started, then ended with {status}")))
        }
        ProcessError::Timeout { limit, .. } => {
            Some(Outcome::NotRun(format!("still running after {} s", limit.as_secs())))
        }
        _ => None,
    };
    outcome.unwrap_or(Outcome::Fails(error.into()))
}
