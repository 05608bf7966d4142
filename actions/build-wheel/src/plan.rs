//! From inputs and the machine's state to what will be done; nothing is done
//! here.

mod commands;
mod error;
mod linker;

use std::path::PathBuf;

use serde::Serialize;
use toolkit::Cmd;

pub use commands::STAGING;
pub use error::PlanError;
use linker::Linking;

use crate::compatibility::Compatibility;
use crate::compiler_flags::SourcePlaces;
use crate::environment::{MachineState, ProjectState, RustLibrary};
use crate::inputs::{Backend, Inputs, Linker, SmokeMode};
use crate::sanitize::sanitized_env;
use crate::target::{System, Target};

/// Everything that will be done, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What builds.
    pub backend: Backend,
    /// Why it, in words.
    pub why: String,
    /// The project's folder or the wheel.
    pub project: PathBuf,
    /// What the result must be for; `None`: for whatever it is.
    pub target: Option<Target>,
    /// What links, where this program has a say.
    pub linker: Option<Linker>,
    /// The platform that was asked for.
    pub compatibility: Option<Compatibility>,
    /// What installs the target's standard library before the build; `None`
    /// where rustc has it.
    pub install_target: Option<Cmd>,
    /// What builds; `None` where the wheel is there.
    pub build: Option<Cmd>,
    /// The time that goes into the wheel.
    pub source_date_epoch: u64,
    /// Whether absolute RPATH entries outside the store go too.
    pub remove_rpaths: bool,
    /// Whether libraries of the store go into the wheel.
    pub graft: bool,
    /// How the wheel is tried out.
    pub smoke: SmokePlan,
    /// Build twice.
    pub verify_reproducible: bool,
    /// Where the distribution goes.
    pub out_dir: PathBuf,
    /// Where the report goes.
    pub report_path: PathBuf,
    /// What to do where the build fails.
    #[serde(skip)]
    pub build_hint: Option<String>,
    /// What to say where the wheel needs a newer glibc than manylinux2014 has.
    #[serde(skip)]
    pub floor_warning: Option<String>,
    /// Where the sources are that the build reads.
    #[serde(skip)]
    pub places: SourcePlaces,
}

/// How the wheel is tried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SmokePlan {
    /// Whether.
    pub mode: SmokeMode,
    /// Shell commands that must succeed; none: what follows from the wheel's
    /// content.
    pub commands: Vec<String>,
    /// The Python that installs it.
    pub python: Option<PathBuf>,
    /// Makes the environment and installs, where it is there.
    pub uv: Option<PathBuf>,
    /// What is installed beside it; `wheel` is what the wheel requires.
    pub requires: Vec<String>,
    /// Where that comes from: a URL or a directory.
    pub index: Option<String>,
    /// Files that are copied to where the commands run.
    pub sources: Vec<PathBuf>,
}

/// Decides what is to be done.
pub fn plan(inputs: &Inputs, machine: &MachineState) -> Result<Plan, PlanError> {
    if machine.project == ProjectState::Missing {
        return Err(PlanError::Missing(inputs.project.clone()));
    }
    let (backend, why) = backend(inputs, machine)?;
    let project = check_project(backend, inputs, machine)?;
    // Only maturin is told the target; elsewhere the content shows it.
    let target = inputs.target.or_else(|| machine.host.filter(|_| backend == Backend::Maturin));
    let compatibility = compatibility(backend, inputs, machine, target)?;
    let epoch = inputs.source_date_epoch.or(machine.epoch).unwrap_or_default().max(crate::repair::EARLIEST);
    let mut linking = Linking::default();
    let mut install_target = None;
    let build = match backend {
        Backend::Wheel => None,
        Backend::Nix => Some(commands::nix(inputs)),
        Backend::Sdist if inputs.flake_attr.is_some() => Some(commands::nix(inputs)),
        Backend::Sdist => Some(commands::pep517(inputs, machine)?),
        Backend::Maturin => {
            let target = target.ok_or_else(|| PlanError::Conflict {
                message: "this machine is none of the targets, and none was given".into(),
                hint: "set `target`".into(),
            })?;
            linking = linker::choose(inputs, machine, target, compatibility)?;
            if linking.linker != Some(Linker::Container) {
                install_target = install(target, inputs, machine)?;
            }
            Some(commands::maturin(
                inputs,
                machine,
                target,
                linking.linker.unwrap_or(Linker::Native),
                compatibility,
            ))
        }
    };
    check_programs(build.as_ref(), machine)?;
    let build = build.map(|cmd| sanitized_env(cmd).env("SOURCE_DATE_EPOCH", epoch.to_string()));
    Ok(Plan {
        backend,
        why,
        project,
        target,
        linker: linking.linker,
        compatibility,
        install_target,
        build,
        source_date_epoch: epoch,
        remove_rpaths: inputs.remove_rpaths,
        graft: inputs.graft,
        smoke: SmokePlan {
            mode: if backend == Backend::Sdist { SmokeMode::Off } else { inputs.smoke },
            commands: inputs.smoke_commands.clone(),
            python: machine.python.clone(),
            uv: machine.uv.clone(),
            requires: inputs.test_requires.clone(),
            index: inputs.test_index.clone(),
            sources: inputs.test_sources.clone(),
        },
        verify_reproducible: inputs.verify_reproducible,
        out_dir: inputs.out_dir.clone(),
        report_path: inputs.report_path.clone(),
        build_hint: linking.build_hint,
        floor_warning: linking.floor_warning,
        places: machine.flags.places.clone(),
    })
}

/// What installs the target's standard library, where rustc lacks it.
fn install(target: Target, inputs: &Inputs, machine: &MachineState) -> Result<Option<Cmd>, PlanError> {
    match machine.library {
        RustLibrary::Ready => Ok(None),
        RustLibrary::Installable => {
            let cmd = Cmd::new("rustup").args(["target", "add", target.triple()]);
            Ok(Some(cmd.directory(&inputs.project)))
        }
        RustLibrary::Missing => Err(PlanError::Conflict {
            message: format!("the rustc on PATH has no standard library for `{target}`"),
            hint: format!(
                "run `rustup target add {target}` with a Rust from https://rustup.rs, or install the target as Rust was installed"
            ),
        }),
    }
}

/// Fails where the build could not even be started.
fn check_programs(build: Option<&Cmd>, machine: &MachineState) -> Result<(), PlanError> {
    let needed: &[&'static str] = match build.map(|cmd| cmd.program.as_str()) {
        Some("maturin") => &["maturin", "cargo"],
        Some("nix") => &["nix"],
        _ => &[],
    };
    match needed.iter().find(|name| !machine.programs.contains(name)) {
        Some(name) => Err(PlanError::Conflict {
            message: format!("`{name}` is not on PATH"),
            hint: match *name {
                "maturin" => "install it (`pip install maturin ziglang`), or choose another `backend`".into(),
                "cargo" => "install Rust from https://rustup.rs, or with the system's package manager".into(),
                _ => "install it (the action `setup-nix` does), or choose another `backend`".into(),
            },
        }),
        None => Ok(()),
    }
}

fn backend(inputs: &Inputs, machine: &MachineState) -> Result<(Backend, String), PlanError> {
    if let Some(backend) = inputs.backend {
        return Ok((backend, "it was asked for".into()));
    }
    match &machine.project {
        ProjectState::File => Ok((Backend::Wheel, "the project is a file".into())),
        _ if inputs.flake_attr.is_some() => Ok((Backend::Nix, "`flake-attr` is given".into())),
        ProjectState::Folder { build_backend: Some(name), .. } if name == "maturin" => {
            Ok((Backend::Maturin, "the build backend in pyproject.toml is `maturin`".into()))
        }
        ProjectState::Folder { .. } | ProjectState::Missing => Err(PlanError::NoProject {
            kind: "maturin",
            path: inputs.project.clone(),
            expected: "a pyproject.toml with `build-backend = \"maturin\"`, or a `flake-attr`",
            found: machine.project.describe(),
        }),
    }
}

/// Checks that the project suits the backend; for the `wheel` backend gives
/// the wheel's path.
fn check_project(backend: Backend, inputs: &Inputs, machine: &MachineState) -> Result<PathBuf, PlanError> {
    let path = inputs.project.clone();
    let missing = |kind, expected| {
        let found = machine.project.describe();
        Err(PlanError::NoProject { kind, path: path.clone(), expected, found })
    };
    match (backend, &machine.project) {
        (Backend::Wheel, ProjectState::File) => {
            let wheel = path.extension().is_some_and(|extension| extension == "whl");
            if wheel { Ok(path) } else { Err(PlanError::NotAWheel(path)) }
        }
        (Backend::Wheel, ProjectState::Folder { wheels, .. }) => match &wheels[..] {
            [wheel] => Ok(path.join(wheel)),
            found => Err(PlanError::Wheels { folder: path, found: found.to_vec() }),
        },
        (Backend::Maturin, ProjectState::Folder { build_backend, cargo, .. }) => {
            match build_backend.as_deref() {
                Some("maturin") => Ok(path),
                // maturin takes a crate without a pyproject.toml, too.
                None if *cargo => Ok(path),
                _ => missing("maturin", "a pyproject.toml with `build-backend = \"maturin\"`"),
            }
        }
        (Backend::Sdist, ProjectState::Folder { build_backend, .. }) if inputs.flake_attr.is_none() => {
            match build_backend.as_deref() {
                Some(name) if !name.is_empty() => Ok(path),
                _ => missing("Python", "a pyproject.toml with a `build-backend`"),
            }
        }
        (Backend::Nix | Backend::Sdist, ProjectState::Folder { flake, .. }) => {
            if *flake {
                Ok(path)
            } else {
                missing("Nix", "a flake.nix")
            }
        }
        (_, ProjectState::File | ProjectState::Missing) => missing("folder with a", "a folder"),
    }
}

impl ProjectState {
    fn describe(&self) -> String {
        match self {
            Self::Missing => "nothing".into(),
            Self::File => "a file".into(),
            Self::Folder { build_backend, cargo, flake, wheels, .. } => {
                let mut found = Vec::new();
                match build_backend.as_deref() {
                    Some("") => found.push("a pyproject.toml without a build backend".to_owned()),
                    Some(name) => found.push(format!("a pyproject.toml with `build-backend = \"{name}\"`")),
                    None => found.push("no pyproject.toml".into()),
                }
                found.extend(cargo.then(|| "a Cargo.toml".to_owned()));
                found.extend(flake.then(|| "a flake.nix".to_owned()));
                found.extend((!wheels.is_empty()).then(|| format!("{} wheels", wheels.len())));
                found.join(", ")
            }
        }
    }
}

/// The platform that was asked for: by the input, or by the project's
/// `[tool.maturin]`, which says `linux`, `off` or `pypi` where it asks for none.
fn compatibility(
    backend: Backend,
    inputs: &Inputs,
    machine: &MachineState,
    target: Option<Target>,
) -> Result<Option<Compatibility>, PlanError> {
    let configured = match &machine.project {
        ProjectState::Folder { maturin, .. } if backend == Backend::Maturin => {
            maturin.compatibility.as_deref()
        }
        _ => None,
    };
    let configured = || configured.and_then(|text| Compatibility::parse(text).ok());
    let fits = |asked: Compatibility, target: Target| {
        matches!(
            (asked, target.system),
            (Compatibility::Manylinux(_), System::Gnu)
                | (Compatibility::Musllinux(_), System::Musl)
                | (Compatibility::Macos(_), System::Macos)
        )
    };
    match (inputs.compatibility, target) {
        (Some(asked), Some(target)) if !fits(asked, target) => Err(PlanError::Conflict {
            message: format!("`compatibility` is of another system than the target `{target}`"),
            hint: "manylinux goes with `…-linux-gnu`, musllinux with `…-linux-musl`, macosx with `…-apple-darwin`"
                .into(),
        }),
        (Some(asked), _) => Ok(Some(asked)),
        // One setting for all targets of a project.
        (None, target) => Ok(configured().filter(|asked| target.is_some_and(|target| fits(*asked, target)))),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use toolkit::Env;

    use super::*;
    use crate::compiler_flags::CompilerFlags;
    use crate::environment::MaturinSettings;

    fn machine() -> MachineState {
        MachineState {
            host: Target::parse("x86_64-unknown-linux-gnu").ok(),
            project: ProjectState::Folder {
                build_backend: Some("maturin".into()),
                backend_path: Vec::new(),
                cargo: true,
                flake: true,
                wheels: Vec::new(),
                maturin: MaturinSettings::default(),
            },
            programs: vec!["maturin", "cargo", "nix"],
            library: RustLibrary::Ready,
            flags: CompilerFlags::default(),
            root: "/src".into(),
            epoch: None,
            zig: Some("/usr/bin/zig".into()),
            gcc: vec!["aarch64-linux-gnu-gcc".into(), "powerpc64le-linux-gnu-gcc".into()],
            engine: Some("podman".into()),
            uv: None,
            python: Some("/usr/bin/python3".into()),
        }
    }

    fn planned(inputs: &[(&str, &str)], machine: &MachineState) -> Result<Plan, String> {
        let variables = inputs.iter().map(|(name, value)| {
            (format!("INPUT_{}", name.to_uppercase().replace('-', "_")), (*value).to_owned())
        });
        let env: Env = variables.chain([("INPUT_PROJECT".to_owned(), "/src".to_owned())]).collect();
        let inputs = Inputs::read(&env).map_err(|errors| errors.to_string())?;
        plan(&inputs, machine).map_err(|error| toolkit::error_report(&error))
    }

    /// The build's own variables (without those that are taken away) and its
    /// command.
    fn command(inputs: &[(&str, &str)]) -> String {
        let build = planned(inputs, &machine()).unwrap().build.unwrap();
        // The flags are another test's.
        let set = build.env.iter().filter(|(name, _)| !name.contains("FLAGS"));
        let set = set.filter_map(|(name, value)| Some(format!("{name}={} ", value.as_ref()?)));
        set.collect::<String>() + &build.to_string()
    }

    #[test]
    fn each_target_has_its_linker() {
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
    fn a_container_does_everything_inside() {
        let image = format!("quay.example/maturin@sha256:{}", "0".repeat(64));
        assert_snapshot!(
            command(&[("linker", "container"), ("container-image", &image), ("source-date-epoch", "1700000000")]),
            @"SOURCE_DATE_EPOCH=1700000000 podman run --rm --entrypoint maturin --volume /src:/src --volume '<staging>:<staging>' --workdir /src --env SOURCE_DATE_EPOCH quay.example/maturin@sha256:0000000000000000000000000000000000000000000000000000000000000000 build --profile release --target x86_64-unknown-linux-gnu --compatibility linux --auditwheel skip --out '<staging>'"
        );
    }

    #[test]
    fn a_container_has_the_whole_repository() {
        let image = format!("quay.example/maturin@sha256:{}", "0".repeat(64));
        let inputs =
            [("linker", "container"), ("container-image", &image), ("target", "aarch64-unknown-linux-gnu")];
        let member = MachineState { root: "/repository".into(), engine: Some("docker".into()), ..machine() };
        let build = planned(&inputs, &member).unwrap().build.unwrap().to_string();
        assert!(
            build.starts_with("docker run --rm ") && build.contains("--volume /repository:/repository "),
            "{build}"
        );
        assert!(
            build.contains(" --target aarch64-unknown-linux-gnu ") && build.contains("--workdir /src"),
            "{build}"
        );
    }

    #[test]
    fn a_flake_is_built_by_its_attribute() {
        assert_snapshot!(command(&[("flake-attr", "htty-core-wheel")]), @"SOURCE_DATE_EPOCH=315532800 nix build --extra-experimental-features 'nix-command flakes' --json --no-link --print-build-logs '/src#htty-core-wheel'");
        let plan = planned(&[("flake-attr", "htty-core-wheel")], &machine()).unwrap();
        assert_eq!((plan.backend, plan.why.as_str()), (Backend::Nix, "`flake-attr` is given"));
        assert_eq!(plan.target, None, "the content shows it");
    }

    #[test]
    fn linux_wheels_run_on_manylinux2014_where_zig_can_be_had() {
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
    fn the_projects_own_settings_are_kept() {
        let settings = |profile: Option<&str>, compatibility: Option<&str>| {
            let mut machine = machine();
            if let ProjectState::Folder { maturin, .. } = &mut machine.project {
                maturin.profile = profile.map(str::to_owned);
                maturin.compatibility = compatibility.map(str::to_owned);
            }
            machine
        };
        let build = |inputs: &[(&str, &str)], machine: &MachineState| {
            planned(inputs, machine).unwrap().build.unwrap().to_string()
        };
        assert!(!build(&[], &settings(Some("dist"), None)).contains("--profile"));
        assert!(build(&[("profile", "dev")], &settings(Some("dist"), None)).contains("--profile dev "));
        let machine = settings(None, Some("manylinux_2_28"));
        assert!(build(&[], &machine).contains("--compatibility manylinux_2_28 "));
        assert!(
            build(&[("compatibility", "manylinux2014")], &machine)
                .contains("--compatibility manylinux_2_17 ")
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
    fn the_interpreter_that_is_asked_for_is_built_with() {
        let build = |inputs: &[(&str, &str)]| command(inputs);
        assert!(build(&[("python", "python3.12")]).contains(" --interpreter python3.12 "));
        assert!(!build(&[]).contains("--interpreter"));
    }

    #[test]
    fn a_missing_target_is_installed_before_the_build() {
        let of = |library: RustLibrary| MachineState { library, ..machine() };
        let inputs = [("target", "aarch64-unknown-linux-musl")];
        assert_eq!(planned(&inputs, &of(RustLibrary::Ready)).unwrap().install_target, None);
        let installed = planned(&inputs, &of(RustLibrary::Installable)).unwrap().install_target.unwrap();
        assert_eq!(installed.to_string(), "rustup target add aarch64-unknown-linux-musl");
        assert_eq!(installed.directory, Some("/src".into()), "its rust-toolchain.toml counts");
        assert_snapshot!(planned(&inputs, &of(RustLibrary::Missing)).unwrap_err(), @"
        the rustc on PATH has no standard library for `aarch64-unknown-linux-musl`
        hint: run `rustup target add aarch64-unknown-linux-musl` with a Rust from https://rustup.rs, or install the target as Rust was installed
        ");
        let image = format!("a@sha256:{}", "0".repeat(64));
        let inside = [inputs[0], ("linker", "container"), ("container-image", &image)];
        assert!(planned(&inside, &of(RustLibrary::Missing)).is_ok(), "the container has its own");
        assert!(planned(&[("flake-attr", "a")], &of(RustLibrary::Missing)).is_ok());
    }

    #[test]
    fn misleading_variables_are_taken_away() {
        let build = planned(&[], &machine()).unwrap().build.unwrap();
        assert_eq!(build.env["_PYTHON_HOST_PLATFORM"], None);
        assert!(crate::sanitize::MISLEADING.iter().all(|name| build.env[*name].is_none()));
    }

    #[test]
    fn what_the_machine_lacks_is_told() {
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
        nothing on PATH links for `aarch64-unknown-linux-gnu`
        hint: install `ziglang` beside maturin, or a cross gcc
        ");
        assert_snapshot!(error(&[("linker", "zig")]), @"
        `linker: zig`, but there is no zig on PATH
        hint: install `ziglang` beside maturin
        ");
        let image = format!("a@sha256:{}", "0".repeat(64));
        assert!(
            error(&[("linker", "container"), ("container-image", &image)])
                .contains("neither docker nor podman")
        );
        assert!(error(&[("compatibility", "musllinux_1_2")]).contains("another system than the target"));
        let musl = planned(&[("target", "x86_64-unknown-linux-musl")], &bare).unwrap();
        assert_eq!(musl.linker, Some(Linker::Native), "Rust brings what it takes");
    }
}
