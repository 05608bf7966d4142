//! Programs and libraries in a wheel: told apart by their first bytes, edited,
//! and asked what they need.

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
pub(super) enum Edited {
    Elf(Box<EditedElf>),
    MachO(Box<EditedMachO>),
    /// Nothing in it is edited.
    Pe(Box<PeInfo>),
}

/// Edits `content` if it is a binary. `name` is the member's path.
pub(super) fn edit(
    content: &mut Content,
    name: &str,
    wheel: &mut Surroundings<'_>,
) -> Result<Option<Edited>, BinaryError> {
    let head = content.head(8).map_err(binfmt::binary::BinaryError::Io)?;
    Ok(match Format::detect(&head) {
        Some(Format::Elf) => Some(Edited::Elf(Box::new(elf::edit(content, name, wheel)?))),
        Some(Format::MachO) => Some(Edited::MachO(Box::new(macho::edit(content, name, wheel)?))),
        // What is only like one is the rules' to judge.
        Some(Format::Pe) => PeInfo::read(content).ok().flatten().map(|pe| Edited::Pe(Box::new(pe))),
        Some(Format::Archive | Format::Wasm) | None => None,
    })
}

/// Takes the Nix store out of an ELF file in place; gives what was changed.
pub fn edit_elf_in_place(data: &mut Vec<u8>) -> Result<Vec<String>, BinaryError> {
    let (mut files, mut grafts) = (BTreeSet::new(), None);
    let mut wheel =
        Surroundings { remove_rpaths: false, exclude: &[], files: &mut files, grafts: &mut grafts };
    Ok(elf::edit(data, "", &mut wheel)?.edit.changes)
}

/// A binary by itself, without the Nix store; `None` where nothing had to
/// change. `identifier` is for a new signature.
pub fn edit_binary(data: &[u8], identifier: &str) -> Result<Option<Vec<u8>>, BinaryError> {
    let options = Options::default();
    let unread = |error| BinaryError::Read(binfmt::binary::BinaryError::Io(error));
    let mut content = Content::copy(data, &options.scratch).map_err(unread)?;
    let (mut files, mut grafts) = (BTreeSet::new(), None);
    let mut wheel =
        Surroundings { remove_rpaths: false, exclude: &[], files: &mut files, grafts: &mut grafts };
    let changes = match edit(&mut content, identifier, &mut wheel)? {
        Some(Edited::Elf(elf)) => elf.edit.changes,
        Some(Edited::MachO(macho)) => macho.edit.changes,
        Some(Edited::Pe(_)) | None => Vec::new(),
    };
    if changes.is_empty() { Ok(None) } else { content.to_vec().map(Some).map_err(unread) }
}
