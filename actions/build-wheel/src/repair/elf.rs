//! An ELF file as far as the dynamic loader reads it, with the place of each
//! thing in the file, so that it can be edited there (System V gABI, chapters
//! 4 and 5; the version sections are Sun's and GNU's).

use std::ops::Range;

use super::elf_names::{Names, Tables};
use crate::target::Arch;

/// Tags of the dynamic section whose value is a string.
pub(super) mod tag {
    pub(crate) const NEEDED: u64 = 1;
    pub(crate) const SONAME: u64 = 14;
    pub(crate) const RPATH: u64 = 15;
    pub(crate) const RUNPATH: u64 = 29;
    pub(super) const CONFIG: u64 = 0x6fff_fefa;
    pub(super) const DEPAUDIT: u64 = 0x6fff_fefb;
    pub(super) const AUDIT: u64 = 0x6fff_fefc;
    pub(super) const AUXILIARY: u64 = 0x7fff_fffd;
    pub(super) const FILTER: u64 = 0x7fff_ffff;
    /// Those that name a library: another, or the file itself.
    pub(crate) const LIBRARIES: [u64; 2] = [NEEDED, SONAME];
    /// All of them.
    pub(crate) const STRINGS: [u64; 9] =
        [NEEDED, SONAME, RPATH, RUNPATH, CONFIG, DEPAUDIT, AUDIT, AUXILIARY, FILTER];
}

/// Why an ELF file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// It ends too early, or a field points outside.
    #[error("the file is cut off or damaged: {0} lies outside of it")]
    Outside(&'static str),
    /// A field has an impossible value.
    #[error("not a usable ELF file: {0}")]
    Invalid(&'static str),
    /// There is no room for what must be written.
    #[error("cannot be edited in place: {0}")]
    NoRoom(String),
}

/// One entry of the dynamic section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dynamic {
    /// Where the entry is in the file.
    pub(super) place: usize,
    pub(super) tag: u64,
    pub(super) value: u64,
}

/// The interpreter's path: where its program header and its bytes are.
#[derive(Debug, Clone)]
pub(super) struct Interpreter {
    pub(super) header: usize,
    pub(super) bytes: Range<usize>,
    pub(super) path: String,
}

/// The file's structure.
#[derive(Debug, Clone)]
pub(super) struct Elf {
    pub(super) form: Form,
    pub(super) machine: u16,
    pub(super) interpreter: Option<Interpreter>,
    /// Up to, not including, the closing `DT_NULL`.
    pub(super) dynamic: Vec<Dynamic>,
    /// The dynamic string table.
    pub(super) strings: Range<usize>,
    /// What else uses the string table.
    pub(super) names: Names,
    /// The file range of the section table's entries.
    pub(super) sections: Option<(usize, usize, usize)>,
}

/// Class and byte order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) wide: bool,
    pub(super) little: bool,
}

impl Form {
    fn bytes<const N: usize>(data: &[u8], at: usize, what: &'static str) -> Result<[u8; N], ElfError> {
        let end = at.checked_add(N).ok_or(ElfError::Outside(what))?;
        let bytes = data.get(at..end).ok_or(ElfError::Outside(what))?;
        bytes.try_into().map_err(|_| ElfError::Outside(what))
    }

    pub(super) fn u16(self, data: &[u8], at: usize, what: &'static str) -> Result<u16, ElfError> {
        let bytes = Self::bytes(data, at, what)?;
        Ok(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    pub(super) fn u32(self, data: &[u8], at: usize, what: &'static str) -> Result<u32, ElfError> {
        let bytes = Self::bytes(data, at, what)?;
        Ok(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// A word of the class: 8 bytes or 4.
    pub(super) fn word(self, data: &[u8], at: usize, what: &'static str) -> Result<u64, ElfError> {
        if !self.wide {
            return self.u32(data, at, what).map(u64::from);
        }
        let bytes = Self::bytes(data, at, what)?;
        Ok(if self.little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }

    /// Writes a word of the class at a place that was read before.
    pub(super) fn set_word(self, data: &mut [u8], at: usize, value: u64) {
        let bytes = if self.little { value.to_le_bytes() } else { value.to_be_bytes() };
        if self.wide {
            data[at..at + 8].copy_from_slice(&bytes);
        } else {
            let half = if self.little { &bytes[..4] } else { &bytes[4..] };
            data[at..at + 4].copy_from_slice(half);
        }
    }

    /// Writes 4 bytes at a place that was read before.
    pub(super) fn set_u32(self, data: &mut [u8], at: usize, value: u32) {
        let bytes = if self.little { value.to_le_bytes() } else { value.to_be_bytes() };
        data[at..at + 4].copy_from_slice(&bytes);
    }

    /// The size of a word.
    pub(super) fn size(self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// Of a 64-bit and a 32-bit offset, the one of the class.
    pub(super) fn either(self, wide: usize, narrow: usize) -> usize {
        if self.wide { wide } else { narrow }
    }
}

/// Whether `data` begins like an ELF file.
pub(super) fn is_elf(data: &[u8]) -> bool {
    data.starts_with(b"\x7fELF")
}

/// A segment of the file in memory.
struct Load {
    address: u64,
    offset: u64,
    size: u64,
}

/// A place in a file; so far away that sums could overflow, there is none.
pub(super) fn usize_of(value: u64, what: &'static str) -> Result<usize, ElfError> {
    usize::try_from(value).ok().filter(|value| *value < usize::MAX >> 16).ok_or(ElfError::Outside(what))
}

fn file_range(data: &[u8], offset: u64, size: u64, what: &'static str) -> Result<Range<usize>, ElfError> {
    let start = usize_of(offset, what)?;
    let end = start.checked_add(usize_of(size, what)?).filter(|end| *end <= data.len());
    Ok(start..end.ok_or(ElfError::Outside(what))?)
}

/// The text from `at` to the next NUL within `range`. A name that is not UTF-8
/// is refused: replaced by other characters, it would have another length.
pub(super) fn text(
    data: &[u8],
    at: usize,
    range: &Range<usize>,
    what: &'static str,
) -> Result<String, ElfError> {
    let bytes = data.get(at..range.end).filter(|_| at >= range.start).ok_or(ElfError::Outside(what))?;
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(ElfError::Outside(what))?;
    let text = std::str::from_utf8(&bytes[..end]);
    Ok(text.map_err(|_| ElfError::Invalid("a name that its loader reads is not UTF-8"))?.to_owned())
}

impl Elf {
    /// Reads the structure; every offset is checked against the file.
    pub(super) fn parse(data: &[u8]) -> Result<Self, ElfError> {
        let form = match (data.get(4), data.get(5)) {
            (Some(class @ 1..=2), Some(order @ 1..=2)) => Form { wide: *class == 2, little: *order == 1 },
            (Some(_), Some(_)) => return Err(ElfError::Invalid("unknown class or byte order")),
            _ => return Err(ElfError::Outside("the header")),
        };
        let machine = form.u16(data, 18, "the header")?;
        let mut elf = Self {
            form,
            machine,
            interpreter: None,
            dynamic: Vec::new(),
            strings: 0..0,
            names: Names::default(),
            sections: elf_sections(form, data)?,
        };
        let table = usize_of(form.word(data, form.either(32, 28), "the header")?, "the program headers")?;
        let entry = usize::from(form.u16(data, form.either(54, 42), "the header")?);
        let count = usize::from(form.u16(data, form.either(56, 44), "the header")?);
        if count > 0 && entry < form.either(56, 32) {
            return Err(ElfError::Invalid("its program headers are too small"));
        }
        let mut loads = Vec::new();
        let mut dynamic = None;
        for index in 0..count {
            let at = table.checked_add(index * entry).ok_or(ElfError::Outside("the program headers"))?;
            let what = "the program headers";
            let field = |wide, narrow| form.word(data, at + form.either(wide, narrow), what);
            let (offset, address, size) = (field(8, 4)?, field(16, 8)?, field(32, 16)?);
            match form.u32(data, at, what)? {
                1 => loads.push(Load { address, offset, size }),
                2 => dynamic = Some(file_range(data, offset, size, "the dynamic section")?),
                3 => {
                    let bytes = file_range(data, offset, size, "the interpreter")?;
                    let path = text(data, bytes.start, &bytes, "the interpreter")?;
                    elf.interpreter = Some(Interpreter { header: at, bytes, path });
                }
                _ => {}
            }
        }
        // A core file or object has segments of no loader.
        if let Some(range) = dynamic {
            elf.read_dynamic(data, range, &loads)?;
        }
        Ok(elf)
    }

    fn read_dynamic(&mut self, data: &[u8], range: Range<usize>, loads: &[Load]) -> Result<(), ElfError> {
        let form = self.form;
        for place in range.clone().step_by(2 * form.size()) {
            if place + 2 * form.size() > range.end {
                break;
            }
            let tag = form.word(data, place, "the dynamic section")?;
            let value = form.word(data, place + form.size(), "the dynamic section")?;
            if tag == 0 {
                break;
            }
            self.dynamic.push(Dynamic { place, tag, value });
        }
        let value = |tag: u64| self.dynamic.iter().find(|entry| entry.tag == tag).map(|entry| entry.value);
        let offset = |address: u64, what: &'static str| -> Result<usize, ElfError> {
            let inside = |load: &&Load| address.checked_sub(load.address).is_some_and(|by| by < load.size);
            let load = loads.iter().find(inside).ok_or(ElfError::Outside(what))?;
            let offset = (address - load.address).checked_add(load.offset).ok_or(ElfError::Outside(what))?;
            usize_of(offset, what)
        };
        let (Some(strings), Some(size)) = (value(5), value(10)) else {
            return if self.dynamic.iter().any(|entry| tag::STRINGS.contains(&entry.tag)) {
                Err(ElfError::Invalid("its dynamic section has no string table"))
            } else {
                Ok(())
            };
        };
        self.strings =
            file_range(data, offset(strings, "the string table")? as u64, size, "the string table")?;

        let place = |tag: u64, what: &'static str| value(tag).map(|at| offset(at, what)).transpose();
        let tables = Tables {
            symbols: place(6, "the symbol table")?,
            hash: place(4, "the hash table")?,
            gnu_hash: place(0x6fff_fef5, "the hash table")?,
            needed: place(0x6fff_fffe, "the needed versions")?,
            needed_count: value(0x6fff_ffff).unwrap_or(0),
            defined: place(0x6fff_fffc, "the defined versions")?,
            defined_count: value(0x6fff_fffd).unwrap_or(0),
            sections: self.sections,
        };
        self.names = tables.read(form, data)?;
        Ok(())
    }

    /// The string at an offset of the string table.
    pub(super) fn string(&self, data: &[u8], offset: u64) -> Result<String, ElfError> {
        let what = "a string of the dynamic section";
        let at = self.strings.start.checked_add(usize_of(offset, what)?).ok_or(ElfError::Outside(what))?;
        text(data, at, &self.strings, what)
    }

    /// The strings of all entries with this tag, in order.
    pub(super) fn strings_of(&self, data: &[u8], tag: u64) -> Result<Vec<String>, ElfError> {
        let entries = self.dynamic.iter().filter(|entry| entry.tag == tag);
        entries.map(|entry| self.string(data, entry.value)).collect()
    }

    /// The architecture, if it is one of the targets'.
    pub(super) fn arch(&self) -> Option<Arch> {
        Arch::from_elf(self.machine).filter(|_| self.form.wide && self.form.little)
    }

    /// The section that begins at `offset` of the file: where its entry is.
    pub(super) fn section_at(&self, data: &[u8], offset: usize) -> Option<usize> {
        let (start, size, count) = self.sections?;
        (0..count).map(|index| start + index * size).find(|at| {
            let place = self.form.word(data, at + self.form.either(24, 16), "the section table");
            place == Ok(offset as u64)
        })
    }
}

/// Start, entry size and number of the section table, where it is whole: the
/// loader does not need it, and a stripped file may have none.
fn elf_sections(form: Form, data: &[u8]) -> Result<Option<(usize, usize, usize)>, ElfError> {
    let start = usize_of(form.word(data, form.either(40, 32), "the header")?, "the section table")?;
    let size = usize::from(form.u16(data, form.either(58, 46), "the header")?);
    let count = usize::from(form.u16(data, form.either(60, 48), "the header")?);
    let whole = start.checked_add(size * count).is_some_and(|end| end <= data.len());
    Ok((start > 0 && size >= form.either(64, 40) && whole).then_some((start, size, count)))
}
