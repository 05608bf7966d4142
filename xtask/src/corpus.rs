//! Downloads real distributions for tests and benches, pinned by hash.

use std::path::{Path, PathBuf};

use pydist::digest;
use toolkit::{Cmd, Exit, FileError};

use crate::error::Error;
use crate::shell::{Shell, display};
use crate::tools;

/// Lists with one file per line: requirement, file name and SHA-256.
const LISTS: [&str; 3] = [
    "actions/verify-dist/benches/wheels.txt",
    "crates/distcheck/tests/corpus.txt",
    "crates/installs/tests/pips.txt",
];

/// The standing corpus: popular files of all platforms and backends.
const POPULAR: &str = "crates/distcheck/tests/popular.txt";
/// The reviewed findings of the rules in it.
const FINDINGS: &str = "crates/distcheck/tests/popular-findings.txt";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if the findings differ from the reviewed ones
    #[arg(long)]
    check: bool,
}

/// Downloads the standing corpus, checks each file separately, and writes the findings.
pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    #[derive(serde::Deserialize)]
    struct Report {
        findings: Vec<Finding>,
    }
    #[derive(serde::Deserialize)]
    struct Finding {
        rule: String,
        severity: String,
    }
    let directory = download_popular(shell)?;
    shell.run(&shell.cargo().args([
        "build",
        "--quiet",
        "--locked",
        "--workspace",
        "--bin",
        "verify-dist",
    ]))?;
    let program = display(&shell.target.join("debug/verify-dist"));
    let list = shell.root.join(POPULAR);
    let list = std::fs::read_to_string(&list).map_err(FileError::new("read", &list))?;
    let mut text = String::from("# File, then the findings of the rules. Written by `cargo xtask corpus`.\n");
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let file = line.split_whitespace().nth(1).unwrap_or_default();
        let path = display(&directory.join(file));
        let verify = Cmd::new(&program).args([path.as_str(), "--format", "json", "--manifest", "none"]);
        // Exit code 1 means findings, which are not a failure here.
        let start = |source| toolkit::ProcessError::Start { program: verify.program.clone(), source };
        let output = verify.command().output().map_err(start)?.stdout;
        let report: Report = serde_json::from_slice(&output)
            .map_err(|error| Error::Check(format!("{file}: verify-dist printed no report: {error}")))?;
        let mut found: Vec<String> =
            report.findings.iter().map(|finding| format!("{}:{}", finding.severity, finding.rule)).collect();
        found.sort();
        found.dedup();
        text.push_str(&format!("{file} {}\n", found.join(" ")));
    }
    let path = shell.root.join(FINDINGS);
    if std::fs::read_to_string(&path).unwrap_or_default() == text {
        shell.ui.info("the findings match the reviewed ones");
    } else if args.check {
        let message = format!("{FINDINGS} is not up to date; run `cargo xtask corpus` and review the change");
        return Err(Error::Check(message));
    } else {
        toolkit::write_atomic(&path, text.as_bytes())?;
        shell.ui.info(format!("wrote {FINDINGS}: review the change"));
    }
    Ok(Exit::Done)
}

/// Downloads the standing corpus to `target/corpus` and returns that directory.
pub(crate) fn download_popular(shell: &Shell) -> Result<PathBuf, Error> {
    download_lists(shell, &[POPULAR])
}

/// Downloads the files of all lists to `target/corpus` and returns that directory.
pub(crate) fn download(shell: &Shell) -> Result<PathBuf, Error> {
    download_lists(shell, &LISTS)
}

fn download_lists(shell: &Shell, lists: &[&str]) -> Result<PathBuf, Error> {
    let directory = shell.target.join("corpus");
    let bin = tools::environment(shell, "test")?;
    std::fs::create_dir_all(&directory).map_err(FileError::new("create", &directory))?;
    let mut wanted = String::new();
    for list in lists {
        let path = shell.root.join(list);
        let text = std::fs::read_to_string(&path).map_err(FileError::new("read", &path))?;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let [_, file, sha256] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                return Err(Error::Check(format!("{list}: expected three columns, found `{line}`")));
            };
            if !has_sha256(&directory.join(file), sha256)? {
                wanted.push_str(line);
                wanted.push('\n');
            }
        }
    }
    if !wanted.is_empty() {
        shell.ui.info(format!("downloading {} files to `{}`", wanted.lines().count(), directory.display()));
        let script = display(&shell.root.join("xtask/scripts/download_files.py"));
        let python = Cmd::new(display(&bin.join("python"))).args([script, display(&directory)]);
        shell.run(&python.stdin(wanted))?;
    }
    Ok(directory)
}

/// Whether the file exists and has this SHA-256.
fn has_sha256(path: &Path, sha256: &str) -> Result<bool, Error> {
    if !path.is_file() {
        return Ok(false);
    }
    let file = std::fs::File::open(path).map_err(FileError::new("read", path))?;
    let (found, _) = digest::sha256_reader(file).map_err(FileError::new("read", path))?;
    Ok(digest::hex(&found) == sha256)
}
