//! Code signatures of Mach-O files: hashes of pages that an edit changed, and
//! ad-hoc signatures for files that have none (Apple's `cs_blobs.h`). No key
//! and no certificate takes part.

use std::ops::Range;

use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

use super::macho::{Macho, MachoError, set_u32, u64_le};

const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
const CMS: u32 = 0xfade_0b01;
/// Bytes of a code directory of version 0x20400 before its identifier.
const DIRECTORY_SIZE: usize = 88;
/// What linkers sign with.
const PAGE: usize = 4096;

fn u32_be(data: &[u8], at: usize) -> Result<u32, MachoError> {
    let bytes = data.get(at..at.saturating_add(4)).ok_or(MachoError::Outside("the code signature"))?;
    Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Renews the hashes of the pages that touch `changed`; identifier, flags and
/// everything else of the signature stay.
pub(super) fn renew(data: &mut [u8], macho: &Macho, changed: Range<usize>) -> Result<(), MachoError> {
    let place = macho.signature(data)?.ok_or(MachoError::Signature("there is none"))?;
    let (code, signature) = data.split_at_mut(place.start);
    let signature = &mut signature[..place.len()];
    if u32_be(signature, 0)? != SUPER_BLOB {
        return Err(MachoError::Signature("it has an unknown form"));
    }
    let mut directories = 0;
    for index in 0..u32_be(signature, 8)? as usize {
        let at = u32_be(signature, 12 + 8 * index + 4)? as usize;
        match u32_be(signature, at)? {
            CODE_DIRECTORY => {
                renew_directory(code, signature, at, changed.clone())?;
                directories += 1;
            }
            // An empty one stands in ad-hoc signatures, too.
            CMS if u32_be(signature, at + 4)? > 8 => {
                return Err(MachoError::Signature("it was made with a certificate; sign after this step"));
            }
            _ => {}
        }
    }
    if directories == 0 { Err(MachoError::Signature("it has no code directory")) } else { Ok(()) }
}

fn renew_directory(
    code: &[u8],
    signature: &mut [u8],
    at: usize,
    changed: Range<usize>,
) -> Result<(), MachoError> {
    let outside = MachoError::Outside("the code directory");
    let header = signature.get(at..at + 44).ok_or(outside.clone())?;
    let (size, kind, page) = (usize::from(header[36]), header[37], u32::from(header[39]));
    let hashes = at + u32_be(signature, at + 16)? as usize;
    let count = u32_be(signature, at + 28)? as usize;
    let limit = u32_be(signature, at + 32)? as usize;
    let code = code.get(..limit).ok_or(outside.clone())?;
    // 0 is one page without end.
    let page = if page == 0 { limit.max(1) } else { 1_usize.checked_shl(page).ok_or(outside.clone())? };
    if limit.div_ceil(page) != count {
        return Err(MachoError::Signature("it does not cover the file page by page"));
    }
    let last = changed.end.min(limit).div_ceil(page);
    for index in changed.start / page..last {
        let hash = hash(kind, &code[index * page..limit.min((index + 1) * page)])?;
        let place = hashes + index * size;
        let slot = signature.get_mut(place..place + size).ok_or(outside.clone())?;
        slot.copy_from_slice(hash.get(..size).ok_or(outside.clone())?);
    }
    Ok(())
}

fn hash(kind: u8, page: &[u8]) -> Result<Vec<u8>, MachoError> {
    match kind {
        1 => Ok(Sha1::digest(page).to_vec()),
        // 3 is the same, cut to the size of SHA-1.
        2 | 3 => Ok(Sha256::digest(page).to_vec()),
        4 => Ok(Sha384::digest(page).to_vec()),
        _ => Err(MachoError::Signature("it has an unknown kind of hash")),
    }
}

/// The file with an ad-hoc signature at its end.
pub(super) fn sign(data: &[u8], macho: &Macho, identifier: &str) -> Result<Vec<u8>, MachoError> {
    let linkedit = macho.segment(data, "__LINKEDIT")?.ok_or(MachoError::Signature("it has no __LINKEDIT"))?;
    let text = macho.segment(data, "__TEXT")?.ok_or(MachoError::Signature("it has no __TEXT"))?;
    let commands_end = 32 + macho.commands_size;
    let room = data.get(commands_end..commands_end + 16).filter(|room| room.iter().all(|byte| *byte == 0));
    if room.is_none() || macho.first_content(data)? < commands_end + 16 {
        return Err(MachoError::Signature("there is no room for one more load command"));
    }
    if linkedit.offset.checked_add(linkedit.size) != Some(data.len() as u64) {
        return Err(MachoError::Signature("the file does not end with __LINKEDIT"));
    }
    let mut out = data.to_vec();
    let start = out.len().next_multiple_of(16);
    out.resize(start, 0);
    let pages = start.div_ceil(PAGE);
    let directory = DIRECTORY_SIZE + identifier.len() + 1 + pages * 32;
    let size = (20 + directory).next_multiple_of(16);

    // The command and the segment, before the pages are hashed.
    let too_big = |_| MachoError::Signature("the file is too big");
    let narrow = |value: usize| u32::try_from(value).map_err(too_big);
    set_u32(&mut out, commands_end, 0x1d);
    set_u32(&mut out, commands_end + 4, 16);
    set_u32(&mut out, commands_end + 8, narrow(start)?);
    set_u32(&mut out, commands_end + 12, narrow(size)?);
    let count = super::macho::u32_le(&out, 16, "the header")?;
    set_u32(&mut out, 16, count + 1);
    set_u32(&mut out, 20, narrow(macho.commands_size + 16)?);
    let linked = (start + size) as u64 - linkedit.offset;
    let in_memory = u64_le(&out, linkedit.command + 32, "a segment")?.max(linked.next_multiple_of(0x4000));
    out[linkedit.command + 32..linkedit.command + 40].copy_from_slice(&in_memory.to_le_bytes());
    out[linkedit.command + 48..linkedit.command + 56].copy_from_slice(&linked.to_le_bytes());

    let mut blob = Vec::with_capacity(size);
    for word in [SUPER_BLOB, narrow(20 + directory)?, 1, 0, 20] {
        blob.extend(word.to_be_bytes());
    }
    let hashes = DIRECTORY_SIZE + identifier.len() + 1;
    // Version, ad hoc, where the hashes and the identifier are, no special
    // slots, the number of pages, and what they cover.
    let words = [CODE_DIRECTORY, narrow(directory)?, 0x20400, 2, narrow(hashes)?, narrow(DIRECTORY_SIZE)?, 0];
    for word in words.into_iter().chain([narrow(pages)?, narrow(start)?]) {
        blob.extend(word.to_be_bytes());
    }
    // 32 bytes of SHA-256, no platform, pages of 2^12.
    blob.extend([32, 2, 0, 12]);
    // Spare, scatter, team, spare; then the limit in 64 bits, unused.
    blob.extend([0; 4 * 4 + 8]);
    blob.extend(text.offset.to_be_bytes());
    blob.extend(text.size.to_be_bytes());
    blob.extend(u64::from(macho.file_type == 2).to_be_bytes());
    blob.extend(identifier.as_bytes());
    blob.push(0);
    for page in out.chunks(PAGE) {
        blob.extend(Sha256::digest(page));
    }
    blob.resize(size, 0);
    out.extend(blob);
    Ok(out)
}
