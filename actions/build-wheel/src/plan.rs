//! From inputs and facts to what will be done; nothing is done here.

mod commands;
mod linker;

use std::path::PathBuf;

use pydist::tags::Platform;
use serde::Serialize;
use toolkit::{Cmd, Exit, Failure};

pub use commands::STAGING;
pub(crate) use commands::unmisled;

use crate::facts::{Facts, Project};
use crate::inputs::{Backend, Inputs, Linker, SmokeMode};
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
    /// The platform that was asked for, complete with its architecture.
    pub compatibility: Option<String>,
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
}

/// How the wheel is tried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SmokePlan {
    /// Whether.
    pub mode: SmokeMode,
    /// What must succeed; none: what follows from the wheel's content.
    pub commands: Vec<Vec<String>>,
    /// The Python that installs it.
    pub python: Option<PathBuf>,
    /// Makes the environment and installs, where it is there.
    pub uv: Option<PathBuf>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing at the path.
    #[error("there is nothing at `{}`; expected a project's folder or a wheel", .0.display())]
    Missing(PathBuf),
    /// A file that is no wheel.
    #[error("`{}` is a file but no wheel; expected a project's folder or a `.whl`", .0.display())]
    NotAWheel(PathBuf),
    /// A folder where a wheel is needed.
    #[error("expected exactly one wheel in `{}`, found {}", folder.display(), listed(found))]
    Wheels {
        /// The folder.
        folder: PathBuf,
        /// The wheels in it.
        found: Vec<String>,
    },
    /// No project of the backend's kind.
    #[error("no {kind} project at `{}`: expected {expected}, found {found}", path.display())]
    NoProject {
        /// Of what kind.
        kind: &'static str,
        /// Where.
        path: PathBuf,
        /// What makes such a project.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The inputs contradict each other or the machine.
    #[error("{message}")]
    Conflict {
        /// What does not fit.
        message: String,
        /// What to do.
        hint: String,
    },
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => format!("{}: {}", names.len(), names.join(", ")),
    }
}

impl Failure for PlanError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) | Self::NotAWheel(_) => Some("set `project` to the right path".into()),
            Self::Wheels { .. } => Some("set `project` to the wheel itself".into()),
            Self::NoProject { kind: "maturin", .. } => Some(
                "set `project` to the folder with the pyproject.toml, or choose another `backend`".into(),
            ),
            Self::NoProject { .. } => None,
            Self::Conflict { hint, .. } => Some(hint.clone()),
        }
    }
}

/// Decides what is to be done.
pub fn plan(inputs: &Inputs, facts: &Facts) -> Result<Plan, PlanError> {
    if facts.project == Project::Missing {
        return Err(PlanError::Missing(inputs.project.clone()));
    }
    let (backend, why) = backend(inputs, facts)?;
    let project = check_project(backend, inputs, facts)?;
    // Only maturin is told the target; elsewhere the content shows it.
    let target = inputs.target.or_else(|| facts.host.filter(|_| backend == Backend::Maturin));
    let compatibility = compatibility(inputs, target)?;
    let epoch = inputs.source_date_epoch.or(facts.epoch).unwrap_or_default().max(crate::repair::EARLIEST);
    let (linker, build) = match backend {
        Backend::Wheel => (None, None),
        Backend::Nix => (None, Some(commands::nix(inputs))),
        Backend::Sdist if inputs.flake_attr.is_some() => (None, Some(commands::nix(inputs))),
        Backend::Sdist => (None, Some(commands::pep517(inputs, facts)?)),
        Backend::Maturin => {
            let target = target.ok_or_else(|| PlanError::Conflict {
                message: "this machine is none of the targets, and none was given".into(),
                hint: "set `target`".into(),
            })?;
            let linker = linker::choose(inputs, facts, target)?;
            (Some(linker), Some(commands::maturin(inputs, facts, target, linker, compatibility.as_ref())))
        }
    };
    let build = build.map(|cmd| unmisled(cmd).env("SOURCE_DATE_EPOCH", epoch.to_string()));
    let mode = if backend == Backend::Sdist { SmokeMode::Off } else { inputs.smoke };
    Ok(Plan {
        backend,
        why,
        project,
        target,
        linker,
        compatibility: compatibility.map(|platform| platform.to_string()),
        build,
        source_date_epoch: epoch,
        remove_rpaths: inputs.remove_rpaths,
        graft: inputs.graft,
        smoke: SmokePlan {
            mode,
            commands: inputs.smoke_commands.clone(),
            python: facts.python.clone(),
            uv: facts.uv.clone(),
        },
        verify_reproducible: inputs.verify_reproducible,
        out_dir: inputs.out_dir.clone(),
        report_path: inputs.report_path.clone(),
    })
}

fn backend(inputs: &Inputs, facts: &Facts) -> Result<(Backend, String), PlanError> {
    if let Some(backend) = inputs.backend {
        return Ok((backend, "it was asked for".into()));
    }
    match &facts.project {
        Project::File => Ok((Backend::Wheel, "the project is a file".into())),
        _ if inputs.flake_attr.is_some() => Ok((Backend::Nix, "`flake-attr` is given".into())),
        Project::Folder { build_backend: Some(name), .. } if name == "maturin" => {
            Ok((Backend::Maturin, "the build backend in pyproject.toml is `maturin`".into()))
        }
        Project::Folder { .. } | Project::Missing => Err(PlanError::NoProject {
            kind: "maturin",
            path: inputs.project.clone(),
            expected: "a pyproject.toml with `build-backend = \"maturin\"`, or a `flake-attr`",
            found: facts.project.describe(),
        }),
    }
}

/// Checks that the project suits the backend; for the `wheel` backend gives
/// the wheel's path.
fn check_project(backend: Backend, inputs: &Inputs, facts: &Facts) -> Result<PathBuf, PlanError> {
    let path = inputs.project.clone();
    let missing = |kind, expected| {
        let found = facts.project.describe();
        Err(PlanError::NoProject { kind, path: path.clone(), expected, found })
    };
    match (backend, &facts.project) {
        (Backend::Wheel, Project::File) => {
            let wheel = path.extension().is_some_and(|extension| extension == "whl");
            if wheel { Ok(path) } else { Err(PlanError::NotAWheel(path)) }
        }
        (Backend::Wheel, Project::Folder { wheels, .. }) => match &wheels[..] {
            [wheel] => Ok(path.join(wheel)),
            found => Err(PlanError::Wheels { folder: path, found: found.to_vec() }),
        },
        (Backend::Maturin, Project::Folder { build_backend, cargo, .. }) => match build_backend.as_deref() {
            Some("maturin") => Ok(path),
            // maturin takes a crate without a pyproject.toml, too.
            None if *cargo => Ok(path),
            _ => missing("maturin", "a pyproject.toml with `build-backend = \"maturin\"`"),
        },
        (Backend::Sdist, Project::Folder { build_backend, .. }) if inputs.flake_attr.is_none() => {
            match build_backend.as_deref() {
                Some(name) if !name.is_empty() => Ok(path),
                _ => missing("Python", "a pyproject.toml with a `build-backend`"),
            }
        }
        (Backend::Nix | Backend::Sdist, Project::Folder { flake, .. }) => {
            if *flake {
                Ok(path)
            } else {
                missing("Nix", "a flake.nix")
            }
        }
        (_, Project::File | Project::Missing) => missing("folder with a", "a folder"),
    }
}

impl Project {
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

/// The platform that was asked for, with the target's architecture.
fn compatibility(inputs: &Inputs, target: Option<Target>) -> Result<Option<Platform>, PlanError> {
    let Some(asked) = &inputs.compatibility else { return Ok(None) };
    let conflict = |target: Target| PlanError::Conflict {
        message: format!("`compatibility` is of another system than the target `{target}`"),
        hint:
            "manylinux goes with `…-linux-gnu`, musllinux with `…-linux-musl`, macosx with `…-apple-darwin`"
                .into(),
    };
    let Some(target) = target else { return Ok(Some(asked.clone())) };
    let arch = target.tag_arch().to_owned();
    match (asked, target.system) {
        (Platform::Manylinux { glibc, .. }, System::Gnu) => {
            Ok(Some(Platform::Manylinux { glibc: *glibc, arch }))
        }
        (Platform::Musllinux { musl, .. }, System::Musl) => {
            Ok(Some(Platform::Musllinux { musl: *musl, arch }))
        }
        (Platform::Macos { version, .. }, System::Macos) => {
            Ok(Some(Platform::Macos { version: *version, arch }))
        }
        _ => Err(conflict(target)),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use toolkit::Env;

    use super::*;

    fn facts() -> Facts {
        Facts {
            host: Target::parse("x86_64-unknown-linux-gnu").ok(),
            project: Project::Folder {
                build_backend: Some("maturin".into()),
                backend_path: Vec::new(),
                cargo: true,
                flake: true,
                wheels: Vec::new(),
            },
            root: "/src".into(),
            epoch: None,
            zig: true,
            gcc: vec!["aarch64-linux-gnu-gcc".into(), "powerpc64le-linux-gnu-gcc".into()],
            engine: Some("podman".into()),
            uv: None,
            python: Some("/usr/bin/python3".into()),
        }
    }

    fn planned(inputs: &[(&str, &str)], facts: &Facts) -> Result<Plan, String> {
        let variables = inputs.iter().map(|(name, value)| {
            (format!("INPUT_{}", name.to_uppercase().replace('-', "_")), (*value).to_owned())
        });
        let env: Env = variables.chain([("INPUT_PROJECT".to_owned(), "/src".to_owned())]).collect();
        let inputs = Inputs::read(&env).map_err(|errors| errors.to_string())?;
        plan(&inputs, facts).map_err(|error| toolkit::error_report(&error))
    }

    /// The build's own variables (without those that are taken away) and its
    /// command.
    fn command(inputs: &[(&str, &str)]) -> String {
        let build = planned(inputs, &facts()).unwrap().build.unwrap();
        let set = build.env.iter().filter_map(|(name, value)| Some(format!("{name}={} ", value.as_ref()?)));
        set.collect::<String>() + &build.to_string()
    }

    #[test]
    fn each_target_has_its_linker() {
        assert_snapshot!(command(&[]), @"SOURCE_DATE_EPOCH=315532800 maturin build --profile release --compatibility linux --auditwheel skip --out '<staging>'");
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
        let member = Facts { root: "/repository".into(), engine: Some("docker".into()), ..facts() };
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
        let plan = planned(&[("flake-attr", "htty-core-wheel")], &facts()).unwrap();
        assert_eq!((plan.backend, plan.why.as_str()), (Backend::Nix, "`flake-attr` is given"));
        assert_eq!(plan.target, None, "the content shows it");
    }

    #[test]
    fn misleading_variables_are_taken_away() {
        let build = planned(&[], &facts()).unwrap().build.unwrap();
        assert_eq!(build.env["_PYTHON_HOST_PLATFORM"], None);
        assert!(commands::MISLEADING.iter().all(|name| build.env[*name].is_none()));
    }

    #[test]
    fn what_the_machine_lacks_is_told() {
        let bare = Facts { zig: false, gcc: Vec::new(), engine: None, ..facts() };
        let error = |inputs: &[(&str, &str)]| planned(inputs, &bare).unwrap_err();
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
