//! Inputs and machines that are rejected before anything changes, and reusing an installed
//! Nix.

use std::fs;

use crate::machine::{Machine, text};

/// Asserts that `args` are rejected because of `why`, and that nothing changed.
fn assert_rejected(args: &[&str], why: &str) {
    let machine = Machine::new();
    let output = machine.run(args);
    let log = text(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {log}");
    assert!(log.contains(why), "{args:?}: {log}");
    assert!(!machine.store().exists() && !machine.cache().exists(), "{args:?}");
}

#[test]
fn rejects_a_tarball_over_plain_http_even_from_localhost() {
    let digest = format!("--sha256={}", "0".repeat(64));
    for url in ["http://127.0.0.1:9/nix.tar.xz", "http://localhost/nix.tar.xz", "ftp://example.org/x"] {
        let tarball = format!("--tarball={url}");
        assert_rejected(&["install", "--reuse=never", &tarball, &digest], "expected a path or an https URL");
    }
}

#[test]
fn a_substituter_is_a_url_or_a_path() {
    for text in ["cache.example.org", "https://", "https://a.example https://b.example", "a/b", "1://x"] {
        let input = format!("--extra-substituters={text}");
        assert_rejected(&["install", &input], "expected a store URL");
    }
    let machine = Machine::new();
    let text = "https://a.example\ns3://bucket?region=eu\nssh-ng://host\nfile:///srv/cache\n/srv/cache";
    let log = machine.run_ok(&["install", "--dry-run", &format!("--extra-substituters={text}")]);
    assert!(log.contains("extra-substituters = https://a.example s3://bucket?region=eu"), "{log}");
}

#[test]
fn explains_what_to_do_about_a_read_only_mount() {
    let machine = Machine::new();
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let script = format!("mount -t tmpfs -o ro tmpfs /nix; exec {action} install --reuse=never");
    let output = machine.command("sh").args(["-euc", &script]).output().unwrap();
    let log = text(&output);
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(log.contains("mounted read-only") && log.contains("mount it writable"), "{log}");
}

#[test]
fn a_nix_on_path_does_not_move_its_directory_to_the_front() {
    let machine = Machine::new();
    let file = machine.path("path");
    let mut action = machine.action(&["install", "--cache=off"]);
    let output = action.env("GITHUB_ACTIONS", "true").env("GITHUB_PATH", &file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    // An earlier step may have added a tool to PATH that is also in `/usr/bin`.
    let added = fs::read_to_string(file).unwrap();
    let profile = machine.path("home/.nix-profile/bin").display().to_string();
    assert_eq!(added.lines().collect::<Vec<_>>(), [profile], "{added}");
}
