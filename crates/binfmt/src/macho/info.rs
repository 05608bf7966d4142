//! What a Mach-O file needs from dyld, slice by slice, with file offsets.

use std::collections::BTreeSet;
use std::ops::Range;

use super::symbols::{ExternalSymbol, each_symbol};
use crate::binary::{BinaryError, Image};
use crate::source::ReadAt;

/// Types of load commands.
pub mod lc {
    pub(crate) const SEGMENT: u32 = 0x1;
    pub(crate) const SYMTAB: u32 = 0x2;
    const LOAD_DYLIB: u32 = 0xc;
    /// The library's own name.
    pub const ID_DYLIB: u32 = 0xd;
    /// The dynamic linker of an executable.
    pub const LOAD_DYLINKER: u32 = 0xe;
    pub(crate) const SEGMENT_64: u32 = 0x19;
    pub(crate) const CODE_SIGNATURE: u32 = 0x1d;
    const LAZY_LOAD_DYLIB: u32 = 0x20;
    pub(crate) const VERSION_MIN_MACOSX: u32 = 0x24;
    pub(crate) const DYLD_ENVIRONMENT: u32 = 0x27;
    pub(crate) const BUILD_VERSION: u32 = 0x32;
    /// A library that may be missing (weak).
    pub const LOAD_WEAK_DYLIB: u32 = 0x8000_0018;
    /// A search path.
    pub const RPATH: u32 = 0x8000_001c;
    const REEXPORT_DYLIB: u32 = 0x8000_001f;
    const LOAD_UPWARD_DYLIB: u32 = 0x8000_0023;
    /// Commands that load a library. Libraries are numbered in their order.
    pub const LIBRARIES: [u32; 5] =
        [LOAD_DYLIB, LOAD_WEAK_DYLIB, REEXPORT_DYLIB, LAZY_LOAD_DYLIB, LOAD_UPWARD_DYLIB];
}

/// What a Mach-O file needs from dyld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachOInfo {
    /// One for a thin file, several for a universal one.
    pub slices: Vec<Slice>,
    /// Whether it has a universal header.
    pub universal: bool,
}

/// A loaded library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dylib<'a> {
    /// Its install name.
    pub path: &'a str,
    /// Whether it may be missing (`LC_LOAD_WEAK_DYLIB`).
    pub weak: bool,
}

/// A load command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadCommand {
    /// `cmd`.
    pub kind: u32,
    /// Its range in the file.
    pub range: Range<u64>,
    /// Its path, if it holds one.
    pub path: Option<LoadPath>,
}

/// A path in a load command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPath {
    /// The path.
    pub text: String,
    /// Its range in the file, with the zeros after it.
    pub range: Range<u64>,
}

/// A segment of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachSegment {
    /// The file offset of its load command.
    pub command: u64,
    /// `__TEXT`, `__LINKEDIT` …
    pub name: String,
    /// Offset in the slice.
    pub offset: u64,
    /// Size in the slice.
    pub size: u64,
    /// Size in memory.
    pub memory_size: u64,
    /// The offset in the slice of its first section's content.
    pub first_section: Option<u64>,
}

/// One architecture's image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    /// Its range in the file.
    pub range: Range<u64>,
    /// Its entry in the universal header.
    pub entry: Option<SliceEntry>,
    /// The architecture as platform tags name it: `x86_64`, `arm64`, `i386`,
    /// `ppc`, `ppc64`; also `arm64e`, which no tag names and Python cannot load;
    /// `unknown` otherwise.
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
    /// The lowest macOS, (major, minor), if it is built for macOS.
    pub min_macos: Option<(u32, u32)>,
    /// `LC_BUILD_VERSION`'s platform; 1 is macOS.
    pub platform: Option<u32>,
    /// The code signature's range in the file.
    pub signature: Option<Range<u64>>,
    /// Undefined external symbols, without the leading `_`.
    pub undefined: BTreeSet<String>,
    /// Python's symbols (`Py…`) that it exports, without the leading `_`; `None` if
    /// the symbol table lists no exports at all.
    pub exported_python: Option<BTreeSet<String>>,
    /// Whether there is a `__DWARF` segment.
    pub debug: bool,
}

/// An entry of the universal header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceEntry {
    /// Its range in the file.
    pub offset: u64,
    /// Whether it holds 64-bit offsets.
    pub wide: bool,
    /// The alignment of the slice, as a power of two.
    pub align: u32,
}

/// `MH_TWOLEVEL`: symbols are looked up in the library they were linked with.
const TWO_LEVEL: u32 = 0x80;

impl Slice {
    /// The size of the Mach-O header, after which the load commands begin.
    pub fn header_size(&self) -> u64 {
        if self.is_64 { 32 } else { 28 }
    }

    /// The file offset of the end of the load commands.
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

    /// The libraries that it loads, by number.
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
    /// from 1 in the order of [`Slice::dylibs`]; `None` if symbols are looked up
    /// in any library.
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
