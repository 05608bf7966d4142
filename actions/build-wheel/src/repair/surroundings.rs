//! What an edit has to know of the wheel around the file.

use std::collections::BTreeSet;

use pydist::policy;

use super::graft::Grafts;
use super::layout::file_name;

/// The wheel around a file.
pub(super) struct Surroundings<'w> {
    /// Whether absolute search paths outside the store go too.
    pub(super) remove_rpaths: bool,
    /// Patterns of libraries that the machine of the user has.
    pub(super) exclude: &'w [String],
    /// The base names of all members: libraries that come along.
    pub(super) files: &'w mut BTreeSet<String>,
    /// Where libraries go that are copied; `None`: they may not be.
    pub(super) grafts: &'w mut Option<Grafts>,
}

/// Whether one of the patterns matches the name of a library. Windows ignores the case of
/// a DLL's name.
pub(super) fn is_excluded(exclude: &[String], library: &str) -> bool {
    let is_dll = library.to_ascii_lowercase().ends_with(".dll");
    exclude.iter().any(|pattern| {
        let glob = globset::GlobBuilder::new(pattern).case_insensitive(is_dll).build();
        glob.is_ok_and(|glob| glob.compile_matcher().is_match(library))
    })
}

impl Surroundings<'_> {
    /// Whether the user's machine has the library, by what the caller says.
    pub(super) fn is_excluded(&self, library: &str) -> bool {
        is_excluded(self.exclude, library)
    }

    /// Those of the needed libraries that the user's machine has, by what the
    /// caller says, as they are asked for.
    pub(super) fn external<'l>(&self, needed: impl Iterator<Item = &'l str>) -> Vec<String> {
        let is_external = |library: &&str| {
            let file = file_name(library);
            let is_system = policy::is_loader(file) || policy::is_macos_library(library);
            self.is_excluded(file) && !self.files.contains(file) && !is_system
        };
        needed.filter(is_external).map(str::to_owned).collect()
    }
}
