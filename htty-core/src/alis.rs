//! asciinema's live stream, version 1 (`ALiS`; docs.asciinema.org, "Live streaming"): one
//! binary message per event, with integers in LEB128.

use std::time::Duration;

use crate::protocol::Event;
use crate::protocol::Snapshot;

/// The WebSocket subprotocol.
pub(crate) const PROTOCOL: &str = "v1.alis";

/// The first message.
pub(crate) const MAGIC: &[u8] = b"ALiS\x01";

/// The part of an event that is the same for all viewers; its number and time differ.
#[derive(Debug)]
pub(crate) struct Part {
    kind: u8,
    data: Vec<u8>,
    /// Since the session's start.
    at: Duration,
}

/// One viewer's stream.
pub(crate) struct Stream {
    number: u64,
    last: Duration,
}

impl Part {
    pub(crate) fn new(event: &Event<'_>, at: Duration) -> Option<Self> {
        let mut data = Vec::new();
        let kind = match event {
            Event::Output { seq } => {
                text(seq, &mut data);
                b'o'
            }
            Event::Resize { cols, rows } => {
                integer((*cols).into(), &mut data);
                integer((*rows).into(), &mut data);
                b'r'
            }
            Event::ExitCode { exit_code } => {
                // Shells report signals like this.
                let status = if *exit_code < 0 { 128 - *exit_code } else { *exit_code };
                integer(u64::try_from(status).unwrap_or_default(), &mut data);
                b'x'
            }
            _ => return None,
        };
        Some(Self { kind, data, at })
    }
}

impl Stream {
    /// Starts a stream with the current screen, `at` after the start of the session.
    pub(crate) fn begin(screen: &Snapshot, at: Duration) -> (Self, Vec<u8>) {
        let mut message = vec![1];
        let size = |length: usize| u64::try_from(length).unwrap_or_default();
        for value in [0, micros(at), size(screen.cols), size(screen.rows), 0] {
            integer(value, &mut message);
        }
        text(&screen.seq, &mut message);
        (Self { number: 0, last: at }, message)
    }

    /// The message of an event.
    pub(crate) fn message(&mut self, part: &Part) -> Vec<u8> {
        self.number += 1;
        let mut message = vec![part.kind];
        integer(self.number, &mut message);
        integer(micros(part.at.saturating_sub(self.last)), &mut message);
        self.last = self.last.max(part.at);
        message.extend_from_slice(&part.data);
        message
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn integer(mut value: u64, into: &mut Vec<u8>) {
    loop {
        let byte = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            return into.push(byte);
        }
        into.push(byte | 0x80);
    }
}

fn text(text: &str, into: &mut Vec<u8>) {
    integer(u64::try_from(text.len()).unwrap_or_default(), into);
    into.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Part, Stream};
    use crate::protocol::{Event, Snapshot};

    /// The examples in the description of the protocol.
    #[test]
    fn messages_match_the_specification() {
        let screen = Snapshot { cols: 80, rows: 24, seq: "Hello!".into(), ..Snapshot::default() };
        let (mut stream, init) = Stream::begin(&screen, Duration::ZERO);
        assert_eq!(init, b"\x01\x00\x00\x50\x18\x00\x06Hello!");
        let mut message =
            |event: Event<'_>, at| stream.message(&Part::new(&event, Duration::from_millis(at)).unwrap());
        assert_eq!(message(Event::Output { seq: "ls -la\n" }, 125), b"\x6f\x01\xc8\xd0\x07\x07ls -la\n");
        assert_eq!(message(Event::Resize { cols: 100, rows: 30 }, 135), b"\x72\x02\x90\x4e\x64\x1e");
        assert_eq!(message(Event::ExitCode { exit_code: 0 }, 635), b"\x78\x03\xa0\xc2\x1e\x00");
        assert_eq!(message(Event::ExitCode { exit_code: -2 }, 635), b"\x78\x04\x00\x82\x01");
    }
}
