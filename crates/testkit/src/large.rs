//! Wheels of unusual size, written by Python's `zipfile`, and the memory that a
//! program takes for them.

use std::path::Path;

use crate::tools;

/// Writes a wheel of `sample` 1.0 to `argv[1]`: `argv[2]` members, the hashes of
/// RECORD by `argv[3]`, one more member `argv[5]` of `argv[4]` MB that starts with
/// the bytes on standard input.
const WRITE: &str = r#"
import base64, hashlib, os, sys, zipfile
path, count, algorithm, size, name = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
tag = path.removesuffix(".whl").split("-", 2)[2]
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
        head = sys.stdin.buffer.read()
        first = head + block[len(head):]
        with archive.open(name, "w", force_zip64=size > 4000) as member:
            for index in range(size):
                member.write(block if index else first)
                hasher.update(block if index else first)
        listed(name, hasher.digest(), size << 20)
    add("sample/__init__.py", b"")
    add("sample-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n")
    purelib = "true" if tag.endswith("any") else "false"
    text = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: {purelib}\nTag: {tag}\n"
    add("sample-1.0.dist-info/WHEEL", text.encode())
    record.append("sample-1.0.dist-info/RECORD,,")
    archive.writestr("sample-1.0.dist-info/RECORD", "\n".join(record) + "\n")
"#;

/// Runs the program in `argv` and prints the most memory that it held, in MB.
const PEAK: &str = "
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
";

/// A wheel of `sample` 1.0.
#[derive(Debug)]
pub struct Large {
    /// So many small members.
    pub members: usize,
    /// Of the hashes in RECORD.
    pub algorithm: &'static str,
    /// The size of one more member; 0 for none.
    pub megabytes: usize,
    /// That member's path.
    pub name: &'static str,
    /// What it starts with.
    pub head: Vec<u8>,
}

impl Default for Large {
    fn default() -> Self {
        Self { members: 1, algorithm: "sha256", megabytes: 0, name: "sample/large.bin", head: Vec::new() }
    }
}

impl Large {
    /// Writes it; the tag is that of the file name.
    pub fn write(&self, path: &Path) {
        let mut command = assert_cmd::Command::from_std(tools::command("python3"));
        command.args(["-c", WRITE]).arg(path).arg(self.members.to_string()).arg(self.algorithm);
        command.args([&self.megabytes.to_string(), self.name]).write_stdin(self.head.clone());
        command.assert().success();
    }
}

/// The most memory that the program held, in MB; it must end with 0.
pub fn peak(program: &[&str], folder: &Path) -> u64 {
    let mut command = assert_cmd::Command::from_std(tools::command("python3"));
    let output = command.args(["-c", PEAK]).args(program).current_dir(folder).assert().success();
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    text.trim().parse().expect("a number of MB")
}
