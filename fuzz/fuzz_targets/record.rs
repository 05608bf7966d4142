//! Any bytes as RECORD; what was understood is written and read back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pydist::record;

fuzz_target!(|bytes: &[u8]| {
    let Ok(entries) = record::parse(bytes) else { return };
    let again = record::parse(&record::write(&entries)).expect("what was written can be read");
    assert_eq!(again, entries);
});
