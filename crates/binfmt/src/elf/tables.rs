//! The users of an ELF file's dynamic string table other than the dynamic
//! section: symbols (System V gABI, chapter 4) and the version tables (Linux
//! Standard Base, "Symbol Versioning").

use std::ops::Range;

use super::layout::{Section, Segment, locate};
use crate::binary::{BinaryError, Image, View};
use crate::source::ReadAt;

const SHT_DYNSYM: u32 = 11;
/// The flag of the version record that holds the library's own name.
const VER_FLG_BASE: u16 = 1;
/// No version table is larger.
const VERSIONS_LIMIT: u64 = 1 << 20;

/// The table addresses in the dynamic section.
#[derive(Default)]
pub(super) struct Addresses {
    pub(super) strings: u64,
    pub(super) strings_size: u64,
    pub(super) symbols: Option<u64>,
    pub(super) hash: Option<u64>,
    pub(super) gnu_hash: Option<u64>,
    pub(super) needed_versions: Option<u64>,
    pub(super) needed_count: u64,
    pub(super) defined_versions: Option<u64>,
    pub(super) defined_count: u64,
}

/// The file ranges of the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) strings: Range<u64>,
    pub(super) symbols: Range<u64>,
    /// Whether the number of symbols is known.
    pub(super) symbols_counted: bool,
    /// The version tables, with their numbers of records.
    needed_versions: Option<(Range<u64>, u64)>,
    defined_versions: Option<(Range<u64>, u64)>,
}

/// One dynamic symbol.
pub(super) struct Symbol {
    /// Offset into the string table.
    pub(super) name: u64,
    pub(super) info: u8,
    /// 0 if it is not defined in the file.
    pub(super) section: u16,
}

/// A library with the symbol versions needed from it.
pub(super) struct NeededVersions {
    /// The file offset of the field with the library's name.
    pub(super) field: u64,
    /// Offset of that name into the string table.
    pub(super) library: u64,
    /// Offsets of the version names.
    pub(super) names: Vec<u64>,
}

/// A version that the file defines, or the name of its parent.
pub(super) struct DefinedVersion {
    /// The file offset of the field with its name.
    pub(super) field: u64,
    /// Offset of the name into the string table.
    pub(super) name: u64,
    /// Whether the name is the library's own.
    pub(super) is_library: bool,
}

const STRINGS: &str = "the dynamic string table";
const SYMBOLS: &str = "the dynamic symbol table";
const NEEDED: &str = "the table of needed versions";
const DEFINED: &str = "the table of defined versions";
const HASH: &str = "the symbol hash table";

impl Tables {
    pub(super) fn find<S: ReadAt + ?Sized>(
        addresses: &Addresses,
        image: &Image<'_, S>,
        is_64: bool,
        segments: &[Segment],
        sections: &[Section],
    ) -> Result<Self, BinaryError> {
        let (start, _) = locate(segments, STRINGS, addresses.strings)?;
        let end = start.checked_add(addresses.strings_size);
        let end = end.ok_or(BinaryError::Damaged { what: STRINGS, offset: start })?;
        let versions = |what, address: Option<u64>, count| -> Result<_, BinaryError> {
            let Some(address) = address else { return Ok(None) };
            let (offset, room) = locate(segments, what, address)?;
            let room = room.min(VERSIONS_LIMIT);
            let end = offset.checked_add(room).ok_or(BinaryError::Damaged { what, offset })?;
            Ok(Some((offset..end, count)))
        };
        let mut tables = Self {
            strings: start..end,
            symbols: 0..0,
            symbols_counted: true,
            needed_versions: versions(NEEDED, addresses.needed_versions, addresses.needed_count)?,
            defined_versions: versions(DEFINED, addresses.defined_versions, addresses.defined_count)?,
        };
        if let Some(address) = addresses.symbols {
            let (offset, room) = locate(segments, SYMBOLS, address)?;
            let entry = symbol_size(is_64);
            let count = symbol_count(addresses, image, is_64, segments, sections)?;
            tables.symbols_counted = count.is_some();
            // Without a hash table the string table's start is the end.
            let count = count.unwrap_or_else(|| addresses.strings.saturating_sub(address) / entry);
            let size = count.saturating_mul(entry).min(room);
            tables.symbols =
                offset..offset.checked_add(size).ok_or(BinaryError::Damaged { what: SYMBOLS, offset })?;
        }
        Ok(tables)
    }

    /// The bytes of the string table.
    pub(super) fn read_strings<S: ReadAt + ?Sized>(
        &self,
        image: &Image<'_, S>,
    ) -> Result<Vec<u8>, BinaryError> {
        image.bytes(STRINGS, self.strings.start, self.strings.end - self.strings.start)
    }

    /// Calls `visit` for every symbol except the null symbol at the start.
    pub(super) fn each_symbol<S: ReadAt + ?Sized>(
        &self,
        image: &Image<'_, S>,
        is_64: bool,
        mut visit: impl FnMut(Symbol),
    ) -> Result<(), BinaryError> {
        let table = image.bytes(SYMBOLS, self.symbols.start, self.symbols.end - self.symbols.start)?;
        let entry = usize::try_from(symbol_size(is_64)).unwrap_or(24);
        for bytes in table.chunks_exact(entry).skip(1) {
            let view = image.view(bytes);
            let (info, section) = if is_64 { (bytes[4], view.u16(6)) } else { (bytes[12], view.u16(14)) };
            if let (Some(name), Some(section)) = (view.u32(0), section) {
                visit(Symbol { name: name.into(), info, section });
            }
        }
        Ok(())
    }

    /// The libraries from which symbol versions are needed.
    pub(super) fn needed_versions<S: ReadAt + ?Sized>(
        &self,
        image: &Image<'_, S>,
    ) -> Result<Vec<NeededVersions>, BinaryError> {
        let Some((range, count)) = &self.needed_versions else { return Ok(Vec::new()) };
        let mut found: Vec<NeededVersions> = Vec::new();
        let bytes = image.up_to(NEEDED, range.start, range.end - range.start)?;
        let view = image.view(&bytes);
        walk(view, *count, &VERNEED, |record, link, first| {
            if first {
                let (field, library) = (range.start + record as u64 + 4, view.u32(record + 4)?.into());
                found.push(NeededVersions { field, library, names: Vec::new() });
            }
            if let Some(last) = found.last_mut() {
                last.names.push(view.u32(link + 8)?.into());
            }
            Some(())
        })
        .ok_or(BinaryError::Damaged { what: NEEDED, offset: range.start })?;
        Ok(found)
    }

    /// The versions that the file defines.
    pub(super) fn defined_versions<S: ReadAt + ?Sized>(
        &self,
        image: &Image<'_, S>,
    ) -> Result<Vec<DefinedVersion>, BinaryError> {
        let Some((range, count)) = &self.defined_versions else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let bytes = image.up_to(DEFINED, range.start, range.end - range.start)?;
        let view = image.view(&bytes);
        walk(view, *count, &VERDEF, |record, link, first| {
            let is_library = first && view.u16(record + 2)? & VER_FLG_BASE != 0;
            let (field, name) = (range.start + link as u64, view.u32(link)?.into());
            found.push(DefinedVersion { field, name, is_library });
            Some(())
        })
        .ok_or(BinaryError::Damaged { what: DEFINED, offset: range.start })?;
        Ok(found)
    }
}

fn symbol_size(is_64: bool) -> u64 {
    if is_64 { 24 } else { 16 }
}

/// A version table is a list of records, each with a chain of links. Offsets in a
/// record: the length of its chain, its chain, the next record; in a link: the
/// next link.
struct Layout {
    count: usize,
    chain: usize,
    next: usize,
    link_next: usize,
}

/// `Verneed` and `Vernaux`.
const VERNEED: Layout = Layout { count: 2, chain: 8, next: 12, link_next: 12 };
/// `Verdef` and `Verdaux`.
const VERDEF: Layout = Layout { count: 6, chain: 12, next: 16, link_next: 4 };

/// Walks a version table and calls `visit` with the offset of the record, the
/// offset of the link, and whether the link is the first of its chain.
fn walk(
    view: View<'_>,
    count: u64,
    layout: &Layout,
    mut visit: impl FnMut(usize, usize, bool) -> Option<()>,
) -> Option<()> {
    let number = |at: usize| view.u32(at).and_then(|value| usize::try_from(value).ok());
    // No table has room for more; chains that share links could take hours.
    let mut left = view.bytes.len() / 8;
    let mut record: usize = 0;
    for _ in 0..count {
        let mut link = record.checked_add(number(record + layout.chain)?)?;
        for index in 0..view.u16(record + layout.count)? {
            left = left.checked_sub(1)?;
            visit(record, link, index == 0)?;
            match number(link.checked_add(layout.link_next)?)? {
                0 => break,
                next => link = link.checked_add(next)?,
            }
        }
        match number(record + layout.next)? {
            0 => break,
            next => record = record.checked_add(next).filter(|at| *at < view.bytes.len())?,
        }
        left = left.checked_sub(1)?;
    }
    Some(())
}

/// No field holds the number of dynamic symbols: it follows from the hash
/// tables, or from the section headers if they are present.
fn symbol_count<S: ReadAt + ?Sized>(
    addresses: &Addresses,
    image: &Image<'_, S>,
    is_64: bool,
    segments: &[Segment],
    sections: &[Section],
) -> Result<Option<u64>, BinaryError> {
    let mut counts = Vec::new();
    if let Some(address) = addresses.hash {
        let (offset, _) = locate(segments, HASH, address)?;
        let bytes = image.bytes(HASH, offset, 8)?;
        counts.extend(image.view(&bytes).u32(4).map(u64::from));
    }
    if let Some(address) = addresses.gnu_hash.filter(|_| counts.is_empty()) {
        counts.push(gnu_hash_count(locate(segments, HASH, address)?, image, is_64)?);
    }
    let tables = sections.iter().filter(|section| section.kind == SHT_DYNSYM);
    counts.extend(tables.map(|section| section.size / symbol_size(is_64)));
    Ok(counts.into_iter().max())
}

/// The last chain of the table ends with the last symbol.
fn gnu_hash_count<S: ReadAt + ?Sized>(
    (start, room): (u64, u64),
    image: &Image<'_, S>,
    is_64: bool,
) -> Result<u64, BinaryError> {
    let damaged = || BinaryError::Damaged { what: HASH, offset: start };
    // The part of the table in its segment.
    let part = |at: u64, size: u64| {
        at.checked_add(size).filter(|end| *end <= room).ok_or_else(damaged)?;
        image.bytes(HASH, start + at, size)
    };
    let header = part(0, 16)?;
    let field = |at| image.view(&header).u32(at).map(u64::from).ok_or_else(damaged);
    let (buckets, base, bloom) = (field(0)?, field(4)?, field(8)?);
    let buckets_at = 16 + bloom * if is_64 { 8 } else { 4 };
    let table = part(buckets_at, 4 * buckets)?;
    let entries = table.chunks_exact(4).filter_map(|bytes| image.view(bytes).u32(0));
    let highest = entries.max().map_or(0, u64::from);
    if highest < base {
        return Ok(base);
    }
    let mut at = buckets_at + 4 * (buckets + highest - base);
    let mut count = highest;
    loop {
        let piece = part(at, room.saturating_sub(at).clamp(4, 256))?;
        for entry in piece.chunks_exact(4) {
            count += 1;
            if image.view(entry).u32(0).is_some_and(|hash| hash & 1 != 0) {
                return Ok(count);
            }
        }
        at += piece.len() as u64 / 4 * 4;
    }
}
