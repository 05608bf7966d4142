//! The wheel as a zip archive, read in place.

use std::io;

use binfmt::source::ReadAt;
use pydist::zip::{Archive, DataError, Deflated, Fault, Limits, Member, ZipError};

/// The wheel is the user's own and may be large: members are processed piece
/// by piece.
pub(crate) const LIMITS: Limits = Limits { members: 1_000_000, member_size: 64 << 30, total_size: 256 << 30 };

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its records are damaged.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// Its records contradict each other, or it has features that wheels do not use.
    #[error("{}{fault}; installers disagree on its content", fault.member().map(|name| format!("`{name}`: ")).unwrap_or_default())]
    Fault {
        /// What is wrong.
        fault: Fault,
    },
    /// A member is not a regular file inside the wheel.
    #[error("`{name}` {what}")]
    Name {
        /// The member.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A member's content is damaged.
    #[error("`{name}` is damaged")]
    Data {
        /// The member.
        name: String,
        /// How.
        source: DataError,
    },
    /// A temporary file or the new archive could not be written.
    #[error("the archive cannot be written")]
    Write(#[from] io::Error),
}

/// The files in the central directory. Comments and data descriptors are
/// accepted, because the new archive has none.
pub(super) fn open(source: &(impl ReadAt + ?Sized)) -> Result<Vec<Member>, ArchiveError> {
    let archive = Archive::open(source, &LIMITS)?;
    let fault = archive.faults.into_iter().find(|fault| {
        !matches!(
            fault,
            Fault::DataDescriptor(_) | Fault::EntryComment(_) | Fault::ArchiveComment(_) | Fault::Extra(_)
        )
    });
    if let Some(fault) = fault {
        return Err(ArchiveError::Fault { fault });
    }
    let members: Vec<Member> = archive.members.into_iter().filter(|member| !member.is_dir()).collect();
    for Member { name, .. } in &members {
        check_name(name)?;
    }
    if let Some(link) = members.iter().find(|member| member.is_symlink()) {
        return Err(ArchiveError::Name { name: link.name.clone(), what: "is a symbolic link" });
    }
    Ok(members)
}

/// Rejects names that an installer would unpack outside its directory.
fn check_name(name: &str) -> Result<(), ArchiveError> {
    let parts = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if parts && !name.contains(['\\', '\0', ':', '\u{fffd}']) {
        return Ok(());
    }
    Err(ArchiveError::Name { name: name.into(), what: "is not a path inside the wheel" })
}

/// Passes a member's content to `sink` piece by piece.
pub(super) fn read(
    member: &Member,
    source: &(impl ReadAt + ?Sized),
    sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), ArchiveError> {
    member.read_ahead(source, sink).map_err(|source| ArchiveError::Data { name: member.name.clone(), source })
}

/// Like [`read`], and returns the deflate stream if parts of it can be used again.
pub(super) fn read_deflated(
    member: &Member,
    source: &(impl ReadAt + ?Sized),
    sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Option<Deflated>, ArchiveError> {
    let deflated = member.read_deflated(source, sink);
    deflated.map_err(|source| ArchiveError::Data { name: member.name.clone(), source })
}

#[cfg(test)]
mod tests;
