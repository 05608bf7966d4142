//! What an edit has to know of the wheel around the file.

use std::collections::BTreeSet;

use super::graft::Grafts;

/// The wheel around a file.
pub(super) struct Surroundings<'w> {
    /// Whether absolute search paths outside the store go too.
    pub(super) remove_rpaths: bool,
    /// The base names of all members: libraries that come along.
    pub(super) files: &'w mut BTreeSet<String>,
    /// Where libraries go that are copied; `None`: they may not be.
    pub(super) grafts: &'w mut Option<Grafts>,
}
