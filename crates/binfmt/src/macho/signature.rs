//! Code signatures of Mach-O files (Apple's `cs_blobs.h`): checks them, updates
//! them after an edit, and signs unsigned files ad hoc. No key or certificate is
//! used.

use std::ops::Range;

use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

use super::edit::{resize, set_size};
use super::info::{MachOInfo, Slice};
use crate::binary::{BinaryError, EditError, Image, View, Writer};
use crate::source::{ReadAt, WriteAt};

const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
const CMS: u32 = 0xfade_0b01;
/// Bytes of a code directory of version 0x20400 before its identifier.
const DIRECTORY_SIZE: usize = 88;
/// The page size that linkers and `codesign` use.
pub const PAGE: usize = 4096;
/// The minimum number of pages per thread.
const MIN_PAGES_PER_THREAD: usize = 256;

/// The state of a slice's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureState {
    /// The slice is not signed.
    Missing,
    /// Every page matches its hash.
    Valid,
    /// A page does not match its hash: macOS kills the process that runs it.
    Mismatch,
}

/// A code directory in a signature.
struct Directory {
    /// The offset of its hashes in the signature.
    hashes: usize,
    hash_size: usize,
    hash_kind: u8,
    page: usize,
    /// How much of the slice it covers.
    limit: usize,
}

impl Directory {
    fn read(signature: &[u8], at: usize) -> Result<Self, EditError> {
        let header = signature.get(at..).and_then(|rest| rest.get(..44)).ok_or_else(damaged)?;
        let (hash_size, hash_kind, page) = (usize::from(header[36]), header[37], u32::from(header[39]));
        let number = |place: usize| u32_be(signature, at + place).map(|value| value as usize);
        let (hashes, count, limit) = (at + number(16)?, number(28)?, number(32)?);
        // 0 means one page without a limit.
        let page = if page == 0 { limit.max(1) } else { 1_usize.checked_shl(page).unwrap_or(0) };
        if page == 0 || limit.div_ceil(page) != count {
            return Err(EditError::Signature("it does not cover the file page by page"));
        }
        let end = count.checked_mul(hash_size).and_then(|size| size.checked_add(hashes));
        end.filter(|end| *end <= signature.len()).ok_or_else(damaged)?;
        Ok(Self { hashes, hash_size, hash_kind, page, limit })
    }

    /// Hashes each page that overlaps `pages`, a range of the slice's bytes, on all cores.
    /// Returns the position of these hashes in the signature, and the hashes, concatenated.
    fn page_hashes<S: ReadAt + ?Sized>(
        &self,
        source: &S,
        slice: &Slice,
        pages: Range<usize>,
    ) -> Result<(Range<usize>, Vec<u8>), EditError> {
        let last = pages.end.min(self.limit).div_ceil(self.page);
        let first = (pages.start / self.page).min(last);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = (last - first).div_ceil(threads).max(MIN_PAGES_PER_THREAD);
        let hashes = std::thread::scope(|scope| {
            let starts = (first..last).step_by(share);
            let threads: Vec<_> = starts
                .map(|start| {
                    scope.spawn(move || self.hash_pages(source, slice, start..last.min(start + share)))
                })
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(damaged())));
            joined.collect::<Result<Vec<_>, _>>()
        })?;
        let hashes = hashes.concat();
        let start = self.hashes + first * self.hash_size;
        Ok((start..start + hashes.len(), hashes))
    }

    fn hash_pages<S: ReadAt + ?Sized>(
        &self,
        source: &S,
        slice: &Slice,
        indexes: Range<usize>,
    ) -> Result<Vec<u8>, EditError> {
        let mut hashes = Vec::with_capacity(indexes.len() * self.hash_size);
        let mut page = vec![0; self.page.min(self.limit)];
        for index in indexes {
            let start = index * self.page;
            page.resize(self.limit.min(start + self.page) - start, 0);
            source.read_exact_at(slice.range.start + start as u64, &mut page)?;
            let hash = hash(self.hash_kind, &page)?;
            hashes.extend(hash.get(..self.hash_size).ok_or_else(damaged)?);
        }
        Ok(hashes)
    }

    /// Whether `signature` has the hashes of the pages that overlap `pages`.
    fn matches<S: ReadAt + ?Sized>(
        &self,
        signature: &[u8],
        source: &S,
        slice: &Slice,
        pages: Range<usize>,
    ) -> Result<bool, EditError> {
        let (place, hashes) = self.page_hashes(source, slice, pages)?;
        Ok(signature.get(place) == Some(&hashes[..]))
    }
}

fn damaged() -> EditError {
    BinaryError::Damaged { what: "the code signature", offset: 0 }.into()
}

fn u32_be(data: &[u8], at: usize) -> Result<u32, EditError> {
    let bytes = data.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or_else(damaged)?;
    Ok(u32::from_be_bytes(*bytes))
}

fn hash(kind: u8, page: &[u8]) -> Result<Vec<u8>, EditError> {
    match kind {
        1 => Ok(Sha1::digest(page).to_vec()),
        // 3 is SHA-256 truncated to the size of SHA-1.
        2 | 3 => Ok(Sha256::digest(page).to_vec()),
        4 => Ok(Sha384::digest(page).to_vec()),
        _ => Err(EditError::Signature("it has an unknown hash type")),
    }
}

/// The signature's bytes, its code directories, and whether it was made with
/// a certificate.
fn read<S: ReadAt + ?Sized>(
    source: &S,
    place: &Range<u64>,
) -> Result<(Vec<u8>, Vec<Directory>, bool), EditError> {
    let image = Image::new(source)?;
    let signature = image.bytes("the code signature", place.start, place.end - place.start)?;
    if u32_be(&signature, 0)? != SUPER_BLOB {
        return Err(EditError::Signature("it has an unknown form"));
    }
    let (mut directories, mut has_certificate) = (Vec::new(), false);
    for index in 0..(u32_be(&signature, 8)? as usize).min(64) {
        let at = u32_be(&signature, 12 + 8 * index + 4)? as usize;
        match u32_be(&signature, at)? {
            CODE_DIRECTORY => directories.push(Directory::read(&signature, at)?),
            // Ad-hoc signatures have an empty one.
            CMS => has_certificate |= u32_be(&signature, at + 4)? > 8,
            _ => {}
        }
    }
    if directories.is_empty() {
        return Err(EditError::Signature("it has no code directory"));
    }
    Ok((signature, directories, has_certificate))
}

/// Compares every page of the slice with its hash in the signature.
pub fn check<S: ReadAt + ?Sized>(source: &S, slice: &Slice) -> Result<SignatureState, EditError> {
    let Some(place) = &slice.signature else { return Ok(SignatureState::Missing) };
    let (signature, directories, _) = read(source, place)?;
    let code = usize::try_from(place.start - slice.range.start).unwrap_or_default();
    for directory in directories {
        // Changes after the limit would go unnoticed.
        if directory.limit > code || !directory.matches(&signature, source, slice, 0..directory.limit)? {
            return Ok(SignatureState::Mismatch);
        }
    }
    Ok(SignatureState::Valid)
}

/// The slices for Apple silicon, whose signatures macOS enforces, in the Mach-O
/// file of `size` bytes that begins with `head`.
pub fn enforced(head: &[u8], size: u64) -> Vec<Range<u64>> {
    const ARM64: u32 = 0x0100_000c;
    let little = View { bytes: head, big: false };
    let view = View { bytes: head, big: true };
    let wide = match view.u32(0) {
        Some(0xcafe_babe) => false,
        Some(0xcafe_babf) => true,
        Some(0xcffa_edfe) if little.u32(4) == Some(ARM64) => return vec![Range { start: 0, end: size }],
        _ => return Vec::new(),
    };
    let entry = if wide { 32 } else { 20 };
    let slice = |index: usize| {
        let at = 8 + index * entry;
        let start = view.word(at + 8, wide)?;
        let end = start.checked_add(view.word(at + if wide { 16 } else { 12 }, wide)?)?;
        (view.u32(at) == Some(ARM64) && end <= size).then_some(start..end)
    };
    let count = view.u32(4).and_then(|count| usize::try_from(count).ok()).unwrap_or_default().min(40);
    (0..count).filter_map(slice).collect()
}

/// Compares the SHA-256 of each page of [`PAGE`] bytes except the last with its
/// hash in the signature. Code directories with another page size or hash are
/// skipped.
pub fn check_hashes<S: ReadAt + ?Sized>(
    source: &S,
    slice: &Slice,
    hashes: &[[u8; 32]],
) -> Result<SignatureState, EditError> {
    let Some(place) = &slice.signature else { return Ok(SignatureState::Missing) };
    let (signature, directories, _) = read(source, place)?;
    let code = usize::try_from(place.start - slice.range.start).unwrap_or_default();
    for directory in directories {
        if directory.limit > code {
            return Ok(SignatureState::Mismatch);
        }
        let whole = directory.limit / PAGE;
        let (page, kind, size) = (directory.page, directory.hash_kind, directory.hash_size);
        if page != PAGE || ![2, 3].contains(&kind) || size > 32 || hashes.len() < whole {
            continue;
        }
        let expected = signature[directory.hashes..].chunks_exact(size.max(1));
        if expected.zip(&hashes[..whole]).any(|(expected, found)| *expected != found[..size]) {
            return Ok(SignatureState::Mismatch);
        }
        if !directory.matches(&signature, source, slice, whole * PAGE..directory.limit)? {
            return Ok(SignatureState::Mismatch);
        }
    }
    Ok(SignatureState::Valid)
}

/// Updates the hashes of the pages that overlap `changed`, a range of the slice's
/// bytes. The rest of the signature stays.
pub fn renew<S: WriteAt + ?Sized>(
    source: &mut S,
    slice: &Slice,
    changed: Range<u64>,
) -> Result<(), EditError> {
    let place = slice.signature.clone().ok_or(EditError::Signature("there is none"))?;
    let (mut signature, directories, has_certificate) = read(source, &place)?;
    if has_certificate {
        return Err(EditError::Signature("it was made with a certificate; sign after this step"));
    }
    let code = usize::try_from(place.start - slice.range.start).unwrap_or_default();
    let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    for directory in directories {
        if directory.limit > code {
            return Err(EditError::Signature("it covers itself"));
        }
        let changed = bound(changed.start)..bound(changed.end);
        let (place, hashes) = directory.page_hashes(source, slice, changed)?;
        signature[place].copy_from_slice(&hashes);
    }
    Ok(source.write_all_at(place.start, &signature)?)
}

/// Appends an ad-hoc signature to the slice with this index.
pub fn sign<S: WriteAt + ?Sized>(
    source: &mut S,
    info: &MachOInfo,
    index: usize,
    identifier: &str,
) -> Result<(), EditError> {
    let slice = &info.slices[index];
    let linkedit = slice.segment("__LINKEDIT").ok_or(EditError::Signature("it has no __LINKEDIT"))?;
    let text = slice.segment("__TEXT").ok_or(EditError::Signature("it has no __TEXT"))?;
    if !slice.is_64 {
        return Err(EditError::Signature("it is not a 64-bit file"));
    }
    let commands_end = slice.commands_end();
    let first = slice.segments.iter().filter_map(|segment| segment.first_section).min();
    let first = first.unwrap_or(slice.range.end - slice.range.start) + slice.range.start;
    let mut room = [1; 16];
    let has_room = commands_end + 16 <= first && commands_end + 16 <= slice.range.end;
    if has_room {
        source.read_exact_at(commands_end, &mut room)?;
    }
    if room != [0; 16] {
        return Err(EditError::Signature("there is no room for another load command"));
    }
    let length = slice.range.end - slice.range.start;
    if linkedit.offset.checked_add(linkedit.size) != Some(length) {
        return Err(EditError::Signature("the file does not end with __LINKEDIT"));
    }
    let start = usize::try_from(length.next_multiple_of(16)).map_err(|_| damaged())?;
    let pages = start.div_ceil(PAGE);
    let directory = DIRECTORY_SIZE + identifier.len() + 1 + pages * 32;
    let size = (20 + directory).next_multiple_of(16);
    resize(source, info, index, (start + size) as u64)?;
    source.write_all_at(slice.range.end, &vec![0; start - usize::try_from(length).unwrap_or(start)])?;

    // The command and the segment, before the pages are hashed.
    let writer = Writer { big: slice.big_endian };
    for (at, value) in [0x1d, 16, narrow(start)?, narrow(size)?].into_iter().enumerate() {
        writer.u32(source, commands_end + 4 * at as u64, value)?;
    }
    let commands_size = commands_end + 16 - slice.range.start - slice.header_size();
    set_size(source, slice, narrow(slice.commands.len() + 1)?, commands_size)?;
    let linked = (start + size) as u64 - linkedit.offset;
    let in_memory = linkedit.memory_size.max(linked.next_multiple_of(0x4000));
    writer.u64(source, linkedit.command + 32, in_memory)?;
    writer.u64(source, linkedit.command + 48, linked)?;

    let mut blob = blob(identifier, pages, start, size, [text.offset, text.size], slice.file_type == 2)?;
    for page in 0..pages {
        let mut bytes = vec![0; PAGE.min(start - page * PAGE)];
        source.read_exact_at(slice.range.start + (page * PAGE) as u64, &mut bytes)?;
        blob.extend(Sha256::digest(&bytes));
    }
    blob.resize(size, 0);
    Ok(source.write_all_at(slice.range.start + start as u64, &blob)?)
}

fn narrow(value: usize) -> Result<u32, EditError> {
    u32::try_from(value).map_err(|_| EditError::Signature("the file is too big"))
}

/// A signature without its hashes. `text` is the executable segment.
fn blob(
    identifier: &str,
    pages: usize,
    limit: usize,
    size: usize,
    text: [u64; 2],
    is_executable: bool,
) -> Result<Vec<u8>, EditError> {
    let mut blob = Vec::with_capacity(size);
    let hashes = DIRECTORY_SIZE + identifier.len() + 1;
    let directory = hashes + pages * 32;
    for word in [SUPER_BLOB, narrow(20 + directory)?, 1, 0, 20] {
        blob.extend(word.to_be_bytes());
    }
    // Version, ad hoc, offsets of the hashes and the identifier, no special
    // slots, the number of pages, and the size that they cover.
    let words = [CODE_DIRECTORY, narrow(directory)?, 0x20400, 2, narrow(hashes)?, narrow(DIRECTORY_SIZE)?, 0];
    for word in words.into_iter().chain([narrow(pages)?, narrow(limit)?]) {
        blob.extend(word.to_be_bytes());
    }
    // 32 bytes of SHA-256, no platform, pages of 2^12.
    blob.extend([32, 2, 0, 12]);
    // Spare, scatter, team, spare; then the limit in 64 bits, unused.
    blob.extend([0; 4 * 4 + 8]);
    for word in text.into_iter().chain([u64::from(is_executable)]) {
        blob.extend(word.to_be_bytes());
    }
    blob.extend(identifier.as_bytes());
    blob.push(0);
    Ok(blob)
}
