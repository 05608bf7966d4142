//! One pass over a member's bytes: digest, store paths, head, and the whole
//! content where a later reader needs it, in memory while it is small.

use std::fs::File;
use std::io::{self, Write as _};

use memchr::memmem::Finder;
use pydist::binary::{BinaryError, Format};
use pydist::source::ReadAt;
use pydist::{elf, macho, pe};
use sha2::{Digest as _, Sha256};

use crate::facts::{Binary, Member};

/// What is larger goes to a temporary file.
const IN_MEMORY: usize = 4 << 20;
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

/// Takes in a member's bytes, piece by piece.
pub(crate) struct Content<'s> {
    search: &'s Search,
    sha: Sha256,
    keep: Option<Keep>,
    head: Vec<u8>,
    tail: Vec<u8>,
    store_paths: Vec<String>,
    memory: Vec<u8>,
    spool: Option<File>,
    size: u64,
    expected: u64,
}

impl<'s> Content<'s> {
    pub(crate) fn new(search: &'s Search, keep: Keep, expected: u64) -> Self {
        Self {
            search,
            sha: Sha256::new(),
            keep: Some(keep),
            head: Vec::new(),
            tail: Vec::new(),
            store_paths: Vec::new(),
            memory: Vec::new(),
            spool: None,
            size: 0,
            expected,
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
            self.memory = Vec::new();
        }
        self.size += bytes.len() as u64;
        if self.keep.is_none() {
            return Ok(());
        }
        if let Some(spool) = &mut self.spool {
            return spool.write_all(bytes);
        }
        if self.memory.len() + bytes.len() > IN_MEMORY && self.keep == Some(Keep::IfBinary) {
            let mut spool = tempfile::tempfile()?;
            spool.write_all(&self.memory)?;
            spool.write_all(bytes)?;
            self.memory = Vec::new();
            self.spool = Some(spool);
            return Ok(());
        }
        if self.memory.is_empty() {
            let expected = usize::try_from(self.expected).unwrap_or(IN_MEMORY).min(IN_MEMORY);
            self.memory.reserve_exact(expected.max(bytes.len()));
        }
        self.memory.extend_from_slice(bytes);
        Ok(())
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
    pub(crate) fn finish(self, member: &mut Member) -> Vec<u8> {
        member.sha256 = Some(self.sha.finalize().into());
        member.store_paths = self.store_paths;
        if self.head.starts_with(b"#!") {
            let line = self.head.split(|byte| *byte == b'\n').next().unwrap_or_default();
            member.shebang = Some(String::from_utf8_lossy(line).trim_end_matches(' ').to_owned());
        }
        let label = |text: &[u8]| memchr::memmem::find(&self.head, text).is_some();
        member.private_key = self.head.starts_with(b"PuTTY-User-Key-File-")
            || (label(b"-----BEGIN ") && label(b"PRIVATE KEY-----"));
        if self.keep == Some(Keep::IfBinary) {
            let format = Format::detect(&self.head);
            member.binary = format.and_then(|format| match &self.spool {
                Some(spool) => binary(format, spool),
                None => binary(format, &self.memory[..]),
            });
            return Vec::new();
        }
        self.memory
    }
}

fn binary<S: ReadAt + ?Sized>(format: Format, source: &S) -> Option<Binary> {
    let read = || -> Result<Option<Binary>, BinaryError> {
        Ok(Some(match format {
            Format::Elf => Binary::Elf(Box::new(elf::Facts::read(source)?)),
            Format::MachO => Binary::MachO(Box::new(macho::Facts::read(source)?)),
            Format::Pe => return Ok(pe::Facts::read(source)?.map(|facts| Binary::Pe(Box::new(facts)))),
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
        let search = Search::new();
        let mut content = Content::new(&search, Keep::IfBinary, 0);
        for piece in pieces {
            content.take(piece).unwrap();
        }
        let mut member = Member::default();
        content.finish(&mut member);
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
    fn what_refers_to_nothing_is_no_store_path() {
        let nuked = PATH.replace("0123456789abcdfghijklmnpqrsvwxyz", &"e".repeat(32));
        assert!(found(&[nuked.as_bytes(), b"see /nix/store/ for more", b"/nix/store/hash-name"]).is_empty());
    }
}
