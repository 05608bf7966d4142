use std::collections::BTreeMap;

use insta::assert_snapshot;
use toolkit::Env;

use super::*;
use crate::compiler_flags::CompilerFlags;
use crate::environment::MaturinSettings;

fn machine() -> MachineState {
    MachineState {
        host: Target::parse("x86_64-unknown-linux-gnu"),
        project: ProjectState::Directory {
            build_backend: Some("maturin".into()),
            backend_path: Vec::new(),
            cargo: true,
            flake: true,
            wheels: Vec::new(),
            maturin: MaturinSettings::default(),
        },
        programs: vec!["maturin", "cargo", "nix"],
        batch_files: BTreeMap::new(),
        library: RustLibrary::Ready,
        flags: CompilerFlags::default(),
        root: "/src".into(),
        epoch: None,
        zig: Some("/usr/bin/zig".into()),
        gcc: vec!["aarch64-linux-gnu-gcc".into(), "powerpc64le-linux-gnu-gcc".into()],
        engine: Some("podman".into()),
        uv: None,
        python: Some("/usr/bin/python3".into()),
        interpreters: Vec::new(),
    }
}

fn planned(inputs: &[(&str, &str)], machine: &MachineState) -> Result<Plan, String> {
    let variables = inputs.iter().map(|(name, value)| {
        (format!("INPUT_{}", name.to_uppercase().replace('-', "_")), (*value).to_owned())
    });
    let project = [("INPUT_PROJECT".to_owned(), "/src".to_owned())];
    let env: Env = project.into_iter().chain(variables).collect();
    let inputs = Inputs::read(&env).map_err(|errors| errors.to_string())?;
    plan(&inputs, machine).map_err(|error| toolkit::error_report(&error))
}

/// The build's variables (without removed ones) and its command.
fn command(inputs: &[(&str, &str)]) -> String {
    let build = planned(inputs, &machine()).unwrap().build.unwrap();
    // Another test checks the flags.
    let set = build.env.iter().filter(|(name, _)| !name.contains("FLAGS"));
    let set = set.filter_map(|(name, value)| Some(format!("{name}={} ", value.as_ref()?)));
    set.collect::<String>() + &build.to_string()
}

#[test]
fn chooses_a_linker_for_each_target() {
    assert_snapshot!(command(&[]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target x86_64-unknown-linux-gnu --compatibility manylinux_2_17 --auditwheel skip --zig --out '<staging>'");
    assert_snapshot!(command(&[("linker", "native")]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --compatibility linux --auditwheel skip --out '<staging>'");
    assert_snapshot!(command(&[("compatibility", "manylinux2014")]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target x86_64-unknown-linux-gnu --compatibility manylinux_2_17 --auditwheel skip --zig --out '<staging>'");
    assert_snapshot!(command(&[("target", "aarch64-unknown-linux-gnu")]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target aarch64-unknown-linux-gnu --compatibility manylinux_2_17 --auditwheel skip --zig --out '<staging>'");
    assert_snapshot!(command(&[("target", "aarch64-unknown-linux-gnu"), ("linker", "gcc")]), @"CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target aarch64-unknown-linux-gnu --compatibility linux --auditwheel skip --out '<staging>'");
    assert_snapshot!(command(&[("target", "powerpc64le-unknown-linux-gnu")]), @"CARGO_TARGET_POWERPC64LE_UNKNOWN_LINUX_GNU_LINKER=powerpc64le-linux-gnu-gcc CC_powerpc64le_unknown_linux_gnu=powerpc64le-linux-gnu-gcc SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target powerpc64le-unknown-linux-gnu --compatibility linux --auditwheel skip --out '<staging>'");
    assert_snapshot!(command(&[("target", "riscv64gc-unknown-linux-gnu")]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target riscv64gc-unknown-linux-gnu --compatibility manylinux_2_31 --auditwheel skip --zig --out '<staging>'");
    assert_snapshot!(command(&[("target", "x86_64-unknown-linux-musl")]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target x86_64-unknown-linux-musl --compatibility linux --auditwheel skip --zig --out '<staging>'");
    assert_snapshot!(command(&[("target", "aarch64-apple-darwin"), ("compatibility", "macosx_13_0")]), @"MACOSX_DEPLOYMENT_TARGET=13.0 SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target aarch64-apple-darwin --auditwheel skip --zig --out '<staging>'");
}

#[test]
#[cfg_attr(windows, ignore = "short names of targets are for the system")]
fn leaves_targets_without_rules_to_maturin() {
    assert_snapshot!(command(&[("target", "universal2")]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target universal2-apple-darwin --auditwheel skip --zig --out '<staging>'");
    assert_snapshot!(command(&[("target", "universal2"), ("compatibility", "macosx_12_0")]), @"MACOSX_DEPLOYMENT_TARGET=12.0 SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target universal2-apple-darwin --auditwheel skip --zig --out '<staging>'");
    assert_snapshot!(command(&[("target", "aarch64-linux-android")]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target aarch64-linux-android --auditwheel skip --out '<staging>'");
    assert_snapshot!(command(&[("target", "armv6")]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --target arm-unknown-linux-gnueabihf --compatibility linux --auditwheel skip --zig --out '<staging>'");
    let unknown = MachineState { library: RustLibrary::Unknown, ..machine() };
    let error = planned(&[("target", "sparc64-dec-unix")], &unknown).unwrap_err();
    assert!(error.contains("`sparc64-dec-unix` is not a target") && error.contains("hint: "), "{error}");
    let both = MachineState { library: RustLibrary::Installable, ..machine() };
    let install = planned(&[("target", "universal2")], &both).unwrap().install_target.unwrap();
    assert_eq!(install.to_string(), "rustup target add x86_64-apple-darwin aarch64-apple-darwin");
}

#[test]
#[cfg_attr(windows, ignore = "the paths are of Linux")]
fn builds_in_a_container() {
    let image = format!("quay.example/maturin@sha256:{}", "0".repeat(64));
    assert_snapshot!(
        command(&[("linker", "container"), ("container-image", &image), ("source-date-epoch", "1700000000")]),
        @"SOURCE_DATE_EPOCH=1700000000 podman run --rm --entrypoint maturin --volume /src:/src --volume '<staging>:<staging>' --workdir /src --env SOURCE_DATE_EPOCH quay.example/maturin@sha256:0000000000000000000000000000000000000000000000000000000000000000 build --profile release --target x86_64-unknown-linux-gnu --compatibility linux --auditwheel skip --out '<staging>'"
    );
}

#[test]
#[cfg_attr(windows, ignore = "the paths are of Linux")]
fn mounts_the_whole_repository_in_a_container() {
    let image = format!("quay.example/maturin@sha256:{}", "0".repeat(64));
    let inputs = [
        ("linker", "container"),
        ("container-image", &image),
        ("target", "aarch64-unknown-linux-gnu"),
        ("project", "/repository/bindings/python"),
    ];
    let member = MachineState { root: "/repository".into(), engine: Some("docker".into()), ..machine() };
    let build = planned(&inputs, &member).unwrap().build.unwrap().to_string();
    // Binaries hold the directory of the sources: it does not depend on the checkout.
    assert!(build.starts_with("docker run --rm ") && build.contains("--volume /repository:/src "), "{build}");
    assert!(build.contains(" --workdir /src/bindings/python "), "{build}");
    assert!(build.contains(" --target aarch64-unknown-linux-gnu "), "{build}");
    // Arguments may name files by their path on this machine.
    assert!(build.contains("--volume /repository:/repository "), "{build}");
}

#[test]
#[cfg_attr(windows, ignore = "the paths are of Linux")]
fn builds_a_flake_attribute() {
    assert_snapshot!(command(&[("flake-attr", "htty-core-wheel")]), @"SOURCE_DATE_EPOCH=315532800 nix build --extra-experimental-features 'nix-command flakes' --json --no-link --print-build-logs '/src#htty-core-wheel'");
    let plan = planned(&[("flake-attr", "htty-core-wheel")], &machine()).unwrap();
    assert_eq!((plan.backend, plan.why.as_str()), (Backend::Nix, "`flake-attr` is given"));
    assert_eq!(plan.target, None, "the content shows it");
}

#[test]
fn links_linux_wheels_for_manylinux2014_with_zig() {
    let with_zig = planned(&[], &machine()).unwrap();
    assert_eq!((with_zig.linker, with_zig.floor_warning), (Some(Linker::Zig), None));
    assert!(with_zig.build_hint.unwrap().contains("`linker: native`"));
    let zig = Some("/venv/bin/python-zig".into());
    let wheel = planned(&[], &MachineState { zig, ..machine() }).unwrap().build.unwrap();
    let path = wheel.env["CARGO_ZIGBUILD_ZIG_PATH"].as_deref();
    assert_eq!(path, Some("/venv/bin/python-zig"), "whatever Python is first on PATH");
    let bare = planned(&[], &MachineState { zig: None, ..machine() }).unwrap();
    assert_eq!((bare.linker, bare.build_hint), (Some(Linker::Native), None));
    assert!(bare.floor_warning.unwrap().contains("install `ziglang`"));
    let asked = planned(&[("linker", "native")], &machine()).unwrap();
    assert_eq!((asked.linker, asked.floor_warning), (Some(Linker::Native), None));
}

#[test]
fn keeps_the_projects_own_settings() {
    let settings = |profile: Option<&str>, compatibility: Option<&str>| {
        let mut machine = machine();
        if let ProjectState::Directory { maturin, .. } = &mut machine.project {
            maturin.profile = profile.map(str::to_owned);
            maturin.compatibility = compatibility.map(str::to_owned);
        }
        machine
    };
    let build = |inputs: &[(&str, &str)], machine: &MachineState| {
        planned(inputs, machine).unwrap().build.unwrap().to_string()
    };
    assert!(!build(&[], &settings(Some("dist"), None)).contains("--profile"));
    for given in ["--profile dist", "--profile=dist", "--release"] {
        assert!(
            !build(&[("maturin-args", given)], &settings(None, None)).contains("--profile release"),
            "{given}"
        );
    }
    assert!(build(&[("profile", "dev")], &settings(Some("dist"), None)).contains("--profile dev "));
    let machine = settings(None, Some("manylinux_2_28"));
    assert!(build(&[], &machine).contains("--compatibility manylinux_2_28 "));
    assert!(
        build(&[("compatibility", "manylinux2014")], &machine).contains("--compatibility manylinux_2_17 ")
    );
    let plan = planned(&[("target", "x86_64-unknown-linux-musl")], &machine).unwrap();
    assert_eq!(plan.compatibility, None, "it is for another target");
    assert!(build(&[], &settings(None, Some("off"))).contains("--compatibility manylinux_2_17 "));
}

#[test]
fn compatibility_needs_no_target() {
    let plan = planned(&[("flake-attr", "a"), ("compatibility", "manylinux2014")], &machine()).unwrap();
    assert_eq!(plan.compatibility, Some(Compatibility::Manylinux((2, 17))));
    let text = serde_json::to_value(&plan).unwrap();
    assert_eq!(text["compatibility"], "manylinux_2_17");
}

#[test]
#[cfg_attr(windows, ignore = "there the interpreter is started by its path")]
fn builds_with_the_requested_interpreter() {
    let build = |inputs: &[(&str, &str)]| command(inputs);
    assert!(build(&[("python", "python3.12")]).contains(" --interpreter python3.12 "));
    assert!(!build(&[]).contains("--interpreter"));
}

#[test]
fn builds_for_several_interpreters_in_one_run() {
    let found = |name: &str| Some(std::path::PathBuf::from(format!("/opt/{name}/bin/{name}")));
    let machine = MachineState { interpreters: vec![found("python3.11"), None, None], ..machine() };
    let build = |inputs: &[(&str, &str)]| planned(inputs, &machine).unwrap().build.unwrap().to_string();
    let asked = ("interpreters", "3.11, 3.13t\npypy3.11 3.11");
    let here = build(&[asked]);
    let names = "--interpreter python3.13t --interpreter pypy3.11 --out";
    assert!(here.contains(&format!(" --interpreter /opt/python3.11/bin/python3.11 {names}")), "{here}");
    let elsewhere = build(&[asked, ("target", "aarch64-unknown-linux-gnu")]);
    assert!(elsewhere.contains(&format!(" --interpreter python3.11 {names}")), "{elsewhere}");
    assert!(build(&[("find-interpreter", "true")]).contains(" --find-interpreter "));
    let plan =
        planned(&[asked, ("sdist", "true"), ("manifest-path", "a/Cargo.toml"), ("features", "x")], &machine)
            .unwrap();
    assert_eq!(plan.smoke.interpreters, [std::path::PathBuf::from("/opt/python3.11/bin/python3.11")]);
    assert_snapshot!(plan.build_sdist.unwrap(), @"maturin sdist --manifest-path a/Cargo.toml --out '<staging>'");
    assert!(plan.build.unwrap().to_string().contains(" --features x --manifest-path a/Cargo.toml --out"));
    for (inputs, expected) in [
        (&[asked, ("find-interpreter", "true")][..], "found both"),
        (&[("interpreters", "3.11 ruby")], "found `ruby`"),
        (&[asked, ("flake-attr", "a")], "`interpreters` cannot be used with `backend: nix`"),
        (&[("sdist", "true"), ("backend", "sdist")], "`sdist` cannot be used with `backend: sdist`"),
    ] {
        let error = planned(inputs, &machine).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn installs_a_missing_target_before_the_build() {
    let of = |library: RustLibrary| MachineState { library, ..machine() };
    let inputs = [("target", "aarch64-unknown-linux-musl")];
    assert_eq!(planned(&inputs, &of(RustLibrary::Ready)).unwrap().install_target, None);
    let installed = planned(&inputs, &of(RustLibrary::Installable)).unwrap().install_target.unwrap();
    assert_eq!(installed.to_string(), "rustup target add aarch64-unknown-linux-musl");
    assert_eq!(installed.directory, Some("/src".into()), "its rust-toolchain.toml applies");
    assert_snapshot!(planned(&inputs, &of(RustLibrary::Missing)).unwrap_err(), @"
    the rustc on PATH has no standard library for `aarch64-unknown-linux-musl`
    hint: run `rustup target add aarch64-unknown-linux-musl` with a Rust from https://rustup.rs, or install the target as Rust was installed
    ");
    let image = format!("a@sha256:{}", "0".repeat(64));
    let inside = [inputs[0], ("linker", "container"), ("container-image", &image)];
    assert!(planned(&inside, &of(RustLibrary::Missing)).is_ok(), "the container has its own");
    assert!(planned(&[("flake-attr", "a")], &of(RustLibrary::Missing)).is_ok());
}

fn windows(arch: &str) -> MachineState {
    MachineState { host: Target::parse(&format!("{arch}-pc-windows-msvc")), ..machine() }
}

#[test]
fn a_container_cannot_be_used_on_windows() {
    let image = format!("a@sha256:{}", "0".repeat(64));
    let inputs = [
        ("linker", "container"),
        ("container-image", image.as_str()),
        ("target", "x86_64-unknown-linux-gnu"),
    ];
    assert_snapshot!(planned(&inputs, &windows("x86_64")).unwrap_err(), @"
    `linker: container` is not supported on Windows: a Linux container cannot use Windows paths
    hint: run this job on Linux or in WSL, or use `linker: zig`
    ");
}

/// maturin is given the Python that was found, which is for the target's processor.
#[test]
fn windows_builds_for_32_bit_pythons_by_their_paths() {
    let found = Some(std::path::PathBuf::from("C:/x86/python.exe"));
    let build = |arch: &str, target: &str| {
        let machine = MachineState { interpreters: vec![found.clone()], ..windows(arch) };
        planned(&[("target", target), ("interpreters", "3.12")], &machine).unwrap().build.unwrap().to_string()
    };
    let by_path = "--interpreter C:/x86/python.exe ";
    assert!(build("x86_64", "i686-pc-windows-msvc").contains(by_path));
    assert!(build("x86_64", "x86_64-pc-windows-gnu").contains(by_path));
    assert!(build("x86_64", "aarch64-pc-windows-msvc").contains("--interpreter python3.12 "));
    assert!(build("x86_64", "x86_64-unknown-linux-musl").contains("--interpreter python3.12 "));
    // Rust may be an emulated one.
    let arm = "aarch64-pc-windows-msvc";
    assert!(build("aarch64", arm).contains(&format!(" --target {arm} ")));
    assert!(!build("x86_64", "x86_64-pc-windows-msvc").contains("--target"));
}

#[test]
fn removes_misleading_variables() {
    let build = planned(&[], &machine()).unwrap().build.unwrap();
    assert_eq!(build.env["_PYTHON_HOST_PLATFORM"], None);
    assert!(crate::sanitize::MISLEADING.iter().all(|name| build.env[*name].is_none()));
}

#[test]
fn reports_missing_programs() {
    let bare = MachineState { zig: None, gcc: Vec::new(), engine: None, ..machine() };
    let error = |inputs: &[(&str, &str)]| planned(inputs, &bare).unwrap_err();
    let without = MachineState { programs: vec!["cargo"], ..machine() };
    assert_snapshot!(planned(&[], &without).unwrap_err(), @"
    `maturin` is not on PATH
    hint: install it (`pip install maturin ziglang`), or choose another `backend`
    ");
    assert_snapshot!(planned(&[("flake-attr", "a")], &without).unwrap_err(), @"
    `nix` is not on PATH
    hint: install it (the action `setup-nix` does), or choose another `backend`
    ");
    assert_snapshot!(error(&[("target", "aarch64-unknown-linux-gnu")]), @"
    no linker for `aarch64-unknown-linux-gnu` on PATH
    hint: install `ziglang` beside maturin, or a cross gcc
    ");
    assert_snapshot!(error(&[("linker", "zig")]), @"
    `linker: zig`, but zig is not on PATH
    hint: install `ziglang` beside maturin
    ");
    let image = format!("a@sha256:{}", "0".repeat(64));
    assert!(
        error(&[("linker", "container"), ("container-image", &image)]).contains("neither docker nor podman")
    );
    assert!(error(&[("compatibility", "musllinux_1_2")]).contains("another system than the target"));
    let musl = planned(&[("target", "x86_64-unknown-linux-musl")], &bare).unwrap();
    assert_eq!(musl.linker, Some(Linker::Native), "Rust ships what it needs");
}

/// Such as one that scoop installed: by its name, Windows starts only `maturin.exe`.
#[test]
fn a_batch_file_is_started_by_its_path() {
    let path = "C:/tools/maturin.cmd";
    let machine = MachineState { batch_files: [("maturin", path.into())].into(), ..machine() };
    let plan = planned(&[("backend", "maturin"), ("sdist", "true")], &machine).unwrap();
    assert_eq!([plan.build, plan.build_sdist].map(|cmd| cmd.unwrap().program), [path, path]);
}
