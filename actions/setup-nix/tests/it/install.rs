//! Nix from a tarball.

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
    let (file, digest) = tarball(machine.folder.path(), |_| {});
    let said = machine.done(&strs(&args(&file, &digest)));
    assert!(said.contains("installed: 1 store paths put in place, 0 already there"), "{said}");
    machine.verify();
    assert!(machine.build("after", 2).contains("after-1"), "the installed Nix builds");
    let again = machine.done(&strs(&args(&file, &digest)));
    assert!(again.contains("0 store paths put in place, 1 already there"), "{again}");
    let reused = machine.done(&["install"]);
    assert!(reused.contains("/nix/var/nix/gcroots/setup-nix/bin, already there"), "{reused}");
    machine.sh("nix-store --gc >/dev/null 2>&1; test -x /nix/var/nix/gcroots/setup-nix/bin/nix");
}

#[test]
fn a_wrong_hash_installs_nothing() {
    let machine = Machine::new();
    let (file, _) = tarball(machine.folder.path(), |_| {});
    let output = machine.run(&strs(&args(&file, &"0".repeat(64))));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("nothing was installed"), "{}", text(&output));
    assert!(!machine.store().exists());
}

#[test]
fn a_version_without_a_hash_is_refused() {
    let machine = Machine::new();
    let output = machine.run(&["install", "--reuse=never", "--nix-version=2.30.0"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("no sha256 is known"), "{}", text(&output));
}

#[test]
fn a_tarball_whose_registration_lies_is_refused() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.folder.path(), |root| {
        let text = fs::read_to_string(root.join(".reginfo")).unwrap();
        let (before, after) = text.split_once("sha256:").unwrap();
        fs::write(root.join(".reginfo"), format!("{before}sha256:{}{}", "0".repeat(64), &after[64..]))
            .unwrap();
    });
    let output = machine.run(&strs(&args(&file, &digest)));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("differs from `.reginfo`"), "{}", text(&output));
    assert!(!machine.store().join(".setup-nix").exists(), "nothing is left behind");
}

#[test]
fn a_dry_run_prints_the_plan_and_does_nothing() {
    let machine = Machine::new();
    let said = machine.done(&["install", "--reuse=never", "--dry-run", "--sandbox=false"]);
    assert!(said.contains("nix-2.35.2-") && said.contains("sandbox = false"), "{said}");
    assert!(!machine.store().exists() && !machine.cache().exists());
}

#[test]
fn the_token_is_in_a_private_file_and_nowhere_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let mut action = machine.action(&["install"]);
    action.env("INPUT_ACCESS_TOKENS", "github.com=sesame-open-5417").env("GITHUB_ACTIONS", "true");
    action.env("GITHUB_ENV", machine.path("env")).env("INPUT_CACHE", "off");
    action.env("GITHUB_STEP_SUMMARY", machine.path("summary")).env("GITHUB_OUTPUT", machine.path("output"));
    let output = action.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    let lines = said.lines().filter(|line| !line.starts_with("::add-mask::"));
    assert!(!lines.collect::<String>().contains("sesame"));
    let conf = machine.cache().with_extension("state").join("nix.conf");
    assert!(fs::read_to_string(&conf).unwrap().contains("sesame"));
    assert_eq!(fs::metadata(&conf).unwrap().permissions().mode() & 0o777, 0o600);
    for file in ["env", "summary", "output"] {
        assert!(!fs::read_to_string(machine.path(file)).unwrap().contains("sesame"), "{file}");
    }
}

/// Kills `child` and its namespace's processes.
pub(crate) fn kill(mut child: Child) {
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
#[ignore = "soak: kills an installation at many moments"]
fn killed_at_any_moment_the_next_run_completes() {
    let machine = Machine::new();
    let (file, digest) = tarball(machine.folder.path(), |_| {});
    // Not timed: every run is killed once it has put a certain thing on disk.
    let there = |path: &str| machine.path(path).exists();
    let marks: [&dyn Fn() -> bool; 4] = [
        &|| there("nix/store/.setup-nix"),
        &|| there("nix/store/.setup-nix/nix-9.9.9-here/install"),
        // The first path is in its place, and registered nowhere.
        &|| fs::read_dir(machine.path("nix/store")).is_ok_and(|entries| entries.count() > 1),
        &|| there("nix/var/nix/db/db.sqlite"),
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
    machine.done(&strs(&args(&file, &digest)));
    machine.verify();
}
