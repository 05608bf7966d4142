//! Libraries that the loaders of macOS and Windows do not find.

use std::collections::BTreeSet;

use binfmt::macho::Slice;
use binfmt::pe::PeInfo;
use pydist::dll::DllOrigin;
use pydist::member_path::{directory, file_name, join};
use pydist::policy;
use pydist::store::is_store_path;

use crate::dist::{Member, Wheel};

/// Why dyld may not find a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DylibProblem {
    /// The wheel has it, but not where dyld looks.
    Elsewhere,
    /// The wheel has it, but not in a directory on the search path (`@rpath`).
    Unreached,
    /// It is not in the wheel; another package may provide it.
    Unknown,
    /// Its path is one of the build machine.
    BuildMachine,
}

/// Finds the libraries of Mach-O files among the members of a wheel.
pub(crate) struct Dylibs<'w> {
    /// The installed paths of the members.
    paths: BTreeSet<&'w str>,
    names: BTreeSet<&'w str>,
    /// The search paths of all files: dyld also uses those of the files that load
    /// a file.
    search_paths: BTreeSet<String>,
}

impl<'w> Dylibs<'w> {
    pub(crate) fn new(wheel: &'w Wheel) -> Self {
        let paths = wheel.members.iter().map(Member::installed_path).collect();
        let names = wheel.members.iter().map(Member::file_name).collect();
        let slices = wheel.macho().flat_map(|(member, info)| info.slices.iter().map(move |it| (member, it)));
        let search_paths = slices.flat_map(|(member, slice)| {
            slice
                .rpaths()
                .filter_map(|path| SliceLocation::of(member, slice).expand(path))
                .collect::<Vec<_>>()
        });
        Self { paths, names, search_paths: search_paths.collect() }
    }

    /// The libraries that a slice loads and that dyld may not find.
    pub(crate) fn missing<'s>(&self, member: &Member, slice: &'s Slice) -> Vec<(&'s str, DylibProblem)> {
        let paths = slice.dylibs().filter(|dylib| !dylib.weak).map(|dylib| dylib.path);
        let location = SliceLocation::of(member, slice);
        let problem = |path: &'s str| Some((path, self.problem(&location, slice, path)?));
        paths.filter(|path| Some(*path) != slice.id()).filter_map(problem).collect()
    }

    fn problem(&self, location: &SliceLocation<'_>, slice: &Slice, path: &str) -> Option<DylibProblem> {
        // `@rpath` finds the Swift and C++ runtimes in the system.
        let is_runtime = path.starts_with("@rpath/libswift") || path.starts_with("@rpath/libc++");
        // iOS apps provide it (PEP 730).
        let is_runtime = is_runtime || path == "@rpath/Python.framework/Python";
        if policy::is_macos_library(path) || is_runtime || is_store_path(path) {
            return None;
        }
        let is_known = self.names.contains(file_name(path));
        if let Some(name) = path.strip_prefix("@rpath/") {
            let own = slice.rpaths().filter_map(|path| location.expand(path));
            let mut directories = own.chain(self.search_paths.iter().cloned());
            let is_reached = directories.any(|directory| {
                join(&directory, name).is_some_and(|path| self.paths.contains(path.as_str()))
            });
            return match (is_reached, is_known) {
                (true, _) => None,
                (false, true) => Some(DylibProblem::Unreached),
                (false, false) => Some(DylibProblem::Unknown),
            };
        }
        if !path.starts_with('@') {
            return Some(DylibProblem::BuildMachine);
        }
        match location.expand(path) {
            Some(path) if self.paths.contains(path.as_str()) => None,
            Some(_) if is_known => Some(DylibProblem::Elsewhere),
            // `@executable_path` of a library depends on the program.
            None if is_known => None,
            _ => Some(DylibProblem::Unknown),
        }
    }
}

/// The location of a slice, to expand the prefixes of its paths.
struct SliceLocation<'m> {
    directory: &'m str,
    is_executable: bool,
}

impl<'m> SliceLocation<'m> {
    fn of(member: &'m Member, slice: &Slice) -> Self {
        let directory = directory(member.installed_path());
        Self { directory, is_executable: slice.file_type == 2 }
    }

    /// Expands a path that is relative to the file or its program, relative to the
    /// library directory; `None` if it is elsewhere or unknown.
    fn expand(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix("@loader_path");
        let rest = rest.or_else(|| path.strip_prefix("@executable_path").filter(|_| self.is_executable))?;
        join(self.directory, rest)
    }
}

/// The names of the wheel's files, in lower case.
pub(crate) fn file_names(wheel: &Wheel) -> BTreeSet<String> {
    wheel.members.iter().map(|member| member.file_name().to_ascii_lowercase()).collect()
}

/// A DLL that a PE file imports and that its users may not have.
pub(crate) struct MissingDll<'p> {
    pub(crate) name: &'p str,
    pub(crate) origin: DllOrigin,
    /// Loaded on first use, perhaps never.
    pub(crate) is_delayed: bool,
}

/// The DLLs that a PE file imports and that neither Windows nor the wheel provides. For a DLL,
/// Python's own libraries also count as provided.
/// `own` are the wheel's [`file_names`].
pub(crate) fn missing_dlls<'p>(own: &BTreeSet<String>, info: &'p PeInfo) -> Vec<MissingDll<'p>> {
    let imports = info.imports.iter().filter(|dll| !own.contains(&dll.name.to_ascii_lowercase()));
    imports
        .map(|dll| MissingDll {
            name: &dll.name,
            origin: DllOrigin::of(&dll.name),
            is_delayed: dll.is_delayed,
        })
        .filter(|dll| !dll.origin.is_provided(info.is_dll))
        // Drivers of devices and plug-ins of programs import `ntoskrnl.exe` and the like.
        .filter(|dll| dll.origin != DllOrigin::Unknown || dll.name.to_ascii_lowercase().ends_with(".dll"))
        .collect()
}
