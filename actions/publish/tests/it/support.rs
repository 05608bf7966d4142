//! Distributions in a temporary directory, and runs of the binary on them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use pydist::digest;
use pydist::filename::DistName;
use pydist::manifest::{File, Kind, Manifest};
use serde_json::Value;
use testkit::oidc::Oidc;
use testkit::tools;
use testkit::warehouse::TOKEN;

/// A temporary directory: `dist/` with distributions and their manifest.
pub(crate) struct Set {
    pub(crate) dir: tempfile::TempDir,
}

/// The result of a run of the binary.
pub(crate) struct RunOutput {
    pub(crate) code: i32,
    pub(crate) text: String,
    pub(crate) report: Value,
}

impl Set {
    /// `htty-core` as a wheel and a source, and `htty`, which requires it.
    pub(crate) fn htty() -> Self {
        let set = Self::empty();
        set.add("htty-0.3.0.tar.gz", "Requires-Dist: htty-core==0.3.0\n", 3000);
        set.add("htty-0.3.0-py3-none-any.whl", "Requires-Dist: htty-core==0.3.0\n", 3000);
        set.add("htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl", "", 1000);
        set.add("htty_core-0.3.0.tar.gz", "", 1000);
        set.write_manifest();
        set
    }

    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dist")).unwrap();
        Self { dir }
    }

    pub(crate) fn dist(&self) -> PathBuf {
        self.dir.path().join("dist")
    }

    /// Makes a distribution with `filler` bytes that depend on its name.
    pub(crate) fn add(&self, filename: &str, metadata: &str, filler: usize) {
        self.add_with("2.4", filename, metadata, filler);
    }

    /// Like `add`, with another metadata version.
    pub(crate) fn add_with(&self, metadata_version: &str, filename: &str, metadata: &str, filler: usize) {
        let name: DistName = filename.parse().unwrap();
        let (project, version) = (name.project(), name.version().to_owned());
        let metadata = format!(
            "Metadata-Version: {metadata_version}\nName: {project}\nVersion: {version}\n{metadata}\n"
        );
        let seed = digest::sha256(format!("{filename}{metadata}").as_bytes());
        let filler: Vec<u8> = seed.iter().copied().cycle().take(filler).collect();
        let bytes = match &name {
            DistName::Wheel(wheel) => {
                let info = wheel.dist_info();
                zip(&[(format!("{info}/METADATA"), metadata.into_bytes()), ("filler".to_owned(), filler)])
            }
            DistName::Sdist(sdist) => {
                let root = format!("{}-{}", sdist.name, sdist.version);
                tar_gz(&[
                    (format!("{root}/PKG-INFO"), metadata.into_bytes()),
                    (format!("{root}/filler"), filler),
                ])
            }
        };
        fs::write(self.dist().join(filename), bytes).unwrap();
    }

    /// Writes the manifest that verify-dist would write for the current files.
    pub(crate) fn write_manifest(&self) {
        let files = self.files().into_iter().map(|path| {
            let filename = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (name, bytes): (DistName, _) = (filename.parse().unwrap(), fs::read(&path).unwrap());
            File {
                kind: if name.wheel().is_some() { Kind::Wheel } else { Kind::Sdist },
                package: name.project().to_string(),
                version: name.version().to_owned(),
                size: bytes.len() as u64,
                sha256: digest::hex(&digest::sha256(&bytes)),
                tags: vec![],
                rules: vec![],
                filename,
            }
        });
        fs::write(self.manifest(), Manifest::new("test", files.collect()).to_json()).unwrap();
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.path().join("dist-manifest.json")
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            fs::read_dir(self.dist()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The binary on this set, without an index.
    pub(crate) fn command(&self) -> std::process::Command {
        let mut command = tools::scrubbed(program());
        for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        command.arg(self.dist()).env("INPUT_MANIFEST", self.manifest());
        command.arg("--report-path").arg(self.report_path());
        command
    }

    /// The binary on this set against a loopback index.
    pub(crate) fn publish(&self, url: &str, args: &[&str]) -> RunOutput {
        let mut command = self.command();
        command
            .args(["--index", url, "--allow-insecure-loopback"])
            .args(args)
            .env("INPUT_VERIFY_TIMEOUT", "5");
        command.env("INPUT_RETRY_FOR", "6").env("INPUT_PASSWORD", TOKEN);
        self.run(command)
    }

    /// The binary with trusted publishing through `oidc`.
    pub(crate) fn publish_trusted(&self, url: &str, oidc: &Oidc, args: &[&str]) -> RunOutput {
        let mut command = self.command();
        command
            .args(["--index", url, "--allow-insecure-loopback"])
            .args(args)
            .env("INPUT_VERIFY_TIMEOUT", "5");
        command.env("INPUT_RETRY_FOR", "6").envs(oidc.env());
        self.run(command)
    }

    pub(crate) fn run(&self, mut command: std::process::Command) -> RunOutput {
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        let report = fs::read(self.report_path()).ok();
        let report = report.map(|bytes| serde_json::from_slice(&bytes).unwrap()).unwrap_or_default();
        RunOutput { code: output.status.code().unwrap_or(-1), text, report }
    }

    pub(crate) fn report_path(&self) -> PathBuf {
        self.dir.path().join("publish-report.json")
    }
}

impl RunOutput {
    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    /// File names with their states in the report.
    pub(crate) fn states(&self) -> Vec<(String, String)> {
        let files = self.report["files"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        files.iter().map(|file| (text(&file["filename"]), text(&file["state"]))).collect()
    }

    /// Like `states`; empty if the run ended before it knew its files.
    pub(crate) fn states_or_none(&self) -> Vec<(String, String)> {
        if self.report["files"].is_array() { self.states() } else { Vec::new() }
    }

    #[track_caller]
    pub(crate) fn all(&self, state: &str) {
        assert!(self.states().iter().all(|(_, found)| found == state), "{:?}", self.states());
    }
}

/// The program under test; `PUBLISH` may name another build of it.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("PUBLISH").unwrap_or_else(|| env!("CARGO_BIN_EXE_publish").into()).into()
}

/// Runs a command on a set. Also returns its peak memory in bytes (Linux; else 0).
pub(crate) fn peak(set: &Set, mut command: std::process::Command) -> (RunOutput, u64) {
    let (out, err) = (set.dir.path().join("stdout"), set.dir.path().join("stderr"));
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    let mut most = 0;
    let status = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        most = most.max(kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1024);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    let text = fs::read_to_string(out).unwrap() + &fs::read_to_string(err).unwrap();
    let report = fs::read(set.report_path()).ok();
    let report = report.map(|bytes| serde_json::from_slice(&bytes).unwrap()).unwrap_or_default();
    (RunOutput { code: status.code().unwrap_or(-1), text, report }, most)
}

/// An uncompressed zip archive.
fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    let u16s = |numbers: &[usize]| {
        numbers.iter().flat_map(|n| u16::try_from(*n).unwrap().to_le_bytes()).collect::<Vec<_>>()
    };
    let u32s = |numbers: &[usize]| {
        numbers.iter().flat_map(|n| u32::try_from(*n).unwrap().to_le_bytes()).collect::<Vec<_>>()
    };
    for (name, bytes) in members {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let mut common = u16s(&[20, 0, 0, 0, 33]);
        common.extend(crc.sum().to_le_bytes());
        common.extend(u32s(&[bytes.len(), bytes.len()]));
        common.extend(u16s(&[name.len(), 0]));
        directory.extend(
            [
                &b"PK\x01\x02"[..],
                &u16s(&[20]),
                &common,
                &u16s(&[0, 0, 0]),
                &u32s(&[0, out.len()]),
                name.as_bytes(),
            ]
            .concat(),
        );
        out.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), bytes].concat());
    }
    let end = [u16s(&[0, 0, members.len(), members.len()]), u32s(&[directory.len(), out.len()]), u16s(&[0])]
        .concat();
    [out, directory, b"PK\x05\x06".to_vec(), end].concat()
}

fn tar_gz(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(gz);
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let mut gz = archive.into_inner().unwrap();
    gz.flush().unwrap();
    gz.finish().unwrap()
}

/// Changes a byte in the middle of a file.
pub(crate) fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}
