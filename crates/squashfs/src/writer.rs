//! Writes an image in one pass: the data first, then the tables.

use std::io::{self, Read, Seek, SeekFrom, Write};

use zstd::bulk::Compressor;

use crate::tables::{Kind, MODIFIED, Node, Table, Tables, append, too_large};
use crate::{MAGIC, MAX_LINK_TARGET, MAX_NAME, NO_FRAGMENT, SUPERBLOCK, UNCOMPRESSED_DATA, ZSTD};

/// The size of data blocks. Larger ones make the image smaller, but the first byte of a file
/// slower to read.
const BLOCK: u32 = 256 << 10;
/// Files smaller than this share fragments of at most this size. The kernel caches only
/// three, and decompresses a whole one to read a small file.
const FRAGMENT_SIZE: usize = 64 << 10;
/// The image must fill whole sectors of a loop device.
const PADDING: u64 = 4096;
/// No extended attributes; with an export table.
const FLAGS: u16 = 0x0280;
/// The offset of an absent table.
const NONE: u64 = u64::MAX;

/// The owner of everything in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user ID.
    pub uid: u32,
    /// The group ID.
    pub gid: u32,
}

/// Writes an image. Names must be added in byte order.
pub struct Writer<W> {
    to: W,
    at: u64,
    owner: Owner,
    compressor: Compressor<'static>,
    block: Vec<u8>,
    packed: Vec<u8>,
    /// The fragment that is not full yet.
    fragment: Vec<u8>,
    /// Offsets and sizes of the written fragments.
    fragments: Vec<(u64, u32)>,
    /// The open directories, starting with the root.
    open: Vec<Node>,
}

impl<W: Write + Seek> Writer<W> {
    /// Starts an image in `to`, which must be empty, with the zstd compression level `level`.
    pub fn new(mut to: W, owner: Owner, level: i32) -> io::Result<Self> {
        to.write_all(&[0; SUPERBLOCK])?;
        let root = Node { name: Vec::new(), kind: Kind::Directory(Vec::new()) };
        Ok(Self {
            to,
            at: SUPERBLOCK as u64,
            owner,
            compressor: Compressor::new(level)?,
            block: vec![0; BLOCK as usize],
            packed: Vec::with_capacity(zstd::zstd_safe::compress_bound(BLOCK as usize)),
            fragment: Vec::with_capacity(FRAGMENT_SIZE),
            fragments: Vec::new(),
            open: vec![root],
        })
    }

    /// Opens a directory, to which everything is added until [`Self::end`].
    pub fn directory(&mut self, name: &[u8]) -> io::Result<()> {
        let node = Node { name: self.check_name(name)?, kind: Kind::Directory(Vec::new()) };
        self.open.push(node);
        Ok(())
    }

    /// Closes the directory opened last.
    pub fn end(&mut self) -> io::Result<()> {
        if self.open.len() < 2 {
            return Err(misuse("no directory is open"));
        }
        let node = self.open.pop().ok_or_else(|| misuse("no directory is open"))?;
        self.add(node)
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &[u8], target: &[u8]) -> io::Result<()> {
        if target.is_empty() || target.len() > MAX_LINK_TARGET {
            return Err(misuse("the target of a link is empty or too long"));
        }
        let node = Node { name: self.check_name(name)?, kind: Kind::Link(target.to_vec()) };
        self.add(node)
    }

    /// Adds a file with the given content.
    pub fn file(&mut self, name: &[u8], executable: bool, mut content: impl Read) -> io::Result<()> {
        let name = self.check_name(name)?;
        let (start, mut size, mut blocks) = (self.at, 0, Vec::new());
        let (mut fragment, mut offset) = (NO_FRAGMENT, 0);
        loop {
            let mut block = std::mem::take(&mut self.block);
            let read = fill(&mut content, &mut block);
            self.block = block;
            let length = read?;
            size += length as u64;
            if length > 0 && length < FRAGMENT_SIZE && blocks.is_empty() {
                (fragment, offset) = self.add_fragment(length)?;
            } else if length > 0 {
                let block = std::mem::take(&mut self.block);
                let written = self.write_block(&block[..length]);
                self.block = block;
                blocks.push(written?);
            }
            if length < BLOCK as usize {
                break;
            }
        }
        self.add(Node { name, kind: Kind::File { executable, start, size, blocks, fragment, offset } })
    }

    /// Closes all directories and discards the entry `name` of the root, even if it is
    /// incomplete. Its data stays in the image, unreferenced.
    pub fn abandon(&mut self, name: &[u8]) {
        self.open.truncate(1);
        if let Some(Kind::Directory(nodes)) = self.open.last_mut().map(|node| &mut node.kind)
            && nodes.last().is_some_and(|last| last.name == name)
        {
            nodes.pop();
        }
    }

    /// Writes the tables; returns the underlying writer and the size of the image.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        if !self.fragment.is_empty() {
            self.end_fragment()?;
        }
        let root = match self.open.pop() {
            Some(root) if self.open.is_empty() => root,
            _ => return Err(misuse("a directory is still open")),
        };
        let mut tables = Tables { inodes: Table::new(), listings: Table::new(), inode_refs: Vec::new() };
        let (root, _) = tables.write(&root, 0)?;
        let Tables { inodes, listings, inode_refs } = tables;
        let count = u32::try_from(inode_refs.len()).map_err(too_large)?;
        let inode_table = self.at;
        let inodes = inodes.finish()?;
        let directory_table = inode_table + inodes.len() as u64;
        let listings = listings.finish()?;
        let mut tables = [inodes, listings].concat();
        let mut fragment_table = NONE;
        if !self.fragments.is_empty() {
            let entries = self.fragments.iter().flat_map(|(start, size)| {
                let mut entry = start.to_le_bytes().to_vec();
                entry.extend(u64::from(*size).to_le_bytes());
                entry
            });
            let entries: Vec<u8> = entries.collect();
            fragment_table = append(&mut tables, &entries, inode_table)?;
        }
        // With an export table the kernel finds inodes by number, so that an overlay keeps the
        // inode number of a file that it copies up. Nix recognises hard links by that.
        let inode_refs: Vec<u8> =
            inode_refs.iter().flat_map(|inode_ref| inode_ref.packed().to_le_bytes()).collect();
        let export_table = append(&mut tables, &inode_refs, inode_table)?;
        let ids = [self.owner.uid.to_le_bytes(), self.owner.gid.to_le_bytes()].concat();
        let id_table = append(&mut tables, &ids, inode_table)?;
        self.to.write_all(&tables)?;
        let bytes = inode_table + tables.len() as u64;
        let padding = bytes.next_multiple_of(PADDING) - bytes;
        self.to.write_all(&vec![0; usize::try_from(padding).unwrap_or_default()])?;
        let mut superblock = Vec::with_capacity(SUPERBLOCK);
        for word in [MAGIC, count, MODIFIED, BLOCK, u32::try_from(self.fragments.len()).map_err(too_large)?] {
            superblock.extend(word.to_le_bytes());
        }
        let log = u16::try_from(BLOCK.ilog2()).map_err(too_large)?;
        for word in [ZSTD, log, FLAGS, 2, 4, 0] {
            superblock.extend(word.to_le_bytes());
        }
        for word in
            [root.packed(), bytes, id_table, NONE, inode_table, directory_table, fragment_table, export_table]
        {
            superblock.extend(word.to_le_bytes());
        }
        self.to.seek(SeekFrom::Start(0))?;
        self.to.write_all(&superblock)?;
        self.to.flush()?;
        Ok((self.to, bytes + padding))
    }

    fn check_name(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let valid = !name.is_empty() && name.len() <= MAX_NAME && !name.contains(&b'/') && !name.contains(&0);
        let last = match self.open.last().map(|node| &node.kind) {
            Some(Kind::Directory(nodes)) => nodes.last(),
            _ => None,
        };
        if !valid || name == b"." || name == b".." || last.is_some_and(|last| last.name.as_slice() >= name) {
            return Err(misuse("names must be valid and in byte order"));
        }
        Ok(name.to_vec())
    }

    fn add(&mut self, node: Node) -> io::Result<()> {
        match self.open.last_mut().map(|node| &mut node.kind) {
            Some(Kind::Directory(nodes)) => nodes.push(node),
            _ => return Err(misuse("no directory is open")),
        }
        Ok(())
    }

    /// Writes a block of data; returns its size in the format of inodes.
    fn write_block(&mut self, block: &[u8]) -> io::Result<u32> {
        self.packed.clear();
        self.compressor.compress_to_buffer(block, &mut self.packed)?;
        let plain = self.packed.len() >= block.len();
        let bytes = if plain { block } else { &self.packed };
        self.to.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(u32::try_from(bytes.len()).map_err(too_large)? | if plain { UNCOMPRESSED_DATA } else { 0 })
    }

    /// Adds the first `length` bytes of the block to a fragment.
    fn add_fragment(&mut self, length: usize) -> io::Result<(u32, u32)> {
        if self.fragment.len() + length > FRAGMENT_SIZE {
            self.end_fragment()?;
        }
        let offset = u32::try_from(self.fragment.len()).map_err(too_large)?;
        self.fragment.extend(&self.block[..length]);
        Ok((u32::try_from(self.fragments.len()).map_err(too_large)?, offset))
    }

    fn end_fragment(&mut self) -> io::Result<()> {
        let start = self.at;
        let fragment = std::mem::take(&mut self.fragment);
        let size = self.write_block(&fragment)?;
        self.fragments.push((start, size));
        self.fragment = fragment;
        self.fragment.clear();
        Ok(())
    }
}

fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < to.len() {
        match from.read(&mut to[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn misuse(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
