//! Runs this repository's actions like a workflow.

use std::path::{Path, PathBuf};

use toolkit::{Cmd, CommandOutput, ProcessError};

use crate::error::Error;
use crate::shell::{LOCAL, Shell, display, path_with};

/// The packages of this repository with their build-wheel backends, in the order of their
/// dependencies.
pub(crate) const PACKAGES: [(&str, &str); 2] = [("htty-core", "maturin"), ("htty", "sdist")];

/// The programs of some actions, with the tools that they use.
pub(crate) struct Actions<'a> {
    shell: &'a Shell<'a>,
    pub(crate) bin: PathBuf,
    tools: PathBuf,
}

impl<'a> Actions<'a> {
    /// Builds the programs of `actions`. `tools` is first on their PATH.
    pub(crate) fn build(shell: &'a Shell, actions: &[&str], tools: &Path) -> Result<Self, Error> {
        Ok(Self { shell, bin: shell.build(actions)?, tools: tools.to_owned() })
    }

    /// Runs an action.
    pub(crate) fn run(&self, action: &str, args: &[&str]) -> Result<(), Error> {
        let cmd = Cmd::new(display(&self.bin.join(action))).args(args.iter().copied());
        let path = path_with(std::slice::from_ref(&self.tools));
        // Ignore the inputs of an outer workflow's step.
        let mut cmd = cmd.env("PATH", path).without("GITHUB_ACTIONS");
        if action == "publish" {
            // The local index accepts any password, but publish requires one.
            cmd = cmd.env("INPUT_PASSWORD", "none-needed");
        }
        let result = self.shell.run(&cmd);
        // The report lists what was done, or what failed.
        match &result {
            Ok(CommandOutput { stdout, .. }) | Err(Error::Process(ProcessError::Failed { stdout, .. })) => {
                self.shell.ui.info(stdout);
            }
            Err(_) => {}
        }
        result.map(drop)
    }

    /// Builds one of [`PACKAGES`] into `dist`, with its report in `reports`.
    pub(crate) fn build_wheel(&self, package: &str, dist: &Path, reports: &Path) -> Result<(), Error> {
        let backend =
            PACKAGES.iter().find(|(name, _)| *name == package).map_or("auto", |(_, backend)| backend);
        let report = display(&reports.join(format!("{package}.json")));
        let (dist, python) = (display(dist), display(&self.tools.join("python")));
        let mut args = vec![package, "--backend", backend, "--out-dir", &dist, "--report-path", &report];
        if backend == "maturin" {
            args.extend(["--profile", LOCAL]);
        }
        if backend == "sdist" {
            // Use the pinned build backend instead of the newest one.
            args.extend(["--no-build-isolation", "--python", &python]);
        }
        self.run("build-wheel", &args)
    }

    /// Sets the tags of a wheel according to its content, and writes it to `dist`.
    pub(crate) fn tag_wheel(&self, wheel: &Path, dist: &Path, report: &Path) -> Result<(), Error> {
        let (wheel, dist, report) = (display(wheel), display(dist), display(report));
        self.run("build-wheel", &[&wheel, "--backend", "wheel", "--out-dir", &dist, "--report-path", &report])
    }
}
