//! The memory and disk space that a large wheel needs.

use testkit::large::{Large, peak};
use testkit::wheel::Elf;

const NAME: &str = "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl";

/// 1.5 GB in one binary: read once, and kept neither in memory nor in a temporary file.
#[test]
#[ignore = "soak: a wheel of 1.5 GB"]
fn a_large_wheel_needs_neither_memory_nor_temporary_space() {
    let dir = tempfile::tempdir().unwrap();
    let name = "sample/core.cpython-312-x86_64-linux-gnu.so";
    let head = Elf { defined: Some("PyInit_core".into()), ..Elf::default() }.bytes();
    Large { megabytes: 1_500, name, head, ..Large::default() }.write(&dir.path().join(NAME));
    let program = env!("CARGO_BIN_EXE_verify-dist");
    // No file can be created in a directory that does not exist.
    let without = ["env", "TMPDIR=/no/such/directory", program, NAME, "--manifest", "none"];
    let peak = peak(&without, dir.path());
    assert!(peak <= 64, "{peak} MB");
}
