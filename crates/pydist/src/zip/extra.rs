//! The extra fields of a header.

use super::fault::Fault;
use super::fields::Fields;

/// `ZIP64` and Unicode Path, which a member may have only once.
const SINGLE: [u16; 2] = [1, UNICODE_PATH];
const UNICODE_PATH: u16 = 0x7075;

/// The extra fields by id; `None` if they are cut off or one is duplicate.
pub(super) fn extra_fields(mut extra: &[u8]) -> Option<Vec<(u16, &[u8])>> {
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

/// Replaces values that are all ones with those of the central directory's zip64
/// field. Returns `false` if the field is too short.
pub(super) fn central_zip64(extra: &[(u16, &[u8])], values: &mut [&mut u64]) -> bool {
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
/// `utils/zipfiles.py`): the field's compressed size applies even if the header
/// has one, and a field with one size is valid for stored members only.
pub(super) fn local_zip64(extra: &[(u16, &[u8])], method: u16, size: &mut u64, compressed: &mut u64) -> bool {
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

/// Reports the name of a Unicode Path field if it differs from `name`.
/// Python 3.12 and later and unzip use it, older Pythons do not.
pub(super) fn unicode_path(extra: &[(u16, &[u8])], name: &str, faults: &mut Vec<Fault>) {
    let Some((_, body)) = extra.iter().find(|(id, _)| *id == UNICODE_PATH) else { return };
    // A version, the checksum of the header's name, then the name.
    let other = String::from_utf8_lossy(body.get(5..).unwrap_or_default());
    if other.contains(|c: char| c.is_ascii_control() || c == char::REPLACEMENT_CHARACTER) {
        faults.push(Fault::Extra(name.to_owned()));
    }
    if other != name {
        faults.push(Fault::UnicodePath { name: name.to_owned(), other: other.into_owned() });
    }
}
