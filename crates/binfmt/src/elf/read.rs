//! Reads an ELF file into an [`ElfInfo`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::info::{DynamicEntry, ElfInfo, Interpreter, Kind, NOBITS, tag};
use super::layout::{Opened, PT_LOAD, Section, Segment, open, sections};
use super::notes::isa_needed;
use super::tables::{Addresses, Tables};
use crate::binary::{BinaryError, Image};
use crate::source::ReadAt;

const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
/// The executable bit of a segment's flags.
const PF_X: u32 = 1;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PT_NOTE: u32 = 4;
const PT_GNU_PROPERTY: u32 = 0x6474_e553;
/// Notes are short: no more than this of a segment is read.
const NOTES_LIMIT: u64 = 1 << 20;
/// The tag of the flags that the gABI does not define.
const DT_FLAGS_1: u64 = 0x6fff_fffb;
/// A position-independent executable, which no loader loads as a library.
const DF_1_PIE: u64 = 0x0800_0000;
/// `e_machine` of 32-bit and 64-bit x86.
const X86: [u16; 2] = [3, 62];

impl ElfInfo {
    /// Reads the file's headers and tables.
    pub fn read(source: &(impl ReadAt + ?Sized)) -> Result<Self, BinaryError> {
        let opened = open(source)?;
        let (sections, names) = sections(&opened)?;
        let Opened { image, head, is_64, segments } = opened;
        let damaged = || BinaryError::Damaged { what: "the ELF header", offset: 0 };
        let view = image.view(&head);
        let (kind, machine) = (view.u16(16).ok_or_else(damaged)?, view.u16(18).ok_or_else(damaged)?);
        let flags = view.u32(if is_64 { 48 } else { 36 }).ok_or_else(damaged)?;
        let mut info = Self {
            machine,
            is_64,
            big_endian: image.big,
            flags,
            kind: Kind::Other(kind),
            segments,
            interpreters: Vec::new(),
            dynamic: Vec::new(),
            versions: BTreeMap::new(),
            undefined: BTreeSet::new(),
            undefined_weak: BTreeSet::new(),
            defined_python: BTreeSet::new(),
            exec_stack: None,
            is_dynamic: false,
            text_relocations: false,
            debug: has_debug_section(&image, &sections, names)?,
            x86_isa_needed: 0,
            tables: Tables::default(),
            sections,
            section_names: names,
        };
        let segments = &info.segments;
        if let Some(cut) = segments.iter().find(|segment| image.slice(segment.offset, segment.size).is_none())
        {
            return Err(BinaryError::Damaged { what: "a segment", offset: cut.offset });
        }
        let dynamic = segments.iter().find(|segment| segment.kind == PT_DYNAMIC && segment.size > 0).copied();
        for segment in segments.clone() {
            info.read_segment(&image, segment)?;
        }
        if let Some(segment) = dynamic {
            info.is_dynamic = true;
            info.read_dynamic(&image, segment)?;
        }
        // Some linkers also give libraries an entry point, but a program always has one.
        let entry = view.word(24, is_64).ok_or_else(damaged)?;
        info.kind = match kind {
            1 => Kind::Object,
            2 => Kind::Executable,
            3 if !info.interpreters.is_empty() || entry != 0 && info.is_pie() => Kind::Executable,
            3 => Kind::Library,
            other => Kind::Other(other),
        };
        Ok(info)
    }

    /// Whether the linker has marked it as a position-independent executable. A static one has
    /// no interpreter, since it relocates itself.
    fn is_pie(&self) -> bool {
        self.dynamic.iter().any(|entry| entry.tag == DT_FLAGS_1 && entry.value & DF_1_PIE != 0)
    }

    /// Reads a segment other than the dynamic one.
    fn read_segment<S: ReadAt + ?Sized>(
        &mut self,
        image: &Image<'_, S>,
        segment: Segment,
    ) -> Result<(), BinaryError> {
        match segment.kind {
            PT_INTERP => {
                let size = segment.size.min(4096);
                let bytes = image.bytes("the interpreter's path", segment.offset, size)?;
                let path = image.view(&bytes).text(0).unwrap_or_default();
                let range = segment.offset..segment.offset + segment.size;
                self.interpreters.push(Interpreter { header: segment.header, range, path });
            }
            PT_GNU_STACK => self.exec_stack = Some(segment.flags & PF_X != 0),
            // Linkers without `PT_GNU_PROPERTY` leave the properties in `PT_NOTE`.
            PT_GNU_PROPERTY | PT_NOTE if X86.contains(&self.machine) => {
                let size = segment.size.min(NOTES_LIMIT);
                let bytes = image.bytes("the notes", segment.offset, size)?;
                let align = if segment.align == 8 { 8 } else { 4 };
                self.x86_isa_needed |= isa_needed(image.view(&bytes), align, self.is_64);
            }
            _ => {}
        }
        Ok(())
    }

    fn read_dynamic<S: ReadAt + ?Sized>(
        &mut self,
        image: &Image<'_, S>,
        segment: Segment,
    ) -> Result<(), BinaryError> {
        let bytes = image.bytes("the dynamic section", segment.offset, segment.size)?;
        let view = image.view(&bytes);
        let word = if self.is_64 { 8 } else { 4 };
        for at in (0..bytes.len()).step_by(2 * word) {
            match (view.word(at, self.is_64), view.word(at + word, self.is_64)) {
                (None | Some(0), _) | (_, None) => break,
                (Some(tag), Some(value)) => {
                    let offset = segment.offset + at as u64;
                    self.dynamic.push(DynamicEntry { offset, tag, value, text: None });
                }
            }
        }
        let mut addresses = Addresses::default();
        for DynamicEntry { tag, value, .. } in &self.dynamic {
            match *tag {
                4 => addresses.hash = Some(*value),
                5 => addresses.strings = *value,
                6 => addresses.symbols = Some(*value),
                10 => addresses.strings_size = *value,
                22 => self.text_relocations = true,
                30 => self.text_relocations |= value & 4 != 0,
                0x6fff_fef5 => addresses.gnu_hash = Some(*value),
                0x6fff_fffc => addresses.defined_versions = Some(*value),
                0x6fff_fffd => addresses.defined_count = *value,
                0x6fff_fffe => addresses.needed_versions = Some(*value),
                0x6fff_ffff => addresses.needed_count = *value,
                _ => {}
            }
        }
        let has_strings = self.dynamic.iter().any(|entry| tag::STRINGS.contains(&entry.tag));
        if addresses.strings_size == 0 && !has_strings {
            return Ok(());
        }
        self.tables = Tables::find(&addresses, image, self.is_64, &self.segments, &self.sections)?;
        self.read_names(image)
    }

    /// Reads the names in the tables.
    fn read_names<S: ReadAt + ?Sized>(&mut self, image: &Image<'_, S>) -> Result<(), BinaryError> {
        let strings = self.tables.read_strings(image)?;
        let strings = image.view(&strings);
        let name = |at: u64| {
            let found = usize::try_from(at).ok().and_then(|at| strings.text(at));
            found.ok_or(BinaryError::Damaged { what: "the dynamic string table", offset: at })
        };
        for entry in self.dynamic.iter_mut().filter(|entry| tag::STRINGS.contains(&entry.tag)) {
            entry.text = Some(name(entry.value)?);
        }
        for needed in self.tables.needed_versions(image)? {
            let versions = self.versions.entry(name(needed.library)?).or_default();
            for version in needed.names {
                versions.insert(name(version)?);
            }
        }
        let Self { tables, undefined, undefined_weak, defined_python, is_64, .. } = self;
        tables.each_symbol(image, *is_64, |symbol| {
            let at = usize::try_from(symbol.name).ok();
            let name = at.and_then(|at| strings.string(at)).unwrap_or_default();
            let is_python = name.starts_with(b"Py") || name.starts_with(b"_Py");
            let set = match (symbol.section == 0, symbol.info >> 4) {
                _ if name.is_empty() => return,
                (true, 2) => &mut *undefined_weak,
                (true, _) => &mut *undefined,
                (false, 0) => return,
                (false, _) if is_python => &mut *defined_python,
                _ => return,
            };
            set.insert(String::from_utf8_lossy(name).into_owned());
        })
    }
}

/// The code of the ELF file that begins with `head`: its largest executable
/// segment, unless the headers are in it too. Linkers that separate code put no
/// table there that [`ElfInfo::read`] needs.
pub fn code(head: &[u8]) -> Option<Range<u64>> {
    let segments = open(head).ok()?.segments;
    let code = segments.iter().filter(|segment| segment.kind == PT_LOAD && segment.flags & PF_X != 0);
    let largest = code.max_by_key(|segment| segment.size).filter(|segment| segment.offset > 0)?;
    Some(largest.offset..largest.offset.checked_add(largest.size)?)
}

fn has_debug_section<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    sections: &[Section],
    names: usize,
) -> Result<bool, BinaryError> {
    let Some(names) = sections.get(names) else { return Ok(false) };
    let names = image.bytes("the section names", names.offset, names.size)?;
    let is_debug = |section: &Section| {
        let name = usize::try_from(section.name).ok().and_then(|at| image.view(&names).string(at));
        section.kind != NOBITS
            && name.is_some_and(|name| [&b".debug_info"[..], b".zdebug_info"].contains(&name))
    };
    Ok(sections.iter().any(is_debug))
}
