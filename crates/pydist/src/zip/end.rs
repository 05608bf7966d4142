//! The records at the end of an archive.

use binfmt::source::ReadAt;

use super::archive::ZipError;
use super::fault::Fault;
use super::fields::Fields;

const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;

const END_SIZE: usize = 22;
/// The size field of a zip64 end record without extensible data.
const END64_SIZE: u64 = 44;

/// Where the central directory is and where the archive should end.
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) directory: u64,
    pub(super) directory_size: u64,
    /// The first byte of the end records.
    pub(super) start: u64,
}

pub(super) fn find_end(
    source: &(impl ReadAt + ?Sized),
    size: u64,
    faults: &mut Vec<Fault>,
) -> Result<End, ZipError> {
    let tail = size.min(END_SIZE as u64 + 0xffff);
    let mut bytes = vec![0; usize::try_from(tail).unwrap_or_default()];
    source.read_exact_at(size - tail, &mut bytes)?;
    let signature = END.to_le_bytes();
    let at = memchr::memmem::rfind_iter(&bytes, &signature)
        .find(|at| {
            let record = &bytes[*at..];
            let comment =
                record.get(20..22).map(|field| usize::from(u16::from_le_bytes([field[0], field[1]])));
            comment.is_some_and(|comment| END_SIZE + comment <= record.len())
        })
        .ok_or(ZipError::NoEnd)?;
    let mut fields = Fields(&bytes[at + 4..]);
    let disks = [fields.u16(), fields.u16()];
    let (here, entries) = (fields.u16(), fields.u16());
    let (directory_size, directory, comment) = (fields.u32(), fields.u32(), fields.u16());
    if disks != [0, 0] || here != entries {
        faults.push(Fault::Disks);
    }
    if comment > 0 {
        faults.push(Fault::ArchiveComment(comment.into()));
    }
    let after = bytes.len() - at - END_SIZE - usize::from(comment);
    if after > 0 {
        faults.push(Fault::After(after as u64));
    }
    let start = size - tail + at as u64;
    let end = End {
        entries: entries.into(),
        directory: directory.into(),
        directory_size: directory_size.into(),
        start,
    };
    Ok(find_zip64_end(source, start, faults)?.unwrap_or(end))
}

/// The zip64 end record whose locator directly precedes `start`, if there is one.
fn find_zip64_end(
    source: &(impl ReadAt + ?Sized),
    start: u64,
    faults: &mut Vec<Fault>,
) -> Result<Option<End>, ZipError> {
    if start < 20 {
        return Ok(None);
    }
    let mut locator = [0; 20];
    source.read_exact_at(start - 20, &mut locator)?;
    let mut fields = Fields(&locator);
    if fields.u32() != LOCATOR64 {
        return Ok(None);
    }
    let disk = fields.u32();
    let offset = fields.u64();
    if disk != 0 || fields.u32() > 1 {
        faults.push(Fault::Disks);
    }
    let mut record = [0; 56];
    let damaged = || ZipError::Damaged { what: "the zip64 end record", offset };
    source.read_exact_at(offset, &mut record).map_err(|_| damaged())?;
    let mut fields = Fields(&record);
    let signature = fields.u32();
    let length = fields.u64();
    if signature != END64
        || length.checked_add(offset).and_then(|end| end.checked_add(12)) != Some(start - 20)
    {
        return Err(damaged());
    }
    if length != END64_SIZE {
        faults.push(Fault::Extensible(length.saturating_sub(END64_SIZE)));
    }
    let _versions = fields.u32();
    if [fields.u32(), fields.u32()] != [0, 0] {
        faults.push(Fault::Disks);
    }
    let here = fields.u64();
    let (entries, directory_size, directory) = (fields.u64(), fields.u64(), fields.u64());
    if here != entries {
        faults.push(Fault::Disks);
    }
    Ok(Some(End { entries, directory, directory_size, start: offset }))
}
