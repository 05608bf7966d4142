//! The cache directory: a standard binary cache (narinfo files and zstd NARs), except that
//! large batches of paths are stored as images.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use toolkit::{FileError, write_atomic};

use crate::narinfo::{NarInfo, STORE, StorePath};
use crate::store::lock;
use crate::tree;

const MAX_PATHS: usize = 200_000;
/// In bytes: enough for the times of last use of all paths.
const MAX_TEXT: u64 = 16 << 20;
/// In bytes.
const MAX_NARINFO: u64 = 1 << 20;
/// In bytes, for all narinfo files together.
const MAX_NARINFOS: u64 = 256 << 20;
/// The directory of Nix's tarballs, in the cache and in layers.
pub(crate) const TARBALLS: &str = "tarball";
/// The directory of images, in the cache and in layers.
pub(crate) const IMAGES: &str = "image";
/// The file that marks a directory as ours. Nothing is deleted in any other directory.
const MARKER: &str = "setup-nix-cache";
const CACHE_INFO: &str = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 50\n";
/// The prefix of incomplete files, which a killed run leaves behind.
pub(crate) const PART: &str = ".part-";

/// The directories of the cache and of the job.
#[derive(Debug, Clone)]
pub struct Cache {
    /// The binary cache.
    pub dir: PathBuf,
    /// The private directory of this job, for nix.conf and logs. It is never saved.
    pub state: PathBuf,
}

impl Cache {
    /// A cache in `dir`, for the job with the private directory `state`.
    pub fn new(dir: &Path, state: &Path) -> Self {
        Self { dir: dir.to_owned(), state: state.to_owned() }
    }

    /// Locks the cache; waits for other processes, of this job or another one.
    pub fn lock(&self) -> Result<File, FileError> {
        lock(&self.dir.with_extension("lock"))
    }

    /// Creates the directories and `nix-cache-info`.
    pub fn create(&self) -> Result<(), FileError> {
        for dir in [self.dir.clone(), self.dir.join("nar"), self.dir.join(IMAGES), self.state.clone()] {
            fs::create_dir_all(&dir).map_err(FileError::new("create", &dir))?;
            if dir == self.dir {
                self.claim().map_err(FileError::new("use", &dir))?;
            }
            // If a restored archive put a link here, files elsewhere would be removed.
            let meta = fs::symlink_metadata(&dir).map_err(FileError::new("read", &dir))?;
            if !meta.is_dir() {
                let error =
                    io::Error::new(io::ErrorKind::NotADirectory, "expected a directory, found a link to one");
                return Err(FileError::new("use", &dir)(error));
            }
        }
        let info = self.dir.join("nix-cache-info");
        if fs::symlink_metadata(&info).is_ok_and(|meta| meta.is_file()) {
            return Ok(());
        }
        tree::remove(&info).map_err(FileError::new("remove", &info))?;
        write_atomic(&info, CACHE_INFO.as_bytes())
    }

    /// Marks the directory as ours. Fails if it may hold something else, such as another binary
    /// cache, whose files would be deleted.
    fn claim(&self) -> io::Result<()> {
        let marker = self.dir.join(MARKER);
        let is = |name: &str, dir: bool| {
            fs::symlink_metadata(self.dir.join(name))
                .is_ok_and(|meta| meta.is_dir() == dir && !meta.is_symlink())
        };
        if is(MARKER, false) {
            return Ok(());
        }
        // Earlier versions made no marker; without a cache, only the tarball is stored.
        let unmarked = is(IMAGES, true)
            && read_text(&self.dir.join("nix-cache-info")).is_ok_and(|text| text == CACHE_INFO);
        if unmarked {
            // A cache that is only read may be in a directory that cannot be written to.
            let _ = write_atomic(&marker, b"");
            return Ok(());
        }
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let is_harmless =
                [TARBALLS, "lost+found", ".gitkeep"].contains(&name.as_str()) || name.starts_with(".tmp-");
            // Another job may have claimed it meanwhile.
            if !is_harmless && !is(MARKER, false) {
                let why = "it is neither empty nor a cache of setup-nix: choose another `cache-directory`";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
            }
        }
        write_atomic(&marker, b"").map_err(io::Error::other)
    }

    /// The narinfo file of `path`.
    pub fn narinfo(&self, path: &StorePath) -> PathBuf {
        self.dir.join(path.digits()).with_extension("narinfo")
    }

    /// Removes broken entries, so that their paths are packed again.
    pub(crate) fn remove_broken(&self, refused: &[RefusedEntry]) {
        for one in refused.iter().filter(|one| one.broken) {
            let file = match StorePath::from_base(&one.name) {
                Some(path) => self.narinfo(&path),
                None => self.dir.join(&one.name),
            };
            let _ = tree::remove(&file);
        }
    }

    /// Reads all narinfo files; returns the valid ones and the rejected ones.
    pub fn read(&self) -> Result<(Vec<NarInfo>, Vec<RefusedEntry>), FileError> {
        self.read_within(MAX_PATHS)
    }

    fn read_within(&self, max_paths: usize) -> Result<(Vec<NarInfo>, Vec<RefusedEntry>), FileError> {
        let (mut found, mut refused) = (Vec::new(), Vec::new());
        let info = read_text(&self.dir.join("nix-cache-info")).unwrap_or_default();
        if let Some(other) = info.lines().find_map(|line| line.strip_prefix("StoreDir:"))
            && other.trim() != STORE
        {
            let why = format!("expected a cache of {STORE}, found one of {}", other.trim());
            refused.push(RefusedEntry::new("nix-cache-info", why));
            return Ok((found, refused));
        }
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((found, refused)),
            entries => entries.map_err(FileError::new("read", &self.dir))?,
        };
        let mut remaining = MAX_NARINFOS;
        for entry in entries.flatten() {
            let file = entry.path();
            if file.extension().is_none_or(|extension| extension != "narinfo") {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if found.len() + refused.len() >= max_paths || remaining == 0 {
                // No real cache has so many; more would only use up memory.
                refused
                    .push(RefusedEntry::broken(name, format!("the cache has more than {max_paths} paths")));
                break;
            }
            let parsed = read_at_most(&file, MAX_NARINFO.min(remaining)).map_err(|error| error.to_string());
            remaining -= parsed.as_ref().map_or(0, |text| text.len() as u64);
            // Another program may have added it.
            let unsupported = parsed.as_ref().is_ok_and(|text| has_other_compression(text));
            match parsed.and_then(|text| NarInfo::parse(&text)) {
                Err(why) if unsupported => refused.push(RefusedEntry::new(name, why)),
                Ok(narinfo) if name == format!("{}.narinfo", narinfo.info.path.digits()) => {
                    found.push(narinfo);
                }
                Ok(narinfo) => {
                    refused.push(RefusedEntry::broken(
                        name,
                        format!("expected another path, found {}", narinfo.info.path.full()),
                    ));
                }
                Err(why) => refused.push(RefusedEntry::broken(name, why)),
            }
        }
        found.sort_by(|a, b| a.info.path.cmp(&b.info.path));
        Ok((found, refused))
    }
}

/// Whether a narinfo has a compression of Nix that is not supported here.
fn has_other_compression(text: &str) -> bool {
    let compression = text.lines().find_map(|line| line.strip_prefix("Compression:"));
    compression
        .is_some_and(|name| ["none", "xz", "bzip2", "br", "gzip", "lzip", "lz4"].contains(&name.trim()))
}

/// Opens a regular file. Fails for pipes, which would block, and for links, which could
/// point anywhere.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "expected a regular file"))
}

/// Reads a text file of limited size.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    read_at_most(path, MAX_TEXT)
}

/// Reads a narinfo file.
pub(crate) fn read_narinfo(path: &Path) -> io::Result<String> {
    read_at_most(path, MAX_NARINFO)
}

fn read_at_most(path: &Path, bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    let file = io::Read::take(open_regular(path)?, bytes + 1);
    if io::Read::read_to_string(&mut { file }, &mut text)? as u64 > bytes {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the file is longer than {bytes} bytes"),
        ));
    }
    Ok(text)
}

/// An entry of the cache that was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEntry {
    /// The name of the store path or file.
    pub name: String,
    /// The reason.
    pub why: String,
    /// Whether the entry is damaged or forged, and therefore useless for everyone.
    pub broken: bool,
}

impl RefusedEntry {
    pub(crate) fn new(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), why: why.into(), broken: false }
    }

    pub(crate) fn broken(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { broken: true, ..Self::new(name, why) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_limited_number_of_paths() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(&dir.path().join("cache"), &dir.path().join("state"));
        cache.create().unwrap();
        for n in 0..100 {
            fs::write(cache.dir.join(format!("{n:032}.narinfo")), "not a narinfo").unwrap();
        }
        let (found, refused) = cache.read_within(7).unwrap();
        assert_eq!((found.len(), refused.len()), (0, 8));
        assert!(refused.last().unwrap().why.contains("more than 7 paths"), "{refused:?}");
        assert_eq!(cache.read().unwrap().1.len(), 100);
    }

    #[test]
    fn claims_only_a_directory_that_holds_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let cache = |name: &str| Cache::new(&dir.path().join(name), &dir.path().join("state"));
        let foreign = cache("foreign");
        fs::create_dir_all(foreign.dir.join("nar")).unwrap();
        fs::write(foreign.dir.join("nix-cache-info"), "StoreDir: /nix/store\n").unwrap();
        let error = toolkit::error_chain(&foreign.create().unwrap_err());
        assert!(error.contains("nor a cache of setup-nix"), "{error}");
        assert_eq!(fs::read_dir(&foreign.dir).unwrap().count(), 2);
        let unmarked = cache("unmarked");
        unmarked.create().unwrap();
        fs::remove_file(unmarked.dir.join(MARKER)).unwrap();
        unmarked.create().unwrap();
        fs::write(unmarked.dir.join("nix-cache-info"), "damaged").unwrap();
        unmarked.create().unwrap();
        let tarball = cache("tarball");
        fs::create_dir_all(tarball.dir.join(TARBALLS)).unwrap();
        tarball.create().unwrap();
    }

    #[test]
    fn skips_entries_of_another_compression() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(&dir.path().join("cache"), &dir.path().join("state"));
        cache.create().unwrap();
        let text =
            format!("StorePath: /nix/store/{0}-x\nURL: nar/a.nar.xz\nCompression: xz\n", "1".repeat(32));
        let text = format!("{text}NarHash: sha256:{}\nNarSize: 1\nReferences: \n", "0".repeat(52));
        fs::write(cache.dir.join(format!("{}.narinfo", "1".repeat(32))), text).unwrap();
        let (found, refused) = cache.read().unwrap();
        assert!(found.is_empty() && refused.len() == 1 && !refused[0].broken, "{refused:?}");
    }
}
