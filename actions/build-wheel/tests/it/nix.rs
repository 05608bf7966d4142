//! The `nix` backend with a real Nix: the various outputs of projects, the smoke test
//! without the store, and the errors.

use std::path::Path;
use std::process::Command;

use crate::support::*;

/// A copy of the fixture's flake in a new directory.
fn flake() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("flake/flake.nix", include_str!("../fixtures/nix/flake.nix")),
        ("flake/shapes.nix", include_str!("../fixtures/nix/shapes.nix")),
        ("flake/pack.py", include_str!("../fixtures/nix/pack.py")),
        ("flake/hello.c", HELLO),
    ];
    write(dir.path(), &files);
    dir
}

/// Runs build-wheel with an attribute of the flake.
fn run(dir: &Path, attribute: &str) -> Command {
    let mut command = build_wheel(dir);
    let config =
        "experimental-features = nix-command flakes\nsandbox = false\nbuild-users-group =\nsubstituters =\n";
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
    let nix = testkit::tools::path("nix").parent().unwrap().to_owned();
    let path = std::env::split_paths(path.unwrap_or_default()).chain([nix]);
    let path = std::env::join_paths(path).unwrap();
    command.env("NIX_CONFIG", config).env("PATH", path).args(["flake", "--flake-attr", attribute]);
    command
}

#[test]
fn builds_and_tests_a_wheel_from_every_kind_of_output() {
    let dir = flake();
    let mut hashes = Vec::new();
    let elsewhere = ["deep", "linked", "links", "outputs.wheels"];
    for shape in ["hook.dist", "crane", "pyproject", "file"].into_iter().chain(elsewhere) {
        succeed(run(dir.path(), shape).args(["--smoke", "required"]));
        let report = report(dir.path());
        assert_eq!(report["plan"]["backend"], "nix");
        assert_eq!(report["smoke"]["result"], "passed", "{shape}");
        let repaired = report["repaired"].to_string();
        assert!(repaired.contains("-glibc/lib/ld-linux-x86-64.so.2"), "{shape}: {repaired}");
        assert!(repaired.contains("RUNPATH"), "{shape}: {repaired}");
        assert!(report["filename"].as_str().unwrap().contains("-manylinux_2_"), "{report}");
        hashes.push(report["sha256"].clone());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "one program, one wheel: {hashes:?}");
}

/// Current Nix selects outputs with `^`, which Debian 12's does not support.
#[test]
fn selects_outputs_with_a_newer_nix() {
    let dir = flake();
    let newer = testkit::tools::dir().join("newer-nix/bin");
    assert!(newer.join("nix").is_file(), "run `cargo xtask setup-test-tools`");
    let mut hashes = Vec::new();
    for attribute in ["outputs^*", "outputs^wheels", "outputs^out,wheels", "linked"] {
        let mut command = run(dir.path(), attribute);
        let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
        let paths = std::iter::once(newer.clone()).chain(std::env::split_paths(path.unwrap_or_default()));
        let path = std::env::join_paths(paths).unwrap();
        succeed(command.env("PATH", path).args(["--smoke", "off"]));
        hashes.push(report(dir.path())["sha256"].clone());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "one program, one wheel: {hashes:?}");
    let error = fail(run(dir.path(), "outputs").args(["--smoke", "off"]), 1);
    assert!(error.contains("found none"), "{error}");
}

/// A flake at another URL, and in a directory whose name would end a reference.
#[test]
fn a_flake_may_be_anywhere() {
    let dir = flake();
    let renamed = dir.path().join("a flake #1");
    std::fs::rename(dir.path().join("flake"), &renamed).unwrap();
    let build = |project: &str| {
        let mut command = run(dir.path(), "crane");
        // Instead of the project's name.
        let arguments: Vec<_> = command.get_args().map(|argument| if argument == "flake" { project.into() } else { argument.to_owned() }).collect();
        let variables: Vec<_> = command.get_envs().map(|(name, value)| (name.to_owned(), value.map(std::ffi::OsStr::to_owned))).collect();
        let mut other = Command::new(command.get_program());
        other.args(arguments).args(["--smoke", "off"]).current_dir(dir.path());
        for (name, value) in variables {
            match value {
                Some(value) => other.env(name, value),
                None => other.env_remove(name),
            };
        }
        command = other;
        succeed(&mut command);
        report(dir.path())["sha256"].clone()
    };
    let first = build("a flake #1");
    let git = |arguments: &[&str]| {
        let mut git = testkit::tools::command("git");
        let own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-C"];
        succeed(git.args(own).arg(&renamed).args(arguments));
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "a"]);
    let plain = dir.path().join("repository");
    std::fs::rename(&renamed, &plain).unwrap();
    assert_eq!(build(&format!("git+file://{}", plain.display())), first);
}

#[test]
fn builds_a_source_distribution_from_a_flake() {
    let dir = flake();
    succeed(run(dir.path(), "sdist").args(["--backend", "sdist", "--verify-reproducible"]));
    let report = report(dir.path());
    assert_eq!(
        (report["filename"].as_str(), report["reproducible"].as_bool()),
        (Some("sample-1.0.tar.gz"), Some(true))
    );
    assert_eq!(report["artifact_name"], "dist-sample-sdist");
    assert_eq!(names(&dir.path().join("dist")), ["sample-1.0.tar.gz"]);
}

#[test]
fn reports_what_a_flake_does_not_build() {
    let dir = flake();
    succeed(run(dir.path(), "crane").args(["--verify-reproducible", "--smoke", "off"]));
    assert_eq!(report(dir.path())["reproducible"], true);
    std::fs::remove_dir_all(dir.path().join("dist")).unwrap();
    for (attribute, arguments, expected) in [
        ("unrepairable", &[][..], &["does not work in a clean environment", "/nix/store"][..]),
        ("none", &[], &["expected the wheels of one package and version in the output of", "found none"]),
        ("hook", &[], &["found none", "nixpkgs: the output `dist`"]),
        ("two", &[], &["found a.whl, b.whl"]),
        (
            "varying",
            &["--verify-reproducible"],
            &["two builds of the same sources differ", "may not be deterministic"],
        ),
        ("nowhere", &[], &["the build failed", "nowhere"]),
    ] {
        let error = fail(run(dir.path(), attribute).args(arguments), 1);
        for expected in expected {
            assert!(error.contains(expected), "{attribute}: {error}");
        }
    }
    assert!(!dir.path().join("dist").exists());
}
