//! Large wheels, written by Python's `zipfile`, and the peak memory of programs.

use std::path::Path;

use crate::tools;

/// Writes a wheel of `sample` 1.0 to `argv[1]`, with `argv[2]` members, hashes of the
/// algorithm `argv[3]` in RECORD, and another member `argv[5]` of `argv[4]` MB that starts
/// with the bytes on standard input.
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

/// Runs the program in `argv` and prints its peak memory in MB.
const PEAK: &str = "
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
";

/// A wheel of `sample` 1.0.
#[derive(Debug)]
pub struct Large {
    /// The number of small members.
    pub members: usize,
    /// The hash algorithm of RECORD.
    pub algorithm: &'static str,
    /// The size of an additional member in MB; 0 for none.
    pub megabytes: usize,
    /// The path of that member.
    pub name: &'static str,
    /// The start of its content.
    pub head: Vec<u8>,
}

impl Default for Large {
    fn default() -> Self {
        Self { members: 1, algorithm: "sha256", megabytes: 0, name: "sample/large.bin", head: Vec::new() }
    }
}

impl Large {
    /// Writes the wheel, with the tag of the file name.
    pub fn write(&self, path: &Path) {
        let mut command = assert_cmd::Command::from_std(tools::command("python3"));
        command.args(["-c", WRITE]).arg(path).arg(self.members.to_string()).arg(self.algorithm);
        command.args([&self.megabytes.to_string(), self.name]).write_stdin(self.head.clone());
        command.assert().success();
    }
}

/// The peak memory of the program in MB; it must succeed.
pub fn peak(program: &[&str], dir: &Path) -> u64 {
    let mut command = assert_cmd::Command::from_std(tools::command("python3"));
    let output = command.args(["-c", PEAK]).args(program).current_dir(dir).assert().success();
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    text.trim().parse().expect("a number of MB")
}
