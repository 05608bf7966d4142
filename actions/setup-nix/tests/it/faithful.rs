//! A restored store equals the packed one, including signatures, content addresses, derivers
//! and outputs, and garbage collection during a restore does no damage.

use std::process::Stdio;

use serde_json::Value;

use crate::cache::{narinfo, packed, with_cache};
use crate::machine::{Machine, tarball, text};

/// Nix's metadata of every path, without the time of registration.
fn metadata(machine: &Machine) -> Vec<Value> {
    let text = machine.sh("nix --extra-experimental-features nix-command path-info --all --json --sigs");
    let mut paths: Vec<Value> = serde_json::from_str(&text).unwrap();
    for path in &mut paths {
        let path = path.as_object_mut().unwrap();
        path.remove("registrationTime");
        // Set only on the machine that built the path.
        path.remove("ultimate");
    }
    paths.sort_by_key(|path| path["path"].to_string());
    paths
}

#[test]
fn a_restored_store_equals_the_packed_one() {
    let first = Machine::new();
    first.run_ok(&["install"]);
    let path = first.build("sample", 2);
    first.sh("echo text >file; nix-store --add file; nix-store --add-fixed sha256 file; mkdir -p tree/a; echo 1 >tree/a/b; nix-store --add-fixed --recursive sha256 tree");
    first.sh("nix-store --generate-binary-cache-key test-1 secret public");
    first.sh(&format!("nix --extra-experimental-features nix-command store sign -k secret {path}"));
    first.run_ok(&["save"]);
    let second = with_cache(&first);
    second.run_ok(&["install"]);
    second.verify();
    let (before, after) = (metadata(&first), metadata(&second));
    assert_eq!(before, after);
    let with = |name: &str| after.iter().filter(|path| !path[name].is_null()).count();
    assert!(with("signatures") >= 1 && with("ca") >= 3 && with("deriver") >= 2, "{after:?}");
    let key = first.sh("cat public");
    second.sh(&format!(
        "nix --extra-experimental-features nix-command store verify --trusted-public-keys '{}' {path}; \
         nix --extra-experimental-features nix-command store verify --all --no-trust",
        key.trim()
    ));
    let outputs = "nix-store -q --outputs $(nix-store -q --deriver";
    assert_eq!(second.sh(&format!("{outputs} {path})")).trim(), path);
    // Restored signatures allow copies to other stores.
    second.sh(&format!(
        "nix --extra-experimental-features nix-command copy --to file://$PWD/other {path} && \
         nix --extra-experimental-features nix-command path-info --store file://$PWD/other --sigs {path} | grep test-1"
    ));
}

#[test]
fn garbage_collection_waits_for_a_restore() {
    let (first, _) = packed(30);
    for delay in 0..6 {
        let second = with_cache(&first);
        second.sh("nix-store --init");
        let mut action = second.action(&["install"]);
        let mut install = action.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(40 * delay));
        second.sh("nix-store --gc >/dev/null 2>&1");
        install.wait().unwrap();
        second.verify();
        // Failures on the side of the store do not remove anything from the cache.
        assert!(second.run_ok(&["install"]).contains("0 skipped"));
        second.verify();
        let count = second.sh("nix-store --dump-db | grep -c ^/nix/store/.*-sample-.*[0-9]$ || true");
        assert_ne!(count.trim(), "0");
    }
}

#[test]
fn skips_paths_that_another_process_is_building() {
    let (first, path) = packed(2);
    let before = first.sh(&format!("nix-store -q --references {path}")).trim().to_owned();
    let second = with_cache(&first);
    // Lock the path as Nix does while it builds or substitutes it.
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let log = second.sh(&format!(
        "mkdir -p /nix/store {before}; echo half >{before}/half; flock {before}.lock {action} install 2>&1"
    ));
    assert!(log.contains("a Nix process is building it"), "{log}");
    assert!(second.path(&before[1..]).join("half").exists() && !second.path(&path[1..]).exists(), "{log}");
    assert!(narinfo(&second, &before).exists(), "the cache keeps it: {log}");
    // Afterwards, the unregistered leftovers are replaced.
    second.run_ok(&["install"]);
    assert!(second.path(&path[1..]).exists() && !second.path(&before[1..]).join("half").exists());
    second.verify();
}

#[test]
fn garbage_collection_waits_for_an_installation() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.dir.path(), |_| {});
    for delay in 0..4 {
        machine.empty();
        machine.sh("nix-store --init");
        let mut action = machine.action(&["install", "--reuse=never", "--cache=off"]);
        action.arg(format!("--tarball={}", file.display())).arg(format!("--sha256={digest}"));
        let mut install = action.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100 * delay));
        machine.sh("nix-store --gc >/dev/null 2>&1");
        assert!(install.wait().unwrap().success());
        machine.sh("nix-store --gc >/dev/null 2>&1; /nix/var/nix/gcroots/setup-nix/bin/nix-store --version");
        machine.verify();
    }
}

#[test]
fn does_not_touch_a_database_of_another_schema() {
    let (first, _) = packed(1);
    let second = with_cache(&first);
    second.sh("nix-store --init; echo 11 >/nix/var/nix/db/schema");
    let output = second.run(&["install"]);
    let log = text(&output);
    assert!(log.contains("schema 11") || !output.status.success(), "{log}");
}
