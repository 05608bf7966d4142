//! The result of a smoke test.

use serde::Serialize;
use toolkit::ProcessError;

/// The result of a smoke test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Smoke {
    /// The result in one word.
    pub result: SmokeResult,
    /// How `/nix` was masked.
    pub isolation: &'static str,
    /// Why the result is not `passed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The checks that were run, with their outcomes.
    pub checks: Vec<Check>,
}

/// One check of a smoke test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// The command without its isolation, or the import.
    pub command: String,
    /// `ok`, how the program ended if it only had to start, or why it was
    /// not run.
    pub outcome: String,
}

/// A smoke test's result in one word, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SmokeResult {
    /// Everything works without Nix.
    Passed,
    /// Some checks were not run; the others passed.
    Partial,
    /// Everything works under QEMU.
    Emulated,
    /// Everything works, but the Nix store was visible.
    NotIsolated,
    /// It could not be run here.
    Skipped,
    /// It was disabled.
    Off,
}

impl SmokeResult {
    /// The name in outputs and reports.
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
    /// A result without checks.
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
