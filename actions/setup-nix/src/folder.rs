//! The cache folder: a standard binary cache (narinfo files and zstd NARs), in which
//! large batches of paths are images instead of NARs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use toolkit::{FileError, write_atomic};

use crate::narinfo::{NarInfo, STORE, StorePath};
use crate::store::lock;
use crate::tree;

/// The most paths that a cache has.
const PATHS: usize = 200_000;
/// The longest text: the times of last use of so many paths.
const TEXT: u64 = 16 << 20;
/// The longest narinfo, and the most that all of them measure.
const NARINFO: u64 = 1 << 20;
const NARINFOS: u64 = 256 << 20;
/// The directory of images, in the cache's folder and in layers.
pub(crate) const IMAGES: &str = "image";
/// What is not complete yet; a killed run leaves it behind.
pub(crate) const PART: &str = ".part-";

/// The folder and its neighbour for what is not part of it.
#[derive(Debug, Clone)]
pub struct Cache {
    /// The binary cache.
    pub folder: PathBuf,
    /// The directory of this job: nix.conf, logs. It is never saved.
    pub state: PathBuf,
}

impl Cache {
    /// At `folder`, for the job whose own directory is `state`.
    pub fn new(folder: &Path, state: &Path) -> Self {
        Self { folder: folder.to_owned(), state: state.to_owned() }
    }

    /// Waits for whoever works in the folder, of this job or another one.
    pub fn lock(&self) -> Result<File, FileError> {
        lock(&self.folder.with_extension("lock"))
    }

    /// Makes both folders and `nix-cache-info`.
    pub fn create(&self) -> Result<(), FileError> {
        for folder in
            [self.folder.clone(), self.folder.join("nar"), self.folder.join(IMAGES), self.state.clone()]
        {
            fs::create_dir_all(&folder).map_err(FileError::new("create", &folder))?;
            // A link that an archive put there would lead what is removed here
            // to another folder.
            let meta = fs::symlink_metadata(&folder).map_err(FileError::new("read", &folder))?;
            if !meta.is_dir() {
                let error =
                    io::Error::new(io::ErrorKind::NotADirectory, "expected a directory, found a link to one");
                return Err(FileError::new("use", &folder)(error));
            }
        }
        let info = self.folder.join("nix-cache-info");
        if fs::symlink_metadata(&info).is_ok_and(|meta| meta.is_file()) {
            return Ok(());
        }
        tree::remove(&info).map_err(FileError::new("remove", &info))?;
        write_atomic(&info, b"StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 50\n")
    }

    /// Where `path`'s narinfo is.
    pub fn narinfo(&self, path: &StorePath) -> PathBuf {
        self.folder.join(path.digits()).with_extension("narinfo")
    }

    /// Removes what is broken, so that it is packed anew.
    pub(crate) fn forget(&self, refused: &[Refused]) {
        for one in refused.iter().filter(|one| one.broken) {
            let file = match StorePath::from_base(&one.name) {
                Some(path) => self.narinfo(&path),
                None => self.folder.join(&one.name),
            };
            let _ = tree::remove(&file);
        }
    }

    /// All that reads well, and what does not.
    pub fn read(&self) -> Result<(Vec<NarInfo>, Vec<Refused>), FileError> {
        self.read_within(PATHS)
    }

    fn read_within(&self, most: usize) -> Result<(Vec<NarInfo>, Vec<Refused>), FileError> {
        let (mut found, mut refused) = (Vec::new(), Vec::new());
        let about = read_text(&self.folder.join("nix-cache-info")).unwrap_or_default();
        if let Some(other) = about.lines().find_map(|line| line.strip_prefix("StoreDir:"))
            && other.trim() != STORE
        {
            let why = format!("expected a cache of {STORE}, found one of {}", other.trim());
            refused.push(Refused::new("nix-cache-info", why));
            return Ok((found, refused));
        }
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((found, refused)),
            entries => entries.map_err(FileError::new("read", &self.folder))?,
        };
        let mut left = NARINFOS;
        for entry in entries.flatten() {
            let file = entry.path();
            if file.extension().is_none_or(|extension| extension != "narinfo") {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if found.len() + refused.len() >= most || left == 0 {
                // The others would only take memory: no store has so many.
                refused.push(Refused::broken(name, format!("the cache has more than {most} paths")));
                break;
            }
            let parsed = read_at_most(&file, NARINFO.min(left)).map_err(|error| error.to_string());
            left -= parsed.as_ref().map_or(0, |text| text.len() as u64);
            match parsed.and_then(|text| NarInfo::parse(&text)) {
                Ok(narinfo) if name == format!("{}.narinfo", narinfo.info.path.digits()) => {
                    found.push(narinfo);
                }
                Ok(narinfo) => {
                    refused.push(Refused::broken(name, format!("it is about {}", narinfo.info.path.full())));
                }
                Err(why) => refused.push(Refused::broken(name, why)),
            }
        }
        found.sort_by(|a, b| a.info.path.cmp(&b.info.path));
        Ok((found, refused))
    }
}

/// Opens what must be a regular file: a pipe would never end, a link could lead
/// anywhere.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "expected a regular file"))
}

/// The text of a small file.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    read_at_most(path, TEXT)
}

/// The text of a narinfo.
pub(crate) fn read_narinfo(path: &Path) -> io::Result<String> {
    read_at_most(path, NARINFO)
}

fn read_at_most(path: &Path, bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    let file = io::Read::take(open_regular(path)?, bytes + 1);
    if io::Read::read_to_string(&mut { file }, &mut text)? as u64 > bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {bytes} bytes")));
    }
    Ok(text)
}

/// Something in the cache that was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Store path or file name.
    pub name: String,
    /// Why.
    pub why: String,
    /// Whether nobody can use it: it is damaged, or lies.
    pub broken: bool,
}

impl Refused {
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
    fn a_cache_of_too_many_paths_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(&folder.path().join("cache"), &folder.path().join("state"));
        cache.create().unwrap();
        for n in 0..100 {
            fs::write(cache.folder.join(format!("{n:032}.narinfo")), "no narinfo").unwrap();
        }
        let (found, refused) = cache.read_within(7).unwrap();
        assert_eq!((found.len(), refused.len()), (0, 8));
        assert!(refused.last().unwrap().why.contains("more than 7 paths"), "{refused:?}");
        assert_eq!(cache.read().unwrap().1.len(), 100);
    }
}
