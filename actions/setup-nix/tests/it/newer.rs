//! The same with a Nix of today beside Debian 12's: what they print and keep
//! differs.

use std::fs;

use crate::cache::{packed, with_cache};
use crate::machine::Machine;

fn newer() -> Machine {
    let bin = testkit::tools::folder().join("newer-nix/bin");
    assert!(bin.join("nix").is_file(), "run `cargo xtask setup-test-tools`");
    Machine { first: Some(bin), ..Machine::new() }
}

#[test]
fn a_newer_nix_packs_and_restores() {
    let machine = newer();
    let said = machine.done(&["install", "--report-path=report.json"]);
    assert!(said.contains("Nix 2.") && !said.contains("Nix 2.8"), "{said}");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(machine.path("work/report.json")).unwrap()).unwrap();
    assert!(report["settings"]["substituters"].is_array(), "{report}");
    let path = machine.build("sample", 3);
    machine.sh("echo addressed >file; nix-store --add file");
    machine.done(&["save"]);
    machine.empty();
    assert!(machine.done(&["install"]).contains("7 paths restored"));
    machine.verify();
    assert_eq!(machine.build("sample", 3), path);
}

#[test]
fn what_one_version_packs_the_other_restores() {
    let (older, path) = packed(3);
    let machine = newer();
    fs::create_dir_all(machine.cache().parent().unwrap()).unwrap();
    let copy = testkit::tools::command("cp").arg("-a").arg(older.cache()).arg(machine.cache()).status();
    assert!(copy.unwrap().success());
    machine.done(&["install"]);
    machine.verify();
    machine.build("other", 2);
    machine.done(&["save"]);
    let back = with_cache(&machine);
    assert!(back.done(&["install"]).contains("10 paths restored"));
    back.verify();
    assert!(back.path(&path[1..]).exists());
}

#[test]
fn signatures_and_content_addresses_are_read_from_a_newer_nix() {
    let machine = newer();
    machine.done(&["install"]);
    let built = machine.build("signed", 1);
    let added = machine.sh("echo addressed >file; nix-store --add file").trim().to_owned();
    machine.sh("nix-store --generate-binary-cache-key test-1 secret public");
    machine.sh("nix --extra-experimental-features nix-command store sign --all -k secret");
    machine.done(&["save"]);
    let key = fs::read_to_string(machine.path("work/public")).unwrap();
    machine.empty();
    machine.done(&["install", "--cache-trust=signed"]);
    assert!(machine.path(&added[1..]).exists() && !machine.path(&built[1..]).exists());
    machine.done(&[
        "install",
        "--cache-trust=signed",
        &format!("--extra-trusted-public-keys={}", key.trim()),
    ]);
    assert!(machine.path(&built[1..]).exists());
    machine.verify();
}
