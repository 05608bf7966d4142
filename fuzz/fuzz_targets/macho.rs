//! Any bytes as a Mach-O file.

#![no_main]

use binfmt::macho::MachOInfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(facts) = MachOInfo::read(bytes) {
        assert!(!facts.slices.is_empty());
    }
});
