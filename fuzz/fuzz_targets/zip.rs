//! Any bytes as a ZIP archive: records, then every member inflated.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pydist::zip::{Archive, Limits};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { members: 1000, member_size: 1 << 20, total_size: 4 << 20 };
    let Ok(archive) = Archive::open(bytes, &limits) else { return };
    assert!(archive.members.len() <= 1000);
    for member in &archive.members {
        let mut size = 0;
        let read = member.read(bytes, |piece| {
            size += piece.len() as u64;
            Ok(())
        });
        assert!(size <= member.size, "more came out than the archive says");
        assert!(read.is_err() || size == member.size, "less came out, and nobody said so");
    }
});
