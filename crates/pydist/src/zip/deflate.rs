//! Compression with the same output on any number of processors.

use std::io;
use std::ops::Range;

use binfmt::source::ReadAt;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::content::{Content, each_piece};

/// Members are compressed in pieces of this size.
const PIECE: usize = 256 << 10;

/// The number of pieces in memory at once.
const BATCH: usize = 32;

/// How far back a deflate stream can refer (RFC 1951, 2), and so how much of the
/// previous piece helps to compress the next.
pub(super) const WINDOW: usize = 32 << 10;

/// A member's compressed bytes, ready for an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// 0 is stored, 8 deflated.
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) size: u64,
    pub(super) compressed: u64,
    /// Where the packed bytes begin in the scratch content.
    pub(super) start: u64,
}

/// Appends the compressed `content` to `out`, or stores it if that is not larger.
/// `level` is deflate's, 1 to 9.
pub fn pack(content: &(impl ReadAt + ?Sized), level: u32, out: &mut Content) -> io::Result<Packed> {
    let size = content.size()?;
    let start = out.size()?;
    let mut crc = Crc::new();
    deflate_range(content, 0..size, true, level, |batch, pieces| {
        crc.update(batch);
        pieces.iter().try_for_each(|piece| out.push(piece))
    })?;
    let compressed = out.size()? - start;
    if compressed < size {
        return Ok(Packed { method: 8, crc: crc.sum(), size, compressed, start });
    }
    out.truncate(start)?;
    each_piece(content, 0, |_, bytes| out.push(bytes))?;
    Ok(Packed { method: 0, crc: crc.sum(), size, compressed: size, start })
}

/// Appends `content`, which `deflated` holds as a raw deflate stream.
pub fn pack_deflated(content: &[u8], deflated: &[u8], out: &mut Content) -> io::Result<Packed> {
    let start = out.size()?;
    out.push(deflated)?;
    let mut crc = Crc::new();
    crc.update(content);
    let (size, compressed) = (content.len() as u64, deflated.len() as u64);
    Ok(Packed { method: 8, crc: crc.sum(), size, compressed, start })
}

/// Passes the bytes in `range` to `visit` in batches, with the pieces of a raw deflate stream
/// that inflate to each. The stream ends with the last one if `is_last`, and at a byte
/// boundary otherwise.
pub(super) fn deflate_range(
    content: &(impl ReadAt + ?Sized),
    range: Range<u64>,
    is_last: bool,
    level: u32,
    mut visit: impl FnMut(&[u8], Vec<Vec<u8>>) -> io::Result<()>,
) -> io::Result<()> {
    let mut at = range.start;
    loop {
        let before = at.min(WINDOW as u64);
        let count = (range.end - at).min((PIECE * BATCH) as u64);
        let mut batch = vec![0; usize::try_from(before + count).unwrap_or_default()];
        content.read_exact_at(at - before, &mut batch)?;
        let before = usize::try_from(before).unwrap_or_default();
        at += count;
        visit(&batch[before..], deflate(&batch, before, is_last && at == range.end, level))?;
        if at == range.end {
            return Ok(());
        }
    }
}

/// The pieces of a raw deflate stream of `batch`, whose first `before` bytes
/// have been compressed already.
fn deflate(batch: &[u8], before: usize, is_last: bool, level: u32) -> Vec<Vec<u8>> {
    let count = (batch.len() - before).div_ceil(PIECE).max(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if index >= count {
                return done;
            }
            let is_end = is_last && index + 1 == count;
            done.push((index, deflate_piece(batch, before + index * PIECE, is_end, level)));
        }
    };
    let mut packed = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut packed = work();
        packed.extend(others.into_iter().flat_map(|worker| worker.join().unwrap_or_default()));
        packed
    });
    packed.sort_by_key(|(index, _)| *index);
    packed.into_iter().map(|(_, bytes)| bytes).collect()
}

/// The part of a deflate stream that begins at `start` of the batch and ends at
/// a byte boundary.
fn deflate_piece(batch: &[u8], start: usize, is_last: bool, level: u32) -> Vec<u8> {
    let piece = &batch[start..batch.len().min(start + PIECE)];
    let mut compress = Compress::new(Compression::new(level), false);
    // It fails only after deflating has begun.
    let _ = compress.set_dictionary(&batch[start.saturating_sub(WINDOW)..start]);
    let mut out = Vec::with_capacity(piece.len() / 2 + 1024);
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let used = usize::try_from(compress.total_in()).unwrap_or(piece.len());
        // Compressing from memory to memory fails only if the output is too small.
        let status = compress.compress_vec(&piece[used..], &mut out, flush);
        let all_in = compress.total_in() == piece.len() as u64;
        match status {
            Ok(Status::StreamEnd) => return out,
            Ok(_) if !is_last && all_in && out.len() < out.capacity() => return out,
            _ => out.reserve(64 * 1024),
        }
    }
}
