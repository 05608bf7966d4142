//! What an ELF file asks of its loader, and where in the file it does.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::layout::{Opened, PT_LOAD, Section, Segment, open, sections};
use super::tables::{Addresses, Tables};
use crate::binary::{BinaryError, Image, View};
use crate::source::ReadAt;

/// Tags of the dynamic section whose value is a string.
pub mod tag {
    /// A library that is needed.
    pub const NEEDED: u64 = 1;
    /// The library's own name.
    pub const SONAME: u64 = 14;
    /// Search paths, before those of the environment.
    pub const RPATH: u64 = 15;
    /// Search paths, after those of the environment.
    pub const RUNPATH: u64 = 29;
    const CONFIG: u64 = 0x6fff_fefa;
    const DEPAUDIT: u64 = 0x6fff_fefb;
    const AUDIT: u64 = 0x6fff_fefc;
    const AUXILIARY: u64 = 0x7fff_fffd;
    const FILTER: u64 = 0x7fff_ffff;
    /// Those that name a library: another, or the file itself.
    pub const LIBRARIES: [u64; 2] = [NEEDED, SONAME];
    /// All of them.
    pub const STRINGS: [u64; 9] =
        [NEEDED, SONAME, RPATH, RUNPATH, CONFIG, DEPAUDIT, AUDIT, AUXILIARY, FILTER];
    /// Whether there are relative relocations in the compact form, which
    /// older loaders ignore.
    pub const RELR: u64 = 36;
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ET_REL`: an object file.
    Object,
    /// `ET_EXEC`, or `ET_DYN` with an interpreter.
    Executable,
    /// `ET_DYN` without an interpreter.
    Library,
    /// Anything else, by its number.
    Other(u16),
}

/// `PT_INTERP`: the path of the loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// Where its program header is in the file.
    pub header: u64,
    /// Where the path is in the file, with its terminating zero.
    pub range: Range<u64>,
    /// The path.
    pub path: String,
}

/// An entry of the dynamic section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicEntry {
    /// Where it is in the file.
    pub offset: u64,
    /// `d_tag`.
    pub tag: u64,
    /// `d_val` or `d_ptr`.
    pub value: u64,
    /// The string that the value stands for, where it does.
    pub text: Option<String>,
}

/// What an ELF file asks of its loader.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct ElfInfo {
    /// `e_machine`.
    pub machine: u16,
    /// 64-bit.
    pub is_64: bool,
    /// Big-endian.
    pub big_endian: bool,
    /// `e_flags`.
    pub flags: u32,
    /// Executable or library.
    pub kind: Kind,
    /// The program headers.
    pub segments: Vec<Segment>,
    /// `PT_INTERP`; a file may have one.
    pub interpreters: Vec<Interpreter>,
    /// The dynamic section up to its end.
    pub dynamic: Vec<DynamicEntry>,
    /// Library → the versions of its symbols that are needed.
    pub versions: BTreeMap<String, BTreeSet<String>>,
    /// Dynamic symbols that are used and not defined; with `weak` apart.
    pub undefined: BTreeSet<String>,
    /// Undefined symbols that may be missing (weak binding).
    pub undefined_weak: BTreeSet<String>,
    /// Dynamic symbols that the file defines, as far as they concern Python
    /// (`Py…`, `_Py…`).
    pub defined_python: BTreeSet<String>,
    /// `PT_GNU_STACK`: whether the stack is executable; `None` where the
    /// header is missing and the system decides.
    pub exec_stack: Option<bool>,
    /// Whether there is a dynamic section.
    pub is_dynamic: bool,
    /// Whether the loader must write to code (`DT_TEXTREL`, `DF_TEXTREL`).
    pub text_relocations: bool,
    /// Whether there is a section with debug information (`.debug_info`).
    pub debug: bool,
    /// x86 ISA level needed (`GNU_PROPERTY_X86_ISA_1_NEEDED`), a bit set:
    /// 1 baseline, 2 v2, 4 v3, 8 v4.
    pub x86_isa_needed: u32,
    pub(super) tables: Tables,
    pub(super) sections: Vec<Section>,
    /// The index of the section with the sections' names.
    section_names: usize,
}

/// `SHT_NOBITS`: a section that takes no room in the file.
const NOBITS: u32 = 8;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
/// `PF_X`, of a segment's flags.
const PF_X: u32 = 1;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PT_NOTE: u32 = 4;
const PT_GNU_PROPERTY: u32 = 0x6474_e553;
/// Notes are short; no more of a segment is read.
const NOTES_LIMIT: u64 = 1 << 20;
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
        for segment in segments {
            match segment.kind {
                PT_INTERP => {
                    let size = segment.size.min(4096);
                    let bytes = image.bytes("the interpreter's name", segment.offset, size)?;
                    let path = image.view(&bytes).text(0).unwrap_or_default();
                    let range = segment.offset..segment.offset + segment.size;
                    info.interpreters.push(Interpreter { header: segment.header, range, path });
                }
                PT_GNU_STACK => info.exec_stack = Some(segment.flags & PF_X != 0),
                // Linkers that know no `PT_GNU_PROPERTY` leave the properties in `PT_NOTE`.
                PT_GNU_PROPERTY | PT_NOTE if X86.contains(&machine) => {
                    let size = segment.size.min(NOTES_LIMIT);
                    let bytes = image.bytes("the notes", segment.offset, size)?;
                    let align = if segment.align == 8 { 8 } else { 4 };
                    info.x86_isa_needed |= isa_needed(image.view(&bytes), align, is_64);
                }
                _ => {}
            }
        }
        info.kind = match kind {
            1 => Kind::Object,
            2 => Kind::Executable,
            3 if !info.interpreters.is_empty() => Kind::Executable,
            3 => Kind::Library,
            other => Kind::Other(other),
        };
        let dynamic = segments.iter().find(|segment| segment.kind == PT_DYNAMIC && segment.size > 0);
        if let Some(segment) = dynamic.copied() {
            info.is_dynamic = true;
            info.read_dynamic(&image, segment)?;
        }
        Ok(info)
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

    /// Reads what the tables name.
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

    /// The path of the loader.
    pub fn interpreter(&self) -> Option<&str> {
        self.interpreters.first().map(|interpreter| interpreter.path.as_str())
    }

    /// The strings of the dynamic section's entries with this tag, in order.
    pub fn strings_of(&self, tag: u64) -> impl Iterator<Item = &str> {
        self.dynamic.iter().filter(move |entry| entry.tag == tag).filter_map(|entry| entry.text.as_deref())
    }

    /// `DT_NEEDED`, in order.
    pub fn needed(&self) -> impl Iterator<Item = &str> {
        self.strings_of(tag::NEEDED)
    }

    /// `DT_SONAME`.
    pub fn soname(&self) -> Option<&str> {
        self.strings_of(tag::SONAME).next()
    }

    /// `DT_RPATH`, split at `:`.
    pub fn rpath(&self) -> impl Iterator<Item = &str> {
        self.strings_of(tag::RPATH).flat_map(|paths| paths.split(':')).filter(|path| !path.is_empty())
    }

    /// `DT_RUNPATH`, split at `:`.
    pub fn runpath(&self) -> impl Iterator<Item = &str> {
        self.strings_of(tag::RUNPATH).flat_map(|paths| paths.split(':')).filter(|path| !path.is_empty())
    }

    /// All search paths that the loader takes from the file.
    pub fn search_paths(&self) -> impl Iterator<Item = &str> {
        self.rpath().chain(self.runpath())
    }

    /// The name of the section at this place in the file, if there is one.
    pub fn section_at(&self, source: &(impl ReadAt + ?Sized), offset: u64) -> Option<String> {
        let section = self.sections.iter().find(|section| {
            let range = section.offset..section.offset.saturating_add(section.size);
            section.kind != NOBITS && range.contains(&offset)
        });
        let names = self.sections.get(self.section_names)?;
        let image = Image::new(source).ok()?;
        let names = image.bytes("the sections' names", names.offset, names.size).ok()?;
        image.view(&names).text(usize::try_from(section?.name).ok()?)
    }

    /// The architecture as platform tags name it.
    pub fn arch(&self) -> Option<&'static str> {
        Some(match (self.machine, self.is_64, self.big_endian) {
            (62, true, false) => "x86_64",
            (62, false, false) => "x32",
            (3, false, false) => "i686",
            (183, true, false) => "aarch64",
            (40, false, false) => "armv7l",
            (21, true, false) => "ppc64le",
            (21, true, true) => "ppc64",
            (22, true, true) => "s390x",
            (243, true, false) => "riscv64",
            (258, true, false) => "loongarch64",
            _ => return None,
        })
    }
}

/// Where the code is of the ELF file that begins with `head`: its largest
/// executable segment, unless the headers are in it, too. Linkers that keep
/// code apart put no table there that [`ElfInfo::read`] needs.
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
    let names = image.bytes("the sections' names", names.offset, names.size)?;
    let is_debug = |section: &Section| {
        let name = usize::try_from(section.name).ok().and_then(|at| image.view(&names).string(at));
        section.kind != NOBITS
            && name.is_some_and(|name| [&b".debug_info"[..], b".zdebug_info"].contains(&name))
    };
    Ok(sections.iter().any(is_debug))
}

/// `GNU_PROPERTY_X86_ISA_1_NEEDED` of all notes in a segment (ELF gABI, "Note
/// Section"; x86-64 psABI, "Program Property").
fn isa_needed(view: View<'_>, align: usize, is_64: bool) -> u32 {
    let (mut needed, mut at) = (0, 0);
    while let Some((note, next)) = note(view, at, align) {
        needed |= note.and_then(|range| property(view, range, is_64)).unwrap_or_default();
        at = next;
    }
    needed
}

/// Where the content of the note at `at` is, if it holds GNU properties, and
/// where the next note starts.
fn note(view: View<'_>, at: usize, align: usize) -> Option<(Option<Range<usize>>, usize)> {
    let number = |at| view.u32(at).and_then(|value| usize::try_from(value).ok());
    let (name, size, kind) = (number(at)?, number(at.checked_add(4)?)?, number(at.checked_add(8)?)?);
    let start = name.checked_next_multiple_of(4)?.checked_add(at + 12)?;
    let end = start.checked_add(size)?;
    let is_property = kind == 5 && view.bytes.get(at + 12..start) == Some(b"GNU\0");
    Some((is_property.then_some(start..end), end.checked_next_multiple_of(align)?))
}

/// The x86 ISA level among the properties in a note.
fn property(view: View<'_>, range: Range<usize>, is_64: bool) -> Option<u32> {
    let align = if is_64 { 8 } else { 4 };
    let mut at = range.start;
    while at + 8 <= range.end {
        let (kind, size) = (view.u32(at)?, usize::try_from(view.u32(at + 4)?).ok()?);
        if kind == 0xc000_8002 {
            return view.u32(at + 8);
        }
        at = at.checked_add(8)?.checked_add(size.checked_next_multiple_of(align)?)?;
    }
    None
}
