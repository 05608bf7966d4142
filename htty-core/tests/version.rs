//! The Git commit that `--version` prints: compiles the build script and runs it in
//! directories with and without a commit.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The commit that the build script finds in `dir`.
fn commit(script: &Path, dir: &Path, given: Option<&str>) -> String {
    let mut command = Command::new(script);
    command.current_dir(dir).env_remove("SOURCE_GIT_SHA").env_remove("GIT_DIR");
    command.envs(given.map(|sha| ("SOURCE_GIT_SHA", sha)));
    let output = command.output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    let line = printed.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=SOURCE_GIT_SHA="));
    line.unwrap().to_owned()
}

fn compiled(dir: &TempDir) -> PathBuf {
    let script = dir.path().join("build-script");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    let output = Command::new("rustc").args(["--edition=2024", "-o"]).arg(&script).arg(source).status();
    assert!(output.unwrap().success());
    script
}

fn git(dir: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    let output = Command::new("git").args(identity).args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_commit_is_from_the_environment_or_git_or_unknown() {
    let dir = TempDir::new().unwrap();
    let script = compiled(&dir);
    let source = dir.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("build.rs"), "").unwrap();
    assert_eq!(commit(&script, &source, None), "unknown");

    git(dir.path(), &["init", "--quiet"]);
    git(dir.path(), &["commit", "--quiet", "--allow-empty", "--message", "another project's"]);
    assert_eq!(commit(&script, &source, None), "unknown", "it is not that project's");

    git(dir.path(), &["add", "source"]);
    git(dir.path(), &["commit", "--quiet", "--message", "its own"]);
    let head = git(dir.path(), &["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(commit(&script, &source, None), head);
    assert_eq!(commit(&script, &source, Some("abc123")), "abc123");
}
