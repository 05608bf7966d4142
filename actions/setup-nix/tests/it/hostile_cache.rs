//! Malicious cache directories, as a restored archive could contain them.

use std::fs;
use std::os::unix::fs::symlink;

use crate::cache::{nar, narinfo, packed, with_cache};
use crate::machine::{Machine, tarball, text};

/// Corrupts a cache of one path and asserts that `install` and `save` succeed without it.
fn skips_corrupted(why: &str, corrupt: impl Fn(&Machine, &str)) -> Machine {
    let (first, path) = packed(1);
    let second = with_cache(&first);
    corrupt(&second, &path);
    let log = second.run_ok(&["install"]);
    assert!(log.contains(why), "expected `{why}` in: {log}");
    assert!(!second.path(&path[1..]).exists(), "{log}");
    second.verify();
    second.run_ok(&["save"]);
    second
}

#[test]
fn does_not_touch_the_target_of_a_linked_directory() {
    let machine = skips_corrupted("found a link", |machine, _| {
        let (dir, victim) = (machine.cache().join("nar"), machine.path("work/victim"));
        fs::rename(&dir, &victim).unwrap();
        symlink(&victim, &dir).unwrap();
    });
    assert_eq!(fs::read_dir(machine.path("work/victim")).unwrap().count(), 2);
}

#[test]
fn skips_a_pipe_in_place_of_a_file() {
    let pipe = |file: &std::path::Path| {
        fs::remove_file(file).unwrap();
        assert!(testkit::tools::command("mkfifo").arg(file).status().unwrap().success());
    };
    skips_corrupted("expected a regular file", |machine, path| pipe(&nar(machine, path)));
    skips_corrupted("expected a regular file", |machine, path| pipe(&narinfo(machine, path)));
}

#[test]
fn does_not_read_an_endless_narinfo() {
    skips_corrupted("skipped `", |machine, path| {
        let file = narinfo(machine, path);
        fs::remove_file(&file).unwrap();
        symlink("/dev/zero", file).unwrap();
    });
    skips_corrupted("the file is longer than 1048576 bytes", |machine, path| {
        fs::File::options().write(true).open(narinfo(machine, path)).unwrap().set_len(1 << 32).unwrap();
    });
}

#[test]
fn rejects_an_overflowing_size() {
    skips_corrupted("expected at most 2^40", |machine, path| {
        let file = narinfo(machine, path);
        let text = fs::read_to_string(&file).unwrap();
        let size = text.lines().find(|line| line.starts_with("NarSize")).unwrap();
        fs::write(&file, text.replace(size, "NarSize: 18446744073709551615")).unwrap();
    });
}

/// Changes the NAR size in the path's narinfo.
fn set_nar_size(machine: &Machine, path: &str, size: u64) {
    let file = narinfo(machine, path);
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().find(|line| line.starts_with("NarSize")).unwrap();
    fs::write(&file, text.replace(line, &format!("NarSize: {size}"))).unwrap();
}

#[test]
fn rejects_a_size_that_the_file_cannot_have() {
    skips_corrupted("compressed bytes cannot unpack to", |machine, path| set_nar_size(machine, path, 1 << 40));
}

#[test]
fn does_not_unpack_what_exceeds_the_free_space() {
    let why = "not enough disk space";
    skips_corrupted(why, |machine, path| {
        // Large enough for the size, so that only the disk space is missing.
        let file = fs::File::options().write(true).open(nar(machine, path)).unwrap();
        file.set_len(1 << 30).unwrap();
        set_nar_size(machine, path, 1 << 40);
    });
}

#[test]
fn stops_reading_a_nar_beyond_its_size() {
    skips_corrupted("skipped `", |machine, path| {
        let zeros = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 1 << 28), 1).unwrap();
        let mut bytes = fs::read(nar(machine, path)).unwrap();
        bytes.extend(zeros);
        fs::write(nar(machine, path), bytes).unwrap();
    });
}

#[test]
fn removes_incomplete_files_of_a_killed_run() {
    let (machine, _) = packed(1);
    let leftovers = [machine.cache().join(".part-a"), machine.cache().join("nar/.part-b")];
    for file in &leftovers {
        fs::write(file, "half").unwrap();
    }
    machine.run_ok(&["save"]);
    assert!(leftovers.iter().all(|file| !file.exists()));
}

#[test]
fn rejects_a_cache_of_another_store() {
    skips_corrupted("expected a cache of /nix/store", |machine, _| {
        fs::write(machine.cache().join("nix-cache-info"), "StoreDir: /other/store\n").unwrap();
    });
}

#[test]
fn special_files_neither_block_nor_fail_the_job() {
    for name in ["last-used", "restore-rate", "nix-cache-info"] {
        for kind in ["mkfifo", "mkdir", "ln -s /dev/zero", "ln -s /nowhere"] {
            let (first, _) = packed(1);
            let machine = with_cache(&first);
            let file = machine.cache().join(name);
            machine.sh(&format!("rm -f {0}; {kind} {0}", file.display()));
            machine.run_ok(&["install"]);
            machine.verify();
            let log = machine.run_ok(&["save"]);
            assert!(!log.contains("is not saved"), "{name}, {kind}: {log}");
            assert!(fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_file()) || name == "restore-rate");
        }
    }
}

#[test]
fn deletes_nothing_through_a_linked_tarball_directory() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.dir.path(), |_| {});
    let victim = machine.path("work/victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("precious"), "1").unwrap();
    fs::create_dir_all(machine.cache()).unwrap();
    let pipe = machine.path("pipe");
    assert!(testkit::tools::command("mkfifo").arg(&pipe).status().unwrap().success());
    let tarballs = machine.cache().join("tarball");
    let install =
        ["install", "--reuse=never", &format!("--tarball={}", file.display()), &format!("--sha256={digest}")];
    symlink(&victim, &tarballs).unwrap();
    machine.run_ok(&install);
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);
    // The file itself can be anything.
    for target in [&pipe, std::path::Path::new("/dev/zero"), &victim] {
        machine.empty();
        let file_in_cache = tarballs.join(&digest);
        fs::remove_file(&file_in_cache).unwrap();
        symlink(target, &file_in_cache).unwrap();
        machine.run_ok(&install);
        machine.sh("/nix/var/nix/gcroots/setup-nix/bin/nix-store --verify");
    }
    fs::remove_file(tarballs.join(&digest)).unwrap();
    fs::create_dir(tarballs.join(&digest)).unwrap();
    machine.empty();
    machine.run_ok(&install);
    assert!(victim.join("precious").exists());
}

#[test]
fn an_unusable_cache_directory_does_not_fail_the_job() {
    let machine = Machine::new();
    let log = machine.run_ok(&["install", "--cache-directory=/proc/nope/x"]);
    assert!(log.contains("cannot use the cache directory"), "{log}");
    machine.verify();
}

#[test]
fn rejects_inputs_that_would_fail_later() {
    let machine = Machine::new();
    for (arg, why) in [
        ("--cache-key=a,b", "without a comma"),
        ("--max-jobs=many", "`auto` or a number"),
        ("--extra-conf=no setting", "name = value"),
        ("--extra-conf=access-tokens = github.com=x", "use the input `access-tokens`"),
        ("--cache-directory=/a:b", "without `:`"),
        ("--hash-files=!flake.lock", "below the workspace"),
        ("--nix-version=2", "a version like"),
        ("--tarball=/nowhere.tar.xz", "does not exist"),
    ] {
        let sha256 = format!("--sha256={}", "0".repeat(64));
        let output = machine.run(&["install", "--reuse=never", &sha256, arg]);
        assert_eq!(output.status.code(), Some(2), "{arg}: {}", text(&output));
        assert!(text(&output).contains(why), "{arg}: {}", text(&output));
    }
}
