//! Installing Nix from a tarball.

use std::fs;
use std::process::{Child, Stdio};

use crate::machine::{Machine, tarball, text};

fn args(file: &std::path::Path, digest: &str) -> [String; 4] {
    [
        "install".into(),
        "--reuse=never".into(),
        format!("--tarball={}", file.display()),
        format!("--sha256={digest}"),
    ]
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn installs_into_an_empty_nix_and_finds_it_again() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.dir.path(), |_| {});
    let log = machine.run_ok(&strs(&args(&file, &digest)));
    assert!(log.contains("installed: 1 store paths added, 0 already present"), "{log}");
    machine.verify();
    assert!(machine.build("after", 2).contains("after-1"), "the installed Nix builds");
    let again = machine.run_ok(&strs(&args(&file, &digest)));
    assert!(again.contains("0 store paths added, 1 already present"), "{again}");
    let reused = machine.run_ok(&["install"]);
    assert!(reused.contains("/nix/var/nix/gcroots/setup-nix/bin, already installed"), "{reused}");
    machine.sh("nix-store --gc >/dev/null 2>&1; test -x /nix/var/nix/gcroots/setup-nix/bin/nix");
}

#[test]
fn a_wrong_hash_installs_nothing() {
    let machine = Machine::new();
    let (file, _) = tarball(machine.dir.path(), |_| {});
    let output = machine.run(&strs(&args(&file, &"0".repeat(64))));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("nothing was installed"), "{}", text(&output));
    assert!(!machine.store().exists());
}

#[test]
fn rejects_a_version_without_a_hash() {
    let machine = Machine::new();
    let output = machine.run(&["install", "--reuse=never", "--nix-version=2.30.0"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("no SHA-256 is known"), "{}", text(&output));
}

#[test]
fn rejects_a_tarball_that_differs_from_its_reginfo() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.dir.path(), |root| {
        let text = fs::read_to_string(root.join(".reginfo")).unwrap();
        let (before, after) = text.split_once("sha256:").unwrap();
        fs::write(root.join(".reginfo"), format!("{before}sha256:{}{}", "0".repeat(64), &after[64..]))
            .unwrap();
    });
    let output = machine.run(&strs(&args(&file, &digest)));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("differs from `.reginfo`"), "{}", text(&output));
    assert!(!machine.store().join(".setup-nix").exists(), "the staging directory is removed");
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let machine = Machine::new();
    let log = machine.run_ok(&["install", "--reuse=never", "--dry-run", "--sandbox=false"]);
    assert!(log.contains("nix-2.35.2-") && log.contains("sandbox = false"), "{log}");
    assert!(!machine.store().exists() && !machine.cache().exists());
}

#[test]
fn the_token_is_only_in_a_private_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let mut action = machine.action(&["install"]);
    action.env("INPUT_ACCESS_TOKENS", "github.com=sesame-open-5417").env("GITHUB_ACTIONS", "true");
    action.env("GITHUB_ENV", machine.path("env")).env("INPUT_CACHE", "off");
    action.env("GITHUB_STEP_SUMMARY", machine.path("summary")).env("GITHUB_OUTPUT", machine.path("output"));
    let output = action.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let log = text(&output);
    let lines = log.lines().filter(|line| !line.starts_with("::add-mask::"));
    assert!(!lines.collect::<String>().contains("sesame"));
    let conf = machine.cache().with_extension("state").join("nix.conf");
    assert!(fs::read_to_string(&conf).unwrap().contains("sesame"));
    assert_eq!(fs::metadata(&conf).unwrap().permissions().mode() & 0o777, 0o600);
    for file in ["env", "summary", "output"] {
        assert!(!fs::read_to_string(machine.path(file)).unwrap().contains("sesame"), "{file}");
    }
}

/// Kills `child` and the processes of its namespace.
pub(crate) fn kill(mut child: Child) {
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
#[ignore = "soak: kills an installation at many moments"]
fn a_run_completes_an_installation_that_was_killed() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.dir.path(), |_| {});
    // Deterministic: each run is killed as soon as a certain file exists.
    let exists = |path: &str| machine.path(path).exists();
    let marks: [&dyn Fn() -> bool; 4] = [
        &|| exists("nix/store/.setup-nix"),
        &|| exists("nix/store/.setup-nix/nix-9.9.9-here/install"),
        // The first path is in the store, but not registered.
        &|| fs::read_dir(machine.path("nix/store")).is_ok_and(|entries| entries.count() > 1),
        &|| exists("nix/var/nix/db/db.sqlite"),
    ];
    for reached in marks {
        let mut child = machine
            .action(&strs(&args(&file, &digest)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !reached() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        kill(child);
    }
    machine.run_ok(&strs(&args(&file, &digest)));
    machine.verify();
}
