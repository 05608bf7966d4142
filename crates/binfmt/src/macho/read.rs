//! Reads a Mach-O file into a [`MachOInfo`].

use std::ops::Range;

use super::info::{LoadCommand, LoadPath, MachOInfo, MachSegment, Slice, SliceEntry, lc};
use super::symbols::{ExternalSymbol, each_symbol};
use crate::binary::{BinaryError, Image, View};
use crate::source::ReadAt;

const LIMIT_COMMANDS: u32 = 4096;

impl MachOInfo {
    /// Reads the headers and load commands of all slices.
    pub fn read(source: &(impl ReadAt + ?Sized)) -> Result<Self, BinaryError> {
        let mut image = Image::new(source)?;
        image.big = true;
        let head = image.up_to("the header", 0, 8)?;
        let view = image.view(&head);
        let wide = match view.u32(0) {
            Some(0xcafe_babe) => false,
            Some(0xcafe_babf) => true,
            _ => return Ok(Self { slices: vec![slice(&image)?], universal: false }),
        };
        let count = view.u32(4).filter(|count| *count > 0 && *count < 40);
        let count = count.ok_or(BinaryError::Damaged { what: "the universal header", offset: 4 })?;
        let entry = if wide { 32 } else { 20 };
        let table = image.bytes("the table of slices", 8, u64::from(count) * entry)?;
        let mut slices = Vec::new();
        for (index, bytes) in table.chunks_exact(usize::try_from(entry).unwrap_or(20)).enumerate() {
            let view = image.view(bytes);
            let offset = 8 + index as u64 * entry;
            let damaged = || BinaryError::Damaged { what: "a slice", offset };
            let part = || image.slice(view.word(8, wide)?, view.word(if wide { 16 } else { 12 }, wide)?);
            let part = part().ok_or_else(damaged)?;
            let align = view.u32(if wide { 24 } else { 16 }).ok_or_else(damaged)?;
            let slice = slice(&part)?;
            slices.push(Slice { entry: Some(SliceEntry { offset, wide, align }), ..slice });
        }
        Ok(Self { slices, universal: true })
    }
}

fn slice<S: ReadAt + ?Sized>(image: &Image<'_, S>) -> Result<Slice, BinaryError> {
    let head = image.up_to("the header", 0, 32)?;
    let (is_64, big_endian) = match head.get(..4) {
        Some([0xcf, 0xfa, 0xed, 0xfe]) => (true, false),
        Some([0xce, 0xfa, 0xed, 0xfe]) => (false, false),
        Some([0xfe, 0xed, 0xfa, 0xcf]) => (true, true),
        Some([0xfe, 0xed, 0xfa, 0xce]) => (false, true),
        _ => return Err(BinaryError::Format("a Mach-O file")),
    };
    let image = image.in_order(big_endian);
    let view = image.view(&head);
    let damaged = |offset| BinaryError::Damaged { what: "the load commands", offset };
    let field = |at| view.u32(at).ok_or_else(|| damaged(0));
    let arch = match field(4)? {
        0x0100_0007 => "x86_64",
        // The subtype without its capability bits; 2 is pointer authentication.
        0x0100_000c if field(8)? & 0x00ff_ffff == 2 => "arm64e",
        0x0100_000c => "arm64",
        7 => "i386",
        18 => "ppc",
        0x0100_0012 => "ppc64",
        _ => "unknown",
    };
    let mut slice = Slice {
        range: image.range(),
        arch,
        is_64,
        big_endian,
        file_type: field(12)?,
        flags: field(24)?,
        ..Slice::default()
    };
    let count = field(16)?;
    let start = slice.header_size();
    let commands = image.bytes("the load commands", start, field(20)?.into())?;
    if count > LIMIT_COMMANDS {
        return Err(damaged(16));
    }
    let mut at = 0;
    for _ in 0..count {
        let offset = start + at as u64;
        let view = image.view(commands.get(at..).unwrap_or_default());
        let (Some(kind), Some(size)) = (view.u32(0), view.u32(4)) else { return Err(damaged(offset)) };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let body = view.bytes.get(..size).filter(|_| size >= 8).ok_or_else(|| damaged(offset))?;
        let place = slice.range.start + offset;
        let range = place..place + size as u64;
        let path = path(kind, image.view(body), place).map_err(|Cut| damaged(offset))?;
        slice.commands.push(LoadCommand { kind, range, path });
        slice.read_command(&image, kind, image.view(body), place)?.ok_or_else(|| damaged(offset))?;
        at += size;
    }
    Ok(slice)
}

/// A load command ends before its announced size.
struct Cut;

/// The path in a load command, if commands of this kind have one.
fn path(kind: u32, view: View<'_>, place: u64) -> Result<Option<LoadPath>, Cut> {
    let holds_path = lc::LIBRARIES.contains(&kind)
        || [lc::ID_DYLIB, lc::LOAD_DYLINKER, lc::RPATH, lc::DYLD_ENVIRONMENT].contains(&kind);
    if !holds_path {
        return Ok(None);
    }
    let at = view.u32(8).and_then(|at| usize::try_from(at).ok()).ok_or(Cut)?;
    if at < 12 || at >= view.bytes.len() {
        return Err(Cut);
    }
    let range = place + at as u64..place + view.bytes.len() as u64;
    Ok(Some(LoadPath { text: view.text(at).ok_or(Cut)?, range }))
}

/// The range of a part of the slice; an error if it is cut off.
fn whole<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    what: &'static str,
    offset: u64,
    size: u64,
) -> Result<Range<u64>, BinaryError> {
    let part = image.slice(offset, size).ok_or(BinaryError::Damaged { what, offset })?;
    Ok(part.range())
}

impl Slice {
    /// Reads one load command; `None` if it is damaged.
    fn read_command<S: ReadAt + ?Sized>(
        &mut self,
        image: &Image<'_, S>,
        kind: u32,
        view: View<'_>,
        place: u64,
    ) -> Result<Option<()>, BinaryError> {
        let version = |at| view.u32(at).map(|version| (version >> 16, (version >> 8) & 0xff));
        match kind {
            lc::CODE_SIGNATURE => {
                let Some((offset, size)) = view.u32(8).zip(view.u32(12)) else { return Ok(None) };
                self.signature = Some(whole(image, "the code signature", offset.into(), size.into())?);
            }
            lc::VERSION_MIN_MACOSX => {
                let Some(version) = version(8) else { return Ok(None) };
                self.platform = Some(1);
                self.min_macos = Some(version);
            }
            // Zippered files have a second one for Catalyst.
            lc::BUILD_VERSION => {
                let Some((platform, version)) = view.u32(8).zip(version(12)) else { return Ok(None) };
                if platform == 1 {
                    self.min_macos = Some(version);
                }
                if self.platform != Some(1) {
                    self.platform = Some(platform);
                }
            }
            lc::SEGMENT | lc::SEGMENT_64 => {
                let Some(segment) = segment(view, kind == lc::SEGMENT_64, place) else { return Ok(None) };
                self.debug |= segment.name.starts_with("__DWARF");
                // The segments of debug files are elsewhere.
                if self.file_type != 10 {
                    whole(image, "a segment", segment.offset, segment.size)?;
                }
                self.segments.push(segment);
            }
            // A repeated table would be read each time: dyld rejects the file, too.
            lc::SYMTAB if self.commands.iter().filter(|command| command.kind == kind).count() > 1 => {
                return Ok(None);
            }
            lc::SYMTAB => {
                let Self { undefined, exported_python, is_64, .. } = self;
                each_symbol(image, view, *is_64, |symbol, name| {
                    let name = name.strip_prefix('_').map_or(name.clone(), str::to_owned);
                    if symbol != ExternalSymbol::Exported {
                        undefined.insert(name);
                        return;
                    }
                    let exported = exported_python.get_or_insert_default();
                    if name.starts_with("Py") {
                        exported.insert(name);
                    }
                })?;
            }
            _ => {}
        }
        Ok(Some(()))
    }
}

fn segment(view: View<'_>, is_64: bool, command: u64) -> Option<MachSegment> {
    let name = view.bytes.get(8..24)?;
    let name = &name[..memchr::memchr(0, name).unwrap_or(name.len())];
    let (memory_at, offset_at, size_at, count_at) = if is_64 { (32, 40, 48, 64) } else { (28, 32, 36, 48) };
    let (first, entry, place) = if is_64 { (72, 80, 48) } else { (56, 68, 40) };
    let mut first_section: Option<u64> = None;
    for index in 0..view.u32(count_at)? {
        let at = usize::try_from(index).ok()?.checked_mul(entry)?.checked_add(first + place)?;
        // Sections without content in the file have the offset 0.
        let offset = u64::from(view.u32(at)?);
        if offset > 0 {
            first_section = Some(first_section.map_or(offset, |first| first.min(offset)));
        }
    }
    Some(MachSegment {
        command,
        name: String::from_utf8_lossy(name).into_owned(),
        offset: view.word(offset_at, is_64)?,
        size: view.word(size_at, is_64)?,
        memory_size: view.word(memory_at, is_64)?,
        first_section,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 64-bit file with this number of empty symbol tables.
    fn with_symbol_tables(count: u32) -> Vec<u8> {
        let header = [0xfeed_facf, 0x0100_000c, 0, 6, count, 24 * count, 0, 0];
        let tables = (0..count).flat_map(|_| [lc::SYMTAB, 24, 0, 0, 0, 0]);
        header.into_iter().chain(tables).flat_map(u32::to_le_bytes).collect()
    }

    /// dyld rejects it, and reading the same table for each command could take hours.
    #[test]
    fn rejects_a_second_symbol_table() {
        assert!(MachOInfo::read(with_symbol_tables(1).as_slice()).is_ok());
        let error = MachOInfo::read(with_symbol_tables(2).as_slice()).unwrap_err();
        assert!(matches!(error, BinaryError::Damaged { what: "the load commands", offset: 56 }), "{error}");
    }
}
