//! Whether the libraries that a wheel brings are where its binaries look.

use std::collections::BTreeSet;

use binfmt::elf::{ElfInfo, Kind};
use binfmt::macho::Slice;
use pydist::policy;

use super::binary_error::BinaryError;
use super::layout::{Root, directory, file_name, installed, join};

/// A binary of the wheel.
struct Binary {
    member: String,
    root: Root,
    /// Nothing that was loaded before can help it.
    is_executable: bool,
    /// Libraries that are neither the system's nor searched for elsewhere.
    needed: Vec<Needed>,
    /// Where it looks for the libraries that it names without a directory.
    searched: Vec<String>,
}

/// A library that a binary asks for.
struct Needed {
    /// As it asks.
    name: String,
    /// The paths below the root at which the loader looks for it; none: the
    /// directories that are searched.
    paths: Option<Vec<String>>,
}

/// The binaries of a wheel, and where each looks for its libraries.
#[derive(Default)]
pub(super) struct Libraries {
    binaries: Vec<Binary>,
}

impl Libraries {
    /// Notes an ELF file.
    pub(super) fn add_elf(&mut self, stem: &str, member: &str, elf: &ElfInfo) {
        let (root, path) = installed(stem, member);
        let own = directory(&path).to_owned();
        let resolve = |path: &str| {
            let rest = path.strip_prefix("$ORIGIN").or_else(|| path.strip_prefix("${ORIGIN}"))?;
            join(&own, rest)
        };
        // RPATH counts only where there is no RUNPATH.
        let mut searched: Vec<String> = elf.runpath().filter_map(resolve).collect();
        if elf.runpath().next().is_none() {
            searched.extend(elf.rpath().filter_map(resolve));
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
            searched,
        });
    }

    /// Notes a slice of a Mach-O file.
    pub(super) fn add_macho(&mut self, stem: &str, member: &str, slice: &Slice) {
        let (root, path) = installed(stem, member);
        let own = directory(&path).to_owned();
        let is_executable = slice.file_type == 2;
        let relative = |path: &str| -> Option<String> {
            let rest = path.strip_prefix("@loader_path");
            // In an executable they are the same.
            let rest = rest.or_else(|| path.strip_prefix("@executable_path").filter(|_| is_executable))?;
            join(&own, rest)
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
        let searched = Vec::new();
        let member = member.to_owned();
        self.binaries.push(Binary { member, root, is_executable, needed, searched });
    }

    /// The first binary that asks for a library of the wheel that no loader
    /// would find. What a module needs may be loaded by another one before it.
    pub(super) fn check(&self, stem: &str, members: &BTreeSet<String>) -> Result<(), (String, BinaryError)> {
        let files: BTreeSet<(Root, String)> = members
            .iter()
            .map(|member| {
                let (root, path) = installed(stem, member);
                (root, path.into_owned())
            })
            .collect();
        let names: BTreeSet<&str> = files.iter().map(|(_, path)| file_name(path)).collect();
        let is_there = |root: Root, path: &str| files.contains(&(root, path.to_owned()));
        for binary in &self.binaries {
            for needed in binary.needed.iter().filter(|needed| names.contains(file_name(&needed.name))) {
                let found = match &needed.paths {
                    Some(paths) => {
                        // What another binary has loaded by this name is taken.
                        let is_shared = needed.name.starts_with("@rpath/") && !binary.is_executable;
                        is_shared || paths.iter().any(|path| is_there(binary.root, path))
                    }
                    None => self.searchers(binary).any(|searcher| {
                        let mut paths =
                            searcher.searched.iter().filter_map(|place| join(place, &needed.name));
                        paths.any(|path| is_there(searcher.root, &path))
                    }),
                };
                if !found {
                    let looks = match &needed.paths {
                        None if binary.searched.is_empty() => "any search path leads".to_owned(),
                        None => format!("its search path leads (`{}`)", binary.searched.join(":")),
                        Some(_) => "that path leads".to_owned(),
                    };
                    let library = needed.name.clone();
                    return Err((binary.member.clone(), BinaryError::Unreachable { library, looks }));
                }
            }
        }
        Ok(())
    }

    /// The binaries whose search paths count for `binary`.
    fn searchers<'b>(&'b self, binary: &'b Binary) -> impl Iterator<Item = &'b Binary> {
        let others =
            self.binaries.iter().filter(move |other| !binary.is_executable && other.root == binary.root);
        std::iter::once(binary).chain(others)
    }
}
