//! The inodes and directory entries that the reader returns.

/// An inode.
#[derive(Debug, Clone)]
pub enum Inode {
    /// A directory.
    Directory(Directory),
    /// A regular file.
    File(FileInode),
    /// A symbolic link, with its target.
    Link(Vec<u8>),
}

/// The location of a directory's listing.
#[derive(Debug, Clone)]
pub struct Directory {
    pub(crate) block: u32,
    pub(crate) offset: u16,
    pub(crate) size: u32,
    pub(crate) index: Vec<IndexEntry>,
}

/// An entry of a directory's index: a header of the listing, by its offset in the listing and
/// its block in the table, and the first name after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) listing_offset: u32,
    pub(crate) block: u32,
    pub(crate) name: Vec<u8>,
}

/// The location of a file's content.
#[derive(Debug, Clone)]
pub struct FileInode {
    /// In bytes.
    pub size: u64,
    /// Whether its owner can execute it.
    pub executable: bool,
    pub(crate) start: u64,
    pub(crate) fragment: u32,
    pub(crate) offset: u32,
    pub(crate) blocks: Vec<u32>,
}

/// A name in a directory, with the location of its inode.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Not empty, neither `.` nor `..`, and without `/` and zero bytes.
    pub name: Vec<u8>,
    pub(crate) inode: Position,
}

/// A location in a metadata table: the offset of the block in the table, and the offset in
/// the decompressed block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) block: u64,
    pub(crate) offset: usize,
}
