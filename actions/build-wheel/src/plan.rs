//! Plans a run from the inputs and the machine's state, without running anything.

mod commands;
mod error;
mod linker;

use std::path::PathBuf;

use pydist::target::{System, Target};
use serde::Serialize;
use toolkit::{Choice as _, Cmd};

pub use commands::STAGING;
pub use error::PlanError;
use linker::Linking;

use crate::build_target::BuildTarget;
use crate::choices::{Backend, Linker, SmokeMode};
use crate::compatibility::Compatibility;
use crate::compiler_flags::SourceDirs;
use crate::environment::{MachineState, ProjectState, RustLibrary};
use crate::inputs::Inputs;
use crate::repair::GraftScope;
use crate::sanitize::sanitized_env;

/// The steps of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is an input of its own")]
pub struct Plan {
    /// The backend.
    pub backend: Backend,
    /// Why this backend.
    pub why: String,
    /// The project's directory or the wheel.
    pub project: PathBuf,
    /// The target of the result; `None` for any.
    pub target: Option<BuildTarget>,
    /// The linker, if this program chooses it.
    pub linker: Option<Linker>,
    /// The requested platform.
    pub compatibility: Option<Compatibility>,
    /// Installs the target's standard library before the build; `None` if rustc
    /// has it.
    pub install_target: Option<Cmd>,
    /// The build command; `None` for an existing wheel.
    pub build: Option<Cmd>,
    /// Whether to make a source distribution with the wheels.
    pub sdist: bool,
    /// The command that makes it, if the build itself does not.
    pub build_sdist: Option<Cmd>,
    /// The timestamp in the wheel.
    pub source_date_epoch: u64,
    /// Whether to also remove absolute RPATH entries outside the store.
    pub remove_rpaths: bool,
    /// The libraries to copy into the wheel.
    pub graft: GraftScope,
    /// Patterns of libraries that are not copied.
    pub exclude: Vec<String>,
    /// How the wheel is smoke-tested.
    pub smoke: SmokePlan,
    /// Whether to build twice and compare.
    pub verify_reproducible: bool,
    /// The output directory.
    pub out_dir: PathBuf,
    /// The path of the report.
    pub report_path: PathBuf,
    /// The hint if the build fails.
    #[serde(skip)]
    pub build_hint: Option<String>,
    /// The warning if the wheel needs a newer glibc than manylinux2014.
    #[serde(skip)]
    pub floor_warning: Option<String>,
    /// The directories of the sources.
    #[serde(skip)]
    pub source_dirs: SourceDirs,
}

/// How the wheel is smoke-tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SmokePlan {
    /// Whether to test.
    pub mode: SmokeMode,
    /// The lines of a shell script that must succeed; if empty, checks derived from the
    /// wheel's content.
    pub commands: Vec<String>,
    /// The Python that installs it.
    pub python: Option<PathBuf>,
    /// The Pythons that wheels are built for, which are preferred.
    pub interpreters: Vec<PathBuf>,
    /// uv, which creates the environment and installs, if available.
    pub uv: Option<PathBuf>,
    /// Other requirements to install; `wheel` means the wheel's own.
    pub requires: Vec<String>,
    /// The index for them: a URL or a directory.
    pub index: Option<String>,
    /// Files to copy to the working directory of the commands.
    pub sources: Vec<PathBuf>,
}

/// Plans a run.
pub fn plan(inputs: &Inputs, machine: &MachineState) -> Result<Plan, PlanError> {
    if machine.project == ProjectState::Missing {
        return Err(PlanError::Missing(inputs.project.clone()));
    }
    let (backend, why) = backend(inputs, machine)?;
    check_inputs(backend, inputs)?;
    let project = check_project(backend, inputs, machine)?;
    // Only maturin gets the target; otherwise it follows from the content.
    let own = || machine.host.filter(|_| backend == Backend::Maturin).map(BuildTarget::Known);
    let target = inputs.target.clone().or_else(own);
    let compatibility = compatibility(backend, inputs, machine, target.as_ref())?;
    let epoch = inputs.source_date_epoch.or(machine.epoch).unwrap_or_default().max(crate::repair::EARLIEST);
    let BuildStep { command, install_target, linking } =
        build_step(backend, inputs, machine, target.as_ref(), compatibility)?;
    check_programs(command.as_ref(), machine)?;
    let prepare = |cmd: Cmd| sanitized_env(cmd).env("SOURCE_DATE_EPOCH", epoch.to_string());
    let build = command.map(prepare);
    let build_sdist = (inputs.sdist && backend == Backend::Maturin)
        .then(|| prepare(commands::maturin_sdist(inputs, machine)));
    Ok(Plan {
        backend,
        why,
        project,
        target,
        linker: linking.linker,
        compatibility,
        install_target,
        build,
        sdist: inputs.sdist,
        build_sdist,
        source_date_epoch: epoch,
        remove_rpaths: inputs.remove_rpaths,
        graft: inputs.graft,
        exclude: inputs.exclude.clone(),
        smoke: SmokePlan::new(backend, inputs, machine),
        verify_reproducible: inputs.verify_reproducible,
        out_dir: inputs.out_dir.clone(),
        report_path: inputs.report_path.clone(),
        build_hint: linking.build_hint,
        floor_warning: linking.floor_warning,
        source_dirs: machine.flags.source_dirs.clone(),
    })
}

impl SmokePlan {
    fn new(backend: Backend, inputs: &Inputs, machine: &MachineState) -> Self {
        Self {
            mode: if backend == Backend::Sdist { SmokeMode::Off } else { inputs.smoke },
            commands: inputs.smoke_commands.clone(),
            python: machine.python.clone(),
            interpreters: machine.interpreters.iter().flatten().cloned().collect(),
            uv: machine.uv.clone(),
            requires: inputs.test_requires.clone(),
            index: inputs.test_index.clone(),
            sources: inputs.test_sources.clone(),
        }
    }
}

/// The build command, with its prerequisites and its linker.
#[derive(Default)]
struct BuildStep {
    /// `None` if the wheel exists already.
    command: Option<Cmd>,
    install_target: Option<Cmd>,
    linking: Linking,
}

fn build_step(
    backend: Backend,
    inputs: &Inputs,
    machine: &MachineState,
    target: Option<&BuildTarget>,
    compatibility: Option<Compatibility>,
) -> Result<BuildStep, PlanError> {
    let command = match backend {
        Backend::Wheel => return Ok(BuildStep::default()),
        Backend::Nix => commands::nix(inputs, machine),
        Backend::Sdist if inputs.flake_attr.is_some() => commands::nix(inputs, machine),
        Backend::Sdist => commands::pep517(inputs, machine)?,
        Backend::Maturin => {
            let target = target.ok_or_else(|| PlanError::Conflict {
                message: "this machine is not a supported target, and `target` is not set".into(),
                hint: "set `target`".into(),
            })?;
            let linking = linker::choose(inputs, machine, target, compatibility)?;
            let linker = linking.linker.unwrap_or(Linker::Native);
            let install_target =
                if linker == Linker::Container { None } else { install(target, inputs, machine)? };
            let command = commands::maturin(inputs, machine, target, linker, compatibility);
            return Ok(BuildStep { command: Some(command), install_target, linking });
        }
    };
    Ok(BuildStep { command: Some(command), ..BuildStep::default() })
}

/// Fails for inputs that the backend does not use: ignoring them would build
/// something other than requested.
fn check_inputs(backend: Backend, inputs: &Inputs) -> Result<(), PlanError> {
    let of_maturin = [
        ("interpreters", !inputs.interpreters.is_empty()),
        ("find-interpreter", inputs.find_interpreter),
        ("features", inputs.features.is_some()),
        ("manifest-path", inputs.manifest_path.is_some()),
    ];
    let has_no_sdist = inputs.sdist && !matches!(backend, Backend::Maturin | Backend::Nix);
    let unused = of_maturin.iter().find(|(_, is_given)| *is_given && backend != Backend::Maturin);
    match unused.map(|(name, _)| *name).or(has_no_sdist.then_some("sdist")) {
        Some(name) => Err(PlanError::Conflict {
            message: format!("`{name}` cannot be used with `backend: {}`", backend.word()),
            hint: if name == "sdist" {
                "it is for `backend: maturin` and `backend: nix`; `backend: sdist` makes nothing else".into()
            } else {
                "it is for `backend: maturin`".into()
            },
        }),
        None => Ok(()),
    }
}

/// The command that installs the target's standard library, if rustc lacks it.
fn install(target: &BuildTarget, inputs: &Inputs, machine: &MachineState) -> Result<Option<Cmd>, PlanError> {
    match machine.library {
        RustLibrary::Ready => Ok(None),
        RustLibrary::Installable => {
            let cmd = Cmd::new("rustup").args(["target", "add"]).args(target.triples());
            Ok(Some(cmd.directory(&inputs.project)))
        }
        RustLibrary::Missing => Err(PlanError::Conflict {
            message: format!("the rustc on PATH has no standard library for `{target}`"),
            hint: format!(
                "run `rustup target add {}` with a Rust from https://rustup.rs, or install the target as Rust was installed",
                target.triples().join(" ")
            ),
        }),
        RustLibrary::Unknown => Err(PlanError::Conflict {
            message: format!("`{target}` is not a target that the rustc on PATH knows"),
            hint: "`rustc --print target-list` lists them; a short name such as `aarch64` works too".into(),
        }),
    }
}

/// Fails if a program that the build needs is missing.
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
        return Ok((backend, "it was requested".into()));
    }
    match &machine.project {
        ProjectState::File => Ok((Backend::Wheel, "the project is a file".into())),
        _ if inputs.flake_attr.is_some() => Ok((Backend::Nix, "`flake-attr` is given".into())),
        ProjectState::Directory { build_backend: Some(name), .. } if name == "maturin" => {
            Ok((Backend::Maturin, "the build backend in pyproject.toml is `maturin`".into()))
        }
        ProjectState::Directory { .. } | ProjectState::RemoteFlake | ProjectState::Missing => {
            Err(PlanError::NoProject {
                kind: "maturin",
                path: inputs.project.clone(),
                expected: "a pyproject.toml with `build-backend = \"maturin\"`, or a `flake-attr`",
                found: machine.project.describe(),
            })
        }
    }
}

/// Checks that the project suits the backend. Returns its path, which for the `wheel`
/// backend is that of the wheel.
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
        (Backend::Wheel, ProjectState::Directory { wheels, .. }) => match &wheels[..] {
            [wheel] => Ok(path.join(wheel)),
            found => Err(PlanError::Wheels { dir: path, found: found.to_vec() }),
        },
        (Backend::Maturin, ProjectState::Directory { build_backend, cargo, .. }) => {
            match build_backend.as_deref() {
                Some("maturin") => Ok(path),
                // maturin also takes a crate without a pyproject.toml.
                None if *cargo => Ok(path),
                _ => missing("maturin", "a pyproject.toml with `build-backend = \"maturin\"`"),
            }
        }
        (Backend::Sdist, ProjectState::Directory { build_backend, .. }) if inputs.flake_attr.is_none() => {
            match build_backend.as_deref() {
                Some(name) if !name.is_empty() => Ok(path),
                _ => missing("Python", "a pyproject.toml with a `build-backend`"),
            }
        }
        (Backend::Nix | Backend::Sdist, ProjectState::Directory { flake, .. }) => {
            if *flake {
                Ok(path)
            } else {
                missing("Nix", "a flake.nix")
            }
        }
        (Backend::Nix | Backend::Sdist, ProjectState::RemoteFlake) if inputs.flake_attr.is_some() => Ok(path),
        (_, ProjectState::File | ProjectState::RemoteFlake | ProjectState::Missing) => {
            missing("directory with a", "a directory")
        }
    }
}

impl ProjectState {
    fn describe(&self) -> String {
        match self {
            Self::Missing => "nothing".into(),
            Self::RemoteFlake => "the reference of a flake".into(),
            Self::File => "a file".into(),
            Self::Directory { build_backend, cargo, flake, wheels, .. } => {
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

/// The platform requested by the input or by `[tool.maturin]`, where `linux`, `off`
/// and `pypi` request none.
fn compatibility(
    backend: Backend,
    inputs: &Inputs,
    machine: &MachineState,
    target: Option<&BuildTarget>,
) -> Result<Option<Compatibility>, PlanError> {
    let configured = match &machine.project {
        ProjectState::Directory { maturin, .. } if backend == Backend::Maturin => {
            maturin.compatibility.as_deref()
        }
        _ => None,
    };
    let configured = || configured.and_then(|text| Compatibility::parse(text).ok());
    let fits = |asked: Compatibility, target: &BuildTarget| {
        matches!(
            (asked, target),
            (Compatibility::Manylinux(_), BuildTarget::Known(Target { system: System::Gnu, .. }))
                | (Compatibility::Musllinux(_), BuildTarget::Known(Target { system: System::Musl, .. }))
        ) || matches!(asked, Compatibility::Macos(_)) && target.is_macos()
    };
    match (inputs.compatibility, target) {
        (Some(asked), Some(target)) if !fits(asked, target) => Err(PlanError::Conflict {
            message: format!("`compatibility` is for another system than the target `{target}`"),
            hint: "use manylinux with `…-linux-gnu`, musllinux with `…-linux-musl`, macosx with `…-apple-darwin`, none with Windows"
                .into(),
        }),
        (Some(asked), _) => Ok(Some(asked)),
        // The setting applies to all targets of a project.
        (None, target) => Ok(configured().filter(|asked| target.is_some_and(|target| fits(*asked, target)))),
    }
}

#[cfg(test)]
mod tests;
