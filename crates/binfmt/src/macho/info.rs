//! What a Mach-O file asks of dyld, slice by slice, and where in the file.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::binary::{BinaryError, Image, View};
use crate::source::ReadAt;

/// Types of load commands.
pub mod lc {
    pub(super) const SEGMENT: u32 = 0x1;
    pub(super) const SYMTAB: u32 = 0x2;
    const LOAD_DYLIB: u32 = 0xc;
    /// The library's own name.
    pub const ID_DYLIB: u32 = 0xd;
    /// The dynamic linker of an executable.
    pub const LOAD_DYLINKER: u32 = 0xe;
    pub(super) const SEGMENT_64: u32 = 0x19;
    pub(super) const CODE_SIGNATURE: u32 = 0x1d;
    const LAZY_LOAD_DYLIB: u32 = 0x20;
    pub(super) const VERSION_MIN_MACOSX: u32 = 0x24;
    pub(super) const DYLD_ENVIRONMENT: u32 = 0x27;
    pub(super) const BUILD_VERSION: u32 = 0x32;
    /// A library that may be missing.
    pub const LOAD_WEAK_DYLIB: u32 = 0x8000_0018;
    /// A search path.
    pub const RPATH: u32 = 0x8000_001c;
    const REEXPORT_DYLIB: u32 = 0x8000_001f;
    const LOAD_UPWARD_DYLIB: u32 = 0x8000_0023;
    /// Those that ask for a library, in whose order libraries are numbered.
    pub const LIBRARIES: [u32; 5] =
        [LOAD_DYLIB, LOAD_WEAK_DYLIB, REEXPORT_DYLIB, LAZY_LOAD_DYLIB, LOAD_UPWARD_DYLIB];
}

/// What a Mach-O file asks of dyld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachOInfo {
    /// One for a thin file, several for a universal one.
    pub slices: Vec<Slice>,
    /// Whether it has a universal header.
    pub universal: bool,
}

/// A library that is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dylib<'a> {
    /// Its install name.
    pub path: &'a str,
    /// It may be missing (`LC_LOAD_WEAK_DYLIB`).
    pub weak: bool,
}

/// A load command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadCommand {
    /// `cmd`.
    pub kind: u32,
    /// Where it is in the file.
    pub range: Range<u64>,
    /// The path that it holds, if it is one that holds a path.
    pub path: Option<LoadPath>,
}

/// A path in a load command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPath {
    /// The path.
    pub text: String,
    /// Where it is in the file, with the zeros after it.
    pub range: Range<u64>,
}

/// A segment of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachSegment {
    /// Where its load command is in the file.
    pub command: u64,
    /// `__TEXT`, `__LINKEDIT` …
    pub name: String,
    /// Offset in the slice.
    pub offset: u64,
    /// Size in the slice.
    pub size: u64,
    /// Size in memory.
    pub memory_size: u64,
    /// Where in the slice the content of its first section begins.
    pub first_section: Option<u64>,
}

/// One architecture's image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    /// Where it is in the file.
    pub range: Range<u64>,
    /// Where the universal header has its entry.
    pub entry: Option<SliceEntry>,
    /// As platform tags name it: `x86_64`, `arm64`, `i386`, `ppc`, `ppc64`;
    /// `arm64e`, which no tag names and Python cannot load; `unknown` otherwise.
    pub arch: &'static str,
    /// 64-bit.
    pub is_64: bool,
    /// Big-endian.
    pub big_endian: bool,
    /// `filetype`: 1 object, 2 executable, 6 library, 8 bundle …
    pub file_type: u32,
    /// `flags`.
    pub flags: u32,
    /// The load commands, in order.
    pub commands: Vec<LoadCommand>,
    /// The segments.
    pub segments: Vec<MachSegment>,
    /// The lowest macOS, (major, minor), where it is built for macOS.
    pub min_macos: Option<(u32, u32)>,
    /// `LC_BUILD_VERSION`'s platform; 1 is macOS.
    pub platform: Option<u32>,
    /// Where the code signature is in the file.
    pub signature: Option<Range<u64>>,
    /// Undefined external symbols, without the leading `_`.
    pub undefined: BTreeSet<String>,
    /// The symbols that it exports, as far as they concern Python (`Py…`),
    /// without the leading `_`; `None` where the symbol table lists none at all.
    pub exported_python: Option<BTreeSet<String>>,
    /// Whether there is a `__DWARF` segment.
    pub debug: bool,
}

/// An entry of the universal header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceEntry {
    /// Where it is in the file.
    pub offset: u64,
    /// Whether it holds 64-bit places.
    pub wide: bool,
    /// The alignment of the slice, as a power of two.
    pub align: u32,
}

const LIMIT_COMMANDS: u32 = 4096;

/// `MH_TWOLEVEL`: symbols are looked up in the library they were linked with.
const TWO_LEVEL: u32 = 0x80;

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

impl Slice {
    /// The size of the Mach-O header, behind which the load commands begin.
    pub fn header_size(&self) -> u64 {
        if self.is_64 { 32 } else { 28 }
    }

    /// Where the load commands end in the file.
    pub fn commands_end(&self) -> u64 {
        self.commands.last().map_or(self.range.start + self.header_size(), |command| command.range.end)
    }

    /// Whether dyld loads it: an executable, a library or a bundle.
    pub fn is_loaded(&self) -> bool {
        [2, 6, 8].contains(&self.file_type)
    }

    fn paths(&self, kind: u32) -> impl Iterator<Item = &str> {
        let commands = self.commands.iter().filter(move |command| command.kind == kind);
        commands.filter_map(|command| command.path.as_ref()).map(|path| path.text.as_str())
    }

    /// The libraries that it loads, in the order of their numbers.
    pub fn dylibs(&self) -> impl Iterator<Item = Dylib<'_>> {
        let commands = self.commands.iter().filter(|command| lc::LIBRARIES.contains(&command.kind));
        commands.filter_map(|command| {
            let path = command.path.as_ref()?.text.as_str();
            Some(Dylib { path, weak: command.kind == lc::LOAD_WEAK_DYLIB })
        })
    }

    /// `LC_RPATH`.
    pub fn rpaths(&self) -> impl Iterator<Item = &str> {
        self.paths(lc::RPATH)
    }

    /// `LC_ID_DYLIB`.
    pub fn id(&self) -> Option<&str> {
        self.paths(lc::ID_DYLIB).next()
    }

    /// `LC_LOAD_DYLINKER` of an executable.
    pub fn dylinker(&self) -> Option<&str> {
        self.paths(lc::LOAD_DYLINKER).next()
    }

    /// The segment with this name.
    pub fn segment(&self, name: &str) -> Option<&MachSegment> {
        self.segments.iter().find(|segment| segment.name == name)
    }

    /// The symbols that are looked up in the library with this number, counted
    /// from 1 in the order of [`Slice::dylibs`]; `None` where symbols are
    /// looked up in any library.
    pub fn imports(
        &self,
        source: &(impl ReadAt + ?Sized),
        ordinal: usize,
    ) -> Result<Option<Vec<String>>, BinaryError> {
        let command = self.commands.iter().find(|command| command.kind == lc::SYMTAB);
        let Some(command) = command.filter(|_| self.flags & TWO_LEVEL != 0) else { return Ok(None) };
        let damaged = BinaryError::Damaged { what: "a slice", offset: self.range.start };
        let size = self.range.end - self.range.start;
        let file = Image::new(source)?.in_order(self.big_endian);
        let image = file.slice(self.range.start, size).ok_or(damaged)?;
        let at = command.range.start - self.range.start;
        let body = image.bytes("the load commands", at, command.range.end - command.range.start)?;
        let mut found = Vec::new();
        each_symbol(&image, image.view(&body), self.is_64, |symbol, name| {
            if symbol == ExternalSymbol::Undefined(ordinal) {
                found.push(name);
            }
        })?;
        Ok(Some(found))
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
        // The subtype without its capability bits; 2 has pointer authentication.
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
        slice.take(&image, kind, image.view(body), place)?.ok_or_else(|| damaged(offset))?;
        at += size;
    }
    Ok(slice)
}

/// A load command ends before what it announces.
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

/// Whether a part of the slice is there to its end.
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
    /// Takes in one load command; `None` where it is damaged.
    fn take<S: ReadAt + ?Sized>(
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

/// What an external symbol is for its file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExternalSymbol {
    /// Taken from the library with this number.
    Undefined(usize),
    /// Defined here and visible to others.
    Exported,
}

/// Calls `visit` with each external symbol of `LC_SYMTAB`.
fn each_symbol<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    command: View<'_>,
    is_64: bool,
    mut visit: impl FnMut(ExternalSymbol, String),
) -> Result<(), BinaryError> {
    let damaged = BinaryError::Damaged { what: "the symbol table", offset: 0 };
    let fields = [8, 12, 16, 20].map(|at| command.u32(at).map(u64::from));
    let [Some(symbols), Some(count), Some(names), Some(names_size)] = fields else { return Err(damaged) };
    let entry = if is_64 { 16 } else { 12 };
    let table = image.bytes("the symbol table", symbols, count * entry)?;
    let names = image.bytes("the symbols' names", names, names_size)?;
    for bytes in table.chunks_exact(usize::try_from(entry).unwrap_or(12)) {
        let view = image.view(bytes);
        // `n_type`: bits for debugging, private external, the type, external.
        let symbol = match (bytes[4] & 0xe0, bytes[4] & 0x10, bytes[4] & 0x0e, bytes[4] & 1) {
            // The library's number is the high byte of `n_desc`.
            (0, _, 0, 1) => ExternalSymbol::Undefined(view.u16(6).map_or(0, |desc| usize::from(desc >> 8))),
            (0, 0, 0x0e, 1) => ExternalSymbol::Exported,
            _ => continue,
        };
        let Some(at) = view.u32(0).and_then(|at| usize::try_from(at).ok()) else { continue };
        if let Some(name) = image.view(&names).text(at) {
            visit(symbol, name);
        }
    }
    Ok(())
}
