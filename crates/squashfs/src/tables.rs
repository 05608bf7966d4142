//! The tables of a new image: inodes, directory listings, and their indexes.

use std::io;

use crate::{LISTING_SIZE_EXTRA, METADATA, NAMES_PER_HEADER, UNCOMPRESSED_METADATA};

/// The modification time of all files, as in the Nix store.
pub(crate) const MODIFIED: u32 = 1;

/// The type of a node, with its content.
pub(crate) enum Kind {
    Directory(Vec<Node>),
    File { executable: bool, start: u64, size: u64, blocks: Vec<u32>, fragment: u32, offset: u32 },
    Link(Vec<u8>),
}

/// A name in a directory, with everything below it.
pub(crate) struct Node {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
}

/// A location in a table: the offset of the metadata block, and the offset in it.
#[derive(Clone, Copy)]
pub(crate) struct MetadataRef {
    block: u32,
    offset: u16,
}

impl MetadataRef {
    pub(crate) fn packed(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// A table of metadata blocks. They are not compressed, because the kernel caches only eight
/// of them and programs open files in random order. Uploading the image compresses them.
pub(crate) struct Table {
    bytes: Vec<u8>,
    pending: Vec<u8>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), pending: Vec::with_capacity(METADATA) }
    }

    fn position(&self) -> io::Result<MetadataRef> {
        let block = u32::try_from(self.bytes.len()).map_err(too_large)?;
        Ok(MetadataRef { block, offset: u16::try_from(self.pending.len()).map_err(too_large)? })
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
        self.bytes.extend((length | UNCOMPRESSED_METADATA).to_le_bytes());
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

/// Appends `entries` as metadata blocks and the index of those blocks to `tables`, which
/// starts at offset `base` of the image; returns the offset of the index.
pub(crate) fn append(tables: &mut Vec<u8>, entries: &[u8], base: u64) -> io::Result<u64> {
    let mut index = Vec::new();
    for block in entries.chunks(METADATA) {
        index.extend((base + tables.len() as u64).to_le_bytes());
        let mut table = Table::new();
        table.write(block)?;
        tables.extend(table.finish()?);
    }
    let at = base + tables.len() as u64;
    tables.extend(index);
    Ok(at)
}

/// The tables of inodes and directory listings.
pub(crate) struct Tables {
    pub(crate) inodes: Table,
    pub(crate) listings: Table,
    /// The locations of the inodes, by their numbers, which start at one.
    pub(crate) inode_refs: Vec<MetadataRef>,
}

impl Tables {
    /// Writes `node` and everything below it; returns its location and number.
    pub(crate) fn write(&mut self, node: &Node, parent: u32) -> io::Result<(MetadataRef, u32)> {
        let index = self.inode_refs.len();
        self.inode_refs.push(MetadataRef { block: 0, offset: 0 });
        let number = u32::try_from(index + 1).map_err(too_large)?;
        let (kind, mode, fields): (u16, u16, Vec<u8>) = match &node.kind {
            Kind::Directory(nodes) => {
                let mode = if parent == 0 { 0o755 } else { 0o555 };
                (8, mode, self.listing(nodes, number, parent)?)
            }
            Kind::File { executable, start, size, blocks, fragment, offset } => {
                // Always an extended inode, because its fields are large enough.
                let mut fields = Vec::new();
                for word in [*start, *size, 0] {
                    fields.extend(word.to_le_bytes());
                }
                for word in [1, *fragment, *offset, u32::MAX].iter().chain(blocks) {
                    fields.extend(word.to_le_bytes());
                }
                (9, if *executable { 0o555 } else { 0o444 }, fields)
            }
            Kind::Link(target) => {
                let length = u32::try_from(target.len()).map_err(too_large)?;
                let mut fields = [1_u32.to_le_bytes(), length.to_le_bytes()].concat();
                fields.extend(target);
                (3, 0o777, fields)
            }
        };
        let inode_ref = self.inodes.position()?;
        self.inode_refs[index] = inode_ref;
        let mut bytes = Vec::with_capacity(16 + fields.len());
        // The indexes of the user and the group in the table of IDs.
        for word in [kind, mode, 0, 1] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(MODIFIED.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        bytes.extend(fields);
        self.inodes.write(&bytes)?;
        Ok((inode_ref, number))
    }

    /// Writes the nodes of a directory and its listing; returns the remaining fields of its inode.
    fn listing(&mut self, nodes: &[Node], number: u32, parent: u32) -> io::Result<Vec<u8>> {
        let mut written = Vec::with_capacity(nodes.len());
        for node in nodes {
            written.push(self.write(node, number)?);
        }
        let start = self.listings.position()?;
        let (mut at, mut size, mut index) = (0, 0, Index::default());
        while at < nodes.len() {
            let (first, base) = written[at];
            let fits = |(inode_ref, number): &(MetadataRef, u32)| {
                inode_ref.block == first.block && number.abs_diff(base) <= i16::MAX.unsigned_abs().into()
            };
            let count = written[at..].iter().take(NAMES_PER_HEADER).take_while(|entry| fits(entry)).count();
            if at > 0 {
                index.add(size, self.listings.position()?, &nodes[at].name)?;
            }
            let mut bytes = Vec::new();
            for word in [u32::try_from(count - 1).map_err(too_large)?, first.block, base] {
                bytes.extend(word.to_le_bytes());
            }
            for (node, (inode_ref, number)) in nodes[at..].iter().zip(&written[at..]).take(count) {
                let kind: u16 = match node.kind {
                    Kind::Directory(_) => 1,
                    Kind::File { .. } => 2,
                    Kind::Link(_) => 3,
                };
                let delta = u16::try_from(number - base).map_err(too_large)?;
                let length = u16::try_from(node.name.len() - 1).map_err(too_large)?;
                for word in [inode_ref.offset, delta, kind, length] {
                    bytes.extend(word.to_le_bytes());
                }
                bytes.extend(&node.name);
            }
            self.listings.write(&bytes)?;
            size += bytes.len();
            at += count;
        }
        let directories = nodes.iter().filter(|node| matches!(node.kind, Kind::Directory(_))).count();
        let size = u32::try_from(size + LISTING_SIZE_EXTRA).map_err(too_large)?;
        let mut fields = Vec::new();
        for word in [u32::try_from(directories + 2).map_err(too_large)?, size, start.block, parent] {
            fields.extend(word.to_le_bytes());
        }
        for word in [index.count, start.offset] {
            fields.extend(word.to_le_bytes());
        }
        fields.extend(u32::MAX.to_le_bytes());
        fields.extend(index.bytes);
        Ok(fields)
    }
}

/// The index of a directory listing. Without it, the kernel reads the listing of a large
/// directory from its start to look up a name.
#[derive(Default)]
struct Index {
    count: u16,
    /// The listing offset of the last entry.
    last: usize,
    bytes: Vec<u8>,
}

impl Index {
    /// Adds the header at `offset` of the listing, with its location in the table and its first
    /// name, if it is at least a metadata block after the last entry.
    fn add(&mut self, offset: usize, position: MetadataRef, name: &[u8]) -> io::Result<()> {
        if offset - self.last < METADATA || self.count == u16::MAX {
            return Ok(());
        }
        let length = u32::try_from(name.len() - 1).map_err(too_large)?;
        for word in [u32::try_from(offset).map_err(too_large)?, position.block, length] {
            self.bytes.extend(word.to_le_bytes());
        }
        self.bytes.extend(name);
        (self.count, self.last) = (self.count + 1, offset);
        Ok(())
    }
}

/// The error of a number that exceeds a field of the format.
pub(crate) fn too_large(_: std::num::TryFromIntError) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "a size or count exceeds the limits of squashfs")
}
