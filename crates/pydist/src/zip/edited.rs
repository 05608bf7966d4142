//! Compresses an edited member again, but only the blocks that the edits affect.
//!
//! A deflate stream is a sequence of blocks (RFC 1951, 3.2.3). A block of the original
//! stream is still valid if it contains no edited byte and cannot refer to one.

use std::io;
use std::ops::Range;

use binfmt::source::ReadAt;
use flate2::Crc;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use super::archive::{Member, Method};
use super::content::{Content, each_piece};
use super::data::DataError;
use super::deflate::{Packed, WINDOW, deflate_range, pack};

/// Streams with smaller blocks on average are compressed again as a whole. Compressors
/// write larger ones; the limit bounds the memory for the blocks of a hostile archive.
const SMALLEST_BLOCK: u64 = 1 << 10;

/// So does this, because the archive's size of the content may be wrong: a stream with
/// blocks of [`SMALLEST_BLOCK`] inflates to no more than this multiple of its own size.
const LARGEST_RATIO: u64 = 16;

/// The most blocks that are recorded, which take 8 MB.
const MOST_BLOCKS: u64 = 1 << 18;

/// The stream is read in pieces of this size.
const INPUT: usize = 64 << 10;

/// Inflated bytes go to the sink in pieces of this size, a power of two of at least
/// [`WINDOW`].
const OUTPUT: usize = 256 << 10;

/// Where the blocks of a deflate stream are.
#[derive(Debug, Clone)]
pub struct Deflated {
    /// The stream's offset in the archive.
    start: u64,
    blocks: Vec<Block>,
}

/// A block of a deflate stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    /// Its bits in the stream.
    bits: Range<u64>,
    /// The bytes that it inflates to.
    content: Range<u64>,
}

impl Member {
    /// Like [`Member::read_ahead`], and returns the blocks of the deflate stream if
    /// [`pack_edited`] can use them.
    pub fn read_deflated(
        &self,
        source: &(impl ReadAt + ?Sized),
        sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Option<Deflated>, DataError> {
        // The deflate stream of a smaller member has few blocks.
        let is_small = self.size < 2 * WINDOW as u64;
        if self.method != Method::Deflated || is_small || !self.readable {
            self.read_ahead(source, sink)?;
            return Ok(None);
        }
        self.ahead(sink, |sink| {
            let mut blocks = None;
            self.read_with(sink, |sink| {
                let (found, found_blocks) = self.inflate_blocks(source, sink)?;
                blocks = found_blocks;
                Ok(found)
            })?;
            Ok(blocks.map(|blocks| Deflated { start: self.data_offset, blocks }))
        })
    }

    /// Inflates the whole stream; returns the size and the blocks, unless there are too many.
    fn inflate_blocks(
        &self,
        source: &(impl ReadAt + ?Sized),
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(u64, Option<Vec<Block>>), DataError> {
        let most = self.size.min(self.compressed.saturating_mul(LARGEST_RATIO)) / SMALLEST_BLOCK;
        let max_blocks = most.min(MOST_BLOCKS);
        let mut state = Box::new(DecompressorOxide::new());
        let mut input = vec![0; INPUT];
        let mut output = vec![0; OUTPUT];
        let mut blocks = Some(Vec::new());
        // The input in the buffer begins at `used`; `read` bytes were read, `found` came out.
        let (mut filled, mut used, mut read, mut found) = (0, 0, 0, 0);
        let (mut bit, mut start) = (0, 0);
        loop {
            let at = usize::try_from(found % OUTPUT as u64).unwrap_or_default();
            let mut flags = inflate_flags::TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
            if read < self.compressed {
                flags |= inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
            }
            if found < OUTPUT as u64 {
                // Rejects references to before the first byte. Later, none reaches that far.
                flags |= inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
            }
            let (status, consumed, written) =
                decompress(&mut state, &input[used..filled], &mut output, at, flags);
            used += consumed;
            found += written as u64;
            if found > self.size {
                return Err(DataError::Size { expected: self.size, found });
            }
            sink(&output[at..at + written])?;
            // Where the decompressor is in the stream.
            let position = read - (filled - used) as u64;
            let end = match status {
                TINFLStatus::HasMoreOutput => continue,
                TINFLStatus::NeedsMoreInput if read < self.compressed => {
                    input.copy_within(used..filled, 0);
                    let rest = filled - used;
                    let room = (input.len() - rest) as u64;
                    let count = usize::try_from((self.compressed - read).min(room)).unwrap_or_default();
                    source.read_exact_at(self.data_offset + read, &mut input[rest..rest + count])?;
                    (filled, used, read) = (rest + count, 0, read + count as u64);
                    continue;
                }
                TINFLStatus::BlockBoundary => {
                    let rest = state.block_boundary_state().map_or(0, |state| u64::from(state.num_bits));
                    position * 8 - rest
                }
                // The last block is never copied, so its padding does not matter.
                TINFLStatus::Done => position * 8,
                _ => return Err(DataError::Damaged(found)),
            };
            blocks = blocks.filter(|blocks: &Vec<Block>| (blocks.len() as u64) < max_blocks);
            if let Some(blocks) = &mut blocks {
                blocks.push(Block { bits: bit..end, content: start..found });
            }
            (bit, start) = (end, found);
            if status == TINFLStatus::Done {
                break;
            }
        }
        if found != self.size {
            return Err(DataError::Size { expected: self.size, found });
        }
        match self.compressed - (read - (filled - used) as u64) {
            0 => Ok((found, blocks)),
            rest => Err(DataError::Trailing(rest)),
        }
    }
}

/// Appends the compressed `content` to `out`. Blocks of `deflated`, which describes the content
/// before [`Content::track_edits`], are copied from the archive `source` if they are still valid;
/// if less than half of the content is in such blocks, this is [`pack`]. `level` is deflate's, 1
/// to 9.
pub fn pack_edited(
    content: &Content,
    deflated: &Deflated,
    source: &(impl ReadAt + ?Sized),
    level: u32,
    out: &mut Content,
) -> io::Result<Packed> {
    let size = content.size()?;
    let Some(edits) = content.edits() else { return pack(content, level, out) };
    let runs = runs(&deflated.blocks, edits, size);
    let stale_bytes: u64 =
        runs.iter().filter(|run| run.is_stale).map(|run| run.content.end - run.content.start).sum();
    if stale_bytes > size / 2 {
        return pack(content, level, out);
    }

    let start = out.size()?;
    let mut stream = BitWriter::new();
    for run in runs {
        if run.is_stale {
            stream.align();
            deflate_range(content, run.content, run.is_last, level, |_, pieces| {
                stream.bytes.extend(pieces.into_iter().flatten());
                stream.write_to(out)
            })?;
            continue;
        }
        for block in run.blocks {
            copy_block(&StreamOf { source, start: deflated.start }, block, &mut stream, out)?;
        }
    }
    stream.flush();
    out.push(&stream.bytes)?;
    let mut crc = Crc::new();
    each_piece(content, 0, |_, bytes| {
        crc.update(bytes);
        Ok(())
    })?;
    Ok(Packed { method: 8, crc: crc.sum(), size, compressed: out.size()? - start, start })
}

/// A deflate stream in an archive.
struct StreamOf<'s, S: ?Sized> {
    source: &'s S,
    /// Its offset.
    start: u64,
}

impl<S: ReadAt + ?Sized> StreamOf<'_, S> {
    /// The bytes that contain these bits, and where the bits are in them.
    fn read(&self, bits: Range<u64>) -> io::Result<(Vec<u8>, Range<u64>)> {
        let first = bits.start / 8;
        let count = bits.end.div_ceil(8) - first;
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| io::ErrorKind::InvalidData)?];
        let read = self.source.read_exact_at(self.start + first, &mut bytes);
        read.map_err(|error| {
            io::Error::new(error.kind(), format!("the archive cannot be read again: {error}"))
        })?;
        Ok((bytes, bits.start - 8 * first..bits.end - 8 * first))
    }
}

/// Copies a block piece by piece, because it can be large. The bytes of a stored one must begin
/// at a byte boundary.
fn copy_block<S: ReadAt + ?Sized>(
    from: &StreamOf<'_, S>,
    block: &Block,
    stream: &mut BitWriter,
    out: &mut Content,
) -> io::Result<()> {
    const PIECE: u64 = 8 * INPUT as u64;
    let Range { mut start, end } = block.bits;
    let (header, bits) = from.read(start..end.min(start + 3))?;
    let header = peek(&header, bits.start) & 7;
    if header >> 1 == 0 {
        stream.push(header, 3);
        stream.flush();
        start = (start + 3).next_multiple_of(8);
    }
    while start < end {
        let (bytes, bits) = from.read(start..end.min(start + PIECE))?;
        stream.copy(&bytes, bits);
        stream.write_to(out)?;
        start += PIECE;
    }
    Ok(())
}

/// Successive blocks of which all or none are stale.
struct Run<'b> {
    blocks: &'b [Block],
    is_stale: bool,
    is_last: bool,
    /// The bytes that they have to inflate to.
    content: Range<u64>,
}

/// The runs of blocks for content of `size` bytes with these edits.
fn runs<'b>(blocks: &'b [Block], edits: &[Range<u64>], size: u64) -> Vec<Run<'b>> {
    let edits = reach(edits);
    // The last block has another end if the content has another size.
    let last = blocks.last();
    let is_stale = |block: &Block| {
        let next = edits.partition_point(|edit| edit.end <= block.content.start);
        Some(block) == last || edits.get(next).is_some_and(|edit| edit.start < block.content.end)
    };
    let mut start = 0;
    let runs = blocks.chunk_by(|one, other| is_stale(one) == is_stale(other));
    runs.filter_map(|blocks| {
        let is_last = blocks.last() == last;
        let end = if is_last { size } else { blocks.last()?.content.end.min(size) };
        let content = start..end;
        start = end;
        Some(Run { blocks, is_stale: is_stale(blocks.first()?), is_last, content })
    })
    .collect()
}

/// The edits, each with the bytes after it that can refer to it, in order and without
/// overlaps.
fn reach(edits: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut edits = edits.to_vec();
    edits.sort_by_key(|edit| edit.start);
    let mut reach: Vec<Range<u64>> = Vec::new();
    for edit in edits {
        let end = edit.end.saturating_add(WINDOW as u64);
        match reach.last_mut() {
            Some(last) if edit.start <= last.end => last.end = last.end.max(end),
            _ => reach.push(edit.start..end),
        }
    }
    reach
}

/// How many bytes a [`BitWriter`] collects before they are written.
const BUFFERED: usize = 256 << 10;

/// Writes a deflate stream bit by bit, the least significant first (RFC 1951, 3.1.1).
struct BitWriter {
    bytes: Vec<u8>,
    /// The bits after the last byte.
    rest: u64,
    /// How many, at most 31.
    count: u32,
}

impl BitWriter {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(2 * BUFFERED), rest: 0, count: 0 }
    }

    /// Moves the bytes to `out` if there are many.
    fn write_to(&mut self, out: &mut Content) -> io::Result<()> {
        if self.bytes.len() >= BUFFERED {
            out.push(&self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }

    /// Appends up to 32 bits; the others are zero.
    fn push(&mut self, bits: u64, count: u32) {
        self.rest |= bits << self.count;
        self.count += count;
        if self.count >= 32 {
            self.bytes.extend_from_slice(&self.rest.to_le_bytes()[..4]);
            self.rest >>= 32;
            self.count -= 32;
        }
    }

    /// Pads to the next byte, and writes all bytes out.
    fn flush(&mut self) {
        let bytes = self.count.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.rest.to_le_bytes()[..bytes]);
        (self.rest, self.count) = (0, 0);
    }

    /// Aligns to a byte boundary, with an empty stored block if necessary.
    fn align(&mut self) {
        let is_aligned = self.count.is_multiple_of(8);
        if !is_aligned {
            self.push(0, 3);
        }
        self.flush();
        if !is_aligned {
            self.bytes.extend([0, 0, 0xff, 0xff]);
        }
    }

    fn copy(&mut self, from: &[u8], bits: Range<u64>) {
        let mut at = bits.start;
        while at < bits.end {
            let count = (bits.end - at).min(32);
            self.push(peek(from, at) & ((1 << count) - 1), u32::try_from(count).unwrap_or_default());
            at += count;
        }
    }
}

/// The bits from `bit` on, at least 57 of them unless the stream ends before.
fn peek(from: &[u8], bit: u64) -> u64 {
    let rest = from.get(usize::try_from(bit / 8).unwrap_or(usize::MAX)..).unwrap_or_default();
    let bytes = rest.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; 8];
        padded[..rest.len()].copy_from_slice(rest);
        padded
    });
    u64::from_le_bytes(bytes) >> (bit % 8)
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;
    use binfmt::source::WriteAt as _;

    use crate::zip::{Archive, Limits, NewMember, write};

    /// Bytes that look like machine code: repeated words, and some that never repeat.
    fn sample(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        let words: Vec<[u8; 4]> = (0..500).map(|_| (next() << 16 | next()).to_le_bytes()).collect();
        let mut bytes = Vec::new();
        while bytes.len() < size {
            match next() % 8 {
                0 => bytes.extend(next().to_le_bytes()),
                _ => bytes.extend(words[next() as usize % words.len()]),
            }
        }
        bytes.truncate(size);
        bytes
    }

    /// An archive with one member, deflated in steps of `step` bytes.
    fn archive(content: &[u8], level: u32, step: usize) -> Vec<u8> {
        let mut compress = Compress::new(Compression::new(level), false);
        let mut stream = Vec::with_capacity(content.len() * 2 + 4096);
        for piece in content.chunks(step) {
            compress.compress_vec(piece, &mut stream, FlushCompress::Sync).unwrap();
        }
        compress.compress_vec(&[], &mut stream, FlushCompress::Finish).unwrap();
        let mut scratch = Content::new(&std::env::temp_dir());
        let packed = crate::zip::pack_deflated(content, &stream, &mut scratch).unwrap();
        zipped(packed, &scratch)
    }

    fn zipped(packed: Packed, scratch: &Content) -> Vec<u8> {
        let mut bytes = Vec::new();
        let members = [NewMember::new("member", false, packed)];
        write(&members, b"".as_slice(), scratch, 315_532_800, &mut bytes).unwrap();
        bytes
    }

    enum Change {
        Write(usize, Vec<u8>),
        Truncate(usize),
        Push(Vec<u8>),
    }

    /// Edits the member of an archive; returns its content, and the new archive.
    fn edit(bytes: &[u8], changes: &[Change]) -> (Vec<u8>, Vec<u8>) {
        let records = Archive::open(bytes, &Limits::default()).unwrap();
        let mut content = Content::new(&std::env::temp_dir());
        let deflated = records.members[0].read_deflated(bytes, |piece| content.push(piece)).unwrap();
        content.track_edits();
        for change in changes {
            match change {
                Change::Write(at, bytes) => content.write_all_at(*at as u64, bytes).unwrap(),
                Change::Truncate(size) => content.truncate(*size as u64).unwrap(),
                Change::Push(bytes) => content.push(bytes).unwrap(),
            }
        }
        let mut scratch = Content::new(&std::env::temp_dir());
        let packed = pack_edited(&content, &deflated.unwrap(), bytes, 6, &mut scratch).unwrap();
        (content.to_vec().unwrap(), zipped(packed, &scratch))
    }

    fn read(bytes: &[u8]) -> Vec<u8> {
        let records = Archive::open(bytes, &Limits::default()).unwrap();
        assert_eq!(records.faults, []);
        // Checks the CRC, and that nothing follows the stream.
        records.members[0].content(bytes, u64::MAX).unwrap()
    }

    fn changes(size: usize) -> impl Strategy<Value = Vec<Change>> {
        let bytes = || prop::collection::vec(any::<u8>(), 1..200);
        let change = prop_oneof![
            8 => (0..size, bytes()).prop_map(|(at, bytes)| Change::Write(at, bytes)),
            1 => (size / 2..size).prop_map(Change::Truncate),
            1 => prop::collection::vec(any::<u8>(), 1..100_000).prop_map(Change::Push),
        ];
        // A write past the end would leave a gap.
        prop::collection::vec(change, 1..5).prop_map(move |changes| {
            let mut end = size;
            let keep = |change: &Change| match change {
                Change::Write(at, _) if *at > end => false,
                Change::Write(at, bytes) => {
                    end = end.max(at + bytes.len());
                    true
                }
                Change::Truncate(size) => {
                    end = end.min(*size);
                    true
                }
                Change::Push(bytes) => {
                    end += bytes.len();
                    true
                }
            };
            changes.into_iter().filter(keep).collect()
        })
    }

    impl std::fmt::Debug for Change {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self {
                Self::Write(at, bytes) => write!(f, "write {} at {at}", bytes.len()),
                Self::Truncate(size) => write!(f, "truncate to {size}"),
                Self::Push(bytes) => write!(f, "push {}", bytes.len()),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn edited_members_inflate_to_their_new_content(
            (size, changes) in (70_000_usize..2_000_000).prop_flat_map(|size| (Just(size), changes(size))),
            level in 0_u32..10,
            step in prop_oneof![Just(usize::MAX), 4_000_usize..100_000],
        ) {
            let (content, edited) = edit(&archive(&sample(size), level, step), &changes);
            prop_assert!(read(&edited) == content);
        }
    }

    #[test]
    fn keeps_the_blocks_that_an_edit_does_not_affect() {
        let original = archive(&sample(4 << 20), 6, usize::MAX);
        let (content, edited) = edit(&original, &[Change::Write(2 << 20, b"/lib64/ld-linux".to_vec())]);
        assert_eq!(read(&edited), content);
        // The first third is the same, byte for byte, after the sizes in the header.
        let third = original.len() / 3;
        assert_eq!(edited[64..third], original[64..third]);
        assert!(edited.len() < original.len() + original.len() / 50);
    }

    #[test]
    fn edits_at_both_ends() {
        for (size, level) in [(1 << 20, 6), (1 << 20, 0), ((1 << 20) + 1, 1)] {
            let original = archive(&sample(size), level, usize::MAX);
            for change in [
                Change::Write(0, vec![7]),
                Change::Write(size - 1, vec![7]),
                Change::Truncate(size - 1),
                Change::Push(vec![7]),
            ] {
                let what = format!("{change:?} of {size}, level {level}");
                let (content, edited) = edit(&original, &[change]);
                assert!(read(&edited) == content, "{what}");
            }
        }
    }

    #[test]
    fn damaged_streams_are_errors() {
        let mut bytes = archive(&sample(1 << 20), 6, usize::MAX);
        let records = Archive::open(bytes.as_slice(), &Limits::default()).unwrap();
        let member = records.members[0].clone();
        let start = usize::try_from(member.data_offset).unwrap();
        for at in (0..bytes.len() / 2).step_by(997) {
            bytes[start + at] ^= 0x55;
            assert!(member.read_deflated(bytes.as_slice(), |_| Ok(())).is_err(), "{at}");
            bytes[start + at] ^= 0x55;
        }
        let cut = Member { compressed: member.compressed / 2, ..member.clone() };
        assert!(cut.read_deflated(bytes.as_slice(), |_| Ok(())).is_err());
        let longer = Member { compressed: member.compressed + 1, ..member };
        assert!(matches!(longer.read_deflated(bytes.as_slice(), |_| Ok(())), Err(DataError::Trailing(1))));
    }

    #[test]
    fn many_small_blocks_are_read_but_not_recorded() {
        let content = sample(100_000);
        let bytes = archive(&content, 1, 64);
        let records = Archive::open(bytes.as_slice(), &Limits::default()).unwrap();
        let mut found = Vec::new();
        let deflated = records.members[0].read_deflated(bytes.as_slice(), |piece| {
            found.extend_from_slice(piece);
            Ok(())
        });
        assert!(deflated.unwrap().is_none());
        assert_eq!(found, content);
    }

    /// zlib rejects a reference to before the first byte; so must this reader.
    #[test]
    fn a_reference_to_before_the_first_byte_is_damage() {
        // A block with fixed codes: length 3, distance 1, end. Then a last block, stored.
        let mut stream = BitWriter::new();
        for (bits, count) in [(0b010, 3), (0b100_0000, 7), (0, 5), (0, 7), (0b001, 3)] {
            stream.push(bits, count);
        }
        stream.flush();
        stream.bytes.extend([0xfd, 0xff, 0x02, 0x00]);
        stream.bytes.extend(std::iter::repeat_n(7, 0xfffd));
        let mut content = vec![0; 3];
        content.extend(std::iter::repeat_n(7, 0xfffd));
        let mut scratch = Content::new(&std::env::temp_dir());
        let packed = crate::zip::pack_deflated(&content, &stream.bytes, &mut scratch).unwrap();
        let bytes = zipped(packed, &scratch);
        let records = Archive::open(bytes.as_slice(), &Limits::default()).unwrap();
        let member = &records.members[0];
        assert!(matches!(member.read(bytes.as_slice(), |_| Ok(())), Err(DataError::Damaged(_))));
        let read = member.read_deflated(bytes.as_slice(), |_| Ok(()));
        assert!(matches!(read, Err(DataError::Damaged(_))), "{read:?}");
    }

    #[test]
    fn edits_reach_as_far_as_a_reference() {
        let window = WINDOW as u64;
        let edits = [5..6, 100_000..100_010, 3..9, 100_000 + window..100_001 + window, 500_000..u64::MAX];
        let expected = [3..9 + window, 100_000..100_001 + 2 * window, 500_000..u64::MAX];
        assert_eq!(reach(&edits), expected);
    }
}
