//! What `--version` tells of the Git commit: the build script, compiled and run
//! by itself where a commit is known, or not.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The commit that the build script finds in `folder`.
fn commit(script: &Path, folder: &Path, given: Option<&str>) -> String {
    let mut command = Command::new(script);
    command.current_dir(folder).env_remove("SOURCE_GIT_SHA").env_remove("GIT_DIR");
    command.envs(given.map(|sha| ("SOURCE_GIT_SHA", sha)));
    let done = command.output().unwrap();
    assert!(done.status.success());
    let told = String::from_utf8(done.stdout).unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=SOURCE_GIT_SHA="));
    line.unwrap().to_owned()
}

fn compiled(folder: &TempDir) -> PathBuf {
    let script = folder.path().join("build-script");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    let done = Command::new("rustc").args(["--edition=2024", "-o"]).arg(&script).arg(source).status();
    assert!(done.unwrap().success());
    script
}

fn git(folder: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    let done = Command::new("git").args(identity).args(args).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_commit_is_from_the_environment_or_git_or_unknown() {
    let folder = TempDir::new().unwrap();
    let script = compiled(&folder);
    let source = folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("build.rs"), "").unwrap();
    assert_eq!(commit(&script, &source, None), "unknown");

    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["commit", "--quiet", "--allow-empty", "--message", "another project's"]);
    assert_eq!(commit(&script, &source, None), "unknown", "it is not that project's");

    git(folder.path(), &["add", "source"]);
    git(folder.path(), &["commit", "--quiet", "--message", "its own"]);
    let head = git(folder.path(), &["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(commit(&script, &source, None), head);
    assert_eq!(commit(&script, &source, Some("abc123")), "abc123");
}
