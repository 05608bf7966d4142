//! Chooses how a wheel is tried out.

use std::path::Path;

use pydist::tags::Platform;

use super::result::{Smoke, SmokeResult};
use super::trial::Trial;
use super::{emulated, native};
use crate::build_result::BuildResult;
use crate::choices::SmokeMode;
use crate::error::Error;
use crate::isolation::Isolation;
use crate::plan::Plan;
use crate::runtime::Runtime;
use crate::target::{Arch, System, Target};

/// Tries the wheel out in the directory `staging`.
pub(crate) fn test(
    plan: &Plan,
    wheel: &BuildResult,
    staging: &Path,
    runtime: &Runtime<'_>,
) -> Result<Smoke, Error> {
    let Some(name) = wheel.name.wheel() else { return Ok(Smoke::none(SmokeResult::Off, None)) };
    if plan.smoke.mode == SmokeMode::Off {
        return Ok(Smoke::none(SmokeResult::Off, None));
    }
    let home = staging.to_owned();
    let work = home.join("work");
    let sources = if plan.project.is_dir() { plan.project.as_path() } else { Path::new(".") };
    native::copy_sources(&plan.smoke, sources, &work)?;
    let trial = Trial {
        wheel: name.to_string(),
        home,
        work,
        isolation: Isolation::find(runtime.ui),
        runtime,
        checks: Vec::new(),
        not_run: Vec::new(),
    };
    let smoke = match Runs::of(name.tags.platforms(), Target::host()) {
        Runs::Native => native::run(trial, &plan.smoke, wheel)?,
        Runs::Emulated(arch) => emulated::run(trial, &plan.smoke, arch, wheel)?,
        Runs::Not => Smoke::none(SmokeResult::Skipped, Some("the wheel is for another system".into())),
    };
    let passed = matches!(smoke.result, SmokeResult::Passed | SmokeResult::Emulated);
    if plan.smoke.mode == SmokeMode::Required && !passed {
        let reason = smoke.reason.unwrap_or_default();
        return Err(Error::NoSmoke { result: smoke.result.name(), reason });
    }
    if smoke.result == SmokeResult::Partial {
        runtime.ui.warning(format!("smoke test: partial: {}", smoke.reason.as_deref().unwrap_or_default()));
    }
    Ok(smoke)
}

/// Where a wheel with certain platform tags can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Native,
    Emulated(Arch),
    Not,
}

impl Runs {
    fn of(platforms: impl Iterator<Item = Platform>, host: Option<Target>) -> Self {
        let Some(host) = host else { return Self::Not };
        let mut best = Self::Not;
        for platform in platforms {
            let system = match platform {
                Platform::Any => return Self::Native,
                Platform::Manylinux { .. } => System::Gnu,
                Platform::Musllinux { .. } => System::Musl,
                Platform::Linux { .. } => host.system,
                Platform::Macos { .. } => System::Macos,
                Platform::Windows { .. } => System::Msvc,
                Platform::Other(_) => continue,
            };
            let arch = platform.arch().unwrap_or_default();
            if system == host.system && (arch == host.tag_arch() || arch == "universal2") {
                return Self::Native;
            }
            if let Some(other) = Arch::from_tag(arch)
                && host.is_linux()
                && matches!(system, System::Gnu | System::Musl)
                && other != host.arch
            {
                best = Self::Emulated(other);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_wheel_runs() {
        let runs = |tag: &str, host: &str| {
            Runs::of(tag.split('.').map(Platform::parse), Some(Target::parse(host).unwrap()))
        };
        let linux = "x86_64-unknown-linux-gnu";
        assert_eq!(runs("any", linux), Runs::Native);
        assert_eq!(runs("manylinux_2_17_x86_64.manylinux2014_x86_64", linux), Runs::Native);
        assert_eq!(runs("manylinux_2_17_aarch64", linux), Runs::Emulated(Arch::Aarch64));
        assert_eq!(runs("musllinux_1_2_x86_64", linux), Runs::Not);
        assert_eq!(runs("macosx_11_0_arm64", linux), Runs::Not);
        assert_eq!(runs("win_amd64", linux), Runs::Not);
        assert_eq!(runs("win_amd64", "x86_64-pc-windows-msvc"), Runs::Native);
        assert_eq!(runs("win_arm64", "x86_64-pc-windows-msvc"), Runs::Not);
        assert_eq!(runs("macosx_11_0_universal2", "aarch64-apple-darwin"), Runs::Native);
    }
}
