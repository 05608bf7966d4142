//! Runs the program: every backend, and invalid input.

use std::path::Path;

use serde_json::Value;

use crate::support::*;

#[test]
fn builds_and_tests_a_wheel_with_maturin() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let outputs = dir.path().join("outputs");
    let mut command = build_wheel(dir.path());
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &outputs);
    // A variable that nixpkgs' Python sets must not affect the tag.
    command.env("_PYTHON_HOST_PLATFORM", "macosx-99.0-sparc");
    succeed(command.args(["--smoke-command", "sample a b", "--smoke", "required"]));
    let report = report(dir.path());
    let name = report["filename"].as_str().unwrap();
    assert!(
        name.starts_with("sample-1.0.0-py3-none-manylinux_2_") && name.ends_with("_x86_64.whl"),
        "{name}"
    );
    assert_eq!(names(&dir.path().join("dist")), [name]);
    assert_eq!(report["smoke"]["result"], "passed");
    let wheel = std::fs::read(dir.path().join("dist").join(name)).unwrap();
    let sha256 = pydist::digest::hex(&pydist::digest::sha256(&wheel));
    assert_eq!(report["sha256"], sha256.as_str());
    let outputs = std::fs::read_to_string(outputs).unwrap();
    let tag = name.trim_end_matches(".whl").rsplit('-').next().unwrap();
    for value in [&sha256, "dist-sample-manylinux_2_", "passed", &format!("py3-none-{tag}")] {
        assert!(outputs.contains(value), "{value} is not in\n{outputs}");
    }
}

/// A project whose programs have no debug information, as by Cargo's default.
fn stripped_project(dir: &Path) {
    project(dir);
    let cargo = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    let cargo = cargo.replace("strip = false", "strip = \"debuginfo\"");
    write(dir, &[("Cargo.toml", &cargo)]);
}

/// zig's startup files come from a cache, so a second build here has the same
/// directories in them, but a build on another machine does not.
#[test]
fn rejects_zigs_debug_information_as_not_reproducible() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let arguments = ["--verify-reproducible", "--smoke", "off", "--linker", "zig"];
    let error = fail(build_wheel(dir.path()).args(arguments), 1);
    assert!(error.contains("`sample-1.0.0.data/scripts/sample` would differ on another machine"), "{error}");
    assert!(error.contains("hint: set `strip = \"debuginfo\"`"), "{error}");
}

#[test]
fn two_directories_and_two_times_give_the_same_bytes() {
    let sha256 = |epoch: Option<&str>| {
        let dir = tempfile::tempdir().unwrap();
        stripped_project(dir.path());
        let mut command = build_wheel(dir.path());
        epoch.map(|epoch| command.env("SOURCE_DATE_EPOCH", epoch));
        succeed(command.args(["--verify-reproducible", "--smoke", "off"]));
        let report = report(dir.path());
        assert_eq!(report["reproducible"], true);
        report["sha256"].clone()
    };
    assert_eq!(sha256(None), sha256(None));
    assert_ne!(sha256(None), sha256(Some("1700000000")));
}

/// A registry in the directory, with one crate that names its source file.
fn local_registry(dir: &Path) {
    let root = dir.join("registry");
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
    write(dir, &[("registry/index/ne/ed/needed", &index)]);
}

/// The crate is unpacked into CARGO_HOME, and the project's configuration has its
/// own flags.
#[test]
fn two_registries_homes_and_directories_give_the_same_bytes() {
    // Cargo names a crate's directory after the registry's path.
    let registry = tempfile::tempdir().unwrap();
    local_registry(registry.path());
    let registry = registry.path().join("registry");
    let build = || {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("project");
        project(&at);
        let cargo = std::fs::read_to_string(at.join("Cargo.toml")).unwrap();
        let cargo = cargo.replace("[workspace]", "[dependencies]\nneeded = \"1.0\"\n[workspace]");
        let config = format!("[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = {registry:?}\n[build]\nrustflags = [\"--cfg\", \"from_config\"]\n[net]\noffline = true\n");
        let main = "fn main() { let args: Vec<u8> = std::env::args().skip(1).map(|a| a.len() as u8).collect(); let flag = cfg!(from_config); println!(\"{flag} {}\", needed::first(&args)); }\n";
        write(&at, &[("Cargo.toml", &cargo), (".cargo/config.toml", &config), ("src/main.rs", main)]);
        let mut command = build_wheel(&at);
        command.env("CARGO_HOME", dir.path().join("cargo"));
        succeed(command.args(["--smoke-command", "test \"$(sample abc)\" = 'true 3'", "--smoke", "required"]));
        let unpacked = dir.path().join("cargo/registry/src");
        assert_eq!(names(&unpacked).len(), 1, "the crate came from the registry");
        let report = report(&at);
        let wheel = std::fs::read(at.join("dist").join(report["filename"].as_str().unwrap())).unwrap();
        let program = build_wheel::repair::member(&wheel, "sample-1.0.0.data/scripts/sample").unwrap();
        let is_there = |text: &str| memchr::memmem::find(&program, text.as_bytes()).is_some();
        assert!(is_there("/cargo/registry/src/") && !is_there(&dir.path().display().to_string()));
        report["sha256"].clone()
    };
    assert_eq!(build(), build());
}

#[test]
fn fails_before_a_build_that_cannot_succeed() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    // A build would fail otherwise.
    write(dir.path(), &[("src/main.rs", "fn main() { not rust }")]);
    let mut command = build_wheel(dir.path());
    command.env("RUSTC", testkit::tools::dir().join("rust-cross/bin/rustc"));
    let error = fail(command.args(["--target", "riscv64gc-unknown-linux-musl", "--linker", "zig"]), 2);
    assert!(error.contains("no standard library for `riscv64gc-unknown-linux-musl`"), "{error}");
    assert!(error.contains("hint: run `rustup target add riscv64gc-unknown-linux-musl`"), "{error}");
    // Root can write everywhere except to the kernel's files.
    for out in ["/proc/dist", "/sys/dist"] {
        let error = fail(build_wheel(dir.path()).args(["--out-dir", out]), 3);
        assert!(error.contains(out) && !error.contains("Compiling"), "{error}");
    }
    // A full disk: a file system of one page, in a mount namespace.
    let script = "mkdir full && mount -t tmpfs -o size=4k none full && exec \"$@\"";
    let mut full = testkit::tools::scrubbed("unshare");
    full.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    full.arg(env!("CARGO_BIN_EXE_build-wheel")).args(["--out-dir", "full"]).current_dir(dir.path());
    full.env("PATH", build_wheel(dir.path()).get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap());
    let error = fail(&mut full, 3);
    assert!(error.contains("`full`") && error.contains("No space left"), "{error}");
    assert!(!error.contains("Compiling"), "{error}");
}

#[test]
fn options_of_maturin_get_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["--strip"][..], "hint: this is an option of maturin: use `--maturin-args`"),
        (&["-F", "a,b"], "hint: use `--features`"),
        (&["--bindings=cffi"], "hint: this is an option of maturin: use `--maturin-args`"),
        (&["--manylinux", "2014"], "hint: use `--compatibility`"),
        (&["-i", "python3.12"], "hint: use `--interpreters`"),
    ] {
        let error = fail(build_wheel(dir.path()).args(arguments), 2);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn installs_a_missing_target_with_rustup() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    // A stand-in for rustup, which would need the network: a toolchain without
    // the target, and a program that installs it.
    let library = dir.path().join("toolchains/stable/lib/rustlib/target/lib");
    let programs = [
        ("rustc", format!("echo {}", library.display())),
        ("rustup", format!("echo \"$PWD $*\" > {}/asked; exit 3", dir.path().display())),
    ];
    let bin = dir.path().join("bin");
    for (name, script) in &programs {
        write(&bin, &[(name, &format!("#!/bin/sh\n{script}\n"))]);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(bin.join(name), mode).unwrap();
    }
    let mut command = build_wheel(dir.path());
    let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path))).unwrap();
    command.env("PATH", path).env("RUSTUP_TOOLCHAIN", "");
    let error = fail(command.args(["--target", "aarch64-unknown-linux-gnu"]), 1);
    assert!(error.contains("rustup target add aarch64-unknown-linux-gnu"), "{error}");
    let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap();
    let at = dir.path().canonicalize().unwrap();
    assert_eq!(asked, format!("{} target add aarch64-unknown-linux-gnu\n", at.display()));
}

#[test]
fn detects_a_build_that_depends_on_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let main = "fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }";
    write(dir.path(), &[("src/main.rs", main)]);
    // Not zig: its startup files have this directory in their debug information in both.
    let arguments = ["--verify-reproducible", "--smoke", "off", "--linker", "native"];
    let error = fail(build_wheel(dir.path()).args(arguments), 1);
    for expected in [
        "differ: `sample-1.0.0.data/scripts/sample`: different in `",
        "`.rodata`",
        "only in the first: `",
        "only in the second: `",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(names(&dir.path().join("dist")), [""; 0]);
}

#[test]
fn a_failed_build_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    write(dir.path(), &[("src/main.rs", "fn main() { not rust }")]);
    let error = fail(&mut build_wheel(dir.path()), 1);
    assert!(error.contains("the build failed"), "{error}");
    assert!(!dir.path().join("dist").exists() && !dir.path().join("build-report.json").exists());
}

#[test]
fn zig_links_for_an_older_glibc() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let mut command = build_wheel(dir.path());
    command.env("ZIG_GLOBAL_CACHE_DIR", testkit::tools::dir().join("zig-cache"));
    succeed(command.args(["--compatibility", "manylinux2014"]));
    let report = report(dir.path());
    assert_eq!(report["plan"]["linker"], "zig");
    assert_eq!(report["filename"], "sample-1.0.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl");
    assert_eq!(report["smoke"]["result"], "passed");

    let mut command = build_wheel(dir.path());
    let error = fail(command.args(["--compatibility", "manylinux2014", "--linker", "native"]), 1);
    assert!(
        error.contains("it needs glibc 2.") && error.contains("hint: ") && error.contains("zig"),
        "{error}"
    );
}

#[test]
fn a_dry_run_only_prints_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    // Secrets that a shell exports for publish are not an error here.
    let secrets = ["INPUT_PASSWORD", "INPUT_SIMPLE_PASSWORD", "INPUT_GITHUB_TOKEN"];
    let plan = succeed(build_wheel(dir.path()).arg("--dry-run").envs(secrets.map(|name| (name, "x"))));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!((plan["backend"].as_str(), plan["linker"].as_str()), (Some("maturin"), Some("zig")));
    assert_eq!(names(dir.path()), ["Cargo.toml", "pyproject.toml", "src"]);
}

#[test]
fn makes_a_source_distribution_with_the_build_backend() {
    let dir = tempfile::tempdir().unwrap();
    let pyproject = "[build-system]\nrequires = [\"hatchling\"]\nbuild-backend = \"hatchling.build\"\n[project]\nname = \"sample\"\nversion = \"1.0.0\"\n";
    write(dir.path(), &[("pyproject.toml", pyproject), ("src/sample/__init__.py", "")]);
    let mut command = build_wheel(dir.path());
    succeed(command.args(["--backend", "sdist", "--no-build-isolation", "--verify-reproducible"]));
    assert_eq!(names(&dir.path().join("dist")), ["sample-1.0.0.tar.gz"]);
    assert_eq!(report(dir.path())["artifact_name"], "dist-sample-sdist");
}

#[test]
fn reports_invalid_input() {
    let dir = tempfile::tempdir().unwrap();
    let whole = program_wheel(b"#!/bin/sh\n");
    let wheel = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    wheel("cut-1.0-py3-none-any.whl", &whole[..whole.len() / 2]);
    let mut lying = members(&[file("a.py", "x = 1\n")]);
    lying[0].content = b"x = 2\n".to_vec();
    wheel("sample-1.0-py3-none-any.whl", &zip(&lying));
    write(
        dir.path(),
        &[
            ("empty/x", ""),
            ("other/pyproject.toml", "[build-system]\nbuild-backend = \"hatchling.build\"\n"),
            ("bad/pyproject.toml", "= 1"),
        ],
    );
    for (arguments, code, expected) in [
        (&["nowhere"][..], 2, "`nowhere` does not exist"),
        (&["empty"], 2, "no maturin project at `empty`"),
        (&["other"], 2, "found a pyproject.toml with `build-backend = \"hatchling.build\"`"),
        (&["bad"], 2, "`bad/pyproject.toml` is not valid TOML"),
        (&["empty", "--backend", "wheel"], 2, "expected exactly one wheel in `empty`, found none"),
        (&["empty", "--backend", "nix", "--flake-attr", "x"], 2, "expected a flake.nix"),
        (&["empty/x"], 2, "`empty/x` is a file but not a wheel"),
        (&["cut-1.0-py3-none-any.whl"], 1, "cut off"),
        (&["sample-1.0-py3-none-any.whl"], 1, "RECORD does not match the archive: `a.py` has the sha256"),
        (&["--dry-run=ture"], 2, "ture"),
        (&["--target", "pdp11"], 2, "unsupported target `pdp11`"),
    ] {
        let error = fail(build_wheel(dir.path()).args(arguments), code);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert!(!dir.path().join("dist").exists());
}

#[test]
fn tests_a_foreign_wheel_under_qemu() {
    let dir = tempfile::tempdir().unwrap();
    let gcc = ["aarch64-linux-gnu-gcc"];
    let broken = compile(&gcc, dir.path(), "a", HELLO, &nix_flags("ld-linux-aarch64.so.1"));
    std::fs::write(dir.path().join(WHEEL), program_wheel(&broken)).unwrap();
    let mut command = build_wheel(dir.path());
    succeed(command.args([
        WHEEL,
        "--target",
        "aarch64-unknown-linux-gnu",
        "--smoke-command",
        "sample x",
        "--smoke",
        "required",
    ]));
    let emulated = report(dir.path());
    assert_eq!(emulated["smoke"]["result"], "emulated");
    assert_eq!(emulated["smoke"]["checks"][0]["outcome"], "ok");

    // A module needs a Python of its architecture, which is missing.
    let module = compile(&gcc, dir.path(), "m.so", "int answer(void) { return 42; }", "-shared -fPIC");
    let files = [file("sample/__init__.py", ""), file("sample/native.abi3.so", module)];
    std::fs::write(dir.path().join(WHEEL), zip(&members(&files))).unwrap();
    let output = build_wheel(dir.path()).args([WHEEL, "--target", "aarch64-unknown-linux-gnu"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("smoke test: partial"), "{shown}");
    assert_eq!(report(dir.path())["smoke"]["result"], "partial");
    fail(build_wheel(dir.path()).args([WHEEL, "--smoke", "required"]), 1);
    std::fs::write(dir.path().join(WHEEL), program_wheel(&broken)).unwrap();

    let error = fail(build_wheel(dir.path()).args([WHEEL, "--target", "x86_64-unknown-linux-gnu"]), 1);
    assert!(error.contains("its binaries are for Linux with glibc on aarch64"), "{error}");
}

/// An empty module with the stable ABI, built without Python's headers.
const MODULE: &str = "
static struct { long refcnt; void *type, *init; long index; void *copy; const char *name, *doc; long size;
    void *methods, *slots, *traverse, *clear, *free; } def = { 1, 0, 0, 0, 0, \"native\", 0, -1 };
void *PyModule_Create2(void *, int);
void *PyInit_native(void) { return PyModule_Create2(&def, 1013); }
";

/// A real Python for aarch64 imports it, under QEMU.
#[test]
fn imports_a_foreign_module_under_qemu() {
    let dir = tempfile::tempdir().unwrap();
    let build = |code: &str, arguments: &[&str]| {
        let module = compile(&["aarch64-linux-gnu-gcc"], dir.path(), "m.so", code, "-shared -fPIC");
        let files = [file("sample/__init__.py", "from . import native\n"), file("sample/native.abi3.so", module)];
        let name = "sample-1.0-cp38-abi3-linux_aarch64.whl";
        std::fs::write(dir.path().join(name), zip(&members(&files))).unwrap();
        let mut command = build_wheel(dir.path());
        command.args([name, "--target", "aarch64-unknown-linux-gnu"]).args(arguments);
        command.env("UV_PYTHON_INSTALL_DIR", testkit::tools::dir().join("foreign-python"));
        command
    };
    succeed(&mut build(MODULE, &["--smoke", "required"]));
    let smoke = report(dir.path())["smoke"].clone();
    assert_eq!(smoke["result"], "emulated", "{smoke}");
    assert!(smoke.to_string().contains("import sample.native"), "{smoke}");
    let broken = MODULE.replace("PyInit_native", "PyInit_other");
    let error = fail(&mut build(&broken, &[]), 1);
    assert!(error.contains("PyInit_native"), "{error}");
}

/// The schema and the report have the same fields.
#[test]
fn the_report_follows_its_schema() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(WHEEL), program_wheel(b"#!/bin/sh\n")).unwrap();
    succeed(build_wheel(dir.path()).arg(WHEEL));
    let schema = testkit::tools::workspace().join("docs/schema/build-report.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let report = report(dir.path());
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

/// Cargo's registry, the target directory and the requests to a compiler cache stay
/// the same from run to run.
#[test]
fn rebuilds_nothing_without_changes() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    // A stand-in for sccache that records its requests.
    let wrapper = dir.path().join("wrapper");
    let log = dir.path().join("log");
    std::fs::write(&wrapper, format!("#!/bin/sh\necho \"$PWD $*\" >> {}\nexec \"$@\"\n", log.display()))
        .unwrap();
    std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let build = || {
        let mut command = build_wheel(dir.path());
        command.env("RUSTC_WRAPPER", &wrapper);
        let output = command.args(["--smoke", "off", "--out-dir", "dist"]).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{shown}");
        let asked = std::fs::read_to_string(&log).unwrap_or_default();
        std::fs::write(&log, "").unwrap();
        let compiled: Vec<String> =
            asked.lines().filter(|line| line.contains("--crate-name sample")).map(str::to_owned).collect();
        (shown, compiled, report(dir.path())["sha256"].clone())
    };
    let (shown, compiled, first) = build();
    assert!(shown.contains("Compiling sample") && compiled.len() == 1, "{compiled:?}\n{shown}");
    let (shown, again, second) = build();
    assert!(!shown.contains("Compiling") && again.is_empty(), "{again:?}\n{shown}");
    assert_eq!(first, second);
    // Without the target directory, the requests to the cache are the same.
    std::fs::remove_dir_all(dir.path().join("target")).unwrap();
    let (_, anew, third) = build();
    assert_eq!((anew, third), (compiled, first));
}

/// Otherwise binaries would hold the path of the checkout. The stand-in for docker records its
/// arguments and "builds" a wheel.
#[test]
fn a_container_sees_every_checkout_at_the_same_path() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().canonicalize().unwrap();
    project(&at.join("checkout"));
    std::fs::write(at.join(WHEEL), program_wheel(b"#!/bin/sh\n")).unwrap();
    let docker = format!(
        "#!/bin/sh\necho \"$@\" >> {0}/log\nfor last; do\n  [ \"$before\" != --out ] || cp {0}/{WHEEL} \"$last\"\n  before=$last\ndone\n",
        at.display()
    );
    write(&at, &[("bin/docker", &docker)]);
    toolkit::make_executable(&at.join("bin/docker")).unwrap();
    let mut command = build_wheel(&at);
    let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
    let paths = std::iter::once(at.join("bin")).chain(std::env::split_paths(&path));
    let image = format!("quay.example/maturin@sha256:{}", "0".repeat(64));
    command.env("PATH", std::env::join_paths(paths).unwrap());
    command.args(["checkout", "--linker", "container", "--container-image", &image]);
    succeed(command.args(["--smoke", "off", "--verify-reproducible"]));
    let log = std::fs::read_to_string(at.join("log")).unwrap();
    let mounts: Vec<&str> = log.lines().filter_map(|line| line.split("--volume ").nth(1)).collect();
    let [first, second] = mounts[..] else { panic!("{log}") };
    assert_eq!(first, format!("{}/checkout:/src ", at.display()));
    assert!(second.ends_with(":/src ") && second != first, "{log}");
    assert!(log.lines().all(|line| line.contains(" --workdir /src ")), "{log}");
}

#[test]
fn auto_reports_its_choice_and_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    project(&dir.path().join("crate"));
    std::fs::write(dir.path().join(WHEEL), program_wheel(b"#!/bin/sh\n")).unwrap();
    write(dir.path(), &[("flake/flake.nix", "{ outputs = _: {}; }")]);
    for (arguments, backend, why) in [
        (&[WHEEL][..], "wheel", "the project is a file"),
        (&["crate"], "maturin", "the build backend in pyproject.toml is `maturin`"),
        (&["flake", "--flake-attr", "wheel"], "nix", "`flake-attr` is given"),
        (&["crate", "--backend", "sdist"], "sdist", "it was requested"),
    ] {
        let plan = succeed(build_wheel(dir.path()).args(arguments).arg("--dry-run"));
        let plan: Value = serde_json::from_str(&plan).unwrap();
        assert_eq!((plan["backend"].as_str(), plan["why"].as_str()), (Some(backend), Some(why)));
    }
    let output = build_wheel(dir.path()).arg(WHEEL).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("backend wheel: the project is a file"), "{shown}");
}
