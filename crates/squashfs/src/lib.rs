//! Writes squashfs images (version 4.0, zstd) of directories, files and links, and reads
//! untrusted ones.
//!
//! Format: Linux, `fs/squashfs/squashfs_fs.h`. Why not a library:
//! `docs/decisions/0037-squashfs.md`.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod inode;
mod reader;
mod superblock;
mod tables;
mod writer;

pub use inode::{Directory, Entry, FileInode, Inode};
pub use reader::Image;
pub use writer::{Owner, Writer};

const MAGIC: u32 = 0x7371_7368;
const ZSTD: u16 = 6;
/// The size of a superblock, and of a metadata block before compression.
const SUPERBLOCK: usize = 96;
const METADATA: usize = 8192;
/// The flag of an uncompressed block in the size of a metadata block.
const UNCOMPRESSED_METADATA: u16 = 0x8000;
/// The flag of an uncompressed block in the size of a data block.
const UNCOMPRESSED_DATA: u32 = 1 << 24;
const NO_FRAGMENT: u32 = u32::MAX;
/// The size of an entry of the fragment table.
const FRAGMENT_ENTRY: usize = 16;
const FRAGMENTS_PER_BLOCK: usize = METADATA / FRAGMENT_ENTRY;
/// The maximum number of names per header of a directory's listing.
const NAMES_PER_HEADER: usize = 256;
/// In bytes.
const MAX_NAME: usize = 255;
/// In bytes.
const MAX_LINK_TARGET: usize = 4096;
/// Added to the size of each listing, for `.` and `..`, which are not stored.
const LISTING_SIZE_EXTRA: usize = 3;

/// The error of an image that violates the format.
fn malformed(what: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, format!("malformed image: {what}"))
}
