//! Lines on their way to standard output.

use std::io;

use rustix::io::Errno;

/// At most this much goes out at once, so that a pipe's reader is not waited
/// for with other work at hand.
const CHUNK: usize = 64 * 1024;

/// What waits to be written.
#[derive(Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// So many of them are written already.
    written: usize,
}

impl Output {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds what `write` writes, and a newline.
    pub(crate) fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.bytes.push(b'\n');
    }

    /// Writes as much as is sure not to block; `false` when nobody reads.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let rest = &self.bytes[self.written..];
        match rustix::io::write(rustix::stdio::stdout(), &rest[..rest.len().min(CHUNK)]) {
            Ok(count) => {
                self.written += count;
                // Moved rarely, so that each byte is moved once at most.
                if self.written * 2 >= self.bytes.len() {
                    self.bytes.drain(..self.written);
                    self.written = 0;
                }
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(Errno::PIPE) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
