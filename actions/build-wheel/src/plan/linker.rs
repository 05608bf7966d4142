//! Chooses the linker for a target.

use pydist::target::{Arch, System, Target};

use super::error::PlanError;
use crate::build_target::BuildTarget;
use crate::choices::Linker;
use crate::compatibility::Compatibility;
use crate::environment::MachineState;
use crate::inputs::Inputs;

/// The linker of a build, with its messages.
#[derive(Debug, Default)]
pub(super) struct Linking {
    pub(super) linker: Option<Linker>,
    /// The hint if the build fails.
    pub(super) build_hint: Option<String>,
    /// The warning if the wheel needs a newer glibc than manylinux2014.
    pub(super) floor_warning: Option<String>,
}

/// The requested linker, or the first that supports the target.
pub(super) fn choose(
    inputs: &Inputs,
    machine: &MachineState,
    target: &BuildTarget,
    compatibility: Option<Compatibility>,
) -> Result<Linking, PlanError> {
    if inputs.linker == Some(Linker::Container) && machine.host.is_some_and(Target::is_windows) {
        return Err(PlanError::Conflict {
            message:
                "`linker: container` is not supported on Windows: a Linux container cannot use Windows paths"
                    .into(),
            hint: "run this job on Linux or in WSL, or use `linker: zig`".into(),
        });
    }
    let Some(target) = target.known() else {
        let linker = Some(for_unrepaired(inputs, machine, target)?);
        return Ok(Linking { linker, ..Linking::default() });
    };
    let linker = linker(inputs, machine, target, compatibility)?;
    let mut linking = Linking { linker: Some(linker), ..Linking::default() };
    let is_default = inputs.linker.is_none() && compatibility.is_none() && target.system == System::Gnu;
    if is_default && machine.host == Some(target) {
        if linker == Linker::Zig {
            let hint = "zig links for manylinux2014; if it does not find a library of this machine, set `linker: native`";
            linking.build_hint = Some(hint.to_owned());
        } else {
            let warning = "install `ziglang` beside maturin for a wheel that runs on manylinux2014, or set `linker: native` to accept this floor";
            linking.floor_warning = Some(warning.to_owned());
        }
    }
    Ok(linking)
}

/// The linker for universal2 and for targets without rules: Cargo's configuration, as
/// by an SDK, unless zig is requested.
fn for_unrepaired(
    inputs: &Inputs,
    machine: &MachineState,
    target: &BuildTarget,
) -> Result<Linker, PlanError> {
    let is_mac = machine.host.is_some_and(|host| host.system == System::Macos);
    let needs_zig = *target == BuildTarget::Universal2 && !is_mac;
    let missing = |message: String, hint: &str| Err(PlanError::Conflict { message, hint: hint.into() });
    match inputs.linker {
        Some(Linker::Zig) | None if machine.zig.is_some() && (needs_zig || inputs.linker.is_some()) => {
            Ok(Linker::Zig)
        }
        Some(Linker::Gcc) => missing(
            format!("`linker: gcc`, but there is no cross gcc for `{target}`"),
            "use `linker: native`, with the linker in Cargo's configuration",
        ),
        Some(Linker::Zig) => {
            missing("`linker: zig`, but zig is not on PATH".into(), "install `ziglang` beside maturin")
        }
        Some(linker) => Ok(linker),
        None if needs_zig => missing(
            format!("no linker for `{target}` on PATH"),
            "install `ziglang` beside maturin, or build on a Mac",
        ),
        None => Ok(Linker::Native),
    }
}

fn linker(
    inputs: &Inputs,
    machine: &MachineState,
    target: Target,
    compatibility: Option<Compatibility>,
) -> Result<Linker, PlanError> {
    let gcc = target.gnu_prefix().filter(|prefix| machine.gcc.contains(&format!("{prefix}-gcc")));
    let missing = |message: String, hint: &str| Err(PlanError::Conflict { message, hint: hint.into() });
    match inputs.linker {
        Some(Linker::Zig) if machine.zig.is_none() => {
            missing("`linker: zig`, but zig is not on PATH".into(), "install `ziglang` beside maturin")
        }
        Some(Linker::Gcc) if gcc.is_none() => missing(
            format!("`linker: gcc`, but there is no cross gcc for `{target}` on PATH"),
            "install it (on Debian and Ubuntu: `gcc-<cpu>-linux-gnu`, `gcc-mingw-w64`), or use `linker: zig`",
        ),
        Some(Linker::Container) if machine.engine.is_none() => missing(
            "`linker: container`, but neither docker nor podman is on PATH".into(),
            "install one of them",
        ),
        Some(linker) => Ok(linker),
        None => {
            let native = machine.host == Some(target)
                || machine.host.is_some_and(|host| {
                    host.system == System::Macos && target.system == System::Macos
                        || host.is_windows() && target.is_windows()
                });
            // By default, Linux wheels run on manylinux2014, wherever they are built.
            let older_glibc = match (target.system, compatibility) {
                (System::Gnu, None | Some(Compatibility::Manylinux(_))) => machine.zig.is_some(),
                _ => false,
            };
            // On other systems, maturin gets Windows' libraries from cargo-xwin.
            let native = native || target.system == System::Msvc;
            if native && !(older_glibc && target.arch != Arch::Ppc64le) {
                Ok(Linker::Native)
            } else if (target.arch == Arch::Ppc64le || target.is_windows()) && gcc.is_some() {
                // zig 0.17 cannot link for s390x, and Rust's `-windows-gnu` target needs MinGW.
                Ok(Linker::Gcc)
            } else if machine.zig.is_some() {
                Ok(Linker::Zig)
            } else if gcc.is_some() {
                Ok(Linker::Gcc)
            } else if target.system == System::Musl
                && machine.host.is_some_and(|host| host.arch == target.arch)
            {
                // Rust ships musl's startup files and archive.
                Ok(Linker::Native)
            } else {
                missing(
                    format!("no linker for `{target}` on PATH"),
                    "install `ziglang` beside maturin, or a cross gcc",
                )
            }
        }
    }
}
