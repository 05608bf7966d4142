//! What a repair did, and what it noticed.

use serde::Serialize;

/// A remark about one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The member's path in the wheel.
    pub file: String,
    /// What was done, or what is the matter.
    pub what: String,
}

/// What an edit of one member did.
#[derive(Debug, Default)]
pub(super) struct Edit {
    pub(super) changes: Vec<String>,
    pub(super) warnings: Vec<String>,
}
