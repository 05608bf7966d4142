//! The wheel as a zip archive (APPNOTE.TXT): read whole from memory, written
//! with nothing in it that depends on when or where.

use std::borrow::Cow;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use pydist::zip::{Archive, DataError, Fault, Limits, Method, ZipError};

/// Members are compressed in pieces of this size: so many at once, and the
/// same bytes on any number of processors.
const PIECE: usize = 256 << 10;

/// How far back a deflate stream can refer (RFC 1951, 2): what of the piece
/// before is of use to a piece.
const WINDOW: usize = 32 << 10;

/// On machine code, the next level takes a tenth more time and saves 1 %.
const LEVEL: u32 = 4;

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
    /// A member that is no plain file inside of the wheel.
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

/// The members that the central directory lists, with their content; folders
/// are left out. What a new archive will not have anyway (comments, sizes
/// after the data) is no fault here.
pub(super) fn read(data: &[u8]) -> Result<Vec<(Member<'_>, Vec<u8>)>, ArchiveError> {
    let archive = Archive::open(data, &Limits::default())?;
    let fault = archive.faults.into_iter().find(|fault| {
        !matches!(
            fault,
            Fault::DataDescriptor(_) | Fault::EntryComment(_) | Fault::ArchiveComment(_) | Fault::Extra(_)
        )
    });
    if let Some(fault) = fault {
        return Err(ArchiveError::Fault { fault });
    }
    let mut members = Vec::new();
    for member in archive.members.iter().filter(|member| !member.is_dir()) {
        check_name(&member.name)?;
        let name = || member.name.clone();
        if member.is_symlink() {
            return Err(ArchiveError::Name { name: name(), what: "is a symbolic link" });
        }
        let content = member
            .content(data, Limits::default().member_size)
            .map_err(|source| ArchiveError::Data { name: name(), source })?;
        let range = || {
            let start = usize::try_from(member.data_offset).ok()?;
            data.get(start..start.checked_add(usize::try_from(member.compressed).ok()?)?)
        };
        let outside = ArchiveError::Name { name: name(), what: "lies outside of the archive" };
        let packed = Cow::Borrowed(range().ok_or(outside)?);
        let method = if member.method == Method::Stored { 0 } else { 8 };
        let (executable, crc, size) = (member.is_executable(), member.crc32, member.size);
        members.push((Member { name: name(), executable, method, crc, size, packed }, content));
    }
    Ok(members)
}

/// An installer unpacks the name as a path.
fn check_name(name: &str) -> Result<(), ArchiveError> {
    let parts = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if parts && !name.contains(['\\', '\0', ':', '\u{fffd}']) {
        return Ok(());
    }
    Err(ArchiveError::Name { name: name.into(), what: "is no path inside of a wheel" })
}

impl Member<'_> {
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
}

/// A raw deflate stream of `content`.
fn deflate(content: &[u8]) -> Vec<u8> {
    let count = content.len().div_ceil(PIECE).max(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if index >= count {
                return done;
            }
            done.push((index, deflate_piece(content, index * PIECE, index + 1 == count)));
        }
    };
    let mut packed = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut packed = work();
        packed.extend(others.into_iter().flat_map(|worker| worker.join().unwrap_or_default()));
        packed
    });
    packed.sort_by_key(|(index, _)| *index);
    let pieces: Vec<Vec<u8>> = packed.into_iter().map(|(_, bytes)| bytes).collect();
    pieces.concat()
}

/// The part of a deflate stream that begins at `start` of the content, ended
/// at a byte boundary.
fn deflate_piece(content: &[u8], start: usize, last: bool) -> Vec<u8> {
    let piece = &content[start..content.len().min(start + PIECE)];
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    // It fails only where deflate has begun already.
    let _ = compress.set_dictionary(&content[start.saturating_sub(WINDOW)..start]);
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
    let size = |member: &Member<'_>| 128 + 2 * member.name.len() + member.packed.len();
    let mut out = Vec::with_capacity(members.iter().map(size).sum());
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
        let long: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()[0]).collect();
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
        let names: Vec<_> = members.iter().map(|(member, _)| member.name.as_str()).collect();
        assert_eq!(names, ["a/b.py", "c.data/scripts/c", "empty"]);
        assert_eq!(members[0].1, b"x = 1\n");
        assert_eq!(members[1].1.len(), 3_000_000);
        assert!(members[1].0.executable && !members[0].0.executable);
        assert_eq!(bytes, sample());
        let copies: Vec<_> = members.into_iter().map(|(member, _)| member).collect();
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
            read(&bytes).is_err()
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
        assert!(read(&twice).unwrap_err().to_string().contains("`a`"));
    }

    #[test]
    fn times() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(dos_time(315_532_800), (0, 33));
        // 2024-02-29 12:34:56, in fields of 5, 6, 5 and of 7, 4, 5 bits.
        assert_eq!(dos_time(1_709_210_096), (0b0110_0100_0101_1100, 0b0101_1000_0101_1101));
    }
}
