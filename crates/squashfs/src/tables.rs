//! The tables of an image that is written: inodes, listings, and what finds them.

use std::io;

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

/// A table of metadata blocks. They are not compressed: the kernel keeps eight of them
/// at a time, and programs open files in no order. What carries an image compresses them.
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

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = bytes.len().min(METADATA - self.pending.len());
            self.pending.extend(&bytes[..count]);
            bytes = &bytes[count..];
            if self.pending.len() == METADATA {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        let length = u16::try_from(self.pending.len()).map_err(too_large)?;
        self.bytes.extend((length | PLAIN_METADATA).to_le_bytes());
        self.bytes.append(&mut self.pending);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        if !self.pending.is_empty() {
            self.end_block()?;
        }
        Ok(self.bytes)
    }
}

/// Appends `entries` in metadata blocks to `rest`, which begins at `base`, and the
/// index of those blocks; gives where the index is.
pub(crate) fn append(rest: &mut Vec<u8>, entries: &[u8], base: u64) -> io::Result<u64> {
    let mut index = Vec::new();
    for block in entries.chunks(METADATA) {
        index.extend((base + rest.len() as u64).to_le_bytes());
        let mut table = Table::new();
        table.write(block)?;
        rest.extend(table.finish()?);
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
        self.inodes.write(&bytes)?;
        Ok((place, number))
    }

    /// Writes what is in a directory, and its listing; gives the rest of its inode.
    fn listing(&mut self, nodes: &[Node], number: u32, parent: u32) -> io::Result<Vec<u8>> {
        let mut written = Vec::with_capacity(nodes.len());
        for node in nodes {
            written.push(self.write(node, number)?);
        }
        let start = self.listings.place()?;
        let (mut at, mut size, mut index) = (0, 0, Index::default());
        while at < nodes.len() {
            let (first, base) = written[at];
            let fits = |(place, number): &(Place, u32)| {
                place.block == first.block && number.abs_diff(base) <= i16::MAX.unsigned_abs().into()
            };
            let count = written[at..].iter().take(NAMES).take_while(|entry| fits(entry)).count();
            if at > 0 {
                index.add(size, self.listings.place()?, &nodes[at].name)?;
            }
            let mut bytes = Vec::new();
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
            self.listings.write(&bytes)?;
            size += bytes.len();
            at += count;
        }
        let directories = nodes.iter().filter(|node| matches!(node.kind, Kind::Directory(_))).count();
        let size = u32::try_from(size + DOTS).map_err(too_large)?;
        let mut rest = Vec::new();
        for word in [u32::try_from(directories + 2).map_err(too_large)?, size, start.block, parent] {
            rest.extend(word.to_le_bytes());
        }
        for word in [index.count, start.offset] {
            rest.extend(word.to_le_bytes());
        }
        rest.extend(u32::MAX.to_le_bytes());
        rest.extend(index.bytes);
        Ok(rest)
    }
}

/// The index of a listing: from where on to look for a name. Without it the kernel
/// reads the listing of a large directory from its start for each name.
#[derive(Default)]
struct Index {
    count: u16,
    /// The offset within the listing of the last entry.
    last: usize,
    bytes: Vec<u8>,
}

impl Index {
    /// Notes that the header at `offset` of the listing, and at `place` of the table,
    /// has `name` first, if it is a metadata block behind the one noted before.
    fn add(&mut self, offset: usize, place: Place, name: &[u8]) -> io::Result<()> {
        if offset - self.last < METADATA || self.count == u16::MAX {
            return Ok(());
        }
        let length = u32::try_from(name.len() - 1).map_err(too_large)?;
        for word in [u32::try_from(offset).map_err(too_large)?, place.block, length] {
            self.bytes.extend(word.to_le_bytes());
        }
        self.bytes.extend(name);
        (self.count, self.last) = (self.count + 1, offset);
        Ok(())
    }
}

/// The error of a number that the format has no room for.
pub(crate) fn too_large(_: std::num::TryFromIntError) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "more than an image can hold")
}
