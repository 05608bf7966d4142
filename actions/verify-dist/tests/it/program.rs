//! The program: exit codes, files, formats.

use std::path::Path;

use assert_cmd::Command;
use testkit::wheel::{Member, Wheel};

pub(crate) fn verify(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verify-dist"));
    command.current_dir(folder).env_clear();
    command
}

/// A folder with `dist/` that holds `wheel`.
pub(crate) fn folder(wheel: &Wheel) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("dist")).unwrap();
    std::fs::write(folder.path().join("dist").join(wheel.filename()), wheel.bytes()).unwrap();
    folder
}

fn bad() -> Wheel {
    let mut wheel = Wheel::sample("py3-none-any");
    wheel.members.push(Member::new("../evil.py", ""));
    wheel
}

#[test]
fn a_sound_set_gets_a_manifest() {
    let folder = folder(&Wheel::sample("py3-none-any"));
    let outputs = folder.path().join("outputs");
    verify(folder.path()).env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &outputs).assert().code(0);
    let bytes = std::fs::read(folder.path().join("dist-manifest.json")).unwrap();
    let manifest = pydist::manifest::Manifest::parse(&bytes).unwrap();
    assert_eq!(manifest.files[0].tags, ["py3-none-any"]);
    assert!(manifest.files[0].rules.contains(&"REC002".to_owned()));
    assert!(!manifest.files[0].rules.contains(&"LNX002".to_owned()), "it does not apply to a pure wheel");
    let digest = pydist::digest::hex(&pydist::digest::sha256(&bytes));
    assert!(std::fs::read_to_string(outputs).unwrap().contains(&digest));
}

#[test]
fn an_error_leaves_no_manifest() {
    let folder = folder(&bad());
    let manifest = folder.path().join("dist-manifest.json");
    std::fs::write(&manifest, "of an earlier run").unwrap();
    let output = verify(folder.path()).assert().code(1);
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(text.contains("error[ZIP006]") && text.contains("../evil.py"), "{text}");
    assert!(!manifest.exists());
}

#[test]
fn an_accepted_finding_is_no_error() {
    let folder = folder(&bad());
    let config = "[[tool.verify-dist.ignore]]\nrule = 'ZIP006'\nmembers = '../*'\nreason = 'a test'\n\
        [[tool.verify-dist.ignore]]\nrule = 'NIX001'\nreason = 'never'\n";
    std::fs::write(folder.path().join("pyproject.toml"), config).unwrap();
    let output = verify(folder.path()).args(["--format", "json"]).assert().code(0);
    let json: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["accepted"][0]["reason"], "a test");
    assert_eq!(json["unused_ignores"].as_array().unwrap().len(), 1);
}

#[test]
fn wrong_use_is_told() {
    let empty = tempfile::tempdir().unwrap();
    for (args, dry_run, told) in [
        (&["."][..], "", "no distribution"),
        (&["gone"], "", "does not exist"),
        (&["."], "ture", "dry-run"),
        (&["explain", "NIX999"], "", "NIX999"),
    ] {
        let output = verify(empty.path()).args(args).env("INPUT_DRY_RUN", dry_run).assert().code(2);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(told), "{args:?}: {text}");
    }
}

#[test]
fn rules_are_listed_and_explained() {
    let empty = tempfile::tempdir().unwrap();
    let output = verify(empty.path()).arg("rules").assert().code(0);
    assert!(String::from_utf8_lossy(&output.get_output().stdout).contains("NIX001"));
    let output = verify(empty.path()).args(["explain", "nix001"]).assert().code(0);
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(text.contains("patchelf") && text.contains("breaks-runtime"), "{text}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let folder = folder(&Wheel::sample("py3-none-any"));
    let output = verify(folder.path()).arg("--dry-run").assert().code(0);
    let plan: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(plan["files"][0], "dist/sample-1.0-py3-none-any.whl");
    assert!(!folder.path().join("dist-manifest.json").exists());
}

#[test]
fn the_result_does_not_depend_on_threads_or_order() {
    let folder = folder(&bad());
    let other = Wheel::sample("cp312-cp312-win_amd64");
    std::fs::write(folder.path().join("dist").join(other.filename()), other.bytes()).unwrap();
    let run = |args: &[&str]| verify(folder.path()).args(args).assert().code(1).get_output().stdout.clone();
    let (a, b) = ("dist/sample-1.0-cp312-cp312-win_amd64.whl", "dist/sample-1.0-py3-none-any.whl");
    assert_eq!(run(&["--format", "sarif", a, b]), run(&["--format", "sarif", b, a]));
}
