//! Wheels for several Pythons in one run.

use std::path::Path;

use serde_json::Value;

use crate::support::*;

/// A pyo3 module whose `answer` is 42.
fn module(dir: &Path) {
    write(
        dir,
        &[
            ("Cargo.toml", include_str!("../fixtures/module/Cargo.toml")),
            ("Cargo.lock", include_str!("../fixtures/module/Cargo.lock")),
            ("pyproject.toml", include_str!("../fixtures/module/pyproject.toml")),
            ("src/lib.rs", include_str!("../fixtures/module/src/lib.rs")),
        ],
    );
}

/// The name up to the platform, and the smoke test result, of each distribution in the
/// report.
fn built(report: &Value) -> Vec<(String, String)> {
    let distributions = report["distributions"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |value: &Value| {
        let name = text(value);
        name.split_once("-manylinux").map_or(name.clone(), |(start, _)| start.to_owned())
    };
    distributions.iter().map(|one| (name(&one["filename"]), text(&one["smoke"]["result"]))).collect()
}

/// Two versions of Python on this machine, wherever they are.
fn pythons(dir: &Path) -> [String; 2] {
    let versions = ["3.10", "3.11", "3.12", "3.13", "3.14"];
    let is_here = |version: &&str| {
        let plan = succeed(build_wheel(dir).args(["--dry-run", "--interpreters", version]));
        let plan: Value = serde_json::from_str(&plan).unwrap();
        !plan["smoke"]["interpreters"].as_array().unwrap().is_empty()
    };
    let found: Vec<String> = versions.iter().filter(|version| is_here(version)).map(|version| (*version).to_owned()).collect();
    found[..2].to_vec().try_into().unwrap()
}

#[test]
fn each_python_gets_its_wheel_and_its_test() {
    let dir = tempfile::tempdir().unwrap();
    module(dir.path());
    let outputs = dir.path().join("outputs");
    let mut command = build_wheel(dir.path());
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &outputs);
    let [first, second] = pythons(dir.path());
    let asked = format!("{first} {second}");
    let imports = "python -c 'import sample; assert sample.answer == 42'";
    succeed(command.args(["--interpreters", &asked, "--sdist", "--smoke-command", imports]));
    let report = report(dir.path());
    let [first, second] = [first, second].map(|version| format!("cp{}", version.replace('.', "")));
    let passed = |tag: &str| (format!("sample-1.0.0-{tag}-{tag}"), "passed".to_owned());
    let expected = [
        passed(&first),
        passed(&second),
        ("sample-1.0.0.tar.gz".to_owned(), "off".to_owned()),
    ];
    assert_eq!(built(&report), expected);
    assert_eq!(report["filename"], report["distributions"][0]["filename"]);

    let outputs = crate::reports::outputs(&std::fs::read_to_string(outputs).unwrap());
    let lines = |name: &str| outputs[name].lines().map(str::to_owned).collect::<Vec<_>>();
    let filenames = lines("filenames");
    assert_eq!(names(&dir.path().join("dist")), filenames);
    for (index, path) in lines("paths").iter().enumerate() {
        assert_eq!(path, &format!("dist/{}", filenames[index]));
        let bytes = std::fs::read(dir.path().join(path)).unwrap();
        assert_eq!(lines("sha256s")[index], pydist::digest::hex(&pydist::digest::sha256(&bytes)));
    }
    assert_eq!((outputs["path"].as_str(), outputs["sha256"].as_str()), ("", ""), "there are several");
    assert_eq!(outputs["smoke"], "passed");
    assert!(outputs["artifact-name"].starts_with("dist-sample-manylinux_2_"), "{outputs:?}");
    for tag in [first, second] {
        assert!(outputs["tags"].contains(&format!("{tag}-{tag}-manylinux2014_x86_64")), "{outputs:?}");
    }
}

#[test]
fn builds_a_stable_abi_wheel_beside_a_free_threaded_one() {
    let dir = tempfile::tempdir().unwrap();
    module(dir.path());
    let arguments = ["--interpreters", "3.11 3.12 3.14t", "--features", "abi3"];
    succeed(build_wheel(dir.path()).args(arguments));
    let built = built(&report(dir.path()));
    assert_eq!(built[0], ("sample-1.0.0-cp310-abi3".to_owned(), "passed".to_owned()));
    assert_eq!(built[1].0, "sample-1.0.0-cp314-cp314t");
    assert_eq!(built.len(), 2, "one for 3.11 and 3.12: {built:?}");

    // Nothing is written if one of them cannot be tested.
    std::fs::remove_dir_all(dir.path().join("dist")).unwrap();
    let mut command = build_wheel(dir.path());
    let imports = "python -c 'import sample; assert sample.answer == 41'";
    fail(command.args(arguments).args(["--smoke-command", imports]), 1);
    assert!(!dir.path().join("dist").exists());
}

/// For another machine, maturin knows the Pythons by name. The wheel of the version
/// that is installed here for that machine is imported under QEMU.
#[test]
fn several_pythons_of_another_machine_are_built_for() {
    let dir = tempfile::tempdir().unwrap();
    module(dir.path());
    let tools = testkit::tools::dir();
    let here = names(&tools.join("foreign-python")).into_iter().find_map(|name| {
        Some(name.strip_prefix("cpython-")?.strip_suffix("-linux-aarch64-gnu")?.to_owned())
    });
    let here = here.expect("run `cargo xtask setup-test-tools`");
    let mut command = build_wheel(dir.path());
    command.env("RUSTC", tools.join("rust-cross/bin/rustc")).env("ZIG_GLOBAL_CACHE_DIR", tools.join("zig-cache"));
    command.env("UV_PYTHON_INSTALL_DIR", tools.join("foreign-python"));
    let asked = format!("{here} 3.14");
    succeed(command.args(["--target", "aarch64", "--interpreters", &asked]));
    let report = report(dir.path());
    let tag = format!("cp{}", here.replace('.', ""));
    let expected = [
        (format!("sample-1.0.0-{tag}-{tag}"), "emulated".to_owned()),
        ("sample-1.0.0-cp314-cp314".to_owned(), "partial".to_owned()),
    ];
    assert_eq!(built(&report), expected);
    let checks = report["distributions"][0]["smoke"]["checks"].to_string();
    assert!(checks.contains("import sample"), "{checks}");
    assert!(report["filename"].as_str().unwrap().contains("manylinux2014_aarch64"), "{report}");
}
