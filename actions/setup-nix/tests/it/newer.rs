//! Tests with a current Nix, whose output and database differ from those of Debian 12's.

use std::fs;

use crate::cache::{packed, with_cache};
use crate::machine::Machine;

fn newer_machine() -> Machine {
    let bin = testkit::tools::dir().join("newer-nix/bin");
    assert!(bin.join("nix").is_file(), "run `cargo xtask setup-test-tools`");
    Machine { path_prefix: Some(bin), ..Machine::new() }
}

#[test]
fn a_newer_nix_packs_and_restores() {
    let machine = newer_machine();
    let log = machine.run_ok(&["install", "--report-path=report.json"]);
    assert!(log.contains("Nix 2.") && !log.contains("Nix 2.8"), "{log}");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(machine.path("work/report.json")).unwrap()).unwrap();
    assert!(report["settings"]["substituters"].is_array(), "{report}");
    let path = machine.build("sample", 3);
    machine.sh("echo addressed >file; nix-store --add file");
    machine.run_ok(&["save"]);
    machine.empty();
    assert!(machine.run_ok(&["install"]).contains("7 paths restored"));
    machine.verify();
    assert_eq!(machine.build("sample", 3), path);
}

#[test]
fn one_version_restores_what_another_packed() {
    let (older, path) = packed(3);
    let machine = newer_machine();
    fs::create_dir_all(machine.cache().parent().unwrap()).unwrap();
    let copy = testkit::tools::command("cp").arg("-a").arg(older.cache()).arg(machine.cache()).status();
    assert!(copy.unwrap().success());
    machine.run_ok(&["install"]);
    machine.verify();
    machine.build("other", 2);
    machine.run_ok(&["save"]);
    let back = with_cache(&machine);
    assert!(back.run_ok(&["install"]).contains("10 paths restored"));
    back.verify();
    assert!(back.path(&path[1..]).exists());
}

#[test]
fn reads_signatures_and_content_addresses_from_a_newer_nix() {
    let machine = newer_machine();
    machine.run_ok(&["install"]);
    let built = machine.build("signed", 1);
    let added = machine.sh("echo addressed >file; nix-store --add file").trim().to_owned();
    machine.sh("nix-store --generate-binary-cache-key test-1 secret public");
    machine.sh("nix --extra-experimental-features nix-command store sign --all -k secret");
    machine.run_ok(&["save"]);
    let key = fs::read_to_string(machine.path("work/public")).unwrap();
    machine.empty();
    machine.run_ok(&["install", "--cache-trust=signed"]);
    assert!(machine.path(&added[1..]).exists() && !machine.path(&built[1..]).exists());
    machine.run_ok(&[
        "install",
        "--cache-trust=signed",
        &format!("--extra-trusted-public-keys={}", key.trim()),
    ]);
    assert!(machine.path(&built[1..]).exists());
    machine.verify();
}
