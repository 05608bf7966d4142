//! Errors and exit codes that all actions share.

use std::io;
use std::path::{Path, PathBuf};

/// The result of a run, with the same exit codes for every action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: there are findings, or something was rejected.
    Findings,
    /// 2: invalid usage or configuration.
    Usage,
    /// 3: undetermined, because of an unreadable file or an internal error.
    Undetermined,
    /// 4: incomplete; the same command continues where it stopped.
    Partial,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Undetermined => 3,
            Self::Partial => 4,
            Self::Interrupted => 130,
        }
    }
}

/// An error that ends an action. The message says what failed, the
/// [`source`](std::error::Error::source) why (never repeated in the message), and
/// [`hint`](Failure::hint) what to do.
pub trait Failure: std::error::Error {
    /// The exit code for this error.
    fn exit(&self) -> Exit;

    /// What the user can do about it, without a final period.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// An I/O error with the operation and the file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    /// What failed: `read`, `write`, `create` …
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: wraps the error of `action` on `path`.
    pub fn new(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self { action, path, source }
    }
}

impl Failure for FileError {
    fn exit(&self) -> Exit {
        Exit::Undetermined
    }
}

/// An error with its causes, in one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// The message, the causes and the hint of `error`, one per line.
pub fn error_report<E: Failure>(error: &E) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("\ncaused by: {cause}"));
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProcessError;

    #[test]
    fn a_file_error_shows_the_operation_the_file_and_the_cause() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let error = FileError::new("read", "dist/a.whl")(missing);
        insta::assert_snapshot!(error_report(&error), @r"
        cannot read `dist/a.whl`
        caused by: entity not found
        ");
    }

    #[test]
    fn a_missing_program_has_a_hint() {
        let error = ProcessError::Start { program: "maturin".into(), source: io::ErrorKind::NotFound.into() };
        insta::assert_snapshot!(error_report(&error), @r"
        cannot start `maturin`
        caused by: entity not found
        hint: install `maturin` or put it on PATH
        ");
        insta::assert_snapshot!(error_chain(&error), @"cannot start `maturin`: entity not found");
    }

    #[test]
    fn a_timeout_shows_the_limit_and_the_last_lines() {
        let limit = std::time::Duration::from_secs(600);
        let stderr = "copying path\nwaiting for locks\n".into();
        let error = ProcessError::Timeout { command: "nix-store --load-db".into(), limit, stderr };
        insta::assert_snapshot!(error_report(&error), @r"
        `nix-store --load-db` timed out after 600 s
          copying path
          waiting for locks
        ");
    }
}
