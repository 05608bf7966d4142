//! An archive and its members, as the records describe them.

use std::io;

use super::fault::Fault;

/// Limits that are checked before anything is inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of members.
    pub members: u64,
    /// The maximum inflated size of a member, in bytes.
    pub member_size: u64,
    /// The maximum inflated size of all members together, in bytes.
    pub total_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { members: 100_000, member_size: 4 << 30, total_size: 8 << 30 }
    }
}

/// How a member's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Uncompressed.
    Stored,
    /// Deflate (RFC 1951).
    Deflated,
    /// Any other method, by its number.
    Other(u16),
}

/// One member, as the central directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The path; bytes that are not UTF-8 are replaced (and reported as a [`Fault`]).
    pub name: String,
    /// How it is stored.
    pub method: Method,
    /// General purpose bit flags.
    pub flags: u16,
    /// CRC-32 of the inflated bytes.
    pub crc32: u32,
    /// Size in the archive, in bytes.
    pub compressed: u64,
    /// Size inflated, in bytes.
    pub size: u64,
    /// The offset of the local header.
    pub header_offset: u64,
    /// The offset of the data.
    pub data_offset: u64,
    /// The Unix mode, if the archive has one.
    pub unix_mode: Option<u32>,
    /// Whether the data can be read: known method, not encrypted, in bounds.
    pub readable: bool,
}

impl Member {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.name.ends_with('/')
    }

    /// Whether it is a symbolic link by its Unix mode.
    pub fn is_symlink(&self) -> bool {
        self.unix_mode.is_some_and(|mode| mode & 0o170_000 == 0o120_000)
    }

    /// Whether any executable bit is set.
    pub fn is_executable(&self) -> bool {
        self.unix_mode.is_some_and(|mode| mode & 0o111 != 0)
    }
}

/// Why an archive cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// The file could not be read.
    #[error("the archive cannot be read")]
    Io(#[from] io::Error),
    /// There is no end-of-central-directory record.
    #[error("not a ZIP archive, or cut off: there is no end-of-central-directory record")]
    NoEnd,
    /// A record is out of bounds or malformed.
    #[error("damaged or cut off at byte {offset}: {what}")]
    Damaged {
        /// The record.
        what: &'static str,
        /// The expected offset.
        offset: u64,
    },
    /// More than a [`Limits`] allows.
    #[error("the archive has {found} {what}, the limit is {limit}")]
    Limit {
        /// The unit.
        what: &'static str,
        /// The value found.
        found: u64,
        /// The limit.
        limit: u64,
    },
}

/// An archive whose records have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// In the order of the central directory.
    pub members: Vec<Member>,
    /// Violations of the format.
    pub faults: Vec<Fault>,
    /// The size of the whole archive, in bytes.
    pub size: u64,
}

impl Archive {
    /// The member `name`; the last one if there are several, like Python's `zipfile`.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().rev().find(|member| member.name == name)
    }
}
