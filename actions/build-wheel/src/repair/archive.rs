//! The wheel as a zip archive (APPNOTE.TXT): read whole from memory, written
//! with nothing in it that depends on when or where.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Read as _;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// The most that one member may hold once it is unpacked.
const MEMBER_LIMIT: u64 = 4 << 30;

/// Members are compressed in pieces of this size, each for itself: so many at
/// once, and the same bytes on any number of processors.
const PIECE: usize = 1 << 20;

/// Why an archive cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The end record is missing or points outside.
    #[error("not a whole zip archive (it may be cut off): {0}")]
    Damaged(&'static str),
    /// A form that wheels do not have.
    #[error("`{name}` {what}")]
    Member {
        /// The member.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

/// One file in the archive.
#[derive(Debug, Clone)]
pub(super) struct Member<'a> {
    pub(super) name: String,
    pub(super) executable: bool,
    method: u16,
    crc: u32,
    size: u64,
    packed: Cow<'a, [u8]>,
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

/// The members that the central directory lists, without folders.
pub(super) fn read(data: &[u8]) -> Result<Vec<Member<'_>>, ArchiveError> {
    let damaged = ArchiveError::Damaged;
    // The end record is followed by a comment of at most 65535 bytes.
    let tail = data.len().saturating_sub(22 + 0xffff);
    let end = memchr::memmem::rfind(&data[tail..], b"PK\x05\x06").map(|at| at + tail);
    let end = end.ok_or(damaged("it has no end record"))?;
    let cut = damaged("its end record is cut off");
    let count = u16_at(data, end + 10).ok_or_else(|| cut.clone())?;
    let size = u32_at(data, end + 12).ok_or_else(|| cut.clone())? as usize;
    let start = u32_at(data, end + 16).ok_or_else(|| cut.clone())? as usize;
    let comment = usize::from(u16_at(data, end + 20).ok_or(cut)?);
    if end + 22 + comment != data.len() {
        return Err(damaged("there are bytes after its end record"));
    }
    if start.checked_add(size) != Some(end) {
        return Err(damaged("its central directory is not where the end record says"));
    }
    let mut members = Vec::new();
    let mut names = BTreeSet::new();
    let mut at = start;
    for _ in 0..count {
        let (member, next) = entry(data, at, start)?;
        at = next;
        if member.name.ends_with('/') {
            continue;
        }
        check_name(&member.name)?;
        if !names.insert(member.name.clone()) {
            return Err(ArchiveError::Member { name: member.name, what: "is in the archive twice".into() });
        }
        members.push(member);
    }
    if at != end {
        return Err(damaged("its central directory has more entries than the end record says"));
    }
    Ok(members)
}

/// The entry of the central directory at `at`, and where the next one is.
fn entry(data: &[u8], at: usize, directory: usize) -> Result<(Member<'_>, usize), ArchiveError> {
    let damaged = ArchiveError::Damaged("its central directory is cut off");
    let header = data.get(at..at + 46).filter(|header| header.starts_with(b"PK\x01\x02"));
    let header = header.ok_or_else(|| damaged.clone())?;
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let long = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (name_size, extra, comment) = (short(28), short(30), short(32));
    let name = data.get(at + 46..at + 46 + usize::from(name_size)).ok_or_else(|| damaged.clone())?;
    let name = String::from_utf8_lossy(name).into_owned();
    let fault = |what: &str| ArchiveError::Member { name: name.clone(), what: what.into() };
    let (flags, method, crc, packed, size) = (short(8), short(10), long(16), long(20), long(24));
    if flags & 1 != 0 {
        return Err(fault("is encrypted"));
    }
    if !matches!(method, 0 | 8) {
        return Err(fault(&format!(
            "is compressed by method {method}; pip reads only 0 (stored) and 8 (deflated)"
        )));
    }
    if packed == u32::MAX || size == u32::MAX || long(42) == u32::MAX {
        return Err(fault("has the zip64 form, for files over 4 GB"));
    }
    let local = long(42) as usize;
    let lengths = u16_at(data, local + 26).zip(u16_at(data, local + 28));
    let lengths = lengths.filter(|_| data[local..].starts_with(b"PK\x03\x04"));
    let (local_name, local_extra) = lengths.ok_or_else(|| fault("has no header where the directory says"))?;
    let local_end = local + 30 + usize::from(local_name);
    if data.get(local + 30..local_end) != Some(name.as_bytes()) {
        return Err(fault("is called otherwise in its own header"));
    }
    let from = local_end + usize::from(local_extra);
    let content = data.get(from..from + packed as usize).filter(|_| from + packed as usize <= directory);
    let content = content.ok_or_else(|| fault("lies outside of the archive"))?;
    let executable = (long(38) >> 16) & 0o111 != 0;
    let member = Member { executable, method, crc, size: size.into(), packed: Cow::Borrowed(content), name };
    Ok((member, at + 46 + usize::from(name_size) + usize::from(extra) + usize::from(comment)))
}

/// An installer unpacks the name as a path.
fn check_name(name: &str) -> Result<(), ArchiveError> {
    let parts = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if parts && !name.contains(['\\', '\0', ':', '\u{fffd}']) {
        return Ok(());
    }
    Err(ArchiveError::Member { name: name.into(), what: "is no path inside of a wheel".into() })
}

impl<'a> Member<'a> {
    /// A member with this content, compressed.
    pub(super) fn new(name: impl Into<String>, executable: bool, content: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(content);
        let packed = deflate(content);
        // What does not become smaller is stored.
        let (method, packed) = if packed.len() < content.len() { (8, packed) } else { (0, content.to_vec()) };
        let (crc, size) = (crc.sum(), content.len() as u64);
        Self { name: name.into(), executable, method, crc, size, packed: Cow::Owned(packed) }
    }

    /// The content; size and checksum are compared with the directory.
    pub(super) fn content(&self) -> Result<Cow<'_, [u8]>, ArchiveError> {
        let fault = |what: String| ArchiveError::Member { name: self.name.clone(), what };
        let content = if self.method == 0 {
            Cow::Borrowed(&*self.packed)
        } else {
            if self.size > MEMBER_LIMIT {
                return Err(fault(format!("would unpack to {} bytes", self.size)));
            }
            let mut content = Vec::new();
            let mut decoder = flate2::bufread::DeflateDecoder::new(&*self.packed).take(self.size + 1);
            decoder
                .read_to_end(&mut content)
                .map_err(|error| fault(format!("cannot be unpacked: {error}")))?;
            Cow::Owned(content)
        };
        if content.len() as u64 != self.size {
            return Err(fault(format!("has a size other than the {} bytes in the directory", self.size)));
        }
        let mut crc = Crc::new();
        crc.update(&content);
        if crc.sum() != self.crc {
            return Err(fault("does not have the checksum (CRC-32) in the directory".into()));
        }
        Ok(content)
    }

    /// The packed bytes as they are, under these names and rights.
    pub(super) fn as_it_is(&self) -> Member<'_> {
        Member { packed: Cow::Borrowed(&*self.packed), name: self.name.clone(), ..*self }
    }
}

/// A raw deflate stream of `content`.
fn deflate(content: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = content.chunks(PIECE).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(piece) = pieces.get(index) else { return done };
            done.push((index, deflate_piece(piece, index + 1 == pieces.len())));
        }
    };
    let mut packed = if threads <= 1 {
        work()
    } else {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        })
    };
    packed.sort_by_key(|(index, _)| *index);
    if packed.is_empty() {
        return deflate_piece(&[], true);
    }
    packed.into_iter().flat_map(|(_, bytes)| bytes).collect()
}

/// A part of a deflate stream, ended at a byte boundary.
fn deflate_piece(piece: &[u8], last: bool) -> Vec<u8> {
    let mut compress = Compress::new(Compression::new(6), false);
    let mut out = Vec::with_capacity(piece.len() / 2 + 1024);
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let used = usize::try_from(compress.total_in()).unwrap_or(piece.len());
        // Compressing from memory to memory fails only for want of room.
        let status = compress.compress_vec(&piece[used..], &mut out, flush);
        let all_in = compress.total_in() == piece.len() as u64;
        match status {
            Ok(Status::StreamEnd) => return out,
            Ok(_) if !last && all_in && out.len() < out.capacity() => return out,
            _ => out.reserve(64 * 1024),
        }
    }
}

/// Writes an archive with the members in this order. `epoch` is in seconds
/// since 1970 and from 1980 on.
pub(super) fn write(members: &[Member<'_>], epoch: u64) -> Vec<u8> {
    let (time, date) = dos_time(epoch);
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for member in members {
        // What follows the signature and the version that made it, in both
        // headers: version 2.0, UTF-8 names, method, time, checksum, sizes.
        let mut common = Vec::new();
        for short in [20, 1 << 11, member.method, time, date] {
            common.extend(short.to_le_bytes());
        }
        common.extend(member.crc.to_le_bytes());
        common.extend(size32(member.packed.len() as u64).to_le_bytes());
        common.extend(size32(member.size).to_le_bytes());
        common.extend(size16(member.name.len()).to_le_bytes());
        common.extend([0, 0]);
        let mode: u32 = if member.executable { 0o100_755 } else { 0o100_644 };
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((mode << 16).to_le_bytes());
        directory.extend(size32(out.len() as u64).to_le_bytes());
        directory.extend(member.name.as_bytes());

        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(member.name.as_bytes());
        out.extend(&*member.packed);
    }
    let start = size32(out.len() as u64);
    let count = size16(members.len());
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size32(directory.len() as u64).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// What is written was read from an archive without zip64, so it fits.
fn size32(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn size16(size: usize) -> u16 {
    u16::try_from(size).unwrap_or(u16::MAX)
}

/// MS-DOS time and date, in UTC: two seconds are the finest there is.
fn dos_time(epoch: u64) -> (u16, u16) {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    let (year, month, day) = civil(days);
    let time = (seconds / 3600) << 11 | (seconds / 60 % 60) << 5 | (seconds % 60 / 2);
    let date = (year.saturating_sub(1980).min(127)) << 9 | month << 5 | day;
    (u16::try_from(time).unwrap_or(0), u16::try_from(date).unwrap_or(0))
}

/// Year, month and day of a day since 1970, in the Gregorian calendar.
pub(super) fn civil(days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let long: Vec<u8> = (0..3_000_000_u32).map(|n| (n * n >> 7) as u8).collect();
        let members = [
            Member::new("a/b.py", false, b"x = 1\n"),
            Member::new("c.data/scripts/c", true, &long),
            Member::new("empty", false, b""),
        ];
        write(&members, 1_700_000_001)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = sample();
        let members = read(&bytes).unwrap();
        assert_eq!(
            members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
            ["a/b.py", "c.data/scripts/c", "empty"]
        );
        assert_eq!(&*members[0].content().unwrap(), b"x = 1\n");
        assert_eq!(members[1].content().unwrap().len(), 3_000_000);
        assert!(members[1].executable && !members[0].executable);
        assert_eq!(bytes, sample());
        let copies: Vec<_> = members.iter().map(Member::as_it_is).collect();
        assert_eq!(write(&copies, 1_700_000_001), bytes);
    }

    #[test]
    fn no_cut_archive_is_read() {
        let bytes = write(&[Member::new("a", false, b"content")], 315_532_800);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let bytes = write(&[Member::new("a", false, &b"content ".repeat(20))], 315_532_800);
        let noticed = (31..45).filter(|at| {
            let mut bytes = bytes.clone();
            bytes[*at] ^= 0x10;
            read(&bytes).and_then(|members| members[0].content().map(|_| ())).is_err()
        });
        assert_eq!(noticed.count(), 14);
    }

    #[test]
    fn names_stay_inside() {
        for name in ["/a", "../a", "a//b", "a/./b", "a\\b", "c:a"] {
            let bytes = write(&[Member::new(name, false, b"")], 315_532_800);
            assert!(read(&bytes).is_err(), "{name}");
        }
        let twice = write(&[Member::new("a", false, b"1"), Member::new("a", false, b"2")], 315_532_800);
        assert!(read(&twice).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn times() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(dos_time(315_532_800), (0, 33));
        assert_eq!(dos_time(1_709_210_096), (12 << 11 | 34 << 5 | 28, 44 << 9 | 2 << 5 | 29));
    }
}
