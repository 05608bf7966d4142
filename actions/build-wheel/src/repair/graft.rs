//! Libraries that go into the wheel, where that is asked for: those of the Nix
//! store, or all that not every machine has.
//!
//! Where a library goes follows from where an installer puts the file that
//! needs it. Modules are below `site-packages`, and so is `<package>.libs`.
//! Scripts are not: an installer moves them to `<prefix>/bin`, at no fixed
//! distance from `site-packages`. But every installation scheme (Python's
//! `sysconfig`: prefix, venv, user, home, Debian's) has `scripts` in `bin` of
//! `data`, so a script's libraries go to `libexec/<package>.libs` of `data`: what
//! is in `lib` there is lost by `pip install --target`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use binfmt::binary::Format;
use pydist::digest;
use pydist::zip::Content;

use super::layout::{Root, installed};
use super::store::in_store;

/// Why a library cannot be grafted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraftError {
    /// It is not on this machine.
    #[error("`{}` cannot be read for grafting: {why}", path.display())]
    Read {
        /// The library.
        path: PathBuf,
        /// The system's word for it.
        why: String,
    },
    /// It is outside of the store.
    #[error("`{}` leads to `{}`, which is not in the Nix store", path.display(), real.display())]
    Outside {
        /// The library.
        path: PathBuf,
        /// What it is a link to.
        real: PathBuf,
    },
    /// No library, such as a linker's script.
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
    /// Its name has no room for a hash.
    #[error("`{0}` cannot be grafted: its name is too short to be made unique in place")]
    Name(String),
}

/// Which libraries are grafted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraftScope {
    /// None.
    Off,
    /// Those of the Nix store.
    Store,
    /// Those of this machine, too, that not every machine has.
    All,
}

/// What is to be grafted into one wheel.
pub(super) struct Grafts {
    /// The wheel's name for its package.
    package: String,
    /// `<package>-<version>`.
    stem: String,
    /// Where each library is taken from, and by which name it is asked for;
    /// its new name.
    taken: BTreeMap<(Root, PathBuf, String), String>,
    /// Whether libraries outside the store are, too.
    is_all: bool,
    /// What was grafted: member, source, digest.
    done: Vec<(String, PathBuf, [u8; 32])>,
    /// What has not been looked at yet.
    queue: Vec<Grafted>,
    scratch: PathBuf,
}

/// A library on its way into the wheel.
pub(super) struct Grafted {
    /// The member it becomes.
    pub(super) member: String,
    /// Where it comes from.
    pub(super) from: PathBuf,
    pub(super) content: Content,
}

impl Grafts {
    /// For the wheel whose names begin with `<package>-<version>`.
    pub(super) fn new(stem: &str, scope: GraftScope, scratch: &Path) -> Self {
        Self {
            is_all: scope == GraftScope::All,
            done: Vec::new(),
            scratch: scratch.to_owned(),
            package: stem.split('-').next().unwrap_or_default().to_owned(),
            stem: stem.to_owned(),
            taken: BTreeMap::new(),
            queue: Vec::new(),
        }
    }

    /// Takes the library at `path` along, which `member` asks for as `file`;
    /// gives the name to ask for from now on, which is at most `room` long.
    pub(super) fn take(
        &mut self,
        member: &str,
        path: &Path,
        file: &str,
        room: usize,
    ) -> Result<String, GraftError> {
        let unread =
            |error: std::io::Error| GraftError::Read { path: path.to_owned(), why: error.to_string() };
        let real = path.canonicalize().map_err(unread)?;
        // A link, or dots in a path that a wheel came with.
        if !self.is_all && !in_store(&real.to_string_lossy()) {
            return Err(GraftError::Outside { path: path.to_owned(), real });
        }
        let (at, _) = installed(&self.stem, member);
        let key = (at, real, file.to_owned());
        if let Some(name) = self.taken.get(&key) {
            return Ok(name.clone());
        }
        let library = std::fs::File::open(&key.1).map_err(unread)?;
        let content = Content::copy(&library, &self.scratch).map_err(unread)?;
        let head = content.head(8).map_err(unread)?;
        if !matches!(Format::detect(&head), Some(Format::Elf | Format::MachO)) {
            return Err(GraftError::Format(key.1));
        }
        let (hash, _) = digest::sha256_reader(&library).map_err(unread)?;
        let name = unique(file, &hash, room).ok_or_else(|| GraftError::Name(file.to_owned()))?;
        let folder = match at {
            Root::Site => format!("{}.libs", self.package),
            Root::Data => format!("{}.data/data/libexec/{}.libs", self.stem, self.package),
        };
        let member = format!("{folder}/{name}");
        self.done.push((member.clone(), key.1.clone(), hash));
        self.queue.push(Grafted { member, from: key.1.clone(), content });
        self.taken.insert(key, name.clone());
        Ok(name)
    }

    /// Whether libraries outside the store are grafted.
    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    /// Notes a library that was grafted without [`Self::take`].
    pub(super) fn add_done(&mut self, member: String, from: PathBuf, hash: [u8; 32]) {
        self.done.push((member, from, hash));
    }

    /// What was grafted: the member, where it comes from, and the digest of
    /// what is there.
    pub(super) fn done(&self) -> &[(String, PathBuf, [u8; 32])] {
        &self.done
    }

    /// The next library that has not been looked at.
    pub(super) fn next(&mut self) -> Option<Grafted> {
        self.queue.pop()
    }

    /// The file name of `member`, if it is a library that was taken along.
    pub(super) fn grafted_name<'m>(&self, member: &'m str) -> Option<&'m str> {
        let file = member.rsplit('/').next()?;
        self.taken.values().any(|name| name == file).then_some(file)
    }

    /// The way from `member`'s folder to that of its libraries, with a slash
    /// before it; empty where they are in one folder.
    pub(super) fn way(&self, member: &str) -> String {
        let (root, path) = installed(&self.stem, member);
        let folder = match root {
            Root::Site => format!("{}.libs", self.package),
            Root::Data => format!("libexec/{}.libs", self.package),
        };
        let own = path.rsplit_once('/').map_or("", |(own, _)| own);
        if own == folder {
            return String::new();
        }
        let up = own.split('/').filter(|part| !part.is_empty()).count();
        format!("{}/{folder}", "/..".repeat(up))
    }
}

/// `file` with a hash of the content, so that no other wheel's library of the
/// same name is taken for it in one process. Where there is no room for more,
/// the hash takes the place of the name; it stays a library's by its end.
fn unique(file: &str, hash: &[u8; 32], room: usize) -> Option<String> {
    const SHORTEST: usize = 6;
    let hash = digest::hex(hash);
    let (stem, suffix) = file.split_once('.').unwrap_or((file, ""));
    let long = format!("{stem}-{}{}{suffix}", &hash[..8], if suffix.is_empty() { "" } else { "." });
    if long.len() <= room {
        return Some(long);
    }
    let end = if file.ends_with(".dylib") { ".dylib" } else { ".so" };
    let room = room.checked_sub(end.len()).filter(|room| *room >= SHORTEST)?;
    let start = if room >= SHORTEST + 3 { "lib" } else { "" };
    Some(format!("{start}{}{end}", &hash[..8.min(room - start.len())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_from_where_files_are_installed() {
        let grafts = Grafts::new("sample-1.0", GraftScope::Store, Path::new(""));
        for (member, way) in [
            ("sample.abi3.so", "/sample.libs"),
            ("sample/sub/a.so", "/../../sample.libs"),
            ("sample-1.0.data/platlib/sample/a.so", "/../sample.libs"),
            ("sample-1.0.data/scripts/sample", "/../libexec/sample.libs"),
            ("sample-1.0.data/data/lib/x/sample", "/../../libexec/sample.libs"),
            ("sample.libs/libx.so.1", ""),
            ("sample-1.0.data/data/libexec/sample.libs/libx.so.1", ""),
        ] {
            assert_eq!(grafts.way(member), way, "{member}");
        }
    }

    #[test]
    fn names_are_unique_and_fit() {
        let (x, y) = (digest::sha256(b"x"), digest::sha256(b"y"));
        assert_eq!(unique("libssl.so.3", &x, 64).unwrap(), "libssl-2d711642.so.3");
        assert_eq!(unique("libssl.so.3", &x, 11).unwrap(), "2d711642.so");
        assert_eq!(unique("libouter.so.1", &x, 13).unwrap(), "lib2d71164.so");
        assert_ne!(unique("libssl.so.3", &y, 11), unique("libssl.so.3", &x, 11));
        assert_eq!(unique("libz.so.1", &x, 9).unwrap(), "2d7116.so");
        assert_eq!(unique("libz.so", &x, 7), None);
    }
}
