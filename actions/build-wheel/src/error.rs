//! Errors, by phase.

use toolkit::{Exit, Failure, FileError, InputErrors, ProcessError};

use crate::environment::EnvironmentError;
use crate::init::InitError;
use crate::plan::PlanError;
use crate::repair::WheelError;
use crate::search_path::IS_WINDOWS;
use crate::smoke::SmokeError;

/// Why there is no distribution.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Invalid inputs.
    #[error(transparent)]
    Inputs(#[from] InputErrors),
    /// The machine or the project cannot be inspected.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A workflow cannot be written.
    #[error(transparent)]
    Init(#[from] InitError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The build could not be run.
    #[error("the build failed")]
    Build(#[source] ProcessError),
    /// The build failed; it has printed its errors.
    #[error("the build failed: `{command}` ended with {status}; its output is above")]
    BuildFailed {
        /// The whole command.
        command: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// Its standard error.
        stderr: String,
        /// The hint.
        hint: Option<String>,
    },
    /// The build did not make the expected files.
    #[error("expected {kind} {place}, found {}", if found.is_empty() { "none".to_owned() } else { found.join(", ") })]
    BuildOutput {
        /// The expected files.
        kind: &'static str,
        /// Where they are expected.
        place: String,
        /// The files found.
        found: Vec<String>,
        /// The hint.
        hint: &'static str,
    },
    /// The output of `nix build` is not the expected JSON.
    #[error("cannot parse the output of `nix build --json`")]
    NixOutput(#[source] serde_json::Error),
    /// The wheel cannot be made portable.
    #[error("`{file}` cannot be published")]
    Wheel {
        /// The wheel.
        file: String,
        /// Why.
        source: WheelError,
    },
    /// The source distribution is invalid.
    #[error("`{file}` is not a valid source distribution: {what}")]
    Sdist {
        /// The file.
        file: String,
        /// Why.
        what: String,
    },
    /// verify-dist would reject it.
    #[error("`{file}` would be rejected by verify-dist:\n  {}", findings.join("\n  "))]
    Gate {
        /// The wheel.
        file: String,
        /// Rule, member and message of each error.
        findings: Vec<String>,
        /// The fix for the first error.
        hint: Option<String>,
    },
    /// Two builds differ.
    #[error("two builds of the same sources differ: {0}")]
    NotReproducible(String),
    /// zig's debug information depends on the machine.
    #[error(
        "`{0}` would differ on another machine: zig's debug information contains directories of this machine"
    )]
    ZigDebugInfo(String),
    /// The wheel does not work.
    #[error("`{wheel}` does not work in a clean environment: `{command}`")]
    Smoke {
        /// The wheel.
        wheel: String,
        /// The command.
        command: String,
        /// Why it failed.
        source: Box<SmokeError>,
    },
    /// There is no shell for `smoke-command`.
    #[error("`smoke-command` needs `sh`, which is neither on PATH nor beside `git`")]
    NoShell,
    /// With `smoke: required`, the smoke test could not be run.
    #[error("`smoke: required`, but the result is `{result}`: {reason}")]
    NoSmoke {
        /// The result.
        result: &'static str,
        /// Why.
        reason: String,
    },
}

impl Failure for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Inputs(error) => error.exit(),
            Self::Plan(error) => error.exit(),
            Self::Init(error) => error.exit(),
            Self::Environment(EnvironmentError::File(error)) | Self::File(error) => error.exit(),
            // A missing program is a problem of the setup.
            Self::Environment(_) | Self::Build(ProcessError::Start { .. }) | Self::NoShell => Exit::Usage,
            Self::Build(ProcessError::Interrupted) => Exit::Interrupted,
            Self::Smoke { source, .. }
                if matches!(**source, SmokeError::Process(ProcessError::Interrupted)) =>
            {
                Exit::Interrupted
            }
            Self::Wheel { source, .. } => source.exit(),
            Self::BuildOutput { .. }
            | Self::Build(_)
            | Self::BuildFailed { .. }
            | Self::Sdist { .. }
            | Self::Gate { .. }
            | Self::NotReproducible(_)
            | Self::ZigDebugInfo(_)
            | Self::Smoke { .. }
            | Self::NoSmoke { .. } => Exit::Findings,
            Self::NixOutput(_) => Exit::Undetermined,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::Init(error) => error.hint(),
            Self::Build(error) => error.hint(),
            Self::BuildFailed { hint, .. } | Self::Gate { hint, .. } => hint.clone(),
            // The cause says what to do.
            Self::File(error) | Self::Environment(EnvironmentError::File(error))
                if error.source.kind() == std::io::ErrorKind::InvalidData =>
            {
                None
            }
            Self::File(_) | Self::Environment(EnvironmentError::File(_)) => {
                Some("check its permissions, and that the disk is not full".into())
            }
            Self::Wheel { source, .. } => source.hint(),
            Self::BuildOutput { hint, .. } => Some((*hint).to_owned()),
            Self::Sdist { .. } => Some("rebuild it".into()),
            Self::ZigDebugInfo(_) => Some(
                "set `strip = \"debuginfo\"` in the Cargo profile, as it is by default, or add `--strip` to `maturin-args`"
                    .into(),
            ),
            Self::Smoke { source, .. } => match &**source {
                SmokeError::Process(ProcessError::Timeout { .. }) => Some(
                    "`smoke-command` may run for an hour, and each other check for a few minutes: run longer tests in a job of their own"
                        .into(),
                ),
                SmokeError::Process(error) => error.hint(),
                SmokeError::Import(_) => {
                    Some("install its requirements with `test-requires`, or test with `smoke-command`".into())
                }
            },
            Self::NoShell => Some("install Git for Windows, which includes `sh`, or remove `smoke-command`".into()),
            Self::NoSmoke { .. } if IS_WINDOWS => Some(
                "install a Python for the wheel's architecture (for x86: `actions/setup-python` with `architecture: x86`), or set `smoke: auto`"
                    .into(),
            ),
            Self::NoSmoke { .. } => Some(
                "run as root or with `sudo -n`, so that `unshare` can mount, and with a Python outside the Nix store, or set `smoke: auto`"
                    .into(),
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_smoke_command_that_takes_too_long_names_the_limit() {
        let (command, stderr) = ("sh -c pytest".to_owned(), "test 7".to_owned());
        let source = ProcessError::Timeout { command, limit: Duration::from_secs(3600), stderr };
        let error = Error::Smoke {
            wheel: "a-1-py3-none-any.whl".to_owned(),
            command: "pytest".to_owned(),
            source: Box::new(source.into()),
        };
        let report = toolkit::error_report(&error);
        assert!(report.contains("`sh -c pytest` timed out after 3600 s\n  test 7"), "{report}");
        assert!(error.hint().unwrap().contains("`smoke-command` may run for an hour"));
    }
}
