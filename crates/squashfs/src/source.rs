//! The source of an image: a file or bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Random access to the bytes of an image.
pub trait Source {
    /// Fills `to` with the bytes at offset `at`.
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<()>;

    /// The size in bytes.
    fn size(&self) -> io::Result<u64>;
}

impl Source for File {
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(to, at)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Source for [u8] {
    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<()> {
        let start = usize::try_from(at).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(to.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        to.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// The error of an image that violates the format.
pub(crate) fn malformed(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed image: {what}"))
}
