//! What can go wrong, by phase.

use toolkit::{Exit, Failure, FileError, InputErrors, ProcessError};

use crate::environment::EnvironmentError;
use crate::init::InitError;
use crate::plan::PlanError;
use crate::repair::WheelError;
use crate::smoke::SmokeError;

/// Why there is no distribution.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The inputs.
    #[error(transparent)]
    Inputs(#[from] InputErrors),
    /// Looking at machine and project.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Planning.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Writing a workflow.
    #[error(transparent)]
    Init(#[from] InitError),
    /// Reading or writing a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The build could not be run to its end.
    #[error("the build failed")]
    Build(#[source] ProcessError),
    /// The build ended with an error, which it has printed itself.
    #[error("the build failed: `{command}` ended with {status}; its output is above")]
    BuildFailed {
        /// The whole command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it printed.
        stderr: String,
        /// What to do.
        hint: Option<String>,
    },
    /// What the build left.
    #[error("expected {kind} {place}, found {}", if found.is_empty() { "none".to_owned() } else { found.join(", ") })]
    Built {
        /// What should be there.
        kind: &'static str,
        /// Where it should be.
        place: String,
        /// What is there.
        found: Vec<String>,
        /// What to do.
        hint: &'static str,
    },
    /// What `nix build` printed.
    #[error("`nix build --json` did not print what was expected")]
    NixOutput(#[source] serde_json::Error),
    /// The wheel is not portable, and cannot be made so.
    #[error("`{file}` cannot be published")]
    Wheel {
        /// The wheel.
        file: String,
        /// Why.
        source: WheelError,
    },
    /// The source distribution is not sound.
    #[error("`{file}` is not a sound source distribution: {what}")]
    Sdist {
        /// The file.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// verify-dist would reject it.
    #[error("`{file}` would be rejected by verify-dist:\n  {}", findings.join("\n  "))]
    Gate {
        /// The wheel.
        file: String,
        /// Rule, member and message of each error.
        findings: Vec<String>,
        /// What to do about the first.
        hint: Option<String>,
    },
    /// Two builds differ.
    #[error("two builds of the same sources differ: {0}")]
    NotReproducible(String),
    /// zig's debug information is another one on another machine.
    #[error(
        "`{0}` would differ on another machine: zig's debug information in it names directories of this one"
    )]
    ZigDebugInfo(String),
    /// The wheel does not work.
    #[error("`{wheel}` does not work in a clean environment: `{command}`")]
    Smoke {
        /// The wheel.
        wheel: String,
        /// What was run.
        command: String,
        /// How it failed.
        source: Box<SmokeError>,
    },
    /// `smoke: required`, and it could not be done.
    #[error("`smoke: required`, but the result is `{result}`: {reason}")]
    NoSmoke {
        /// What came of it.
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
            // A program that is not there is a matter of set-up.
            Self::Environment(_) | Self::Build(ProcessError::Start { .. }) => Exit::Usage,
            Self::Build(ProcessError::Interrupted) => Exit::Interrupted,
            Self::Smoke { source, .. }
                if matches!(**source, SmokeError::Process(ProcessError::Interrupted)) =>
            {
                Exit::Interrupted
            }
            Self::Wheel { source, .. } => source.exit(),
            Self::Built { .. }
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
            Self::File(_) | Self::Environment(EnvironmentError::File(_)) => {
                Some("check its permissions, and that the disk is not full".into())
            }
            Self::Wheel { source, .. } => source.hint(),
            Self::Built { hint, .. } => Some((*hint).to_owned()),
            Self::Sdist { .. } => Some("build it again".into()),
            Self::ZigDebugInfo(_) => Some(
                "set `strip = \"debuginfo\"` in the Cargo profile, as it is by default, or add `--strip` to `maturin-args`"
                    .into(),
            ),
            Self::Smoke { source, .. } => match &**source {
                SmokeError::Process(error) => error.hint(),
                SmokeError::Import(_) => {
                    Some("install what it needs by `test-requires`, or test with `smoke-command`".into())
                }
            },
            Self::NoSmoke { .. } => Some(
                "run where `unshare` may mount (as root, or with `sudo -n`), with a Python outside the Nix store, or set `smoke: auto`"
                    .into(),
            ),
            _ => None,
        }
    }
}
