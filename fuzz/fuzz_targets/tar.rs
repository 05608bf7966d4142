//! Any bytes as a tar archive, without the compression around it: what gzip
//! makes of random bytes would hide the records.

#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use pydist::tar;
use pydist::zip::Limits;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { members: 1000, member_size: 1 << 20, total_size: 1 << 20 };
    let read_all = |_, reader: &mut dyn Read| io::copy(reader, &mut io::sink()).map(drop);
    let _ = tar::walk(bytes, &limits, read_all);
    let _ = tar::walk(&stored(bytes)[..], &limits, read_all);
});

/// `bytes` as a gzip stream of stored blocks, its check sum right.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut chunks = bytes.chunks(0xffff).peekable();
    while let Some(chunk) = chunks.next() {
        let size = chunk.len() as u16;
        out.push(u8::from(chunks.peek().is_none()));
        out.extend(size.to_le_bytes());
        out.extend((!size).to_le_bytes());
        out.extend(chunk);
    }
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    out.extend((!crc).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}
