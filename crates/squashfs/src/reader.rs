//! Reads an untrusted image: checks every offset and size, and supports only directories, files
//! and links. A walk reads each byte of the tables of inodes and listings at most once, so its
//! time and memory are proportional to the size of these tables.

use std::collections::{HashMap, HashSet};
use std::io;

use binfmt::source::ReadAt;
use zstd::bulk::Decompressor;

use crate::inode::{Directory, Entry, FileInode, IndexEntry, Inode, Position};
use crate::superblock::Superblock;
use crate::{
    FRAGMENT_ENTRY, FRAGMENTS_PER_BLOCK, LISTING_SIZE_EXTRA, MAX_LINK_TARGET, MAX_NAME, METADATA,
    NAMES_PER_HEADER, NO_FRAGMENT, UNCOMPRESSED_DATA, UNCOMPRESSED_METADATA, malformed,
};

/// The number of decompressed metadata blocks to cache.
const CACHED_BLOCKS: usize = 64;
/// In bytes, for one directory.
const MAX_LISTING: u32 = 32 << 20;
/// The maximum number of data blocks of a file.
const MAX_BLOCKS: u64 = 1 << 22;
/// The size of a header in a listing.
const LISTING_HEADER: u32 = 12;
const MAX_DEPTH: usize = 256;

/// An open image. Each thread opens its own.
pub struct Image<'a, S: ?Sized> {
    from: &'a S,
    superblock: Superblock,
    /// The size limit of files, in bytes. Initially 0.
    pub max_file_size: u64,
    /// The locations of the inodes that were read: each has a single name.
    visited: HashSet<u64>,
    /// How many bytes of the table of inodes may still be read. Without this limit, inodes could
    /// overlap, and each could have a long list of blocks.
    remaining_inode_bytes: u64,
    /// The same for the table of listings.
    remaining_listing_bytes: u64,
    decompressor: Decompressor<'static>,
    /// By offset in the image: the content, and the offset of the next block.
    metadata: HashMap<u64, (Vec<u8>, u64)>,
    /// The last used fragment, with its number.
    fragment: Option<(u32, Vec<u8>)>,
    packed: Vec<u8>,
    block: Vec<u8>,
}

impl<'a, S: ReadAt + ?Sized> Image<'a, S> {
    /// Opens the image in `from` and reads its superblock.
    pub fn open(from: &'a S) -> io::Result<Self> {
        let superblock = Superblock::read(from)?;
        let size = superblock.block_size as usize;
        Ok(Self {
            from,
            visited: HashSet::from([superblock.root]),
            remaining_inode_bytes: superblock.inode_bytes,
            remaining_listing_bytes: superblock.listing_bytes(),
            superblock,
            max_file_size: 0,
            decompressor: Decompressor::new()?,
            metadata: HashMap::new(),
            fragment: None,
            packed: vec![0; size.max(METADATA)],
            block: Vec::with_capacity(size),
        })
    }

    /// The entries of the root directory.
    pub fn root(&mut self) -> io::Result<Vec<Entry>> {
        let root = self.root_directory()?;
        let mut entries = Vec::new();
        // Not deducted from the remaining bytes, so that it can be read repeatedly.
        self.walk(&root, self.superblock.listing_bytes(), |name, block, offset| {
            entries.push(Entry { name, inode: Position { block: block.into(), offset: offset.into() } });
        })?;
        Ok(entries)
    }

    fn root_directory(&mut self) -> io::Result<Directory> {
        let root = self.superblock.root;
        let position = Position { block: root >> 16, offset: (root & 0xffff) as usize };
        match self.inode_at(position, self.superblock.inode_bytes)?.0 {
            Inode::Directory(directory) => Ok(directory),
            _ => Err(malformed("its root is not a directory")),
        }
    }

    /// Reads the inode of `entry`. Fails if it was read before, so that traversing a cyclic
    /// directory ends.
    pub fn inode(&mut self, entry: &Entry) -> io::Result<Inode> {
        self.visit(entry.inode)
    }

    fn visit(&mut self, position: Position) -> io::Result<Inode> {
        // Otherwise the start of the next block would have two locations.
        if position.offset >= METADATA {
            return Err(malformed("invalid offset"));
        }
        if !self.visited.insert(position.block << 16 | position.offset as u64) {
            return Err(malformed("an inode has several names"));
        }
        if self.visited.len() as u64 > u64::from(self.superblock.inodes) {
            return Err(malformed("more names than inodes"));
        }
        let (inode, remaining) = self.inode_at(position, self.remaining_inode_bytes)?;
        self.remaining_inode_bytes = remaining;
        Ok(inode)
    }

    /// Validates all metadata; returns the number of inodes. After that, only the root can be
    /// read.
    pub fn check(&mut self) -> io::Result<usize> {
        self.max_file_size = u64::MAX;
        // Without names, and with locations as small as in the image, an entry takes less memory
        // than its part of the listing.
        let mut todo: Vec<(u32, u16, u16)> = Vec::new();
        let root = self.root_directory()?;
        self.add_listing(&root, 1, &mut todo)?;
        while let Some((block, offset, depth)) = todo.pop() {
            let inode = self.visit(Position { block: block.into(), offset: offset.into() })?;
            if let Inode::Directory(directory) = inode {
                if usize::from(depth) >= MAX_DEPTH {
                    return Err(malformed("nested too deeply"));
                }
                self.add_listing(&directory, depth + 1, &mut todo)?;
            }
        }
        Ok(self.visited.len())
    }

    /// Adds the locations of the inodes of a directory's entries, and `depth`, to `todo`.
    fn add_listing(
        &mut self,
        directory: &Directory,
        depth: u16,
        todo: &mut Vec<(u32, u16, u16)>,
    ) -> io::Result<()> {
        let add = |_, block, offset| todo.push((block, offset, depth));
        self.remaining_listing_bytes = self.walk(directory, self.remaining_listing_bytes, add)?;
        Ok(())
    }

    /// Reads an inode of at most `remaining` bytes; returns how many bytes remain.
    fn inode_at(&mut self, position: Position, remaining: u64) -> io::Result<(Inode, u64)> {
        let table = self.superblock.inode_table;
        let mut cursor = Cursor { image: self, table, position, remaining };
        let inode = cursor.inode()?;
        Ok((inode, cursor.remaining))
    }

    /// The entries of a directory, in strictly ascending order of their names. The listings of
    /// all calls together must fit into the image's table.
    pub fn list(&mut self, directory: &Directory) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let remaining = self.remaining_listing_bytes;
        self.remaining_listing_bytes = self.walk(directory, remaining, |name, block, offset| {
            entries.push(Entry { name, inode: Position { block: block.into(), offset: offset.into() } });
        })?;
        Ok(entries)
    }

    /// Passes each entry of a listing of at most `remaining` bytes to `to`: its name, and the
    /// block and offset of its inode. Returns how many bytes remain.
    fn walk(
        &mut self,
        directory: &Directory,
        remaining: u64,
        mut to: impl FnMut(Vec<u8>, u32, u16),
    ) -> io::Result<u64> {
        if directory.size as usize <= LISTING_SIZE_EXTRA && directory.index.is_empty() {
            return Ok(remaining);
        }
        if directory.size > MAX_LISTING {
            return Err(malformed(format!("directory listing of {} bytes is too large", directory.size)));
        }
        let length = (directory.size as usize).saturating_sub(LISTING_SIZE_EXTRA);
        let mut left = length;
        let table = self.superblock.directory_table;
        let position = Position { block: directory.block.into(), offset: directory.offset.into() };
        let mut cursor = Cursor { image: self, table, position, remaining };
        let mut last = Vec::new();
        let mut index = directory.index.iter().peekable();
        while left > 0 {
            let offset = length - left;
            // The kernel uses the index to look up names: it must agree with the listing.
            let indexed = index.next_if(|entry| entry.listing_offset as usize == offset);
            if indexed.is_some_and(|entry| u64::from(entry.block) != cursor.position.block) {
                return Err(malformed("directory index has a wrong block"));
            }
            let mut first = true;
            left = left.checked_sub(12).ok_or_else(|| malformed("directory listing is truncated"))?;
            let (count, block) = (cursor.u32()?, cursor.u32()?);
            cursor.skip(4)?;
            if count as usize >= NAMES_PER_HEADER {
                return Err(malformed("directory header has more than 256 names"));
            }
            for _ in 0..=count {
                let offset = cursor.u16()?;
                cursor.skip(4)?;
                let length = usize::from(cursor.u16()?) + 1;
                left = left
                    .checked_sub(8 + length)
                    .ok_or_else(|| malformed("directory listing is truncated"))?;
                let name = cursor.bytes(length)?;
                if length > MAX_NAME
                    || name == b"."
                    || name == b".."
                    || name.iter().any(|c| matches!(c, b'/' | 0))
                {
                    let name = String::from_utf8_lossy(&name).escape_debug().to_string();
                    return Err(malformed(format!("invalid name `{name}`")));
                }
                if last >= name {
                    return Err(malformed("names are not sorted"));
                }
                if std::mem::take(&mut first) && indexed.is_some_and(|indexed| indexed.name != name) {
                    return Err(malformed("directory index has a wrong name"));
                }
                last.clone_from(&name);
                to(name, block, offset);
            }
        }
        if index.next().is_some() {
            return Err(malformed("directory index has a wrong offset"));
        }
        Ok(cursor.remaining)
    }

    /// Passes the content of `file` to `to`, block by block.
    pub fn content(
        &mut self,
        file: &FileInode,
        mut to: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let block_size = u64::from(self.superblock.block_size);
        let (mut at, mut left) = (file.start, file.size);
        for size in &file.blocks {
            let length = usize::try_from(left.min(block_size)).map_err(malformed)?;
            self.data(*size, at, length)?;
            to(&self.block)?;
            at += u64::from(size & !UNCOMPRESSED_DATA);
            left -= length as u64;
        }
        if file.fragment == NO_FRAGMENT || left == 0 {
            return Ok(());
        }
        self.load_fragment(file.fragment)?;
        let start = file.offset as usize;
        let content = self.fragment.as_ref().map(|(_, bytes)| &bytes[..]).unwrap_or_default();
        let end = usize::try_from(left).ok().and_then(|left| start.checked_add(left));
        let tail = end.and_then(|end| content.get(start..end));
        to(tail.ok_or_else(|| malformed("file exceeds its fragment"))?)
    }

    /// Reads the data block of `size` at `at` into `self.block`; it must have `length` bytes.
    fn data(&mut self, size: u32, at: u64, length: usize) -> io::Result<()> {
        self.block.clear();
        let packed = (size & !UNCOMPRESSED_DATA) as usize;
        if packed == 0 {
            // A sparse block.
            self.block.resize(length, 0);
            return Ok(());
        }
        if packed > self.superblock.block_size as usize {
            return Err(malformed(format!("data block of {packed} bytes is too large")));
        }
        if size & UNCOMPRESSED_DATA != 0 {
            self.block.resize(packed, 0);
            self.from.read_exact_at(at, &mut self.block)?;
        } else {
            self.from.read_exact_at(at, &mut self.packed[..packed])?;
            self.decompressor.decompress_to_buffer(&self.packed[..packed], &mut self.block)?;
        }
        if self.block.len() == length {
            return Ok(());
        }
        Err(malformed(format!("expected a block of {length} bytes, found {}", self.block.len())))
    }

    fn load_fragment(&mut self, number: u32) -> io::Result<()> {
        if self.fragment.as_ref().is_some_and(|(known, _)| *known == number) {
            return Ok(());
        }
        if number >= self.superblock.fragments {
            return Err(malformed(format!(
                "fragment {number} does not exist; there are {}",
                self.superblock.fragments
            )));
        }
        let (block, entry) = (number as usize / FRAGMENTS_PER_BLOCK, number as usize % FRAGMENTS_PER_BLOCK);
        let mut table_block = [0; 8];
        let at = (block as u64 * 8).checked_add(self.superblock.fragment_table);
        self.from.read_exact_at(at.ok_or_else(|| malformed("invalid fragment table"))?, &mut table_block)?;
        let position = Position { block: u64::from_le_bytes(table_block), offset: entry * FRAGMENT_ENTRY };
        let mut cursor = Cursor { image: self, table: 0, position, remaining: FRAGMENT_ENTRY as u64 };
        let (start, size) = (cursor.u64()?, cursor.u32()?);
        let packed = (size & !UNCOMPRESSED_DATA) as usize;
        let limit = self.superblock.block_size as usize;
        if packed == 0 || packed > limit {
            return Err(malformed(format!("invalid fragment size {packed}")));
        }
        let mut bytes = self.fragment.take().map(|(_, bytes)| bytes).unwrap_or_default();
        bytes.clear();
        if size & UNCOMPRESSED_DATA != 0 {
            bytes.resize(packed, 0);
            self.from.read_exact_at(start, &mut bytes)?;
        } else {
            bytes.reserve_exact(limit);
            self.from.read_exact_at(start, &mut self.packed[..packed])?;
            self.decompressor.decompress_to_buffer(&self.packed[..packed], &mut bytes)?;
            if bytes.len() > limit {
                return Err(malformed("fragment is larger than a block"));
            }
        }
        self.fragment = Some((number, bytes));
        Ok(())
    }

    /// The metadata block at `at`, and the offset of the next one.
    fn metadata(&mut self, at: u64) -> io::Result<&(Vec<u8>, u64)> {
        if !self.metadata.contains_key(&at) {
            let mut header = [0; 2];
            self.from.read_exact_at(at, &mut header)?;
            let header = u16::from_le_bytes(header);
            let length = usize::from(header & !UNCOMPRESSED_METADATA);
            let data = at.checked_add(2).ok_or_else(|| malformed("invalid offset"))?;
            let next = data.checked_add(length as u64).ok_or_else(|| malformed("invalid offset"))?;
            if length == 0 || length > METADATA || next > self.superblock.bytes {
                return Err(malformed(format!("a metadata block of {length} bytes")));
            }
            if header & UNCOMPRESSED_METADATA == 0 {
                // The size of a compressed table says little about its content.
                return Err(malformed("compressed metadata is not supported"));
            }
            let mut bytes = vec![0; length];
            self.from.read_exact_at(data, &mut bytes)?;
            if self.metadata.len() >= CACHED_BLOCKS {
                self.metadata.clear();
            }
            self.metadata.insert(at, (bytes, next));
        }
        self.metadata.get(&at).ok_or_else(|| malformed("missing metadata block"))
    }
}

/// Reads metadata sequentially, across blocks.
struct Cursor<'i, 'a, S: ?Sized> {
    image: &'i mut Image<'a, S>,
    table: u64,
    position: Position,
    /// How many more bytes may be read.
    remaining: u64,
}

impl<S: ReadAt + ?Sized> Cursor<'_, '_, S> {
    fn inode(&mut self) -> io::Result<Inode> {
        let kind = self.u16()?;
        let mode = self.u16()?;
        self.skip(12)?;
        match kind {
            1 => {
                let block = self.u32()?;
                self.skip(4)?;
                let size = u32::from(self.u16()?);
                let offset = self.u16()?;
                self.skip(4)?;
                Ok(Inode::Directory(Directory { block, size, offset, index: Vec::new() }))
            }
            8 => {
                self.skip(4)?;
                let (size, block) = (self.u32()?, self.u32()?);
                self.skip(4)?;
                let (count, offset) = (self.u16()?, self.u16()?);
                self.skip(4)?;
                let index = self.index(count, size)?;
                Ok(Inode::Directory(Directory { block, offset, size, index }))
            }
            2 | 9 => self.file(kind == 9, mode & 0o100 != 0),
            3 | 10 => {
                self.skip(4)?;
                let length = self.u32()?;
                if length == 0 || length as usize > MAX_LINK_TARGET {
                    return Err(malformed(format!("invalid link target of {length} bytes")));
                }
                Ok(Inode::Link(self.bytes(length as usize)?))
            }
            other => Err(malformed(format!("expected a directory, file or link, found inode type {other}"))),
        }
    }

    fn read(&mut self, mut to: &mut [u8]) -> io::Result<()> {
        let remaining = self.remaining.checked_sub(to.len() as u64);
        self.remaining = remaining.ok_or_else(|| malformed("parts of a table overlap"))?;
        while !to.is_empty() {
            let at =
                self.table.checked_add(self.position.block).ok_or_else(|| malformed("invalid offset"))?;
            let (bytes, next) = self.image.metadata(at)?;
            let rest = bytes.get(self.position.offset..).ok_or_else(|| malformed("invalid offset"))?;
            let count = rest.len().min(to.len());
            if count == 0 && bytes.len() < METADATA {
                return Err(malformed("metadata is truncated"));
            }
            to[..count].copy_from_slice(&rest[..count]);
            to = &mut to[count..];
            self.position.offset += count;
            if self.position.offset >= METADATA {
                self.position = Position { block: *next - self.table, offset: 0 };
            }
        }
        Ok(())
    }

    fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, count: usize) -> io::Result<()> {
        self.read(&mut [0; 16][..count])
    }

    fn u16(&mut self) -> io::Result<u16> {
        let mut bytes = [0; 2];
        self.read(&mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.read(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.read(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads the index of a directory whose listing has `size` bytes.
    fn index(&mut self, count: u16, size: u32) -> io::Result<Vec<IndexEntry>> {
        // Each index entry belongs to a header of the listing.
        if u32::from(count) > size / LISTING_HEADER {
            return Err(malformed(format!("directory index of {count} entries is too large")));
        }
        let mut index: Vec<IndexEntry> = Vec::new();
        for _ in 0..count {
            let (listing_offset, block, length) = (self.u32()?, self.u32()?, self.u32()? as usize + 1);
            if length > MAX_NAME {
                return Err(malformed("name in directory index is too long"));
            }
            index.push(IndexEntry { listing_offset, block, name: self.bytes(length)? });
        }
        Ok(index)
    }

    fn file(&mut self, extended: bool, executable: bool) -> io::Result<Inode> {
        let (start, fragment, offset, size);
        if extended {
            start = self.u64()?;
            size = self.u64()?;
            self.skip(12)?;
            fragment = self.u32()?;
            offset = self.u32()?;
            self.skip(4)?;
        } else {
            start = u64::from(self.u32()?);
            fragment = self.u32()?;
            offset = self.u32()?;
            size = u64::from(self.u32()?);
        }
        // Check before reading the list of blocks, whose length depends on the size.
        if size > self.image.max_file_size {
            return Err(malformed(format!(
                "expected a file of at most {} bytes, found {size}",
                self.image.max_file_size
            )));
        }
        let block_size = u64::from(self.image.superblock.block_size);
        let count = if fragment == NO_FRAGMENT { size.div_ceil(block_size) } else { size / block_size };
        if count > MAX_BLOCKS {
            return Err(malformed(format!("file of {count} blocks is too large")));
        }
        if start > self.image.superblock.bytes {
            return Err(malformed("file starts after the end of the image"));
        }
        let blocks = (0..count).map(|_| self.u32()).collect::<io::Result<Vec<_>>>()?;
        Ok(Inode::File(FileInode { size, executable, start, fragment, offset, blocks }))
    }
}
