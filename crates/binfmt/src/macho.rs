//! Facts about a Mach-O file, slice by slice (Apple's `mach-o/loader.h`,
//! `mach-o/fat.h`, `mach-o/nlist.h`).

use std::collections::BTreeSet;

use crate::binary::{BinaryError, Image};
use crate::source::ReadAt;

/// Facts about a Mach-O file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// One for a thin file, several for a universal one.
    pub slices: Vec<Slice>,
    /// Whether it has a universal header.
    pub universal: bool,
}

/// A library that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dylib {
    /// Its install name.
    pub path: String,
    /// It may be missing (`LC_LOAD_WEAK_DYLIB`).
    pub weak: bool,
}

/// One architecture's image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    /// As platform tags name it: `x86_64`, `arm64`, `i386`, `ppc`, `ppc64`;
    /// `unknown` otherwise.
    pub arch: &'static str,
    /// `filetype`: 1 object, 2 executable, 6 library, 8 bundle …
    pub file_type: u32,
    /// The libraries that it loads.
    pub dylibs: Vec<Dylib>,
    /// `LC_RPATH`.
    pub rpaths: Vec<String>,
    /// `LC_ID_DYLIB`.
    pub id: Option<String>,
    /// `LC_LOAD_DYLINKER` of an executable.
    pub dylinker: Option<String>,
    /// The lowest macOS, (major, minor), where it is built for macOS.
    pub min_macos: Option<(u32, u32)>,
    /// `LC_BUILD_VERSION`'s platform; 1 is macOS.
    pub platform: Option<u32>,
    /// Whether there is a code signature.
    pub signed: bool,
    /// Undefined external symbols, without the leading `_`.
    pub undefined: BTreeSet<String>,
    /// Whether there is a `__DWARF` segment.
    pub debug: bool,
}

const LIMIT_COMMANDS: u32 = 4096;

impl Facts {
    /// Reads the facts.
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
            let part = || image.slice(view.word(8, wide)?, view.word(if wide { 16 } else { 12 }, wide)?);
            let offset = 8 + index as u64 * entry;
            let part = part().ok_or(BinaryError::Damaged { what: "a slice", offset })?;
            slices.push(slice(&part)?);
        }
        Ok(Self { slices, universal: true })
    }
}

fn slice<S: ReadAt + ?Sized>(image: &Image<'_, S>) -> Result<Slice, BinaryError> {
    let head = image.up_to("the header", 0, 32)?;
    let (is_64, big) = match head.get(..4) {
        Some([0xcf, 0xfa, 0xed, 0xfe]) => (true, false),
        Some([0xce, 0xfa, 0xed, 0xfe]) => (false, false),
        Some([0xfe, 0xed, 0xfa, 0xcf]) => (true, true),
        Some([0xfe, 0xed, 0xfa, 0xce]) => (false, true),
        _ => return Err(BinaryError::Format("a Mach-O file")),
    };
    let image = image.in_order(big);
    let view = image.view(&head);
    let damaged = |offset| BinaryError::Damaged { what: "the load commands", offset };
    let field = |at| view.u32(at).ok_or_else(|| damaged(0));
    let arch = match field(4)? {
        0x0100_0007 => "x86_64",
        0x0100_000c => "arm64",
        7 => "i386",
        18 => "ppc",
        0x0100_0012 => "ppc64",
        _ => "unknown",
    };
    let mut slice = Slice { arch, file_type: field(12)?, ..Slice::default() };
    let count = field(16)?;
    let start = if is_64 { 32 } else { 28 };
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
        command(&image, &mut slice, kind, body, is_64)?.ok_or_else(|| damaged(offset))?;
        at += size;
    }
    Ok(slice)
}

/// Whether a part of the file is there to its end.
fn whole<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    what: &'static str,
    offset: u64,
    size: u64,
) -> Result<(), BinaryError> {
    image.slice(offset, size).map(drop).ok_or(BinaryError::Damaged { what, offset })
}

/// Takes in one load command; `None` where it is damaged.
fn command<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    slice: &mut Slice,
    kind: u32,
    body: &[u8],
    is_64: bool,
) -> Result<Option<()>, BinaryError> {
    let view = image.view(body);
    let text = || view.u32(8).and_then(|at| view.text(usize::try_from(at).ok()?));
    let version = |at| view.u32(at).map(|version| (version >> 16, (version >> 8) & 0xff));
    let done = match kind {
        // LC_LOAD_DYLIB, LC_REEXPORT_DYLIB, LC_LAZY_LOAD_DYLIB, LC_LOAD_UPWARD_DYLIB
        0xc | 0x8000_001f | 0x20 | 0x8000_0023 => {
            text().map(|path| slice.dylibs.push(Dylib { path, weak: false }))
        }
        0x8000_0018 => text().map(|path| slice.dylibs.push(Dylib { path, weak: true })),
        0xd => text().map(|id| slice.id = Some(id)),
        0xe => text().map(|path| slice.dylinker = Some(path)),
        0x8000_001c => text().map(|path| slice.rpaths.push(path)),
        0x1d => {
            slice.signed = true;
            let Some((offset, size)) = view.u32(8).zip(view.u32(12)) else { return Ok(None) };
            Some(whole(image, "the code signature", offset.into(), size.into())?)
        }
        // LC_VERSION_MIN_MACOSX
        0x24 => version(8).map(|version| {
            slice.platform = Some(1);
            slice.min_macos = Some(version);
        }),
        // LC_BUILD_VERSION; zippered files have a second one for Catalyst.
        0x32 => view.u32(8).zip(version(12)).map(|(platform, version)| {
            if platform == 1 {
                slice.min_macos = Some(version);
            }
            if slice.platform != Some(1) {
                slice.platform = Some(platform);
            }
        }),
        // LC_SEGMENT, LC_SEGMENT_64
        0x1 | 0x19 => {
            slice.debug |= view.string(8).is_some_and(|name| name.starts_with(b"__DWARF"));
            let (offset, size) = if is_64 { (40, 48) } else { (32, 36) };
            let Some((offset, size)) = view.word(offset, is_64).zip(view.word(size, is_64)) else {
                return Ok(None);
            };
            // The segments of debug files are elsewhere.
            if slice.file_type != 10 {
                whole(image, "a segment", offset, size)?;
            }
            Some(())
        }
        // LC_SYMTAB
        0x2 => {
            let fields = [8, 12, 16, 20].map(|at| view.u32(at));
            let [Some(symbols), Some(count), Some(names), Some(names_size)] = fields else { return Ok(None) };
            let entry = if is_64 { 16 } else { 12 };
            let table = image.bytes("the symbol table", symbols.into(), u64::from(count) * entry)?;
            let names = image.bytes("the symbols' names", names.into(), names_size.into())?;
            for bytes in table.chunks_exact(usize::try_from(entry).unwrap_or(12)) {
                // Not for debugging, external, undefined.
                let undefined = bytes[4] & 0xe0 == 0 && bytes[4] & 1 != 0 && bytes[4] & 0x0e == 0;
                let at = image.view(bytes).u32(0).and_then(|at| usize::try_from(at).ok());
                if let Some(name) = at.filter(|_| undefined).and_then(|at| image.view(&names).text(at)) {
                    slice.undefined.insert(name.strip_prefix('_').map_or(name.clone(), str::to_owned));
                }
            }
            Some(())
        }
        _ => Some(()),
    };
    Ok(done)
}
