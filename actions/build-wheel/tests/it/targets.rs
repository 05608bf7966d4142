//! Builds targets by their short names, and runs the results under QEMU.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::*;

/// The compiler with the standard libraries of the common targets.
const COMMON: &str = "rust-cross/bin/rustc";
/// The compiler with those of all targets, which takes longer to build.
const ALL: &str = "rust-cross-all/bin/rustc";

/// A build for a target with one of these compilers.
fn for_target(dir: &Path, target: &str, compiler: &str) -> Command {
    let mut command = build_wheel(dir);
    command.env("RUSTC", testkit::tools::dir().join(compiler));
    command.env("ZIG_GLOBAL_CACHE_DIR", testkit::tools::dir().join("zig-cache"));
    command.args(["--target", target, "--smoke-command", "sample a b"]);
    command
}

/// Smoke test result, floor and file name.
fn built(dir: &Path, command: &mut Command) -> [String; 3] {
    succeed(command);
    let report: Value = report(dir);
    [&report["smoke"]["result"], &report["floor"], &report["filename"]]
        .map(|value| value.as_str().unwrap().to_owned())
}

/// The name of a wheel for glibc.
fn manylinux(arch: &str, version: &str) -> String {
    format!("sample-1.0.0-py3-none-manylinux_2_17_{arch}.{version}_{arch}.whl")
}

/// Builds for glibc by short names, as `(name, architecture, smoke test result)`.
fn build_for_glibc(compiler: &str, targets: &[[&str; 3]]) {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    for [name, arch, result] in targets {
        let mut command = for_target(dir.path(), name, compiler);
        let [smoke, floor, wheel] = built(dir.path(), command.args(["--smoke", "required"]));
        assert_eq!((smoke.as_str(), floor.as_str()), (*result, "glibc 2.17"), "{name}");
        assert_eq!(wheel, manylinux(arch, "manylinux2014"));
    }
}

#[test]
fn linux_targets_have_short_names_and_run() {
    build_for_glibc(COMMON, &[["x86_64", "x86_64", "passed"], ["aarch64", "aarch64", "emulated"]]);
}

#[test]
#[ignore = "soak: needs standard libraries that take minutes to build"]
fn rarer_linux_targets_have_short_names_and_run() {
    let targets = [["x86", "i686"], ["armv7", "armv7l"], ["s390x", "s390x"]];
    build_for_glibc(ALL, &targets.map(|[name, arch]| [name, arch, "emulated"]));
}

/// Builds static programs, which run on any Linux of their architecture.
fn build_for_musl(compiler: &str, targets: &[[&str; 2]]) {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    for [target, arch] in targets {
        let mut command = for_target(dir.path(), target, compiler);
        let [smoke, floor, wheel] = built(dir.path(), command.args(["--smoke", "required"]));
        assert_eq!((smoke.as_str(), floor.as_str()), ("emulated", "any linux"), "{target}");
        let tags = format!("manylinux_2_17_{arch}.manylinux2014_{arch}.musllinux_1_1_{arch}");
        assert_eq!(wheel, format!("sample-1.0.0-py3-none-{tags}.whl"));
    }
}

#[test]
fn musl_targets_run_under_qemu() {
    build_for_musl(COMMON, &[["aarch64-unknown-linux-musl", "aarch64"]]);
}

#[test]
#[ignore = "soak: needs standard libraries that take minutes to build"]
fn rarer_musl_targets_run_under_qemu() {
    let targets = [["i686-unknown-linux-musl", "i686"], ["armv7-unknown-linux-musleabihf", "armv7l"]];
    build_for_musl(ALL, &targets);
}

/// No manylinux policy has this architecture.
#[test]
#[ignore = "soak: needs standard libraries that take minutes to build"]
fn a_target_without_a_policy_runs_under_qemu() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let mut command = for_target(dir.path(), "armv6", ALL);
    let [smoke, floor, wheel] = built(dir.path(), command.args(["--smoke", "required"]));
    assert_eq!((smoke.as_str(), wheel.as_str()), ("emulated", "sample-1.0.0-py3-none-linux_armv6l.whl"));
    // Without a policy to link for, zig uses its default.
    assert!(floor.starts_with("glibc 2."), "{floor}");
}

/// Debian 12 has no package with its C library: the wheel is only built and checked.
#[test]
#[ignore = "soak: needs standard libraries that take minutes to build"]
fn builds_a_target_without_a_c_library_here() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let mut command = for_target(dir.path(), "loongarch64", ALL);
    let [smoke, floor, wheel] = built(dir.path(), &mut command);
    let is_run = Path::new("/usr/loongarch64-linux-gnu").is_dir();
    assert_eq!(smoke, if is_run { "emulated" } else { "skipped" });
    assert!(floor.starts_with("glibc 2.3"), "{floor}");
    assert!(wheel.ends_with("_loongarch64.whl"), "{wheel}");
}

#[test]
fn builds_one_wheel_for_both_kinds_of_mac() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let mut command = for_target(dir.path(), "universal2", COMMON);
    let [smoke, floor, wheel] = built(dir.path(), &mut command);
    assert_eq!((smoke.as_str(), floor.as_str()), ("skipped", "macOS 10.12"));
    assert_eq!(wheel, "sample-1.0.0-py3-none-macosx_10_12_universal2.whl");
    let wheel = std::fs::read(dir.path().join("dist").join(wheel)).unwrap();
    let program = build_wheel::repair::member(&wheel, "sample-1.0.0.data/scripts/sample").unwrap();
    let goblin::mach::Mach::Fat(slices) = goblin::mach::Mach::parse(&program).unwrap() else { panic!("one slice") };
    let archs: Vec<u32> = slices.iter_arches().map(|arch| arch.unwrap().cputype).collect();
    assert_eq!(archs, [goblin::mach::cputype::CPU_TYPE_X86_64, goblin::mach::cputype::CPU_TYPE_ARM64]);
    // One half is not the requested wheel.
    let thin = for_target(dir.path(), "aarch64-apple-darwin", COMMON).args(["--out-dir", "thin"]).output().unwrap();
    assert!(thin.status.success(), "{thin:?}");
    let thin = dir.path().join("thin").join(&names(&dir.path().join("thin"))[0]);
    let mut command = build_wheel(dir.path());
    let error = fail(command.arg(thin).args(["--target", "universal2", "--smoke", "off"]), 1);
    assert!(error.contains("the target is `universal2-apple-darwin`"), "{error}");
}
