//! Where records break the rules.

use std::fmt;

/// A place where the archive breaks the rules of the index or of good sense.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The same name twice.
    Duplicate(String),
    /// Sizes after the data instead of before (flag bit 3).
    DataDescriptor(String),
    /// The central directory's entry has a comment.
    EntryComment(String),
    /// The archive has a comment, of this many bytes.
    ArchiveComment(u64),
    /// Bytes before the first record.
    Before(u64),
    /// Bytes after the last record.
    After(u64),
    /// Bytes between records that belong to none, this many before this offset.
    Gap {
        /// How many.
        bytes: u64,
        /// The offset at which they end.
        offset: u64,
    },
    /// A member's record overlaps the next one.
    Overlap(String),
    /// Local header and central directory differ.
    Mismatch {
        /// The member.
        name: String,
        /// In what.
        field: &'static str,
    },
    /// Neither stored nor deflated.
    Method {
        /// The member.
        name: String,
        /// The method's number.
        method: u16,
    },
    /// Needs a newer version of the format than readers know.
    NeededVersion {
        /// The member.
        name: String,
        /// Ten times the version.
        version: u8,
    },
    /// Encrypted.
    Encrypted(String),
    /// Not UTF-8, or UTF-8 without the flag that says so (bit 11).
    Encoding(String),
    /// Stored, but with two different sizes.
    StoredSize(String),
    /// An extra field that is cut off, doubled, or of the wrong size.
    Extra(String),
    /// The number of entries differs from what the end record says.
    Count {
        /// What the end record says.
        said: u64,
        /// How many there are.
        found: u64,
    },
    /// Spread over several disks, or with two different counts of members.
    Disks,
    /// The zip64 end record holds extensible data, this many bytes.
    Extensible(u64),
    /// An Info-ZIP Unicode Path field (0x7075) gives the member another name.
    UnicodePath {
        /// The member, by its header.
        name: String,
        /// By the field.
        other: String,
    },
}

impl Fault {
    /// The member it is about.
    pub fn member(&self) -> Option<&str> {
        match self {
            Self::Duplicate(name)
            | Self::DataDescriptor(name)
            | Self::EntryComment(name)
            | Self::Overlap(name)
            | Self::Mismatch { name, .. }
            | Self::Method { name, .. }
            | Self::NeededVersion { name, .. }
            | Self::UnicodePath { name, .. }
            | Self::Encrypted(name)
            | Self::Encoding(name)
            | Self::StoredSize(name)
            | Self::Extra(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(_) => f.write_str("the archive holds this name more than once"),
            Self::DataDescriptor(_) => f.write_str("the sizes stand after the data (a data descriptor)"),
            Self::EntryComment(_) => f.write_str("the central directory's entry has a comment"),
            Self::ArchiveComment(size) => write!(f, "the archive has a comment of {size} bytes"),
            Self::Before(size) => write!(f, "{size} bytes stand before the first record"),
            Self::After(size) => write!(f, "{size} bytes stand after the last record"),
            Self::Gap { bytes, offset } => {
                write!(f, "{bytes} bytes before byte {offset} belong to no record")
            }
            Self::Overlap(_) => f.write_str("the member overlaps another record"),
            Self::Mismatch { field, .. } => {
                write!(f, "local header and central directory differ in the {field}")
            }
            Self::Method { method, .. } => {
                write!(f, "compression method {method}; only stored (0) and deflated (8) are allowed")
            }
            Self::NeededVersion { version, .. } => {
                write!(
                    f,
                    "it needs version {}.{} of the format; readers know 6.3",
                    version / 10,
                    version % 10
                )
            }
            Self::Encrypted(_) => f.write_str("the member is encrypted"),
            Self::Encoding(_) => f.write_str("the name is not ASCII and not marked as UTF-8"),
            Self::StoredSize(_) => f.write_str("the member is stored, but its two sizes differ"),
            Self::Extra(_) => f.write_str("an extra field is damaged, duplicate, or does not fit the header"),
            Self::Count { said, found } => {
                write!(f, "the end record counts {said} members, the directory holds {found}")
            }
            Self::Disks => f.write_str("the end record names several disks, or two counts of members"),
            Self::Extensible(size) => write!(f, "the zip64 end record holds {size} bytes of extensible data"),
            Self::UnicodePath { other, .. } => {
                write!(f, "a Unicode Path field (0x7075) gives it the other name `{other}`")
            }
        }
    }
}
