//! Cache folders that an archive could leave behind, and that no packer makes.

use std::fs;
use std::os::unix::fs::symlink;

use crate::cache::{nar, narinfo, packed, with_cache};
use crate::machine::{Machine, text};

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
    survives("it is longer than", |machine, path| {
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

#[test]
fn a_cache_of_another_store_is_refused() {
    survives("expected a cache of /nix/store", |machine, _| {
        fs::write(machine.cache().join("nix-cache-info"), "StoreDir: /other/store\n").unwrap();
    });
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
