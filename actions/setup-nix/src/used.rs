//! When each path of the cache was last used. Every run that saves leaves one
//! moment, so that moments count runs too.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

use toolkit::{FileError, write_atomic};

use crate::folder::{Cache, read_text};
use crate::narinfo::{STORE, StorePath};
use crate::tree;

/// The file in the cache folder: a line is `hash-name seconds`.
const FILE: &str = "last-used";

/// Paths with the moment of their last use, in Unix seconds.
#[derive(Debug, Default)]
pub(crate) struct Used {
    by_path: HashMap<StorePath, u64>,
    /// In order, each once.
    moments: Vec<u64>,
}

impl Used {
    /// What `cache` tells; a line that cannot be read counts as none.
    pub(crate) fn read(cache: &Cache) -> Self {
        let text = read_text(&cache.folder.join(FILE)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let entry = |(base, time): (&str, &str)| Some((StorePath::from_base(base)?, time.parse().ok()?));
        let by_path: HashMap<_, _> = lines.filter_map(entry).collect();
        let mut moments: Vec<u64> = by_path.values().copied().collect();
        moments.sort_unstable();
        moments.dedup();
        Self { by_path, moments }
    }

    /// Keeps `entries` in `cache`.
    pub(crate) fn write<'a>(
        cache: &Cache,
        entries: impl Iterator<Item = (&'a StorePath, u64)>,
    ) -> Result<(), FileError> {
        let text: String = entries.map(|(path, time)| format!("{} {time}\n", path.base())).collect();
        let file = cache.folder.join(FILE);
        if fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_dir()) {
            tree::remove(&file).map_err(FileError::new("remove", &file))?;
        }
        write_atomic(&file, text.as_bytes())
    }

    /// The moment of `path`.
    pub(crate) fn get(&self, path: &StorePath) -> Option<u64> {
        self.by_path.get(path).copied()
    }

    /// How many runs there were after `time`, the one at `now` included.
    pub(crate) fn idle_after(&self, time: u64, now: u64) -> usize {
        if time >= now {
            return 0;
        }
        self.moments.partition_point(|moment| *moment < now) - self.until(time) + 1
    }

    /// The last moment of all.
    pub(crate) fn last(&self) -> Option<u64> {
        self.moments.last().copied()
    }

    /// How many of the last runs did not use `path`; none for one not known.
    pub(crate) fn idle(&self, path: &StorePath) -> usize {
        self.get(path).map_or(0, |time| self.moments.len() - self.until(time))
    }

    /// How many moments there were up to `time`.
    fn until(&self, time: u64) -> usize {
        self.moments.partition_point(|moment| *moment <= time)
    }
}

/// Whether the store's file system notes when a file is read. Tried out, for there are
/// file systems that do not whatever their flags say.
pub(crate) fn keeps_access_times() -> bool {
    let flags = rustix::fs::statvfs(STORE).map(|fs| fs.f_flag);
    let noatime = flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::NOATIME));
    // In a store that this user cannot write to, the flags have to do.
    !noatime && notes_reading().unwrap_or(true)
}

fn notes_reading() -> io::Result<bool> {
    let mut file = tempfile::Builder::new().prefix(".setup-nix-").tempfile_in(STORE)?;
    file.write_all(b"x")?;
    tree::touch(file.path())?;
    let mut again = fs::File::open(file.path())?;
    again.read_exact(&mut [0])?;
    Ok(again.metadata()?.atime() > 0)
}
