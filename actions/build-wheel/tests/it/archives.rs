//! Archives of unusual size and form, written and read by Python's `zipfile`.

use std::path::Path;
use std::process::Command;

use crate::support::*;

/// Writes a wheel of `sample` 1.0 to `argv[1]`: `argv[2]` members, the hashes
/// of RECORD by `argv[3]`, one more member of `argv[4]` MB.
const WRITE: &str = r#"
import base64, hashlib, os, sys, zipfile
path, count, algorithm, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
record = []
def listed(name, digest, size):
    text = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    record.append(f"{name},{algorithm}={text},{size}")
with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
    def add(name, content):
        archive.writestr(name, content)
        listed(name, hashlib.new(algorithm, content).digest(), len(content))
    for index in range(count):
        add(f"sample/data/{index:06}.txt", b"%d\n" % index)
    if size:
        hasher = hashlib.new(algorithm)
        block = os.urandom(1 << 20)
        with archive.open("sample/large.bin", "w", force_zip64=True) as member:
            for _ in range(size):
                member.write(block)
                hasher.update(block)
        listed("sample/large.bin", hasher.digest(), size << 20)
    add("sample/__init__.py", b"")
    add("sample-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n")
    add("sample-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    record.append("sample-1.0.dist-info/RECORD,,")
    archive.writestr("sample-1.0.dist-info/RECORD", "\n".join(record) + "\n")
"#;

/// Checks every member of `argv[1]` and prints their number.
const READ: &str = "
import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
print(len(archive.namelist()))
";

/// Runs the program in `argv` and prints the most memory that it held, in MB.
const PEAK: &str = "
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
";

const NAME: &str = "sample-1.0-py3-none-any.whl";

fn python(code: &str) -> Command {
    let mut command = testkit::tools::command("python3");
    command.args(["-c", code]);
    command
}

fn wheel(folder: &Path, members: usize, algorithm: &str, megabytes: usize) {
    let (members, megabytes) = (members.to_string(), megabytes.to_string());
    succeed(python(WRITE).arg(folder.join(NAME)).args([&members, algorithm, &megabytes]));
}

#[test]
fn more_members_than_fit_into_the_old_records() {
    let folder = tempfile::tempdir().unwrap();
    wheel(folder.path(), 66_000, "sha256", 0);
    succeed(build_wheel(folder.path()).args([NAME, "--smoke", "off"]));
    let read = succeed(python(READ).arg(folder.path().join("dist").join(NAME)));
    assert_eq!(read.trim(), "66004", "66,000 files and those of every wheel");
}

#[test]
fn records_with_longer_hashes_are_valid() {
    for algorithm in ["sha384", "sha512"] {
        let folder = tempfile::tempdir().unwrap();
        wheel(folder.path(), 3, algorithm, 0);
        succeed(build_wheel(folder.path()).args([NAME, "--smoke", "required"]));
        let bytes = std::fs::read(folder.path().join(NAME)).unwrap();
        let at = memchr::memmem::find(&bytes, b"000001.txt1").map_or(0, |at| at + 10);
        let mut damaged = bytes;
        damaged[at] ^= 2;
        std::fs::write(folder.path().join(NAME), damaged).unwrap();
        fail(build_wheel(folder.path()).args([NAME, "--smoke", "off"]), 1);
    }
}

#[test]
#[ignore = "soak: repairs a wheel of 716 MB"]
fn a_large_wheel_is_streamed() {
    let folder = tempfile::tempdir().unwrap();
    wheel(folder.path(), 10, "sha256", 716);
    let mut command = python(PEAK);
    command.arg(env!("CARGO_BIN_EXE_build-wheel")).current_dir(folder.path());
    let peak = succeed(command.args([NAME, "--smoke", "off"]));
    let peak: u64 = peak.lines().last().unwrap().trim().parse().unwrap();
    assert!(peak <= 256, "{peak} MB");
    let read = succeed(python(READ).arg(folder.path().join("dist").join(NAME)));
    assert_eq!(read.trim(), "15");
}

/// More than 4 GiB in one member: offsets and sizes of the new form.
#[test]
#[ignore = "soak: repairs a wheel of 4.1 GB"]
fn a_member_of_more_than_four_gigabytes() {
    let folder = tempfile::tempdir().unwrap();
    wheel(folder.path(), 1, "sha256", 4_100);
    succeed(build_wheel(folder.path()).args([NAME, "--smoke", "off"]));
    let read = succeed(python(READ).arg(folder.path().join("dist").join(NAME)));
    assert_eq!(read.trim(), "6");
}
