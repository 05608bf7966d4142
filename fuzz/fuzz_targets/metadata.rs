//! Any bytes as METADATA or WHEEL, and its requirements.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pydist::metadata::Metadata;
use pydist::wheel_file::WheelFile;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = WheelFile::parse(bytes) {
        // What is written is read back.
        let again = WheelFile::parse(&file.write());
        assert!(again.is_err() || again.is_ok_and(|again| again.tags().eq(file.tags())));
    }
    let Ok(metadata) = Metadata::parse(bytes) else { return };
    assert!(!metadata.name.is_empty() && !metadata.version.is_empty());
    let _ = metadata.description();
    for requirement in metadata.requires_dist() {
        let _ = pydist::requirement::parse(requirement)
            .map(|requirement| pydist::requirement::pin(&requirement).cloned());
    }
});
