//! Limits the memory of the parsers.

use std::io::{self, Read};

/// The maximum size of a string of a JSON page, or of a tag or text of an HTML page, in bytes.
pub(super) const MAX_TOKEN: usize = 1024 * 1024;
/// The maximum nesting of a JSON page.
const MAX_DEPTH: usize = 64;

/// A source that fails if a token, which a parser would buffer completely, is too long.
pub(super) struct Bounded<R, S> {
    source: R,
    scan: S,
}

impl<R, S: Default> Bounded<R, S> {
    pub(super) fn new(source: R) -> Self {
        Self { source, scan: S::default() }
    }
}

/// Scans a stream byte by byte; returns false once a token is too long.
pub(super) trait Scan {
    fn step(&mut self, byte: u8) -> bool;
}

impl<R: Read, S: Scan> Read for Bounded<R, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if buffer[..count].iter().all(|byte| self.scan.step(*byte)) {
            return Ok(count);
        }
        Err(io::Error::other(format!(
            "a token longer than {MAX_TOKEN} bytes, or values nested deeper than {MAX_DEPTH} levels"
        )))
    }
}

#[derive(Default)]
pub(super) struct JsonScan {
    in_string: bool,
    escaped: bool,
    length: usize,
    depth: usize,
}

impl Scan for JsonScan {
    fn step(&mut self, byte: u8) -> bool {
        self.length += 1;
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => (self.in_string, self.length) = (!self.in_string, 0),
            b'[' | b'{' if !self.in_string => self.depth += 1,
            b']' | b'}' if !self.in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth <= MAX_DEPTH && (self.length <= MAX_TOKEN || !self.in_string)
    }
}

#[derive(Default)]
pub(super) struct HtmlScan {
    length: usize,
}

impl Scan for HtmlScan {
    fn step(&mut self, byte: u8) -> bool {
        self.length = if matches!(byte, b'<' | b'>') { 0 } else { self.length + 1 };
        self.length <= MAX_TOKEN
    }
}
