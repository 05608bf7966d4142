//! squashfs images (version 4.0, zstd) of directories, files and links: written
//! in one pass, and read with nothing in them trusted.
//!
//! Format: Linux, `fs/squashfs/squashfs_fs.h`. Why not a library:
//! `docs/decisions/0037-squashfs.md`.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod inode;
mod reader;
mod source;
mod superblock;
mod tables;
mod writer;

pub use inode::{Directory, Entry, FileInode, Inode};
pub use reader::Image;
pub use source::Source;
pub use writer::{Owner, Writer};

const MAGIC: u32 = 0x7371_7368;
const ZSTD: u16 = 6;
/// The size of a superblock, and of a metadata block before compression.
const SUPERBLOCK: usize = 96;
const METADATA: usize = 8192;
/// "Stored uncompressed", in the size of a metadata block and of a data block.
const PLAIN_METADATA: u16 = 0x8000;
const PLAIN_DATA: u32 = 1 << 24;
const NO_FRAGMENT: u32 = u32::MAX;
/// The size of an entry of the fragment table, and how many a metadata block holds.
const FRAGMENT: usize = 16;
const FRAGMENTS: usize = METADATA / FRAGMENT;
/// The most names behind one header of a directory's listing.
const NAMES: usize = 256;
/// The longest name.
const NAME: usize = 255;
/// The longest target of a symbolic link.
const TARGET: usize = 4096;
/// What a listing's size counts beside its bytes: `.` and `..`, which are not stored.
const DOTS: usize = 3;
