//! What goes to the cache service and comes from it, with a directory in the
//! service's place.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::machine::{Machine, text};

/// Entries of the service: the index, and the layers by their ids.
struct Service {
    folder: tempfile::TempDir,
    /// Bytes that were sent to it.
    sent: u64,
}

/// One job on a machine of its own.
struct Job {
    machine: Machine,
    /// Layers that the service was asked for.
    layers: Vec<String>,
    said: String,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(testkit::tools::command("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn size(path: &Path) -> u64 {
    let files = walkdir::WalkDir::new(path).into_iter().flatten();
    files.map(|entry| entry.metadata().unwrap()).filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
}

/// The action as a step of a workflow; gives what it says and its outputs.
fn step(machine: &Machine, args: &[&str]) -> (String, String) {
    let file = machine.path("output");
    let _ = fs::remove_file(&file);
    let mut action = machine.action(args);
    action.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", machine.path("work"));
    action.env("RUNNER_TEMP", machine.path("tmp")).env("GITHUB_OUTPUT", &file);
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
        Self { folder: tempfile::tempdir().unwrap(), sent: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Begins a job as `action.yml` does; `spoil` may change what the service gives.
    fn job(&self, spoil: impl Fn(&Path)) -> Job {
        let machine = Machine::new();
        let exchange = machine.path("work/.setup-nix");
        let mut layers: Vec<String> = Vec::new();
        if self.path("index").exists() {
            copy(&self.path("index"), &exchange.join("index"));
            let (_, outputs) = step(&machine, &["layers"]);
            layers = serde_json::from_str(&output(&outputs, "layers")).unwrap();
            for layer in &layers {
                if self.path(layer).exists() {
                    copy(&self.path(layer), &exchange.join(layer));
                }
            }
            spoil(&exchange);
        }
        let (said, _) = step(&machine, &["install"]);
        machine.use_conf(&machine.path("tmp"));
        assert!(!exchange.exists(), "nothing stays in the workspace");
        Job { machine, layers, said }
    }

    /// Ends it as `save/action.yml` does; whether something was saved.
    fn save(&mut self, job: &Job, args: &[&str]) -> bool {
        let (_, outputs) = step(&job.machine, &[&["save"], args].concat());
        if output(&outputs, "changed") != "true" {
            return false;
        }
        let exchange = job.machine.path("work/.setup-nix");
        let layer = output(&outputs, "layer");
        if !layer.is_empty() {
            self.sent += size(&exchange.join(&layer));
            // An entry of the service never changes.
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

/// Adds `bytes` of random content to the store, as a root or not.
fn add(job: &Job, name: &str, bytes: usize, root: bool) -> String {
    let root = if root { format!("ln -s $path /nix/var/nix/gcroots/{name};") } else { String::new() };
    let script = format!(
        "mkdir -p /nix/var/nix/gcroots; head -c {bytes} /dev/urandom >{name}; path=$(nix-store --add {name}); {root} echo $path"
    );
    job.machine.sh(&script).trim().to_owned()
}

#[test]
fn a_commit_sends_what_it_adds() {
    let mut service = Service::new();
    let job = service.job(|_| {});
    add(&job, "base", 4_000_000, true);
    assert!(service.save(&job, &[]));
    assert!(service.sent > 4_000_000);
    service.sent = 0;
    let job = service.job(|_| {});
    assert!(job.said.contains("1 paths restored") && job.layers.len() == 1, "{}", job.said);
    add(&job, "small", 1000, true);
    assert!(service.save(&job, &[]));
    assert!(service.sent < 50_000, "{}", service.sent);
    service.sent = 0;
    let job = service.job(|_| {});
    assert!(job.said.contains("2 paths restored") && job.layers.len() == 2, "{}", job.said);
    job.machine.verify();
    assert!(!service.save(&job, &[]), "an unchanged set saves nothing");
    assert_eq!(service.sent, 0);
}

#[test]
fn eight_layers_suffice() {
    let mut service = Service::new();
    for commit in 0..12 {
        let job = service.job(|_| {});
        assert!(job.said.contains(&format!("{commit} paths restored")) || commit == 0, "{}", job.said);
        assert!(job.layers.len() <= 8, "{:?}", job.layers);
        for name in 0..commit {
            // Still a root on this new machine.
            job.machine.sh(&format!(
                "mkdir -p /nix/var/nix/gcroots; ln -s /nix/store/*-commit{name} /nix/var/nix/gcroots/commit{name}"
            ));
        }
        add(&job, &format!("commit{commit}"), 200_000, true);
        assert!(service.save(&job, &[]));
    }
    // All of it was sent once, and the smallest ones again, now and then.
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
    let there = job.machine.sh("ls /nix/store");
    assert!(
        there.contains("-commit6-0") && there.contains("-base") && !there.contains("-commit3-0"),
        "{there}"
    );
}

/// Damages a layer in the folder of exchange.
type Spoil<'a> = &'a dyn Fn(&Path, &str);

#[test]
fn a_layer_that_is_gone_or_damaged_is_a_miss_for_its_paths() {
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
    // One narinfo that was edited, and reads as well as before: the layer is refused whole.
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
    let kinds: [Spoil<'_>; 6] = [&gone, &cut, &linked, &pipes, &edited, &outside];
    for spoil in kinds {
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
        let job = service.job(|exchange| spoil(exchange, &layers[1]));
        assert!(job.said.contains("1 paths restored"), "{}", job.said);
        assert!(!job.machine.path(&second[1..]).exists());
        job.machine.verify();
        // The same, built again, is saved again.
        copy(&built, &job.machine.path("work/second"));
        job.machine.sh("nix-store --add second");
        assert!(service.save(&job, &[]));
        let job = service.job(|_| {});
        assert!(job.said.contains("2 paths restored"), "{}", job.said);
        assert!(job.machine.path(&second[1..]).exists(), "{}", job.said);
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
        // Edited, and still in the right form.
        sound.replace("\"bytes\":", "\"bytes\":1"),
        sound.replace("\"tarball\":null", &format!("\"tarball\":\"{}\"", "0".repeat(64))),
        "[".repeat(1_000_000),
    ] {
        fs::write(&index, text).unwrap();
        let job = service.job(|_| {});
        assert!(job.layers.is_empty() && job.said.contains("0 paths restored"), "{}", job.said);
        job.machine.verify();
    }
    fs::remove_file(&index).unwrap();
    symlink("/dev/zero", &index).unwrap();
    assert!(service.job(|_| {}).layers.is_empty());
}

#[test]
fn a_tarball_of_nix_is_in_a_layer_of_its_time() {
    let service = Service::new();
    let machine = Machine::new();
    let (file, digest) = crate::machine::tarball(machine.folder.path(), |_| {});
    let install =
        ["install", "--reuse=never", &format!("--tarball={}", file.display()), &format!("--sha256={digest}")];
    step(&machine, &install);
    let mut service = service;
    let job = Job { machine, layers: Vec::new(), said: String::new() };
    assert!(service.save(&job, &[]));
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(service.path("index/index.json")).unwrap()).unwrap();
    let layer = index["layers"][0]["id"].as_str().unwrap();
    assert!(service.path(layer).join("tarball").join(&digest).is_file());
    let next = service.job(|_| {});
    assert!(next.machine.cache().join("tarball").join(&digest).is_file(), "{}", next.said);
}

#[test]
fn a_workflow_without_a_save_step_is_told() {
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
        let said = crate::machine::text(&output);
        assert!(output.status.success() && said.contains("no `setup-nix/save` step") == warns, "{said}");
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
    let files = walkdir::WalkDir::new(service.folder.path()).into_iter().flatten();
    files.filter(|entry| entry.path().extension().is_some_and(|name| name == "squashfs")).count()
}

#[test]
fn an_image_is_a_part_of_its_layer() {
    let mut service = Service::new();
    let job = service.job(|_| {});
    let first = add_large(&job, "first", 40_000_000, true);
    let second = add_large(&job, "second", 45_000_000, false);
    assert!(service.save(&job, &[]));
    assert_eq!(images(&service), 1);
    service.sent = 0;
    let job = service.job(|_| {});
    assert!(job.said.contains("2 paths restored") && job.layers.len() == 1, "{}", job.said);
    job.machine.verify();
    root(&job, "first");
    add(&job, "small", 1000, true);
    assert!(service.save(&job, &[]));
    assert!(service.sent < 50_000, "{}", service.sent);
    // What does not fit any more leaves an image of which less than half is used; the next
    // job packs that anew, and sends it once.
    let job = service.job(|_| {});
    root(&job, "first");
    root(&job, "small");
    assert!(service.save(&job, &["--max-size=50"]));
    let job = service.job(|_| {});
    assert!(job.said.contains("2 paths restored"), "{}", job.said);
    assert!(job.machine.path(&first[1..]).exists() && !job.machine.path(&second[1..]).exists());
    root(&job, "first");
    root(&job, "small");
    assert!(service.save(&job, &[]));
    let job = service.job(|_| {});
    assert!(job.said.contains("2 paths restored"), "{}", job.said);
    assert_eq!(fs::read_dir(job.machine.cache().join("image")).unwrap().count(), 0, "{}", job.said);
    job.machine.verify();
    service.sent = 0;
    root(&job, "first");
    root(&job, "small");
    assert!(!service.save(&job, &[]), "{}", service.sent);
}

#[test]
fn an_image_that_is_gone_or_damaged_is_a_miss_for_its_paths() {
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
    let kinds: [Spoil<'_>; 4] = [&gone, &unlisted, &cut, &linked];
    let mut service = Service::new();
    let job = service.job(|_| {});
    add_large(&job, "large", 70_000_000, true);
    service.save(&job, &[]);
    let layers = service.job(|_| {}).layers;
    for spoil in kinds {
        let job = service.job(|exchange| spoil(exchange, &layers[0]));
        assert!(job.said.contains("0 paths restored"), "{}", job.said);
        job.machine.verify();
    }
}
