//! What an image holds, as the reader gives it.

/// What an inode is.
#[derive(Debug, Clone)]
pub enum Inode {
    /// A directory.
    Directory(Directory),
    /// A regular file.
    File(FileInode),
    /// A symbolic link, with its target.
    Link(Vec<u8>),
}

/// Where a directory's listing is.
#[derive(Debug, Clone)]
pub struct Directory {
    pub(crate) block: u32,
    pub(crate) offset: u16,
    pub(crate) size: u32,
    pub(crate) index: Vec<IndexEntry>,
}

/// From where on a listing is read for a name: its first name there, and where that is,
/// in the listing and in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) at: u32,
    pub(crate) block: u32,
    pub(crate) name: Vec<u8>,
}

/// Where a file's content is.
#[derive(Debug, Clone)]
pub struct FileInode {
    /// The size of its content.
    pub size: u64,
    /// Whether its owner may run it.
    pub executable: bool,
    pub(crate) start: u64,
    pub(crate) fragment: u32,
    pub(crate) offset: u32,
    pub(crate) blocks: Vec<u32>,
}

/// A name in a directory, and where its inode is.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name: not empty, no `.` or `..`, without `/` and zeros.
    pub name: Vec<u8>,
    pub(crate) inode: Position,
}

/// A place in a table of metadata: the block's offset within the table, and the
/// offset within the decompressed block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) block: u64,
    pub(crate) offset: usize,
}
