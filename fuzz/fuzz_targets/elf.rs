//! Any bytes as an ELF file.

#![no_main]

use std::collections::BTreeSet;

use binfmt::elf::ElfInfo;
use libfuzzer_sys::fuzz_target;
use pydist::policy::Linux;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(facts) = ElfInfo::read(bytes) {
        let _ = facts.arch();
        let _ =
            Linux::of("manylinux", (2, 17)).map(|policy| policy.excess(&facts, "x86_64", &BTreeSet::new()));
    }
});
