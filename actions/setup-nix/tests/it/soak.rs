//! Long-running tests, run by `cargo xtask soak`.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::cache::{packed, with_cache};
use crate::install::kill;
use crate::machine::Machine;

/// Deterministic pseudo-random random (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn files(machine: &Machine) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(machine.cache()).sort_by_file_name().into_iter().flatten();
    walk.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

#[test]
#[ignore = "soak: many runs"]
fn soak_150_kills() {
    let (first, last) = packed(40);
    let mut random = Random(1);
    let mut machine = with_cache(&first);
    for n in 0..150 {
        if n % 15 == 0 {
            machine = with_cache(&first);
        }
        let command = ["install", "save", "install"][n % 3];
        let mut action = machine.action(&[command]);
        let child = action.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.below(400) as u64));
        kill(child);
        if machine.path("nix/var/nix/db/db.sqlite").exists() {
            machine.verify();
        }
        if n % 15 == 14 {
            machine.run_ok(&["install"]);
            assert!(machine.path(&last[1..]).exists(), "after kill {n}");
            machine.verify();
        }
    }
}

/// Every third kill is followed by a restart of the machine.
#[test]
#[ignore = "soak: many runs"]
fn soak_60_kills_of_mounted_restores() {
    let mut random = Random(4);
    let mut machine = crate::mounted::next();
    for n in 0..60 {
        let mut action = machine.action(&["install", "--mount"]);
        let child = action.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.below(700) as u64));
        kill(child);
        if n % 3 == 2 {
            machine.start();
            // Until the next restore, Nix sees a store without the images.
            machine.run_ok(&["install", "--cache=off"]);
        } else if machine.path("nix/var/nix/db/db.sqlite").exists() {
            machine.verify();
        }
        let log = machine.run_ok(&["install", "--mount"]);
        assert!(crate::mounted::is_mounted(&machine), "kill {n}: {log}");
        machine.verify();
        let count = machine.sh("nix-store --dump-db | grep -c -- '^/nix/store/.*-large.$' || true");
        assert_eq!(count.trim(), "3", "kill {n}: {log}");
        if n % 2 == 0 {
            machine.run_ok(&["save"]);
            assert!(!crate::mounted::is_mounted(&machine));
            machine.verify();
        }
    }
}

#[test]
#[ignore = "soak: many runs"]
fn soak_200_corruptions() {
    let (first, _) = packed(10);
    let mut random = Random(2);
    for n in 0..200 {
        let machine = with_cache(&first);
        let files = files(&machine);
        for _ in 0..=random.below(3) {
            let file = &files[random.below(files.len())];
            let Ok(mut bytes) = fs::read(file) else { continue };
            match random.below(5) {
                0 => fs::remove_file(file).unwrap(),
                1 => fs::write(file, &bytes[..random.below(bytes.len() + 1)]).unwrap(),
                2 => drop(fs::copy(&files[random.below(files.len())], file)),
                3 => fs::write(file, bytes.repeat(2)).unwrap(),
                _ if bytes.is_empty() => {}
                _ => {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                    fs::write(file, bytes).unwrap();
                }
            }
        }
        machine.run_ok(&["install"]);
        if machine.path("nix/var/nix/db/db.sqlite").exists() {
            machine.verify();
        }
        machine.build("sample", 10);
        machine.run_ok(&["save"]);
        // Damaged paths are packed again, and the next job restores all of them.
        let next = with_cache(&machine);
        assert!(next.run_ok(&["install"]).contains("20 paths restored"), "corruption {n}");
        next.verify();
    }
}

#[test]
#[ignore = "soak: many runs"]
fn soak_50_garbage_collections() {
    let (first, _) = packed(40);
    let mut random = Random(3);
    for n in 0..50 {
        let machine = with_cache(&first);
        machine.sh("nix-store --init");
        let mut action = machine.action(&["install"]);
        let mut install = action.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.below(400) as u64));
        machine.sh("nix-store --gc >/dev/null 2>&1");
        assert!(install.wait().unwrap().success(), "collection {n}");
        machine.verify();
        assert!(machine.run_ok(&["install"]).contains(" 0 skipped"), "collection {n}");
        machine.verify();
    }
}

#[test]
#[ignore = "soak: many runs"]
fn soak_20_000_paths() {
    let machine = Machine::new();
    machine.run_ok(&["install"]);
    machine.sh("mkdir many; cd many; seq 20000 | while read -r n; do echo $n >file$n; done; \
         printf 'file%s\\n' $(seq 20000) | xargs -n 2000 nix-store --add >/dev/null");
    let time = |command: &[&str], machine: &Machine| {
        let start = std::time::Instant::now();
        let log = machine.run_ok(command);
        eprintln!("{command:?}: {:.2} s", start.elapsed().as_secs_f64());
        log
    };
    assert!(time(&["pack"], &machine).contains("20000 paths packed"));
    machine.sh("echo one >one; nix-store --add one");
    assert!(time(&["pack"], &machine).contains("1 paths packed"));
    time(&["save", "--max-size=1"], &machine);
    machine.sh("true");
    machine.run_ok(&["pack"]);
    let second = with_cache(&machine);
    assert!(time(&["install"], &second).contains("20001 paths restored"));
    second.verify();
}
