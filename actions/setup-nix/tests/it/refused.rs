//! Inputs and machines that are refused before anything is done, and what a Nix
//! that is there does not change.

use std::fs;

use crate::machine::{Machine, text};

/// `args` are wrong, and it is told why.
fn refused(args: &[&str], why: &str) {
    let machine = Machine::new();
    let output = machine.run(args);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(said.contains(why), "{args:?}: {said}");
    assert!(!machine.store().exists() && !machine.cache().exists(), "{args:?}");
}

#[test]
fn a_tarball_by_plain_http_is_refused_even_from_this_machine() {
    let digest = format!("--sha256={}", "0".repeat(64));
    for url in ["http://127.0.0.1:9/nix.tar.xz", "http://localhost/nix.tar.xz", "ftp://example.org/x"] {
        let tarball = format!("--tarball={url}");
        refused(&["install", "--reuse=never", &tarball, &digest], "expected a path or an https address");
    }
}

#[test]
fn a_substituter_is_an_address_or_a_path() {
    for text in ["cache.example.org", "https://", "https://a.example https://b.example", "a/b", "1://x"] {
        let input = format!("--extra-substituters={text}");
        refused(&["install", &input], "expected a binary cache's address");
    }
    let machine = Machine::new();
    let text = "https://a.example\ns3://bucket?region=eu\nssh-ng://host\nfile:///srv/cache\n/srv/cache";
    let said = machine.done(&["install", "--dry-run", &format!("--extra-substituters={text}")]);
    assert!(said.contains("extra-substituters = https://a.example s3://bucket?region=eu"), "{said}");
}

#[test]
fn a_nix_that_is_mounted_read_only_is_told_with_what_to_do() {
    let machine = Machine::new();
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let script = format!("mount -t tmpfs -o ro tmpfs /nix; exec {action} install --reuse=never");
    let output = machine.command("sh").args(["-euc", &script]).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("mounted read-only") && said.contains("mount it writable"), "{said}");
}

#[test]
fn a_nix_on_path_does_not_bring_its_folder_before_others() {
    let machine = Machine::new();
    let file = machine.path("path");
    let mut action = machine.action(&["install", "--cache=off"]);
    let output = action.env("GITHUB_ACTIONS", "true").env("GITHUB_PATH", &file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    // A step before may have put another tool there that `/usr/bin` has too.
    let added = fs::read_to_string(file).unwrap();
    let profile = machine.path("home/.nix-profile/bin").display().to_string();
    assert_eq!(added.lines().collect::<Vec<_>>(), [profile], "{added}");
}
