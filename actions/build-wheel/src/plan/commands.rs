//! The build commands.

use std::path::Path;

use pydist::target::{Arch, System, Target};
use toolkit::Cmd;

use super::error::PlanError;
use crate::build_target::BuildTarget;
use crate::choices::Linker;
use crate::compatibility::Compatibility;
use crate::environment::{MachineState, ProjectState};
use crate::inputs::Inputs;
use crate::search_path::IS_WINDOWS;

/// The placeholder for the build's output directory in a planned command.
pub const STAGING: &str = "<staging>";

pub(super) fn nix(inputs: &Inputs, machine: &MachineState) -> Cmd {
    let attr = inputs.flake_attr.as_deref().unwrap_or("default");
    let features = ["--extra-experimental-features", "nix-command flakes"];
    let cmd = Cmd::new("nix").arg("build").args(features).args(["--json", "--no-link", "--print-build-logs"]);
    if machine.project == ProjectState::RemoteFlake {
        return cmd.arg(format!("{}#{attr}", inputs.project.display()));
    }
    let path = std::path::absolute(&inputs.project).unwrap_or_else(|_| inputs.project.clone());
    let path = path.display().to_string();
    // In a flake reference, these would end the path.
    if path.contains(|c: char| !c.is_ascii_alphanumeric() && !"/._-+".contains(c)) {
        return cmd.arg(format!(".#{attr}")).directory(&inputs.project);
    }
    cmd.arg(format!("{path}#{attr}"))
}

/// Calls the PEP 517 hook in the project's directory; the backend's output goes to
/// standard error.
const BUILD_SDIST: &str = "\
import contextlib, importlib, os, sys
sys.path[:0] = [os.path.abspath(path) for path in sys.argv[3:]]
module, _, rest = sys.argv[1].partition(':')
backend = importlib.import_module(module)
for name in filter(None, rest.split('.')):
    backend = getattr(backend, name)
with contextlib.redirect_stdout(sys.stderr):
    backend.build_sdist(sys.argv[2], None)
";

pub(super) fn pep517(inputs: &Inputs, machine: &MachineState) -> Result<Cmd, PlanError> {
    let python = machine.python.as_ref().map(|path| path.display().to_string()).ok_or_else(|| {
        PlanError::Conflict {
            message: "there is no Python outside the Nix store on PATH".into(),
            hint: "set `python`".into(),
        }
    })?;
    let ProjectState::Directory { build_backend: Some(name), backend_path, .. } = &machine.project else {
        return Ok(Cmd::new(python));
    };
    let project = inputs.project.clone();
    Ok(if inputs.no_build_isolation {
        Cmd::new(python).args(["-c", BUILD_SDIST, name, STAGING]).args(backend_path).directory(project)
    } else if let Some(uv) = &machine.uv {
        let cmd = Cmd::new(uv.display().to_string()).args(["build", "--sdist", "--python", &python]);
        cmd.args(["--out-dir", STAGING, "."]).directory(project)
    } else {
        Cmd::new(python).args(["-m", "build", "--sdist", "--outdir", STAGING, "."]).directory(project)
    })
}

pub(super) fn maturin(
    inputs: &Inputs,
    machine: &MachineState,
    target: &BuildTarget,
    linker: Linker,
    compatibility: Option<Compatibility>,
) -> Cmd {
    let args = maturin_args(inputs, machine, target, linker, compatibility);
    let mut env = maturin_env(machine, target, linker, compatibility);
    if let (Linker::Container, Some(engine), Some(image)) = (linker, &machine.engine, &inputs.container_image)
    {
        return container(engine, image, inputs, &machine.root, &env, args);
    }
    env.extend(machine.flags.remapping(target, linker));
    let cmd = Cmd::new(maturin_program(machine)).args(args).directory(&inputs.project);
    env.into_iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value))
}

/// The name of maturin, or its path if the name does not start it.
fn maturin_program(machine: &MachineState) -> String {
    machine.batch_files.get("maturin").map_or_else(|| "maturin".to_owned(), |path| path.display().to_string())
}

fn maturin_args(
    inputs: &Inputs,
    machine: &MachineState,
    target: &BuildTarget,
    linker: Linker,
    compatibility: Option<Compatibility>,
) -> Vec<String> {
    let mut args = vec!["build".to_owned()];
    let configured = match &machine.project {
        ProjectState::Directory { maturin, .. } => maturin.profile.is_some(),
        _ => false,
    };
    // maturin accepts one profile, and reads the project's itself.
    let is_given = inputs
        .maturin_args
        .iter()
        .any(|arg| ["--profile", "--release", "-r"].contains(&arg.as_str()) || arg.starts_with("--profile="));
    let profile = inputs.profile.as_deref().or((!configured && !is_given).then_some("release"));
    args.extend(profile.into_iter().flat_map(|profile| ["--profile".to_owned(), profile.to_owned()]));
    // Cargo uses a separate directory for an explicit target; without one, the
    // user's builds for the host are reused.
    let is_host = target.known().is_some() && machine.host == target.known();
    // On Windows on ARM, Rust may be an emulated one, for x86-64.
    let is_rust_host_certain =
        !machine.host.is_some_and(|host| host.is_windows() && host.arch == Arch::Aarch64);
    if !is_host || !is_rust_host_certain || linker != Linker::Native {
        args.extend(["--target".into(), target.name().into()]);
    }
    // The tag of the build; the final one follows from the content.
    let tag = match (target.known(), compatibility) {
        (None | Some(Target { system: System::Macos | System::Msvc | System::Mingw, .. }), _) => None,
        // There is no policy for this target.
        (Some(Target { arch: Arch::Armv6l, .. }), _) => Some("linux".to_owned()),
        (Some(Target { system: System::Gnu, .. }), Some(asked @ Compatibility::Manylinux(_))) => {
            Some(asked.to_string())
        }
        (Some(Target { system: System::Gnu, arch }), _) if linker == Linker::Zig => {
            let (major, minor) = arch.oldest_glibc();
            Some(format!("manylinux_{major}_{minor}"))
        }
        _ => Some("linux".to_owned()),
    };
    args.extend(tag.into_iter().flat_map(|tag| ["--compatibility".into(), tag]));
    args.extend(["--auditwheel".into(), "skip".into()]);
    args.extend((linker == Linker::Zig).then(|| "--zig".into()));
    args.extend(interpreters(inputs, machine, target, linker));
    args.extend(features_and_manifest(inputs));
    args.extend(["--out".into(), STAGING.into()]);
    args.extend(inputs.maturin_args.iter().cloned());
    args
}

/// The Pythons to build for: their paths on this machine, or their names for another
/// machine.
fn interpreters(
    inputs: &Inputs,
    machine: &MachineState,
    target: &BuildTarget,
    linker: Linker,
) -> Vec<String> {
    if inputs.find_interpreter {
        return vec!["--find-interpreter".to_owned()];
    }
    let is_own = linker != Linker::Container
        && machine.host.is_some_and(|host| match target.known() {
            _ if host.system == System::Macos => target.is_macos(),
            // maturin builds for a 32-bit Python, and for MinGW, as for the machine itself.
            Some(target) if host.is_windows() => {
                target.is_windows()
                    && (target.arch == host.arch || (target.arch, host.arch) == (Arch::I686, Arch::X86_64))
            }
            Some(target) => host == target,
            None => false,
        });
    let named = inputs.interpreters.iter().enumerate().map(|(index, request)| {
        let found = machine.interpreters.get(index).and_then(Option::as_ref).filter(|_| is_own);
        found.map_or_else(|| request.program(), |path| path.display().to_string())
    });
    let mut words: Vec<String> = named.collect();
    if words.is_empty() {
        // maturin runs in the project's directory.
        words.extend(inputs.python.as_ref().map(|python| match std::path::absolute(python) {
            _ if IS_WINDOWS && is_own => {
                machine.python.as_ref().map_or_else(|| python.clone(), |path| path.display().to_string())
            }
            Ok(path) if python.contains(std::path::is_separator) => path.display().to_string(),
            _ => python.clone(),
        }));
    }
    words.into_iter().flat_map(|python| ["--interpreter".to_owned(), python]).collect()
}

fn features_and_manifest(inputs: &Inputs) -> Vec<String> {
    let features = inputs.features.iter().map(|features| ("--features", features.clone()));
    let manifest = inputs.manifest_path.iter().map(|path| ("--manifest-path", path.display().to_string()));
    features.chain(manifest).flat_map(|(option, value)| [option.to_owned(), value]).collect()
}

/// The source distribution beside the wheels.
pub(super) fn maturin_sdist(inputs: &Inputs, machine: &MachineState) -> Cmd {
    let manifest = inputs
        .manifest_path
        .iter()
        .flat_map(|path| ["--manifest-path".to_owned(), path.display().to_string()]);
    Cmd::new(maturin_program(machine))
        .arg("sdist")
        .args(manifest)
        .args(["--out", STAGING])
        .directory(&inputs.project)
}

/// Environment variables for the linker and the target system.
fn maturin_env(
    machine: &MachineState,
    target: &BuildTarget,
    linker: Linker,
    compatibility: Option<Compatibility>,
) -> Vec<(String, String)> {
    let mut env = Vec::new();
    if let (Linker::Gcc, Some(prefix)) = (linker, target.known().and_then(Target::gnu_prefix)) {
        let name = target.name().replace('-', "_");
        env.push((format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), format!("{prefix}-gcc")));
        env.push((format!("CC_{name}"), format!("{prefix}-gcc")));
    }
    // maturin finds `zig` only on PATH and beside the first Python on PATH.
    if let (Linker::Zig, Some(zig)) = (linker, &machine.zig)
        && zig.ends_with("python-zig")
    {
        env.push(("CARGO_ZIGBUILD_ZIG_PATH".into(), zig.display().to_string()));
    }
    let minimum = match (compatibility, target.known()) {
        (Some(Compatibility::Macos(version)), _) if target.is_macos() => Some(version),
        (_, Some(Target { arch: Arch::Aarch64, system: System::Macos })) => Some((11, 0)),
        // The minimum of Rust's target.
        (_, Some(Target { system: System::Macos, .. })) => Some((10, 12)),
        // maturin and rustc know the minimum of each architecture.
        _ => None,
    };
    if let Some((major, minor)) = minimum {
        env.push(("MACOSX_DEPLOYMENT_TARGET".into(), format!("{major}.{minor}")));
    }
    env
}

/// The repository's directory in a container. Binaries hold the directory of their sources, so
/// it must not depend on the checkout; elsewhere compilers replace the directory by this name.
pub(crate) const CONTAINER_ROOT: &str = "/src";

/// Runs maturin in a container, with the repository in [`CONTAINER_ROOT`]. The image's own home
/// and registry are the same for everyone.
fn container(
    engine: &str,
    image: &str,
    inputs: &Inputs,
    root: &Path,
    env: &[(String, String)],
    args: Vec<String>,
) -> Cmd {
    // The root is canonical.
    let project = dunce::canonicalize(&inputs.project).or_else(|_| std::path::absolute(&inputs.project));
    let project = project.unwrap_or_else(|_| inputs.project.clone());
    let (root, in_root) = match project.strip_prefix(root) {
        Ok(path) => (root, path),
        Err(_) => (project.as_path(), Path::new("")),
    };
    let directory = Path::new(CONTAINER_ROOT).join(in_root).display().to_string();
    let mut cmd = Cmd::new(engine).args(["run", "--rm", "--entrypoint", "maturin"]);
    let mut volumes = vec![format!("{}:{CONTAINER_ROOT}", root.display())];
    // Arguments may name files by their path on this machine.
    if !root.starts_with(CONTAINER_ROOT) {
        volumes.push(format!("{0}:{0}", root.display()));
    }
    volumes.push(format!("{STAGING}:{STAGING}"));
    for volume in volumes {
        cmd = cmd.args(["--volume".to_owned(), volume]);
    }
    cmd = cmd.args(["--workdir", directory.trim_end_matches('/'), "--env", "SOURCE_DATE_EPOCH"]);
    for (name, value) in env {
        cmd = cmd.args(["--env".into(), format!("{name}={value}")]);
    }
    cmd.arg(image).args(args)
}
