//! Chooses how to test a wheel.

use std::path::Path;

use pydist::tags::Platform;

use super::result::{Smoke, SmokeResult};
use super::smoke_test::SmokeTest;
use super::{emulated, native};
use crate::build_result::BuildResult;
use crate::choices::SmokeMode;
use crate::error::Error;
use crate::isolation::Isolation;
use crate::plan::Plan;
use crate::runtime::Runtime;
use crate::target::{Arch, System, Target};

/// Runs the smoke test of a wheel in the directory `staging`.
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
    let smoke_test = SmokeTest {
        wheel: name.to_string(),
        home,
        work,
        isolation: Isolation::find(runtime.ui),
        runtime,
        checks: Vec::new(),
        not_run: Vec::new(),
    };
    let smoke = match RunMode::for_platforms(name.tags.platforms(), Target::host()) {
        RunMode::Native => native::run(smoke_test, &plan.smoke, wheel)?,
        RunMode::Emulated(arch) => emulated::run(smoke_test, &plan.smoke, arch, wheel)?,
        RunMode::Unsupported => {
            Smoke::none(SmokeResult::Skipped, Some("the wheel is for another system".into()))
        }
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

/// How a wheel can be run on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunMode {
    Native,
    Emulated(Arch),
    Unsupported,
}

impl RunMode {
    fn for_platforms(platforms: impl Iterator<Item = Platform>, host: Option<Target>) -> Self {
        let Some(host) = host else { return Self::Unsupported };
        let mut best = Self::Unsupported;
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
    fn chooses_how_a_wheel_runs() {
        let mode = |tag: &str, host: &str| {
            RunMode::for_platforms(tag.split('.').map(Platform::parse), Some(Target::parse(host).unwrap()))
        };
        let linux = "x86_64-unknown-linux-gnu";
        assert_eq!(mode("any", linux), RunMode::Native);
        assert_eq!(mode("manylinux_2_17_x86_64.manylinux2014_x86_64", linux), RunMode::Native);
        assert_eq!(mode("manylinux_2_17_aarch64", linux), RunMode::Emulated(Arch::Aarch64));
        assert_eq!(mode("musllinux_1_2_x86_64", linux), RunMode::Unsupported);
        assert_eq!(mode("macosx_11_0_arm64", linux), RunMode::Unsupported);
        assert_eq!(mode("win_amd64", linux), RunMode::Unsupported);
        assert_eq!(mode("win_amd64", "x86_64-pc-windows-msvc"), RunMode::Native);
        assert_eq!(mode("win_arm64", "x86_64-pc-windows-msvc"), RunMode::Unsupported);
        assert_eq!(mode("macosx_11_0_universal2", "aarch64-apple-darwin"), RunMode::Native);
    }
}
