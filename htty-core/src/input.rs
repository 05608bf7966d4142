//! Commands from standard input, one JSON object per line.

use std::io;

use rustix::io::Errno;

use crate::protocol::Command;

/// In bytes. Longer lines are skipped.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Splits standard input into lines.
#[derive(Default)]
pub(crate) struct Input {
    /// The start of an incomplete line.
    bytes: Vec<u8>,
    /// Whether the current line is too long, so that its rest is skipped.
    skipping: bool,
}

/// A command, or why a line is invalid.
pub(crate) type Line = Result<Command, String>;

impl Input {
    /// Reads the available lines; `None` at the end of standard input.
    pub(crate) fn read(&mut self) -> io::Result<Option<Vec<Line>>> {
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer[..]) {
            Ok(0) => Ok(None),
            Ok(count) => Ok(Some(self.split(&buffer[..count]))),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Some(Vec::new())),
            Err(error) => Err(error.into()),
        }
    }

    fn split(&mut self, mut new: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(length) = new.iter().position(|byte| *byte == b'\n') {
            self.add(&new[..length], &mut lines);
            new = &new[length + 1..];
            let skipped = std::mem::take(&mut self.skipping);
            let line = std::mem::take(&mut self.bytes);
            if !skipped && !line.trim_ascii().is_empty() {
                lines.push(parse(&line));
            }
        }
        self.add(new, &mut lines);
        lines
    }

    fn add(&mut self, part: &[u8], lines: &mut Vec<Line>) {
        if self.skipping {
            return;
        }
        if self.bytes.len() + part.len() > MAX_LINE {
            lines.push(Err(format!("skipped a line of more than {MAX_LINE} bytes")));
            self.bytes = Vec::new();
            self.skipping = true;
            return;
        }
        self.bytes.extend_from_slice(part);
    }
}

fn parse(line: &[u8]) -> Line {
    serde_json::from_slice(line).map_err(|error| {
        let start: String = String::from_utf8_lossy(line).chars().take(200).collect();
        format!("invalid command: {error}: {start}")
    })
}

#[cfg(test)]
mod tests {
    use super::{Input, MAX_LINE};
    use crate::protocol::Command;

    #[test]
    fn joins_lines_from_pieces() {
        let mut input = Input::default();
        assert!(input.split(b"{\"type\":\"ex").is_empty());
        let lines = input.split(b"it\"}\n\n{\"type\":\"takeSnapshot\"}\nnonsense\n{");
        let snapshot = Command::TakeSnapshot { settle: None, timeout: None, include: Vec::new() };
        assert_eq!(lines[..2], [Ok(Command::Exit), Ok(snapshot)]);
        assert!(lines[2].as_ref().unwrap_err().contains("nonsense"));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn skips_an_endless_line() {
        let mut input = Input::default();
        let piece = vec![b'x'; MAX_LINE / 4];
        let mut lines = Vec::new();
        for _ in 0..12 {
            lines.extend(input.split(&piece));
        }
        assert!(input.bytes.capacity() <= 2 * MAX_LINE);
        lines.extend(input.split(b"\n{\"type\":\"exit\"}\n"));
        assert_eq!(lines.len(), 2, "one error for the whole line");
        assert!(lines[0].as_ref().unwrap_err().contains("more than 16777216 bytes"));
        assert_eq!(lines[1], Ok(Command::Exit));
    }
}
