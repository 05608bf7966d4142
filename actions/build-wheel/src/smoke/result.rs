//! What came of trying a wheel out.

use serde::Serialize;
use toolkit::ProcessError;

/// What came of trying a wheel out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Smoke {
    /// In one word.
    pub result: SmokeResult,
    /// How `/nix` was masked.
    pub isolation: &'static str,
    /// Why it is not `passed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was run, and how it went.
    pub checks: Vec<Check>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// The command, without the isolation around it, or what was imported.
    pub command: String,
    /// `ok`, how it ended where only starting was asked for, or why it was
    /// not run.
    pub outcome: String,
}

/// In one word; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SmokeResult {
    /// All of it works where there is no Nix.
    Passed,
    /// What was run works, and something was not run.
    Partial,
    /// Its programs work under QEMU.
    Emulated,
    /// It works, but the Nix store could be seen.
    NotIsolated,
    /// It could not be run here.
    Skipped,
    /// It was not asked for.
    Off,
}

impl SmokeResult {
    /// As outputs and reports name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Partial => "partial",
            Self::Emulated => "emulated",
            Self::NotIsolated => "not-isolated",
            Self::Skipped => "skipped",
            Self::Off => "off",
        }
    }
}

impl Smoke {
    /// Nothing was run.
    pub(crate) fn none(result: SmokeResult, reason: Option<String>) -> Self {
        Self { result, isolation: "none", reason, checks: Vec::new() }
    }
}

/// Why a wheel does not work.
#[derive(Debug, thiserror::Error)]
pub enum SmokeError {
    /// A command failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Something cannot be imported.
    #[error("{0}")]
    Import(String),
}
