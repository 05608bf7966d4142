//! Paths that recent jobs did not use.

use std::fs;

use crate::cache::with_cache;
use crate::machine::{Machine, text};

/// Installs with a substituter. The machines of other tests have none, because they may run
/// without a network.
fn install(machine: &Machine, args: &[&str]) -> String {
    let mut action = machine.action(&[&["install"], args].concat());
    action.env("NIX_CONFIG", "sandbox = false\nsubstituters = file:///nowhere");
    let output = action.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

/// A machine whose cache has two large paths, the key that signed them, and the paths.
fn signed() -> (Machine, String, [String; 2]) {
    let machine = Machine::new();
    machine.run_ok(&["install"]);
    let paths = ["idle", "used"].map(|name| {
        machine
            .sh(&format!("yes {name} | head -c 30000000 >{name}; nix-store --add {name}"))
            .trim()
            .to_owned()
    });
    machine.sh("nix-store --generate-binary-cache-key test-1 secret public");
    machine.sh("nix --extra-experimental-features nix-command store sign --all -k secret");
    machine.run_ok(&["save"]);
    let key = fs::read_to_string(machine.path("work/public")).unwrap();
    (machine, format!("--extra-trusted-public-keys={}", key.trim()), paths)
}

/// Edits the cache as if `path` had not been used for `jobs` jobs.
fn age(machine: &Machine, path: &str, jobs: u64) {
    let file = machine.cache().join("last-used");
    let base = &path["/nix/store/".len()..];
    let lines: String = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| line.split_once(' ').unwrap().0)
        .map(|name| format!("{name} {}\n", if name == base { 1 } else { jobs + 1 }))
        .collect();
    // Entries of dropped paths, with the times of the other jobs.
    let others: String = (0..jobs).map(|n| format!("{:0>32}-job {}\n", n, 2 + n)).collect();
    fs::write(file, lines + &others).unwrap();
}

#[test]
fn skips_signed_paths_that_recent_jobs_did_not_use() {
    let (first, key, [idle, _]) = signed();
    age(&first, &idle, 12);
    let second = with_cache(&first);
    // Nothing could substitute it.
    let other = with_cache(&first);
    other.run_ok(&["install", &key]);
    assert!(other.path(&idle[1..]).exists());
    other.verify();
    let log = install(&second, &[&key]);
    assert!(log.contains("none of the last 12 jobs used were not restored"), "{log}");
    assert!(!second.path(&idle[1..]).exists(), "{log}");
    second.verify();
    // It stays in the cache, and `--restore=all` restores it.
    install(&second, &[&key, "--restore=all"]);
    assert!(second.path(&idle[1..]).exists());
    second.verify();
}

#[test]
fn restores_unsigned_paths_even_if_unused() {
    let (first, _, [idle, _]) = signed();
    age(&first, &idle, 12);
    let second = with_cache(&first);
    // Without the key, Nix could not substitute it.
    install(&second, &[]);
    assert!(second.path(&idle[1..]).exists());
}
