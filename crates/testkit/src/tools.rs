//! The tools that tests run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory that `cargo xtask setup-test-tools` fills: `XTASK_TOOLS`, or `tools` in the
/// target directory.
pub fn dir() -> PathBuf {
    match std::env::var_os("XTASK_TOOLS") {
        Some(dir) => dir.into(),
        None => target().join("tools"),
    }
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
}

fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// The path of the program `name`: in the tools directory (the test environment first), or on
/// PATH.
///
/// # Panics
/// If it is missing: tests must not pass without their tools.
pub fn path(name: &str) -> PathBuf {
    let dir = dir();
    let tools = [dir.join("test/bin"), dir.join("bin")];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = tools.into_iter().chain(std::env::split_paths(&path)).map(|dir| dir.join(name));
    candidates
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not installed: run `cargo xtask setup-test-tools`"))
}

/// A real distribution, downloaded by `cargo xtask setup-test-tools`.
///
/// # Panics
/// If it is missing.
pub fn corpus(file: &str) -> PathBuf {
    let path = dir().parent().unwrap_or(Path::new("")).join("corpus").join(file);
    assert!(path.is_file(), "`{}` is missing: run `cargo xtask setup-test-tools`", path.display());
    path
}

/// A command for the tool `name`, without the variables of a runner.
pub fn command(name: &str) -> Command {
    scrubbed(path(name))
}

/// A command for `program`, without `GITHUB_*`, `RUNNER_*`, `ACTIONS_*` and `INPUT_*`.
pub fn scrubbed(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a Python program in the test environment with a JSON file of `input` as its argument;
/// returns the value that it prints.
///
/// # Panics
/// If the program fails.
pub fn python(program: &str, input: &serde_json::Value) -> serde_json::Value {
    let dir = tempfile::tempdir().expect("the test tools run");
    let file = dir.path().join("input.json");
    std::fs::write(&file, input.to_string()).expect("the test tools run");
    let output = command("python").args(["-c", program]).arg(&file).output().expect("the test tools run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the test tools run")
}
