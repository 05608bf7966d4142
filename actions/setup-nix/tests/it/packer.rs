//! The background packer, and which paths it leaves to the Nix tarball.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cache::{narinfo, with_cache};
use crate::machine::{Machine, tarball, text};

/// Whether a process is a packer of `machine`.
fn is_packer(machine: &Machine, process: &fs::DirEntry) -> bool {
    let dir = machine.cache().display().to_string();
    let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
    read("cmdline").ends_with(b"setup-nix\0watch\0")
        && String::from_utf8_lossy(&read("environ")).contains(&dir)
}

/// The number of running packers of `machine`.
fn packers(machine: &Machine) -> usize {
    fs::read_dir("/proc").unwrap().flatten().filter(|entry| is_packer(machine, entry)).count()
}

fn wait_for(machine: &Machine, count: usize) {
    let start = Instant::now();
    while packers(machine) != count {
        assert!(start.elapsed() < Duration::from_secs(60), "{} packers, not {count}", packers(machine));
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_packer_ends_with_the_process_that_runs_the_job() {
    let machine = Machine::new();
    // A shell under another name stands for the runner, its child for a step.
    let runner = machine.path("runner");
    fs::copy(fs::canonicalize("/bin/sh").unwrap(), &runner).unwrap();
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let script = format!(
        "sh -c 'GITHUB_ACTIONS=true INPUT_GITHUB_TOKEN=ghs_own {action} install; :'; touch ready; read -r _; :"
    );
    let mut command = machine.command(&runner);
    command.env("RUNNER_TRACKING_ID", "github_tracked");
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut job = command.spawn().unwrap();
    let start = Instant::now();
    while !machine.path("work/ready").exists() {
        assert!(start.elapsed() < Duration::from_secs(60) && job.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(50));
    }
    // The step has ended, the job has not.
    wait_for(&machine, 1);
    sleep(Duration::from_secs(2));
    assert_eq!(packers(&machine), 1, "it packs for as long as the job runs");
    let conf = machine.cache().with_extension("state").join("nix.conf");
    assert!(fs::read_to_string(&conf).unwrap().contains("github.com=ghs_own"));
    // It runs at low priority, without the job's environment.
    let packer = fs::read_dir("/proc").unwrap().flatten().find(|entry| is_packer(&machine, entry)).unwrap();
    let environment = String::from_utf8_lossy(&fs::read(packer.path().join("environ")).unwrap()).into_owned();
    assert!(!environment.contains("ghs_own"));
    assert!(!environment.contains("github_tracked"), "the runner would kill it before it can clean up");
    let process_stat = fs::read_to_string(packer.path().join("stat")).unwrap();
    let nice = process_stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().to_owned();
    assert_eq!(nice, "10", "{process_stat}");
    assert_eq!(fs::read_link(packer.path().join("cwd")).unwrap(), std::path::Path::new("/"));
    job.kill().unwrap();
    job.wait().unwrap();
    wait_for(&machine, 0);
    assert!(!fs::read_to_string(&conf).unwrap().contains("ghs_own"), "the token is removed at the end of the job");
}

#[test]
fn skips_paths_that_only_nix_itself_needs() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.dir.path(), |_| {});
    let install =
        ["install", "--reuse=never", &format!("--tarball={}", file.display()), &format!("--sha256={digest}")];
    machine.run_ok(&install);
    let nix = machine.sh("readlink /nix/var/nix/gcroots/setup-nix").trim().to_owned();
    machine.build("sample", 2);
    let log = machine.run_ok(&["pack"]);
    assert!(log.contains("4 paths packed"), "{log}");
    assert!(!narinfo(&machine, &nix).exists(), "the tarball in the cache has it");

    let second = with_cache(&machine);
    assert!(second.run_ok(&install).contains("4 paths restored"));
    second.verify();

    // It is packed as soon as another path refers to it.
    fs::write(
        second.path("work/user.nix"),
        format!(
            r#"derivation {{ name = "user"; system = builtins.currentSystem; builder = "/bin/sh";
               nix = builtins.storePath "{nix}"; args = [ "-c" "echo $nix >$out" ]; }}"#
        ),
    )
    .unwrap();
    let user = second.sh("nix-build --no-out-link user.nix 2>/dev/null").trim().to_owned();
    second.run_ok(&["pack"]);
    assert!(narinfo(&second, &nix).exists() && narinfo(&second, &user).exists());
    let third = with_cache(&second);
    third.run_ok(&["install"]);
    assert!(third.path(&user[1..]).exists() && third.path(&nix[1..]).exists());
    third.verify();
}

/// `save` packs the paths that were registered since the packer's last pass, and their
/// references even if they were left to the tarball before.
#[test]
fn a_save_packs_what_the_packer_has_not_seen() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.dir.path(), |_| {});
    let step = |args: &[&str]| {
        let mut action = machine.action(args);
        action.env("GITHUB_ACTIONS", "true").env("RUNNER_TEMP", machine.path("tmp"));
        let output = action.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    step(&[
        "install",
        "--reuse=never",
        &format!("--tarball={}", file.display()),
        &format!("--sha256={digest}"),
    ]);
    machine.use_conf(&machine.path("tmp"));
    let last = machine.path("tmp/setup-nix/last-packed");
    let early = machine.build("early", 2);
    let start = Instant::now();
    while !narinfo(&machine, &early).exists() || !last.exists() {
        assert!(start.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(50));
    }
    fs::write(machine.path("tmp/setup-nix/stop"), "").unwrap();
    wait_for(&machine, 0);
    let nix = machine.sh("readlink /nix/var/nix/gcroots/setup-nix").trim().to_owned();
    let late = machine.build("late", 1);
    step(&["save"]);
    assert!(narinfo(&machine, &late).exists() && !narinfo(&machine, &nix).exists());
    fs::write(
        machine.path("work/user.nix"),
        format!(
            r#"derivation {{ name = "user"; system = builtins.currentSystem; builder = "/bin/sh";
               nix = builtins.storePath "{nix}"; args = [ "-c" "echo $nix >$out" ]; }}"#
        ),
    )
    .unwrap();
    let user = machine.sh("nix-build --no-out-link user.nix 2>/dev/null").trim().to_owned();
    step(&["save"]);
    assert!(narinfo(&machine, &nix).exists() && narinfo(&machine, &user).exists());
}
