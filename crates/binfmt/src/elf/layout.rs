//! The header of an ELF file, its segments and its sections.

use crate::binary::{BinaryError, Image};
use crate::source::ReadAt;

/// The type of a segment that is mapped into memory.
pub const PT_LOAD: u32 = 1;

/// A program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The file offset of the program header.
    pub header: u64,
    /// `p_type`.
    pub kind: u32,
    /// `p_flags`.
    pub flags: u32,
    /// `p_offset`.
    pub offset: u64,
    /// `p_vaddr`.
    pub address: u64,
    /// `p_filesz`.
    pub size: u64,
    /// `p_align`.
    pub align: u64,
}

/// The parts of a section header that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    /// The file offset of the section header.
    pub(super) header: u64,
    pub(super) name: u32,
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// An ELF file whose header has been read.
pub(super) struct Opened<'s, S: ReadAt + ?Sized> {
    pub(super) image: Image<'s, S>,
    /// The ELF header.
    pub(super) head: Vec<u8>,
    pub(super) is_64: bool,
    pub(super) segments: Vec<Segment>,
}

pub(super) fn open<S: ReadAt + ?Sized>(source: &S) -> Result<Opened<'_, S>, BinaryError> {
    let mut image = Image::new(source)?;
    let head = image.up_to("the ELF header", 0, 64)?;
    let (is_64, big) = match head.get(..7) {
        Some([0x7f, b'E', b'L', b'F', class @ (1 | 2), order @ (1 | 2), _]) => (*class == 2, *order == 2),
        _ => return Err(BinaryError::Format("an ELF file")),
    };
    image.big = big;
    let damaged = BinaryError::Damaged { what: "the ELF header", offset: 0 };
    let segments = segments(&image, &head, is_64).ok_or(damaged)??;
    Ok(Opened { image, head, is_64, segments })
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
    let segment = |(index, bytes): (usize, &[u8])| {
        let view = image.view(bytes);
        let header = offset + index as u64 * u64::from(entry);
        Some(if is_64 {
            Segment {
                header,
                kind: view.u32(0)?,
                flags: view.u32(4)?,
                offset: view.u64(8)?,
                address: view.u64(16)?,
                size: view.u64(32)?,
                align: view.u64(48)?,
            }
        } else {
            Segment {
                header,
                kind: view.u32(0)?,
                offset: view.u32(4)?.into(),
                address: view.u32(8)?.into(),
                size: view.u32(16)?.into(),
                flags: view.u32(24)?,
                align: view.u32(28)?.into(),
            }
        })
    };
    table.chunks_exact(entry.into()).enumerate().map(segment).collect::<Option<Vec<_>>>().map(Ok)
}

/// The section headers, and the index of the one with the section names. Loaders
/// do not read them, but if they are past the end, the file was cut off.
pub(super) fn sections<S: ReadAt + ?Sized>(
    opened: &Opened<'_, S>,
) -> Result<(Vec<Section>, usize), BinaryError> {
    let Opened { image, head, is_64, .. } = opened;
    let view = image.view(head);
    let at = if *is_64 { 58 } else { 46 };
    let fields =
        (view.word(if *is_64 { 40 } else { 32 }, *is_64), view.u16(at), view.u16(at + 2), view.u16(at + 4));
    let (Some(start), Some(entry), Some(count), Some(names)) = fields else { return Ok((Vec::new(), 0)) };
    if start == 0 || count == 0 || usize::from(entry) < if *is_64 { 64 } else { 40 } {
        return Ok((Vec::new(), 0));
    }
    let table = image.bytes("the section headers", start, u64::from(entry) * u64::from(count))?;
    let section = |(index, bytes): (usize, &[u8])| {
        let view = image.view(bytes);
        let (offset, size) = if *is_64 { (24, 32) } else { (16, 20) };
        Some(Section {
            header: start + index as u64 * u64::from(entry),
            name: view.u32(0)?,
            kind: view.u32(4)?,
            offset: view.word(offset, *is_64)?,
            size: view.word(size, *is_64)?,
        })
    };
    let sections = table.chunks_exact(entry.into()).enumerate().filter_map(section).collect();
    Ok((sections, names.into()))
}

/// The file offset of what the loader maps at `address`, and the number of bytes
/// of its segment from there on.
pub(super) fn locate(
    segments: &[Segment],
    what: &'static str,
    address: u64,
) -> Result<(u64, u64), BinaryError> {
    let mut load = segments.iter().filter(|segment| segment.kind == PT_LOAD);
    let found = load.find_map(|segment| {
        let within = address.checked_sub(segment.address)?;
        let rest = segment.size.checked_sub(within).filter(|rest| *rest > 0)?;
        Some((segment.offset.checked_add(within)?, rest))
    });
    found.ok_or(BinaryError::Damaged { what, offset: address })
}
