//! Violations of the ZIP format.

use std::fmt;

/// A place where the archive violates the format or the index's rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A duplicate name.
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
    /// Bytes between records that belong to no record.
    Gap {
        /// The number of bytes.
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
        /// The field.
        field: &'static str,
    },
    /// Neither stored nor deflated.
    Method {
        /// The member.
        name: String,
        /// The method's number.
        method: u16,
    },
    /// Needs a newer version of the format than readers support.
    NeededVersion {
        /// The member.
        name: String,
        /// Ten times the version.
        version: u8,
    },
    /// Encrypted.
    Encrypted(String),
    /// Not UTF-8, or UTF-8 without the flag for it (bit 11).
    Encoding(String),
    /// Stored, but with two different sizes.
    StoredSize(String),
    /// An extra field that is cut off, duplicate, or of the wrong size.
    Extra(String),
    /// The number of entries differs from the end record's.
    Count {
        /// The end record's number.
        declared: u64,
        /// The actual number.
        found: u64,
    },
    /// Spread over several disks, or with two different member counts.
    Disks,
    /// The zip64 end record holds extensible data, this many bytes.
    Extensible(u64),
    /// An Info-ZIP Unicode Path field (0x7075) gives the member another name.
    UnicodePath {
        /// The header's name.
        name: String,
        /// The field's name.
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
            Self::Duplicate(_) => f.write_str("duplicate name"),
            Self::DataDescriptor(_) => f.write_str("the sizes follow the data (a data descriptor)"),
            Self::EntryComment(_) => f.write_str("the central directory's entry has a comment"),
            Self::ArchiveComment(size) => write!(f, "the archive has a comment of {size} bytes"),
            Self::Before(size) => write!(f, "{size} bytes before the first record"),
            Self::After(size) => write!(f, "{size} bytes after the last record"),
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
                    "it needs version {}.{} of the format; readers support 6.3",
                    version / 10,
                    version % 10
                )
            }
            Self::Encrypted(_) => f.write_str("the member is encrypted"),
            Self::Encoding(_) => f.write_str("the name is not ASCII and not marked as UTF-8"),
            Self::StoredSize(_) => f.write_str("the member is stored, but its two sizes differ"),
            Self::Extra(_) => {
                f.write_str("an extra field is damaged or duplicated, or does not fit the header")
            }
            Self::Count { declared, found } => {
                write!(f, "the end record declares {declared} members, but the central directory has {found}")
            }
            Self::Disks => f.write_str("the end record names several disks, or two member counts"),
            Self::Extensible(size) => write!(f, "the zip64 end record holds {size} bytes of extensible data"),
            Self::UnicodePath { other, .. } => {
                write!(f, "a Unicode Path field (0x7075) gives it another name, `{other}`")
            }
        }
    }
}
