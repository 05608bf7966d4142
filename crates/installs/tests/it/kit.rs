//! Helpers shared by the tests.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use installs::environment::{Environment, Python, Runtime};
use installs::file::File;
use serde_json::{Value, json};

/// The releases of `tests/releases.txt`, each with its files.
pub(crate) fn releases() -> Vec<Vec<File>> {
    let mut releases: Vec<Vec<File>> = Vec::new();
    for line in include_str!("../releases.txt").lines().filter(|line| !line.starts_with('#')) {
        let (name, requires) = line.split_once("  ").map_or((line, None), |(name, text)| (name, Some(text)));
        let file = File::new(name, requires, false).unwrap();
        let same = |release: &&mut Vec<File>| {
            release[0].name.project() == file.name.project() && release[0].version == file.version
        };
        match releases.iter_mut().find(same) {
            Some(release) => release.push(file),
            None => releases.push(vec![file]),
        }
    }
    assert!(releases.len() >= 40);
    releases
}

/// A pip of `tests/pips.txt`, as an entry of Python's path.
pub(crate) fn pip(version: &str) -> PathBuf {
    let start = format!("pip=={version} ");
    let line = include_str!("../pips.txt").lines().find(|line| line.starts_with(&start));
    testkit::tools::corpus(line.and_then(|line| line.split_whitespace().nth(1)).unwrap())
}

/// A Python that the oldest pips run on: 3.12 removed modules that they import.
pub(crate) fn old_python() -> PathBuf {
    let own = testkit::tools::path("python");
    let code = "import sys; sys.exit(sys.version_info >= (3, 12))";
    if Command::new(&own).args(["-c", code]).status().unwrap().success() {
        return own;
    }
    let find = ["python", "find", "--no-config", "--no-python-downloads", ">=3.8,<3.12"];
    let found = testkit::tools::command("uv").args(find).output().unwrap();
    assert!(found.status.success(), "the old pips need a Python before 3.12: install one");
    String::from_utf8(found.stdout).unwrap().trim().into()
}

/// Runs a program of `tests/it` with a JSON value as its standard input and
/// returns the value that it prints.
pub(crate) fn run(python: &Path, program: &str, args: &[&Path], input: &Value) -> Value {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(program);
    let mut child = testkit::tools::scrubbed(python)
        .args(["-W", "ignore"])
        .arg(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "see standard error");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An environment in the format of `accepted.py`.
pub(crate) fn described(environment: &Environment, python: &Python) -> Value {
    let (os, version) = match &environment.runtime {
        Runtime::Glibc(major, minor) => ("glibc", [*major, *minor]),
        Runtime::Musl(major, minor) => ("musl", [*major, *minor]),
        Runtime::Macos(major, minor) => ("macos", [*major, *minor]),
        Runtime::Windows => ("windows", [10, 0]),
        Runtime::Pyodide(_) => ("pyodide", [0, 0]),
    };
    let platforms = match &environment.runtime {
        Runtime::Pyodide(tags) => tags.as_slice(),
        _ => &[],
    };
    json!({
        "os": os,
        "machine": environment.arch,
        "version": version,
        "platforms": platforms,
        "python": [python.version().0, python.version().1],
        "impl": &python.name[..2],
        "abi": python.abi(),
    })
}
