//! Puts the Git commit of the source into the binary, for `--version`, and sets `cfg(emulated)`
//! as `crates/testkit/build/tools_cfg.rs` does.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_GIT_SHA");
    let sha = std::env::var("SOURCE_GIT_SHA").ok().or_else(from_git).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=SOURCE_GIT_SHA={sha}");
    println!("cargo::rustc-check-cfg=cfg(emulated)");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os != std::env::consts::OS) {
        println!("cargo::rustc-cfg=emulated");
    }
}

fn from_git() -> Option<String> {
    // The reflog changes with each commit and checkout, unlike HEAD.
    let log = Command::new("git")
        .args(["-c", "safe.directory=*", "rev-parse", "--git-path", "logs/HEAD"])
        .output()
        .ok()?;
    let log = String::from_utf8(log.stdout).ok()?;
    if std::path::Path::new(log.trim()).is_file() {
        println!("cargo::rerun-if-changed={}", log.trim());
    }
    let head = Command::new("git")
        .args(["-c", "safe.directory=*", "rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let sha = String::from_utf8(head.stdout).ok()?.trim().to_owned();
    (head.status.success() && !sha.is_empty()).then_some(sha)
}
