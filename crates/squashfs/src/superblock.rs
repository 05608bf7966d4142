//! The superblock: the header of an image.

use std::io;

use binfmt::source::ReadAt;

use crate::{MAGIC, SUPERBLOCK, ZSTD, malformed};

/// The supported sizes of data blocks, as exponents of two.
const BLOCK_LOGS: std::ops::RangeInclusive<u16> = 16..=20;
/// The size of the smallest inode, of a link to one character.
const MIN_INODE: u64 = 25;

/// The locations of an image's tables, and its size.
pub(crate) struct Superblock {
    pub(crate) inodes: u32,
    pub(crate) block_size: u32,
    pub(crate) fragments: u32,
    pub(crate) root: u64,
    pub(crate) bytes: u64,
    pub(crate) inode_table: u64,
    /// The size of the table of inodes.
    pub(crate) inode_bytes: u64,
    pub(crate) directory_table: u64,
    pub(crate) fragment_table: u64,
}

impl Superblock {
    /// Reads the superblock of `from`, which must contain the whole image.
    pub(crate) fn read<S: ReadAt + ?Sized>(from: &S) -> io::Result<Self> {
        let mut bytes = [0; SUPERBLOCK];
        from.read_exact_at(0, &mut bytes)?;
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let (block_size, log) = (u32_at(12), u16_at(22));
        if u32_at(0) != MAGIC || u16_at(28) != 4 || u16_at(30) != 0 {
            return Err(malformed("expected squashfs 4.0"));
        }
        if u16_at(20) != ZSTD {
            return Err(malformed("expected zstd compression"));
        }
        if !BLOCK_LOGS.contains(&log) || block_size != 1 << log {
            return Err(malformed(format!("unsupported block size {block_size}")));
        }
        let (inode_table, directory_table) = (u64_at(64), u64_at(72));
        let inode_bytes = directory_table.checked_sub(inode_table);
        let superblock = Self {
            inodes: u32_at(4),
            block_size,
            fragments: u32_at(16),
            root: u64_at(32),
            bytes: u64_at(40),
            inode_table,
            inode_bytes: inode_bytes.ok_or_else(|| malformed("the tables are not in order"))?,
            directory_table,
            fragment_table: u64_at(80),
        };
        if superblock.bytes > from.size()? {
            return Err(malformed("the image is truncated"));
        }
        if directory_table > superblock.bytes {
            return Err(malformed("the tables are after the end of the image"));
        }
        if u64::from(superblock.inodes) > superblock.inode_bytes / MIN_INODE {
            return Err(malformed("more inodes than their table can hold"));
        }
        Ok(superblock)
    }

    /// The maximum size of the table of listings: the tables after it are small.
    pub(crate) fn listing_bytes(&self) -> u64 {
        self.bytes - self.directory_table
    }
}
