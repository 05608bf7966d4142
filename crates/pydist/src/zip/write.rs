//! Writes archives whose bytes do not depend on time or machine (APPNOTE.TXT 6.3).

use std::io::{self, Write};

use binfmt::source::ReadAt;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::archive::{Member, Method};
use super::content::Content;
use super::deflate::Packed;

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
pub struct NewMember {
    /// The path, with `/`.
    pub name: String,
    is_executable: bool,
    method: u16,
    crc: u32,
    size: u64,
    packed: u64,
    place: Place,
}

impl NewMember {
    /// A member copied unchanged from the archive that was read.
    pub fn kept(member: &Member, is_executable: bool) -> Self {
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

    /// A member packed into the scratch content.
    pub fn new(name: impl Into<String>, is_executable: bool, packed: Packed) -> Self {
        let Packed { method, crc, size, compressed, start } = packed;
        let place = Place::Scratch(start);
        Self { name: name.into(), is_executable, method, crc, size, packed: compressed, place }
    }
}

/// The size and digest of a written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// In bytes.
    pub size: u64,
    /// Of all bytes.
    pub sha256: [u8; 32],
}

/// A writer that counts and hashes.
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

/// Values from here on need a zip64 field; a 32-bit field of all ones marks them.
const WIDE: u64 = 0xffff_ffff;

/// Writes an archive with the members in this order. `epoch` is in seconds since
/// 1970, and not before 1980.
pub fn write(
    members: &[NewMember],
    source: &(impl ReadAt + ?Sized),
    scratch: &Content,
    epoch: u64,
    out: &mut impl Write,
) -> io::Result<Written> {
    write_with(members, source, scratch, epoch, out, WIDE)
}

/// Like [`write`], with zip64 fields for values from `wide` on.
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

/// The extra field with 64-bit values; empty if there are none.
fn zip64_field(values: &[u64]) -> Vec<u8> {
    if values.is_empty() {
        return Vec::new();
    }
    let size = u16::try_from(8 * values.len()).unwrap_or_default();
    let head = [1_u16.to_le_bytes(), size.to_le_bytes()].concat();
    values.iter().fold(head, |field, value| [field.as_slice(), &value.to_le_bytes()].concat())
}

/// MS-DOS time and date, in UTC, with a resolution of two seconds.
fn dos_time(epoch: u64) -> (u16, u16) {
    let time = i64::try_from(epoch).ok().and_then(|epoch| OffsetDateTime::from_unix_timestamp(epoch).ok());
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let clock = u16::from(time.hour()) << 11 | u16::from(time.minute()) << 5 | (u16::from(time.second()) / 2);
    let year = u16::try_from(time.year().saturating_sub(1980).clamp(0, 127)).unwrap_or_default();
    (clock, year << 9 | u16::from(u8::from(time.month())) << 5 | u16::from(time.day()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zip::{Archive, Limits, pack};

    #[test]
    fn writes_zip64_fields_for_large_members() {
        let mut scratch = Content::new(&std::env::temp_dir());
        let large: Vec<u8> = (0..200_u32).map(|n| (n * n).to_le_bytes()[0]).collect();
        let mut member =
            |name: &str, content: &[u8]| NewMember::new(name, false, pack(content, 4, &mut scratch).unwrap());
        let members = [member("small", &b"abc"[..]), member("large", &large), member("behind", &b"xyz"[..])];
        let mut bytes = Vec::new();
        let written = write_with(&members, b"".as_slice(), &scratch, 315_532_800, &mut bytes, 100).unwrap();
        assert!(memchr::memmem::find(&bytes, b"PK\x06\x06").is_some());
        let archive = Archive::open(bytes.as_slice(), &Limits::default()).unwrap();
        assert_eq!((archive.faults, archive.size), (Vec::new(), written.size));
        let read = |member: &Member| member.content(bytes.as_slice(), 1000).unwrap();
        let contents: Vec<_> = archive.members.iter().map(read).collect();
        assert_eq!(contents, [b"abc".to_vec(), large, b"xyz".to_vec()]);
    }

    #[test]
    fn encodes_dos_times() {
        assert_eq!(dos_time(315_532_800), (0, 33));
        // 2024-02-29 12:34:56, in fields of 5, 6, 5 and of 7, 4, 5 bits.
        assert_eq!(dos_time(1_709_210_096), (0b0110_0100_0101_1100, 0b0101_1000_0101_1101));
    }
}
