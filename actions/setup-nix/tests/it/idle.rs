//! Paths that the last jobs did not use.

use std::fs;

use crate::cache::with_cache;
use crate::machine::Machine;

/// A machine whose cache holds two large paths; the key that signed them; the
/// paths, of which the second has a file that the first refers to.
fn signed() -> (Machine, String, [String; 2]) {
    let machine = Machine::new();
    machine.done(&["install"]);
    let paths = ["idle", "used"].map(|name| {
        machine
            .sh(&format!("yes {name} | head -c 30000000 >{name}; nix-store --add {name}"))
            .trim()
            .to_owned()
    });
    machine.sh("nix-store --generate-binary-cache-key test-1 secret public");
    machine.sh("nix --extra-experimental-features nix-command store sign --all -k secret");
    machine.done(&["save"]);
    let key = fs::read_to_string(machine.path("work/public")).unwrap();
    (machine, format!("--extra-trusted-public-keys={}", key.trim()), paths)
}

/// As if `path` had last been used `jobs` jobs before the others.
fn age(machine: &Machine, path: &str, jobs: u64) {
    let file = machine.cache().join("last-used");
    let base = &path["/nix/store/".len()..];
    let lines: String = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| line.split_once(' ').unwrap().0)
        .map(|name| format!("{name} {}\n", if name == base { 1 } else { jobs + 1 }))
        .collect();
    // Paths that are gone, by which the file tells that there were jobs.
    let others: String = (0..jobs).map(|n| format!("{:0>32}-job {}\n", n, 2 + n)).collect();
    fs::write(file, lines + &others).unwrap();
}

#[test]
fn signed_paths_that_nobody_used_are_left_to_be_substituted() {
    let (first, key, [idle, _]) = signed();
    age(&first, &idle, 12);
    let second = with_cache(&first);
    let said = second.done(&["install", &key]);
    assert!(said.contains("none of the last 12 jobs used are left to be substituted"), "{said}");
    assert!(!second.path(&idle[1..]).exists(), "{said}");
    second.verify();
    // It stays in the cache, and all can be asked for.
    second.done(&["install", &key, "--restore=all"]);
    assert!(second.path(&idle[1..]).exists());
    second.verify();
}

#[test]
fn unsigned_paths_are_restored_however_idle() {
    let (first, _, [idle, _]) = signed();
    age(&first, &idle, 12);
    let second = with_cache(&first);
    // Without the key nobody could substitute it.
    second.done(&["install"]);
    assert!(second.path(&idle[1..]).exists());
}
