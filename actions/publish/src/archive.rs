//! Reads the core metadata in an archive.

use std::fs::File;
use std::io::{self, Read as _};

use pydist::filename::DistName;
use pydist::zip::{Archive, Limits};
use pydist::{tar, zip};

/// The maximum size of metadata, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Why the metadata cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// Not a valid wheel archive.
    #[error(transparent)]
    Zip(#[from] zip::ZipError),
    /// The member is damaged.
    #[error("`{0}`: {1}")]
    Member(String, zip::DataError),
    /// Not a valid source distribution archive.
    #[error(transparent)]
    Tar(#[from] tar::TarError),
    /// The member is missing.
    #[error("there is no `{0}` in it")]
    Missing(String),
}

/// `METADATA` of a wheel, `PKG-INFO` of a source distribution.
pub(crate) fn metadata(file: &File, name: &DistName) -> Result<Vec<u8>, ArchiveError> {
    match name {
        DistName::Wheel(wheel) => {
            let wanted = format!("{}/METADATA", wheel.dist_info());
            let archive = Archive::open(file, &Limits::default())?;
            let member = archive.member(&wanted).ok_or_else(|| ArchiveError::Missing(wanted.clone()))?;
            member.content(file, LARGEST).map_err(|error| ArchiveError::Member(wanted, error))
        }
        DistName::Sdist(sdist) => {
            let wanted = format!("{}-{}/PKG-INFO", sdist.name, sdist.version);
            let mut found = None;
            tar::walk(io::BufReader::new(file), &Limits::default(), |member, content| {
                if member.name == wanted {
                    let mut bytes = Vec::new();
                    content.take(LARGEST).read_to_end(&mut bytes)?;
                    found = Some(bytes);
                }
                Ok(())
            })?;
            found.ok_or(ArchiveError::Missing(wanted))
        }
    }
}
