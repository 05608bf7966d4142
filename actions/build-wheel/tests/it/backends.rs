//! The program as it is called: every backend, and what bad input gets.

use std::path::Path;

use serde_json::Value;

use crate::support::*;

const CARGO: &str = "[package]\nname = \"sample\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[profile.release]\nopt-level = 1\n[workspace]\n";
const PYPROJECT: &str = "[build-system]\nrequires = [\"maturin>=1,<2\"]\nbuild-backend = \"maturin\"\n[project]\nname = \"sample\"\nversion = \"1.0.0\"\n[tool.maturin]\nbindings = \"bin\"\n";
const MAIN: &str = "fn main() { println!(\"hello {}\", std::env::args().count()); }\n";

fn project(folder: &Path) {
    write(folder, &[("Cargo.toml", CARGO), ("pyproject.toml", PYPROJECT), ("src/main.rs", MAIN)]);
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("build-report.json")).unwrap()).unwrap()
}

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
    let error = fail(build_wheel(folder.path()).args(["--verify-reproducible", "--smoke", "off"]), 1);
    assert!(error.contains("differ: `sample-1.0.0.data/scripts/sample` from byte"), "{error}");
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
    assert_eq!((plan["backend"].as_str(), plan["linker"].as_str()), (Some("maturin"), Some("native")));
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
        (&["sample-1.0-py3-none-any.whl"], 1, "RECORD lies: `a.py` has the sha256"),
        (&["--dry-run=ture"], 2, "ture"),
        (&["--target", "pdp11"], 2, "`pdp11` is not a target"),
    ] {
        let error = fail(build_wheel(folder.path()).args(arguments), code);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert!(!folder.path().join("dist").exists());
}

/// A program whose loader is really in the store: it runs here, and would run
/// nowhere else.
#[test]
fn nix_builds_and_the_store_is_masked() {
    let folder = tempfile::tempdir().unwrap();
    let source = "{ outputs = { self }: { packages.x86_64-linux = let
      run = name: script: derivation {
        inherit name; system = \"x86_64-linux\"; builder = \"/bin/sh\"; PATH = \"/usr/bin:/bin\";
        args = [ \"-ec\" script ];
      };
    in rec {
      glibc = run \"glibc\" \"mkdir -p $out/lib && cp -L /lib64/ld-linux-x86-64.so.2 /lib/x86_64-linux-gnu/libc.so.6 $out/lib\";
      wheel = run \"wheel\" ''
        cc ${./hello.c} -o sample -Wl,--dynamic-linker=${glibc}/lib/ld-linux-x86-64.so.2 -Wl,-rpath,${glibc}/lib
        ./sample
        python3 ${./pack.py} $out sample
      '';
      unrepairable = run \"unrepairable\" ''
        printf 'import os, subprocess\\nsubprocess.run([\"${glibc}/lib/ld-linux-x86-64.so.2\", \"--version\"], check=True)\\n' > sample.py
        python3 ${./pack.py} $out sample.py
      '';
      none = run \"none\" \"mkdir $out\";
      two = run \"two\" \"mkdir $out; touch $out/a.whl $out/b.whl\";
    }; }; }";
    let pack = "import base64, hashlib, os, sys, zipfile
out, path = sys.argv[1:]
name = path if path.endswith('.py') else 'sample-1.0.data/scripts/' + path
files = {name: open(path, 'rb').read(),
  'sample-1.0.dist-info/METADATA': b'Metadata-Version: 2.1\\nName: sample\\nVersion: 1.0\\n',
  'sample-1.0.dist-info/WHEEL': b'Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: py3-none-linux_x86_64\\n'}
record = ''
os.makedirs(out + '/dist')
with zipfile.ZipFile(out + '/dist/sample-1.0-py3-none-linux_x86_64.whl', 'w') as wheel:
    for name, data in files.items():
        wheel.writestr(zipfile.ZipInfo(name), data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')
        record += f'{name},sha256={digest},{len(data)}\\n'
    wheel.writestr(zipfile.ZipInfo('sample-1.0.dist-info/RECORD'), record + 'sample-1.0.dist-info/RECORD,,\\n')
";
    write(folder.path(), &[("flake/flake.nix", source), ("flake/pack.py", pack), ("flake/hello.c", HELLO)]);
    let nix = testkit::tools::path("nix");
    let run = || {
        let mut command = build_wheel(folder.path());
        let config = "experimental-features = nix-command flakes\nsandbox = false\nbuild-users-group =\nsubstituters =\n";
        let tools = std::env::split_paths(&command_path(&command))
            .chain([nix.parent().unwrap().to_owned()])
            .collect::<Vec<_>>();
        command.env("NIX_CONFIG", config).env("PATH", std::env::join_paths(tools).unwrap());
        command.args(["flake", "--flake-attr"]);
        command
    };
    succeed(run().args(["wheel", "--smoke", "required", "--verify-reproducible"]));
    let report = report(folder.path());
    assert_eq!(
        (report["plan"]["backend"].as_str(), report["smoke"]["result"].as_str()),
        (Some("nix"), Some("passed"))
    );
    let repaired = report["repaired"].to_string();
    assert!(
        repaired.contains("-glibc/lib/ld-linux-x86-64.so.2") && repaired.contains("RUNPATH"),
        "{repaired}"
    );
    assert!(report["filename"].as_str().unwrap().contains("manylinux_2_"), "{report}");

    std::fs::remove_dir_all(folder.path().join("dist")).unwrap();
    let error = fail(run().arg("unrepairable"), 1);
    assert!(
        error.contains("does not work in a clean environment") && error.contains("/nix/store"),
        "{error}"
    );
    let error = fail(run().arg("none"), 1);
    assert!(
        error.contains("expected exactly one .whl in the output of") && error.contains("found none"),
        "{error}"
    );
    let error = fail(run().arg("two"), 1);
    assert!(error.contains("found a.whl, b.whl"), "{error}");
    assert!(!folder.path().join("dist").exists());
}

fn command_path(command: &std::process::Command) -> std::ffi::OsString {
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
    path.unwrap_or_default().to_owned()
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

/// Rust for another machine, with the standard library that
/// `cargo xtask setup-test-tools` unpacks; run by QEMU.
#[test]
fn a_cross_built_wheel_runs_under_qemu() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let rustc = testkit::tools::folder().join("rust-cross/bin/rustc");
    assert!(rustc.is_file(), "run `cargo xtask setup-test-tools`");
    let build = |linker: &str| {
        let mut command = build_wheel(folder.path());
        command.env("RUSTC", &rustc).env("ZIG_GLOBAL_CACHE_DIR", testkit::tools::folder().join("zig-cache"));
        // What nixpkgs' Python sets for the machine that builds.
        command.env("_PYTHON_HOST_PLATFORM", "linux-x86_64");
        command.args(["--target", "aarch64-unknown-linux-gnu", "--linker", linker]);
        succeed(command.args(["--smoke-command", "sample a b", "--smoke", "required"]));
        let report = report(folder.path());
        assert_eq!(report["smoke"]["result"], "emulated", "{linker}");
        (report["plan"]["linker"].clone(), report["filename"].clone(), report["floor"].clone())
    };
    let (linker, name, floor) = build("auto");
    assert_eq!((linker.as_str(), floor.as_str()), (Some("zig"), Some("glibc 2.17")));
    assert_eq!(name, "sample-1.0.0-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.whl");
    let (_, name, floor) = build("gcc");
    assert!(name.as_str().unwrap().ends_with("_aarch64.whl"), "{name}");
    assert_ne!(floor, "glibc 2.17", "the cross gcc brings a newer glibc");
}
