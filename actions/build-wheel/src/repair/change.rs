//! The changes and warnings of a repair.

use serde::Serialize;

/// A change of, or warning about, one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The member's path in the wheel.
    pub file: String,
    /// The change or warning.
    pub what: String,
}

/// The changes and warnings of one edited member.
#[derive(Debug, Default)]
pub(super) struct Edit {
    pub(super) changes: Vec<String>,
    pub(super) warnings: Vec<String>,
}
