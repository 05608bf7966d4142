//! The version resource of a PE file (Microsoft, "PE Format", "The .rsrc Section", and
//! `VS_VERSIONINFO`).

use crate::binary::Image;
use crate::pe::headers::Headers;
use crate::source::ReadAt;

/// A version of four numbers, as Windows compares it.
pub type FileVersion = [u16; 4];

/// Index of the data directory.
const RESOURCES: usize = 2;
/// `RT_VERSION`.
const VERSION: u32 = 16;
/// Marks a resource entry that leads to another table.
const IS_TABLE: u32 = 0x8000_0000;
/// No table of resources that is searched has more entries.
const LIMIT_ENTRIES: u64 = 4096;

/// The file version (`VS_FIXEDFILEINFO`) of a PE file; `None` if it has none or cannot be
/// read.
pub fn file_version(source: &(impl ReadAt + ?Sized)) -> Option<FileVersion> {
    let image = Image::new(source).ok()?;
    let headers = Headers::read(&image).ok().flatten()?;
    let root = headers.locate_directory(RESOURCES)?;
    // Three levels: type, name, language.
    let names = entry(&image, root, 0, Some(VERSION))?;
    let languages = entry(&image, root, names.checked_sub(IS_TABLE)?, None)?;
    let leaf = entry(&image, root, languages.checked_sub(IS_TABLE)?, None)?;
    let place = image.bytes("a resource", root.checked_add(leaf.into())?, 8).ok()?;
    let address = image.view(&place).u32(0)?;
    // Three lengths, `VS_VERSION_INFO` in UTF-16, padding, then the fixed part.
    let bytes = image.bytes("the version resource", headers.locate(address.into())?, 40 + 16).ok()?;
    let view = image.view(&bytes);
    let (high, low) = (view.u32(48)?, view.u32(52)?);
    let half =
        |number: u32| [number >> 16, number & 0xffff].map(|half| u16::try_from(half).unwrap_or_default());
    let ([major, minor], [build, revision]) = (half(high), half(low));
    (view.u32(40)? == 0xfeef_04bd).then_some([major, minor, build, revision])
}

/// What the entry `id` of the resource table at `root + table` refers to; without an ID, the
/// first entry.
fn entry<S: ReadAt + ?Sized>(image: &Image<'_, S>, root: u64, table: u32, id: Option<u32>) -> Option<u32> {
    let at = root.checked_add(table.into())?;
    let head = image.bytes("a resource table", at, 16).ok()?;
    let counts = [12, 14].map(|at| u64::from(image.view(&head).u16(at).unwrap_or_default()));
    let count = (counts[0] + counts[1]).min(LIMIT_ENTRIES);
    let entries = image.bytes("a resource table", at + 16, count * 8).ok()?;
    let mut pairs = entries.chunks_exact(8).map(|entry| {
        let view = image.view(entry);
        (view.u32(0).unwrap_or_default(), view.u32(4).unwrap_or_default())
    });
    pairs.find(|(found, _)| id.is_none_or(|id| id == *found)).map(|(_, to)| to)
}
