//! Limits for what a parser holds in memory at a time.

use std::io::{self, Read};

/// The longest string of a JSON page, or the longest tag or text of an HTML
/// page, in bytes.
pub(super) const LONGEST: usize = 1024 * 1024;
/// How deep the values of a JSON page may be nested.
const DEEPEST: usize = 64;

/// A source that ends with an error once a part of it, which a parser holds in
/// memory as a whole, is too long.
pub(super) struct Bounded<R, S> {
    source: R,
    scan: S,
}

impl<R, S: Default> Bounded<R, S> {
    pub(super) fn new(source: R) -> Self {
        Self { source, scan: S::default() }
    }
}

/// Follows a stream byte by byte; false once a part of it is too long.
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
            "a part longer than {LONGEST} bytes, or nested deeper than {DEEPEST} levels"
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
        self.depth <= DEEPEST && (self.length <= LONGEST || !self.in_string)
    }
}

#[derive(Default)]
pub(super) struct HtmlScan {
    length: usize,
}

impl Scan for HtmlScan {
    fn step(&mut self, byte: u8) -> bool {
        self.length = if matches!(byte, b'<' | b'>') { 0 } else { self.length + 1 };
        self.length <= LONGEST
    }
}
