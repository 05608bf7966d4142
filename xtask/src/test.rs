//! `cargo xtask test`: all tests, with what they need.

use toolkit::{Cmd, Exit};

use crate::actions::{Actions, PACKAGES};
use crate::error::Error;
use crate::shell::{Shell, display, path_with};
use crate::tools;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// The Pythons that the packages support.
const PYTHONS: [&str; 5] = ["3.10", "3.11", "3.12", "3.13", "3.14"];

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The Rust crates' own tests
    Rust,
    /// The two Python packages, each in the environment that it is for
    Python,
    /// What spans them: workflows under act, the local release
    Whole,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    tools::set_up_tests(shell)?;
    if wanted(Part::Rust) {
        shell.inherit(&shell.cargo().args(["test", "--workspace", "--locked"]))?;
    }
    if wanted(Part::Python) {
        python(shell)?;
    }
    if wanted(Part::Whole) {
        let bin = tools::folder(shell).join("test/bin");
        let pytest = Cmd::new(display(&bin.join("pytest"))).args(["tests", "--ignore=tests/env_tests"]);
        shell.inherit(&pytest.env("PATH", path_with(&[bin, tools::folder(shell).join("bin")])))?;
    }
    Ok(Exit::Done)
}

/// Builds both packages as they are published, then runs their tests with each
/// Python that is at hand.
fn python(shell: &Shell) -> Result<(), Error> {
    let dist = shell.target.join("test-python/dist");
    let _ = std::fs::remove_dir_all(&dist);
    let tools = tools::environment(shell, "release")?;
    let actions = Actions::build(shell, &["build-wheel"], &tools)?;
    for (package, _) in PACKAGES {
        actions.build_wheel(package, &dist, &shell.target.join("test-python"))?;
    }
    let mut tested = 0;
    for version in PYTHONS {
        let uv =
            || Cmd::new(display(&tools.join("uv"))).args(["--no-config", "--quiet", "--no-python-downloads"]);
        let Ok(found) = shell.quiet(&uv().args(["python", "find", version])) else {
            shell.ui.info(format!(
                "Python {version} is not on this machine: the packages are not tested with it"
            ));
            continue;
        };
        let venv = dist.with_file_name(format!("venv-{version}"));
        let install = || uv().args(["pip", "install", "--python", &display(&venv)]);
        shell.quiet(&uv().args(["venv", "--clear", "--python", found.stdout.trim(), &display(&venv)]))?;
        let pytest = shell.root.join("xtask/requirements/pytest.txt");
        shell.quiet(&install().args(["--require-hashes", "-r", &display(&pytest)]))?;
        let beside = tools::build_requirements(shell)?;
        // Built here a moment ago, so no cache may answer for it.
        let packages = install().args(["--no-cache", "--no-index", "--find-links", &display(&beside)]);
        shell.quiet(&packages.args(["--find-links", &display(&dist), "htty"]))?;
        let path = path_with(&[venv.join("bin")]);
        let pytest = Cmd::new(display(&venv.join("bin/pytest"))).args(["htty-core/tests", "htty/tests"]);
        shell.inherit(&pytest.env("PATH", path).env("VIRTUAL_ENV", display(&venv)))?;
        tested += 1;
    }
    if tested == 0 {
        return Err(Error::Missing {
            what: "none of the supported Pythons is on this machine".into(),
            hint: format!("install one of {}", PYTHONS.join(", ")),
        });
    }
    Ok(())
}
