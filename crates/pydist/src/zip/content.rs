//! The bytes of a member while it is read and edited: in memory, or in a
//! temporary file if it is large.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use binfmt::source::{ReadAt, WriteAt};

/// Larger content goes to a file.
const MEMORY: u64 = 48 << 20;

/// Bytes that can be read, edited and appended to.
pub struct Content {
    memory: Vec<u8>,
    file: Option<File>,
    size: u64,
    edits: Option<Vec<Range<u64>>>,
    scratch: PathBuf,
}

impl Content {
    /// Empty content, which moves to a file in `scratch` when it becomes large.
    pub fn new(scratch: &Path) -> Self {
        Self { memory: Vec::new(), file: None, size: 0, edits: None, scratch: scratch.to_owned() }
    }

    /// Content of these bytes.
    pub fn from_vec(bytes: Vec<u8>, scratch: &Path) -> io::Result<Self> {
        let size = bytes.len() as u64;
        if size > MEMORY {
            return Self::copy(bytes.as_slice(), scratch);
        }
        Ok(Self { memory: bytes, size, ..Self::new(scratch) })
    }

    /// Makes room for content that will probably have `size` bytes.
    pub fn reserve(&mut self, size: u64) {
        if size <= MEMORY {
            self.memory.reserve_exact(usize::try_from(size).unwrap_or_default());
        }
    }

    /// A copy of all bytes of `from`.
    pub fn copy(from: &(impl ReadAt + ?Sized), scratch: &Path) -> io::Result<Self> {
        let mut content = Self::new(scratch);
        each_piece(from, 0, |_, bytes| content.push(bytes))?;
        Ok(content)
    }

    /// Starts recording which bytes change.
    pub fn track_edits(&mut self) {
        self.edits = Some(Vec::new());
    }

    /// The bytes that have changed since [`Self::track_edits`], except bytes appended past the
    /// old end; `None` if they were not recorded. In the order of the edits: the ranges may
    /// overlap, and that of a truncation has no end.
    pub fn edits(&self) -> Option<&[Range<u64>]> {
        self.edits.as_deref()
    }

    fn record(&mut self, edit: Range<u64>) {
        let Some(edits) = &mut self.edits else { return };
        match edits.last_mut() {
            Some(last) if last.end == edit.start => last.end = edit.end,
            _ => edits.push(edit),
        }
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(self.size, bytes)
    }

    /// Drops all bytes from `size` on.
    pub fn truncate(&mut self, size: u64) -> io::Result<()> {
        if size < self.size {
            self.record(size..u64::MAX);
            self.size = size;
        }
        if let Some(file) = &self.file {
            file.set_len(self.size)
        } else {
            self.memory.truncate(usize::try_from(self.size).unwrap_or(usize::MAX));
            Ok(())
        }
    }

    /// The first bytes, at most `count`.
    pub fn head(&self, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(count.min(self.size)).unwrap_or_default()];
        self.read_exact_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// All bytes, without a copy if they are in memory.
    pub fn into_vec(self) -> io::Result<Vec<u8>> {
        if self.file.is_some() { self.to_vec() } else { Ok(self.memory) }
    }

    /// All bytes.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        self.head(self.size)
    }
}

impl ReadAt for Content {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn in_memory(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(&self.memory)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match &self.file {
            Some(file) => file.read_exact_at(offset, buffer),
            None => self.memory.read_exact_at(offset, buffer),
        }
    }
}

impl WriteAt for Content {
    fn write_all_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        if self.file.is_none() && end > MEMORY {
            let mut file = tempfile::tempfile_in(&self.scratch)?;
            file.write_all_at(0, &self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all_at(offset, bytes)?,
            None => self.memory.write_all_at(offset, bytes)?,
        }
        if offset < self.size {
            self.record(offset..end);
        }
        self.size = self.size.max(end);
        Ok(())
    }
}

/// Calls `visit` with each piece from `start` on and its offset.
pub fn each_piece(
    from: &(impl ReadAt + ?Sized),
    start: u64,
    mut visit: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    const PIECE: u64 = 256 << 10;
    let size = from.size()?;
    if let Some(bytes) = from.in_memory() {
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
        let pieces = bytes[start..].chunks(usize::try_from(PIECE).unwrap_or(usize::MAX));
        return pieces
            .enumerate()
            .try_for_each(|(index, piece)| visit((start as u64) + index as u64 * PIECE, piece));
    }
    let mut buffer = vec![0; usize::try_from(PIECE.min(size)).unwrap_or_default()];
    let mut at = start;
    while at < size {
        let count = usize::try_from(PIECE.min(size - at)).unwrap_or_default();
        from.read_exact_at(at, &mut buffer[..count])?;
        visit(at, &buffer[..count])?;
        at += count as u64;
    }
    Ok(())
}

/// Whether any of `needles` is anywhere in the content.
pub fn contains(content: &(impl ReadAt + ?Sized), needles: &[&[u8]]) -> io::Result<bool> {
    let overlap = needles.iter().map(|needle| needle.len()).max().unwrap_or(1) - 1;
    let mut found = false;
    // A needle across the boundary of two pieces is in the end of one joined
    // with the beginning of the next.
    let mut seam: Vec<u8> = Vec::new();
    each_piece(content, 0, |_, bytes| {
        seam.extend(&bytes[..overlap.min(bytes.len())]);
        let has = |place: &[u8]| needles.iter().any(|needle| memchr::memmem::find(place, needle).is_some());
        found |= has(&seam) || has(bytes);
        if bytes.len() >= overlap {
            bytes[bytes.len() - overlap..].clone_into(&mut seam);
        } else {
            seam.drain(..seam.len().saturating_sub(overlap));
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_content_moves_to_a_file() {
        let mut content = Content::new(&std::env::temp_dir());
        let piece: Vec<u8> = (0..1_000_003_u32).map(|n| n.to_le_bytes()[1]).collect();
        for _ in 0..60 {
            content.push(&piece).unwrap();
        }
        assert!(content.file.is_some() && content.memory.is_empty());
        assert_eq!(content.to_vec().unwrap(), piece.repeat(60));
        content.write_all_at(5, b"/nix/store/").unwrap();
        assert!(contains(&content, &[b"/nix/store/"]).unwrap());
        content.truncate(10).unwrap();
        assert!(!contains(&content, &[b"/nix/store/"]).unwrap());
        assert_eq!(content.head(100).unwrap().len(), 10);
    }

    #[test]
    fn finds_needles_across_piece_boundaries() {
        for at in [0, 1, (256 << 10) - 11, (256 << 10) - 5, (256 << 10) - 1, 256 << 10, (512 << 10) - 3] {
            let mut bytes = vec![b'x'; 600 << 10];
            bytes[at..at + 11].copy_from_slice(b"/nix/store/");
            assert!(contains(bytes.as_slice(), &[b"/nix/store/"]).unwrap(), "{at}");
        }
    }
}
