//! Packing and restoring, and rejecting corrupted entries.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::install::kill;
use crate::machine::{Machine, text};

/// A machine with `count` packed paths, and the last one of them.
pub(crate) fn packed(count: usize) -> (Machine, String) {
    let machine = Machine::new();
    machine.run_ok(&["install"]);
    let path = machine.build("sample", count);
    machine.run_ok(&["pack"]);
    (machine, path)
}

/// Another machine with a copy of `from`'s cache.
pub(crate) fn with_cache(from: &Machine) -> Machine {
    let machine = Machine::new();
    fs::create_dir_all(machine.cache().parent().unwrap()).unwrap();
    let copy = testkit::tools::command("cp").arg("-a").arg(from.cache()).arg(machine.cache()).status();
    assert!(copy.unwrap().success());
    machine
}

pub(crate) fn narinfo(machine: &Machine, path: &str) -> PathBuf {
    machine.cache().join(&path["/nix/store/".len()..][..32]).with_extension("narinfo")
}

pub(crate) fn nar(machine: &Machine, path: &str) -> PathBuf {
    let text = fs::read_to_string(narinfo(machine, path)).unwrap();
    machine.cache().join(text.lines().find_map(|line| line.strip_prefix("URL: ")).unwrap())
}

#[test]
fn restores_everything_that_was_packed() {
    let (first, path) = packed(3);
    let second = with_cache(&first);
    let log = second.run_ok(&["install"]);
    // Three outputs and their derivations.
    assert!(log.contains("6 paths restored"), "{log}");
    second.verify();
    assert_eq!(
        first.sh(&format!("nix-store --dump {path} | sha256sum")),
        second.sh(&format!("nix-store --dump {path} | sha256sum"))
    );
    assert_eq!(first.sh("nix-store --dump-db | sort"), second.sh("nix-store --dump-db | sort"));
    let again = second.run_ok(&["install"]);
    assert!(again.contains("0 paths restored") && again.contains("6 already present"), "{again}");
}

#[test]
fn any_nix_can_read_the_cache() {
    let (first, path) = packed(2);
    let second = with_cache(&first);
    second.run_ok(&["install", "--cache=off"]);
    let copy = format!(
        "nix --extra-experimental-features nix-command copy --no-check-sigs --from file://{} {path}",
        second.cache().display()
    );
    second.sh(&copy);
    second.verify();
}

#[test]
fn packs_only_new_paths() {
    let (machine, _) = packed(3);
    machine.build("other", 1);
    let log = machine.run_ok(&["pack"]);
    assert!(log.contains("2 paths packed") && log.contains("6 already packed"), "{log}");
}

/// Corrupts one path of the cache and asserts that a restore skips it and its referrers, and
/// restores the others.
fn skips_corrupted(why: &str, corrupt: impl Fn(&Machine, &str)) {
    let (first, last) = packed(3);
    let other = first.build("unrelated", 1);
    first.run_ok(&["pack"]);
    let middle = first.sh(&format!("nix-store -q --references {last}")).trim().to_owned();
    let second = with_cache(&first);
    corrupt(&second, &middle);
    let log = second.run_ok(&["install"]);
    assert!(log.contains(why), "expected `{why}` in: {log}");
    for path in [&middle, &last] {
        assert!(!second.path(&path[1..]).exists(), "{path} must not be there: {log}");
    }
    assert!(second.path(&other[1..]).exists(), "{log}");
    second.verify();
    assert_eq!(second.build("sample", 3), last, "Nix builds it instead");
    second.verify();
}

#[test]
fn packs_a_broken_path_again() {
    let (first, path) = packed(1);
    fs::write(nar(&first, &path), "damaged").unwrap();
    let second = with_cache(&first);
    second.run_ok(&["install"]);
    assert!(!narinfo(&second, &path).exists(), "the broken entry is removed");
    assert_eq!(second.build("sample", 1), path);
    second.run_ok(&["save"]);
    let third = with_cache(&second);
    assert!(third.run_ok(&["install"]).contains("2 paths restored"));
    third.verify();
}

#[test]
fn a_read_only_job_does_not_change_the_cache() {
    let (first, path) = packed(1);
    fs::write(nar(&first, &path), "damaged").unwrap();
    let second = with_cache(&first);
    let list = |machine: &Machine| {
        let entries = fs::read_dir(machine.cache()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    let before = list(&second);
    second.run_ok(&["install", "--cache=read-only"]);
    assert!(second.run_ok(&["save", "--cache=read-only"]).contains("nothing is saved"));
    assert_eq!(list(&second), before);
}

#[test]
fn packs_a_path_with_different_content_again() {
    let (machine, path) = packed(1);
    let text = fs::read_to_string(narinfo(&machine, &path)).unwrap();
    let hash = text.lines().find(|line| line.starts_with("NarHash")).unwrap();
    let other = format!("NarHash: sha256:{}", "0".repeat(52));
    fs::write(narinfo(&machine, &path), text.replace(hash, &other)).unwrap();
    assert!(machine.run_ok(&["pack"]).contains("1 paths packed"));
    assert_eq!(fs::read_to_string(narinfo(&machine, &path)).unwrap(), text);
}

#[test]
fn rejects_a_truncated_nar() {
    skips_corrupted("skipped `", |machine, path| {
        let file = nar(machine, path);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    });
}

#[test]
fn skips_a_missing_nar() {
    skips_corrupted("No such file", |machine, path| fs::remove_file(nar(machine, path)).unwrap());
}

#[test]
fn rejects_a_swapped_nar() {
    skips_corrupted("sample-1`: ", |machine, path| {
        let other = fs::read_dir(machine.cache().join("nar")).unwrap().map(|entry| entry.unwrap().path());
        let mine = nar(machine, path);
        let other = other.filter(|file| *file != mine).min().unwrap();
        fs::copy(other, mine).unwrap();
    });
}

#[test]
fn rejects_a_changed_nar_of_the_same_size() {
    skips_corrupted("does not match the hash", |machine, path| {
        let file = nar(machine, path);
        let mut bytes = zstd::decode_all(&fs::read(&file).unwrap()[..]).unwrap();
        let at = bytes.windows(8).position(|window| window == b"sample 1").unwrap();
        bytes[at] = b'S';
        fs::write(&file, zstd::encode_all(&bytes[..], 3).unwrap()).unwrap();
    });
}

#[test]
fn rejects_a_truncated_narinfo() {
    skips_corrupted("missing field `", |machine, path| {
        let file = narinfo(machine, path);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.split("NarSize").next().unwrap()).unwrap();
    });
}

#[test]
fn rejects_a_swapped_narinfo() {
    skips_corrupted("expected another path", |machine, path| {
        let file = narinfo(machine, path);
        let other = fs::read_dir(machine.cache()).unwrap().map(|entry| entry.unwrap().path());
        let other =
            other.filter(|other| other.extension().is_some_and(|e| e == "narinfo") && *other != file).min();
        fs::copy(other.unwrap(), file).unwrap();
    });
}

#[test]
fn rejects_a_forged_signature_even_under_trust_all() {
    skips_corrupted("signature by a trusted key is invalid", |machine, path| {
        let file = narinfo(machine, path);
        let signature = format!("Sig: cache.nixos.org-1:{}==\n", "A".repeat(86));
        fs::write(&file, fs::read_to_string(&file).unwrap() + &signature).unwrap();
    });
}

#[test]
fn signed_restores_only_what_is_signed_or_content_addressed() {
    let (first, path) = packed(1);
    let strict = with_cache(&first);
    let log = strict.run_ok(&["install", "--cache-trust=signed"]);
    assert!(log.contains("not signed by a trusted key"), "{log}");
    assert!(!strict.path(&path[1..]).exists());
    strict.verify();

    // Now signed by our own key.
    first.sh("nix-store --generate-binary-cache-key test-1 secret public");
    first.sh("nix --extra-experimental-features nix-command store sign --all -k secret");
    fs::remove_dir_all(first.cache()).unwrap();
    first.run_ok(&["pack"]);
    let key = fs::read_to_string(first.path("work/public")).unwrap();
    let trusting = with_cache(&first);
    trusting.run_ok(&[
        "install",
        "--cache-trust=signed",
        &format!("--extra-trusted-public-keys={}", key.trim()),
    ]);
    assert!(trusting.path(&path[1..]).exists());
    trusting.verify();
}

#[test]
fn two_jobs_pack_at_once() {
    let machine = Machine::new();
    machine.run_ok(&["install"]);
    machine.build("sample", 20);
    let jobs: Vec<_> = (0..2)
        .map(|_| machine.action(&["pack"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for job in jobs {
        let output = job.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    let second = with_cache(&machine);
    assert!(second.run_ok(&["install"]).contains("40 paths restored"));
    second.verify();
}

#[test]
fn a_run_completes_after_packing_or_restoring_was_killed() {
    let (first, path) = packed(40);
    fs::remove_dir_all(first.cache()).unwrap();
    let kill_at = |machine: &Machine, command: &str, reached: &dyn Fn() -> bool| {
        let mut child =
            machine.action(&[command]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !reached() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        kill(child);
    };
    let entries = |dir: &Path| fs::read_dir(dir).map_or(0, Iterator::count);
    for count in [1, 20, 60] {
        kill_at(&first, "pack", &|| entries(&first.cache().join("nar")) >= count);
    }
    first.run_ok(&["pack"]);
    let second = with_cache(&first);
    for count in [2, 30, 70] {
        kill_at(&second, "install", &|| entries(&second.store()) >= count);
        second.verify();
    }
    kill_at(&second, "install", &|| second.path("nix/var/nix/db/db.sqlite-wal").exists());
    second.run_ok(&["install"]);
    assert!(second.path(&path[1..]).exists());
    second.verify();
    kill_at(&second, "save", &|| second.cache().join("last-used").exists());
    second.run_ok(&["save"]);
    assert_eq!(entries(&second.cache().join("nar")), 80);
}

#[test]
fn a_full_disk_leaves_a_valid_store() {
    let (first, _) = packed(3);
    let second = with_cache(&first);
    // A small NAR with many files, each of which needs a disk block.
    first.sh("mkdir big; seq 12000 | while read -r n; do echo $n >big/$n; done; nix-store --add big >/dev/null");
    first.run_ok(&["pack"]);
    let third = with_cache(&first);
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let script = format!(
        "mount -t tmpfs -o size=40m tmpfs /nix; {action} install; nix-store --verify --check-contents; nix-store --dump-db | grep -c sample"
    );
    let output = third.command("sh").args(["-euc", &script]).output().unwrap();
    let log = text(&output);
    assert!(
        output.status.success() && log.contains("not enough disk space"),
        "{log}"
    );
    drop(second);
}

#[test]
fn a_full_disk_while_saving_leaves_only_complete_files() {
    let (machine, _) = packed(3);
    machine.sh("head -c 64000000 /dev/urandom >big; nix-store --add big >/dev/null");
    fs::remove_dir_all(machine.cache()).unwrap();
    fs::create_dir(machine.cache()).unwrap();
    let (action, cache) = (assert_cmd::cargo::cargo_bin!("setup-nix").display(), machine.cache());
    let listing = cache.display();
    let log = machine.sh(&format!(
        "mount -t tmpfs -o size=20m tmpfs {listing}; {action} save 2>&1; ls -A {listing}/nar; nix --extra-experimental-features nix-command store verify --no-trust --store file://{listing} --all 2>&1"
    ));
    assert!(log.contains("No space left"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with(".part-")), "{log}");
    assert_eq!(log.lines().filter(|line| line.ends_with(".nar.zst")).count(), 6, "{log}");
    // With enough space, the next run recovers.
    machine.run_ok(&["save"]);
    let second = with_cache(&machine);
    assert!(second.run_ok(&["install"]).contains("7 paths restored"));
    second.verify();
}

/// Packs two large paths, restores them after `meanwhile`, uses one, and saves with space
/// for only one.
fn keeps_the_used_path(meanwhile: impl Fn(&Machine)) {
    let (first, _) = packed(1);
    first.sh("head -c 3000000 /dev/urandom >old; head -c 3000001 /dev/urandom >new");
    let old = first.sh("nix-store --add old").trim().to_owned();
    let new = first.sh("nix-store --add new").trim().to_owned();
    first.run_ok(&["save"]);
    let second = with_cache(&first);
    meanwhile(&second);
    second.run_ok(&["install"]);
    second.sh(&format!("cat {new} >/dev/null"));
    let log = second.run_ok(&["save", "--max-size=4"]);
    assert!(log.contains("dropped"), "{log}");
    assert!(narinfo(&second, &new).exists() && !narinfo(&second, &old).exists(), "{log}");
}

#[test]
fn drops_the_least_recently_used_first() {
    keeps_the_used_path(|_| {});
}

#[test]
fn drops_the_least_recently_used_first_after_a_clock_change() {
    keeps_the_used_path(|machine| {
        let stamps = machine.cache().join("last-used");
        let text = fs::read_to_string(&stamps).unwrap();
        let later = |line: &str| format!("{} 99999999999\n", line.split_once(' ').unwrap().0);
        fs::write(stamps, text.lines().map(later).collect::<String>()).unwrap();
    });
}

#[test]
fn save_reports_whether_there_are_changes() {
    let (first, _) = packed(2);
    let saved = |machine: &Machine| {
        let mut action = machine.action(&["save"]);
        let _ = fs::remove_file(machine.path("output"));
        action.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", machine.path("output"));
        let output = action.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let text = fs::read_to_string(machine.path("output")).unwrap();
        let at = text.lines().position(|line| line.starts_with("changed<<")).unwrap();
        text.lines().nth(at + 1).unwrap() == "true"
    };
    assert!(saved(&first));
    let second = with_cache(&first);
    second.run_ok(&["install"]);
    assert!(!saved(&second), "an unchanged set saves nothing");
    second.build("other", 1);
    assert!(saved(&second));
}

#[test]
fn does_not_pack_a_path_that_is_damaged_in_the_store() {
    let (machine, _) = packed(1);
    let path = machine.build("damaged", 1);
    let file = machine.path(&path[1..]).join("text");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "changed").unwrap();
    let log = machine.run_ok(&["pack"]);
    assert!(log.contains("its content differs from what Nix registered"), "{log}");
    assert!(!narinfo(&machine, &path).exists());
}

#[test]
#[ignore = "soak: packs and restores 5,000 paths"]
fn packs_and_restores_five_thousand_paths() {
    let machine = Machine::new();
    machine.run_ok(&["install"]);
    machine.sh("mkdir many; cd many; seq 5000 | while read -r n; do echo $n >file$n; done; nix-store --add file* >/dev/null");
    assert!(machine.run_ok(&["pack"]).contains("5000 paths packed"));
    let second = with_cache(&machine);
    assert!(second.run_ok(&["install"]).contains("5000 paths restored"));
    second.verify();
}
