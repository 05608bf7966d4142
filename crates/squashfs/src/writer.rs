//! Writes an image: data first, as it comes, and the tables behind it.

use std::io::{self, Read, Seek, SeekFrom, Write};

use zstd::bulk::Compressor;

use crate::tables::{Kind, MODIFIED, Node, Table, Tables, append, too_large};
use crate::{MAGIC, NAME, NO_FRAGMENT, PLAIN_DATA, SUPERBLOCK, TARGET, ZSTD};

/// Data is compressed in blocks of this size. Larger ones make the image smaller,
/// and the first byte of a file slower to read.
const BLOCK: u32 = 256 << 10;
/// Files smaller than this share blocks of this size. The kernel keeps three of them at
/// a time: whoever opens a small file waits for a whole one.
const SHARED: usize = 64 << 10;
/// A device's sectors must cover the image.
const PADDING: u64 = 4096;
/// No inode has extended attributes, and there is a table of inodes by number.
const FLAGS: u16 = 0x0280;
/// A table that is absent.
const NONE: u64 = u64::MAX;
/// Who owns everything in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// An image in the making. Names must come in the order of their bytes.
pub struct Writer<W> {
    to: W,
    at: u64,
    owner: Owner,
    compressor: Compressor<'static>,
    block: Vec<u8>,
    packed: Vec<u8>,
    /// The fragment that is not full yet, and those that are written: offset and size.
    fragment: Vec<u8>,
    fragments: Vec<(u64, u32)>,
    /// The directories that are open, the root first.
    open: Vec<Node>,
}

impl<W: Write + Seek> Writer<W> {
    /// An image at the start of `to`, which is empty, compressed at `level`.
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
            fragment: Vec::with_capacity(SHARED),
            fragments: Vec::new(),
            open: vec![root],
        })
    }

    /// Opens a directory; what is added goes into it until [`Self::end`].
    pub fn directory(&mut self, name: &[u8]) -> io::Result<()> {
        let node = Node { name: self.checked(name)?, kind: Kind::Directory(Vec::new()) };
        self.open.push(node);
        Ok(())
    }

    /// Closes the directory that was opened last.
    pub fn end(&mut self) -> io::Result<()> {
        if self.open.len() < 2 {
            return Err(misuse("no directory is open"));
        }
        let node = self.open.pop().ok_or_else(|| misuse("no directory is open"))?;
        self.add(node)
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &[u8], target: &[u8]) -> io::Result<()> {
        if target.is_empty() || target.len() > TARGET {
            return Err(misuse("a link's target is empty or too long"));
        }
        let node = Node { name: self.checked(name)?, kind: Kind::Link(target.to_vec()) };
        self.add(node)
    }

    /// Adds a file with all that `content` gives.
    pub fn file(&mut self, name: &[u8], executable: bool, mut content: impl Read) -> io::Result<()> {
        let name = self.checked(name)?;
        let (start, mut size, mut blocks) = (self.at, 0, Vec::new());
        let (mut fragment, mut offset) = (NO_FRAGMENT, 0);
        loop {
            let mut block = std::mem::take(&mut self.block);
            let read = fill(&mut content, &mut block);
            self.block = block;
            let length = read?;
            size += length as u64;
            if length > 0 && length < SHARED && blocks.is_empty() {
                (fragment, offset) = self.add_fragment(length)?;
            } else if length > 0 {
                let block = std::mem::take(&mut self.block);
                let written = self.data(&block[..length]);
                self.block = block;
                blocks.push(written?);
            }
            if length < BLOCK as usize {
                break;
            }
        }
        self.add(Node { name, kind: Kind::File { executable, start, size, blocks, fragment, offset } })
    }

    /// Closes all directories and leaves out the entry `name` of the root, as far as it
    /// was added; its data stays in the image, and nothing refers to it.
    pub fn abandon(&mut self, name: &[u8]) {
        self.open.truncate(1);
        if let Some(Kind::Directory(nodes)) = self.open.last_mut().map(|node| &mut node.kind)
            && nodes.last().is_some_and(|last| last.name == name)
        {
            nodes.pop();
        }
    }

    /// Writes the tables; gives what the image was written to, and its size.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        if !self.fragment.is_empty() {
            self.end_fragment()?;
        }
        let root = match self.open.pop() {
            Some(root) if self.open.is_empty() => root,
            _ => return Err(misuse("a directory is still open")),
        };
        let mut tables = Tables { inodes: Table::new(), listings: Table::new(), places: Vec::new() };
        let (root, _) = tables.write(&root, 0)?;
        let Tables { inodes, listings, places } = tables;
        let count = u32::try_from(places.len()).map_err(too_large)?;
        let inode_table = self.at;
        let inodes = inodes.finish()?;
        let directory_table = inode_table + inodes.len() as u64;
        let listings = listings.finish()?;
        let mut rest = [inodes, listings].concat();
        let mut fragment_table = NONE;
        if !self.fragments.is_empty() {
            let entries = self.fragments.iter().flat_map(|(start, size)| {
                let mut entry = start.to_le_bytes().to_vec();
                entry.extend(u64::from(*size).to_le_bytes());
                entry
            });
            let entries: Vec<u8> = entries.collect();
            fragment_table = append(&mut rest, &entries, inode_table)?;
        }
        // With it the kernel finds inodes by their numbers, so that an overlay keeps the
        // number of a file that it copies, by which Nix knows hard links.
        let places: Vec<u8> = places.iter().flat_map(|place| place.packed().to_le_bytes()).collect();
        let export_table = append(&mut rest, &places, inode_table)?;
        let ids = [self.owner.uid.to_le_bytes(), self.owner.gid.to_le_bytes()].concat();
        let id_table = append(&mut rest, &ids, inode_table)?;
        self.to.write_all(&rest)?;
        let bytes = inode_table + rest.len() as u64;
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

    fn checked(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let sound = !name.is_empty() && name.len() <= NAME && !name.contains(&b'/') && !name.contains(&0);
        let last = match self.open.last().map(|node| &node.kind) {
            Some(Kind::Directory(nodes)) => nodes.last(),
            _ => None,
        };
        if !sound || name == b"." || name == b".." || last.is_some_and(|last| last.name.as_slice() >= name) {
            return Err(misuse("a name that cannot follow the one before"));
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

    /// Writes a block of data; gives its size as inodes have it.
    fn data(&mut self, block: &[u8]) -> io::Result<u32> {
        self.packed.clear();
        self.compressor.compress_to_buffer(block, &mut self.packed)?;
        let plain = self.packed.len() >= block.len();
        let bytes = if plain { block } else { &self.packed };
        self.to.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(u32::try_from(bytes.len()).map_err(too_large)? | if plain { PLAIN_DATA } else { 0 })
    }

    /// Puts the first `length` bytes of the block into a fragment.
    fn add_fragment(&mut self, length: usize) -> io::Result<(u32, u32)> {
        if self.fragment.len() + length > SHARED {
            self.end_fragment()?;
        }
        let offset = u32::try_from(self.fragment.len()).map_err(too_large)?;
        self.fragment.extend(&self.block[..length]);
        Ok((u32::try_from(self.fragments.len()).map_err(too_large)?, offset))
    }

    fn end_fragment(&mut self) -> io::Result<()> {
        let start = self.at;
        let fragment = std::mem::take(&mut self.fragment);
        let size = self.data(&fragment)?;
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
            Ok(some) => count += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn misuse(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
