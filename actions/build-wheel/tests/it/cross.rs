//! Cross builds with the standard libraries that `cargo xtask setup-test-tools`
//! collects; the results run under QEMU if possible.

use std::path::Path;
use std::process::Command;

use goblin::mach::MachO;
use serde_json::Value;

use crate::macho::check_signature;
use crate::support::*;

/// A build for a target.
fn for_target(dir: &Path, target: &str) -> Command {
    with_compiler("rust-cross", dir, target)
}

/// A build for a target with the compiler in this directory of the tools.
fn with_compiler(compiler: &str, dir: &Path, target: &str) -> Command {
    let rustc = testkit::tools::dir().join(compiler).join("bin/rustc");
    assert!(
        rustc.is_file(),
        "{} is missing: run `cargo xtask setup-test-tools`, or `cargo xtask soak rust` for the soak tests",
        rustc.display()
    );
    let mut command = build_wheel(dir);
    command.env("RUSTC", &rustc).env("ZIG_GLOBAL_CACHE_DIR", testkit::tools::dir().join("zig-cache"));
    // A variable that nixpkgs' Python sets for the build machine.
    command.env("_PYTHON_HOST_PLATFORM", "linux-x86_64").env("ARCHFLAGS", "-arch sparc");
    command.args(["--target", target, "--smoke-command", "sample a b"]);
    command
}

/// Builds the sample project for a target. Returns the report and the program.
fn build(dir: &Path, target: &str, arguments: &[&str]) -> (Value, Vec<u8>) {
    succeed(for_target(dir, target).args(arguments));
    built(dir)
}

fn built(dir: &Path) -> (Value, Vec<u8>) {
    let report = report(dir);
    let wheel = dir.join("dist").join(report["filename"].as_str().unwrap());
    let wheel = std::fs::read(wheel).unwrap();
    let program = build_wheel::repair::member(&wheel, "sample-1.0.0.data/scripts/sample").unwrap();
    (report, program)
}

/// Smoke test result, linker, floor and file name.
fn facts(report: &Value) -> [&str; 4] {
    [&report["smoke"]["result"], &report["plan"]["linker"], &report["floor"], &report["filename"]]
        .map(|value| value.as_str().unwrap())
}

#[test]
fn linux_targets_are_built_and_run() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    for (target, linker, expected) in [
        (
            "aarch64-unknown-linux-gnu",
            "auto",
            [
                "emulated",
                "zig",
                "glibc 2.17",
                "sample-1.0.0-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
            ],
        ),
        (
            "riscv64gc-unknown-linux-gnu",
            "auto",
            ["emulated", "zig", "glibc 2.31", "sample-1.0.0-py3-none-manylinux_2_31_riscv64.whl"],
        ),
        // No loader and no library: it runs on any Linux, and the floor shows it.
        (
            "x86_64-unknown-linux-musl",
            "auto",
            [
                "passed",
                "zig",
                "any linux",
                "sample-1.0.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64.whl",
            ],
        ),
    ] {
        let arguments = ["--linker", linker, "--smoke", "required"];
        let (report, _) = build(dir.path(), target, &arguments);
        assert_eq!(facts(&report), expected, "{target}");
    }
    let (report, _) = build(dir.path(), "aarch64-unknown-linux-gnu", &["--linker", "gcc"]);
    assert_linked_by_gcc(&report, "aarch64");
}

/// The cross gcc's glibc is the floor.
fn assert_linked_by_gcc(report: &Value, arch: &str) {
    let [smoke, linker, floor, name] = facts(report);
    assert_eq!((smoke, linker), ("emulated", "gcc"), "{arch}");
    assert!(floor.starts_with("glibc 2.3") && name.ends_with(&format!("_{arch}.whl")), "{floor} {name}");
}

#[test]
#[ignore = "soak: needs standard libraries that take minutes to build"]
fn a_target_that_zig_cannot_link_for_is_built_and_run() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let target = "powerpc64le-unknown-linux-gnu";
    succeed(with_compiler("rust-cross-all", dir.path(), target).args(["--smoke", "required"]));
    assert_linked_by_gcc(&built(dir.path()).0, "ppc64le");
}

#[test]
fn builds_and_signs_macos_targets() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    for (target, asked, tag) in [
        ("aarch64-apple-darwin", "", "macosx_11_0_arm64"),
        ("x86_64-apple-darwin", "", "macosx_10_12_x86_64"),
        ("aarch64-apple-darwin", "macosx_12_0", "macosx_12_0_arm64"),
    ] {
        let arguments = if asked.is_empty() { vec![] } else { vec!["--compatibility", asked] };
        let (report, program) = build(dir.path(), target, &arguments);
        assert_eq!(report["filename"], format!("sample-1.0.0-py3-none-{tag}.whl"));
        assert_eq!(report["smoke"]["result"], "skipped", "nothing here can run it, and nothing says it did");
        let macho = MachO::parse(&program, 0).unwrap();
        assert!(macho.libs[1..].iter().all(|library| library.starts_with("/usr/lib/")), "{:?}", macho.libs);
        if target.starts_with("aarch64") {
            check_signature(&program, &macho);
        }
    }
    let mut required = for_target(dir.path(), "aarch64-apple-darwin");
    let error = fail(required.args(["--smoke", "required", "--out-dir", "tried"]), 1);
    assert!(error.contains("skipped") && error.contains("another system"), "{error}");
    assert!(!dir.path().join("tried").exists(), "what could not be tried is not given out");
}
