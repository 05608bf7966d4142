//! Packing large batches as images, and mounting or unpacking them.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use pydist::digest::{hex, sha256};
use squashfs::{Owner, Writer};

use crate::job::step;
use crate::machine::{Machine, text};

const JOURNAL: &str = "nix/var/nix/setup-nix-mounted.json";

/// A machine whose cache has two images with three large paths and some small ones that were
/// built.
fn packed() -> &'static (Machine, String) {
    static PACKED: OnceLock<(Machine, String)> = OnceLock::new();
    PACKED.get_or_init(|| {
        let machine = Machine::new();
        machine.run_ok(&["install"]);
        machine.sh(
            r"for n in 1 2 3; do
              mkdir -p large$n/bin; head -c 46000000 /dev/urandom >large$n/data
              printf '#!/bin/sh\necho %s\n' $n >large$n/bin/run; chmod +x large$n/bin/run; ln -s run large$n/bin/link
              nix-store --add large$n; rm -r large$n
            done",
        );
        let built = machine.build("sample", 3);
        let log = machine.run_ok(&["pack"]);
        assert!(log.contains("9 paths packed"), "{log}");
        assert_eq!(images(&machine).len(), 2, "{log}");
        (machine, built)
    })
}

/// The images of a machine's cache.
fn images(machine: &Machine) -> Vec<PathBuf> {
    let entries = fs::read_dir(machine.cache().join("image")).unwrap().map(|entry| entry.unwrap().path());
    let mut images: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|name| name == "squashfs")).collect();
    images.sort();
    images
}

/// Another machine with that cache, in a namespace that keeps its mounts.
pub(crate) fn next() -> Machine {
    let mut machine = crate::cache::with_cache(&packed().0);
    machine.start();
    machine
}

pub(crate) fn is_mounted(machine: &Machine) -> bool {
    machine.sh("grep -c ' /nix/store .* overlay setup-nix ' /proc/self/mountinfo || true").trim() != "0"
}

fn newer() -> Machine {
    Machine { path_prefix: Some(testkit::tools::dir().join("newer-nix/bin")), ..next() }
}

const ALL: &str = "nix-store --dump-db | sort; for p in /nix/store/*-*; do nix-store --dump $p | sha256sum; done";

#[test]
fn a_mounted_store_equals_the_packed_one() {
    let (first, _) = packed();
    let second = next();
    let log = second.run_ok(&["install", "--mount"]);
    assert!(log.contains("9 paths restored") && log.contains("9 of them mounted, from 2 images"), "{log}");
    assert!(is_mounted(&second));
    second.verify();
    assert_eq!(second.sh(ALL), first.sh(ALL));
    assert_eq!(second.sh("/nix/store/*-large2/bin/link"), "2\n");
    let mounts = second.sh("grep -E 'squashfs|setup-nix' /proc/self/mountinfo");
    assert_eq!(mounts.lines().filter(|line| line.contains(" ro,nosuid,nodev") && line.contains("squashfs")).count(), 2);
    assert!(mounts.lines().any(|line| line.contains("/nix/store rw,nosuid,nodev")), "{mounts}");
    for image in images(&second) {
        let meta = fs::metadata(image).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (0, 0o444));
    }
    // What the job adds is written to the disk and packed.
    let path = second.build("added", 1);
    assert!(second.path(&path[1..]).exists());
    let log = second.run_ok(&["pack"]);
    assert!(log.contains("2 paths packed") && log.contains("9 already packed"), "{log}");
}

#[test]
fn an_unpacked_image_equals_a_mounted_one() {
    let list = "cd /nix/store && find . -name '*-large*' -prune -exec find '{}' -printf '%p %m %s %T@ %l\\n' ';' | \
                grep -v '^./[^/]*-large. ' | sort";
    let (mounted, unpacked) = (next(), next());
    mounted.run_ok(&["install", "--mount"]);
    let log = unpacked.run_ok(&["install", "--mount=false"]);
    assert!(log.contains("9 paths restored") && !log.contains("mounted"), "{log}");
    unpacked.verify();
    assert_eq!(unpacked.sh(ALL), packed().0.sh(ALL));
    let directories = |text: String| text.lines().map(|line| line.replace(" 4096 ", " ")).collect::<Vec<_>>();
    let files = |machine: &Machine| directories(machine.sh(list)).into_iter().filter(|line| !line.contains(" 555 ") || line.contains("/run")).collect::<Vec<_>>();
    assert_eq!(files(&mounted), files(&unpacked));
    assert!(files(&unpacked).len() >= 9);
}

#[test]
fn unpacks_what_must_not_be_mounted() {
    let planned = |args: &[&str], hosted: bool| {
        let machine = Machine::new();
        let mut action = machine.action(&[&["install", "--dry-run"], args].concat());
        if hosted {
            action.env("RUNNER_ENVIRONMENT", "github-hosted");
        }
        let output = action.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        plan["mount"].as_bool().unwrap()
    };
    assert!(planned(&[], true) && planned(&["--mount"], false));
    assert!(!planned(&[], false), "only on request on self-hosted machines");
    for args in [&["--mount=false"][..], &["--cache-trust=signed"], &["--cache=off"]] {
        assert!(!planned(args, true), "{args:?}");
    }
    let machine = next();
    let log = machine.run_ok(&["install", "--mount", "--cache-trust=signed"]);
    assert!(!is_mounted(&machine), "{log}");
    // The large paths are content-addressed; the built ones are neither that nor signed.
    assert!(log.contains("6 paths restored") && log.contains("3 skipped"), "{log}");
    machine.verify();
}

/// Reading all of an image takes longer than unpacking it, so `mount: auto` unpacks images
/// after a job that did.
#[test]
fn unpacks_images_after_a_job_that_reads_everything() {
    let hosted = |machine: &Machine, args: &[&str]| {
        let output = machine.action(args).env("RUNNER_ENVIRONMENT", "github-hosted").output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    let percent = |machine: &Machine| {
        let text = fs::read_to_string(machine.cache().join("percent-read")).unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    let machine = next();
    hosted(&machine, &["install"]);
    assert!(is_mounted(&machine));
    hosted(&machine, &["save"]);
    assert!(percent(&machine) < 50, "{}", percent(&machine));
    machine.sh("cat /nix/store/*-large*/data >/dev/null");
    hosted(&machine, &["save"]);
    assert!(percent(&machine) > 50, "{}", percent(&machine));
    machine.run_ok(&["save"]);
    assert!(hosted(&machine, &["install"]).contains("9 paths restored") && !is_mounted(&machine));
    // Unpacked paths are measured too, by their access times.
    machine.sh("cat /nix/store/*-large1/data >/dev/null");
    hosted(&machine, &["save"]);
    assert!((30..40).contains(&percent(&machine)), "{}", percent(&machine));
    let last = crate::cache::with_cache(&machine);
    hosted(&last, &["install"]);
    hosted(&last, &["save"]);
    assert_eq!(percent(&last), 0, "the next job mounts the images again");
    machine.verify();
}

/// The runner empties its temporary directory before the process that runs the job ends.
#[test]
fn the_end_of_a_job_unmounts_even_if_its_directory_is_removed_first() {
    let machine = next();
    let temporary = machine.path("tmp");
    let mut action = machine.action(&["install", "--mount"]);
    let output = action.env("GITHUB_ACTIONS", "true").env("RUNNER_TEMP", &temporary).output().unwrap();
    assert!(output.status.success() && is_mounted(&machine), "{}", text(&output));
    let start = std::time::Instant::now();
    let wait = || {
        assert!(start.elapsed() < std::time::Duration::from_secs(120));
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    while !temporary.join("setup-nix/packed").exists() {
        wait();
    }
    // At once, because the packer may be writing to it.
    fs::rename(&temporary, machine.path("removed")).unwrap();
    while is_mounted(&machine) || machine.path(JOURNAL).exists() {
        wait();
    }
}

/// Nix in a process namespace, because open files of other tests' processes would be roots.
const ISOLATED_NIX_STORE: &str = "unshare --pid --fork --mount-proc nix-store";

/// Exercises Nix in a store under an overlay.
fn nix_works(machine: &Machine) {
    let (_, built) = packed();
    machine.run_ok(&["install", "--mount"]);
    assert!(is_mounted(machine));
    machine.verify();
    // A newer Nix may fail here over several images, without damage.
    machine.sh("nix-store --optimise || nix-store --version | grep -v ' 2.8'");
    machine.verify();
    // Delete a path, collect the garbage, build it again.
    machine.sh(&format!("{ISOLATED_NIX_STORE} --delete {built}"));
    assert!(machine.sh(&format!("ls {built} 2>&1 || true")).contains("No such file"));
    assert_eq!(machine.build("sample", 3), *built);
    machine.verify();
    let rooted = machine.sh(&format!("mkdir -p /nix/var/nix/gcroots; ln -s /nix/store/*-large1 /nix/var/nix/gcroots/large; \
                             {ISOLATED_NIX_STORE} --gc >/dev/null 2>&1; ls /nix/store"));
    assert!(rooted.contains("-large1") && !rooted.contains("-large2") && !rooted.contains("-sample-"), "{rooted}");
    machine.verify();
    let options = "--option auto-optimise-store true";
    machine.build("optimised", 2);
    machine.sh(&format!("echo same >one; echo same >two; nix-store {options} --add one; nix-store {options} --add two"));
    machine.sh(&format!("nix-build {options} --no-out-link build.nix"));
    machine.verify();
    machine.sh(&format!("rm /nix/var/nix/gcroots/large; {ISOLATED_NIX_STORE} --gc >/dev/null 2>&1"));
    let listing = machine.sh("ls /nix/store");
    assert!(!listing.contains("-optimised-") && !listing.contains("-large"), "{listing}");
    machine.verify();
}

#[test]
fn nix_collects_optimises_and_builds_over_images() {
    nix_works(&next());
}

#[test]
fn a_newer_nix_collects_optimises_and_builds_over_images() {
    nix_works(&newer());
}

/// Builds a derivation whose builder is in an image.
#[test]
fn sandboxed_builds_and_shells_see_mounted_paths() {
    for machine in [next(), newer()] {
        machine.run_ok(&["install", "--mount"]);
        // The sandbox's shell and its libraries.
        machine.sh(
            r#"cat >build.nix <<'EOF'
derivation {
  name = "sandboxed"; system = builtins.currentSystem; builder = "/bin/sh";
  large = builtins.storePath (builtins.getEnv "LARGE");
  args = [ "-c" "read -r line <$large/bin/run; echo $line >$out; test ! -e /etc/hostname" ];
}
EOF
            export LARGE=$(echo /nix/store/*-large3)
            paths="/bin /lib /lib64 /usr"
            nix-build --no-out-link --option sandbox true --option sandbox-paths "$paths" build.nix >built
            grep -qx '#!/bin/sh' "$(cat built)""#,
        );
        machine.sh(
            r#"cat >flake.nix <<'EOF'
{ outputs = { self }: { devShells.x86_64-linux.default = derivation {
    name = "shell"; system = "x86_64-linux"; builder = "/bin/bash"; outputs = [ "out" ]; stdenv = ./.;
    args = [ "-c" "echo" ]; shellHook = "echo hook"; }; }; }
EOF
            printf ':\n' >setup
            export LARGE=$(echo /nix/store/*-large3)
            nix --extra-experimental-features 'nix-command flakes' develop --impure -c "$LARGE/bin/run" >log
            grep -x 3 log"#,
        );
        machine.verify();
    }
}

#[test]
fn a_second_job_keeps_the_mounts_and_its_end_unmounts() {
    let machine = next();
    machine.run_ok(&["install", "--mount"]);
    let log = machine.run_ok(&["install", "--mount"]);
    assert!(log.contains("0 paths restored") && log.contains("9 already present"), "{log}");
    assert!(is_mounted(&machine));
    // One build refers to a mounted path, another one does not.
    machine.sh(
        r#"echo 'derivation { name = "on-top"; system = builtins.currentSystem; builder = "/bin/sh";
             large = builtins.storePath (builtins.getEnv "LARGE"); args = [ "-c" "echo $large >$out" ]; }' >top.nix
           LARGE=$(echo /nix/store/*-large1) nix-build --no-out-link top.nix
           unshare --pid --fork --mount-proc nix-store --delete /nix/store/*-large2"#,
    );
    let apart = machine.build("apart", 1);
    machine.run_ok(&["save"]);
    assert!(!is_mounted(&machine) && !machine.path(JOURNAL).exists());
    let listing = machine.sh("ls -A /nix/store; nix-store --dump-db | grep ^/nix/store/ || true");
    assert!(!listing.contains("-large") && !listing.contains("-sample-") && !listing.contains("-on-top\n"), "{listing}");
    assert!(machine.path(&apart[1..]).exists(), "{listing}");
    machine.verify();
    assert!(!machine.path("nix/.setup-nix-work").exists());
    for image in images(&machine) {
        assert_eq!(fs::metadata(image).unwrap().mode() & 0o777, 0o644);
    }
    let log = machine.run_ok(&["install", "--mount"]);
    assert!(log.contains("mounted, from 2 images"), "{log}");
    machine.verify();
    machine.sh("ls /nix/store/*-on-top /nix/store/*-large2/data");
}

#[test]
fn the_end_of_a_job_keeps_the_mounts_of_the_others() {
    let machine = next();
    step(&machine, "a", &["install", "--mount"], &[]);
    let cache = machine.path("other").display().to_string();
    step(&machine, "b", &["install"], &[("INPUT_CACHE_DIRECTORY", &cache)]);
    assert!(is_mounted(&machine));
    let log = step(&machine, "a", &["save"], &[]);
    assert!(is_mounted(&machine) && log.contains("until the other jobs on this machine end"), "{log}");
    machine.verify();
    step(&machine, "b", &["save"], &[]);
    assert!(!is_mounted(&machine) && !machine.path(JOURNAL).exists());
    machine.verify();
}

/// Until its paths are registered, a mount looks like the leftovers of an interrupted run.
#[test]
fn a_second_job_waits_for_a_mount_in_progress() {
    let machine = next();
    step(&machine, "a", &["install", "--mount"], &[]);
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let log = machine.sh(&format!(
        "cd /nix/var/nix; mv setup-nix-mounted.registered later; lock=setup-nix-mounted.lock
         flock $lock sh -c 'sleep 2; mv later setup-nix-mounted.registered' &
         while flock -n $lock true; do sleep 0.05; done
         {action} install --mount 2>&1; wait"
    ));
    assert!(is_mounted(&machine) && log.contains("9 already present"), "{log}");
    machine.verify();
}

#[test]
fn restores_mounts_again_after_a_restart() {
    let mut machine = next();
    machine.run_ok(&["install", "--mount"]);
    let top = machine.build("top", 1);
    machine.sh("nix-store --optimise; chmod u+w /nix/store/*-large1");
    machine.start();
    assert!(!is_mounted(&machine) && machine.path(JOURNAL).exists());
    let log = machine.run_ok(&["install", "--mount"]);
    assert!(log.contains("9 paths restored") && is_mounted(&machine), "{log}");
    machine.verify();
    assert!(machine.path(&top[1..]).exists());
    machine.start();
    let log = machine.run_ok(&["install", "--mount=false"]);
    assert!(log.contains("9 paths restored") && !machine.path(JOURNAL).exists(), "{log}");
    machine.verify();
}

/// Corrupts the first image and asserts that its paths are skipped and the others restored.
fn skips_corrupted(why: &str, corrupt: impl Fn(&Machine, &PathBuf)) {
    let machine = next();
    let image = images(&machine).remove(0);
    corrupt(&machine, &image);
    let log = machine.run_ok(&["install", "--mount"]);
    assert!(log.contains(why), "expected `{why}` in: {log}");
    assert!(log.contains("mounted, from 1 images") && !log.contains(" 0 skipped"), "{log}");
    machine.verify();
    // The missing paths are packed again.
    let store = machine.sh("ls /nix/store");
    machine.build("sample", 3);
    machine.run_ok(&["save"]);
    let log = machine.run_ok(&["install", "--mount=false"]);
    assert!(log.contains(" 0 skipped"), "{store}: {log}");
    machine.verify();
}

#[test]
fn does_not_mount_a_changed_image() {
    skips_corrupted("does not match its hashes", |_, image| {
        let mut bytes = fs::read(image).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(image, bytes).unwrap();
    });
}

#[test]
fn does_not_mount_a_truncated_image() {
    skips_corrupted("bytes, expected", |_, image| {
        let bytes = fs::read(image).unwrap();
        fs::write(image, &bytes[..bytes.len() / 3]).unwrap();
    });
}

#[test]
fn rejects_an_edited_list_of_hashes() {
    skips_corrupted("does not match its name", |_, image| {
        let file = image.with_extension("json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"bytes\":", "\"bytes\":1")).unwrap();
        // Unpacking then verifies each path on its own.
        let mut bytes = fs::read(image).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(image, bytes).unwrap();
    });
}

/// Replaces the first image by one with the contents of `fill` and valid hashes, as anyone
/// with write access to the cache could.
fn forge_image(machine: &Machine, fill: impl Fn(&mut Writer<Cursor<Vec<u8>>>)) -> String {
    let old = images(machine).remove(0);
    let mut writer = Writer::new(Cursor::new(Vec::new()), Owner { uid: 0, gid: 0 }, 1).unwrap();
    fill(&mut writer);
    let bytes = writer.finish().unwrap().0.into_inner();
    replace(machine, &old, &bytes)
}

fn replace(machine: &Machine, old: &PathBuf, bytes: &[u8]) -> String {
    let chunks: Vec<String> = bytes.chunks(4 << 20).map(|chunk| hex(&sha256(chunk))).collect();
    let about = format!(
        r#"{{"uid":0,"bytes":{},"nar_bytes":1000000,"chunks":{}}}"#,
        bytes.len(),
        serde_json::to_string(&chunks).unwrap()
    );
    let id = hex(&sha256(about.as_bytes()))[..32].to_owned();
    let before = old.file_stem().unwrap().to_string_lossy().into_owned();
    fs::remove_file(old).unwrap();
    fs::remove_file(old.with_extension("json")).unwrap();
    fs::write(old.with_file_name(format!("{id}.squashfs")), bytes).unwrap();
    fs::write(old.with_file_name(format!("{id}.json")), about).unwrap();
    for entry in fs::read_dir(machine.cache()).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if text.contains(&before) {
            fs::write(entry.path(), text.replace(&before, &id)).unwrap();
        }
    }
    id
}

#[test]
fn an_image_adds_nothing_to_existing_paths() {
    let machine = next();
    machine.sh("mkdir -p own/bin; echo own >own/bin/tool; nix-store --add own");
    let own = machine.sh("echo /nix/store/*-own").trim().to_owned();
    let base = own["/nix/store/".len()..].to_owned();
    let large = machine.sh(&format!("grep -h ^StorePath {}/*.narinfo", machine.cache().display()));
    let large: Vec<&str> = large.lines().filter_map(|line| line.strip_prefix("StorePath: /nix/store/")).collect();
    forge_image(&machine, |writer| {
        let mut names = [&large[..], &[&base, ".links", "zzz-not-a-path"]].concat();
        names.sort_unstable();
        for name in names {
            writer.directory(name.as_bytes()).unwrap();
            writer.directory(b"bin").unwrap();
            writer.file(b"evil", true, &b"evil"[..]).unwrap();
            writer.end().unwrap();
            writer.end().unwrap();
        }
    });
    let log = machine.run_ok(&["install", "--mount"]);
    assert!(is_mounted(&machine), "{log}");
    assert_eq!(machine.sh(&format!("ls {own}/bin")), "tool\n");
    let listing = machine.sh("ls -A /nix/store");
    assert!(!listing.contains("zzz-not-a-path"), "{listing}");
    // Two images have the same path: it must not be merged from both.
    for path in large {
        let parts = machine.sh(&format!("ls /nix/store/{path} 2>/dev/null || true"));
        assert!(!(parts.contains("data") && machine.sh(&format!("ls /nix/store/{path}/bin")).contains("evil")));
    }
    machine.sh(&format!("nix-store --verify-path {own}"));
}

#[test]
fn does_not_mount_an_image_with_devices() {
    // Overwrite the type of the first inode. Random names keep the tables uncompressed.
    let machine = next();
    let name = machine.sh("head -c 64 /dev/urandom | sha512sum | cut -c1-120").trim().to_owned();
    let large = machine.sh(&format!("grep -l {} {}/*.narinfo | head -1 | xargs sed -n 's,^StorePath: /nix/store/,,p'",
        images(&machine)[0].file_stem().unwrap().to_string_lossy(), machine.cache().display())).trim().to_owned();
    let mut writer = Writer::new(Cursor::new(Vec::new()), Owner { uid: 0, gid: 0 }, 1).unwrap();
    writer.directory(large.as_bytes()).unwrap();
    writer.link(name.as_bytes(), name.as_bytes()).unwrap();
    writer.end().unwrap();
    let mut bytes = writer.finish().unwrap().0.into_inner();
    let table = usize::try_from(u64::from_le_bytes(bytes[64..72].try_into().unwrap())).unwrap();
    if bytes[table + 1] & 0x80 == 0 {
        // The block is compressed: store it uncompressed.
        let length = usize::from(u16::from_le_bytes([bytes[table], bytes[table + 1]]));
        let plain = zstd::bulk::decompress(&bytes[table + 2..table + 2 + length], 8192).unwrap();
        let at = bytes.len() as u64;
        bytes.extend((u16::try_from(plain.len()).unwrap() | 0x8000).to_le_bytes());
        bytes.extend(plain);
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        bytes[64..72].copy_from_slice(&at.to_le_bytes());
        let end = bytes.len() as u64;
        bytes[40..48].copy_from_slice(&end.to_le_bytes());
    }
    let table = usize::try_from(u64::from_le_bytes(bytes[64..72].try_into().unwrap())).unwrap();
    // A character device (Linux, `squashfs_fs.h`: SQUASHFS_CHRDEV_TYPE).
    bytes[table + 2..table + 4].copy_from_slice(&5_u16.to_le_bytes());
    let old = images(&machine).remove(0);
    replace(&machine, &old, &bytes);
    let log = machine.run_ok(&["install", "--mount"]);
    assert!(log.contains("found inode type 5") && log.contains("from 1 images"), "{log}");
    assert_eq!(machine.sh("find /nix/store -type c | wc -l").trim(), "0");
    machine.verify();
}
