//! Malicious cache directories, as a restored archive could contain them.

use std::fs;
use std::os::unix::fs::symlink;

use pydist::digest::sha256;
use setup_nix::nix32;

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

/// The strings of an archive.
fn archive(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let magic: &[u8] = b"nix-archive-1";
    for word in std::iter::once(&magic).chain(words) {
        bytes.extend((word.len() as u64).to_le_bytes());
        bytes.extend(*word);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

/// Adds a consistent entry to the cache, as anyone with write access could; returns the path.
fn add(machine: &Machine, name: &str, nar: &[u8], references: &[&str], fields: &str) -> String {
    let base = format!("{}-{name}", nix32::encode(&sha256(name.as_bytes())[..20]));
    add_as(machine, &base, nar, references, fields)
}

fn add_as(machine: &Machine, base: &str, nar: &[u8], references: &[&str], fields: &str) -> String {
    let (digits, hash) = (&base[..32], nix32::encode(&sha256(nar)));
    let url = format!("nar/{digits}.nar.zst");
    fs::write(machine.cache().join(&url), zstd::encode_all(nar, 1).unwrap()).unwrap();
    let text = format!(
        "StorePath: /nix/store/{base}\nURL: {url}\nCompression: zstd\nNarHash: sha256:{hash}\nNarSize: {}\n\
         References: {}\n{fields}",
        nar.len(),
        references.join(" ")
    );
    fs::write(machine.cache().join(format!("{digits}.narinfo")), text).unwrap();
    base.to_owned()
}

/// A machine with a cache of one valid path.
fn victim() -> (Machine, String) {
    let (first, path) = packed(1);
    (with_cache(&first), path)
}

fn file(executable: bool) -> Vec<u8> {
    let mut words: Vec<&[u8]> = vec![b"(", b"type", b"regular"];
    if executable {
        words.extend([b"executable" as &[u8], b""]);
    }
    words.extend([b"contents" as &[u8], b"x", b")"]);
    archive(&words)
}

#[test]
fn many_small_files_do_not_fill_the_disk() {
    let (machine, path) = victim();
    let names: Vec<String> = (0..12_000).map(|n| format!("{n:05}")).collect();
    let mut words: Vec<&[u8]> = vec![b"(", b"type", b"directory"];
    for name in &names {
        let entry: [&[u8]; 12] = [
            b"entry", b"(", b"name", name.as_bytes(), b"node", b"(", b"type", b"regular", b"contents", b"x",
            b")", b")",
        ];
        words.extend(entry);
    }
    words.push(b")");
    let hostile = add(&machine, "hostile", &archive(&words), &[], "");
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let log = machine.sh(&format!(
        "mount -t tmpfs -o size=40m tmpfs /nix; {action} install 2>&1; df --output=avail -k /nix | tail -1 >free
         ls -A /nix/store; nix-store --verify --check-contents 2>&1; nix-store --check-validity {path}"
    ));
    let free: u64 = machine.sh("cat free").trim().parse().unwrap();
    assert!(log.contains("not enough disk space") && free > 10_000, "{free}: {log}");
    assert!(!log.contains(&format!("\n{hostile}\n")), "{log}");
}

/// Otherwise they would take up space until a garbage collection.
#[test]
fn a_failed_registration_removes_what_was_placed() {
    let (machine, path) = victim();
    machine.sh("nix-store --init");
    let database = rusqlite::Connection::open(machine.path("nix/var/nix/db/db.sqlite")).unwrap();
    database
        .execute_batch("create trigger full before insert on ValidPaths begin select raise(abort, 'full'); end")
        .unwrap();
    drop(database);
    let log = machine.run_ok(&["install"]);
    assert!(log.contains("nothing was restored"), "{log}");
    assert!(!machine.path(&path[1..]).exists() && !machine.store().join(".setup-nix").exists(), "{log}");
    assert!(narinfo(&machine, &path).exists(), "the entry is not to blame");
}

#[test]
fn a_tree_with_too_long_paths_does_not_disable_later_restores() {
    let (machine, path) = victim();
    let name = [b'a'; 250];
    let mut words: Vec<&[u8]> = Vec::new();
    for _ in 0..200 {
        words.extend([b"(" as &[u8], b"type", b"directory", b"entry", b"(", b"name", &name, b"node"]);
    }
    words.extend([b"(" as &[u8], b"type", b"symlink", b"target", b"x", b")"]);
    words.extend([b")" as &[u8]; 400]);
    add(&machine, "deep", &archive(&words), &[], "");
    let log = machine.run_ok(&["install"]);
    assert!(log.contains("the path of a file is too long"), "{log}");
    assert!(machine.path(&path[1..]).exists() && !machine.store().join(".setup-nix").exists());
    machine.verify();
}

#[test]
fn leftovers_that_cannot_be_removed_do_not_disable_restores() {
    let (machine, path) = victim();
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let log = machine.sh(&format!(
        "mkdir -p /nix/store/.setup-nix/busy; mount -t tmpfs tmpfs /nix/store/.setup-nix/busy
         {action} install 2>&1; ls -A /nix/store; nix-store --check-validity {path}"
    ));
    assert!(!log.contains(".setup-nix-"), "the fresh directory is removed: {log}");
}

/// Nix cannot collect garbage once a cycle is registered.
#[test]
fn rejects_references_that_form_a_cycle() {
    let (machine, path) = victim();
    let digits = |name: &str| format!("{}-{name}", nix32::encode(&sha256(name.as_bytes())[..20]));
    let (one, two) = (digits("one"), digits("two"));
    add(&machine, "one", &file(false), &[&two], "");
    add(&machine, "two", &file(false), &[&one], "");
    add(&machine, "above", &file(false), &[&one], "");
    let own = digits("own");
    add(&machine, "own", &file(false), &[&own], "");
    let log = machine.run_ok(&["install"]);
    assert_eq!(log.matches("its references form a cycle").count(), 2, "{log}");
    assert!(!machine.store().join(&one).exists() && machine.store().join(&own).exists(), "{log}");
    machine.verify();
    machine.sh("nix-store --gc");
    assert!(!machine.path(&path[1..]).exists());
}

#[test]
fn rejects_a_content_address_that_nix_cannot_read() {
    let (machine, path) = victim();
    let bad = add(&machine, "bad", &file(false), &[], "CA: garbage:md9:0\n");
    let log = machine.run_ok(&["install"]);
    assert!(log.contains("is not a content address"), "{log}");
    assert!(!machine.store().join(bad).exists() && machine.path(&path[1..]).exists());
    machine.sh("nix --extra-experimental-features nix-command path-info --all --json >/dev/null");
}

#[test]
fn a_content_addressed_file_is_not_executable() {
    let (machine, _) = victim();
    machine.run_ok(&["install", "--cache=off"]);
    let text = machine.sh("printf x >file; nix-store --add-fixed sha256 file").trim().to_owned();
    let base = text["/nix/store/".len()..].to_owned();
    machine.empty();
    let ca = format!("CA: fixed:sha256:{}\n", nix32::encode(&sha256(b"x")));
    for (executable, trusted) in [(false, true), (true, false)] {
        add_as(&machine, &base, &file(executable), &[], &ca);
        let log = machine.run_ok(&["install", "--cache-trust=signed"]);
        assert_eq!(machine.store().join(&base).exists(), trusted, "{log}");
        assert_eq!(log.contains("it is executable"), executable, "{log}");
        machine.empty();
    }
}

#[test]
fn does_not_touch_another_binary_cache() {
    let machine = Machine::new();
    machine.run_ok(&["install", "--cache=off"]);
    let path = machine.build("sample", 1);
    let list = "nix --extra-experimental-features nix-command copy --to file://$PWD/other";
    machine.sh(&format!("{list} {path}; echo damaged >other/{}.narinfo", "1".repeat(32)));
    let before = machine.sh("cd other; find . -type f | sort | xargs sha256sum");
    let dir = format!("--cache-directory={}", machine.path("work/other").display());
    for command in ["install", "save"] {
        let log = machine.run_ok(&[command, &dir]);
        assert!(log.contains("neither empty nor a cache of setup-nix"), "{log}");
    }
    assert_eq!(machine.sh("cd other; find . -type f | sort | xargs sha256sum"), before);
}

/// The archives of other programs stay, too.
#[test]
fn keeps_entries_of_another_compression() {
    let (machine, path) = packed(1);
    let copy = "nix --extra-experimental-features nix-command copy --no-check-sigs --to";
    machine.sh(&format!("echo other >other; nix-store --add other; {copy} 'file://{}?compression=xz' $(nix-store --add other)",
        machine.cache().display()));
    let archives = || {
        let entries = fs::read_dir(machine.cache().join("nar")).unwrap().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|name| name == "xz")).count()
    };
    assert_eq!(archives(), 1);
    machine.run_ok(&["save"]);
    assert_eq!(archives(), 1);
    assert!(narinfo(&machine, &path).exists());
}
