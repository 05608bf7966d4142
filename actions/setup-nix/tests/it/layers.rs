//! The exchange with the cache service, which is a directory here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::machine::{Machine, text};

/// The cache service, with the index and the layers as entries.
struct Service {
    dir: tempfile::TempDir,
    /// Total bytes that were saved.
    sent: u64,
}

/// A job on its own machine.
struct Job {
    machine: Machine,
    /// Layers that were requested from the service.
    layers: Vec<String>,
    log: String,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(testkit::tools::command("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn size(path: &Path) -> u64 {
    let files = walkdir::WalkDir::new(path).into_iter().flatten();
    files.map(|entry| entry.metadata().unwrap()).filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
}

/// Runs the action as a step of a workflow; returns its log and its outputs.
fn step(machine: &Machine, args: &[&str]) -> (String, String) {
    step_after_restore(machine, args, "")
}

/// Runs a step of a workflow in which the cache service restored an index under the key
/// `matched`.
fn step_after_restore(machine: &Machine, args: &[&str], matched: &str) -> (String, String) {
    let file = machine.path("output");
    let _ = fs::remove_file(&file);
    let mut action = machine.action(args);
    action.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", machine.path("work"));
    action.env("RUNNER_TEMP", machine.path("tmp")).env("GITHUB_OUTPUT", &file);
    action.env("CACHE_MATCHED_KEY", matched);
    let output = action.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(&output));
    (text(&output), fs::read_to_string(file).unwrap_or_default())
}

fn output(outputs: &str, name: &str) -> String {
    let at = outputs.lines().position(|line| line.starts_with(&format!("{name}<<"))).unwrap();
    outputs.lines().nth(at + 1).unwrap().to_owned()
}

impl Service {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), sent: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a job as `action.yml` does; `corrupt` may change what the service restores.
    fn job(&self, corrupt: impl Fn(&Path)) -> Job {
        let machine = Machine::new();
        let exchange = machine.path("work/.setup-nix");
        let mut layers: Vec<String> = Vec::new();
        let mut matched = "";
        step(&machine, &["plan"]);
        if self.path("index").exists() {
            copy(&self.path("index"), &exchange.join("index"));
            let (_, outputs) = step(&machine, &["layers"]);
            layers = serde_json::from_str(&output(&outputs, "layers")).unwrap();
            for layer in &layers {
                if self.path(layer).exists() {
                    copy(&self.path(layer), &exchange.join(layer));
                }
            }
            corrupt(&exchange);
            matched = "nix-store-key";
        }
        let (log, _) = step_after_restore(&machine, &["install"], matched);
        machine.use_conf(&machine.path("tmp"));
        assert!(!exchange.exists(), "nothing stays in the workspace");
        Job { machine, layers, log }
    }

    /// Ends a job as `save/action.yml` does; returns whether something was saved.
    fn save(&mut self, job: &Job, args: &[&str]) -> bool {
        let (_, outputs) = step(&job.machine, &[&["save"], args].concat());
        if output(&outputs, "changed") != "true" {
            return false;
        }
        let exchange = job.machine.path("work/.setup-nix");
        let layer = output(&outputs, "layer");
        if !layer.is_empty() {
            self.sent += size(&exchange.join(&layer));
            // Entries of the service are immutable.
            if !self.path(&layer).exists() {
                copy(&exchange.join(&layer), &self.path(&layer));
            }
        }
        self.sent += size(&exchange.join("index"));
        let _ = fs::remove_dir_all(self.path("index"));
        copy(&exchange.join("index"), &self.path("index"));
        true
    }
}

/// Adds a file with `bytes` of random content to the store, optionally as a root.
fn add(job: &Job, name: &str, bytes: usize, root: bool) -> String {
    let root = if root { format!("ln -s $path /nix/var/nix/gcroots/{name};") } else { String::new() };
    let script = format!(
        "mkdir -p /nix/var/nix/gcroots; head -c {bytes} /dev/urandom >{name}; path=$(nix-store --add {name}); {root} echo $path"
    );
    job.machine.sh(&script).trim().to_owned()
}

#[test]
fn a_commit_uploads_only_what_it_adds() {
    let mut service = Service::new();
    let job = service.job(|_| {});
    add(&job, "base", 4_000_000, true);
    assert!(service.save(&job, &[]));
    assert!(service.sent > 4_000_000);
    service.sent = 0;
    let job = service.job(|_| {});
    assert!(job.log.contains("1 paths restored") && job.layers.len() == 1, "{}", job.log);
    add(&job, "small", 1000, true);
    assert!(service.save(&job, &[]));
    assert!(service.sent < 50_000, "{}", service.sent);
    service.sent = 0;
    let job = service.job(|_| {});
    assert!(job.log.contains("2 paths restored") && job.layers.len() == 2, "{}", job.log);
    job.machine.verify();
    assert!(!service.save(&job, &[]), "an unchanged set saves nothing");
    assert_eq!(service.sent, 0);
}

/// Store paths come only from what the cache service restored, never from `.setup-nix` in the
/// repository.
#[test]
fn adopts_nothing_that_the_repository_contains() {
    let mut service = Service::new();
    let job = service.job(|_| {});
    add(&job, "injected", 1000, true);
    assert!(service.save(&job, &[]));
    let machine = Machine::new();
    let (exchange, victim) = (machine.path("work/.setup-nix"), machine.path("victim"));
    copy(service.dir.path(), &exchange);
    step(&machine, &["plan"]);
    assert!(!exchange.exists(), "removed before anything is restored");
    copy(service.dir.path(), &victim);
    symlink(&victim, &exchange).unwrap();
    step(&machine, &["plan"]);
    assert!(fs::symlink_metadata(&exchange).is_err() && victim.join("index").is_dir());
    // Even if it appears after that: the service restored nothing.
    copy(service.dir.path(), &exchange);
    let (log, _) = step(&machine, &["install"]);
    assert!(log.contains("0 paths restored") && !exchange.exists(), "{log}");
    assert!(!machine.sh("ls /nix/store").contains("-injected"), "{log}");
}

#[test]
fn never_uses_more_than_eight_layers() {
    let mut service = Service::new();
    for commit in 0..12 {
        let job = service.job(|_| {});
        assert!(job.log.contains(&format!("{commit} paths restored")) || commit == 0, "{}", job.log);
        assert!(job.layers.len() <= 8, "{:?}", job.layers);
        for name in 0..commit {
            // Make it a root on this new machine, too.
            job.machine.sh(&format!(
                "mkdir -p /nix/var/nix/gcroots; ln -s /nix/store/*-commit{name} /nix/var/nix/gcroots/commit{name}"
            ));
        }
        add(&job, &format!("commit{commit}"), 200_000, true);
        assert!(service.save(&job, &[]));
    }
    // Everything was uploaded once, and the smallest layers more often.
    assert!(service.sent < 3 * 12 * 200_000, "{}", service.sent);
}

#[test]
fn builds_that_later_commits_do_not_use_are_neither_kept_nor_restored() {
    let mut service = Service::new();
    let job = service.job(|_| {});
    add(&job, "base", 2_000_000, true);
    assert!(service.save(&job, &[]));
    for commit in 1..=6 {
        let job = service.job(|_| {});
        job.machine.sh("mkdir -p /nix/var/nix/gcroots; ln -s /nix/store/*-base /nix/var/nix/gcroots/base");
        assert!(job.layers.len() <= 4, "{:?}", job.layers);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        job.machine.build(&format!("commit{commit}"), 1);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        assert!(service.save(&job, &[]));
    }
    let job = service.job(|_| {});
    let listing = job.machine.sh("ls /nix/store");
    assert!(
        listing.contains("-commit6-0") && listing.contains("-base") && !listing.contains("-commit3-0"),
        "{listing}"
    );
}

/// A cache of the whole store uploads 1.56 GB for these commits, and restores 220 MB that no
/// job uses.
#[test]
#[ignore = "soak: twelve jobs, 240 MB"]
fn ten_commits_upload_little_and_restore_little_that_is_unused() {
    let mut service = Service::new();
    let job = service.job(|_| {});
    add(&job, "base", 40_000_000, true);
    assert!(service.save(&job, &[]));
    for commit in 1..=11 {
        let job = service.job(|_| {});
        job.machine.sh("mkdir -p /nix/var/nix/gcroots; ln -s /nix/store/*-base /nix/var/nix/gcroots/base");
        // Without reading them, which would be a use.
        let unused = job.machine.sh("stat -c %s /nix/store/*-output?* 2>/dev/null | awk '{n += $1} END {print n + 0}'");
        let unused: u64 = unused.trim().parse().unwrap();
        assert!(unused <= 60_000_000, "commit {commit}: {unused}");
        assert!(commit < 2 || unused >= 20_000_000, "the outputs of the last commits are kept: {unused}");
        // Access times have a resolution of a second.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        if commit <= 10 {
            let expression = format!(
                r#"derivation {{ name = "output{commit}"; system = builtins.currentSystem; builder = "/bin/sh";
                     args = [ "-c" "/usr/bin/head -c 20000000 /dev/urandom >$out" ]; }}"#
            );
            fs::write(job.machine.path("work/output.nix"), expression).unwrap();
            job.machine.sh("nix-build --no-out-link output.nix 2>/dev/null");
            std::thread::sleep(std::time::Duration::from_millis(1500));
            assert!(service.save(&job, &[]));
        }
    }
    assert!(service.sent <= 400_000_000, "{}", service.sent);
}

/// Damages a layer in the exchange directory.
type Corrupt<'a> = &'a dyn Fn(&Path, &str);

#[test]
fn a_missing_or_damaged_layer_is_a_miss_for_its_paths() {
    let gone = |exchange: &Path, layer: &str| fs::remove_dir_all(exchange.join(layer)).unwrap();
    let cut = |exchange: &Path, layer: &str| {
        for entry in fs::read_dir(exchange.join(layer).join("nar")).unwrap().flatten() {
            let bytes = fs::read(entry.path()).unwrap();
            fs::write(entry.path(), &bytes[..bytes.len() / 2]).unwrap();
        }
    };
    let linked = |exchange: &Path, layer: &str| {
        let nar = exchange.join(layer).join("nar");
        fs::rename(&nar, exchange.parent().unwrap().join("victim")).unwrap();
        symlink(exchange.parent().unwrap().join("victim"), nar).unwrap();
    };
    let pipes = |exchange: &Path, layer: &str| {
        for entry in walkdir::WalkDir::new(exchange.join(layer)).into_iter().flatten() {
            if entry.file_type().is_file() {
                fs::remove_file(entry.path()).unwrap();
                assert!(testkit::tools::command("mkfifo").arg(entry.path()).status().unwrap().success());
            }
        }
    };
    // An edited but well-formed narinfo invalidates the whole layer.
    let edited = |exchange: &Path, layer: &str| {
        for entry in fs::read_dir(exchange.join(layer)).unwrap().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "narinfo") {
                let text = fs::read_to_string(entry.path()).unwrap();
                let text = text.replace("References: \n", &format!("References: {}-x\n", "0".repeat(32)));
                fs::write(entry.path(), text + "Deriver: unknown-deriver\n").unwrap();
            }
        }
    };
    let outside = |exchange: &Path, layer: &str| {
        let victim = exchange.parent().unwrap().join("victim");
        fs::rename(exchange.join(layer), &victim).unwrap();
        symlink(victim, exchange.join(layer)).unwrap();
    };
    let kinds: [Corrupt<'_>; 6] = [&gone, &cut, &linked, &pipes, &edited, &outside];
    for corrupt in kinds {
        let mut service = Service::new();
        let job = service.job(|_| {});
        add(&job, "first", 100_000, true);
        service.save(&job, &[]);
        let job = service.job(|_| {});
        job.machine.sh("mkdir -p /nix/var/nix/gcroots; ln -s /nix/store/*-first /nix/var/nix/gcroots/first");
        let second = add(&job, "second", 100_000, true);
        service.save(&job, &[]);
        let kept = tempfile::tempdir().unwrap();
        let built = kept.path().join("second");
        fs::copy(job.machine.path("work/second"), &built).unwrap();
        let layers = service.job(|_| {}).layers;
        let job = service.job(|exchange| corrupt(exchange, &layers[1]));
        assert!(job.log.contains("1 paths restored"), "{}", job.log);
        assert!(!job.machine.path(&second[1..]).exists());
        job.machine.verify();
        // The same path is saved again once it is built again.
        copy(&built, &job.machine.path("work/second"));
        job.machine.sh("nix-store --add second");
        assert!(service.save(&job, &[]));
        let job = service.job(|_| {});
        assert!(job.log.contains("2 paths restored"), "{}", job.log);
        assert!(job.machine.path(&second[1..]).exists(), "{}", job.log);
        job.machine.verify();
    }
}

#[test]
fn a_hostile_index_is_a_miss() {
    let mut service = Service::new();
    let job = service.job(|_| {});
    add(&job, "first", 1000, true);
    service.save(&job, &[]);
    let index = service.path("index/index.json");
    let sound = fs::read_to_string(&index).unwrap();
    let id = serde_json::from_str::<serde_json::Value>(&sound).unwrap()["layers"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for text in [
        String::new(),
        sound[..sound.len() / 2].to_owned(),
        sound.replace(&id, "../../../../../../tmp/x"),
        sound.replace("\"schema\":2", "\"schema\":3"),
        // Edited, but well-formed.
        sound.replace("\"bytes\":", "\"bytes\":1"),
        sound.replace("\"tarball\":null", &format!("\"tarball\":\"{}\"", "0".repeat(64))),
        "[".repeat(1_000_000),
    ] {
        fs::write(&index, text).unwrap();
        let job = service.job(|_| {});
        assert!(job.layers.is_empty() && job.log.contains("0 paths restored"), "{}", job.log);
        job.machine.verify();
    }
    fs::remove_file(&index).unwrap();
    symlink("/dev/zero", &index).unwrap();
    assert!(service.job(|_| {}).layers.is_empty());
}

#[test]
fn the_nix_tarball_is_in_the_layer_of_its_installation() {
    let service = Service::new();
    let machine = Machine::new();
    let (file, digest) = crate::machine::tarball(machine.dir.path(), |_| {});
    let install =
        ["install", "--reuse=never", &format!("--tarball={}", file.display()), &format!("--sha256={digest}")];
    step(&machine, &install);
    let mut service = service;
    let job = Job { machine, layers: Vec::new(), log: String::new() };
    assert!(service.save(&job, &[]));
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(service.path("index/index.json")).unwrap()).unwrap();
    let layer = index["layers"][0]["id"].as_str().unwrap();
    assert!(service.path(layer).join("tarball").join(&digest).is_file());
    let next = service.job(|_| {});
    assert!(next.machine.cache().join("tarball").join(&digest).is_file(), "{}", next.log);
}

#[test]
fn warns_about_a_workflow_without_a_save_step() {
    let machine = Machine::new();
    let workflows = machine.path("work/.github/workflows");
    fs::create_dir_all(&workflows).unwrap();
    for (text, warns) in [("uses: x/actions/setup-nix@1", true), ("uses: x/actions/setup-nix/save@1", false)]
    {
        fs::write(workflows.join("ci.yml"), text).unwrap();
        let mut action = machine.action(&["install"]);
        action.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", machine.path("work"));
        action.env("GITHUB_WORKFLOW_REF", "o/r/.github/workflows/ci.yml@refs/heads/main");
        let output = action.output().unwrap();
        let log = crate::machine::text(&output);
        assert!(output.status.success() && log.contains("no `setup-nix/save` step") == warns, "{log}");
    }
}

/// Adds a directory that is large enough for an image.
fn add_large(job: &Job, name: &str, bytes: usize, root: bool) -> String {
    let root = if root { format!("ln -s $path /nix/var/nix/gcroots/{name};") } else { String::new() };
    let script = format!(
        "mkdir -p /nix/var/nix/gcroots {name}; head -c {bytes} /dev/urandom >{name}/data; path=$(nix-store --add {name}); {root} echo $path"
    );
    job.machine.sh(&script).trim().to_owned()
}

fn root(job: &Job, name: &str) {
    job.machine.sh(&format!("mkdir -p /nix/var/nix/gcroots; ln -s /nix/store/*-{name} /nix/var/nix/gcroots/{name}"));
}

fn images(service: &Service) -> usize {
    let files = walkdir::WalkDir::new(service.dir.path()).into_iter().flatten();
    files.filter(|entry| entry.path().extension().is_some_and(|name| name == "squashfs")).count()
}

#[test]
fn an_image_is_part_of_its_layer() {
    let mut service = Service::new();
    let job = service.job(|_| {});
    let first = add_large(&job, "first", 40_000_000, true);
    let second = add_large(&job, "second", 45_000_000, false);
    assert!(service.save(&job, &[]));
    assert_eq!(images(&service), 1);
    service.sent = 0;
    let job = service.job(|_| {});
    assert!(job.log.contains("2 paths restored") && job.layers.len() == 1, "{}", job.log);
    job.machine.verify();
    root(&job, "first");
    add(&job, "small", 1000, true);
    assert!(service.save(&job, &[]));
    assert!(service.sent < 50_000, "{}", service.sent);
    // Dropping paths leaves a mostly unused image; the next job packs its paths again and
    // uploads them once.
    let job = service.job(|_| {});
    root(&job, "first");
    root(&job, "small");
    assert!(service.save(&job, &["--max-size=50"]));
    let job = service.job(|_| {});
    assert!(job.log.contains("2 paths restored"), "{}", job.log);
    assert!(job.machine.path(&first[1..]).exists() && !job.machine.path(&second[1..]).exists());
    root(&job, "first");
    root(&job, "small");
    assert!(service.save(&job, &[]));
    let job = service.job(|_| {});
    assert!(job.log.contains("2 paths restored"), "{}", job.log);
    assert_eq!(fs::read_dir(job.machine.cache().join("image")).unwrap().count(), 0, "{}", job.log);
    job.machine.verify();
    service.sent = 0;
    root(&job, "first");
    root(&job, "small");
    assert!(!service.save(&job, &[]), "{}", service.sent);
}

#[test]
fn a_missing_or_damaged_image_is_a_miss_for_its_paths() {
    let in_image = |exchange: &Path, layer: &str, extension: &str| {
        let files = walkdir::WalkDir::new(exchange.join(layer)).into_iter().flatten();
        let mut files = files.map(walkdir::DirEntry::into_path);
        files.find(|path| path.extension().is_some_and(|found| found == extension)).unwrap()
    };
    let gone = |exchange: &Path, layer: &str| fs::remove_file(in_image(exchange, layer, "squashfs")).unwrap();
    let unlisted = |exchange: &Path, layer: &str| fs::remove_file(in_image(exchange, layer, "json")).unwrap();
    let cut = |exchange: &Path, layer: &str| {
        let file = fs::File::options().write(true).open(in_image(exchange, layer, "squashfs")).unwrap();
        file.set_len(30_000_000).unwrap();
    };
    let linked = |exchange: &Path, layer: &str| {
        let file = in_image(exchange, layer, "squashfs");
        let victim = exchange.parent().unwrap().join("victim");
        fs::rename(&file, &victim).unwrap();
        symlink(victim, file).unwrap();
    };
    let kinds: [Corrupt<'_>; 4] = [&gone, &unlisted, &cut, &linked];
    let mut service = Service::new();
    let job = service.job(|_| {});
    add_large(&job, "large", 70_000_000, true);
    service.save(&job, &[]);
    let layers = service.job(|_| {}).layers;
    for corrupt in kinds {
        let job = service.job(|exchange| corrupt(exchange, &layers[0]));
        assert!(job.log.contains("0 paths restored"), "{}", job.log);
        job.machine.verify();
    }
}

/// An index without its layer would make the next job build everything again.
#[test]
fn the_index_is_saved_only_if_its_layer_was() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("save/action.yml")).unwrap();
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("missing: {part}"));
    let (layer, check, index) =
        (at("- name: Save the new layer"), at("lookup-only: true"), at("- name: Save the index"));
    assert!(layer < check && check < index);
    assert!(text[index..].contains("!steps.save.outputs.layer || steps.layer.outputs.cache-hit == 'true'"));
}
