//! A file that is hashed while it is read, so that its bytes are read once.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use binfmt::source::ReadAt;
use pydist::digest::Sha256Bytes;
use sha2::{Digest as _, Sha256};

/// Gaps between reads are hashed in pieces of this size.
const PIECE: usize = 8 * 1024;

/// A file with the digest of the bytes so far. Reading it from start to end, with
/// gaps, reads nothing twice.
pub(crate) struct HashedFile<'f> {
    file: &'f File,
    progress: Mutex<HashProgress>,
}

struct HashProgress {
    /// All bytes before this offset are hashed.
    next: u64,
    sha: Sha256,
}

impl<'f> HashedFile<'f> {
    pub(crate) fn new(file: &'f File) -> Self {
        Self { file, progress: Mutex::new(HashProgress { next: 0, sha: Sha256::new() }) }
    }

    /// The digest of the whole file, which has `size` bytes.
    pub(crate) fn finish(self, size: u64) -> io::Result<Sha256Bytes> {
        let mut progress = self.progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        progress.advance(self.file, size)?;
        Ok(progress.sha.finalize().into())
    }
}

impl HashProgress {
    /// Hashes the bytes before `end` that are not hashed yet.
    fn advance(&mut self, file: &File, end: u64) -> io::Result<()> {
        let mut buffer = [0; PIECE];
        while self.next < end {
            let count = usize::try_from(end - self.next).unwrap_or(PIECE).min(PIECE);
            file.read_exact_at(self.next, &mut buffer[..count])?;
            self.sha.update(&buffer[..count]);
            self.next += count as u64;
        }
        Ok(())
    }
}

impl ReadAt for HashedFile<'_> {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, buffer)?;
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.advance(self.file, offset)?;
        // If reads overlap, the beginning is already hashed.
        let hashed = usize::try_from(progress.next - offset).unwrap_or(usize::MAX);
        if let Some(rest) = buffer.get(hashed..) {
            progress.sha.update(rest);
            progress.next += rest.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use pydist::digest::sha256;

    use super::*;

    #[test]
    fn hashes_every_byte_once_whatever_is_read() {
        let bytes: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let orders: [&[(u64, usize)]; 5] = [
            &[],
            &[(0, 200_000)],
            &[(30, 1000), (1030, 9), (100_000, 64 * 1024)],
            &[(90_000, 5000), (100, 50), (94_000, 2000), (94_500, 100)],
            &[(199_999, 1), (0, 10)],
        ];
        for order in orders {
            let hashed = HashedFile::new(&file);
            for (offset, count) in order {
                let mut found = vec![0; *count];
                hashed.read_exact_at(*offset, &mut found).unwrap();
                let start = usize::try_from(*offset).unwrap();
                assert_eq!(found, bytes[start..start + count]);
            }
            assert_eq!(hashed.finish(bytes.len() as u64).unwrap(), sha256(&bytes), "{order:?}");
        }
        let hashed = HashedFile::new(&file);
        hashed.read_exact_at(199_999, &mut [0; 2]).unwrap_err();
        hashed.finish(200_001).unwrap_err();
    }
}
