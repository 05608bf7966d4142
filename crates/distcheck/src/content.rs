//! One pass over a member's bytes: digest, store paths, head, and the whole
//! content where a later reader needs it, in memory while it is small.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use binfmt::binary::{BinaryError, Format};
use binfmt::elf::{self, ElfInfo};
use binfmt::macho::MachOInfo;
use binfmt::pe::PeInfo;
use binfmt::source::ReadAt;
use memchr::memmem::Finder;
use sha2::{Digest as _, Sha256};

use crate::facts::{Binary, Member};

/// What is kept of a binary beyond this goes to a temporary file; each thread
/// has so much memory for the rest.
const IN_MEMORY: usize = 20 << 20;
/// A text file that a rule reads is not larger.
pub(crate) const TEXT_LIMIT: u64 = 16 << 20;
/// `/nix/store/`, a hash of 32 digits, `-`, and a name of this much at most.
const STORE_PATH: usize = 11 + 32 + 1 + 80;
/// This many different store paths are kept for each member.
const STORE_PATHS: usize = 8;

/// Finds store paths.
pub(crate) struct Search(Finder<'static>);

impl Search {
    pub(crate) fn new() -> Self {
        Self(Finder::new(b"/nix/store/"))
    }

    /// Adds the store paths in `bytes` to `found`.
    fn collect(&self, bytes: &[u8], found: &mut Vec<String>) {
        for at in self.0.find_iter(bytes) {
            if found.len() == STORE_PATHS {
                return;
            }
            if let Some(path) = store_path(&bytes[at..]).filter(|path| !found.contains(path)) {
                found.push(path);
            }
        }
    }
}

/// The store path that `bytes` start with. A hash of `e`s alone is what
/// `remove-references-to` and `nuke-refs` leave, and refers to nothing.
pub(crate) fn store_path(bytes: &[u8]) -> Option<String> {
    let rest = bytes.strip_prefix(b"/nix/store/")?;
    let (hash, rest) = rest.split_at_checked(32)?;
    // Nix's base 32 has neither e, o, u nor t.
    let digit = |byte: &u8| byte.is_ascii_digit() || (byte.is_ascii_lowercase() && !b"eout".contains(byte));
    if !hash.iter().all(digit) || rest.first() != Some(&b'-') {
        return None;
    }
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._?=/".contains(byte);
    let end = rest.iter().take(80).position(|byte| !name(byte)).unwrap_or(rest.len().min(80));
    let text = [b"/nix/store/", hash, &rest[..end]].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Whether a later reader needs the member's text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Text,
    IfBinary,
}

/// What becomes of a binary's code, its largest part: no linker of these days
/// puts tables there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// It is dropped; [`Content::finish`] says where it was needed.
    Drop,
    /// It is kept as all else.
    Keep,
}

/// A table of the binary lies in its code, which was dropped.
pub(crate) struct Missed;

/// What a thread uses for one member after the other.
pub(crate) struct Scratch {
    search: Search,
    memory: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { search: Search::new(), memory: Vec::new() }
    }
}

/// Takes in a member's bytes, piece by piece.
pub(crate) struct Content<'s> {
    search: &'s Search,
    sha: Sha256,
    keep: Option<Keep>,
    head: Vec<u8>,
    tail: Vec<u8>,
    store_paths: Vec<String>,
    /// What is kept, up to [`IN_MEMORY`].
    memory: &'s mut Vec<u8>,
    /// What is kept beyond.
    spool: Option<File>,
    code: Code,
    dropped: Range<u64>,
    size: u64,
}

impl<'s> Content<'s> {
    pub(crate) fn new(scratch: &'s mut Scratch, keep: Keep, code: Code) -> Self {
        scratch.memory.clear();
        Self {
            search: &scratch.search,
            sha: Sha256::new(),
            keep: Some(keep),
            head: Vec::new(),
            tail: Vec::new(),
            store_paths: Vec::new(),
            memory: &mut scratch.memory,
            spool: None,
            code,
            dropped: 0..0,
            size: 0,
        }
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.sha.update(bytes);
        self.search(bytes);
        if self.head.len() < 256 {
            self.head.extend_from_slice(&bytes[..bytes.len().min(256 - self.head.len())]);
        }
        if self.keep == Some(Keep::IfBinary) && self.head.len() >= 8 && Format::detect(&self.head).is_none() {
            self.keep = None;
        }
        if self.size == 0 && self.code == Code::Drop && self.keep == Some(Keep::IfBinary) {
            let Range { start, end } = elf::code(bytes).unwrap_or_default();
            let start = start.max(bytes.len() as u64);
            self.dropped = start..end.max(start);
        }
        let start = self.size;
        self.size += bytes.len() as u64;
        if self.keep.is_none() {
            return Ok(());
        }
        let (before, behind) = cut(&self.dropped, start, bytes.len());
        self.put(&bytes[..before])?;
        self.put(&bytes[behind..])
    }

    /// Keeps a piece, in memory while there is room.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (memory, rest) = bytes.split_at(bytes.len().min(IN_MEMORY - self.memory.len()));
        self.memory.extend_from_slice(memory);
        if rest.is_empty() {
            return Ok(());
        }
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(tempfile::tempfile()?),
        };
        spool.write_all(rest)
    }

    /// Searches a piece, and the seam between it and the one before.
    fn search(&mut self, bytes: &[u8]) {
        if self.store_paths.len() == STORE_PATHS {
            return;
        }
        if !self.tail.is_empty() {
            let seam = self.tail.len();
            self.tail.extend_from_slice(&bytes[..bytes.len().min(STORE_PATH)]);
            let tail = std::mem::take(&mut self.tail);
            self.search.collect(&tail, &mut self.store_paths);
            self.tail = tail;
            self.tail.truncate(seam);
        }
        self.search.collect(bytes, &mut self.store_paths);
        if bytes.len() >= STORE_PATH {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - STORE_PATH..]);
        } else {
            self.tail.extend_from_slice(bytes);
            let surplus = self.tail.len().saturating_sub(STORE_PATH);
            self.tail.drain(..surplus);
        }
        // A path that was cut at a seam is found again, whole.
        let paths = &mut self.store_paths;
        let cut = |path: &String| {
            paths.iter().any(|other| other.len() > path.len() && other.starts_with(path.as_str()))
        };
        let whole: Vec<String> = paths.iter().filter(|path| !cut(path)).cloned().collect();
        *paths = whole;
    }

    /// Notes what was found; gives back the text that was kept.
    pub(crate) fn finish(self, member: &mut Member) -> Result<Vec<u8>, Missed> {
        member.sha256 = Some(self.sha.finalize().into());
        member.store_paths = self.store_paths;
        if self.head.starts_with(b"#!") {
            let line = self.head.split(|byte| *byte == b'\n').next().unwrap_or_default();
            member.shebang = Some(String::from_utf8_lossy(line).trim_end_matches(' ').to_owned());
        }
        let label = |text: &[u8]| memchr::memmem::find(&self.head, text).is_some();
        member.private_key = self.head.starts_with(b"PuTTY-User-Key-File-")
            || (label(b"-----BEGIN ") && label(b"PRIVATE KEY-----"));
        match self.keep {
            Some(Keep::Text) => return Ok(self.memory.clone()),
            Some(Keep::IfBinary) => {
                let Self { memory, spool, dropped, size, .. } = self;
                let kept = Kept { memory, spool, dropped, size, missed: AtomicBool::new(false) };
                member.binary = Format::detect(&self.head).and_then(|format| binary(format, &kept));
                if kept.missed.into_inner() {
                    return Err(Missed);
                }
            }
            None => {}
        }
        Ok(Vec::new())
    }
}

/// How many of the `count` bytes from `start` on lie before `range`, and where
/// those behind it begin.
fn cut(range: &Range<u64>, start: u64, count: usize) -> (usize, usize) {
    let until = |end: u64| usize::try_from(end.saturating_sub(start)).map_or(count, |to| to.min(count));
    if range.is_empty() { (count, count) } else { (until(range.start), until(range.end)) }
}

/// A member's bytes, without those that were dropped.
struct Kept<'s> {
    memory: &'s [u8],
    /// What memory had no room for.
    spool: Option<File>,
    dropped: Range<u64>,
    size: u64,
    /// Whether bytes were asked for that were dropped.
    missed: AtomicBool,
}

impl Kept<'_> {
    /// Reads at an offset into what is kept.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = self.memory.len() as u64;
        let (first, _) = cut(&(end..u64::MAX), offset, buffer.len());
        let (first, rest) = buffer.split_at_mut(first);
        self.memory.read_exact_at(offset.min(end), first)?;
        match &self.spool {
            _ if rest.is_empty() => Ok(()),
            Some(spool) => spool.read_exact_at(offset.saturating_sub(end), rest),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl ReadAt for Kept<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let Range { start, end } = self.dropped;
        let (before, behind) = cut(&self.dropped, offset, buffer.len());
        if before < behind {
            self.missed.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read(offset - if offset < end { 0 } else { end - start }, buffer)
    }
}

fn binary(format: Format, source: &Kept<'_>) -> Option<Binary> {
    let read = || -> Result<Option<Binary>, BinaryError> {
        Ok(Some(match format {
            Format::Elf => Binary::Elf(Box::new(ElfInfo::read(source)?)),
            Format::MachO => Binary::MachO(Box::new(MachOInfo::read(source)?)),
            Format::Pe => return Ok(PeInfo::read(source)?.map(|info| Binary::Pe(Box::new(info)))),
            Format::Archive => Binary::Archive,
        }))
    };
    read().unwrap_or_else(|error| Some(Binary::Broken(format, error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-glibc-2.40/lib";

    fn found(pieces: &[&[u8]]) -> Vec<String> {
        let mut scratch = Scratch::new();
        let mut content = Content::new(&mut scratch, Keep::IfBinary, Code::Drop);
        for piece in pieces {
            content.take(piece).unwrap();
        }
        let mut member = Member::default();
        content.finish(&mut member).ok().unwrap();
        member.store_paths
    }

    #[test]
    fn store_paths_are_found_across_seams() {
        let text = format!("{}{PATH}\0{}", "x".repeat(200), "y".repeat(200));
        for cut in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(cut);
            assert_eq!(found(&[a, b]), [PATH], "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(found(&bytes), [PATH]);
    }

    #[test]
    fn what_is_kept_is_read_from_memory_and_file() {
        let mut spool = tempfile::tempfile().unwrap();
        spool.write_all(b"789").unwrap();
        let kept =
            Kept { memory: b"0126", spool: Some(spool), dropped: 3..6, size: 10, missed: false.into() };
        for start in 0..=10_u64 {
            for end in start..=10 {
                let mut found = vec![0; usize::try_from(end - start).unwrap()];
                let read = kept.read_exact_at(start, &mut found);
                let missed = kept.missed.swap(false, Ordering::Relaxed);
                assert_eq!(missed, start < end && start < 6 && end > 3, "{start}..{end}");
                assert_eq!(read.is_err(), missed);
                if !missed {
                    assert_eq!(found, &b"0123456789"[start.try_into().unwrap()..end.try_into().unwrap()]);
                }
            }
        }
        for (offset, count) in [(9, 2), (10, 1), (11, 1), (u64::MAX, 1)] {
            kept.read_exact_at(offset, &mut vec![0; count]).unwrap_err();
            assert!(!kept.missed.load(Ordering::Relaxed), "there is nothing to be missed");
        }
        let small = Kept { spool: None, dropped: 0..0, size: 4, ..kept };
        small.read_exact_at(0, &mut [0; 4]).unwrap();
        small.read_exact_at(0, &mut [0; 5]).unwrap_err();
    }

    /// Where the first segment says that all behind the headers is code, the
    /// tables in it are missed, and found when code is kept.
    #[test]
    fn tables_in_code_are_missed_and_read_again() {
        const HEADERS: usize = 64 + 4 * 56;
        let mut file = testkit::wheel::Elf { runpath: Some(PATH.into()), ..Default::default() }.bytes();
        assert_eq!(file[64..68], [1, 0, 0, 0], "the first segment is loaded");
        let size = (file.len() - HEADERS) as u64;
        for (at, value) in [(72, HEADERS as u64), (80, HEADERS as u64), (96, size)] {
            file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let mut read = |flags: u8, code| {
            file[68] = flags;
            let mut scratch = Scratch::new();
            let mut content = Content::new(&mut scratch, Keep::IfBinary, code);
            content.take(&file[..HEADERS]).unwrap();
            content.take(&file[HEADERS..]).unwrap();
            let mut member = Member::default();
            content.finish(&mut member).map(|_| match member.binary {
                Some(Binary::Elf(elf)) => elf.runpath().map(str::to_owned).collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            })
        };
        assert!(read(5, Code::Drop).is_err());
        assert_eq!(read(5, Code::Keep).ok().unwrap(), [PATH]);
        assert_eq!(read(4, Code::Drop).ok().unwrap(), [PATH], "data is never dropped");
    }

    #[test]
    fn what_refers_to_nothing_is_no_store_path() {
        let nuked = PATH.replace("0123456789abcdfghijklmnpqrsvwxyz", &"e".repeat(32));
        assert!(found(&[nuked.as_bytes(), b"see /nix/store/ for more", b"/nix/store/hash-name"]).is_empty());
    }
}
