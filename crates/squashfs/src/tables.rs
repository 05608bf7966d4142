//! The tables of an image that is written: inodes, listings, and what finds them.

use std::io;

use zstd::bulk::Compressor;

use crate::{DOTS, METADATA, NAMES, PLAIN_METADATA};

/// What Nix gives all files of its store.
pub(crate) const MODIFIED: u32 = 1;

/// What a node is.
pub(crate) enum Kind {
    Directory(Vec<Node>),
    File { executable: bool, start: u64, size: u64, blocks: Vec<u32>, fragment: u32, offset: u32 },
    Link(Vec<u8>),
}

/// A name in a directory, with all that is below it.
pub(crate) struct Node {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
}

/// A place in a table: the offset of its metadata block, and that within it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    block: u32,
    offset: u16,
}

impl Place {
    pub(crate) fn packed(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// A table of metadata blocks.
pub(crate) struct Table {
    bytes: Vec<u8>,
    pending: Vec<u8>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), pending: Vec::with_capacity(METADATA) }
    }

    fn place(&self) -> io::Result<Place> {
        let block = u32::try_from(self.bytes.len()).map_err(too_large)?;
        Ok(Place { block, offset: u16::try_from(self.pending.len()).map_err(too_large)? })
    }

    fn write(&mut self, mut bytes: &[u8], packer: &mut Compressor<'static>) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = bytes.len().min(METADATA - self.pending.len());
            self.pending.extend(&bytes[..count]);
            bytes = &bytes[count..];
            if self.pending.len() == METADATA {
                self.end_block(packer)?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self, packer: &mut Compressor<'static>) -> io::Result<()> {
        let smaller = packer.compress(&self.pending)?;
        let plain = smaller.len() >= self.pending.len();
        let bytes = if plain { &self.pending } else { &smaller };
        let length = u16::try_from(bytes.len()).map_err(too_large)?;
        self.bytes.extend((length | if plain { PLAIN_METADATA } else { 0 }).to_le_bytes());
        self.bytes.extend(bytes);
        self.pending.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self, packer: &mut Compressor<'static>) -> io::Result<Vec<u8>> {
        if !self.pending.is_empty() {
            self.end_block(packer)?;
        }
        Ok(self.bytes)
    }
}

/// Appends `entries` in metadata blocks to `rest`, which begins at `base`, and the
/// index of those blocks; gives where the index is.
pub(crate) fn append(
    rest: &mut Vec<u8>,
    entries: &[u8],
    base: u64,
    packer: &mut Compressor<'static>,
) -> io::Result<u64> {
    let mut index = Vec::new();
    for block in entries.chunks(METADATA) {
        index.extend((base + rest.len() as u64).to_le_bytes());
        let mut table = Table::new();
        table.write(block, packer)?;
        rest.extend(table.finish(packer)?);
    }
    let at = base + rest.len() as u64;
    rest.extend(index);
    Ok(at)
}

/// The tables of inodes and of directories' listings.
pub(crate) struct Tables {
    pub(crate) inodes: Table,
    pub(crate) listings: Table,
    /// Of the inodes, by their numbers, which begin at one.
    pub(crate) places: Vec<Place>,
    pub(crate) packer: Compressor<'static>,
}

impl Tables {
    /// Writes `node` with all that is below it; gives its place and number.
    pub(crate) fn write(&mut self, node: &Node, parent: u32) -> io::Result<(Place, u32)> {
        let index = self.places.len();
        self.places.push(Place { block: 0, offset: 0 });
        let number = u32::try_from(index + 1).map_err(too_large)?;
        let (kind, mode, rest): (u16, u16, Vec<u8>) = match &node.kind {
            Kind::Directory(nodes) => {
                let mode = if parent == 0 { 0o755 } else { 0o555 };
                (8, mode, self.listing(nodes, number, parent)?)
            }
            Kind::File { executable, start, size, blocks, fragment, offset } => {
                // Always an extended one: its numbers have room.
                let mut rest = Vec::new();
                for word in [*start, *size, 0] {
                    rest.extend(word.to_le_bytes());
                }
                for word in [1, *fragment, *offset, u32::MAX].iter().chain(blocks) {
                    rest.extend(word.to_le_bytes());
                }
                (9, if *executable { 0o555 } else { 0o444 }, rest)
            }
            Kind::Link(target) => {
                let length = u32::try_from(target.len()).map_err(too_large)?;
                let mut rest = [1_u32.to_le_bytes(), length.to_le_bytes()].concat();
                rest.extend(target);
                (3, 0o777, rest)
            }
        };
        let place = self.inodes.place()?;
        self.places[index] = place;
        let mut bytes = Vec::with_capacity(16 + rest.len());
        // The user's number is the first of the table of numbers, the group's the second.
        for word in [kind, mode, 0, 1] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(MODIFIED.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        bytes.extend(rest);
        self.inodes.write(&bytes, &mut self.packer)?;
        Ok((place, number))
    }

    /// Writes what is in a directory, and its listing; gives the rest of its inode.
    fn listing(&mut self, nodes: &[Node], number: u32, parent: u32) -> io::Result<Vec<u8>> {
        let mut written = Vec::with_capacity(nodes.len());
        for node in nodes {
            written.push(self.write(node, number)?);
        }
        let mut bytes: Vec<u8> = Vec::new();
        let mut at = 0;
        while at < nodes.len() {
            let (first, base) = written[at];
            let fits = |(place, number): &(Place, u32)| {
                place.block == first.block && number.abs_diff(base) <= i16::MAX.unsigned_abs().into()
            };
            let count = written[at..].iter().take(NAMES).take_while(|entry| fits(entry)).count();
            for word in [u32::try_from(count - 1).map_err(too_large)?, first.block, base] {
                bytes.extend(word.to_le_bytes());
            }
            for (node, (place, number)) in nodes[at..].iter().zip(&written[at..]).take(count) {
                let kind: u16 = match node.kind {
                    Kind::Directory(_) => 1,
                    Kind::File { .. } => 2,
                    Kind::Link(_) => 3,
                };
                let delta = u16::try_from(number - base).map_err(too_large)?;
                let length = u16::try_from(node.name.len() - 1).map_err(too_large)?;
                for word in [place.offset, delta, kind, length] {
                    bytes.extend(word.to_le_bytes());
                }
                bytes.extend(&node.name);
            }
            at += count;
        }
        let place = self.listings.place()?;
        self.listings.write(&bytes, &mut self.packer)?;
        let directories = nodes.iter().filter(|node| matches!(node.kind, Kind::Directory(_))).count();
        let size = u32::try_from(bytes.len() + DOTS).map_err(too_large)?;
        let mut rest = Vec::new();
        for word in [u32::try_from(directories + 2).map_err(too_large)?, size, place.block, parent] {
            rest.extend(word.to_le_bytes());
        }
        // No index of the listing.
        for word in [0, place.offset] {
            rest.extend(word.to_le_bytes());
        }
        rest.extend(u32::MAX.to_le_bytes());
        Ok(rest)
    }
}

/// The error of a number that the format has no room for.
pub(crate) fn too_large(_: std::num::TryFromIntError) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "more than an image can hold")
}
