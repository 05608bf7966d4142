//! A Mach-O file as far as dyld reads it, with the place of each thing in the
//! file (Apple's `mach-o/loader.h` and `mach-o/fat.h`).

use std::collections::BTreeSet;
use std::ops::Range;

use super::in_store;

/// The load commands that matter here.
pub(super) mod lc {
    pub(super) const SYMTAB: u32 = 0x2;
    pub(super) const LOAD_DYLIB: u32 = 0xc;
    pub(crate) const ID_DYLIB: u32 = 0xd;
    pub(crate) const LOAD_DYLINKER: u32 = 0xe;
    pub(super) const SEGMENT_64: u32 = 0x19;
    pub(super) const CODE_SIGNATURE: u32 = 0x1d;
    pub(super) const LAZY_LOAD_DYLIB: u32 = 0x20;
    pub(super) const VERSION_MIN_MACOSX: u32 = 0x24;
    pub(super) const DYLD_ENVIRONMENT: u32 = 0x27;
    pub(super) const BUILD_VERSION: u32 = 0x32;
    pub(super) const LOAD_WEAK_DYLIB: u32 = 0x8000_0018;
    pub(crate) const RPATH: u32 = 0x8000_001c;
    pub(super) const REEXPORT_DYLIB: u32 = 0x8000_001f;
    pub(super) const LOAD_UPWARD_DYLIB: u32 = 0x8000_0023;
    /// Those that ask for a library, in whose order libraries are numbered.
    pub(crate) const LIBRARIES: [u32; 5] =
        [LOAD_DYLIB, LOAD_WEAK_DYLIB, REEXPORT_DYLIB, LAZY_LOAD_DYLIB, LOAD_UPWARD_DYLIB];
}

/// Where the commands begin in a 64-bit file.
pub(super) const HEADER: usize = 32;

/// Why a Mach-O file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachoError {
    /// It ends too early, or a field points outside.
    #[error("the file is cut off or damaged: {0} lies outside of it")]
    Outside(&'static str),
    /// A field has an impossible or unknown value.
    #[error("not a usable Mach-O file: {0}")]
    Invalid(&'static str),
    /// It needs a library of the store, and macOS has none in its place.
    #[error("it needs `{0}`, a library in the Nix store")]
    StoreLibrary(String),
    /// macOS's own library lacks a symbol.
    #[error("it needs `{symbol}` of `{library}`, which macOS's own `{system}` is not known to have")]
    Symbol {
        /// The library in the store.
        library: String,
        /// macOS's own.
        system: &'static str,
        /// The symbol.
        symbol: String,
    },
    /// It needs a library that not every Mac has.
    #[error("it needs `{0}`, which is neither in the wheel nor part of macOS")]
    Library(String),
    /// After the edit there is still a store path.
    #[error("the loader would still look at `{0}` in the Nix store")]
    Store(String),
    /// The signature cannot be brought up to date.
    #[error("its code signature cannot be renewed: {0}")]
    Signature(&'static str),
}

pub(super) fn u32_le(data: &[u8], at: usize, what: &'static str) -> Result<u32, MachoError> {
    let bytes = at.checked_add(4).and_then(|end| data.get(at..end)).ok_or(MachoError::Outside(what))?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

pub(super) fn u64_le(data: &[u8], at: usize, what: &'static str) -> Result<u64, MachoError> {
    Ok(u64::from(u32_le(data, at, what)?) | u64::from(u32_le(data, at + 4, what)?) << 32)
}

fn u32_be(data: &[u8], at: usize, what: &'static str) -> Result<u32, MachoError> {
    u32_le(data, at, what).map(u32::swap_bytes)
}

pub(super) fn set_u32(data: &mut [u8], at: usize, value: u32) {
    data[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Whether `data` begins like a Mach-O file. A Java class begins like a fat
/// one, and has its version (45 at least) where that has a number of slices.
pub(super) fn is_macho(data: &[u8]) -> bool {
    match data.get(..8) {
        Some([0xcf | 0xce, 0xfa, 0xed, 0xfe, ..]) => true,
        Some([0xca, 0xfe, 0xba, 0xbe | 0xbf, 0, 0, 0, slices]) => *slices < 45,
        _ => false,
    }
}

/// Where the slices of a fat file are, each with its alignment as a power of
/// two; a thin file is one slice.
pub(super) fn slices(data: &[u8]) -> Result<Vec<(Range<usize>, u32)>, MachoError> {
    let what = "a slice";
    let wide = match data.get(..4) {
        Some([0xca, 0xfe, 0xba, 0xbe]) => false,
        Some([0xca, 0xfe, 0xba, 0xbf]) => true,
        _ => return Ok(vec![(0..data.len(), 0)]),
    };
    let word = |at: usize| {
        let high = if wide { u32_be(data, at, what)? } else { 0 };
        if high != 0 {
            return Err(MachoError::Outside(what));
        }
        u32_be(data, if wide { at + 4 } else { at }, what).map(|low| low as usize)
    };
    let size = if wide { 32 } else { 20 };
    let mut found: Vec<(Range<usize>, u32)> = Vec::new();
    for index in 0..u32_be(data, 4, what)? as usize {
        let at = 8 + index * size;
        let (start, length) = (word(at + 8)?, word(at + if wide { 16 } else { 12 })?);
        let align = u32_be(data, at + if wide { 24 } else { 16 }, what)?;
        let end = start.checked_add(length).filter(|end| *end <= data.len());
        let end = end.ok_or(MachoError::Outside(what))?;
        let after = found.last().map_or(8, |(range, _)| range.end);
        if start < after || align > 20 {
            return Err(MachoError::Invalid("its slices overlap or are out of order"));
        }
        found.push((start..end, align));
    }
    if found.is_empty() { Err(MachoError::Invalid("it has no slice")) } else { Ok(found) }
}

/// One slice.
#[derive(Debug)]
pub(super) struct Macho {
    pub(super) arch: &'static str,
    pub(super) file_type: u32,
    two_levels: bool,
    pub(super) commands_size: usize,
    /// Kind and place of each command.
    pub(super) commands: Vec<(u32, Range<usize>)>,
    /// The lowest macOS.
    pub(super) minimum: (u32, u32),
}

/// A segment's place in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Of its load command.
    pub(super) command: usize,
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Macho {
    pub(super) fn parse(data: &[u8]) -> Result<Self, MachoError> {
        let what = "the header";
        if u32_le(data, 0, what)? != 0xfeed_facf {
            return Err(MachoError::Invalid("it is no 64-bit one"));
        }
        let arch = match u32_le(data, 4, what)? {
            0x0100_0007 => "x86_64",
            0x0100_000c => "arm64",
            _ => return Err(MachoError::Invalid("it is for a machine that is none of the targets")),
        };
        let commands_size = u32_le(data, 20, what)? as usize;
        let flags = u32_le(data, 24, what)?;
        let mut macho = Self {
            arch,
            file_type: u32_le(data, 12, what)?,
            two_levels: flags & 0x80 != 0,
            commands_size,
            commands: Vec::new(),
            minimum: if arch == "arm64" { (11, 0) } else { (10, 9) },
        };
        let what = "the load commands";
        let end = HEADER.checked_add(commands_size).filter(|end| *end <= data.len());
        let end = end.ok_or(MachoError::Outside(what))?;
        let mut at = HEADER;
        for _ in 0..u32_le(data, 16, what)? {
            let (kind, size) = (u32_le(data, at, what)?, u32_le(data, at + 4, what)? as usize);
            if size < 8 || at + size > end {
                return Err(MachoError::Outside(what));
            }
            let version = match kind {
                lc::BUILD_VERSION => Some(u32_le(data, at + 12, what)?),
                lc::VERSION_MIN_MACOSX => Some(u32_le(data, at + 8, what)?),
                _ => None,
            };
            if kind == lc::BUILD_VERSION && u32_le(data, at + 8, what)? != 1 {
                return Err(MachoError::Invalid("it is for another system of Apple's than macOS"));
            }
            if let Some(version) = version {
                macho.minimum = (version >> 16, version >> 8 & 0xff);
            }
            macho.commands.push((kind, at..at + size));
            at += size;
        }
        Ok(macho)
    }

    fn of(&self, kinds: &[u32]) -> impl Iterator<Item = &(u32, Range<usize>)> {
        self.commands.iter().filter(move |(kind, _)| kinds.contains(kind))
    }

    /// Place and size of the signature.
    pub(super) fn signature(&self, data: &[u8]) -> Result<Option<Range<usize>>, MachoError> {
        let what = "the code signature";
        let Some((_, command)) = self.of(&[lc::CODE_SIGNATURE]).next() else { return Ok(None) };
        let start = u32_le(data, command.start + 8, what)? as usize;
        let end = start.checked_add(u32_le(data, command.start + 12, what)? as usize);
        let end = end.filter(|end| *end <= data.len()).ok_or(MachoError::Outside(what))?;
        Ok(Some(start..end))
    }

    /// The segment with this name.
    pub(super) fn segment(&self, data: &[u8], name: &str) -> Result<Option<Segment>, MachoError> {
        let what = "a segment";
        for (_, command) in self.of(&[lc::SEGMENT_64]) {
            let found = data.get(command.start + 8..command.start + 24).ok_or(MachoError::Outside(what))?;
            if found.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.iter().all(|byte| *byte == 0)) {
                let offset = u64_le(data, command.start + 40, what)?;
                let size = u64_le(data, command.start + 48, what)?;
                return Ok(Some(Segment { command: command.start, offset, size }));
            }
        }
        Ok(None)
    }

    /// Where the first section's content begins: commands may grow up to there.
    pub(super) fn first_content(&self, data: &[u8]) -> Result<usize, MachoError> {
        let what = "a section";
        let mut first = data.len();
        for (_, command) in self.of(&[lc::SEGMENT_64]) {
            let count = u32_le(data, command.start + 64, what)? as usize;
            for index in 0..count {
                let at = command.start + 72 + index * 80;
                if at + 80 > command.end {
                    return Err(MachoError::Outside(what));
                }
                let offset = u32_le(data, at + 48, what)? as usize;
                // Sections without content in the file have the offset 0.
                if offset > 0 {
                    first = first.min(offset);
                }
            }
        }
        Ok(first)
    }

    /// After an edit: no store path, and every library is somewhere.
    pub(super) fn check(&self, data: &[u8], files: &BTreeSet<String>) -> Result<(), MachoError> {
        for (kind, command) in &self.commands {
            let Some(path) = path_of(data, *kind, command)? else { continue };
            if in_store(&path) {
                return Err(MachoError::Store(path));
            }
            if !lc::LIBRARIES.contains(kind) {
                continue;
            }
            let system = path.starts_with("/usr/lib/") || path.starts_with("/System/Library/");
            let relative = path.starts_with('@') || !path.starts_with('/');
            let file = path.rsplit('/').next().unwrap_or_default();
            let bundled = relative && files.contains(file);
            if !system && !bundled {
                return Err(MachoError::Library(path));
            }
        }
        Ok(())
    }

    /// The symbols that are asked of the library with this number.
    pub(super) fn imports(&self, data: &[u8], ordinal: usize) -> Result<Vec<String>, MachoError> {
        let what = "the symbol table";
        let table = self.of(&[lc::SYMTAB]).next().filter(|_| self.two_levels);
        let Some((_, command)) = table else {
            return Err(MachoError::Invalid("its imports are not told apart by library"));
        };
        let field =
            |index: usize| u32_le(data, command.start + 8 + 4 * index, what).map(|value| value as usize);
        let (symbols, count, strings, size) = (field(0)?, field(1)?, field(2)?, field(3)?);
        let strings = strings.checked_add(size).and_then(|end| data.get(strings..end));
        let strings = strings.ok_or(MachoError::Outside(what))?;
        let mut found = Vec::new();
        for index in 0..count {
            let at = index.checked_mul(16).and_then(|by| symbols.checked_add(by));
            let entry = at.and_then(|at| data.get(at..at + 16)).ok_or(MachoError::Outside(what))?;
            let undefined = entry[4] & 0xe0 == 0 && entry[4] & 0x0e == 0 && entry[4] & 1 == 1;
            if undefined && usize::from(entry[7]) == ordinal {
                let name = u32_le(entry, 0, what)? as usize;
                let name = strings.get(name..).ok_or(MachoError::Outside(what))?;
                let end = name.iter().position(|byte| *byte == 0).ok_or(MachoError::Outside(what))?;
                found.push(String::from_utf8_lossy(&name[..end]).into_owned());
            }
        }
        Ok(found)
    }
}

/// The path in a load command, if it is one that has a path.
pub(super) fn path_of(data: &[u8], kind: u32, command: &Range<usize>) -> Result<Option<String>, MachoError> {
    let with_path = lc::LIBRARIES.contains(&kind)
        || matches!(kind, lc::ID_DYLIB | lc::LOAD_DYLINKER | lc::RPATH | lc::DYLD_ENVIRONMENT);
    if !with_path {
        return Ok(None);
    }
    let what = "a path in a load command";
    let offset = u32_le(data, command.start + 8, what)? as usize;
    let bytes = data.get(command.start.saturating_add(offset)..command.end).filter(|_| offset >= 12);
    let bytes = bytes.ok_or(MachoError::Outside(what))?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Ok(Some(String::from_utf8_lossy(&bytes[..end]).into_owned()))
}
