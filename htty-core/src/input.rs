//! Commands from standard input, a JSON object a line.

use std::io;

use rustix::io::Errno;

use crate::protocol::Command;

/// The longest line; what is longer is no command.
const LONGEST: usize = 16 * 1024 * 1024;

/// Lines of standard input as they come.
#[derive(Default)]
pub(crate) struct Input {
    /// The beginning of a line.
    bytes: Vec<u8>,
    /// The line that comes is too long; its rest is dropped.
    skips: bool,
}

/// What a line of standard input was.
pub(crate) type Line = Result<Command, String>;

impl Input {
    /// Reads what is there; `None` when standard input has ended.
    pub(crate) fn read(&mut self) -> io::Result<Option<Vec<Line>>> {
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer[..]) {
            Ok(0) => Ok(None),
            Ok(count) => Ok(Some(self.take(&buffer[..count]))),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Some(Vec::new())),
            Err(error) => Err(error.into()),
        }
    }

    fn take(&mut self, mut new: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(length) = new.iter().position(|byte| *byte == b'\n') {
            self.add(&new[..length], &mut lines);
            new = &new[length + 1..];
            let skipped = std::mem::take(&mut self.skips);
            let line = std::mem::take(&mut self.bytes);
            if !skipped && !line.trim_ascii().is_empty() {
                lines.push(parse(&line));
            }
        }
        self.add(new, &mut lines);
        lines
    }

    fn add(&mut self, part: &[u8], lines: &mut Vec<Line>) {
        if self.skips {
            return;
        }
        if self.bytes.len() + part.len() > LONGEST {
            lines.push(Err(format!("skipped a line of more than {LONGEST} bytes")));
            self.bytes = Vec::new();
            self.skips = true;
            return;
        }
        self.bytes.extend_from_slice(part);
    }
}

fn parse(line: &[u8]) -> Line {
    serde_json::from_slice(line).map_err(|error| {
        let start: String = String::from_utf8_lossy(line).chars().take(200).collect();
        format!("not a command: {error}: {start}")
    })
}

#[cfg(test)]
mod tests {
    use super::{Input, LONGEST};
    use crate::protocol::Command;

    #[test]
    fn lines_come_in_pieces() {
        let mut input = Input::default();
        assert!(input.take(b"{\"type\":\"ex").is_empty());
        let lines = input.take(b"it\"}\n\n{\"type\":\"takeSnapshot\"}\nnonsense\n{");
        let snapshot = Command::TakeSnapshot { settle: None, timeout: None, include: Vec::new() };
        assert_eq!(lines[..2], [Ok(Command::Exit), Ok(snapshot)]);
        assert!(lines[2].as_ref().unwrap_err().contains("nonsense"));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_line_without_end_is_skipped() {
        let mut input = Input::default();
        let piece = vec![b'x'; LONGEST / 4];
        let mut lines = Vec::new();
        for _ in 0..12 {
            lines.extend(input.take(&piece));
        }
        assert!(input.bytes.capacity() <= 2 * LONGEST);
        lines.extend(input.take(b"\n{\"type\":\"exit\"}\n"));
        assert_eq!(lines.len(), 2, "one error for the whole line");
        assert!(lines[0].as_ref().unwrap_err().contains("more than 16777216 bytes"));
        assert_eq!(lines[1], Ok(Command::Exit));
    }
}
