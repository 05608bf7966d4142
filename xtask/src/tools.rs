//! Tools: virtual environments from pinned and hashed requirements, which are recreated if
//! those change, and programs from pinned crates.

use std::fs::File;
use std::path::{Path, PathBuf};

use pydist::digest;
use toolkit::{Cmd, FileError};

use crate::error::Error;
use crate::shell::{Shell, display, path_with};

/// The Go module of actionlint; no Python package contains it.
const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12";

/// A peer in the bench of build-wheel.
const ARWEN: &str = "arwen@0.0.5";

/// Finds unused code in Nix files.
const DEADNIX: &str = "deadnix@1.3.1";

/// A port of nixfmt, which is not in a package registry itself.
const NIXFMT: &str = "nixfmt_rs@0.5.3";

/// Builds the book. Without its server and watcher, which need most of its dependencies.
const MDBOOK: &str = "mdbook@0.5.4";

/// The directory of all tool environments.
pub(crate) fn directory(shell: &Shell) -> PathBuf {
    shell.target.join("tools")
}

/// The virtual environment `name` with exactly the packages in
/// `xtask/requirements/name.txt`; returns its `bin`.
pub(crate) fn environment(shell: &Shell, name: &str) -> Result<PathBuf, Error> {
    let requirements = shell.root.join("xtask/requirements").join(format!("{name}.txt"));
    let directory = directory(shell).join(name);
    let bin = directory.join("bin");
    up_to_date(shell, &requirements, &directory, || {
        shell.ui.info(format!("installing {} into {}", display(&requirements), display(&directory)));
        let _ = std::fs::remove_dir_all(&directory);
        let python = python(shell)?;
        let made = shell.quiet(&Cmd::new(python).args(["-m", "venv", &display(&directory)]));
        made.map_err(|error| Error::Missing {
            what: format!("cannot create a virtual environment: {error}"),
            hint: "install Python's venv module (on Debian and Ubuntu: `apt-get install python3-venv`)"
                .into(),
        })?;
        let pip = Cmd::new(display(&bin.join("python"))).args(["-m", "pip", "--disable-pip-version-check"]);
        let file = display(&requirements);
        shell.quiet(&pip.args([
            "install",
            "--quiet",
            "--require-hashes",
            // The list is complete, but pip would look for further packages that extras
            // require.
            "--no-deps",
            "--only-binary=:all:",
            "-r",
            &file,
        ]))?;
        Ok(())
    })?;
    Ok(bin)
}

/// Installs the source distributions in `xtask/requirements/name.txt` into the environment of
/// `bin`, with the build backend of that environment.
pub(crate) fn add_source(shell: &Shell, bin: &Path, name: &str) -> Result<(), Error> {
    let requirements = display(&shell.root.join("xtask/requirements").join(format!("{name}.txt")));
    let pip = Cmd::new(display(&bin.join("python"))).args(["-m", "pip", "--disable-pip-version-check"]);
    let args = ["install", "--quiet", "--require-hashes", "--no-deps", "--no-build-isolation"];
    shell.quiet(&pip.args(args).args(["--no-binary=:all:", "-r", &requirements]))?;
    Ok(())
}

/// The directory with the build requirements of htty's source distribution, for the local
/// index.
pub(crate) fn build_requirements(shell: &Shell) -> Result<PathBuf, Error> {
    let bin = environment(shell, "release")?;
    let requirements = shell.root.join("xtask/requirements/build.txt");
    let directory = directory(shell).join("build-requirements");
    up_to_date(shell, &requirements, &directory, || {
        let _ = std::fs::remove_dir_all(&directory);
        let pip = Cmd::new(display(&bin.join("python"))).args(["-m", "pip", "--disable-pip-version-check"]);
        let (into, from) = (display(&directory), display(&requirements));
        let args =
            ["download", "--quiet", "--require-hashes", "--only-binary=:all:", "-d", &into, "-r", &from];
        shell.quiet(&pip.args(args))?;
        Ok(())
    })?;
    Ok(directory)
}

/// Runs `make` unless it made `directory` from the same `recipe`, a file.
pub(crate) fn up_to_date(
    shell: &Shell,
    recipe: &Path,
    directory: &Path,
    make: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let content = std::fs::read(recipe).map_err(FileError::new("read", recipe))?;
    // Not in the directory, because its content may be served or listed.
    let stamp = directory.with_extension("stamp");
    let expected = digest::hex(&digest::sha256(&content));
    let _lock = lock(shell, directory)?;
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == expected) {
        return Ok(());
    }
    let _ = std::fs::remove_file(&stamp);
    make()?;
    Ok(toolkit::write_atomic(&stamp, expected.as_bytes())?)
}

/// Locks `directory` until the result is dropped; waits for other processes.
pub(crate) fn lock(shell: &Shell, directory: &Path) -> Result<File, Error> {
    let path = directory.with_extension("lock");
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(FileError::new("create", parent))?;
    }
    let file = File::create(&path).map_err(FileError::new("create", &path))?;
    if file.try_lock().is_err() {
        shell.ui.info(format!("waiting for another process that creates `{}`", display(directory)));
        file.lock().map_err(FileError::new("lock", &path))?;
    }
    Ok(file)
}

/// Finds a Python of version 3.10 or newer.
fn python(shell: &Shell) -> Result<String, Error> {
    const CHECK: &str = "import sys; sys.exit(sys.version_info < (3, 10))";
    let found = ["python3", "python"]
        .into_iter()
        .find(|name| shell.quiet(&Cmd::new(*name).args(["-c", CHECK])).is_ok());
    found.map(str::to_owned).ok_or_else(|| Error::Missing {
        what: "found no Python 3.10 or newer on PATH".into(),
        hint: "install Python and make it available as `python3`".into(),
    })
}

/// Builds actionlint with the Go of the test environment; returns its path.
pub(crate) fn actionlint(shell: &Shell) -> Result<PathBuf, Error> {
    let bin = directory(shell).join("bin");
    let program = bin.join("actionlint");
    if !program.is_file() {
        shell.ui.info("building actionlint");
        let path = path_with(&[directory(shell).join("test/bin")]);
        let go = Cmd::new("go").args(["install", ACTIONLINT]).env("GOBIN", display(&bin)).env("PATH", path);
        shell.quiet(&go)?;
    }
    Ok(program)
}

/// Builds arwen, which edits binaries as build-wheel does; returns its directory.
pub(crate) fn arwen(shell: &Shell) -> Result<PathBuf, Error> {
    from_crate(shell, ARWEN, &[])
}

/// Builds deadnix; returns its path.
pub(crate) fn deadnix(shell: &Shell) -> Result<PathBuf, Error> {
    Ok(from_crate(shell, DEADNIX, &[])?.join("deadnix"))
}

/// Builds nixfmt; returns its path.
pub(crate) fn nixfmt(shell: &Shell) -> Result<PathBuf, Error> {
    Ok(from_crate(shell, NIXFMT, &[])?.join("nixfmt"))
}

/// Builds mdBook; returns its path.
pub(crate) fn mdbook(shell: &Shell) -> Result<PathBuf, Error> {
    Ok(from_crate(shell, MDBOOK, &["--no-default-features", "--features", "search"])?.join("mdbook"))
}

/// Builds the programs of `krate` (a name with a version) with its own lock file and `options`
/// of `cargo install`; returns their directory.
pub(crate) fn from_crate(shell: &Shell, krate: &str, options: &[&str]) -> Result<PathBuf, Error> {
    let root = directory(shell).join(krate);
    // Cargo creates this file first and fills it last.
    if !std::fs::metadata(root.join(".crates.toml")).is_ok_and(|record| record.len() > 0) {
        shell.ui.info(format!("building {krate}"));
        let args = ["install", "--quiet", "--locked", krate, "--root", &display(&root)];
        let install = shell.cargo().args(args).args(options.iter().copied());
        shell.quiet(&install.without("CARGO_TARGET_DIR"))?;
    }
    Ok(root.join("bin"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use toolkit::{Env, Ui};

    use super::*;

    #[test]
    fn one_process_at_a_time_creates_a_directory() {
        let place = tempfile::tempdir().unwrap();
        let ui = Ui::from_env(&Env::from_process());
        let (root, target) = (place.path().to_owned(), place.path().to_owned());
        let shell = Shell { ui: &ui, root, target };
        let tools = directory(&shell);
        let first = lock(&shell, &tools).unwrap();
        let _other = lock(&shell, &tools.join("release")).unwrap();
        let (done, wait) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _second = lock(&shell, &tools).unwrap();
                done.send(()).unwrap();
            });
            assert!(wait.recv_timeout(Duration::from_millis(200)).is_err());
            drop(first);
            wait.recv_timeout(Duration::from_secs(60)).unwrap();
        });
    }
}
