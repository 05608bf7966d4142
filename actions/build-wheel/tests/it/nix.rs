//! The `nix` backend with a real Nix: the shapes of what projects build, the
//! trial without the store, and what is told where it cannot be.

use std::path::Path;
use std::process::Command;

use crate::support::*;

/// The fixture's flake in a folder of its own.
fn flake() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("flake/flake.nix", include_str!("../fixtures/nix/flake.nix")),
        ("flake/shapes.nix", include_str!("../fixtures/nix/shapes.nix")),
        ("flake/pack.py", include_str!("../fixtures/nix/pack.py")),
        ("flake/hello.c", HELLO),
    ];
    write(folder.path(), &files);
    folder
}

/// build-wheel on an attribute of the flake.
fn run(folder: &Path, attribute: &str) -> Command {
    let mut command = build_wheel(folder);
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
fn every_shape_gives_a_tested_wheel() {
    let folder = flake();
    let mut hashes = Vec::new();
    for shape in ["hook.dist", "crane", "pyproject", "file"] {
        succeed(run(folder.path(), shape).args(["--smoke", "required"]));
        let report = report(folder.path());
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

#[test]
fn a_source_distribution_comes_from_a_flake_too() {
    let folder = flake();
    succeed(run(folder.path(), "sdist").args(["--backend", "sdist", "--verify-reproducible"]));
    let report = report(folder.path());
    assert_eq!(
        (report["filename"].as_str(), report["reproducible"].as_bool()),
        (Some("sample-1.0.tar.gz"), Some(true))
    );
    assert_eq!(report["artifact_name"], "dist-sample-sdist");
    assert_eq!(names(&folder.path().join("dist")), ["sample-1.0.tar.gz"]);
}

#[test]
fn what_a_flake_cannot_give_is_told() {
    let folder = flake();
    succeed(run(folder.path(), "crane").args(["--verify-reproducible", "--smoke", "off"]));
    assert_eq!(report(folder.path())["reproducible"], true);
    std::fs::remove_dir_all(folder.path().join("dist")).unwrap();
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
        let error = fail(run(folder.path(), attribute).args(arguments), 1);
        for expected in expected {
            assert!(error.contains(expected), "{attribute}: {error}");
        }
    }
    assert!(!folder.path().join("dist").exists());
}
