//! `cargo xtask test`: runs all tests and sets up what they need.

use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use toolkit::{Cmd, Exit, FileError, error_chain};

use crate::actions::{Actions, PACKAGES};
use crate::error::Error;
use crate::shell::{LOCAL, Shell, WORKSPACES, display, path_with};
use crate::{setup, tools};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// The supported versions of Python.
const PYTHONS: [&str; 5] = ["3.10", "3.11", "3.12", "3.13", "3.14"];

/// Tests of the terminal, which do not depend on the version of Python.
const TERMINAL_TESTS: [&str; 5] = [
    "htty-core/tests/test_listen.py",
    "htty-core/tests/test_ht.py::test_hundreds_of_megabytes_in_bounded_memory",
    "htty/tests/test_emulators.py",
    "htty/tests/test_examples.py",
    "htty/tests/test_programs.py",
];

/// Two test files in parallel: most tests wait for a single program, and the tests of a file
/// share what they build.
const TWO_FILES: [&str; 4] = ["--numprocesses", "2", "--dist", "loadfile"];

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The Rust crates' own tests
    Rust,
    /// The two Python packages, each in its own environment
    Python,
    /// The documents: their links, commands and workflows
    Documents,
    /// Tests across packages: workflows under act, the local release
    Whole,
}

/// Runs the parts one after another, even after a failure, so that a long run reports all
/// failures.
pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    setup::set_up_tests(shell)?;
    let mut failed = Vec::new();
    for part in Part::value_variants() {
        if !args.parts.is_empty() && !args.parts.contains(part) {
            continue;
        }
        if let Err(error) = part.run(shell) {
            shell.ui.error(error_chain(&error));
            failed.push(part.to_possible_value().map_or_else(String::new, |part| part.get_name().to_owned()));
        }
    }
    if failed.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Error::Check(format!("failed: cargo xtask test {}", failed.join(" "))))
}

impl Part {
    fn run(self, shell: &Shell) -> Result<(), Error> {
        match self {
            Self::Rust => rust(shell, &["--no-fail-fast"]),
            Self::Python => python(shell),
            Self::Documents => parallel_pytest(shell, &["tests/docs", "-m", "not soak and not book"]),
            Self::Whole => parallel_pytest(
                shell,
                &[
                    "tests",
                    // Shows where the time goes.
                    "--durations=15",
                    "--durations-min=10",
                    "--ignore=tests/docs",
                    "--ignore=tests/env_tests",
                    "--ignore=tests/lib_tests",
                    "-m",
                    "not workflow and not soak and not book",
                ],
            ),
        }
    }
}

/// Runs all tests of workflows and scripts, templates and the flake, also those that only
/// `cargo xtask soak` runs otherwise.
pub(crate) fn act(shell: &Shell) -> Result<Exit, Error> {
    setup::set_up_tests(shell)?;
    tools_pytest(shell, &["tests/act", "tests/consumers", "tests/flake", "tests/workflows", "--verbose"])?;
    Ok(Exit::Done)
}

/// Runs the Rust tests of all workspaces; `args` go to `cargo test`. With the profile of
/// the programs that other tests start, dependencies are compiled once.
pub(crate) fn rust(shell: &Shell, args: &[&str]) -> Result<(), Error> {
    let mut result = Ok(());
    // Continue after a failure, so that one run reports all failures.
    for manifest in WORKSPACES {
        let test = ["test", "--profile", LOCAL, "--manifest-path", manifest, "--workspace", "--locked"];
        result = result.and(shell.inherit(&shell.cargo().args(test).args(args.iter().copied())));
    }
    result
}

/// Runs pytest with two files in parallel. The slowest files, those under act, are first by
/// name.
fn parallel_pytest(shell: &Shell, args: &[&str]) -> Result<(), Error> {
    tools_pytest(shell, &[&TWO_FILES, &["--no-loadscope-reorder"][..], args].concat())
}

/// Runs pytest with the test tools first on PATH.
pub(crate) fn tools_pytest(shell: &Shell, args: &[&str]) -> Result<(), Error> {
    let bin = tools::directory(shell).join("test/bin");
    let pytest = Cmd::new(display(&bin.join("pytest"))).args(args.iter().copied());
    shell.inherit(&pytest.env("PATH", path_with(&[bin, tools::directory(shell).join("bin")])))
}

/// Builds both packages as for a release, then runs their tests with every available Python.
fn python(shell: &Shell) -> Result<(), Error> {
    let dist = shell.target.join("test-python/dist");
    let _ = std::fs::remove_dir_all(&dist);
    let tools = tools::environment(shell, "release")?;
    let actions = Actions::build(shell, &["build-wheel"], &tools)?;
    for (package, _) in PACKAGES {
        actions.build_wheel(package, &dist, &shell.target.join("test-python"))?;
    }
    // A single wheel from the source distribution works for every Python. The pinned build
    // requirements are those in the tool environment. Disable pip's cache of built wheels,
    // because its key is only the path.
    let wheel = Cmd::new(display(&tools.join("python")))
        .args(["-m", "pip", "wheel", "--quiet", "--no-cache-dir"])
        .args(["--no-build-isolation", "--no-deps", "--no-index"])
        .args(["--find-links", &display(&dist), "--wheel-dir", &display(&dist), "htty"]);
    shell.quiet(&wheel)?;
    let mut tested = 0;
    for version in PYTHONS {
        let find = uv(&tools).args(["python", "find", version]).env("PATH", path_with(&pyenv()));
        let Ok(found) = shell.quiet(&find) else {
            shell.ui.info(format!("skipping Python {version}: not installed"));
            continue;
        };
        let make = |name: &str, packages: &[&str]| {
            let venv = dist.with_file_name(format!("{name}-{version}"));
            environment(shell, &tools, &venv, found.stdout.trim(), &dist, packages).map(|()| venv)
        };
        let full = make("htty", &["htty"])?;
        let once = TERMINAL_TESTS.map(|test| format!("--deselect={test}"));
        let once = once.iter().map(String::as_str);
        let all = TWO_FILES.into_iter().chain(["htty-core/tests", "htty/tests"]);
        let args: Vec<&str> = all.chain(once).collect();
        let fish = tools::directory(shell).join("newer-fish/bin");
        pytest(shell, &full, Some(fish.clone()), &args)?;
        // A single Python is enough for the terminal and for the differences of environments.
        if tested == 0 {
            pytest(shell, &full, Some(fish), &TERMINAL_TESTS)?;
            pytest(shell, &full, None, &["tests/env_tests", "-m", "wheel or sdist or htty"])?;
            pytest(shell, &make("core", &["htty-core"])?, None, &["tests/lib_tests"])?;
            let empty = make("empty", &[])?;
            pytest(shell, &empty, None, &["tests/env_tests", "-m", "empty"])?;
            let program = dist.with_file_name("program");
            let _ = std::fs::remove_dir_all(&program);
            std::fs::create_dir_all(&program).map_err(FileError::new("create", &program))?;
            let link = program.join("htty");
            toolkit::link(&full.join("bin/htty"), &link)?;
            pytest(shell, &empty, Some(program), &["tests/env_tests", "-m", "cli"])?;
        }
        tested += 1;
    }
    if tested == 0 {
        return Err(Error::Missing {
            what: "found none of the supported Pythons".into(),
            hint: format!("install one of {}", PYTHONS.join(", ")),
        });
    }
    Ok(())
}

/// The directories of the Pythons that pyenv has installed. Its shims on PATH run only the
/// enabled ones.
fn pyenv() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let versions = root.and_then(|root| std::fs::read_dir(root.join("versions")).ok());
    versions.into_iter().flatten().flatten().map(|version| version.path().join("bin")).collect()
}

/// uv, ignoring user configuration.
fn uv(tools: &Path) -> Cmd {
    Cmd::new(display(&tools.join("uv"))).args(["--no-config", "--no-python-downloads"])
}

/// Creates a virtual environment with pytest and `packages` from `dist`.
fn environment(
    shell: &Shell,
    tools: &Path,
    venv: &Path,
    python: &str,
    dist: &Path,
    packages: &[&str],
) -> Result<(), Error> {
    let install = || uv(tools).args(["pip", "install", "--python", &display(venv)]);
    shell.quiet(&uv(tools).args(["venv", "--clear", "--python", python, &display(venv)]))?;
    let pytest = shell.root.join("xtask/requirements/pytest.txt");
    shell.quiet(&install().args(["--require-hashes", "-r", &display(&pytest)]))?;
    if !packages.is_empty() {
        // These were just built; do not use cached wheels.
        let from = ["--no-cache", "--no-index", "--find-links", &display(dist)];
        shell.quiet(&install().args(from).args(packages.iter().copied()))?;
    }
    Ok(())
}

/// Runs the pytest of an environment, with `beside` and its own programs first on PATH.
fn pytest(shell: &Shell, venv: &Path, beside: Option<PathBuf>, args: &[&str]) -> Result<(), Error> {
    let directories: Vec<PathBuf> = beside.into_iter().chain([venv.join("bin")]).collect();
    let cmd = Cmd::new(display(&venv.join("bin/pytest"))).args(args.iter().copied());
    // For the Rust program of the examples, which the tests build.
    let cmd = cmd.env("CARGO_TARGET_DIR", display(&shell.target));
    shell.inherit(&cmd.env("PATH", path_with(&directories)).env("VIRTUAL_ENV", display(venv)))
}
