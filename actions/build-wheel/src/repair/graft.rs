//! Grafts libraries into the wheel: those in the Nix store, or all that are
//! not on every machine.
//!
//! A library's directory depends on where an installer puts the file that
//! needs it. Modules are below `site-packages`, and so is `<package>.libs`.
//! Scripts are not: an installer moves them to `<prefix>/bin`, whose position
//! relative to `site-packages` is not fixed. But every installation scheme
//! (Python's `sysconfig`: prefix, venv, user, home, Debian's) has `scripts` in
//! `bin` of `data`, so the libraries of scripts go to `libexec/<package>.libs` of
//! `data`. They cannot go to its `lib`, which `pip install --target` drops.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use binfmt::binary::Format;
use pydist::digest;
use pydist::member_path::{directory, file_name};
use pydist::store::mentions_store;
use pydist::zip::Content;
use toolkit::choice;

use super::layout::{Root, installed};

/// Why a library cannot be grafted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraftError {
    /// It cannot be read on this machine.
    #[error("`{}` cannot be read for grafting: {why}", path.display())]
    Read {
        /// The library.
        path: PathBuf,
        /// The system's error message.
        why: String,
    },
    /// It is outside the store.
    #[error("`{}` resolves to `{}`, which is not in the Nix store", path.display(), real.display())]
    Outside {
        /// The library.
        path: PathBuf,
        /// The path with links resolved.
        real: PathBuf,
    },
    /// It is not a library, but for example a linker script.
    #[error("`{}` is neither an ELF nor a Mach-O file", .0.display())]
    Format(PathBuf),
    /// A DLL that neither the wheel nor Windows has is not on this machine.
    #[error("cannot find `{name}`, which `{importer}` imports{}", .skipped.iter().map(|reason| format!("; {reason}")).collect::<String>())]
    Dll {
        /// The DLL.
        name: String,
        /// The member or the DLL that imports it.
        importer: String,
        /// Why files of this name were skipped.
        skipped: Vec<String>,
    },
    /// A debug DLL, which must not be redistributed.
    #[error("`{importer}` imports the debug DLL `{name}`, which exists only on development machines")]
    DebugDll {
        /// The DLL.
        name: String,
        /// The member or the DLL that imports it.
        importer: String,
    },
    /// Its name is too short for a hash.
    #[error("`{0}` cannot be grafted: its name is too short to be made unique")]
    Name(String),
}

choice! {
    /// The libraries to graft.
    pub enum GraftScope {
        /// None.
        Off = "off",
        /// Those in the Nix store.
        Store = "store",
        /// All that are not on every machine.
        All = "all",
    }
}

/// The libraries grafted into one wheel.
pub(super) struct Grafts {
    /// The package's name in the wheel's file name.
    package: String,
    /// `<package>-<version>`.
    stem: String,
    /// New names of the libraries, by the root that they are installed in,
    /// their path on this machine and the name that binaries need them by.
    new_names: BTreeMap<(Root, PathBuf, String), String>,
    /// Whether libraries outside the store are grafted, too.
    is_all: bool,
    /// The grafted libraries: member, source, digest.
    grafted: Vec<(String, PathBuf, [u8; 32])>,
    /// Grafted libraries that are not edited yet.
    queue: Vec<Grafted>,
    scratch: PathBuf,
}

/// A library that is being added to the wheel.
pub(super) struct Grafted {
    /// Its path in the wheel.
    pub(super) member: String,
    /// Its path on this machine.
    pub(super) from: PathBuf,
    pub(super) content: Content,
}

impl Grafts {
    /// For the wheel `<package>-<version>`.
    pub(super) fn new(stem: &str, scope: GraftScope, scratch: &Path) -> Self {
        Self {
            is_all: scope == GraftScope::All,
            grafted: Vec::new(),
            scratch: scratch.to_owned(),
            package: stem.split('-').next().unwrap_or_default().to_owned(),
            stem: stem.to_owned(),
            new_names: BTreeMap::new(),
            queue: Vec::new(),
        }
    }

    /// Grafts the library at `path`, which `member` needs as `file`. Returns its
    /// new name, which has at most `room` bytes.
    pub(super) fn graft(
        &mut self,
        member: &str,
        path: &Path,
        file: &str,
        room: usize,
    ) -> Result<String, GraftError> {
        let read_error =
            |error: std::io::Error| GraftError::Read { path: path.to_owned(), why: error.to_string() };
        let real = path.canonicalize().map_err(read_error)?;
        // The path in the wheel may be a link or contain `..`.
        if !self.is_all && !mentions_store(&real.to_string_lossy()) {
            return Err(GraftError::Outside { path: path.to_owned(), real });
        }
        let (location, _) = installed(&self.stem, member);
        let key = (location, real, file.to_owned());
        if let Some(name) = self.new_names.get(&key) {
            return Ok(name.clone());
        }
        let library = std::fs::File::open(&key.1).map_err(read_error)?;
        let content = Content::copy(&library, &self.scratch).map_err(read_error)?;
        let head = content.head(8).map_err(read_error)?;
        if !matches!(Format::detect(&head), Some(Format::Elf | Format::MachO)) {
            return Err(GraftError::Format(key.1));
        }
        // On Windows, the reads above have moved the position in the file.
        let library = std::fs::File::open(&key.1).map_err(read_error)?;
        let (hash, _) = digest::sha256_reader(library).map_err(read_error)?;
        let name = unique_name(file, &hash, room).ok_or_else(|| GraftError::Name(file.to_owned()))?;
        let dir = match location {
            Root::Site => format!("{}.libs", self.package),
            Root::Data | Root::Headers => format!("{}.data/data/libexec/{}.libs", self.stem, self.package),
        };
        let member = format!("{dir}/{name}");
        self.grafted.push((member.clone(), key.1.clone(), hash));
        self.queue.push(Grafted { member, from: key.1.clone(), content });
        self.new_names.insert(key, name.clone());
        Ok(name)
    }

    /// Whether libraries outside the store are grafted.
    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    /// Adds a library that was grafted without [`Self::graft`].
    pub(super) fn add_grafted(&mut self, member: String, from: PathBuf, hash: [u8; 32]) {
        self.grafted.push((member, from, hash));
    }

    /// The grafted libraries: the member, its source, and the source's digest.
    pub(super) fn grafted(&self) -> &[(String, PathBuf, [u8; 32])] {
        &self.grafted
    }

    /// The next library to edit.
    pub(super) fn next(&mut self) -> Option<Grafted> {
        self.queue.pop()
    }

    /// The file name of `member`, if it is a grafted library.
    pub(super) fn grafted_name<'m>(&self, member: &'m str) -> Option<&'m str> {
        let file = file_name(member);
        self.new_names.values().any(|name| name == file).then_some(file)
    }

    /// The relative path from `member`'s directory to its libraries, with a
    /// leading slash; empty if they are in the same directory.
    pub(super) fn relative_libs(&self, member: &str) -> String {
        let (root, path) = installed(&self.stem, member);
        let dir = match root {
            Root::Site => format!("{}.libs", self.package),
            Root::Data | Root::Headers => format!("libexec/{}.libs", self.package),
        };
        let member_dir = directory(&path);
        if member_dir == dir {
            return String::new();
        }
        let up = member_dir.split('/').filter(|part| !part.is_empty()).count();
        format!("{}/{dir}", "/..".repeat(up))
    }
}

/// `file` with a hash of its content, so that a process does not confuse it with
/// another wheel's library of the same name. If there is not enough room, the
/// hash replaces the name, and only the suffix of a library is kept.
fn unique_name(file: &str, hash: &[u8; 32], room: usize) -> Option<String> {
    const SHORTEST: usize = 6;
    let hash = digest::hex(hash);
    let (stem, suffix) = file.split_once('.').unwrap_or((file, ""));
    let long = format!("{stem}-{}{}{suffix}", &hash[..8], if suffix.is_empty() { "" } else { "." });
    if long.len() <= room {
        return Some(long);
    }
    let suffix = if file.ends_with(".dylib") { ".dylib" } else { ".so" };
    let room = room.checked_sub(suffix.len()).filter(|room| *room >= SHORTEST)?;
    let prefix = if room >= SHORTEST + 3 { "lib" } else { "" };
    Some(format!("{prefix}{}{suffix}", &hash[..8.min(room - prefix.len())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_relative_to_the_installed_file() {
        let grafts = Grafts::new("sample-1.0", GraftScope::Store, Path::new(""));
        for (member, relative_libs) in [
            ("sample.abi3.so", "/sample.libs"),
            ("sample/sub/a.so", "/../../sample.libs"),
            ("sample-1.0.data/platlib/sample/a.so", "/../sample.libs"),
            ("sample-1.0.data/scripts/sample", "/../libexec/sample.libs"),
            ("sample-1.0.data/data/lib/x/sample", "/../../libexec/sample.libs"),
            ("sample.libs/libx.so.1", ""),
            ("sample-1.0.data/data/libexec/sample.libs/libx.so.1", ""),
        ] {
            assert_eq!(grafts.relative_libs(member), relative_libs, "{member}");
        }
    }

    #[test]
    fn names_are_unique_and_fit_the_room() {
        let (x, y) = (digest::sha256(b"x"), digest::sha256(b"y"));
        assert_eq!(unique_name("libssl.so.3", &x, 64).unwrap(), "libssl-2d711642.so.3");
        assert_eq!(unique_name("libssl.so.3", &x, 11).unwrap(), "2d711642.so");
        assert_eq!(unique_name("libouter.so.1", &x, 13).unwrap(), "lib2d71164.so");
        assert_ne!(unique_name("libssl.so.3", &y, 11), unique_name("libssl.so.3", &x, 11));
        assert_eq!(unique_name("libz.so.1", &x, 9).unwrap(), "2d7116.so");
        assert_eq!(unique_name("libz.so", &x, 7), None);
    }
}
