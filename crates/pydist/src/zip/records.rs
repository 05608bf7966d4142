//! Reading the records and finding where they disagree.

use std::collections::HashSet;

use binfmt::source::ReadAt;

use super::archive::{Archive, Limits, Member, Method, ZipError};
use super::fault::Fault;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;
const LOCAL_SIZE: u64 = 30;
const CENTRAL_SIZE: usize = 46;
const END_SIZE: usize = 22;
/// What a zip64 end record says of its own size if it holds nothing else.
const END64_SIZE: u64 = 44;
/// Python's `zipfile` reads members up to this version of the format, times ten.
const NEWEST_VERSION: u8 = 63;
/// A central directory beyond this is refused before it is read.
const DIRECTORY_LIMIT: u64 = 64 << 20;

impl Archive {
    /// Reads the records. Nothing is inflated.
    pub fn open(source: &(impl ReadAt + ?Sized), limits: &Limits) -> Result<Self, ZipError> {
        read(source, limits)
    }
}

/// Little-endian fields, one after another; zero past the end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((head, rest)) = self.0.split_first_chunk::<N>() else {
            self.0 = &[];
            return [0; N];
        };
        self.0 = rest;
        *head
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// Where the central directory is, and where the archive should end.
struct End {
    entries: u64,
    directory: u64,
    directory_size: u64,
    /// The first byte of the end records.
    start: u64,
}

fn read(source: &(impl ReadAt + ?Sized), limits: &Limits) -> Result<Archive, ZipError> {
    let size = source.size()?;
    let mut faults = Vec::new();
    let end = find_end(source, size, &mut faults)?;
    let limit = |what, found, limit| {
        if found > limit { Err(ZipError::Limit { what, found, limit }) } else { Ok(()) }
    };
    limit("members:", end.entries, limits.members)?;
    limit("a central directory of bytes:", end.directory_size, DIRECTORY_LIMIT)?;
    let damaged = ZipError::Damaged { what: "the central directory", offset: end.directory };
    let directory_end = end.directory.checked_add(end.directory_size).filter(|end| *end <= size);
    let Some(directory_end) = directory_end else { return Err(damaged) };
    if directory_end > end.start {
        return Err(damaged);
    }
    if directory_end < end.start {
        faults.push(Fault::Gap { bytes: end.start - directory_end, offset: end.start });
    }
    let length = usize::try_from(end.directory_size).unwrap_or_default();
    let mut directory = vec![0; length];
    source.read_exact_at(end.directory, &mut directory)?;

    let mut members: Vec<Member> = Vec::new();
    let mut names = HashSet::new();
    let mut rest = &directory[..];
    while !rest.is_empty() {
        let offset = directory_end - rest.len() as u64;
        let (member, after) = central(rest, &mut faults)
            .ok_or(ZipError::Damaged { what: "an entry of the central directory", offset })?;
        rest = after;
        if !names.insert(member.name.clone()) {
            faults.push(Fault::Duplicate(member.name.clone()));
        }
        members.push(member);
        limit("members:", members.len() as u64, limits.members)?;
    }
    if members.len() as u64 != end.entries {
        faults.push(Fault::Count { said: end.entries, found: members.len() as u64 });
    }
    let total = members.iter().fold(0u64, |sum, member| sum.saturating_add(member.size));
    limit("bytes, inflated:", total, limits.total_size)?;
    for member in &members {
        limit("a member of bytes, inflated:", member.size, limits.member_size)?;
    }
    locals(source, &mut members, end.directory, &mut faults)?;
    // Both headers of a member may have the same fault.
    let mut seen = HashSet::new();
    faults.retain(|fault| seen.insert(fault.clone()));
    Ok(Archive { members, faults, size })
}

fn find_end(source: &(impl ReadAt + ?Sized), size: u64, faults: &mut Vec<Fault>) -> Result<End, ZipError> {
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
    if start < 20 {
        return Ok(end);
    }
    let mut locator = [0; 20];
    source.read_exact_at(start - 20, &mut locator)?;
    let mut fields = Fields(&locator);
    if fields.u32() != LOCATOR64 {
        return Ok(end);
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
    Ok(End { entries, directory, directory_size, start: offset })
}

/// One entry of the central directory, and what follows it.
fn central<'a>(bytes: &'a [u8], faults: &mut Vec<Fault>) -> Option<(Member, &'a [u8])> {
    let (head, rest) = bytes.split_at_checked(CENTRAL_SIZE)?;
    let mut fields = Fields(head);
    if fields.u32() != CENTRAL {
        return None;
    }
    let (made_by, needed, flags, method) = (fields.u16(), fields.u16(), fields.u16(), fields.u16());
    let _modified = fields.u32();
    let (crc32, mut compressed, mut size) = (fields.u32(), u64::from(fields.u32()), u64::from(fields.u32()));
    let (name_size, extra_size, comment) = (fields.u16(), fields.u16(), fields.u16());
    let (_disk, _internal, external) = (fields.u16(), fields.u16(), fields.u32());
    let mut header_offset = u64::from(fields.u32());
    let (raw, rest) = rest.split_at_checked(name_size.into())?;
    let (extra, rest) = rest.split_at_checked(extra_size.into())?;
    let (_, rest) = rest.split_at_checked(comment.into())?;
    let name = String::from_utf8_lossy(raw).into_owned();
    if std::str::from_utf8(raw).is_err() || (!raw.is_ascii() && flags & 0x800 == 0) {
        faults.push(Fault::Encoding(name.clone()));
    }
    let [version, _] = needed.to_le_bytes();
    if version > NEWEST_VERSION {
        faults.push(Fault::NeededVersion { name: name.clone(), version });
    }
    if comment > 0 {
        faults.push(Fault::EntryComment(name.clone()));
    }
    let fields = extra_fields(extra);
    let sound = fields
        .as_ref()
        .is_some_and(|fields| central_zip64(fields, &mut [&mut size, &mut compressed, &mut header_offset]));
    if !sound {
        faults.push(Fault::Extra(name.clone()));
    }
    unicode_path(fields.as_deref().unwrap_or_default(), &name, faults);
    if flags & 8 != 0 {
        faults.push(Fault::DataDescriptor(name.clone()));
    }
    let encrypted = flags & 1 != 0;
    if encrypted {
        faults.push(Fault::Encrypted(name.clone()));
    }
    let method = match method {
        0 => Method::Stored,
        8 => Method::Deflated,
        method => {
            faults.push(Fault::Method { name: name.clone(), method });
            Method::Other(method)
        }
    };
    if method == Method::Stored && compressed != size {
        faults.push(Fault::StoredSize(name.clone()));
    }
    // Installers take these bits whatever system the archive says it is of.
    let unix_mode = (made_by >> 8 == 3 || external >> 16 != 0).then_some(external >> 16);
    let readable = !encrypted && !matches!(method, Method::Other(_));
    let member = Member {
        name,
        method,
        flags,
        crc32,
        compressed,
        size,
        header_offset,
        data_offset: 0,
        unix_mode,
        readable,
    };
    Some((member, rest))
}

/// `ZIP64` and Unicode Path: of these an archive may have one for each member.
const SINGLE: [u16; 2] = [1, UNICODE_PATH];
const UNICODE_PATH: u16 = 0x7075;

/// The extra fields by id; none where they are cut off or one is duplicate.
fn extra_fields(mut extra: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut found: Vec<(u16, &[u8])> = Vec::new();
    while !extra.is_empty() {
        let (head, rest) = extra.split_at_checked(4)?;
        let mut fields = Fields(head);
        let (id, size) = (fields.u16(), fields.u16());
        let (body, rest) = rest.split_at_checked(size.into())?;
        extra = rest;
        if SINGLE.contains(&id) && found.iter().any(|(other, _)| *other == id) {
            return None;
        }
        found.push((id, body));
    }
    Some(found)
}

/// Puts the values of a zip64 field of the central directory in place of those
/// that are all ones. False where it is too short.
fn central_zip64(extra: &[(u16, &[u8])], values: &mut [&mut u64]) -> bool {
    let Some((_, body)) = extra.iter().find(|(id, _)| *id == 1) else { return true };
    let mut fields = Fields(body);
    for value in values.iter_mut().filter(|value| ***value == u64::from(u32::MAX)) {
        if fields.0.len() < 8 {
            return false;
        }
        **value = fields.u64();
    }
    true
}

/// The same for a local header, as the index reads it (Warehouse,
/// `utils/zipfiles.py`): the field's compressed size counts even if the
/// header has one, and a field with one size is for stored members alone.
fn local_zip64(extra: &[(u16, &[u8])], method: u16, size: &mut u64, compressed: &mut u64) -> bool {
    let Some((_, body)) = extra.iter().find(|(id, _)| *id == 1) else { return true };
    let missing = |value: u64| value == u64::from(u32::MAX);
    let mut fields = Fields(body);
    match body.len() {
        0 => return !missing(*size) && !missing(*compressed),
        8 if method == 0 => {
            let both = fields.u64();
            *compressed = both;
            if missing(*size) {
                *size = both;
            }
        }
        16 | 24 | 28 => {
            let (first, second) = (fields.u64(), fields.u64());
            if missing(*size) {
                *size = first;
            }
            *compressed = second;
        }
        _ => return false,
    }
    true
}

/// Reports the name of a Unicode Path field, if it is another than `name`.
/// Python 3.12 and later and unzip take it, older ones do not.
fn unicode_path(extra: &[(u16, &[u8])], name: &str, faults: &mut Vec<Fault>) {
    let Some((_, body)) = extra.iter().find(|(id, _)| *id == UNICODE_PATH) else { return };
    // A version, the check sum of the header's name, then the name.
    let other = String::from_utf8_lossy(body.get(5..).unwrap_or_default());
    if other.contains(|c: char| c.is_ascii_control() || c == char::REPLACEMENT_CHARACTER) {
        faults.push(Fault::Extra(name.to_owned()));
    }
    if other != name {
        faults.push(Fault::UnicodePath { name: name.to_owned(), other: other.into_owned() });
    }
}

/// Reads every local header, compares it, and looks for gaps and overlaps.
fn locals(
    source: &(impl ReadAt + ?Sized),
    members: &mut [Member],
    directory: u64,
    faults: &mut Vec<Fault>,
) -> Result<(), ZipError> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|index| members[*index].header_offset);
    let mut position = 0;
    let mut previous: Option<usize> = None;
    for index in order {
        let member = &mut members[index];
        let offset = member.header_offset;
        if offset < position {
            member.readable = false;
            faults.push(Fault::Overlap(member.name.clone()));
            if let Some(previous) = previous {
                members[previous].readable = false;
            }
            continue;
        }
        if offset > position {
            faults.push(match position {
                0 => Fault::Before(offset),
                _ => Fault::Gap { bytes: offset - position, offset },
            });
        }
        let data = local(source, member, faults)?;
        member.data_offset = data;
        let end = data.checked_add(member.compressed).filter(|end| *end <= directory);
        let Some(end) = end else {
            member.readable = false;
            faults.push(Fault::Overlap(member.name.clone()));
            position = directory;
            continue;
        };
        position = end + descriptor(source, member, end)?;
        previous = Some(index);
    }
    if position < directory {
        faults.push(match position {
            0 => Fault::Before(directory),
            _ => Fault::Gap { bytes: directory - position, offset: directory },
        });
    }
    Ok(())
}

/// Compares a local header with its member; where the data start.
fn local(source: &(impl ReadAt + ?Sized), member: &Member, faults: &mut Vec<Fault>) -> Result<u64, ZipError> {
    let offset = member.header_offset;
    let damaged = || ZipError::Damaged { what: "a local file header", offset };
    let mut head = [0; 30];
    debug_assert_eq!(head.len() as u64, LOCAL_SIZE);
    source.read_exact_at(offset, &mut head).map_err(|_| damaged())?;
    let mut fields = Fields(&head);
    if fields.u32() != LOCAL {
        return Err(damaged());
    }
    let (_needed, flags, method) = (fields.u16(), fields.u16(), fields.u16());
    let _modified = fields.u32();
    let (crc32, mut compressed, mut size) = (fields.u32(), u64::from(fields.u32()), u64::from(fields.u32()));
    let (name_size, extra_size) = (fields.u16(), fields.u16());
    let mut tail = vec![0; usize::from(name_size) + usize::from(extra_size)];
    source.read_exact_at(offset + LOCAL_SIZE, &mut tail).map_err(|_| damaged())?;
    let (name, extra) = tail.split_at(name_size.into());
    let extra = extra_fields(extra);
    let sound = extra.as_ref().is_some_and(|extra| local_zip64(extra, method, &mut size, &mut compressed));
    if !sound {
        faults.push(Fault::Extra(member.name.clone()));
    }
    unicode_path(extra.as_deref().unwrap_or_default(), &member.name, faults);
    let descriptor = flags & 8 != 0;
    let own = match member.method {
        Method::Stored => 0,
        Method::Deflated => 8,
        Method::Other(number) => number,
    };
    let same = [
        ("name", String::from_utf8_lossy(name) == member.name.as_str()),
        ("flags", flags == member.flags),
        ("method", method == own),
        ("CRC-32", crc32 == member.crc32 || (descriptor && crc32 == 0)),
        ("compressed size", compressed == member.compressed || (descriptor && compressed == 0)),
        ("size", size == member.size || (descriptor && size == 0)),
    ];
    for (field, same) in same {
        if !same {
            faults.push(Fault::Mismatch { name: member.name.clone(), field });
        }
    }
    Ok(offset + LOCAL_SIZE + u64::from(name_size) + u64::from(extra_size))
}

/// The size of the data descriptor at `end`, if the member has one.
fn descriptor(source: &(impl ReadAt + ?Sized), member: &Member, end: u64) -> Result<u64, ZipError> {
    if member.flags & 8 == 0 {
        return Ok(0);
    }
    let mut head = [0; 4];
    source
        .read_exact_at(end, &mut head)
        .map_err(|_| ZipError::Damaged { what: "a data descriptor", offset: end })?;
    let signature = if u32::from_le_bytes(head) == 0x0807_4b50 { 4 } else { 0 };
    let wide = member.size >= u64::from(u32::MAX) || member.compressed >= u64::from(u32::MAX);
    Ok(signature + if wide { 20 } else { 12 })
}
