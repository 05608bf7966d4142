//! What is asked of a repaired wheel.

use std::path::PathBuf;

use super::graft::GraftScope;
use crate::build_target::BuildTarget;
use crate::compatibility::Compatibility;

/// The earliest time that a zip archive can hold: 1980, in seconds since 1970.
pub const EARLIEST: u64 = 315_532_800;

/// What is asked of the result.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the wheel must be for; `None`: for whatever its content is.
    pub target: Option<BuildTarget>,
    /// The platform to declare; more than that must not be needed.
    pub compatibility: Option<Compatibility>,
    /// The time of all members, in seconds since 1970.
    pub epoch: u64,
    /// Whether absolute search paths outside the store go too.
    pub remove_rpaths: bool,
    /// Which libraries go into the wheel.
    pub graft: GraftScope,
    /// Libraries that the machine of the user has, by patterns of their names.
    pub exclude: Vec<String>,
    /// Where members go that are too large for memory.
    pub scratch: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: None,
            compatibility: None,
            epoch: EARLIEST,
            remove_rpaths: false,
            graft: GraftScope::Off,
            exclude: Vec::new(),
            scratch: std::env::temp_dir(),
        }
    }
}
