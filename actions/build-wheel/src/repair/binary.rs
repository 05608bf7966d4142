//! Programs and libraries in a wheel: detected by their first bytes, edited,
//! and checked for their requirements.

use std::collections::BTreeSet;

use binfmt::binary::Format;
use binfmt::pe::PeInfo;
use pydist::zip::Content;

use super::binary_error::BinaryError;
use super::elf::{self, EditedElf};
use super::macho::{self, EditedMachO};
use super::options::Options;
use super::surroundings::Surroundings;

/// A binary after its edit.
pub(super) enum EditedBinary {
    Elf(Box<EditedElf>),
    MachO(Box<EditedMachO>),
    /// PE files are not edited.
    Pe(Box<PeInfo>),
}

/// Edits `content` if it is a binary. `name` is the member's path.
pub(super) fn edit(
    content: &mut Content,
    name: &str,
    wheel: &mut Surroundings<'_>,
) -> Result<Option<EditedBinary>, BinaryError> {
    let head = content.head(8).map_err(binfmt::binary::BinaryError::Io)?;
    Ok(match Format::detect(&head) {
        Some(Format::Elf) => Some(EditedBinary::Elf(Box::new(elf::edit(content, name, wheel)?))),
        Some(Format::MachO) => Some(EditedBinary::MachO(Box::new(macho::edit(content, name, wheel)?))),
        // Files that only look like PE are left to verify-dist's rules.
        Some(Format::Pe) => PeInfo::read(content).ok().flatten().map(|pe| EditedBinary::Pe(Box::new(pe))),
        Some(Format::Archive | Format::Wasm) | None => None,
    })
}

/// Removes Nix store paths from an ELF file in place. Returns the changes.
pub fn edit_elf_in_place(data: &mut Vec<u8>) -> Result<Vec<String>, BinaryError> {
    let (mut files, mut grafts) = (BTreeSet::new(), None);
    let mut wheel =
        Surroundings { remove_rpaths: false, exclude: &[], files: &mut files, grafts: &mut grafts };
    Ok(elf::edit(data, "", &mut wheel)?.edit.changes)
}

/// Removes Nix store paths from a single binary. Returns `None` if nothing had
/// to change. `identifier` is used for a new signature.
pub fn edit_binary(data: Vec<u8>, identifier: &str) -> Result<Option<Vec<u8>>, BinaryError> {
    let options = Options::default();
    let read_error = |error| BinaryError::Read(binfmt::binary::BinaryError::Io(error));
    let mut content = Content::from_vec(data, &options.scratch).map_err(read_error)?;
    let (mut files, mut grafts) = (BTreeSet::new(), None);
    let mut wheel =
        Surroundings { remove_rpaths: false, exclude: &[], files: &mut files, grafts: &mut grafts };
    let changes = match edit(&mut content, identifier, &mut wheel)? {
        Some(EditedBinary::Elf(elf)) => elf.edit.changes,
        Some(EditedBinary::MachO(macho)) => macho.edit.changes,
        Some(EditedBinary::Pe(_)) | None => Vec::new(),
    };
    if changes.is_empty() { Ok(None) } else { content.into_vec().map(Some).map_err(read_error) }
}
