//! Reads the records and finds where they disagree.

use std::collections::HashSet;

use binfmt::source::ReadAt;

use super::archive::{Archive, Limits, Member, Method, ZipError};
use super::end::find_end;
use super::extra::{central_zip64, extra_fields, local_zip64, unicode_path};
use super::fault::Fault;
use super::fields::Fields;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;

const LOCAL_SIZE: u64 = 30;
const CENTRAL_SIZE: usize = 46;

/// The newest version of the format that Python's `zipfile` reads, times ten.
const NEWEST_VERSION: u8 = 63;
/// A larger central directory is rejected before it is read.
const DIRECTORY_LIMIT: u64 = 64 << 20;

impl Archive {
    /// Reads the records. Nothing is inflated.
    pub fn open(source: &(impl ReadAt + ?Sized), limits: &Limits) -> Result<Self, ZipError> {
        read(source, limits)
    }
}

fn read(source: &(impl ReadAt + ?Sized), limits: &Limits) -> Result<Archive, ZipError> {
    let size = source.size()?;
    let mut faults = Vec::new();
    let end = find_end(source, size, &mut faults)?;
    let limit = |what, found, limit| {
        if found > limit { Err(ZipError::Limit { what, found, limit }) } else { Ok(()) }
    };
    limit("members", end.entries, limits.members)?;
    limit("bytes in the central directory", end.directory_size, DIRECTORY_LIMIT)?;
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
        limit("members", members.len() as u64, limits.members)?;
    }
    if members.len() as u64 != end.entries {
        faults.push(Fault::Count { declared: end.entries, found: members.len() as u64 });
    }
    let total = members.iter().fold(0u64, |sum, member| sum.saturating_add(member.size));
    limit("bytes, uncompressed", total, limits.total_size)?;
    for member in &members {
        limit("bytes in a member, uncompressed", member.size, limits.member_size)?;
    }
    locals(source, &mut members, end.directory, &mut faults)?;
    // Both headers of a member may have the same fault.
    let mut seen = HashSet::new();
    faults.retain(|fault| seen.insert(fault.clone()));
    Ok(Archive { members, faults, size })
}

/// One entry of the central directory, and the bytes after it.
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
    let name = decoded_name(raw, flags, faults);
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
    let method = known_method(method, &name, faults);
    if method == Method::Stored && compressed != size {
        faults.push(Fault::StoredSize(name.clone()));
    }
    // Installers use these bits whatever system the archive names.
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

/// The name in a header; it must be UTF-8, and marked so unless it is ASCII.
fn decoded_name(raw: &[u8], flags: u16, faults: &mut Vec<Fault>) -> String {
    let name = String::from_utf8_lossy(raw).into_owned();
    if std::str::from_utf8(raw).is_err() || (!raw.is_ascii() && flags & 0x800 == 0) {
        faults.push(Fault::Encoding(name.clone()));
    }
    name
}

fn known_method(method: u16, name: &str, faults: &mut Vec<Fault>) -> Method {
    match method {
        0 => Method::Stored,
        8 => Method::Deflated,
        method => {
            faults.push(Fault::Method { name: name.to_owned(), method });
            Method::Other(method)
        }
    }
}

/// Reads and compares every local header, and looks for gaps and overlaps.
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

/// Compares a local header with its member. Returns the offset of the data.
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
    let local_method = match member.method {
        Method::Stored => 0,
        Method::Deflated => 8,
        Method::Other(number) => number,
    };
    let same = [
        ("name", String::from_utf8_lossy(name) == member.name.as_str()),
        ("flags", flags == member.flags),
        ("method", method == local_method),
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
