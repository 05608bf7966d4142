//! Real distributions, for tests and benches: downloaded once, by hash.

use std::path::{Path, PathBuf};

use pydist::digest;
use toolkit::{Cmd, FileError};

use crate::error::Error;
use crate::shell::{Shell, display};
use crate::tools;

/// The lists: one file per line, with requirement, platform, Python version, file
/// name and SHA-256.
const LISTS: [&str; 3] = [
    "actions/verify-dist/benches/wheels.txt",
    "crates/distcheck/tests/corpus.txt",
    "crates/installs/tests/pips.txt",
];

/// Downloads the files of all lists to `target/corpus` and returns that directory.
pub(crate) fn download(shell: &Shell) -> Result<PathBuf, Error> {
    let directory = shell.target.join("corpus");
    let bin = tools::environment(shell, "test")?;
    std::fs::create_dir_all(&directory).map_err(FileError::new("create", &directory))?;
    for list in LISTS {
        let path = shell.root.join(list);
        let text = std::fs::read_to_string(&path).map_err(FileError::new("read", &path))?;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let [requirement, platform, python, file, sha256] =
                line.split_whitespace().collect::<Vec<_>>()[..]
            else {
                return Err(Error::Check(format!("{list}: expected five columns, found `{line}`")));
            };
            let target = directory.join(file);
            if is(&target, sha256)? {
                continue;
            }
            shell.ui.info(format!("downloading {file}"));
            // pip accepts a hash only in a requirements file.
            let wanted = directory.join("wanted.in");
            toolkit::write_atomic(&wanted, format!("{requirement} --hash=sha256:{sha256}\n").as_bytes())?;
            let pip =
                Cmd::new(display(&bin.join("python"))).args(["-m", "pip", "--disable-pip-version-check"]);
            let pip = pip.args([
                "download",
                "--quiet",
                "--no-deps",
                "--require-hashes",
                "-d",
                &display(&directory),
            ]);
            let pip = match platform {
                // pip asks the build backend for metadata: hatchling, which is in the
                // environment, or the project itself.
                "sdist" => pip.args(["--no-binary=:all:", "--no-build-isolation"]),
                platform => {
                    pip.args(["--only-binary=:all:", "--platform", platform, "--python-version", python])
                }
            };
            let path = crate::shell::path_with(std::slice::from_ref(&bin));
            shell.quiet(&pip.args(["-r", &display(&wanted)]).env("PATH", path))?;
            if !is(&target, sha256)? {
                return Err(Error::Check(format!("{list}: pip did not download `{file}` for `{line}`")));
            }
        }
    }
    Ok(directory)
}

/// Whether the file exists with this SHA-256.
fn is(path: &Path, sha256: &str) -> Result<bool, Error> {
    if !path.is_file() {
        return Ok(false);
    }
    let file = std::fs::File::open(path).map_err(FileError::new("read", path))?;
    let (found, _) = digest::sha256_reader(file).map_err(FileError::new("read", path))?;
    Ok(digest::hex(&found) == sha256)
}
