//! What an ELF file needs from its loader, with the file offset of each field.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::layout::{Section, Segment};
use super::tables::Tables;
use crate::binary::Image;
use crate::source::ReadAt;

/// Tags of the dynamic section whose value is a string.
pub mod tag {
    /// A needed library.
    pub const NEEDED: u64 = 1;
    /// The library's own name.
    pub const SONAME: u64 = 14;
    /// Search paths that precede those of the environment.
    pub const RPATH: u64 = 15;
    /// Search paths that follow those of the environment.
    pub const RUNPATH: u64 = 29;
    const CONFIG: u64 = 0x6fff_fefa;
    const DEPAUDIT: u64 = 0x6fff_fefb;
    const AUDIT: u64 = 0x6fff_fefc;
    const AUXILIARY: u64 = 0x7fff_fffd;
    const FILTER: u64 = 0x7fff_ffff;
    /// Tags that name a library: another one, or the file itself.
    pub const LIBRARIES: [u64; 2] = [NEEDED, SONAME];
    /// All tags above.
    pub const STRINGS: [u64; 9] =
        [NEEDED, SONAME, RPATH, RUNPATH, CONFIG, DEPAUDIT, AUDIT, AUXILIARY, FILTER];
    /// Relative relocations in the compact form, which older loaders ignore.
    pub const RELR: u64 = 36;
}

/// The type of an ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ET_REL`: an object file.
    Object,
    /// `ET_EXEC`, or `ET_DYN` with an interpreter or, if the program is static, with
    /// `DF_1_PIE`.
    Executable,
    /// Any other `ET_DYN`.
    Library,
    /// Anything else, by its number.
    Other(u16),
}

/// `PT_INTERP`: the path of the loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The file offset of its program header.
    pub header: u64,
    /// The path's range in the file, with its terminating zero.
    pub range: Range<u64>,
    /// The path.
    pub path: String,
}

/// An entry of the dynamic section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicEntry {
    /// Its file offset.
    pub offset: u64,
    /// `d_tag`.
    pub tag: u64,
    /// `d_val` or `d_ptr`.
    pub value: u64,
    /// The string that the value refers to, if it refers to one.
    pub text: Option<String>,
}

/// What an ELF file needs from its loader.
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
    /// Library → the symbol versions needed from it.
    pub versions: BTreeMap<String, BTreeSet<String>>,
    /// Undefined dynamic symbols, without weak ones.
    pub undefined: BTreeSet<String>,
    /// Undefined symbols that may be missing (weak binding).
    pub undefined_weak: BTreeSet<String>,
    /// Python's dynamic symbols (`Py…`, `_Py…`) that the file defines.
    pub defined_python: BTreeSet<String>,
    /// `PT_GNU_STACK`: whether the stack is executable; `None` if the header is
    /// missing, so that the system decides.
    pub exec_stack: Option<bool>,
    /// Whether there is a dynamic section.
    pub is_dynamic: bool,
    /// Whether the loader must write to code (`DT_TEXTREL`, `DF_TEXTREL`).
    pub text_relocations: bool,
    /// Whether there is debug information (`.debug_info`).
    pub debug: bool,
    /// x86 ISA level needed (`GNU_PROPERTY_X86_ISA_1_NEEDED`), a bit set:
    /// 1 baseline, 2 v2, 4 v3, 8 v4.
    pub x86_isa_needed: u32,
    pub(super) tables: Tables,
    pub(super) sections: Vec<Section>,
    /// The index of the section that holds the section names.
    pub(super) section_names: usize,
}

/// `SHT_NOBITS`: a section without content in the file.
pub(super) const NOBITS: u32 = 8;

impl ElfInfo {
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

    /// All search paths in the file that the loader uses.
    pub fn search_paths(&self) -> impl Iterator<Item = &str> {
        self.rpath().chain(self.runpath())
    }

    /// The name of the section at this file offset, if there is one.
    pub fn section_at(&self, source: &(impl ReadAt + ?Sized), offset: u64) -> Option<String> {
        let section = self.sections.iter().find(|section| {
            let range = section.offset..section.offset.saturating_add(section.size);
            section.kind != NOBITS && range.contains(&offset)
        });
        let names = self.sections.get(self.section_names)?;
        let image = Image::new(source).ok()?;
        let names = image.bytes("the section names", names.offset, names.size).ok()?;
        image.view(&names).text(usize::try_from(section?.name).ok()?)
    }

    /// The architecture as platform tags name it.
    pub fn arch(&self) -> Option<&'static str> {
        arch_name(self.machine, self.is_64, self.big_endian)
    }
}

/// The architecture with the ELF machine number `machine`, as platform tags name it.
pub fn arch_name(machine: u16, is_64: bool, big_endian: bool) -> Option<&'static str> {
    Some(match (machine, is_64, big_endian) {
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
