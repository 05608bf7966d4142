//! Archives of unusual size or structure, written and read by Python's `zipfile`.

use std::path::Path;
use std::process::Command;

use testkit::large::{Large, peak};

use crate::support::*;

/// Checks every member of `argv[1]` and prints their number.
const READ: &str = "
import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
print(len(archive.namelist()))
";

const NAME: &str = "sample-1.0-py3-none-any.whl";

fn python(code: &str) -> Command {
    let mut command = testkit::tools::command("python3");
    command.args(["-c", code]);
    command
}

fn wheel(dir: &Path, members: usize, algorithm: &'static str, megabytes: usize) {
    Large { members, algorithm, megabytes, ..Large::default() }.write(&dir.join(NAME));
}

#[test]
fn more_members_than_fit_without_zip64() {
    let dir = tempfile::tempdir().unwrap();
    wheel(dir.path(), 66_000, "sha256", 0);
    succeed(build_wheel(dir.path()).args([NAME, "--smoke", "off"]));
    let read = succeed(python(READ).arg(dir.path().join("dist").join(NAME)));
    assert_eq!(read.trim(), "66004", "66,000 files and those of every wheel");
}

#[test]
fn accepts_records_with_longer_hashes() {
    for algorithm in ["sha384", "sha512"] {
        let dir = tempfile::tempdir().unwrap();
        wheel(dir.path(), 3, algorithm, 0);
        succeed(build_wheel(dir.path()).args([NAME, "--smoke", "required"]));
        let bytes = std::fs::read(dir.path().join(NAME)).unwrap();
        let at = memchr::memmem::find(&bytes, b"000001.txt1").map_or(0, |at| at + 10);
        let mut damaged = bytes;
        damaged[at] ^= 2;
        std::fs::write(dir.path().join(NAME), damaged).unwrap();
        fail(build_wheel(dir.path()).args([NAME, "--smoke", "off"]), 1);
    }
}

#[test]
#[ignore = "soak: repairs a wheel of 716 MB"]
fn streams_a_large_wheel() {
    let dir = tempfile::tempdir().unwrap();
    wheel(dir.path(), 10, "sha256", 716);
    let program = [env!("CARGO_BIN_EXE_build-wheel"), NAME, "--smoke", "off"];
    let peak = peak(&program, dir.path());
    assert!(peak <= 256, "{peak} MB");
    let read = succeed(python(READ).arg(dir.path().join("dist").join(NAME)));
    assert_eq!(read.trim(), "15");
}

/// More than 4 GiB in one member: zip64 offsets and sizes.
#[test]
#[ignore = "soak: repairs a wheel of 4.1 GB"]
fn a_member_of_more_than_four_gigabytes() {
    let dir = tempfile::tempdir().unwrap();
    wheel(dir.path(), 1, "sha256", 4_100);
    succeed(build_wheel(dir.path()).args([NAME, "--smoke", "off"]));
    let read = succeed(python(READ).arg(dir.path().join("dist").join(NAME)));
    assert_eq!(read.trim(), "6");
}
