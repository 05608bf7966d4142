//! Libraries that the loaders of macOS and Windows look for and do not find.

use std::collections::BTreeSet;

use binfmt::macho::Slice;
use binfmt::pe::PeInfo;
use pydist::policy::{self, DllOrigin};

use crate::facts::{Member, Wheel};

/// Why dyld may not find a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Absence {
    /// The wheel has it elsewhere than where dyld looks.
    Elsewhere,
    /// The wheel has it, in no directory that its search paths (`@rpath`) name.
    Unreached,
    /// It is not in the wheel; another package may bring it.
    Unknown,
    /// It is at a path of the machine that built the wheel.
    BuildMachine,
}

/// Finds the libraries of Mach-O files among the members of a wheel.
pub(crate) struct Dylibs<'w> {
    /// Where the members are installed.
    paths: BTreeSet<&'w str>,
    names: BTreeSet<&'w str>,
    /// The search paths of all files: dyld takes those of the files that load
    /// a file, too.
    searched: BTreeSet<String>,
}

impl<'w> Dylibs<'w> {
    pub(crate) fn new(wheel: &'w Wheel) -> Self {
        let paths = wheel.members.iter().map(Member::installed_path).collect();
        let names = wheel.members.iter().map(Member::file_name).collect();
        let slices = wheel.macho().flat_map(|(member, info)| info.slices.iter().map(move |it| (member, it)));
        let searched = slices.flat_map(|(member, slice)| {
            slice.rpaths().filter_map(|path| Place::of(member, slice).expand(path)).collect::<Vec<_>>()
        });
        Self { paths, names, searched: searched.collect() }
    }

    /// The libraries that a slice loads and that dyld may not find.
    pub(crate) fn missing<'s>(&self, member: &Member, slice: &'s Slice) -> Vec<(&'s str, Absence)> {
        let paths = slice.dylibs().filter(|dylib| !dylib.weak).map(|dylib| dylib.path);
        let place = Place::of(member, slice);
        let absence = |path: &'s str| Some((path, self.absence(&place, slice, path)?));
        paths.filter(|path| Some(*path) != slice.id()).filter_map(absence).collect()
    }

    fn absence(&self, place: &Place<'_>, slice: &Slice, path: &str) -> Option<Absence> {
        // The Swift and C++ runtimes that `@rpath` finds in the system.
        let is_runtime = path.starts_with("@rpath/libswift") || path.starts_with("@rpath/libc++");
        // Apps for iOS bring it (PEP 730).
        let is_runtime = is_runtime || path == "@rpath/Python.framework/Python";
        if policy::is_macos_library(path) || is_runtime || path.starts_with("/nix/store/") {
            return None;
        }
        let is_known = self.names.contains(path.rsplit('/').next().unwrap_or(path));
        if let Some(name) = path.strip_prefix("@rpath/") {
            let own = slice.rpaths().filter_map(|path| place.expand(path));
            let mut directories = own.chain(self.searched.iter().cloned());
            let is_reached = directories.any(|directory| {
                joined(&directory, name).is_some_and(|path| self.paths.contains(path.as_str()))
            });
            return match (is_reached, is_known) {
                (true, _) => None,
                (false, true) => Some(Absence::Unreached),
                (false, false) => Some(Absence::Unknown),
            };
        }
        if !path.starts_with('@') {
            return Some(Absence::BuildMachine);
        }
        match place.expand(path) {
            Some(path) if self.paths.contains(path.as_str()) => None,
            Some(_) if is_known => Some(Absence::Elsewhere),
            // `@executable_path` of a library depends on the program.
            None if is_known => None,
            _ => Some(Absence::Unknown),
        }
    }
}

/// Where a slice is, for the prefixes of its paths.
struct Place<'m> {
    directory: &'m str,
    is_executable: bool,
}

impl<'m> Place<'m> {
    fn of(member: &'m Member, slice: &Slice) -> Self {
        let directory = member.installed_path().rsplit_once('/').map_or("", |(directory, _)| directory);
        Self { directory, is_executable: slice.file_type == 2 }
    }

    /// A path that starts at the file or at its program, from the library
    /// directory on; `None` where it is elsewhere or not known.
    fn expand(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix("@loader_path");
        let rest = rest.or_else(|| path.strip_prefix("@executable_path").filter(|_| self.is_executable))?;
        joined(self.directory, rest)
    }
}

/// A path below a directory, without `.` and `..`; `None` where it leads out of
/// the library directory.
fn joined(directory: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The DLLs that a PE file needs and that neither Windows nor Python nor the wheel has,
/// each with its origin, and whether it is loaded late.
pub(crate) fn missing_dlls<'p>(wheel: &Wheel, info: &'p PeInfo) -> Vec<(&'p str, DllOrigin, bool)> {
    let own: BTreeSet<String> =
        wheel.members.iter().map(|member| member.file_name().to_ascii_lowercase()).collect();
    let imports = info.imports.iter().filter(|dll| !own.contains(&dll.name.to_ascii_lowercase()));
    imports
        .map(|dll| (dll.name.as_str(), DllOrigin::of(&dll.name), dll.is_delayed))
        .filter(|(_, origin, _)| matches!(origin, DllOrigin::Redistributable | DllOrigin::Port))
        .collect()
}
