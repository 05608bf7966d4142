//! What an edit needs to know about the rest of the wheel.

use std::collections::BTreeSet;

use pydist::member_path::file_name;
use pydist::policy;

use super::graft::Grafts;

/// The rest of the wheel, as the edit of one file sees it.
pub(super) struct Surroundings<'w> {
    /// Whether to remove absolute search paths outside the store, too.
    pub(super) remove_rpaths: bool,
    /// Glob patterns of libraries that the user's machine provides.
    pub(super) exclude: &'w [String],
    /// The file names of all members, including bundled libraries.
    pub(super) files: &'w mut BTreeSet<String>,
    /// Grafted libraries; `None` if grafting is disabled.
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
    /// Whether `exclude` matches the library.
    pub(super) fn is_excluded(&self, library: &str) -> bool {
        is_excluded(self.exclude, library)
    }

    /// The needed libraries that `exclude` matches and that are neither in the
    /// wheel nor part of every system.
    pub(super) fn external<'l>(&self, needed: impl Iterator<Item = &'l str>) -> Vec<String> {
        let is_external = |library: &&str| {
            let file = file_name(library);
            let is_system = policy::is_loader(file) || policy::is_macos_library(library);
            self.is_excluded(file) && !self.files.contains(file) && !is_system
        };
        needed.filter(is_external).map(str::to_owned).collect()
    }
}
