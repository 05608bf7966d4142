//! Options of a repair.

use std::path::PathBuf;

use super::graft::GraftScope;
use crate::build_target::BuildTarget;
use crate::compatibility::Compatibility;

/// The earliest time that a zip archive can store: 1980, in seconds since 1970.
pub const EARLIEST: u64 = 315_532_800;

/// Options of a repair.
#[derive(Debug, Clone)]
pub struct Options {
    /// The target of the wheel; `None` accepts the target of its content.
    pub target: Option<BuildTarget>,
    /// The platform to declare; the wheel must not need a newer one.
    pub compatibility: Option<Compatibility>,
    /// The timestamp of all members, in seconds since 1970.
    pub epoch: u64,
    /// Whether to remove absolute search paths outside the store, too.
    pub remove_rpaths: bool,
    /// Which libraries to graft into the wheel.
    pub graft: GraftScope,
    /// Glob patterns of libraries that the user's machine provides.
    pub exclude: Vec<String>,
    /// The directory for members that are too large for memory.
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
