//! The time that files get: that of the last commit, also where the repository
//! is another user's, as in a container job.

use std::path::Path;
use std::process::Command;

use crate::support::{build_wheel, project, succeed};

const TIME: &str = "1700000000";

fn git(folder: &Path, args: &[&str]) {
    let mut git = Command::new("git");
    git.current_dir(folder).args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(args);
    let time = format!("{TIME} +0000");
    assert!(git.env("GIT_AUTHOR_DATE", &time).env("GIT_COMMITTER_DATE", &time).status().unwrap().success());
}

/// What a dry run plans, and what it says beside that.
fn planned(folder: &Path, change: impl FnOnce(&mut Command)) -> (u64, String) {
    let mut command = build_wheel(folder);
    command.arg("--dry-run").env_remove("SOURCE_DATE_EPOCH");
    change(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    (plan["source_date_epoch"].as_u64().unwrap(), said)
}

fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "--quiet", "--message", "first"]);
    folder
}

#[test]
fn it_is_read_from_another_users_repository() {
    let (folder, home) = (repository(), tempfile::tempdir().unwrap());
    // What git itself tests its check of the owner with.
    let foreign = |command: &mut Command| {
        command.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1").env("HOME", home.path());
    };
    let mut plain = Command::new("git");
    foreign(plain.current_dir(folder.path()).arg("log"));
    assert!(!plain.output().unwrap().status.success(), "git refuses to read it otherwise");
    let (time, said) = planned(folder.path(), foreign);
    assert_eq!(time.to_string(), TIME);
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_repository_that_tells_none_is_a_warning() {
    let folder = repository();
    std::fs::remove_dir_all(folder.path().join(".git/objects")).unwrap();
    let (time, said) = planned(folder.path(), |_| {});
    assert_eq!(time, build_wheel::repair::EARLIEST);
    assert!(said.contains("cannot read the time of the last commit"), "{said}");
    assert!(said.contains("hint: set `source-date-epoch`"), "{said}");
    let (_, said) = planned(folder.path(), |command| {
        command.args(["--source-date-epoch", TIME]);
    });
    assert!(!said.contains("cannot read the time"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let (time, said) = planned(folder.path(), |_| {});
    assert_eq!(time, build_wheel::repair::EARLIEST);
    assert!(!said.contains("cannot read the time"), "there is no repository: {said}");
    succeed(build_wheel(folder.path()).arg("--dry-run"));
}
