//! A restored store is the packed one: signatures, content addresses, derivers and
//! outputs included; and garbage collection takes nothing away meanwhile.

use std::process::Stdio;

use serde_json::Value;

use crate::cache::{packed, with_cache};
use crate::machine::{Machine, text};

/// What Nix knows of every path, without the time of registration.
fn known(machine: &Machine) -> Vec<Value> {
    let text = machine.sh("nix --extra-experimental-features nix-command path-info --all --json --sigs");
    let mut paths: Vec<Value> = serde_json::from_str(&text).unwrap();
    for path in &mut paths {
        let path = path.as_object_mut().unwrap();
        path.remove("registrationTime");
        // Built here, and therefore trusted here alone.
        path.remove("ultimate");
    }
    paths.sort_by_key(|path| path["path"].to_string());
    paths
}

#[test]
fn a_restored_store_is_the_packed_one() {
    let first = Machine::new();
    first.done(&["install"]);
    let path = first.build("sample", 2);
    first.sh("echo text >file; nix-store --add file; nix-store --add-fixed sha256 file; mkdir -p tree/a; echo 1 >tree/a/b; nix-store --add-fixed --recursive sha256 tree");
    first.sh("nix-store --generate-binary-cache-key test-1 secret public");
    first.sh(&format!("nix --extra-experimental-features nix-command store sign -k secret {path}"));
    first.done(&["save"]);
    let second = with_cache(&first);
    second.done(&["install"]);
    second.verify();
    let (before, after) = (known(&first), known(&second));
    assert_eq!(before, after);
    let with = |name: &str| after.iter().filter(|path| !path[name].is_null()).count();
    assert!(with("signatures") >= 1 && with("ca") >= 3 && with("deriver") >= 2, "{after:?}");
    let key = first.sh("cat public");
    second.sh(&format!(
        "nix --extra-experimental-features nix-command store verify --trusted-public-keys '{}' {path}",
        key.trim()
    ));
    let outputs = "nix-store -q --outputs $(nix-store -q --deriver";
    assert_eq!(second.sh(&format!("{outputs} {path})")).trim(), path);
    // A hit copies to others as a miss does: by the signature.
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
        // Nothing of the cache was removed for what happened in the store.
        assert!(second.done(&["install"]).contains("0 left out"));
        second.verify();
        let there = second.sh("nix-store --dump-db | grep -c ^/nix/store/.*-sample-.*[0-9]$ || true");
        assert_ne!(there.trim(), "0");
    }
}

#[test]
fn a_database_of_another_schema_is_left_alone() {
    let (first, _) = packed(1);
    let second = with_cache(&first);
    second.sh("nix-store --init; echo 11 >/nix/var/nix/db/schema");
    let output = second.run(&["install"]);
    let said = text(&output);
    assert!(said.contains("schema 11") || !output.status.success(), "{said}");
}
