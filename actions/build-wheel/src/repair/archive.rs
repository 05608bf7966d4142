//! The wheel as a zip archive (APPNOTE.TXT): read where it is, written with
//! nothing in it that depends on when or where.

use std::io::{self, Write};

use binfmt::source::ReadAt;
use pydist::zip::{Archive, DataError, Fault, Limits, Member, Method, ZipError};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::content::Content;
use super::deflate::Packed;

/// A wheel of one's own may be large: what is unpacked is looked at piece by
/// piece.
const LIMITS: Limits = Limits { members: 1_000_000, member_size: 64 << 30, total_size: 256 << 30 };

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its records are damaged.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// Its records contradict each other, or it has a form wheels do not have.
    #[error("{}{fault}; installers would not agree on what is in it", fault.member().map(|name| format!("`{name}`: ")).unwrap_or_default())]
    Fault {
        /// What is wrong.
        fault: Fault,
    },
    /// A member that is not a plain file inside of the wheel.
    #[error("`{name}` {what}")]
    Name {
        /// The member.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A member's content is damaged.
    #[error("`{name}` is damaged")]
    Data {
        /// The member.
        name: String,
        /// How.
        source: DataError,
    },
    /// A temporary file or the new archive could not be written.
    #[error("the archive cannot be written")]
    Write(#[from] io::Error),
}

/// The files that the central directory lists. What a new archive will not
/// have anyway (comments, sizes after the data) is no fault here.
pub(super) fn open(source: &(impl ReadAt + ?Sized)) -> Result<Vec<Member>, ArchiveError> {
    let archive = Archive::open(source, &LIMITS)?;
    let fault = archive.faults.into_iter().find(|fault| {
        !matches!(
            fault,
            Fault::DataDescriptor(_) | Fault::EntryComment(_) | Fault::ArchiveComment(_) | Fault::Extra(_)
        )
    });
    if let Some(fault) = fault {
        return Err(ArchiveError::Fault { fault });
    }
    let members: Vec<Member> = archive.members.into_iter().filter(|member| !member.is_dir()).collect();
    for Member { name, .. } in &members {
        check_name(name)?;
    }
    if let Some(link) = members.iter().find(|member| member.is_symlink()) {
        return Err(ArchiveError::Name { name: link.name.clone(), what: "is a symbolic link" });
    }
    Ok(members)
}

/// An installer unpacks the name as a path.
fn check_name(name: &str) -> Result<(), ArchiveError> {
    let parts = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if parts && !name.contains(['\\', '\0', ':', '\u{fffd}']) {
        return Ok(());
    }
    Err(ArchiveError::Name { name: name.into(), what: "is not a path inside of a wheel" })
}

/// Hands a member's content to `sink` piece by piece.
pub(super) fn read(
    member: &Member,
    source: &(impl ReadAt + ?Sized),
    sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), ArchiveError> {
    member.read(source, sink).map_err(|source| ArchiveError::Data { name: member.name.clone(), source })
}

/// Where a member's packed bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the archive that was read.
    Source(u64),
    /// In the scratch content.
    Scratch(u64),
}

/// A member of the new archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewMember {
    pub(super) name: String,
    is_executable: bool,
    method: u16,
    crc: u32,
    size: u64,
    packed: u64,
    place: Place,
}

impl NewMember {
    /// A member of the archive that was read, with its content as it is there.
    pub(super) fn kept(member: &Member, is_executable: bool) -> Self {
        Self {
            name: member.name.clone(),
            is_executable,
            method: if member.method == Method::Stored { 0 } else { 8 },
            crc: member.crc32,
            size: member.size,
            packed: member.compressed,
            place: Place::Source(member.data_offset),
        }
    }

    /// A member that was packed into the scratch content.
    pub(super) fn new(name: impl Into<String>, is_executable: bool, packed: Packed) -> Self {
        let Packed { method, crc, size, compressed, start } = packed;
        let place = Place::Scratch(start);
        Self { name: name.into(), is_executable, method, crc, size, packed: compressed, place }
    }
}

/// Size and digest of a file that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

/// What is written, counted and hashed on the way.
struct Output<'o, W: Write> {
    out: &'o mut W,
    size: u64,
    hasher: Sha256,
}

impl<W: Write> Output<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}

/// Values from here on do not fit in a field of 32 bits, where all ones say
/// that the value is in a zip64 field.
const WIDE: u64 = 0xffff_ffff;

/// Writes an archive with the members in this order. `epoch` is in seconds
/// since 1970 and from 1980 on.
pub(super) fn write(
    members: &[NewMember],
    source: &(impl ReadAt + ?Sized),
    scratch: &Content,
    epoch: u64,
    out: &mut impl Write,
) -> io::Result<Written> {
    write_with(members, source, scratch, epoch, out, WIDE)
}

/// The same with zip64 fields for values from `wide` on.
fn write_with(
    members: &[NewMember],
    source: &(impl ReadAt + ?Sized),
    scratch: &Content,
    epoch: u64,
    out: &mut impl Write,
    wide: u64,
) -> io::Result<Written> {
    let (time, date) = dos_time(epoch);
    let narrow = |value: u64| if value >= wide { u32::MAX } else { u32::try_from(value).unwrap_or(u32::MAX) };
    let mut out = Output { out, size: 0, hasher: Sha256::new() };
    let mut directory = Vec::new();
    for member in members {
        let start = out.size;
        let is_wide = member.size >= wide || member.packed >= wide;
        // What follows the signature and the version that made it, in both
        // headers: UTF-8 names, method, time, checksum, sizes.
        let mut common = Vec::new();
        let version: u16 = if is_wide || start >= wide { 45 } else { 20 };
        for short in [version, 1 << 11, member.method, time, date] {
            common.extend(short.to_le_bytes());
        }
        common.extend(member.crc.to_le_bytes());
        let shown = |value: u64| if is_wide { u32::MAX } else { narrow(value) };
        common.extend(shown(member.packed).to_le_bytes());
        common.extend(shown(member.size).to_le_bytes());
        let name = u16::try_from(member.name.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        common.extend(name.to_le_bytes());

        let sizes: &[u64] = if is_wide { &[member.size, member.packed] } else { &[] };
        let extra = zip64_field(sizes);
        let central = if start >= wide { zip64_field(&[sizes, &[start]].concat()) } else { extra.clone() };
        let length = |extra: &[u8]| u16::try_from(extra.len()).unwrap_or_default().to_le_bytes();
        let mode: u32 = if member.is_executable { 0o100_755 } else { 0o100_644 };
        directory.extend(b"PK\x01\x02");
        directory.extend([version.to_le_bytes()[0], 3]);
        directory.extend(&common);
        directory.extend(length(&central));
        directory.extend([0; 6]);
        directory.extend((mode << 16).to_le_bytes());
        directory.extend(narrow(start).to_le_bytes());
        directory.extend(member.name.as_bytes());
        directory.extend(central);

        out.write(b"PK\x03\x04")?;
        out.write(&common)?;
        out.write(&length(&extra))?;
        out.write(member.name.as_bytes())?;
        out.write(&extra)?;
        match member.place {
            Place::Source(at) => copy(source, at, member.packed, &mut out)?,
            Place::Scratch(at) => copy(scratch, at, member.packed, &mut out)?,
        }
    }
    finish(&mut out, &directory, members.len() as u64, wide)?;
    Ok(Written { size: out.size, sha256: out.hasher.finalize().into() })
}

/// Writes the central directory and the end records.
fn finish<W: Write>(out: &mut Output<'_, W>, directory: &[u8], count: u64, wide: u64) -> io::Result<()> {
    let (start, size) = (out.size, directory.len() as u64);
    out.write(directory)?;
    let narrow = |value: u64| if value >= wide { u32::MAX } else { u32::try_from(value).unwrap_or(u32::MAX) };
    if count >= 0xffff || start >= wide || size >= wide {
        let end = out.size;
        let mut record = b"PK\x06\x06".to_vec();
        record.extend(44_u64.to_le_bytes());
        record.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [count, count, size, start] {
            record.extend(value.to_le_bytes());
        }
        record.extend(b"PK\x06\x07\0\0\0\0");
        record.extend(end.to_le_bytes());
        record.extend([1, 0, 0, 0]);
        out.write(&record)?;
    }
    let mut record = b"PK\x05\x06\0\0\0\0".to_vec();
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    record.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    record.extend(narrow(size).to_le_bytes());
    record.extend(narrow(start).to_le_bytes());
    record.extend([0, 0]);
    out.write(&record)
}

fn copy<W: Write>(
    from: &(impl ReadAt + ?Sized),
    start: u64,
    size: u64,
    out: &mut Output<'_, W>,
) -> io::Result<()> {
    const PIECE: u64 = 256 << 10;
    let mut buffer = vec![0; usize::try_from(PIECE.min(size)).unwrap_or_default()];
    let mut done = 0;
    while done < size {
        let count = usize::try_from(PIECE.min(size - done)).unwrap_or_default();
        from.read_exact_at(start + done, &mut buffer[..count])?;
        out.write(&buffer[..count])?;
        done += count as u64;
    }
    Ok(())
}

/// The extra field with 64-bit values; nothing where there are none.
fn zip64_field(values: &[u64]) -> Vec<u8> {
    if values.is_empty() {
        return Vec::new();
    }
    let size = u16::try_from(8 * values.len()).unwrap_or_default();
    let head = [1_u16.to_le_bytes(), size.to_le_bytes()].concat();
    values.iter().fold(head, |field, value| [field.as_slice(), &value.to_le_bytes()].concat())
}

/// MS-DOS time and date, in UTC: two seconds are the finest there is.
fn dos_time(epoch: u64) -> (u16, u16) {
    let time = i64::try_from(epoch).ok().and_then(|epoch| OffsetDateTime::from_unix_timestamp(epoch).ok());
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let clock = u16::from(time.hour()) << 11 | u16::from(time.minute()) << 5 | (u16::from(time.second()) / 2);
    let year = u16::try_from(time.year().saturating_sub(1980).clamp(0, 127)).unwrap_or_default();
    (clock, year << 9 | u16::from(u8::from(time.month())) << 5 | u16::from(time.day()))
}

#[cfg(test)]
mod tests;
