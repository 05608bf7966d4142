//! Buffered lines for standard output.

use std::io;

use rustix::io::Errno;

/// The maximum per write, so that a slow reader does not block other work.
const CHUNK: usize = 64 * 1024;

/// Bytes that are waiting to be written.
#[derive(Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How many of them have been written.
    written: usize,
}

impl Output {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a line that `write` writes, and a newline.
    pub(crate) fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.bytes.push(b'\n');
    }

    /// Writes one chunk; `false` if nobody reads any more.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let rest = &self.bytes[self.written..];
        match rustix::io::write(rustix::stdio::stdout(), &rest[..rest.len().min(CHUNK)]) {
            Ok(count) => {
                self.written += count;
                // Done rarely, so that each byte is moved at most once.
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
