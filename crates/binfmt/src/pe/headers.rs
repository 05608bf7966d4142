//! The headers of a PE file and its sections.

use crate::binary::{BinaryError, Image};
use crate::source::ReadAt;

/// What the headers say about the rest of the file.
pub(super) struct Headers {
    /// `Machine` and `Characteristics` of the COFF header.
    pub(super) machine: u16,
    pub(super) flags: u16,
    /// PE32+.
    pub(super) is_64: bool,
    /// Where the linker expects the file in memory.
    pub(super) image_base: u64,
    /// Where the checksum of the whole file is.
    pub(super) checksum: u64,
    /// The addresses of the data directories, relative to the image; 0 for an empty one.
    directories: Vec<u32>,
    /// `VirtualSize`, `VirtualAddress`, `SizeOfRawData` and `PointerToRawData`.
    sections: Vec<[u64; 4]>,
}

impl Headers {
    /// `None` for a DOS program.
    pub(super) fn read<S: ReadAt + ?Sized>(image: &Image<'_, S>) -> Result<Option<Self>, BinaryError> {
        let dos = image.up_to("the DOS header", 0, 64)?;
        if !dos.starts_with(b"MZ") {
            return Err(BinaryError::Format("a PE file"));
        }
        let Some(start) = image.view(&dos).u32(60).map(u64::from) else { return Ok(None) };
        let Ok(head) = image.bytes("the PE header", start, 24) else { return Ok(None) };
        if !head.starts_with(b"PE\0\0") {
            return Ok(None);
        }
        let view = image.view(&head);
        let damaged = || BinaryError::Damaged { what: "the PE header", offset: start };
        let number = |at| view.u16(at).ok_or_else(damaged);
        let (machine, sections, optional_size, flags) = (number(4)?, number(6)?, number(20)?, number(22)?);
        let optional = image.bytes("the optional header", start + 24, optional_size.into())?;
        let optional = image.view(&optional);
        let is_64 = optional.u16(0) == Some(0x20b);
        let image_base = if is_64 { optional.u64(24) } else { optional.u32(28).map(u64::from) };
        // `NumberOfRvaAndSizes`, then that many directories; Windows reads up to 16.
        let first = if is_64 { 112 } else { 96 };
        let count = optional.u32(first - 4).unwrap_or_default().min(16) as usize;
        let directory = |index: usize| optional.u32(first + index * 8).unwrap_or_default();
        let sections = Self::read_sections(image, start + 24 + u64::from(optional_size), sections)?;
        Ok(Some(Self {
            machine,
            flags,
            is_64,
            image_base: image_base.unwrap_or_default(),
            checksum: start + 24 + 64,
            directories: (0..count).map(directory).collect(),
            sections,
        }))
    }

    fn read_sections<S: ReadAt + ?Sized>(
        image: &Image<'_, S>,
        at: u64,
        count: u16,
    ) -> Result<Vec<[u64; 4]>, BinaryError> {
        let table = image.bytes("the section table", at, u64::from(count) * 40)?;
        let section = |bytes| {
            let view = image.view(bytes);
            [8, 12, 16, 20].map(|at| view.u32(at).unwrap_or_default().into())
        };
        let sections: Vec<[u64; 4]> = table.chunks_exact(40).map(section).collect();
        // SizeOfRawData is rounded up, but the linker pads the file too.
        let cut = |section: &&[u64; 4]| section[3] != 0 && image.slice(section[3], section[2]).is_none();
        match sections.iter().find(cut) {
            Some(section) => Err(BinaryError::Damaged { what: "a section", offset: section[3] }),
            None => Ok(sections),
        }
    }

    /// The address of a data directory, relative to the image; `None` if the file does
    /// not have it.
    pub(super) fn directory(&self, index: usize) -> Option<u32> {
        self.directories.get(index).copied().filter(|address| *address != 0)
    }

    /// Where a data directory is in the file.
    pub(super) fn locate_directory(&self, index: usize) -> Option<u64> {
        self.locate(self.directory(index)?.into())
    }

    /// Where an address, relative to the image, is in the file.
    pub(super) fn locate(&self, address: u64) -> Option<u64> {
        self.sections.iter().find_map(|[_, start, size, offset]| {
            let within = address.checked_sub(*start)?;
            (within < *size).then_some(offset + within)
        })
    }
}
