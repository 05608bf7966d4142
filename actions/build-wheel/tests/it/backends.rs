//! The program as it is called: every backend, and what bad input gets.

use serde_json::Value;

use crate::support::*;

#[test]
fn maturin_builds_a_tested_wheel() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let outputs = folder.path().join("outputs");
    let mut command = build_wheel(folder.path());
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &outputs);
    // What a shell of nixpkgs' Python sets must not reach the tag.
    command.env("_PYTHON_HOST_PLATFORM", "macosx-99.0-sparc");
    succeed(command.args(["--smoke-command", "sample a b", "--smoke", "required"]));
    let report = report(folder.path());
    let name = report["filename"].as_str().unwrap();
    assert!(
        name.starts_with("sample-1.0.0-py3-none-manylinux_2_") && name.ends_with("_x86_64.whl"),
        "{name}"
    );
    assert_eq!(names(&folder.path().join("dist")), [name]);
    assert_eq!(report["smoke"]["result"], "passed");
    let wheel = std::fs::read(folder.path().join("dist").join(name)).unwrap();
    let sha256 = pydist::digest::hex(&pydist::digest::sha256(&wheel));
    assert_eq!(report["sha256"], sha256.as_str());
    let outputs = std::fs::read_to_string(outputs).unwrap();
    let tag = name.trim_end_matches(".whl").rsplit('-').next().unwrap();
    for value in [&sha256, "dist-sample-manylinux_2_", "passed", &format!("py3-none-{tag}")] {
        assert!(outputs.contains(value), "{value} is not in\n{outputs}");
    }
}

#[test]
fn two_folders_and_two_times_give_the_same_bytes() {
    let sha256 = |epoch: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        project(folder.path());
        let mut command = build_wheel(folder.path());
        epoch.map(|epoch| command.env("SOURCE_DATE_EPOCH", epoch));
        succeed(command.args(["--verify-reproducible", "--smoke", "off"]));
        let report = report(folder.path());
        assert_eq!(report["reproducible"], true);
        report["sha256"].clone()
    };
    assert_eq!(sha256(None), sha256(None));
    assert_ne!(sha256(None), sha256(Some("1700000000")));
}

#[test]
fn a_build_that_depends_on_its_folder_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let main = "fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }";
    write(folder.path(), &[("src/main.rs", main)]);
    // Not zig: the debug information of its startup files names this directory in both.
    let arguments = ["--verify-reproducible", "--smoke", "off", "--linker", "native"];
    let error = fail(build_wheel(folder.path()).args(arguments), 1);
    for expected in [
        "differ: `sample-1.0.0.data/scripts/sample`: different in `",
        "`.rodata`",
        "only in the first: `",
        "only in the second: `",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(names(&folder.path().join("dist")), [""; 0]);
}

#[test]
fn a_failed_build_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    write(folder.path(), &[("src/main.rs", "fn main() { not rust }")]);
    let error = fail(&mut build_wheel(folder.path()), 1);
    assert!(error.contains("the build failed"), "{error}");
    assert!(!folder.path().join("dist").exists() && !folder.path().join("build-report.json").exists());
}

#[test]
fn zig_lowers_the_floor() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let mut command = build_wheel(folder.path());
    command.env("ZIG_GLOBAL_CACHE_DIR", testkit::tools::folder().join("zig-cache"));
    succeed(command.args(["--compatibility", "manylinux2014"]));
    let report = report(folder.path());
    assert_eq!(report["plan"]["linker"], "zig");
    assert_eq!(report["filename"], "sample-1.0.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl");
    assert_eq!(report["smoke"]["result"], "passed");

    let mut command = build_wheel(folder.path());
    let error = fail(command.args(["--compatibility", "manylinux2014", "--linker", "native"]), 1);
    assert!(
        error.contains("it needs glibc 2.") && error.contains("hint: ") && error.contains("zig"),
        "{error}"
    );
}

#[test]
fn a_dry_run_prints_the_plan_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let plan = succeed(build_wheel(folder.path()).arg("--dry-run"));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!((plan["backend"].as_str(), plan["linker"].as_str()), (Some("maturin"), Some("zig")));
    assert_eq!(names(folder.path()), ["Cargo.toml", "pyproject.toml", "src"]);
}

#[test]
fn the_build_backend_makes_a_source_distribution() {
    let folder = tempfile::tempdir().unwrap();
    let pyproject = "[build-system]\nrequires = [\"hatchling\"]\nbuild-backend = \"hatchling.build\"\n[project]\nname = \"sample\"\nversion = \"1.0.0\"\n";
    write(folder.path(), &[("pyproject.toml", pyproject), ("src/sample/__init__.py", "")]);
    let mut command = build_wheel(folder.path());
    succeed(command.args(["--backend", "sdist", "--no-build-isolation", "--verify-reproducible"]));
    assert_eq!(names(&folder.path().join("dist")), ["sample-1.0.0.tar.gz"]);
    assert_eq!(report(folder.path())["artifact_name"], "dist-sample-sdist");
}

#[test]
fn bad_input_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let whole = program_wheel(b"#!/bin/sh\n");
    let wheel = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    wheel("cut-1.0-py3-none-any.whl", &whole[..whole.len() / 2]);
    let mut lying = members(&[file("a.py", "x = 1\n")]);
    lying[0].content = b"x = 2\n".to_vec();
    wheel("sample-1.0-py3-none-any.whl", &zip(&lying));
    write(
        folder.path(),
        &[
            ("empty/x", ""),
            ("other/pyproject.toml", "[build-system]\nbuild-backend = \"hatchling.build\"\n"),
            ("bad/pyproject.toml", "= 1"),
        ],
    );
    for (arguments, code, expected) in [
        (&["nowhere"][..], 2, "there is nothing at `nowhere`"),
        (&["empty"], 2, "no maturin project at `empty`"),
        (&["other"], 2, "found a pyproject.toml with `build-backend = \"hatchling.build\"`"),
        (&["bad"], 2, "`bad/pyproject.toml` is not valid TOML"),
        (&["empty", "--backend", "wheel"], 2, "expected exactly one wheel in `empty`, found none"),
        (&["empty", "--backend", "nix", "--flake-attr", "x"], 2, "expected a flake.nix"),
        (&["empty/x"], 2, "`empty/x` is a file but no wheel"),
        (&["cut-1.0-py3-none-any.whl"], 1, "cut off"),
        (&["sample-1.0-py3-none-any.whl"], 1, "RECORD does not match the archive: `a.py` has the sha256"),
        (&["--dry-run=ture"], 2, "ture"),
        (&["--target", "pdp11"], 2, "`pdp11` is not a target"),
    ] {
        let error = fail(build_wheel(folder.path()).args(arguments), code);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert!(!folder.path().join("dist").exists());
}

#[test]
fn a_foreign_wheel_is_tried_under_qemu() {
    let folder = tempfile::tempdir().unwrap();
    let gcc = ["aarch64-linux-gnu-gcc"];
    let broken = compile(&gcc, folder.path(), "a", HELLO, &nix_flags("ld-linux-aarch64.so.1"));
    std::fs::write(folder.path().join(WHEEL), program_wheel(&broken)).unwrap();
    let mut command = build_wheel(folder.path());
    succeed(command.args([
        WHEEL,
        "--target",
        "aarch64-unknown-linux-gnu",
        "--smoke-command",
        "sample x",
        "--smoke",
        "required",
    ]));
    let report = report(folder.path());
    assert_eq!(report["smoke"]["result"], "emulated");
    assert_eq!(report["smoke"]["checks"][0]["outcome"], "ok");

    let error = fail(build_wheel(folder.path()).args([WHEEL, "--target", "x86_64-unknown-linux-gnu"]), 1);
    assert!(error.contains("its binaries are for Linux with glibc on aarch64"), "{error}");
}

/// The schema and the report name the same fields.
#[test]
fn the_report_follows_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(WHEEL), program_wheel(b"#!/bin/sh\n")).unwrap();
    succeed(build_wheel(folder.path()).arg(WHEEL));
    let schema = testkit::tools::workspace().join("docs/schema/build-report.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let report = report(folder.path());
    assert_eq!(keys(&report), keys(&schema["properties"]));
    let mut required: Vec<String> = serde_json::from_value(schema["required"].clone()).unwrap();
    required.sort();
    assert_eq!(keys(&report), required);
    let mut plan: Vec<String> =
        serde_json::from_value(schema["properties"]["plan"]["required"].clone()).unwrap();
    plan.sort();
    assert_eq!(keys(&report["plan"]), plan);
    let results = schema["properties"]["smoke"]["properties"]["result"]["enum"].as_array().unwrap();
    assert!(results.contains(&report["smoke"]["result"]));
}

/// Cargo's registry, the target folder and what a compiler cache is asked for
/// stay where they are from run to run.
#[test]
fn nothing_is_rebuilt_when_nothing_changed() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    // In the place of sccache: it writes down what it is asked to compile.
    let wrapper = folder.path().join("wrapper");
    let log = folder.path().join("log");
    std::fs::write(&wrapper, format!("#!/bin/sh\necho \"$PWD $*\" >> {}\nexec \"$@\"\n", log.display()))
        .unwrap();
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let build = || {
        let mut command = build_wheel(folder.path());
        command.env("RUSTC_WRAPPER", &wrapper);
        let output = command.args(["--smoke", "off", "--out-dir", "dist"]).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{shown}");
        let asked = std::fs::read_to_string(&log).unwrap_or_default();
        std::fs::write(&log, "").unwrap();
        let compiled: Vec<String> =
            asked.lines().filter(|line| line.contains("--crate-name sample")).map(str::to_owned).collect();
        (shown, compiled, report(folder.path())["sha256"].clone())
    };
    let (shown, compiled, first) = build();
    assert!(shown.contains("Compiling sample") && compiled.len() == 1, "{compiled:?}\n{shown}");
    let (shown, again, second) = build();
    assert!(!shown.contains("Compiling") && again.is_empty(), "{again:?}\n{shown}");
    assert_eq!(first, second);
    // With the target folder gone, a cache is asked for the very same.
    std::fs::remove_dir_all(folder.path().join("target")).unwrap();
    let (_, anew, third) = build();
    assert_eq!((anew, third), (compiled, first));
}

#[test]
fn auto_says_what_it_chose_and_why() {
    let folder = tempfile::tempdir().unwrap();
    project(&folder.path().join("crate"));
    std::fs::write(folder.path().join(WHEEL), program_wheel(b"#!/bin/sh\n")).unwrap();
    write(folder.path(), &[("flake/flake.nix", "{ outputs = _: {}; }")]);
    for (arguments, backend, why) in [
        (&[WHEEL][..], "wheel", "the project is a file"),
        (&["crate"], "maturin", "the build backend in pyproject.toml is `maturin`"),
        (&["flake", "--flake-attr", "wheel"], "nix", "`flake-attr` is given"),
        (&["crate", "--backend", "sdist"], "sdist", "it was asked for"),
    ] {
        let plan = succeed(build_wheel(folder.path()).args(arguments).arg("--dry-run"));
        let plan: Value = serde_json::from_str(&plan).unwrap();
        assert_eq!((plan["backend"].as_str(), plan["why"].as_str()), (Some(backend), Some(why)));
    }
    let output = build_wheel(folder.path()).arg(WHEEL).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("backend wheel: the project is a file"), "{shown}");
}
