//! Reads the members of a source distribution in one pass over its gzip stream.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use crate::zip::Limits;

/// The type of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, with its target.
    Symlink(String),
    /// A hard link, with its target.
    Hardlink(String),
    /// A file with holes (GNU sparse, old or as pax header).
    Sparse,
    /// A device, a pipe, or an unknown type.
    Special(u8),
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The path; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Whether the path is UTF-8.
    pub is_utf8: bool,
    /// The kind.
    pub kind: Kind,
    /// In bytes.
    pub size: u64,
    /// The Unix mode.
    pub mode: u32,
}

/// Why a source distribution cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The gzip stream or the tar records are damaged or cut off.
    #[error("the archive is damaged or cut off after {members} members")]
    Damaged {
        /// The number of members read before the damage.
        members: u64,
        /// The reader's error.
        source: io::Error,
    },
    /// More than a [`Limits`] allows.
    #[error("the archive has more than {limit} {what}")]
    Limit {
        /// The unit.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Not a gzip stream with a tar archive.
    #[error("not a gzip-compressed tar archive")]
    Format,
}

/// Calls `visit` for each member with a reader of its content. Nothing is
/// written; content that `visit` does not read is skipped.
pub fn walk(
    compressed: impl Read,
    limits: &Limits,
    mut visit: impl FnMut(Member, &mut dyn Read) -> io::Result<()>,
) -> Result<(), TarError> {
    // One more than allowed, so that reaching it shows the excess.
    let mut inflated =
        Counted { inner: MultiGzDecoder::new(compressed).take(limits.total_size + 1), count: 0 };
    let mut members = 0;
    let damaged = |members, source| TarError::Damaged { members, source };
    let result = (|| {
        let mut archive = tar::Archive::new(&mut inflated);
        // Raw, because long names are assembled below with a limit.
        let entries = archive.entries().map_err(|source| damaged(0, source))?;
        for entry in entries {
            let mut entry = entry.map_err(|source| damaged(members, source))?;
            members += 1;
            if members > limits.members {
                return Err(TarError::Limit { what: "members", limit: limits.members });
            }
            let header = entry.header();
            let link = || {
                let target = entry.link_name_bytes().unwrap_or_default();
                String::from_utf8_lossy(&target).into_owned()
            };
            let kind = match header.entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous => Kind::File,
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Symlink => Kind::Symlink(link()),
                tar::EntryType::Link => Kind::Hardlink(link()),
                tar::EntryType::GNUSparse => Kind::Sparse,
                tar::EntryType::XGlobalHeader => continue,
                other => Kind::Special(other.as_byte()),
            };
            let mode = header.mode().unwrap_or_default();
            let kind = if is_sparse(&mut entry)? { Kind::Sparse } else { kind };
            let path = entry.path_bytes();
            let member = Member {
                name: String::from_utf8_lossy(&path).into_owned(),
                is_utf8: std::str::from_utf8(&path).is_ok(),
                kind,
                size: entry.size(),
                mode,
            };
            drop(path);
            if member.size > limits.member_size {
                return Err(TarError::Limit { what: "bytes in a member", limit: limits.member_size });
            }
            visit(member, &mut entry).map_err(|source| damaged(members, source))?;
        }
        Ok(())
    })();
    if inflated.count > limits.total_size {
        return Err(TarError::Limit { what: "bytes, uncompressed", limit: limits.total_size });
    }
    result?;
    if members == 0 {
        return Err(TarError::Format);
    }
    // The rest of the stream must still be valid gzip: its checksum comes last.
    io::copy(&mut inflated, &mut io::sink()).map_err(|source| damaged(members, source))?;
    Ok(())
}

/// Whether a pax header declares the file sparse (GNU tar manual, "Storing
/// sparse files"): a reader that ignores the header sees other content.
fn is_sparse(entry: &mut tar::Entry<'_, impl Read>) -> Result<bool, TarError> {
    let damaged = |source| TarError::Damaged { members: 0, source };
    let Some(extensions) = entry.pax_extensions().map_err(damaged)? else { return Ok(false) };
    Ok(extensions.flatten().any(|extension| extension.key_bytes().starts_with(b"GNU.sparse.")))
}

struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}
