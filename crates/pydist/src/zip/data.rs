//! Inflates and checks a member's bytes, piece by piece.

use std::io;
use std::sync::mpsc::{channel, sync_channel};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::archive::{Member, Method};
use binfmt::source::ReadAt;

/// Pieces of this size are read from the archive.
const INPUT: usize = 64 * 1024;
/// Pieces of this size go to the sink; they stay in the processor's cache.
const OUTPUT: usize = 128 * 1024;

/// From this size on, a second thread saves more than it costs.
const LARGE: u64 = 4 << 20;
/// Pieces of about this size go from one thread to the other.
const PIECE: usize = 512 * 1024;
/// How many of them may wait.
const WAITING: usize = 2;

/// Why a member cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The archive could not be read.
    #[error("the archive cannot be read")]
    Io(#[from] io::Error),
    /// The member is encrypted, out of bounds or of an unknown method.
    #[error("the member is encrypted, out of bounds, or compressed with a method that wheels may not use")]
    Unreadable,
    /// The deflate stream is damaged.
    #[error("the compressed data is damaged after {0} bytes")]
    Damaged(u64),
    /// The inflated size differs from the archive's.
    #[error("the data inflates to {found} bytes, expected {expected}")]
    Size {
        /// The central directory's value.
        expected: u64,
        /// The inflated size; if too large, the size at which inflating stopped.
        found: u64,
    },
    /// The deflate stream ends before the compressed data does.
    #[error("{0} bytes follow the end of the compressed data")]
    Trailing(u64),
    /// The checksum differs.
    #[error("the CRC-32 is {found:08x}, expected {expected:08x}")]
    Crc {
        /// The central directory's value.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
}

impl Member {
    /// Passes the member's inflated bytes to `sink`, piece by piece, and checks size
    /// and CRC-32. Stops as soon as there is more than the archive says.
    pub fn read(
        &self,
        source: &(impl ReadAt + ?Sized),
        sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), DataError> {
        self.read_with(sink, |sink| match self.method {
            Method::Stored => self.copy(source, sink),
            Method::Deflated => self.inflate(source, sink),
            Method::Other(_) => Err(DataError::Unreadable),
        })
    }

    /// Like [`Member::read`], but a large member is inflated on another thread while this one
    /// runs `sink`.
    pub fn read_ahead(
        &self,
        source: &(impl ReadAt + ?Sized),
        sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), DataError> {
        self.ahead(sink, |sink| self.read(source, sink))
    }

    /// Runs `read` on another thread if the member is large, and `sink` on this one.
    pub(super) fn ahead<T: Send>(
        &self,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
        read: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<T, DataError> + Send,
    ) -> Result<T, DataError> {
        if self.size < LARGE || std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            return read(&mut sink);
        }
        on_another_thread(sink, read)
    }

    /// Checks size and CRC-32 of what `read` passes to its sink; `read` returns the size.
    pub(super) fn read_with<S: FnMut(&[u8]) -> io::Result<()>>(
        &self,
        mut sink: S,
        read: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<u64, DataError>,
    ) -> Result<(), DataError> {
        if !self.readable {
            return Err(DataError::Unreadable);
        }
        let mut crc = Crc::new();
        let found = read(&mut |bytes| {
            crc.update(bytes);
            sink(bytes)
        })?;
        debug_assert_eq!(found, self.size);
        match crc.sum() {
            sum if sum == self.crc32 => Ok(()),
            found => Err(DataError::Crc { expected: self.crc32, found }),
        }
    }

    fn copy(
        &self,
        source: &(impl ReadAt + ?Sized),
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<u64, DataError> {
        if self.compressed != self.size {
            return Err(DataError::Size { expected: self.size, found: self.compressed });
        }
        let mut input = vec![0; INPUT.min(usize::try_from(self.compressed).unwrap_or(INPUT))];
        let mut found = 0;
        while found < self.compressed {
            let count = input.len().min(usize::try_from(self.compressed - found).unwrap_or(INPUT));
            source.read_exact_at(self.data_offset + found, &mut input[..count])?;
            sink(&input[..count])?;
            found += count as u64;
        }
        Ok(found)
    }

    fn inflate(
        &self,
        source: &(impl ReadAt + ?Sized),
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<u64, DataError> {
        let mut state = Decompress::new(false);
        let room = |most: usize, size: u64| vec![0; most.min(usize::try_from(size).unwrap_or(most)).max(1)];
        let mut input = room(INPUT, self.compressed);
        let mut output = room(OUTPUT, self.size);
        let (mut filled, mut used, mut read, mut found) = (0, 0, 0, 0);
        loop {
            if used == filled && read < self.compressed {
                filled = input.len().min(usize::try_from(self.compressed - read).unwrap_or(INPUT));
                used = 0;
                source.read_exact_at(self.data_offset + read, &mut input[..filled])?;
                read += filled as u64;
            }
            let (before_in, before_out) = (state.total_in(), state.total_out());
            let status = state
                .decompress(&input[used..filled], &mut output, FlushDecompress::None)
                .map_err(|_| DataError::Damaged(found))?;
            used += usize::try_from(state.total_in() - before_in).unwrap_or_default();
            let count = usize::try_from(state.total_out() - before_out).unwrap_or_default();
            found += count as u64;
            if found > self.size {
                return Err(DataError::Size { expected: self.size, found });
            }
            sink(&output[..count])?;
            if status == Status::StreamEnd {
                break;
            }
            if count == 0 && used == filled && read == self.compressed {
                return Err(DataError::Damaged(found));
            }
        }
        if found != self.size {
            return Err(DataError::Size { expected: self.size, found });
        }
        match self.compressed - state.total_in() {
            0 => Ok(found),
            rest => Err(DataError::Trailing(rest)),
        }
    }

    /// The whole content, if it has at most `limit` bytes.
    pub fn content(&self, source: &(impl ReadAt + ?Sized), limit: u64) -> Result<Vec<u8>, DataError> {
        if self.size > limit {
            return Err(DataError::Size { expected: limit, found: self.size });
        }
        // The most that deflate can inflate these bytes to (RFC 1951), whatever
        // size the archive claims.
        let room = self.size.min(self.compressed.saturating_mul(1032));
        let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
        self.read(source, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }
}

/// Runs `read` on another thread, and `sink` on this one with what `read` passes to its own.
fn on_another_thread<T: Send>(
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    read: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<T, DataError> + Send,
) -> Result<T, DataError> {
    let (full, pieces) = sync_channel(WAITING);
    let (empty, buffers) = channel::<Vec<u8>>();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut buffer: Vec<u8> = Vec::with_capacity(2 * PIECE);
            // If nobody receives it, the sink has failed; its error is returned below.
            let send = |buffer| full.send(buffer).map_err(|_| io::ErrorKind::BrokenPipe.into());
            let result = read(&mut |bytes| {
                buffer.extend_from_slice(bytes);
                if buffer.len() < PIECE {
                    return Ok(());
                }
                let mut next = buffers.try_recv().unwrap_or_else(|_| Vec::with_capacity(2 * PIECE));
                next.clear();
                send(std::mem::replace(&mut buffer, next))
            })?;
            send(buffer)?;
            Ok(result)
        });
        let outcome = pieces.into_iter().try_for_each(|piece| {
            sink(&piece)?;
            let _ = empty.send(piece);
            Ok(())
        });
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        outcome.map_err(DataError::Io)?;
        read
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes `count` pieces of different bytes to its sink.
    fn pieces(count: u8, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<u64, DataError> {
        for index in 0..count {
            sink(&vec![index; PIECE / 3 + usize::from(index)])?;
        }
        Ok(u64::from(count))
    }

    #[test]
    fn another_thread_passes_all_bytes_in_order() {
        for count in [0, 1, 2, 50] {
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            pieces(count, &mut |bytes| {
                expected.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
            let result = on_another_thread(
                |bytes| {
                    found.extend_from_slice(bytes);
                    Ok(())
                },
                |sink| pieces(count, sink),
            );
            assert_eq!(result.unwrap(), u64::from(count));
            assert!(found == expected, "{count}");
        }
    }

    #[test]
    fn errors_of_both_threads_are_returned() {
        for failing in [1, 3, 16] {
            let mut calls = 0;
            let result = on_another_thread(
                |_| {
                    calls += 1;
                    if calls == failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
                },
                |sink| pieces(50, sink),
            );
            let Err(DataError::Io(error)) = result else { panic!("{result:?}") };
            assert_eq!((error.kind(), calls), (io::ErrorKind::StorageFull, failing));
        }
        let mut found = 0;
        let count = |bytes: &[u8]| {
            found += bytes.len();
            Ok(())
        };
        let result = on_another_thread(count, |sink| {
            pieces(4, sink)?;
            Err::<(), _>(DataError::Damaged(7))
        });
        assert!(matches!(result, Err(DataError::Damaged(7))), "{result:?}");
        assert!(found >= PIECE, "what was read before is passed on");
    }
}
