//! Whether a wheel's binaries find the libraries in the wheel.

use std::collections::{BTreeSet, HashMap, HashSet};

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
    /// Where it is below the prefix.
    path: String,
    /// The architecture of a Mach-O slice: one process does not load another's.
    arch: &'static str,
    /// Libraries that other binaries have loaded do not help an executable.
    is_executable: bool,
    /// The libraries it needs, except the system's and those with other paths.
    needed: Vec<Needed>,
    /// The directories of RUNPATH, for the libraries that it needs itself.
    runpath: Option<Vec<String>>,
    /// The directories of RPATH or of LC_RPATH, for all that is loaded because of it.
    rpath: Vec<String>,
}

/// A library that a binary needs.
struct Needed {
    /// The name in the binary.
    name: String,
    place: Place,
}

/// Where the loader looks for a library.
enum Place {
    /// In each directory of the search path, at this path.
    Searched(String),
    /// At this path below the prefix; `None` if it is outside.
    At(Option<String>),
}

/// The binaries of a wheel, with their libraries and search paths.
#[derive(Default)]
pub(super) struct Libraries {
    binaries: Vec<Binary>,
}

impl Libraries {
    /// Adds an ELF file.
    pub(super) fn add_elf(&mut self, stem: &str, member: &str, elf: &ElfInfo) {
        let (root, path) = place(stem, member);
        let dir = directory(&path).to_owned();
        let resolve = |path: &str| {
            let rest = path.strip_prefix("$ORIGIN").or_else(|| path.strip_prefix("${ORIGIN}"))?;
            below(&dir, rest)
        };
        // RPATH is ignored if there is a RUNPATH.
        let has_runpath = elf.runpath().next().is_some();
        let runpath = has_runpath.then(|| elf.runpath().filter_map(resolve).collect());
        let rpath = elf.rpath().filter(|_| !has_runpath).filter_map(resolve).collect();
        let is_system =
            |library: &str| policy::linux().iter().any(|policy| policy.libraries.contains(library));
        let needed = elf.needed().filter(|library| !is_system(library) && !policy::is_loader(library));
        let needed =
            needed.map(|name| Needed { name: name.to_owned(), place: Place::Searched(name.to_owned()) });
        self.binaries.push(Binary {
            member: member.to_owned(),
            root,
            is_executable: elf.kind == Kind::Executable && !file_name(member).contains(".so"),
            needed: needed.collect(),
            path,
            arch: "",
            runpath,
            rpath,
        });
    }

    /// Adds a slice of a Mach-O file.
    pub(super) fn add_macho(&mut self, stem: &str, member: &str, slice: &Slice) {
        let (root, path) = place(stem, member);
        let dir = directory(&path).to_owned();
        let is_executable = slice.file_type == 2;
        let relative = |path: &str| -> Option<String> {
            let rest = path.strip_prefix("@loader_path");
            // They are the same for an executable.
            let rest = rest.or_else(|| path.strip_prefix("@executable_path").filter(|_| is_executable))?;
            below(&dir, rest)
        };
        let needed = slice.dylibs().filter(|library| !library.weak).filter_map(|library| {
            let place = match library.path.strip_prefix("@rpath/") {
                Some(file) => Place::Searched(file.to_owned()),
                None if library.path.starts_with("@loader_path") => Place::At(relative(library.path)),
                None => return None,
            };
            Some(Needed { name: library.path.to_owned(), place })
        });
        self.binaries.push(Binary {
            member: member.to_owned(),
            root,
            is_executable,
            needed: needed.collect(),
            arch: slice.arch,
            runpath: None,
            rpath: slice.rpaths().filter_map(relative).collect(),
            path,
        });
    }

    /// Checks that the loader finds each needed library that is in the wheel.
    /// For modules, another binary that needs the library and finds it may have loaded it before.
    pub(super) fn check(&self, stem: &str, members: &BTreeSet<String>) -> Result<(), (String, BinaryError)> {
        let files: Files = members.iter().map(|member| place(stem, member).1).collect();
        let names: BTreeSet<&str> = files.iter().map(|path| file_name(path)).collect();
        let search_paths = self.search_paths(&files);
        // Those that find a library, by its name.
        let mut finders: HashMap<&str, Vec<&Binary>> = HashMap::new();
        let mut lost = Vec::new();
        for (binary, search_path) in self.binaries.iter().zip(&search_paths) {
            for needed in binary.needed.iter().filter(|needed| names.contains(file_name(&needed.name))) {
                if needed.find(search_path, &files).is_some() {
                    finders.entry(file_name(&needed.name)).or_default().push(binary);
                } else {
                    lost.push((binary, needed, search_path));
                }
            }
        }
        for (binary, needed, search_path) in lost {
            let mut finders = finders.get(file_name(&needed.name)).into_iter().flatten();
            // A path must exist; a name may be that of a library in memory.
            let is_loaded_before = !binary.is_executable
                && matches!(needed.place, Place::Searched(_))
                && finders.any(|other| other.root == binary.root && other.arch == binary.arch);
            if !is_loaded_before {
                let reason = match &needed.place {
                    Place::Searched(_) if search_path.is_empty() => {
                        "there is no search path to it".to_owned()
                    }
                    Place::Searched(_) => {
                        let dirs: Vec<&str> =
                            search_path.iter().map(|dir| dir.strip_prefix(SITE).unwrap_or(dir)).collect();
                        format!("not on the search path (`{}`)", dirs.join(":"))
                    }
                    Place::At(_) => "not at that path".to_owned(),
                };
                let library = needed.name.clone();
                return Err((binary.member.clone(), BinaryError::Unreachable { library, reason }));
            }
        }
        Ok(())
    }

    /// The directories in which the loader looks for the libraries of each binary: its RUNPATH,
    /// or its RPATH and that of each binary that loads it, directly or not.
    fn search_paths(&self, files: &Files) -> Vec<BTreeSet<String>> {
        let mut by_path: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, binary) in self.binaries.iter().enumerate() {
            by_path.entry(binary.path.as_str()).or_default().push(index);
        }
        let mut inherited: Vec<BTreeSet<String>> =
            self.binaries.iter().map(|binary| binary.rpath.iter().cloned().collect()).collect();
        let runpath = |binary: &Binary| binary.runpath.clone().map(BTreeSet::from_iter);
        let mut pending: Vec<usize> = (0..self.binaries.len()).collect();
        while let Some(index) = pending.pop() {
            let binary = &self.binaries[index];
            let search_path = runpath(binary).unwrap_or_else(|| inherited[index].clone());
            for needed in &binary.needed {
                let Some(path) = needed.find(&search_path, files) else { continue };
                for &loaded in by_path.get(path.as_str()).into_iter().flatten() {
                    if loaded == index || self.binaries[loaded].arch != binary.arch {
                        continue;
                    }
                    let before = inherited[loaded].len();
                    let passed_on = inherited[index].clone();
                    inherited[loaded].extend(passed_on);
                    if inherited[loaded].len() > before {
                        pending.push(loaded);
                    }
                }
            }
        }
        let all = self.binaries.iter().zip(inherited);
        all.map(|(binary, inherited)| runpath(binary).unwrap_or(inherited)).collect()
    }
}

/// The files of a wheel, where an installer puts them below the prefix.
type Files = HashSet<String>;

/// `site-packages` below the prefix, without the minor version of Python.
const SITE: &str = "lib/python3/site-packages/";

/// The directory of headers below the prefix, in the same way.
const HEADERS: &str = "include/site/python3/";

/// Where an installer puts a member.
fn place(stem: &str, member: &str) -> (Root, String) {
    let (root, path) = installed(stem, member);
    let path = match root {
        Root::Site => format!("{SITE}{path}"),
        Root::Data => without_minor(&path),
        Root::Headers => format!("{HEADERS}{path}"),
    };
    (root, path)
}

/// The path below the prefix without the minor version of Python.
fn without_minor(path: &str) -> String {
    let below = path.strip_prefix("lib/python3.").and_then(|rest| rest.split_once('/'));
    below.map_or_else(|| path.to_owned(), |(_, rest)| format!("lib/python3/{rest}"))
}

/// The path `relative` from a directory; `None` outside of the prefix.
fn below(directory: &str, relative: &str) -> Option<String> {
    Some(without_minor(&join(directory, relative)?))
}

impl Needed {
    /// Where the loader finds the library, below the prefix.
    fn find(&self, search_path: &BTreeSet<String>, files: &Files) -> Option<String> {
        let exists = |path: &String| files.contains(path);
        match &self.place {
            Place::At(path) => path.clone().filter(exists),
            Place::Searched(path) => search_path.iter().filter_map(|dir| below(dir, path)).find(exists),
        }
    }
}
