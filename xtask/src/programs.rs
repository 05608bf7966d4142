//! `cargo xtask pack-programs`: packs the four programs into a wheel for PyPI, which
//! `build-wheel` then tags (docs/decisions/0034).

use std::path::{Path, PathBuf};

use libdeflater::{CompressionLvl, Compressor};
use pydist::digest;
use pydist::record::{self, Entry};
use pydist::zip::{Content, NewMember, pack, pack_deflated, write};
use serde_json::Value;
use toolkit::{Choice as _, Cmd, Exit, FileError, Generated};

use crate::error::Error;
use crate::generate::ACTIONS;
use crate::shell::{Shell, display};

/// The distribution's name on PyPI.
pub(crate) const NAME: &str = "wheel-actions";

/// The version of the programs, which is that of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The description for PyPI.
const DESCRIPTION: &str = "actions/wheel-actions.md";

/// The hashes of the released programs.
const PINS: &str = "actions/binaries.json";

/// The licence files of the wheel.
const LICENSES: [&str; 2] = ["LICENSE", "actions/THIRD-PARTY-LICENSES.txt"];

/// The files of this repository that go into the wheel.
pub(crate) const SOURCES: [&str; 3] = [DESCRIPTION, LICENSES[0], LICENSES[1]];

/// 1980, the earliest time in a ZIP archive. `build-wheel` sets another one.
const EPOCH: u64 = 315_532_800;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rust target of the programs
    #[arg(long)]
    target: String,
    /// Directory with the programs, named PROGRAM-TARGET or PROGRAM
    #[arg(long)]
    binaries: PathBuf,
    /// Write the wheel to this directory
    #[arg(long)]
    out_dir: PathBuf,
    /// URL of the source code, for the page on PyPI
    #[arg(long)]
    source_url: Option<String>,
}

/// The programs to pack.
pub(crate) struct Programs<'a> {
    pub(crate) target: &'a str,
    pub(crate) binaries: &'a Path,
    pub(crate) source_url: Option<&'a str>,
    /// Whether each program must have the hash in actions/binaries.json.
    pub(crate) is_released: bool,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    let binaries = shell.root.join(&args.binaries);
    let programs = Programs {
        target: &args.target,
        binaries: &binaries,
        source_url: args.source_url.as_deref(),
        is_released: true,
    };
    let wheel = pack_wheel(shell, &programs, &shell.root.join(&args.out_dir))?;
    shell.ui.report(display(&wheel));
    Ok(Exit::Done)
}

/// A file in the wheel.
struct WheelFile {
    name: String,
    is_executable: bool,
    bytes: Vec<u8>,
}

/// Writes the wheel to `out_dir`, deterministically.
pub(crate) fn pack_wheel(shell: &Shell, programs: &Programs, out_dir: &Path) -> Result<PathBuf, Error> {
    let platform = platform(programs.target)?;
    let stem = format!("{}-{VERSION}", NAME.replace('-', "_"));
    let mut files = Vec::new();
    // Nix does not support Windows.
    let is_packed = |program: &&str| !(programs.target.contains("-windows-") && *program == "setup-nix");
    for program in ACTIONS.into_iter().filter(is_packed) {
        add_program(shell, programs, program, &stem, &mut files)?;
    }
    add_metadata(shell, programs.source_url, &stem, &platform, &mut files)?;
    let record = format!("{stem}.dist-info/RECORD");
    let mut entries: Vec<Entry> = files.iter().map(|file| Entry::of(&file.name, &file.bytes)).collect();
    entries.push(Entry::unhashed(&record));
    files.push(WheelFile { name: record, is_executable: false, bytes: record::write(&entries) });
    let path = out_dir.join(format!("{stem}-py3-none-{platform}.whl"));
    let bytes = archive(&files).map_err(FileError::new("write", &path))?;
    toolkit::write_atomic(&path, &bytes)?;
    Ok(path)
}

/// The Rust target of this machine.
pub(crate) fn host_target() -> String {
    let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-gnu" };
    format!("{}-{system}", std::env::consts::ARCH)
}

/// The platform tag for a target. For Linux and macOS it is preliminary: `build-wheel` replaces
/// it by what the programs need.
fn platform(target: &str) -> Result<String, Error> {
    let (arch, system) = target.split_once('-').unwrap_or_default();
    let tag = match system {
        "unknown-linux-musl" | "unknown-linux-gnu" => format!("linux_{arch}"),
        "apple-darwin" if arch == "aarch64" => "macosx_11_0_arm64".to_owned(),
        "apple-darwin" => format!("macosx_10_12_{arch}"),
        "pc-windows-msvc" | "pc-windows-gnu" if arch == "x86_64" => "win_amd64".to_owned(),
        "pc-windows-msvc" if arch == "aarch64" => "win_arm64".to_owned(),
        _ => {
            return Err(Error::Missing {
                what: format!("no platform tag is known for the target `{target}`"),
                hint: "expected a target such as `x86_64-unknown-linux-musl`".into(),
            });
        }
    };
    Ok(tag)
}

/// Adds a program with its man page and completions.
fn add_program(
    shell: &Shell,
    programs: &Programs,
    program: &str,
    stem: &str,
    files: &mut Vec<WheelFile>,
) -> Result<(), Error> {
    let suffix = if programs.target.contains("-windows-") { ".exe" } else { "" };
    let names = [format!("{program}-{}{suffix}", programs.target), format!("{program}{suffix}")];
    let found = names.iter().map(|name| programs.binaries.join(name)).find(|path| path.is_file());
    let path = found.ok_or_else(|| Error::Missing {
        what: format!("`{}` has neither `{}` nor `{}`", display(programs.binaries), names[0], names[1]),
        hint: "download the files of the release, or build them with .github/build-binaries.sh".into(),
    })?;
    let bytes = std::fs::read(&path).map_err(FileError::new("read", &path))?;
    if programs.is_released {
        check_pin(shell, program, programs.target, &path, &bytes)?;
    }
    // Downloaded files are not executable.
    toolkit::make_executable(&path)?;
    for kind in Generated::VALUES {
        let cmd = Cmd::new(display(&path)).args(["--generate", kind.word()]);
        let text = shell.quiet(&cmd)?.stdout;
        let name = format!("{stem}.data/data/{}", kind.path(program));
        files.push(WheelFile { name, is_executable: false, bytes: text.into_bytes() });
    }
    let name = format!("{stem}.data/scripts/{program}{suffix}");
    files.push(WheelFile { name, is_executable: true, bytes });
    Ok(())
}

/// Compares a program with the hash that the release pinned.
fn check_pin(shell: &Shell, program: &str, target: &str, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let pins = shell.root.join(PINS);
    let text = std::fs::read_to_string(&pins).map_err(FileError::new("read", &pins))?;
    let json: Value = serde_json::from_str(&text)
        .map_err(|error| Error::Check(format!("{PINS} is not valid JSON: {error}")))?;
    let expected = json["binaries"][format!("{program} {target}")]["sha256"].as_str();
    let expected = expected.ok_or_else(|| Error::Missing {
        what: format!("{PINS} has no entry `{program} {target}`"),
        hint: "check out the commit of a tag `v…`: on main the file is empty".into(),
    })?;
    let found = digest::hex(&digest::sha256(bytes));
    if found == expected && json["version"] == VERSION {
        return Ok(());
    }
    Err(Error::Check(format!(
        "`{}` has SHA-256 {found}, version {VERSION}; expected {expected}, version {} from {PINS}",
        display(path),
        json["version"]
    )))
}

fn add_metadata(
    shell: &Shell,
    source_url: Option<&str>,
    stem: &str,
    platform: &str,
    files: &mut Vec<WheelFile>,
) -> Result<(), Error> {
    let read = |file: &str| {
        let path = shell.root.join(file);
        std::fs::read_to_string(&path).map_err(FileError::new("read", &path))
    };
    let mut add = |name: &str, text: String| {
        let name = format!("{stem}.dist-info/{name}");
        files.push(WheelFile { name, is_executable: false, bytes: text.into_bytes() });
    };
    let mut licenses = String::new();
    for file in LICENSES {
        licenses.push_str(&format!("License-File: {file}\n"));
        add(&format!("licenses/{file}"), read(file)?);
    }
    let url = source_url.map_or_else(String::new, |url| format!("Project-URL: Source, {url}\n"));
    let description = read(DESCRIPTION)?;
    add(
        "METADATA",
        format!(
            "Metadata-Version: 2.4\nName: {NAME}\nVersion: {VERSION}\n\
            Summary: Build, verify and publish Rust-backed Python wheels: build-wheel, verify-dist, publish, setup-nix\n\
            {url}Author: The authors of {NAME}\nKeywords: wheel,nix,maturin,manylinux,publish\n\
            License-Expression: MIT\n{licenses}\
            Classifier: Environment :: Console\n\
            Classifier: Intended Audience :: Developers\n\
            Classifier: Programming Language :: Rust\n\
            Classifier: Topic :: Software Development :: Build Tools\n\
            Requires-Python: >=3.7\n\
            Description-Content-Type: text/markdown\n\n{description}"
        ),
    );
    add(
        "WHEEL",
        format!(
            "Wheel-Version: 1.0\nGenerator: xtask {VERSION}\nRoot-Is-Purelib: false\n\
            Tag: py3-none-{platform}\n"
        ),
    );
    Ok(())
}

/// The raw deflate stream, if it is smaller. Uses libdeflate, whose output is 3 % smaller than
/// zlib's best, because a wheel is downloaded much more often than it is packed.
fn deflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut compressor = Compressor::new(CompressionLvl::best());
    let mut out = vec![0; compressor.deflate_compress_bound(bytes.len())];
    let count = compressor.deflate_compress(bytes, &mut out).ok()?;
    out.truncate(count);
    (count < bytes.len()).then_some(out)
}

fn archive(files: &[WheelFile]) -> std::io::Result<Vec<u8>> {
    let mut scratch = Content::new(&std::env::temp_dir());
    let mut members = Vec::new();
    for file in files {
        let packed = match deflate(&file.bytes) {
            Some(deflated) => pack_deflated(&file.bytes, &deflated, &mut scratch)?,
            None => pack(file.bytes.as_slice(), 1, &mut scratch)?,
        };
        members.push(NewMember::new(&file.name, file.is_executable, packed));
    }
    let mut out = Vec::new();
    write(&members, b"".as_slice(), &scratch, EPOCH, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_released_target_has_a_platform() {
        let workflow = include_str!("../../.github/workflows/actions-release.yml");
        let targets: Vec<&str> =
            workflow.lines().filter_map(|line| line.trim().strip_prefix("- target: ")).collect();
        assert!(targets.len() >= 4, "{targets:?}");
        for target in targets {
            let tag = platform(target).unwrap();
            assert!(pydist::policy::index_accepts(&tag) || tag.starts_with("linux_"), "{target}: {tag}");
        }
        assert!(platform("wasm32-wasip1").is_err());
    }
}
