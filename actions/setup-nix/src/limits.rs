//! Limits on what unpacking a path may use: disk blocks, inodes, and lengths of file names.
//! A NAR's size says little about the first two, because each file takes at least a block.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::narinfo::STORE;

/// Keeps a malicious archive from exhausting the stack.
const MAX_DEPTH: usize = 256;
/// In bytes, relative to the store path: below the kernel's limit for a whole path (4096), so
/// that Nix and we can read and remove every file by its path.
const MAX_LENGTH: usize = 3800;
/// The part of the disk that stays free, at most [`MAX_RESERVE`]: the database needs space to
/// register the paths, and the job some to work.
const RESERVE: u64 = 20;
/// In bytes.
const MAX_RESERVE: u64 = 1 << 30;
/// In inodes.
const MAX_INODE_RESERVE: u64 = 100_000;

/// The space that is left on the store's file system, shared by all paths of a restore.
#[derive(Debug)]
pub(crate) struct Space {
    block: u64,
    free: Mutex<Use>,
}

/// An amount of space.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    bytes: u64,
    inodes: u64,
}

impl Space {
    /// The free space without the reserve.
    pub(crate) fn of_store() -> Self {
        let Ok(fs) = rustix::fs::statvfs(Path::new(STORE)) else { return Self::unlimited() };
        let unit = fs.f_frsize.max(1);
        let reserve = (fs.f_blocks.saturating_mul(unit) / RESERVE).min(MAX_RESERVE);
        let bytes = fs.f_bavail.saturating_mul(unit).saturating_sub(reserve);
        // Network file systems report the size of a transfer.
        let block = unit.min(4096);
        // Some file systems do not limit inodes and report zero.
        let inodes = match fs.f_files {
            0 => u64::MAX,
            all => fs.f_favail.saturating_sub((all / RESERVE).min(MAX_INODE_RESERVE)),
        };
        Self { block, free: Mutex::new(Use { bytes, inodes }) }
    }

    /// No limit.
    pub(crate) fn unlimited() -> Self {
        Self { block: 1, free: Mutex::new(Use { bytes: u64::MAX, inodes: u64::MAX }) }
    }

    /// The free space in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.free().bytes
    }

    /// `bytes` in whole blocks.
    pub(crate) fn round_up(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.block).saturating_mul(self.block)
    }

    fn free(&self) -> MutexGuard<'_, Use> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a single path takes. Dropping it gives the space back, unless [`keep`](Self::keep) is
/// called.
#[derive(Debug)]
pub(crate) struct PathUse<'a> {
    space: &'a Space,
    taken: Use,
    depth: usize,
    length: usize,
}

impl<'a> PathUse<'a> {
    pub(crate) fn new(space: &'a Space) -> Self {
        Self { space, taken: Use::default(), depth: 0, length: 0 }
    }

    /// Takes an inode, and the blocks of `bytes` of content; at least one for a directory or
    /// a link, so that `bytes` must not be zero for them.
    pub(crate) fn take(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = self.space.round_up(bytes);
        let mut free = self.space.free();
        let (Some(left), Some(inodes)) = (free.bytes.checked_sub(bytes), free.inodes.checked_sub(1)) else {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "not enough disk space"));
        };
        *free = Use { bytes: left, inodes };
        self.taken.bytes += bytes;
        self.taken.inodes += 1;
        Ok(())
    }

    /// Enters the entry `name` of a directory.
    pub(crate) fn enter(&mut self, name: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.length += name.len() + 1;
        let what = if self.depth > MAX_DEPTH {
            "nested too deeply"
        } else if self.length > MAX_LENGTH {
            "the path of a file is too long"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("malformed archive: {what}")))
    }

    /// Leaves the entry `name`.
    pub(crate) fn leave(&mut self, name: &[u8]) {
        self.depth -= 1;
        self.length -= name.len() + 1;
    }

    /// The path stays in the store.
    pub(crate) fn keep(mut self) {
        self.taken = Use::default();
    }
}

impl Drop for PathUse<'_> {
    fn drop(&mut self) {
        let mut free = self.space.free();
        free.bytes = free.bytes.saturating_add(self.taken.bytes);
        free.inodes = free.inodes.saturating_add(self.taken.inodes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_take_whole_blocks_and_inodes() {
        let space = Space { block: 4096, free: Mutex::new(Use { bytes: 40_960, inodes: 100 }) };
        let mut path = PathUse::new(&space);
        for _ in 0..10 {
            path.take(1).unwrap();
        }
        assert_eq!(path.take(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
        path.take(0).unwrap();
        drop(path);
        assert_eq!((space.bytes(), space.free().inodes), (40_960, 100));
        let mut path = PathUse::new(&space);
        path.take(5000).unwrap();
        path.keep();
        assert_eq!((space.bytes(), space.free().inodes), (32_768, 99));
        let mut path = PathUse::new(&space);
        for _ in 0..99 {
            path.take(0).unwrap();
        }
        assert_eq!(path.take(0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
