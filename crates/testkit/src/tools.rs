//! The tools that tests start.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that `cargo xtask setup-test-tools` fills: `XTASK_TOOLS`, or
/// `tools` in the target folder.
pub fn folder() -> PathBuf {
    match std::env::var_os("XTASK_TOOLS") {
        Some(folder) => folder.into(),
        None => target().join("tools"),
    }
}

/// The workspace's root.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
}

fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace().join(folder),
        None => workspace().join("target"),
    }
}

/// The program `name`: from the tools folder (the test environment first),
/// else from PATH.
///
/// # Panics
/// When it is in neither: a test never passes for want of a tool.
pub fn path(name: &str) -> PathBuf {
    let folder = folder();
    let own = [folder.join("test/bin"), folder.join("bin")];
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = own.into_iter().chain(std::env::split_paths(&on_path)).map(|folder| folder.join(name));
    places
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("`{name}` is not installed: run `cargo xtask setup-test-tools`"))
}

/// A real distribution, downloaded by `cargo xtask setup-test-tools`.
///
/// # Panics
/// When it is missing.
pub fn corpus(file: &str) -> PathBuf {
    let path = folder().parent().unwrap_or(Path::new("")).join("corpus").join(file);
    assert!(path.is_file(), "`{}` is missing: run `cargo xtask setup-test-tools`", path.display());
    path
}

/// A command for the tool `name`, without the variables by which a runner
/// would be mistaken for this one.
pub fn command(name: &str) -> Command {
    scrubbed(path(name))
}

/// A command for `program` without `GITHUB_*`, `RUNNER_*`, `ACTIONS_*`,
/// `INPUT_*`.
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

/// Runs a Python program of the tools' environment with a value as its
/// standard input; gives the value that it prints.
///
/// # Panics
/// When the program fails.
pub fn python(program: &str, input: &serde_json::Value) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("the test tools run");
    let file = folder.path().join("input.json");
    std::fs::write(&file, input.to_string()).expect("the test tools run");
    let output = command("python").args(["-c", program]).arg(&file).output().expect("the test tools run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the test tools run")
}
