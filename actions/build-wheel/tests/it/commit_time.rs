//! Files get the time of the last commit, even if the repository belongs to another
//! user, as in a container job.

use std::path::Path;
use std::process::Command;

use crate::support::{build_wheel, project, succeed};

const TIME: &str = "1700000000";

fn git(dir: &Path, args: &[&str]) {
    let mut git = Command::new("git");
    git.current_dir(dir).args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(args);
    let time = format!("{TIME} +0000");
    assert!(git.env("GIT_AUTHOR_DATE", &time).env("GIT_COMMITTER_DATE", &time).status().unwrap().success());
}

/// The time that a dry run plans, and its other output.
fn planned(dir: &Path, change: impl FnOnce(&mut Command)) -> (u64, String) {
    let mut command = build_wheel(dir);
    command.arg("--dry-run").env_remove("SOURCE_DATE_EPOCH");
    change(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    (plan["source_date_epoch"].as_u64().unwrap(), said)
}

fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    git(dir.path(), &["init", "--quiet"]);
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "--quiet", "--message", "first"]);
    dir
}

#[test]
fn reads_the_commit_time_in_another_users_repository() {
    let (dir, home) = (repository(), tempfile::tempdir().unwrap());
    // git's own tests use this variable to test its owner check.
    let foreign = |command: &mut Command| {
        command.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1").env("HOME", home.path());
    };
    let mut plain = Command::new("git");
    foreign(plain.current_dir(dir.path()).arg("log"));
    assert!(!plain.output().unwrap().status.success(), "git refuses to read it otherwise");
    let (time, said) = planned(dir.path(), foreign);
    assert_eq!(time.to_string(), TIME);
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn warns_if_the_commit_time_cannot_be_read() {
    let dir = repository();
    std::fs::remove_dir_all(dir.path().join(".git/objects")).unwrap();
    let (time, said) = planned(dir.path(), |_| {});
    assert_eq!(time, build_wheel::repair::EARLIEST);
    assert!(said.contains("cannot read the time of the last commit"), "{said}");
    assert!(said.contains("hint: set `source-date-epoch`"), "{said}");
    let (_, said) = planned(dir.path(), |command| {
        command.args(["--source-date-epoch", TIME]);
    });
    assert!(!said.contains("cannot read the time"), "{said}");

    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let (time, said) = planned(dir.path(), |_| {});
    assert_eq!(time, build_wheel::repair::EARLIEST);
    assert!(!said.contains("cannot read the time"), "there is no repository: {said}");
    succeed(build_wheel(dir.path()).arg("--dry-run"));
}
