//! Runs the programs of tasks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toolkit::{Cmd, CommandOutput, FileError, OutputMode, Ui};

use crate::error::Error;

/// The manifests of the workspaces of the actions and the terminal.
pub(crate) const WORKSPACES: [&str; 2] = ["Cargo.toml", "htty-core/Cargo.toml"];

/// The profile of programs that are not shipped; see `Cargo.toml`.
pub(crate) const LOCAL: &str = "local";

/// Timeout of a step.
const TIMEOUT: Duration = Duration::from_secs(80 * 60);

/// Runs programs in the repository.
pub(crate) struct Shell<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) root: PathBuf,
    /// Cargo's target directory, which contains everything that is built or installed.
    pub(crate) target: PathBuf,
}

impl<'a> Shell<'a> {
    pub(crate) fn new(ui: &'a Ui) -> Result<Self, Error> {
        // Cargo sets this for `cargo run`. The compiled-in value is for a directly started binary.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
        let manifest = manifest.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().unwrap_or(&manifest).to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let target = root.join(target);
        std::fs::create_dir_all(&target).map_err(FileError::new("create", &target))?;
        Ok(Self { ui, root, target })
    }

    /// Runs `cmd` in the repository and shows its standard error immediately.
    pub(crate) fn run(&self, cmd: &Cmd) -> Result<CommandOutput, Error> {
        self.start(cmd, OutputMode::Shown)
    }

    /// Runs `cmd` in the repository; its output is shown only if it fails.
    pub(crate) fn quiet(&self, cmd: &Cmd) -> Result<CommandOutput, Error> {
        self.start(cmd, OutputMode::Quiet)
    }

    fn start(&self, cmd: &Cmd, mode: OutputMode) -> Result<CommandOutput, Error> {
        let mut cmd = cmd.clone();
        cmd.directory.get_or_insert_with(|| self.root.clone());
        Ok(cmd.run(self.ui, mode, TIMEOUT)?)
    }

    /// Runs `cmd` with the inherited output of this process, for test runners and programs that
    /// show progress.
    pub(crate) fn inherit(&self, cmd: &Cmd) -> Result<(), Error> {
        self.ui.info(format!("$ {cmd}"));
        let mut command = cmd.command();
        if cmd.directory.is_none() {
            command.current_dir(&self.root);
        }
        let start = |source| toolkit::ProcessError::Start { program: cmd.program.clone(), source };
        let status = command.status().map_err(start)?;
        if status.success() { Ok(()) } else { Err(Error::Check(format!("`{cmd}` failed with {status}"))) }
    }

    /// git, which accepts a checkout of another user, as in a container.
    pub(crate) fn git(&self) -> Cmd {
        Cmd::new("git").args(["-c", &format!("safe.directory={}", display(&self.root))])
    }

    /// The tracked files that match `patterns`.
    pub(crate) fn tracked(&self, patterns: &[&str]) -> Result<Vec<String>, Error> {
        let list = self.git().args(["ls-files", "--"]).args(patterns.iter().copied());
        Ok(self.quiet(&list)?.stdout.lines().map(str::to_owned).collect())
    }

    /// The cargo that runs this process.
    pub(crate) fn cargo(&self) -> Cmd {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        Cmd::new(cargo).env("CARGO_TARGET_DIR", display(&self.target))
    }

    /// Builds all programs of both workspaces; returns their directory. Builds the same as the
    /// tests, because another choice of packages would rebuild dependencies with other
    /// features.
    pub(crate) fn build_for_tests(&self) -> Result<PathBuf, Error> {
        for manifest in WORKSPACES {
            let build = ["build", "--profile", LOCAL, "--manifest-path", manifest, "--workspace"];
            self.inherit(&self.cargo().args(build).args(["--bins", "--tests", "--locked"]))?;
        }
        Ok(self.target.join(LOCAL))
    }

    /// Builds `programs` for use on this machine, showing cargo's progress; returns their
    /// directory. Uses the features of the whole workspace, so that each dependency is compiled
    /// only once.
    pub(crate) fn build(&self, programs: &[&str]) -> Result<PathBuf, Error> {
        let mut cmd = self.cargo().args(["build", "--profile", LOCAL, "--locked", "--workspace"]);
        for program in programs {
            cmd = cmd.args(["--bin", program]);
        }
        self.inherit(&cmd)?;
        Ok(self.target.join(LOCAL))
    }
}

/// A path as an argument.
pub(crate) fn display(path: &Path) -> String {
    path.display().to_string()
}

/// `PATH` with `directories` first.
pub(crate) fn path_with(directories: &[PathBuf]) -> String {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let all = directories.iter().cloned().chain(std::env::split_paths(&old));
    std::env::join_paths(all).unwrap_or(old).to_string_lossy().into_owned()
}
