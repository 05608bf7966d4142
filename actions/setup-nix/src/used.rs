//! When each path of the cache was last used. Every run that saves leaves one
//! moment, so that moments count runs too.

use std::collections::{BTreeSet, HashMap};

use toolkit::{FileError, write_atomic};

use crate::folder::{Cache, read_text};
use crate::info::StorePath;

/// The file in the cache folder: a line is `hash-name seconds`.
const FILE: &str = "last-used";

/// Paths with the moment of their last use, in Unix seconds.
#[derive(Debug, Default)]
pub(crate) struct Used {
    by_path: HashMap<StorePath, u64>,
    moments: BTreeSet<u64>,
}

impl Used {
    /// What `cache` tells; a line that cannot be read counts as none.
    pub(crate) fn read(cache: &Cache) -> Self {
        let text = read_text(&cache.folder.join(FILE)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let entry = |(base, time): (&str, &str)| Some((StorePath::from_base(base)?, time.parse().ok()?));
        let by_path: HashMap<_, _> = lines.filter_map(entry).collect();
        let moments = by_path.values().copied().collect();
        Self { by_path, moments }
    }

    /// Keeps `entries` in `cache`.
    pub(crate) fn write<'a>(
        cache: &Cache,
        entries: impl Iterator<Item = (&'a StorePath, u64)>,
    ) -> Result<(), FileError> {
        let text: String = entries.map(|(path, time)| format!("{} {time}\n", path.base())).collect();
        write_atomic(&cache.folder.join(FILE), text.as_bytes())
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
        self.moments.range(time + 1..now).count() + 1
    }

    /// The last moment of all.
    pub(crate) fn last(&self) -> Option<u64> {
        self.moments.last().copied()
    }

    /// How many of the last runs did not use `path`; none for one not known.
    pub(crate) fn idle(&self, path: &StorePath) -> usize {
        self.get(path).map_or(0, |time| self.moments.range(time.saturating_add(1)..).count())
    }
}
