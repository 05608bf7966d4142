//! Fixtures: binaries from real compilers, wheels with them, and the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use build_wheel::repair::{self, Options, WheelError};
use pydist::record;

/// A well-formed store path that exists on no machine.
pub(crate) const STORE: &str = "/nix/store/abcdefghijklmnopqrstuvwxyz012345";

/// One file of a wheel under construction.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
}

pub(crate) fn file(name: &str, content: impl AsRef<[u8]>) -> File {
    File { name: name.into(), content: content.as_ref().to_vec(), mode: 0o100_755 }
}

/// The metadata of `sample` 1.0, `files`, and a correct RECORD.
pub(crate) fn members(files: &[File]) -> Vec<File> {
    let mut all = files.to_vec();
    all.push(file("sample-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n"));
    all.push(file(
        "sample-1.0.dist-info/WHEEL",
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n",
    ));
    let entries = all.iter().map(|file| record::Entry::of(&file.name, &file.content));
    let entries: Vec<_> = entries.chain([record::Entry::unhashed("sample-1.0.dist-info/RECORD")]).collect();
    all.push(file("sample-1.0.dist-info/RECORD", record::write(&entries)));
    all
}

/// An uncompressed zip archive of these members.
pub(crate) fn zip(members: &[File]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for File { name, content, mode } in members {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let mut common = Vec::new();
        for word in [20_u16, 1 << 11, 0, 0, 33] {
            common.extend(word.to_le_bytes());
        }
        common.extend(crc.sum().to_le_bytes());
        common.extend([size, size].concat());
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        directory
            .extend([&b"PK\x01\x02\x14\x03"[..], &common, &[0; 6], &(mode << 16).to_le_bytes()].concat());
        directory.extend(u32::try_from(out.len()).unwrap().to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), content].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let place = [directory.len(), out.len()].map(|size| u32::try_from(size).unwrap().to_le_bytes());
    [out, directory, [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &place[0], &place[1], &[0, 0]].concat()]
        .concat()
}

/// A wheel with one program, `sample`.
pub(crate) fn program_wheel(program: &[u8]) -> Vec<u8> {
    zip(&members(&[file("sample-1.0.data/scripts/sample", program)]))
}

pub(crate) const WHEEL: &str = "sample-1.0-py3-none-linux_x86_64.whl";

/// A repaired wheel, with its bytes.
#[derive(Debug)]
pub(crate) struct Repaired {
    pub(crate) wheel: repair::Repaired,
    pub(crate) bytes: Vec<u8>,
}

impl std::ops::Deref for Repaired {
    type Target = repair::Repaired;

    fn deref(&self) -> &repair::Repaired {
        &self.wheel
    }
}

pub(crate) fn repaired(wheel: &[u8]) -> Result<Repaired, WheelError> {
    repaired_with(WHEEL, wheel, &Options::default())
}

pub(crate) fn repaired_with(name: &str, wheel: &[u8], options: &Options) -> Result<Repaired, WheelError> {
    let mut bytes = Vec::new();
    let wheel = repair::repair(name, wheel, options, &mut bytes)?;
    Ok(Repaired { wheel, bytes })
}

/// The program `sample` of a repaired wheel.
pub(crate) fn program_of(wheel: &Repaired) -> Vec<u8> {
    repair::member(&wheel.bytes, "sample-1.0.data/scripts/sample").unwrap()
}

/// Compiles C code. `arguments` are split at blanks; `{}` in them is the output
/// directory.
pub(crate) fn compile(compiler: &[&str], dir: &Path, name: &str, source: &str, arguments: &str) -> Vec<u8> {
    let input = dir.join(format!("{name}.c"));
    std::fs::write(&input, source).unwrap();
    let out = dir.join(name);
    let mut command = testkit::tools::command(compiler[0]);
    command.args(&compiler[1..]).arg(&input).arg("-o").arg(&out);
    command.args(arguments.split_whitespace().map(|word| word.replace("{}", &dir.display().to_string())));
    command.env("ZIG_GLOBAL_CACHE_DIR", testkit::tools::dir().join("zig-cache"));
    command.env("ZIG_LOCAL_CACHE_DIR", dir.join("zig-cache"));
    succeed(&mut command);
    std::fs::read(&out).unwrap()
}

pub(crate) const HELLO: &str =
    "#include <stdio.h>\nint main(int n, char **v) { printf(\"hello %d\\n\", n); return 0; }\n";

/// The machine's compiler, with GNU ld.
pub(crate) const CC: [&str; 1] = ["cc"];

/// Sets interpreter and RUNPATH in the store, like nixpkgs' linker wrapper.
pub(crate) fn nix_flags(loader: &str) -> String {
    format!(
        "-Wl,--dynamic-linker={STORE}-glibc-2.40/lib/{loader} -Wl,-rpath,{STORE}-glibc-2.40/lib:{STORE}-gcc/lib"
    )
}

/// Writes a program and runs it.
pub(crate) fn execute(dir: &Path, program: &[u8], with: &[&str]) -> std::io::Result<Output> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join("program");
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    match with {
        [] => Command::new(&path).output(),
        [first, rest @ ..] => testkit::tools::command(first).args(rest).arg(&path).output(),
    }
}

/// The program `build-wheel`, without the runner's variables and with the
/// tools on PATH.
pub(crate) fn build_wheel(dir: &Path) -> Command {
    let mut command = testkit::tools::scrubbed(env!("CARGO_BIN_EXE_build-wheel"));
    let maturin = testkit::tools::path("maturin");
    let tools = maturin.parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path))).unwrap();
    command.current_dir(dir).env("PATH", path).env_remove("SOURCE_DATE_EPOCH");
    // Each project has its own target directory, because tests run in parallel.
    command.env_remove("CARGO_TARGET_DIR");
    command
}

/// Runs a command that must succeed. Returns its standard output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{error}\n{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with this exit code. Returns its standard error.
pub(crate) fn fail(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{error}");
    error
}

/// The names of the files in a directory; empty if it does not exist.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writes text files into a directory.
pub(crate) fn write(dir: &Path, files: &[(&str, &str)]) -> PathBuf {
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir.to_owned()
}

/// A maturin project with one program, `sample`, which counts its arguments.
pub(crate) fn project(dir: &Path) {
    // Without `strip`, because for macOS rustc needs an LLVM program for it.
    let cargo = "[package]\nname = \"sample\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[profile.release]\nopt-level = 1\nstrip = false\n[workspace]\n";
    let pyproject = "[build-system]\nrequires = [\"maturin>=1,<2\"]\nbuild-backend = \"maturin\"\n[project]\nname = \"sample\"\nversion = \"1.0.0\"\n[tool.maturin]\nbindings = \"bin\"\n";
    let main = "fn main() { println!(\"hello {}\", std::env::args().count()); }\n";
    write(dir, &[("Cargo.toml", cargo), ("pyproject.toml", pyproject), ("src/main.rs", main)]);
}

/// The report in the directory.
pub(crate) fn report(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(dir.join("build-report.json")).unwrap()).unwrap()
}

/// verify-dist's report on the wheel that build-wheel built: errors, and notes with the
/// rule's id.
pub(crate) fn verified(dir: &Path) -> (Vec<String>, Vec<String>) {
    let wheel = dir.join("dist").join(report(dir)["filename"].as_str().unwrap());
    let dists = distcheck::scan(&[wheel], &distcheck::Limits::default(), 2).unwrap();
    let verdict = distcheck::check(
        &distcheck::Set { dists: &dists, ..Default::default() },
        &distcheck::Selection::Files,
    );
    let of = |severity: distcheck::Severity| {
        let findings = verdict.findings.iter().filter(move |finding| finding.severity == severity);
        findings.map(|finding| format!("{}: {}", finding.rule, finding.message)).collect()
    };
    // The sample is not a complete project.
    let errors: Vec<String> = of(distcheck::Severity::Error);
    (errors.into_iter().filter(|error| !error.starts_with("MET")).collect(), of(distcheck::Severity::Note))
}
