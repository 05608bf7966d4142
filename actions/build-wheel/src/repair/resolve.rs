//! Whether a wheel's binaries find the libraries in the wheel.

use std::collections::BTreeSet;

use binfmt::elf::{ElfInfo, Kind};
use binfmt::macho::Slice;
use pydist::member_path::{directory, file_name, join};
use pydist::policy;

use super::binary_error::BinaryError;
use super::layout::{Root, installed};

/// A binary in the wheel.
struct Binary {
    member: String,
    root: Root,
    /// Libraries that other binaries have loaded do not help an executable.
    is_executable: bool,
    /// The libraries it needs, except the system's and those with other paths.
    needed: Vec<Needed>,
    /// The search path for libraries that are named without a directory.
    search_path: Vec<String>,
}

/// A library that a binary needs.
struct Needed {
    /// The name in the binary.
    name: String,
    /// The paths below the root where the loader looks for it; `None` for the
    /// search path.
    paths: Option<Vec<String>>,
}

/// The binaries of a wheel, with their libraries and search paths.
#[derive(Default)]
pub(super) struct Libraries {
    binaries: Vec<Binary>,
}

impl Libraries {
    /// Adds an ELF file.
    pub(super) fn add_elf(&mut self, stem: &str, member: &str, elf: &ElfInfo) {
        let (root, path) = installed(stem, member);
        let dir = directory(&path).to_owned();
        let resolve = |path: &str| {
            let rest = path.strip_prefix("$ORIGIN").or_else(|| path.strip_prefix("${ORIGIN}"))?;
            join(&dir, rest)
        };
        // RPATH is ignored if there is a RUNPATH.
        let mut search_path: Vec<String> = elf.runpath().filter_map(resolve).collect();
        if elf.runpath().next().is_none() {
            search_path.extend(elf.rpath().filter_map(resolve));
        }
        let is_system =
            |library: &str| policy::linux().iter().any(|policy| policy.libraries.contains(library));
        let needed = elf.needed().filter(|library| !is_system(library) && !policy::is_loader(library));
        let needed = needed.map(|name| Needed { name: name.to_owned(), paths: None }).collect();
        self.binaries.push(Binary {
            member: member.to_owned(),
            root,
            is_executable: elf.kind == Kind::Executable && !file_name(member).contains(".so"),
            needed,
            search_path,
        });
    }

    /// Adds a slice of a Mach-O file.
    pub(super) fn add_macho(&mut self, stem: &str, member: &str, slice: &Slice) {
        let (root, path) = installed(stem, member);
        let dir = directory(&path).to_owned();
        let is_executable = slice.file_type == 2;
        let relative = |path: &str| -> Option<String> {
            let rest = path.strip_prefix("@loader_path");
            // They are the same for an executable.
            let rest = rest.or_else(|| path.strip_prefix("@executable_path").filter(|_| is_executable))?;
            join(&dir, rest)
        };
        let needed = slice.dylibs().filter(|library| !library.weak).filter_map(|library| {
            let paths = match library.path.strip_prefix("@rpath/") {
                Some(file) => {
                    let paths = slice.rpaths().filter_map(|rpath| relative(&format!("{rpath}/{file}")));
                    paths.collect()
                }
                None if library.path.starts_with("@loader_path") => {
                    relative(library.path).into_iter().collect()
                }
                None => return None,
            };
            Some(Needed { name: library.path.to_owned(), paths: Some(paths) })
        });
        let needed = needed.collect();
        let search_path = Vec::new();
        let member = member.to_owned();
        self.binaries.push(Binary { member, root, is_executable, needed, search_path });
    }

    /// Checks that the loader finds each needed library that is in the wheel.
    /// For modules, other binaries may have loaded it before.
    pub(super) fn check(&self, stem: &str, members: &BTreeSet<String>) -> Result<(), (String, BinaryError)> {
        let files: BTreeSet<(Root, String)> = members
            .iter()
            .map(|member| {
                let (root, path) = installed(stem, member);
                (root, path.into_owned())
            })
            .collect();
        let names: BTreeSet<&str> = files.iter().map(|(_, path)| file_name(path)).collect();
        let exists = |root: Root, path: &str| files.contains(&(root, path.to_owned()));
        for binary in &self.binaries {
            for needed in binary.needed.iter().filter(|needed| names.contains(file_name(&needed.name))) {
                let found = match &needed.paths {
                    Some(paths) => {
                        // dyld reuses a library that another binary has loaded by this name.
                        let is_shared = needed.name.starts_with("@rpath/") && !binary.is_executable;
                        is_shared || paths.iter().any(|path| exists(binary.root, path))
                    }
                    None => self.binaries_for(binary).any(|other| {
                        let mut paths = other.search_path.iter().filter_map(|dir| join(dir, &needed.name));
                        paths.any(|path| exists(other.root, &path))
                    }),
                };
                if !found {
                    let reason = match &needed.paths {
                        None if binary.search_path.is_empty() => "there is no search path to it".to_owned(),
                        None => format!("not on the search path (`{}`)", binary.search_path.join(":")),
                        Some(_) => "not at that path".to_owned(),
                    };
                    let library = needed.name.clone();
                    return Err((binary.member.clone(), BinaryError::Unreachable { library, reason }));
                }
            }
        }
        Ok(())
    }

    /// The binaries whose search paths apply to `binary`.
    fn binaries_for<'b>(&'b self, binary: &'b Binary) -> impl Iterator<Item = &'b Binary> {
        let others =
            self.binaries.iter().filter(move |other| !binary.is_executable && other.root == binary.root);
        std::iter::once(binary).chain(others)
    }
}
