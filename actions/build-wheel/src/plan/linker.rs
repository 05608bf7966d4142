//! What links for a target.

use pydist::tags::Platform;

use super::PlanError;
use crate::facts::Facts;
use crate::inputs::{Inputs, Linker};
use crate::target::{Arch, System, Target};

/// What the input says, or the first that can.
pub(super) fn choose(inputs: &Inputs, facts: &Facts, target: Target) -> Result<Linker, PlanError> {
    let gcc = target.gnu_prefix().filter(|prefix| facts.gcc.contains(&format!("{prefix}-gcc")));
    let missing = |message: String, hint: &str| Err(PlanError::Conflict { message, hint: hint.into() });
    match inputs.linker {
        Some(Linker::Zig) if !facts.zig => {
            missing("`linker: zig`, but there is no zig on PATH".into(), "install `ziglang` beside maturin")
        }
        Some(Linker::Gcc) if gcc.is_none() => missing(
            format!("`linker: gcc`, but there is no cross gcc for `{target}` on PATH"),
            "install it (on Debian and Ubuntu: `gcc-<cpu>-linux-gnu`), or use `linker: zig`",
        ),
        Some(Linker::Container) if facts.engine.is_none() => missing(
            "`linker: container`, but there is neither docker nor podman on PATH".into(),
            "install one of them",
        ),
        Some(linker) => Ok(linker),
        None => {
            let native = facts.host == Some(target)
                || facts
                    .host
                    .is_some_and(|host| host.system == System::Macos && target.system == System::Macos);
            let old_glibc = matches!(inputs.compatibility, Some(Platform::Manylinux { .. })) && facts.zig;
            if native && !old_glibc {
                Ok(Linker::Native)
            } else if target.arch == Arch::Ppc64le && gcc.is_some() {
                // zig 0.17 does not link for it.
                Ok(Linker::Gcc)
            } else if facts.zig {
                Ok(Linker::Zig)
            } else if gcc.is_some() {
                Ok(Linker::Gcc)
            } else if target.system == System::Musl && facts.host.is_some_and(|host| host.arch == target.arch)
            {
                // Rust brings musl's start files and archive along.
                Ok(Linker::Native)
            } else {
                missing(
                    format!("nothing on PATH links for `{target}`"),
                    "install `ziglang` beside maturin, or a cross gcc",
                )
            }
        }
    }
}
