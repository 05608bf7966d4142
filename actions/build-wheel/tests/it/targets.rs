//! Targets by their short names: built, and run under QEMU.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::*;

/// A build for a target, with the compiler that has the standard libraries of more.
fn for_target(folder: &Path, target: &str) -> Command {
    let mut command = build_wheel(folder);
    command.env("RUSTC", testkit::tools::dir().join("rust-cross/bin/rustc"));
    command.env("ZIG_GLOBAL_CACHE_DIR", testkit::tools::dir().join("zig-cache"));
    command.args(["--target", target, "--smoke-command", "sample a b"]);
    command
}

/// Result of the smoke test, lowest system and file name.
fn built(folder: &Path, command: &mut Command) -> [String; 3] {
    succeed(command);
    let report: Value = report(folder);
    [&report["smoke"]["result"], &report["floor"], &report["filename"]]
        .map(|value| value.as_str().unwrap().to_owned())
}

/// The name of a wheel for glibc.
fn manylinux(arch: &str, version: &str) -> String {
    format!("sample-1.0.0-py3-none-manylinux_2_17_{arch}.{version}_{arch}.whl")
}

#[test]
fn linux_targets_have_short_names_and_run() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    for (name, arch, result) in [
        ("x86_64", "x86_64", "passed"),
        ("x86", "i686", "emulated"),
        ("armv7", "armv7l", "emulated"),
        ("s390x", "s390x", "emulated"),
    ] {
        let mut command = for_target(folder.path(), name);
        let [smoke, floor, wheel] = built(folder.path(), command.args(["--smoke", "required"]));
        assert_eq!((smoke.as_str(), floor.as_str()), (result, "glibc 2.17"), "{name}");
        assert_eq!(wheel, manylinux(arch, "manylinux2014"));
    }
}

/// Static programs, which run on any Linux of their processor.
#[test]
fn musl_targets_run_under_qemu() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    for (target, arch) in [
        ("aarch64-unknown-linux-musl", "aarch64"),
        ("i686-unknown-linux-musl", "i686"),
        ("armv7-unknown-linux-musleabihf", "armv7l"),
    ] {
        let mut command = for_target(folder.path(), target);
        let [smoke, floor, wheel] = built(folder.path(), command.args(["--smoke", "required"]));
        assert_eq!((smoke.as_str(), floor.as_str()), ("emulated", "any linux"), "{target}");
        let tags = format!("manylinux_2_17_{arch}.manylinux2014_{arch}.musllinux_1_1_{arch}");
        assert_eq!(wheel, format!("sample-1.0.0-py3-none-{tags}.whl"));
    }
}

/// No manylinux policy has this processor.
#[test]
fn a_target_without_a_policy_runs_under_qemu() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let mut command = for_target(folder.path(), "armv6");
    let [smoke, floor, wheel] = built(folder.path(), command.args(["--smoke", "required"]));
    assert_eq!((smoke.as_str(), wheel.as_str()), ("emulated", "sample-1.0.0-py3-none-linux_armv6l.whl"));
    // Without a policy to link for, zig takes its own default.
    assert!(floor.starts_with("glibc 2."), "{floor}");
}

/// Its C library is in no package of Debian 12: the wheel is built and checked.
#[test]
fn a_target_without_a_c_library_here_is_built() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let mut command = for_target(folder.path(), "loongarch64");
    let [smoke, floor, wheel] = built(folder.path(), &mut command);
    let is_run = Path::new("/usr/loongarch64-linux-gnu").is_dir();
    assert_eq!(smoke, if is_run { "emulated" } else { "skipped" });
    assert!(floor.starts_with("glibc 2.3"), "{floor}");
    assert!(wheel.ends_with("_loongarch64.whl"), "{wheel}");
}

#[test]
fn one_wheel_is_for_both_kinds_of_mac() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let mut command = for_target(folder.path(), "universal2");
    let [smoke, floor, wheel] = built(folder.path(), &mut command);
    assert_eq!((smoke.as_str(), floor.as_str()), ("skipped", "macOS 10.12"));
    assert_eq!(wheel, "sample-1.0.0-py3-none-macosx_10_12_universal2.whl");
    let wheel = std::fs::read(folder.path().join("dist").join(wheel)).unwrap();
    let program = build_wheel::repair::member(&wheel, "sample-1.0.0.data/scripts/sample").unwrap();
    let goblin::mach::Mach::Fat(slices) = goblin::mach::Mach::parse(&program).unwrap() else { panic!("one slice") };
    let archs: Vec<u32> = slices.iter_arches().map(|arch| arch.unwrap().cputype).collect();
    assert_eq!(archs, [goblin::mach::cputype::CPU_TYPE_X86_64, goblin::mach::cputype::CPU_TYPE_ARM64]);
    // Half of it is not what was asked for.
    let thin = for_target(folder.path(), "aarch64-apple-darwin").args(["--out-dir", "thin"]).output().unwrap();
    assert!(thin.status.success(), "{thin:?}");
    let thin = folder.path().join("thin").join(&names(&folder.path().join("thin"))[0]);
    let mut command = build_wheel(folder.path());
    let error = fail(command.arg(thin).args(["--target", "universal2", "--smoke", "off"]), 1);
    assert!(error.contains("the target is `universal2-apple-darwin`"), "{error}");
}
