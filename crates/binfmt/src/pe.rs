//! PE files as the Windows loader reads them (Microsoft's "PE Format").

use std::collections::BTreeSet;
use std::ops::Range;

use self::headers::Headers;
use crate::binary::{BinaryError, EditError, Image};
use crate::source::{ReadAt, WriteAt};

mod headers;
mod version;

pub use self::version::{FileVersion, file_version};

/// A library that a PE file imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// The name's range in the file.
    pub range: Range<u64>,
    /// Whether it is loaded on first use instead of with the file.
    pub is_delayed: bool,
}

/// Why the imports of a PE file must stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// It has a certificate (Authenticode).
    Signed,
    /// A second table binds its imports, by name, to the addresses in certain DLLs.
    Bound,
}

/// What a PE file needs from its loader.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a field or flag of the format")]
pub struct PeInfo {
    /// `Machine` of the COFF header.
    pub machine: u16,
    /// PE32+.
    pub is_64: bool,
    /// A library (`IMAGE_FILE_DLL`).
    pub is_dll: bool,
    /// A .NET assembly, which runs wherever its runtime does.
    pub is_managed: bool,
    /// A .NET assembly for any processor. Its header names x86.
    pub is_for_any_processor: bool,
    /// ARM64EC: declared as x64, but most of its code is for ARM64 (Microsoft, "ARM64EC ABI").
    pub is_arm64ec: bool,
    /// What an edit of its imports would break.
    pub seal: Option<Seal>,
    /// Where the checksum of the whole file is.
    checksum: u64,
    /// The libraries that it imports, in order.
    pub imports: Vec<Import>,
    /// The symbols that it imports from a Python library.
    pub python_symbols: Vec<String>,
    /// Python's symbols (`Py…`) that it exports; `None` if there are too many to
    /// read.
    pub exported_python: Option<BTreeSet<String>>,
}

const LIMIT_IMPORTS: usize = 4096;

/// `IMAGE_FILE_MACHINE_AMD64`.
const AMD64: u16 = 0x8664;

/// `IMAGE_FILE_MACHINE_I386`.
const I386: u16 = 0x014c;

/// Indices of data directories.
const EXPORTS: usize = 0;
const IMPORTS: usize = 1;
const CERTIFICATES: usize = 4;
const LOAD_CONFIGURATION: usize = 10;
const BOUND_IMPORTS: usize = 11;
const DELAYED_IMPORTS: usize = 13;
const CLR_HEADER: usize = 14;

impl PeInfo {
    /// Reads headers and imports; `None` for a DOS program.
    pub fn read(source: &(impl ReadAt + ?Sized)) -> Result<Option<Self>, BinaryError> {
        let image = Image::new(source)?;
        let Some(headers) = Headers::read(&image)? else { return Ok(None) };
        let signed = headers.directory(CERTIFICATES).map(|_| Seal::Signed);
        let mut info = Self {
            machine: headers.machine,
            is_64: headers.is_64,
            is_dll: headers.flags & 0x2000 != 0,
            is_managed: headers.directory(CLR_HEADER).is_some(),
            is_for_any_processor: headers.machine == I386 && is_only_bytecode(&image, &headers),
            is_arm64ec: headers.machine == AMD64 && has_hybrid_metadata(&image, &headers),
            seal: signed.or(headers.directory(BOUND_IMPORTS).map(|_| Seal::Bound)),
            checksum: headers.checksum,
            imports: Vec::new(),
            python_symbols: Vec::new(),
            exported_python: None,
        };
        info.exported_python = match headers.locate_directory(EXPORTS) {
            Some(at) => exported(&image, at, |address| headers.locate(address))?,
            None => Some(BTreeSet::new()),
        };
        info.read_imports(&image, &headers)?;
        info.read_delayed_imports(&image, &headers)?;
        Ok(Some(info))
    }

    /// Reads the libraries that are loaded with the file.
    fn read_imports<S: ReadAt + ?Sized>(
        &mut self,
        image: &Image<'_, S>,
        headers: &Headers,
    ) -> Result<(), BinaryError> {
        let Some(mut at) = headers.locate_directory(IMPORTS) else { return Ok(()) };
        for _ in 0..LIMIT_IMPORTS {
            let bytes = image.bytes("an import descriptor", at, 20)?;
            let view = image.view(&bytes);
            let Some(name) = view.u32(12).filter(|name| *name != 0) else { break };
            // `OriginalFirstThunk`; without it (Borland's linker), `FirstThunk` has the
            // names until the file is loaded.
            let thunks = view.u32(0).filter(|at| *at != 0).or(view.u32(16)).unwrap_or_default();
            self.add_import(image, headers, [name.into(), thunks.into()], None)?;
            at += 20;
        }
        Ok(())
    }

    /// Reads the libraries that are loaded on first use.
    fn read_delayed_imports<S: ReadAt + ?Sized>(
        &mut self,
        image: &Image<'_, S>,
        headers: &Headers,
    ) -> Result<(), BinaryError> {
        let Some(mut at) = headers.locate_directory(DELAYED_IMPORTS) else { return Ok(()) };
        for _ in 0..LIMIT_IMPORTS {
            let bytes = image.bytes("an import descriptor", at, 32)?;
            let view = image.view(&bytes);
            let Some(name) = view.u32(4).filter(|name| *name != 0) else { break };
            // Old 32-bit linkers leave the attribute `RvaBased` out and write addresses.
            let is_relative = view.u32(0).is_some_and(|attributes| attributes & 1 != 0);
            let base = if is_relative { 0 } else { headers.image_base };
            let thunks = view.u32(16).unwrap_or_default();
            self.add_import(image, headers, [name.into(), thunks.into()], Some(base))?;
            at += 32;
        }
        Ok(())
    }

    /// Adds the library whose name and thunks are at these addresses. `delayed` is what
    /// the addresses in a descriptor for delayed loading are relative to.
    fn add_import<S: ReadAt + ?Sized>(
        &mut self,
        image: &Image<'_, S>,
        headers: &Headers,
        [name_at, thunks_at]: [u64; 2],
        delayed: Option<u64>,
    ) -> Result<(), BinaryError> {
        let base = delayed.unwrap_or_default();
        let locate = |address: u64| {
            let relative = address.checked_sub(base).and_then(|address| headers.locate(address));
            // Some linkers write relative addresses without the attribute.
            relative.or_else(|| headers.locate(address).filter(|_| delayed.is_some()))
        };
        let Some(offset) = locate(name_at) else {
            // The loader never reads the table for delayed loading.
            if delayed.is_some() {
                return Ok(());
            }
            return Err(BinaryError::Damaged { what: "an imported library's name", offset: name_at });
        };
        let name = image.up_to("an imported library's name", offset, 256)?;
        let name = image.view(&name).text(0).unwrap_or_default();
        if name.to_ascii_lowercase().starts_with("python")
            && self.python_symbols.len() < LIMIT_IMPORTS
            && let Some(thunks) = locate(thunks_at)
        {
            symbols(image, thunks, self.is_64, locate, &mut self.python_symbols)?;
        }
        let range = offset..offset + name.len() as u64;
        self.imports.push(Import { name, range, is_delayed: delayed.is_some() });
        Ok(())
    }

    /// The architecture as platform tags name it; `arm64ec` for ARM64 code that runs only
    /// in emulated x64 processes.
    pub fn arch(&self) -> Option<&'static str> {
        Some(match self.machine {
            AMD64 if self.is_arm64ec => "arm64ec",
            AMD64 => "amd64",
            0x014c => "x86",
            0xaa64 => "arm64",
            0x01c4 => "arm32",
            _ => return None,
        })
    }
}

/// Whether an assembly has no machine code and does not require a 32-bit process (ECMA-335,
/// II.25.3.3, "CLI header": `ILONLY`, `32BITREQUIRED`; `32BITPREFERRED` makes it a preference).
fn is_only_bytecode<S: ReadAt + ?Sized>(image: &Image<'_, S>, headers: &Headers) -> bool {
    const FLAGS: usize = 16;
    const IL_ONLY: u32 = 1;
    const REQUIRES_32_BIT: u32 = 2;
    const PREFERS_32_BIT: u32 = 0x2_0000;
    let read = || {
        let at = headers.locate_directory(CLR_HEADER)?;
        let bytes = image.up_to("the CLI header", at, FLAGS as u64 + 4).ok()?;
        image.view(&bytes).u32(FLAGS)
    };
    read().is_some_and(|flags| {
        flags & IL_ONLY != 0 && (flags & REQUIRES_32_BIT == 0 || flags & PREFERS_32_BIT != 0)
    })
}

/// Whether the load configuration of a 64-bit file has `CHPEMetadataPointer`, which
/// describes the ARM64 code in it (winnt.h, `IMAGE_LOAD_CONFIG_DIRECTORY64`).
fn has_hybrid_metadata<S: ReadAt + ?Sized>(image: &Image<'_, S>, headers: &Headers) -> bool {
    const POINTER: usize = 200;
    let read = || {
        let at = headers.locate_directory(LOAD_CONFIGURATION)?;
        let bytes = image.up_to("the load configuration", at, POINTER as u64 + 8).ok()?;
        let size = image.view(&bytes).u32(0)?;
        image.view(&bytes).u64(POINTER).filter(|pointer| *pointer != 0 && size as usize >= POINTER + 8)
    };
    headers.is_64 && read().is_some()
}

/// Writes other names over those of imported libraries, in the file that `info`
/// was read from, and updates its checksum, if it has one. `rename` returns the new
/// name of a library, which must not be longer than the old one. Returns the old and
/// new names.
pub fn rename_imports<S: WriteAt + ?Sized>(
    content: &mut S,
    info: &PeInfo,
    rename: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, EditError> {
    let mut renamed = Vec::new();
    for import in &info.imports {
        let Some(new) = rename(&import.name).filter(|new| *new != import.name) else { continue };
        let mut bytes = new.clone().into_bytes();
        let room = usize::try_from(import.range.end - import.range.start).unwrap_or_default();
        if bytes.len() > room {
            return Err(EditError::NoRoom(format!("`{new}` is longer than `{}`", import.name)));
        }
        bytes.resize(room, 0);
        content.write_all_at(import.range.start, &bytes)?;
        renamed.push((import.name.clone(), new));
    }
    if !renamed.is_empty() {
        let mut old = [0; 4];
        content.read_exact_at(info.checksum, &mut old)?;
        // Most linkers leave it out.
        if old != [0; 4] {
            let new = checksum(content, info.checksum)?;
            content.write_all_at(info.checksum, &new.to_le_bytes())?;
        }
    }
    Ok(renamed)
}

/// The checksum of a PE file that has it at `at`, as `CheckSumMappedFile` computes it:
/// the sum of all 16-bit words without itself, with each carry added, and the size.
fn checksum<S: ReadAt + ?Sized>(content: &S, at: u64) -> Result<u32, EditError> {
    const PIECE: u64 = 256 << 10;
    let size = content.size()?;
    let (mut sum, mut start) = (0u64, 0);
    while start < size {
        let mut bytes = vec![0; usize::try_from(PIECE.min(size - start)).unwrap_or_default()];
        content.read_exact_at(start, &mut bytes)?;
        for (index, byte) in bytes.iter().enumerate() {
            let place = start + index as u64;
            if !(at..at + 4).contains(&place) {
                sum += u64::from(*byte) << (8 * (place % 2));
            }
        }
        start += bytes.len() as u64;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u32::try_from(sum + size).map_err(|_| EditError::NoRoom("the file has 4 GiB or more".to_owned()))
}

/// The Python names in the export directory at `at`; `None` if there are more
/// than [`LIMIT_IMPORTS`] names.
fn exported<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    at: u64,
    locate: impl Fn(u64) -> Option<u64>,
) -> Result<Option<BTreeSet<String>>, BinaryError> {
    let directory = image.bytes("the export directory", at, 40)?;
    let (count, names) = (image.view(&directory).u32(24), image.view(&directory).u32(32));
    let count = u64::from(count.unwrap_or_default());
    let Some(names) = names.and_then(|names| locate(names.into())).filter(|_| count > 0) else {
        return Ok(Some(BTreeSet::new()));
    };
    if count > LIMIT_IMPORTS as u64 {
        return Ok(None);
    }
    let table = image.bytes("the exported names", names, count * 4)?;
    let mut found = BTreeSet::new();
    for at in table.chunks_exact(4) {
        let Some(offset) = image.view(at).u32(0).and_then(|at| locate(at.into())) else { continue };
        let name = image.up_to("an exported name", offset, 256)?;
        found.extend(image.view(&name).text(0).filter(|name| name.starts_with("Py")));
    }
    Ok(Some(found))
}

/// The names that a list of thunks refers to.
fn symbols<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    thunks: u64,
    is_64: bool,
    locate: impl Fn(u64) -> Option<u64>,
    into: &mut Vec<String>,
) -> Result<(), BinaryError> {
    let word = if is_64 { 8 } else { 4 };
    let bytes = image.up_to("the imported symbols", thunks, word * LIMIT_IMPORTS as u64)?;
    let by_number = 1u64 << (word * 8 - 1);
    for at in (0..bytes.len()).step_by(usize::try_from(word).unwrap_or(8)) {
        let Some(thunk) = image.view(&bytes).word(at, is_64).filter(|thunk| *thunk != 0) else { break };
        // A small file can repeat one name without end. CPython has fewer.
        if into.len() >= LIMIT_IMPORTS {
            break;
        }
        if thunk & by_number != 0 {
            continue;
        }
        let Some(offset) = locate(thunk) else { break };
        let name = image.up_to("an imported symbol's name", offset + 2, 256)?;
        into.extend(image.view(&name).text(0));
    }
    Ok(())
}
