//! When each path of the cache was last used, and whether a job built it. Each run that saves
//! uses one timestamp, so the number of distinct timestamps is the number of runs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use toolkit::{FileError, write_atomic};

use crate::cache::{Cache, read_text};
use crate::narinfo::{STORE, StorePath};
use crate::tree;

/// The file in the cache directory, with lines of the form `hash-name seconds`, or
/// `hash-name seconds built`.
const FILE: &str = "last-used";
/// The end of the lines of paths that a job built. The database of a machine that restored such
/// a path does not know that.
const BUILT: &str = " built";

/// The time of each path's last use, in Unix seconds.
#[derive(Debug, Default)]
pub(crate) struct LastUsed {
    by_path: HashMap<StorePath, u64>,
    built: HashSet<StorePath>,
    /// The distinct times, sorted.
    times: Vec<u64>,
}

impl LastUsed {
    /// Reads the file of `cache`, ignoring malformed lines.
    pub(crate) fn read(cache: &Cache) -> Self {
        let text = read_text(&cache.dir.join(FILE)).unwrap_or_default();
        let (mut by_path, mut built) = (HashMap::new(), HashSet::new());
        // A later time would count as used forever. Clocks differ by less.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let latest = now.saturating_add(24 * 3600);
        for line in text.lines() {
            let rest = line.strip_suffix(BUILT);
            let Some((base, time)) = rest.unwrap_or(line).split_once(' ') else { continue };
            if let (Some(path), Ok(time)) = (StorePath::from_base(base), time.parse::<u64>()) {
                built.extend(rest.is_some().then(|| path.clone()));
                by_path.insert(path, time.min(latest));
            }
        }
        let mut times: Vec<u64> = by_path.values().copied().collect();
        times.sort_unstable();
        times.dedup();
        Self { by_path, built, times }
    }

    /// Writes `entries` to the file of `cache`: paths, times, and whether a job built the path.
    pub(crate) fn write<'a>(
        cache: &Cache,
        entries: impl Iterator<Item = (&'a StorePath, u64, bool)>,
    ) -> Result<(), FileError> {
        let line = |(path, time, built): (&StorePath, u64, bool)| {
            format!("{} {time}{}\n", path.base(), if built { BUILT } else { "" })
        };
        let text: String = entries.map(line).collect();
        let file = cache.dir.join(FILE);
        if fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_dir()) {
            tree::remove(&file).map_err(FileError::new("remove", &file))?;
        }
        write_atomic(&file, text.as_bytes())
    }

    /// When `path` was last used.
    pub(crate) fn get(&self, path: &StorePath) -> Option<u64> {
        self.by_path.get(path).copied()
    }

    /// Whether an earlier job built `path`.
    pub(crate) fn was_built(&self, path: &StorePath) -> bool {
        self.built.contains(path)
    }

    /// The number of runs after `time`, including the one at `now`.
    pub(crate) fn idle_after(&self, time: u64, now: u64) -> usize {
        if time >= now {
            return 0;
        }
        self.times.partition_point(|run| *run < now) - self.until(time) + 1
    }

    /// The time of the last run.
    pub(crate) fn last(&self) -> Option<u64> {
        self.times.last().copied()
    }

    /// How many of the last runs did not use `path`; zero for an unknown path.
    pub(crate) fn idle(&self, path: &StorePath) -> usize {
        self.get(path).map_or(0, |time| self.times.len() - self.until(time))
    }

    /// The number of runs up to `time`.
    fn until(&self, time: u64) -> usize {
        self.times.partition_point(|run| *run <= time)
    }
}

/// Whether a file was opened since its access time was reset.
pub(crate) fn is_opened(meta: &fs::Metadata) -> bool {
    meta.atime() > 1
}

/// Whether the store's file system updates access times. Tested by reading a file, because
/// some file systems do not, whatever their flags say.
pub(crate) fn keeps_access_times() -> bool {
    let flags = rustix::fs::statvfs(STORE).map(|fs| fs.f_flag);
    let noatime = flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::NOATIME));
    // In a store that this user cannot write to, only the flags are available.
    !noatime && updates_access_time().unwrap_or(true)
}

fn updates_access_time() -> io::Result<bool> {
    let mut file = tempfile::Builder::new().prefix(".setup-nix-").tempfile_in(STORE)?;
    file.write_all(b"x")?;
    tree::touch(file.path())?;
    let mut again = fs::File::open(file.path())?;
    again.read_exact(&mut [0])?;
    Ok(again.metadata()?.atime() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_the_far_future_does_not_count_as_used_forever() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(&dir.path().join("cache"), &dir.path().join("state"));
        cache.create().unwrap();
        let path = StorePath::from_base(&format!("{}-x", "1".repeat(32))).unwrap();
        fs::write(cache.dir.join(FILE), format!("{} {}\n", path.base(), u64::MAX)).unwrap();
        let used = LastUsed::read(&cache);
        let time = used.get(&path).unwrap();
        assert_eq!(used.idle_after(time, time + 1), 1);
        assert_eq!(used.last(), Some(time));
    }
}
