//! Any bytes as a PE file.

#![no_main]

use binfmt::pe::{PeInfo, file_version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(facts)) = PeInfo::read(bytes) {
        let _ = facts.arch();
    }
    let _ = file_version(bytes);
});
