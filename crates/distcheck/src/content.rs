//! One pass over a member's bytes: digest, store paths, head, and the whole
//! content if a later reader needs it.

mod kept;
mod obfuscation;
mod pages;

use std::ops::Range;
use std::sync::{LazyLock, Mutex};

use binfmt::binary::{BinaryError, Format};
use binfmt::elf::{self, ElfInfo};
use binfmt::macho::MachOInfo;
use binfmt::pe::PeInfo;
use memchr::memmem::Finder;
use pydist::store::STORES;
use sha2::{Digest as _, Sha256};

use self::kept::KeptRanges;
use self::obfuscation::Obfuscation;
use self::pages::PageHashes;
use crate::dist::{Binary, Member};

/// How much of a binary is kept from its start and after its code.
const IN_MEMORY: u64 = 11 << 20;
/// How much of its end is kept, where linkers put the section tables.
const TAIL: u64 = 1 << 20;
/// The maximum size of a text file that a rule reads.
pub(crate) const TEXT_LIMIT: u64 = 16 << 20;
/// The maximum length of `/nix/store/` or `/gnu/store/`, a hash of 32 digits, `-`, and a name.
const STORE_PATH: usize = 11 + 32 + 1 + 80;
/// The maximum number of distinct store paths kept per member.
const STORE_PATHS: usize = 8;

/// What all prefixes of store paths end with, and the length of the rest.
const STORE: &[u8] = b"/store/";
const BEFORE_STORE: usize = 4;

/// Adds the store paths in `bytes` to `found`.
fn collect_store_paths(bytes: &[u8], found: &mut Vec<String>) {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(STORE));
    for at in FINDER.find_iter(bytes).filter_map(|at| at.checked_sub(BEFORE_STORE)) {
        if found.len() == STORE_PATHS {
            return;
        }
        if let Some(path) = store_path(&bytes[at..]).filter(|path| !found.contains(path)) {
            found.push(path);
        }
    }
}

/// The store path at the start of `bytes`. A hash of only `e`s, which
/// `remove-references-to` and `nuke-refs` leave behind, is not one.
pub(crate) fn store_path(bytes: &[u8]) -> Option<String> {
    let (store, rest) = bytes.split_at_checked(BEFORE_STORE + STORE.len())?;
    if !STORES.iter().any(|prefix| prefix.as_bytes() == store) {
        return None;
    }
    let (hash, rest) = rest.split_at_checked(32)?;
    // Nix's base 32, which Guix uses too, has no e, o, u or t.
    let digit = |byte: &u8| byte.is_ascii_digit() || (byte.is_ascii_lowercase() && !b"eout".contains(byte));
    if !hash.iter().all(digit) || rest.first() != Some(&b'-') {
        return None;
    }
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._?=/".contains(byte);
    let end = rest.iter().take(80).position(|byte| !name(byte)).unwrap_or(rest.len().min(80));
    let text = [store, hash, &rest[..end]].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Which members to keep for a later reader.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Text,
    IfBinary,
}

/// A range of a binary that was needed but not kept: the member must be read
/// again, keeping this range too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissedRange(pub(crate) Range<u64>);

/// Scans a member's bytes, piece by piece.
pub(crate) struct ContentScan<'m> {
    sha: Sha256,
    keep: Option<Keep>,
    head: Vec<u8>,
    tail: Vec<u8>,
    store_paths: Vec<String>,
    obfuscation: Option<Obfuscation>,
    pages: PageHashes,
    /// The kept ranges: sorted and not adjacent.
    kept: Vec<(Range<u64>, Vec<u8>)>,
    /// Ranges that an earlier pass missed.
    more: &'m [Range<u64>],
    /// The expected and the current number of bytes.
    expected: u64,
    size: u64,
}

impl<'m> ContentScan<'m> {
    /// A scan of a member of `expected` bytes.
    pub(crate) fn new(name: &str, expected: u64, keep: Keep, more: &'m [Range<u64>]) -> Self {
        Self {
            sha: Sha256::new(),
            keep: Some(keep),
            head: Vec::new(),
            tail: Vec::new(),
            store_paths: Vec::new(),
            obfuscation: Obfuscation::of(name),
            pages: PageHashes::default(),
            kept: Vec::new(),
            more,
            expected,
            size: 0,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.sha.update(bytes);
        self.search(bytes);
        if let Some(obfuscation) = &mut self.obfuscation {
            obfuscation.update(bytes);
        }
        if self.head.len() < 256 {
            self.head.extend_from_slice(&bytes[..bytes.len().min(256 - self.head.len())]);
        }
        if self.keep == Some(Keep::IfBinary) && self.head.len() >= 8 && Format::detect(&self.head).is_none() {
            self.keep = None;
            self.kept = Vec::new();
        }
        if self.size == 0 {
            let ranges = if self.keep == Some(Keep::Text) {
                vec![Range { start: 0, end: u64::MAX }]
            } else {
                ranges_to_keep(bytes, self.expected, self.more)
            };
            self.kept = ranges.into_iter().map(|range| (range, Vec::new())).collect();
            if self.keep == Some(Keep::IfBinary) {
                self.pages = PageHashes::of(bytes, self.expected);
            }
        }
        let start = self.size;
        self.size += bytes.len() as u64;
        self.pages.update(start, bytes);
        if self.keep.is_none() {
            return;
        }
        let inside =
            |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes.len());
        for (range, kept) in &mut self.kept {
            kept.extend_from_slice(&bytes[inside(range.start)..inside(range.end)]);
        }
    }

    /// Searches a piece and the boundary with the previous one.
    fn search(&mut self, bytes: &[u8]) {
        if self.store_paths.len() == STORE_PATHS {
            return;
        }
        if !self.tail.is_empty() {
            let seam = self.tail.len();
            self.tail.extend_from_slice(&bytes[..bytes.len().min(STORE_PATH)]);
            let tail = std::mem::take(&mut self.tail);
            collect_store_paths(&tail, &mut self.store_paths);
            self.tail = tail;
            self.tail.truncate(seam);
        }
        collect_store_paths(bytes, &mut self.store_paths);
        if bytes.len() >= STORE_PATH {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - STORE_PATH..]);
        } else {
            self.tail.extend_from_slice(bytes);
            let excess = self.tail.len().saturating_sub(STORE_PATH);
            self.tail.drain(..excess);
        }
        // A path cut at a boundary is found again in full.
        let paths = &mut self.store_paths;
        let cut = |path: &String| {
            paths.iter().any(|other| other.len() > path.len() && other.starts_with(path.as_str()))
        };
        let whole: Vec<String> = paths.iter().filter(|path| !cut(path)).cloned().collect();
        *paths = whole;
    }

    /// Stores the results in `member`. Returns the kept text.
    pub(crate) fn finish(self, member: &mut Member) -> Result<Vec<u8>, MissedRange> {
        member.sha256 = Some(self.sha.finalize().into());
        member.store_paths = self.store_paths;
        member.obfuscator = self.obfuscation.and_then(|found| found.tool());
        if self.head.starts_with(b"#!") {
            let line = self.head.split(|byte| *byte == b'\n').next().unwrap_or_default();
            member.shebang = Some(String::from_utf8_lossy(line).trim_end_matches(' ').to_owned());
        }
        let label = |text: &[u8]| memchr::memmem::find(&self.head, text).is_some();
        member.has_private_key = self.head.starts_with(b"PuTTY-User-Key-File-")
            || (label(b"-----BEGIN ") && label(b"PRIVATE KEY-----"));
        match self.keep {
            Some(Keep::Text) => return Ok(self.kept.into_iter().flat_map(|(_, bytes)| bytes).collect()),
            Some(Keep::IfBinary) => {
                let kept = KeptRanges { ranges: self.kept, size: self.size, missed: Mutex::new(None) };
                // WebAssembly is plain data, except for modules that Python loads.
                let is_data = |format| format == Format::Wasm && !member.name.ends_with(".so");
                let format = Format::detect(&self.head).filter(|format| !is_data(*format));
                member.binary = format.and_then(|format| binary(format, &kept));
                if let Some(Binary::MachO(info)) = &member.binary {
                    member.broken_signatures = self.pages.mismatches(info, &kept);
                }
                if let Some(missed) = kept.missed.into_inner().ok().flatten() {
                    return Err(MissedRange(missed));
                }
            }
            None => {}
        }
        Ok(Vec::new())
    }
}

/// The ranges of a binary to keep: its start, the part after its code (current
/// linkers put no tables in code), its end, and previously missed ranges.
fn ranges_to_keep(head: &[u8], size: u64, more: &[Range<u64>]) -> Vec<Range<u64>> {
    let code = elf::code(head).unwrap_or_default();
    let start = code.start.max(head.len() as u64);
    let mut ranges = if start < code.end {
        vec![0..start.min(IN_MEMORY), code.end..code.end.saturating_add(IN_MEMORY)]
    } else {
        vec![Range { start: 0, end: IN_MEMORY }]
    };
    ranges.push(size.saturating_sub(TAIL)..size);
    ranges.extend(more.iter().cloned());
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn binary(format: Format, source: &KeptRanges) -> Option<Binary> {
    let read = || -> Result<Option<Binary>, BinaryError> {
        Ok(Some(match format {
            Format::Elf => Binary::Elf(Box::new(ElfInfo::read(source)?)),
            Format::MachO => Binary::MachO(Box::new(MachOInfo::read(source)?)),
            Format::Pe => return Ok(PeInfo::read(source)?.map(|info| Binary::Pe(Box::new(info)))),
            Format::Archive => Binary::Archive,
            Format::Wasm => Binary::Wasm,
        }))
    };
    read().unwrap_or_else(|error| Some(Binary::Broken(format, error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-glibc-2.40/lib";

    fn found(pieces: &[&[u8]]) -> Vec<String> {
        let mut content = ContentScan::new("a.so", 0, Keep::IfBinary, &[]);
        for piece in pieces {
            content.update(piece);
        }
        let mut member = Member::default();
        content.finish(&mut member).unwrap();
        member.store_paths
    }

    #[test]
    fn finds_store_paths_across_piece_boundaries() {
        let text = format!("{}{PATH}\0{}", "x".repeat(200), "y".repeat(200));
        for cut in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(cut);
            assert_eq!(found(&[a, b]), [PATH], "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(found(&bytes), [PATH]);
    }

    #[test]
    fn merges_ranges() {
        let far = 1 << 40;
        assert_eq!(ranges_to_keep(b"", 100, &[]), [Range { start: 0, end: IN_MEMORY }]);
        assert_eq!(
            ranges_to_keep(b"", far, &[5..6, far - 2 * TAIL..far]),
            [0..IN_MEMORY, far - 2 * TAIL..far]
        );
    }

    /// If the first segment declares everything after the headers as code, the tables
    /// in it are missed at first, and found by the next pass.
    #[test]
    fn reads_again_if_tables_are_in_code() {
        const HEADERS: usize = 64 + 4 * 56;
        let file = testkit::wheel::Elf { runpath: Some(PATH.into()), ..Default::default() }.bytes();
        let mut large = file.clone();
        // Large enough that the kept end does not include the tables.
        large.resize(file.len() + 2 * usize::try_from(TAIL).unwrap(), 0);
        assert_eq!(large[64..68], [1, 0, 0, 0], "the first segment is loaded");
        let size = (large.len() - HEADERS) as u64;
        for (at, value) in [(72, HEADERS as u64), (80, HEADERS as u64), (96, size)] {
            large[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let mut read = |flags: u8, more: &[Range<u64>]| {
            large[68] = flags;
            let mut content = ContentScan::new("a.so", large.len() as u64, Keep::IfBinary, more);
            content.update(&large[..HEADERS]);
            content.update(&large[HEADERS..]);
            let mut member = Member::default();
            content.finish(&mut member).map(|_| match member.binary {
                Some(Binary::Elf(elf)) => elf.runpath().map(str::to_owned).collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            })
        };
        let mut more = Vec::new();
        while let Err(MissedRange(range)) = read(5, &more) {
            more.push(range);
            assert!(more.len() < 5);
        }
        assert!(!more.is_empty());
        assert_eq!(read(5, &more).unwrap(), [PATH]);
        assert_eq!(read(4, &[]).unwrap(), [PATH], "data is never dropped");
    }

    #[test]
    fn rejects_store_paths_without_a_hash_or_a_name() {
        let nuked = PATH.replace("0123456789abcdfghijklmnpqrsvwxyz", &"e".repeat(32));
        assert!(found(&[nuked.as_bytes(), b"see /nix/store/ for more", b"/nix/store/hash-name"]).is_empty());
    }
}
