//! PE files as the Windows loader reads them (Microsoft's "PE Format").

use std::collections::BTreeSet;
use std::ops::Range;

use crate::binary::{BinaryError, EditError, Image, View};
use crate::source::{ReadAt, WriteAt};

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
pub struct PeInfo {
    /// `Machine` of the COFF header.
    pub machine: u16,
    /// PE32+.
    pub is_64: bool,
    /// A library (`IMAGE_FILE_DLL`).
    pub is_dll: bool,
    /// A .NET assembly, which runs wherever its runtime does.
    pub is_managed: bool,
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

/// Indices of data directories.
const EXPORTS: usize = 0;
const CERTIFICATES: usize = 4;
const BOUND_IMPORTS: usize = 11;
const CLR_HEADER: usize = 14;

impl PeInfo {
    /// Reads headers and imports; `None` for a DOS program.
    pub fn read(source: &(impl ReadAt + ?Sized)) -> Result<Option<Self>, BinaryError> {
        let image = Image::new(source)?;
        let dos = image.up_to("the DOS header", 0, 64)?;
        if !dos.starts_with(b"MZ") {
            return Err(BinaryError::Format("a PE file"));
        }
        let Some(start) = image.view(&dos).u32(60).map(u64::from) else { return Ok(None) };
        let Ok(head) = image.bytes("the PE header", start, 24) else { return Ok(None) };
        if !head.starts_with(b"PE\0\0") {
            return Ok(None);
        }
        let view = image.view(&head);
        let damaged = || BinaryError::Damaged { what: "the PE header", offset: start };
        let number = |at| view.u16(at).ok_or_else(damaged);
        let (machine, sections, optional_size, flags) = (number(4)?, number(6)?, number(20)?, number(22)?);
        let optional = image.bytes("the optional header", start + 24, optional_size.into())?;
        let optional = image.view(&optional);
        let is_64 = optional.u16(0) == Some(0x20b);
        let first = if is_64 { 112 } else { 96 };
        let data = |index: usize| optional.u32(first + index * 8).filter(|at| *at != 0);
        let mut info = Self {
            machine,
            is_64,
            is_dll: flags & 0x2000 != 0,
            is_managed: data(CLR_HEADER).is_some(),
            seal: data(CERTIFICATES).map(|_| Seal::Signed).or(data(BOUND_IMPORTS).map(|_| Seal::Bound)),
            checksum: start + 24 + 64,
            imports: Vec::new(),
            python_symbols: Vec::new(),
            exported_python: None,
        };
        let table = image.bytes(
            "the section table",
            start + 24 + u64::from(optional_size),
            u64::from(sections) * 40,
        )?;
        let sections: Vec<[u64; 4]> = table
            .chunks_exact(40)
            .map(|bytes| {
                let view = image.view(bytes);
                // VirtualSize, VirtualAddress, SizeOfRawData, PointerToRawData
                [8, 12, 16, 20].map(|at| view.u32(at).unwrap_or_default().into())
            })
            .collect();
        // SizeOfRawData is rounded up, but the linker pads the file too.
        let cut = |section: &&[u64; 4]| section[3] != 0 && image.slice(section[3], section[2]).is_none();
        if let Some(section) = sections.iter().find(cut) {
            return Err(BinaryError::Damaged { what: "a section", offset: section[3] });
        }
        let locate = |address: u64| {
            sections.iter().find_map(|[_, start, size, offset]| {
                let within = address.checked_sub(*start)?;
                (within < *size).then_some(offset + within)
            })
        };
        info.exported_python = match data(EXPORTS).and_then(|at| locate(at.into())) {
            Some(at) => exported(&image, at, locate)?,
            None => Some(BTreeSet::new()),
        };
        info.read_imports(&image, &optional, locate)?;
        Ok(Some(info))
    }

    /// Reads the imports, both direct and delayed.
    fn read_imports<S: ReadAt + ?Sized>(
        &mut self,
        image: &Image<'_, S>,
        optional: &View<'_>,
        locate: impl Fn(u64) -> Option<u64>,
    ) -> Result<(), BinaryError> {
        let first = if self.is_64 { 112 } else { 96 };
        // Import directory, delay-load directory: the offset of the entry, the size
        // of a descriptor, the offsets of its name and of its thunks.
        for (entry, size, name_at, thunks_at) in [(1, 20, 12, 0), (13, 32, 4, 16)] {
            let Some(mut at) =
                optional.u32(first + entry * 8).filter(|at| *at != 0).and_then(|at| locate(at.into()))
            else {
                continue;
            };
            for _ in 0..LIMIT_IMPORTS {
                let bytes = image.bytes("an import descriptor", at, size)?;
                let view = image.view(&bytes);
                let Some(name) = view.u32(name_at).filter(|name| *name != 0) else { break };
                let Some(offset) = locate(name.into()) else {
                    return Err(BinaryError::Damaged {
                        what: "an imported library's name",
                        offset: name.into(),
                    });
                };
                let name = image.up_to("an imported library's name", offset, 256)?;
                let name = image.view(&name).text(0).unwrap_or_default();
                if name.to_ascii_lowercase().starts_with("python")
                    && let Some(thunks) = view.u32(thunks_at).and_then(|at| locate(at.into()))
                {
                    symbols(image, thunks, self.is_64, &locate, &mut self.python_symbols)?;
                }
                let range = offset..offset + name.len() as u64;
                self.imports.push(Import { name, range, is_delayed: entry == 13 });
                at += size;
            }
        }
        Ok(())
    }

    /// The architecture as platform tags name it.
    pub fn arch(&self) -> Option<&'static str> {
        Some(match self.machine {
            0x8664 => "amd64",
            0x014c => "x86",
            0xaa64 => "arm64",
            0x01c4 => "arm32",
            _ => return None,
        })
    }
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
        if thunk & by_number != 0 {
            continue;
        }
        let Some(offset) = locate(thunk) else { break };
        let name = image.up_to("an imported symbol's name", offset + 2, 256)?;
        into.extend(image.view(&name).text(0));
    }
    Ok(())
}
