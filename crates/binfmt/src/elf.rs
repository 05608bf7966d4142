//! Facts about an ELF file: what its loader will ask of the system (System V
//! ABI, "Program Loading and Dynamic Linking"; LSB, "Symbol Versioning").

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::binary::{BinaryError, Image, View};
use crate::source::ReadAt;

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

/// Facts about one ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
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
    /// `PT_INTERP`.
    pub interpreter: Option<String>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
    /// `DT_SONAME`.
    pub soname: Option<String>,
    /// `DT_RPATH`, split at `:`.
    pub rpath: Vec<String>,
    /// `DT_RUNPATH`, split at `:`.
    pub runpath: Vec<String>,
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
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
/// `PF_X`, of a segment's flags.
const PF_X: u32 = 1;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PT_GNU_PROPERTY: u32 = 0x6474_e553;

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    size: u64,
}

impl Facts {
    /// Reads the facts.
    pub fn read(source: &(impl ReadAt + ?Sized)) -> Result<Self, BinaryError> {
        let (image, head, is_64, segments) = open(source)?;
        let damaged = || BinaryError::Damaged { what: "the ELF header", offset: 0 };
        let view = image.view(&head);
        let (kind, machine) = (view.u16(16).ok_or_else(damaged)?, view.u16(18).ok_or_else(damaged)?);
        let flags = view.u32(if is_64 { 48 } else { 36 }).ok_or_else(damaged)?;
        let mut facts = Self {
            machine,
            is_64,
            big_endian: image.big,
            flags,
            kind: Kind::Other(kind),
            interpreter: None,
            needed: Vec::new(),
            soname: None,
            rpath: Vec::new(),
            runpath: Vec::new(),
            versions: BTreeMap::new(),
            undefined: BTreeSet::new(),
            undefined_weak: BTreeSet::new(),
            defined_python: BTreeSet::new(),
            exec_stack: None,
            is_dynamic: false,
            text_relocations: false,
            debug: debug_sections(&image, &head, is_64)?,
            x86_isa_needed: 0,
        };
        if let Some(cut) = segments.iter().find(|segment| image.slice(segment.offset, segment.size).is_none())
        {
            return Err(BinaryError::Damaged { what: "a segment", offset: cut.offset });
        }
        for segment in &segments {
            match segment.kind {
                PT_INTERP => {
                    let bytes =
                        image.bytes("the interpreter's name", segment.offset, segment.size.min(4096))?;
                    facts.interpreter = image.view(&bytes).text(0);
                }
                PT_GNU_STACK => facts.exec_stack = Some(segment.flags & PF_X != 0),
                PT_GNU_PROPERTY => {
                    let bytes = image.bytes("the GNU properties", segment.offset, segment.size)?;
                    facts.x86_isa_needed = isa_needed(image.view(&bytes), is_64).unwrap_or_default();
                }
                _ => {}
            }
        }
        facts.kind = match kind {
            1 => Kind::Object,
            2 => Kind::Executable,
            3 if facts.interpreter.is_some() => Kind::Executable,
            3 => Kind::Library,
            other => Kind::Other(other),
        };
        if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC && segment.size > 0)
        {
            facts.is_dynamic = true;
            let bytes = image.bytes("the dynamic section", segment.offset, segment.size)?;
            let dynamic = Dynamic::read(image.view(&bytes), is_64);
            dynamic.collect(&image, &segments, is_64, &mut facts)?;
        }
        Ok(facts)
    }

    /// All search paths that the loader takes from the file.
    pub fn search_paths(&self) -> impl Iterator<Item = &str> {
        self.rpath.iter().chain(&self.runpath).map(String::as_str)
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
/// code apart put no table there that [`Facts::read`] needs.
pub fn code(head: &[u8]) -> Option<Range<u64>> {
    let (.., segments) = open(head).ok()?;
    let code = segments.iter().filter(|segment| segment.kind == PT_LOAD && segment.flags & PF_X != 0);
    let largest = code.max_by_key(|segment| segment.size).filter(|segment| segment.offset > 0)?;
    Some(largest.offset..largest.offset.checked_add(largest.size)?)
}

/// The file, the ELF header, whether it is a 64-bit one, and the segments.
type Opened<'s, S> = (Image<'s, S>, Vec<u8>, bool, Vec<Segment>);

fn open<S: ReadAt + ?Sized>(source: &S) -> Result<Opened<'_, S>, BinaryError> {
    let mut image = Image::new(source)?;
    let head = image.up_to("the ELF header", 0, 64)?;
    let (is_64, big) = match head.get(..7) {
        Some([0x7f, b'E', b'L', b'F', class @ (1 | 2), order @ (1 | 2), _]) => (*class == 2, *order == 2),
        _ => return Err(BinaryError::Format("an ELF file")),
    };
    image.big = big;
    let damaged = BinaryError::Damaged { what: "the ELF header", offset: 0 };
    let segments = segments(&image, &head, is_64).ok_or(damaged)??;
    Ok((image, head, is_64, segments))
}

fn segments<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    head: &[u8],
    is_64: bool,
) -> Option<Result<Vec<Segment>, BinaryError>> {
    let view = image.view(head);
    let offset = view.word(if is_64 { 32 } else { 28 }, is_64)?;
    let at = if is_64 { 54 } else { 42 };
    let (entry, count) = (view.u16(at)?, view.u16(at + 2)?);
    if count == 0 {
        return Some(Ok(Vec::new()));
    }
    let least = if is_64 { 56 } else { 32 };
    if usize::from(entry) < least {
        return None;
    }
    let table = match image.bytes("the program headers", offset, u64::from(entry) * u64::from(count)) {
        Ok(table) => table,
        Err(error) => return Some(Err(error)),
    };
    let segment = |bytes: &[u8]| {
        let view = image.view(bytes);
        Some(if is_64 {
            Segment {
                kind: view.u32(0)?,
                flags: view.u32(4)?,
                offset: view.u64(8)?,
                address: view.u64(16)?,
                size: view.u64(32)?,
            }
        } else {
            Segment {
                kind: view.u32(0)?,
                offset: view.u32(4)?.into(),
                address: view.u32(8)?.into(),
                size: view.u32(16)?.into(),
                flags: view.u32(24)?,
            }
        })
    };
    table.chunks_exact(entry.into()).map(segment).collect::<Option<Vec<_>>>().map(Ok)
}

/// Whether the section headers name debug information. No loader reads them,
/// but where they lie past the end the file was cut.
fn debug_sections<S: ReadAt + ?Sized>(
    image: &Image<'_, S>,
    head: &[u8],
    is_64: bool,
) -> Result<bool, BinaryError> {
    const HEADERS: &str = "the section headers";
    const NOBITS: u32 = 8;
    let view = image.view(head);
    let at = if is_64 { 58 } else { 46 };
    let fields =
        (view.word(if is_64 { 40 } else { 32 }, is_64), view.u16(at), view.u16(at + 2), view.u16(at + 4));
    let (Some(offset), Some(entry), Some(count), Some(names)) = fields else { return Ok(false) };
    if offset == 0 || count == 0 || usize::from(entry) < if is_64 { 64 } else { 40 } {
        return Ok(false);
    }
    let table = image.bytes(HEADERS, offset, u64::from(entry) * u64::from(count))?;
    let section = |bytes: &[u8]| {
        let view = image.view(bytes);
        let (offset, size) = if is_64 { (24, 32) } else { (16, 20) };
        Some((view.u32(0)?, view.u32(4)?, view.word(offset, is_64)?, view.word(size, is_64)?))
    };
    let sections: Vec<_> = table.chunks_exact(entry.into()).filter_map(section).collect();
    let Some((_, _, offset, size)) = sections.get(usize::from(names)) else { return Ok(false) };
    let names = image.bytes("the sections' names", *offset, *size)?;
    let is_debug = |(name, kind, ..): &(u32, u32, u64, u64)| {
        let name = usize::try_from(*name).ok().and_then(|at| image.view(&names).string(at));
        *kind != NOBITS && name.is_some_and(|name| [&b".debug_info"[..], b".zdebug_info"].contains(&name))
    };
    Ok(sections.iter().any(is_debug))
}

/// The dynamic section's entries that matter.
#[derive(Default)]
struct Dynamic {
    needed: Vec<u64>,
    soname: Option<u64>,
    rpath: Option<u64>,
    runpath: Option<u64>,
    strings: u64,
    strings_size: u64,
    symbols: Option<u64>,
    hash: Option<u64>,
    gnu_hash: Option<u64>,
    verneed: Option<u64>,
    verneed_count: u64,
    text_relocations: bool,
}

impl Dynamic {
    fn read(view: View<'_>, is_64: bool) -> Self {
        let mut dynamic = Self::default();
        let word = if is_64 { 8 } else { 4 };
        for at in (0..view.bytes.len()).step_by(2 * word) {
            let (Some(tag), Some(value)) = (view.word(at, is_64), view.word(at + word, is_64)) else { break };
            match tag {
                0 => break,
                1 => dynamic.needed.push(value),
                4 => dynamic.hash = Some(value),
                5 => dynamic.strings = value,
                6 => dynamic.symbols = Some(value),
                10 => dynamic.strings_size = value,
                14 => dynamic.soname = Some(value),
                15 => dynamic.rpath = Some(value),
                22 => dynamic.text_relocations = true,
                29 => dynamic.runpath = Some(value),
                30 => dynamic.text_relocations |= value & 4 != 0,
                0x6fff_fef5 => dynamic.gnu_hash = Some(value),
                0x6fff_fffe => dynamic.verneed = Some(value),
                0x6fff_ffff => dynamic.verneed_count = value,
                _ => {}
            }
        }
        dynamic
    }

    fn collect<S: ReadAt + ?Sized>(
        &self,
        image: &Image<'_, S>,
        segments: &[Segment],
        is_64: bool,
        facts: &mut Facts,
    ) -> Result<(), BinaryError> {
        const NAMES: &str = "the dynamic string table";
        // Where an address is in the file, and how much of its segment follows.
        let locate = |what, address: u64| {
            let mut load = segments.iter().filter(|segment| segment.kind == PT_LOAD);
            let found = load.find_map(|segment| {
                let within = address.checked_sub(segment.address)?;
                let rest = segment.size.checked_sub(within).filter(|rest| *rest > 0)?;
                Some((segment.offset.checked_add(within)?, rest))
            });
            found.ok_or(BinaryError::Damaged { what, offset: address })
        };
        facts.text_relocations = self.text_relocations;
        if self.strings_size == 0 && self.needed.is_empty() {
            return Ok(());
        }
        let (offset, _) = locate(NAMES, self.strings)?;
        let names = image.bytes(NAMES, offset, self.strings_size)?;
        let names = image.view(&names);
        let name = |at: u64| {
            let found = usize::try_from(at).ok().and_then(|at| names.text(at));
            found.ok_or(BinaryError::Damaged { what: NAMES, offset: at })
        };
        facts.needed = self.needed.iter().map(|at| name(*at)).collect::<Result<_, _>>()?;
        facts.soname = self.soname.map(name).transpose()?;
        let paths = |at: Option<u64>| -> Result<Vec<String>, BinaryError> {
            let Some(at) = at else { return Ok(Vec::new()) };
            Ok(name(at)?.split(':').filter(|path| !path.is_empty()).map(str::to_owned).collect())
        };
        (facts.rpath, facts.runpath) = (paths(self.rpath)?, paths(self.runpath)?);

        if let Some(address) = self.verneed {
            const NEEDS: &str = "the table of needed versions";
            let (offset, room) = locate(NEEDS, address)?;
            let bytes = image.up_to(NEEDS, offset, room.min(1 << 20))?;
            let damaged = || BinaryError::Damaged { what: NEEDS, offset };
            versions(image.view(&bytes), self.verneed_count, names, facts).ok_or_else(damaged)?;
        }
        if let Some(address) = self.symbols {
            const SYMBOLS: &str = "the dynamic symbol table";
            let (offset, room) = locate(SYMBOLS, address)?;
            let entry = if is_64 { 24 } else { 16 };
            let count = self.symbol_count(image, is_64, locate)?.unwrap_or_else(|| {
                // Without a hash table the string table's start is the end.
                self.strings.saturating_sub(address) / entry
            });
            let bytes = image.bytes(SYMBOLS, offset, count.saturating_mul(entry).min(room))?;
            symbols(image.view(&bytes), is_64, names, facts);
        }
        Ok(())
    }

    /// The number of dynamic symbols, by the hash tables.
    fn symbol_count<S: ReadAt + ?Sized>(
        &self,
        image: &Image<'_, S>,
        is_64: bool,
        locate: impl Fn(&'static str, u64) -> Result<(u64, u64), BinaryError>,
    ) -> Result<Option<u64>, BinaryError> {
        const HASH: &str = "the symbol hash table";
        if let Some(address) = self.hash {
            let (offset, _) = locate(HASH, address)?;
            let bytes = image.bytes(HASH, offset, 8)?;
            return Ok(image.view(&bytes).u32(4).map(u64::from));
        }
        let Some(address) = self.gnu_hash else { return Ok(None) };
        let (start, room) = locate(HASH, address)?;
        let damaged = || BinaryError::Damaged { what: HASH, offset: start };
        // A part of the table that lies in its segment.
        let part = |at: u64, size: u64| {
            at.checked_add(size).filter(|end| *end <= room).ok_or_else(damaged)?;
            image.bytes(HASH, start + at, size)
        };
        let header = part(0, 16)?;
        let field = |at| image.view(&header).u32(at).map(u64::from).ok_or_else(damaged);
        let (buckets, base, bloom) = (field(0)?, field(4)?, field(8)?);
        let buckets_at = 16 + bloom * if is_64 { 8 } else { 4 };
        let table = part(buckets_at, 4 * buckets)?;
        let entries = table.chunks_exact(4).filter_map(|bytes| image.view(bytes).u32(0));
        let highest = entries.max().map_or(0, u64::from);
        if highest < base {
            return Ok(Some(base));
        }
        // The last chain ends with the last symbol.
        let mut at = buckets_at + 4 * (buckets + highest - base);
        let mut count = highest;
        loop {
            let piece = part(at, room.saturating_sub(at).clamp(4, 256))?;
            for entry in piece.chunks_exact(4) {
                count += 1;
                if image.view(entry).u32(0).is_some_and(|hash| hash & 1 != 0) {
                    return Ok(Some(count));
                }
            }
            at += piece.len() as u64 / 4 * 4;
        }
    }
}

fn versions(view: View<'_>, count: u64, names: View<'_>, facts: &mut Facts) -> Option<()> {
    let mut at: usize = 0;
    for _ in 0..count {
        let entries = view.u16(at + 2)?;
        let file = names.text(usize::try_from(view.u32(at + 4)?).ok()?)?;
        let mut aux = at.checked_add(usize::try_from(view.u32(at + 8)?).ok()?)?;
        let next = usize::try_from(view.u32(at + 12)?).ok()?;
        let needed = facts.versions.entry(file).or_default();
        for _ in 0..entries {
            needed.insert(names.text(usize::try_from(view.u32(aux + 8)?).ok()?)?);
            match view.u32(aux + 12)? {
                0 => break,
                next => aux = aux.checked_add(usize::try_from(next).ok()?)?,
            }
        }
        if next == 0 {
            break;
        }
        at = at.checked_add(next)?;
    }
    Some(())
}

fn symbols(view: View<'_>, is_64: bool, names: View<'_>, facts: &mut Facts) {
    let entry = if is_64 { 24 } else { 16 };
    for bytes in view.bytes.chunks_exact(entry).skip(1) {
        let symbol = View { bytes, ..view };
        let (info, section) = if is_64 { (bytes[4], symbol.u16(6)) } else { (bytes[12], symbol.u16(14)) };
        let at = symbol.u32(0).and_then(|at| usize::try_from(at).ok());
        let Some(name) = at.and_then(|at| names.string(at)).filter(|name| !name.is_empty()) else { continue };
        let python = name.starts_with(b"Py") || name.starts_with(b"_Py");
        let set = match (section == Some(0), info >> 4) {
            (true, 2) => &mut facts.undefined_weak,
            (true, _) => &mut facts.undefined,
            (false, 0) => continue,
            (false, _) if python => &mut facts.defined_python,
            _ => continue,
        };
        set.insert(String::from_utf8_lossy(name).into_owned());
    }
}

/// `GNU_PROPERTY_X86_ISA_1_NEEDED` from the notes of `PT_GNU_PROPERTY`.
fn isa_needed(view: View<'_>, is_64: bool) -> Option<u32> {
    let align = if is_64 { 8 } else { 4 };
    let (name_size, size, kind) = (view.u32(0)?, view.u32(4)?, view.u32(8)?);
    if (name_size, kind) != (4, 5) {
        return None;
    }
    let mut at = 16;
    let end = 16usize.checked_add(usize::try_from(size).ok()?)?;
    while at + 8 <= end {
        let (kind, size) = (view.u32(at)?, usize::try_from(view.u32(at + 4)?).ok()?);
        if kind == 0xc000_8002 {
            return view.u32(at + 8);
        }
        at = at.checked_add(8)?.checked_add(size.checked_next_multiple_of(align)?)?;
    }
    None
}
