//! Cache folders that an archive could leave behind, and that no packer makes.

use std::fs;
use std::os::unix::fs::symlink;

use crate::cache::{nar, narinfo, packed, with_cache};
use crate::machine::{Machine, tarball, text};

/// Spoils a cache of one path; `install` and `save` do their work without it.
fn survives(why: &str, spoil: impl Fn(&Machine, &str)) -> Machine {
    let (first, path) = packed(1);
    let second = with_cache(&first);
    spoil(&second, &path);
    let said = second.done(&["install"]);
    assert!(said.contains(why), "expected `{why}` in: {said}");
    assert!(!second.path(&path[1..]).exists(), "{said}");
    second.verify();
    second.done(&["save"]);
    second
}

#[test]
fn what_a_linked_folder_leads_to_is_not_touched() {
    let machine = survives("found a link", |machine, _| {
        let (folder, victim) = (machine.cache().join("nar"), machine.path("work/victim"));
        fs::rename(&folder, &victim).unwrap();
        symlink(&victim, &folder).unwrap();
    });
    assert_eq!(fs::read_dir(machine.path("work/victim")).unwrap().count(), 2);
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_left_out() {
    let pipe = |file: &std::path::Path| {
        fs::remove_file(file).unwrap();
        assert!(testkit::tools::command("mkfifo").arg(file).status().unwrap().success());
    };
    survives("expected a regular file", |machine, path| pipe(&nar(machine, path)));
    survives("expected a regular file", |machine, path| pipe(&narinfo(machine, path)));
}

#[test]
fn an_endless_narinfo_is_not_read() {
    survives("left out", |machine, path| {
        let file = narinfo(machine, path);
        fs::remove_file(&file).unwrap();
        symlink("/dev/zero", file).unwrap();
    });
    survives("it is longer than 1048576 bytes", |machine, path| {
        fs::File::options().write(true).open(narinfo(machine, path)).unwrap().set_len(1 << 32).unwrap();
    });
}

#[test]
fn a_size_beyond_all_sizes_is_refused() {
    survives("expected at most 2^40", |machine, path| {
        let file = narinfo(machine, path);
        let text = fs::read_to_string(&file).unwrap();
        let size = text.lines().find(|line| line.starts_with("NarSize")).unwrap();
        fs::write(&file, text.replace(size, "NarSize: 18446744073709551615")).unwrap();
    });
}

/// Gives the path's narinfo another NAR size.
fn promise(machine: &Machine, path: &str, size: u64) {
    let file = narinfo(machine, path);
    let text = fs::read_to_string(&file).unwrap();
    let line = text.lines().find(|line| line.starts_with("NarSize")).unwrap();
    fs::write(&file, text.replace(line, &format!("NarSize: {size}"))).unwrap();
}

#[test]
fn a_size_that_its_file_cannot_have_is_refused() {
    survives("compressed bytes cannot be a NAR of", |machine, path| promise(machine, path, 1 << 40));
}

#[test]
fn what_the_disk_has_no_room_for_is_not_begun() {
    let why = "the disk has no room for it";
    survives(why, |machine, path| {
        // Large enough for what is promised, so that only the room is missing.
        let file = fs::File::options().write(true).open(nar(machine, path)).unwrap();
        file.set_len(1 << 30).unwrap();
        promise(machine, path, 1 << 40);
    });
}

#[test]
fn a_nar_that_goes_on_beyond_its_size_ends_there() {
    survives("left out", |machine, path| {
        let zeros = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 1 << 28), 1).unwrap();
        let mut bytes = fs::read(nar(machine, path)).unwrap();
        bytes.extend(zeros);
        fs::write(nar(machine, path), bytes).unwrap();
    });
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let (machine, _) = packed(1);
    let left = [machine.cache().join(".part-a"), machine.cache().join("nar/.part-b")];
    for file in &left {
        fs::write(file, "half").unwrap();
    }
    machine.done(&["save"]);
    assert!(left.iter().all(|file| !file.exists()));
}

#[test]
fn a_cache_of_another_store_is_refused() {
    survives("expected a cache of /nix/store", |machine, _| {
        fs::write(machine.cache().join("nix-cache-info"), "StoreDir: /other/store\n").unwrap();
    });
}

#[test]
fn odd_files_beside_the_paths_neither_hang_nor_fail_the_job() {
    for name in ["last-used", "restore-rate", "nix-cache-info"] {
        for kind in ["mkfifo", "mkdir", "ln -s /dev/zero", "ln -s /nowhere"] {
            let (first, _) = packed(1);
            let machine = with_cache(&first);
            let file = machine.cache().join(name);
            machine.sh(&format!("rm -f {0}; {kind} {0}", file.display()));
            machine.done(&["install"]);
            machine.verify();
            let said = machine.done(&["save"]);
            assert!(!said.contains("is not saved"), "{name}, {kind}: {said}");
            assert!(fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_file()) || name == "restore-rate");
        }
    }
}

#[test]
fn a_tarball_folder_that_is_a_link_deletes_nothing() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.folder.path(), |_| {});
    let victim = machine.path("work/victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("precious"), "1").unwrap();
    fs::create_dir_all(machine.cache()).unwrap();
    let pipe = machine.path("pipe");
    assert!(testkit::tools::command("mkfifo").arg(&pipe).status().unwrap().success());
    let keep = machine.cache().join("tarball");
    let install =
        ["install", "--reuse=never", &format!("--tarball={}", file.display()), &format!("--sha256={digest}")];
    symlink(&victim, &keep).unwrap();
    machine.done(&install);
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);
    // The file itself may be anything.
    for spoil in [&pipe, std::path::Path::new("/dev/zero"), &victim] {
        machine.empty();
        let kept = keep.join(&digest);
        fs::remove_file(&kept).unwrap();
        symlink(spoil, &kept).unwrap();
        machine.done(&install);
        machine.sh("/nix/var/nix/gcroots/setup-nix/bin/nix-store --verify");
    }
    fs::remove_file(keep.join(&digest)).unwrap();
    fs::create_dir(keep.join(&digest)).unwrap();
    machine.empty();
    machine.done(&install);
    assert!(victim.join("precious").exists());
}

#[test]
fn a_folder_that_cannot_be_used_does_not_fail_the_job() {
    let machine = Machine::new();
    let said = machine.done(&["install", "--cache-folder=/proc/nope/x"]);
    assert!(said.contains("its folder cannot be used"), "{said}");
    machine.verify();
}

#[test]
fn inputs_that_would_fail_later_are_refused_at_once() {
    let machine = Machine::new();
    for (arg, why) in [
        ("--cache-key=a,b", "without a comma"),
        ("--max-jobs=many", "`auto` or a number"),
        ("--extra-conf=no setting", "name = value"),
        ("--extra-conf=access-tokens = github.com=x", "as the input of that name"),
        ("--cache-folder=/a:b", "without `:`"),
        ("--hash-files=!flake.lock", "below the workspace"),
        ("--nix-version=2", "a version like"),
        ("--tarball=/nowhere.tar.xz", "which is not there"),
    ] {
        let sha256 = format!("--sha256={}", "0".repeat(64));
        let output = machine.run(&["install", "--reuse=never", &sha256, arg]);
        assert_eq!(output.status.code(), Some(2), "{arg}: {}", text(&output));
        assert!(text(&output).contains(why), "{arg}: {}", text(&output));
    }
}
