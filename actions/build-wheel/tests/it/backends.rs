//! The program as it is called: every backend, and what bad input gets.

use std::path::Path;

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

/// A project whose programs have no debug information, as Cargo's default is.
fn stripped_project(folder: &Path) {
    project(folder);
    let cargo = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let cargo = cargo.replace("strip = false", "strip = \"debuginfo\"");
    write(folder, &[("Cargo.toml", &cargo)]);
}

/// zig's startup files come from a cache, so a second build here has the same
/// directories in them, and one on another machine has not.
#[test]
fn debug_information_of_zig_is_not_called_reproducible() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    let arguments = ["--verify-reproducible", "--smoke", "off", "--linker", "zig"];
    let error = fail(build_wheel(folder.path()).args(arguments), 1);
    assert!(error.contains("`sample-1.0.0.data/scripts/sample` would differ on another machine"), "{error}");
    assert!(error.contains("hint: set `strip = \"debuginfo\"`"), "{error}");
}

#[test]
fn two_folders_and_two_times_give_the_same_bytes() {
    let sha256 = |epoch: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        stripped_project(folder.path());
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

/// A registry in the directory, with one crate that names its source file.
fn local_registry(folder: &Path) {
    let root = folder.join("registry");
    let files = [
        ("Cargo.toml", "[package]\nname = \"needed\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
        ("src/lib.rs", "#[inline(never)]\npub fn first(list: &[u8]) -> u8 { assert!(!list.is_empty(), \"empty\"); list[0] }\n"),
    ];
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, format!("needed-1.0.0/{name}"), text.as_bytes()).unwrap();
    }
    let packed = archive.into_inner().unwrap().finish().unwrap();
    let sha256 = pydist::digest::hex(&pydist::digest::sha256(&packed));
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("needed-1.0.0.crate"), packed).unwrap();
    let index = format!("{{\"name\":\"needed\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"{sha256}\",\"features\":{{}},\"yanked\":false}}\n");
    write(folder, &[("registry/index/ne/ed/needed", &index)]);
}

/// The crate is unpacked into CARGO_HOME, and the project's configuration has
/// flags of its own.
#[test]
fn two_registries_two_homes_and_two_folders_give_the_same_bytes() {
    // Cargo names the directory of a crate by the registry's place.
    let registry = tempfile::tempdir().unwrap();
    local_registry(registry.path());
    let registry = registry.path().join("registry");
    let build = || {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("project");
        project(&at);
        let cargo = std::fs::read_to_string(at.join("Cargo.toml")).unwrap();
        let cargo = cargo.replace("[workspace]", "[dependencies]\nneeded = \"1.0\"\n[workspace]");
        let config = format!("[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = {registry:?}\n[build]\nrustflags = [\"--cfg\", \"from_config\"]\n[net]\noffline = true\n");
        let main = "fn main() { let args: Vec<u8> = std::env::args().skip(1).map(|a| a.len() as u8).collect(); let flag = cfg!(from_config); println!(\"{flag} {}\", needed::first(&args)); }\n";
        write(&at, &[("Cargo.toml", &cargo), (".cargo/config.toml", &config), ("src/main.rs", main)]);
        let mut command = build_wheel(&at);
        command.env("CARGO_HOME", folder.path().join("cargo"));
        succeed(command.args(["--smoke-command", "test \"$(sample abc)\" = 'true 3'", "--smoke", "required"]));
        let unpacked = folder.path().join("cargo/registry/src");
        assert_eq!(names(&unpacked).len(), 1, "the crate came from the registry");
        let report = report(&at);
        let wheel = std::fs::read(at.join("dist").join(report["filename"].as_str().unwrap())).unwrap();
        let program = build_wheel::repair::member(&wheel, "sample-1.0.0.data/scripts/sample").unwrap();
        let is_there = |text: &str| memchr::memmem::find(&program, text.as_bytes()).is_some();
        assert!(is_there("/cargo/registry/src/") && !is_there(&folder.path().display().to_string()));
        report["sha256"].clone()
    };
    assert_eq!(build(), build());
}

#[test]
fn what_cannot_be_built_or_written_is_found_before_the_build() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    // A build would fail otherwise.
    write(folder.path(), &[("src/main.rs", "fn main() { not rust }")]);
    let mut command = build_wheel(folder.path());
    command.env("RUSTC", testkit::tools::dir().join("rust-cross/bin/rustc"));
    let error = fail(command.args(["--target", "riscv64gc-unknown-linux-musl", "--linker", "zig"]), 2);
    assert!(error.contains("no standard library for `riscv64gc-unknown-linux-musl`"), "{error}");
    assert!(error.contains("hint: run `rustup target add riscv64gc-unknown-linux-musl`"), "{error}");
    // Root may write everywhere but to the kernel's own files.
    for out in ["/proc/dist", "/sys/dist"] {
        let error = fail(build_wheel(folder.path()).args(["--out-dir", out]), 3);
        assert!(error.contains(out) && !error.contains("Compiling"), "{error}");
    }
    // A full disk: a file system of one page, in a namespace of its own.
    let script = "mkdir full && mount -t tmpfs -o size=4k none full && exec \"$@\"";
    let mut full = testkit::tools::scrubbed("unshare");
    full.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    full.arg(env!("CARGO_BIN_EXE_build-wheel")).args(["--out-dir", "full"]).current_dir(folder.path());
    full.env("PATH", build_wheel(folder.path()).get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap());
    let error = fail(&mut full, 3);
    assert!(error.contains("`full`") && error.contains("No space left"), "{error}");
    assert!(!error.contains("Compiling"), "{error}");
}

#[test]
fn options_of_maturin_point_to_their_input() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["--strip"][..], "hint: it is an option of maturin: use `--maturin-args`"),
        (&["-F", "a,b"], "hint: use `--features`"),
        (&["--bindings=cffi"], "hint: it is an option of maturin: use `--maturin-args`"),
        (&["--manylinux", "2014"], "hint: use `--compatibility`"),
        (&["-i", "python3.12"], "hint: use `--interpreters`"),
    ] {
        let error = fail(build_wheel(folder.path()).args(arguments), 2);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn a_missing_target_is_installed_by_rustup() {
    let folder = tempfile::tempdir().unwrap();
    project(folder.path());
    // In the place of rustup, which would need a network: a toolchain without
    // the target, and the program that installs it.
    let library = folder.path().join("toolchains/stable/lib/rustlib/target/lib");
    let programs = [
        ("rustc", format!("echo {}", library.display())),
        ("rustup", format!("echo \"$PWD $*\" > {}/asked; exit 3", folder.path().display())),
    ];
    let bin = folder.path().join("bin");
    for (name, script) in &programs {
        write(&bin, &[(name, &format!("#!/bin/sh\n{script}\n"))]);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(bin.join(name), mode).unwrap();
    }
    let mut command = build_wheel(folder.path());
    let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path))).unwrap();
    command.env("PATH", path).env("RUSTUP_TOOLCHAIN", "");
    let error = fail(command.args(["--target", "aarch64-unknown-linux-gnu"]), 1);
    assert!(error.contains("rustup target add aarch64-unknown-linux-gnu"), "{error}");
    let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
    let at = folder.path().canonicalize().unwrap();
    assert_eq!(asked, format!("{} target add aarch64-unknown-linux-gnu\n", at.display()));
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
    command.env("ZIG_GLOBAL_CACHE_DIR", testkit::tools::dir().join("zig-cache"));
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
    // What a shell exports for publish is no error here.
    let secrets = ["INPUT_PASSWORD", "INPUT_SIMPLE_PASSWORD", "INPUT_GITHUB_TOKEN"];
    let plan = succeed(build_wheel(folder.path()).arg("--dry-run").envs(secrets.map(|name| (name, "x"))));
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
    let emulated = report(folder.path());
    assert_eq!(emulated["smoke"]["result"], "emulated");
    assert_eq!(emulated["smoke"]["checks"][0]["outcome"], "ok");

    // A module needs a Python of its architecture, and there is none.
    let module = compile(&gcc, folder.path(), "m.so", "int answer(void) { return 42; }", "-shared -fPIC");
    let files = [file("sample/__init__.py", ""), file("sample/native.abi3.so", module)];
    std::fs::write(folder.path().join(WHEEL), zip(&members(&files))).unwrap();
    let output = build_wheel(folder.path()).args([WHEEL, "--target", "aarch64-unknown-linux-gnu"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("smoke test: partial"), "{shown}");
    assert_eq!(report(folder.path())["smoke"]["result"], "partial");
    fail(build_wheel(folder.path()).args([WHEEL, "--smoke", "required"]), 1);
    std::fs::write(folder.path().join(WHEEL), program_wheel(&broken)).unwrap();

    let error = fail(build_wheel(folder.path()).args([WHEEL, "--target", "x86_64-unknown-linux-gnu"]), 1);
    assert!(error.contains("its binaries are for Linux with glibc on aarch64"), "{error}");
}

/// A module with nothing in it, by Python's stable ABI, without its headers.
const MODULE: &str = "
static struct { long refcnt; void *type, *init; long index; void *copy; const char *name, *doc; long size;
    void *methods, *slots, *traverse, *clear, *free; } def = { 1, 0, 0, 0, 0, \"native\", 0, -1 };
void *PyModule_Create2(void *, int);
void *PyInit_native(void) { return PyModule_Create2(&def, 1013); }
";

/// A real Python for aarch64 imports it, under QEMU.
#[test]
fn a_foreign_module_is_imported_under_qemu() {
    let folder = tempfile::tempdir().unwrap();
    let build = |code: &str, arguments: &[&str]| {
        let module = compile(&["aarch64-linux-gnu-gcc"], folder.path(), "m.so", code, "-shared -fPIC");
        let files = [file("sample/__init__.py", "from . import native\n"), file("sample/native.abi3.so", module)];
        let name = "sample-1.0-cp38-abi3-linux_aarch64.whl";
        std::fs::write(folder.path().join(name), zip(&members(&files))).unwrap();
        let mut command = build_wheel(folder.path());
        command.args([name, "--target", "aarch64-unknown-linux-gnu"]).args(arguments);
        command.env("UV_PYTHON_INSTALL_DIR", testkit::tools::dir().join("foreign-python"));
        command
    };
    succeed(&mut build(MODULE, &["--smoke", "required"]));
    let smoke = report(folder.path())["smoke"].clone();
    assert_eq!(smoke["result"], "emulated", "{smoke}");
    assert!(smoke.to_string().contains("import sample.native"), "{smoke}");
    let broken = MODULE.replace("PyInit_native", "PyInit_other");
    let error = fail(&mut build(&broken, &[]), 1);
    assert!(error.contains("PyInit_native"), "{error}");
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
    let results = schema["$defs"]["smoke"]["properties"]["result"]["enum"].as_array().unwrap();
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
