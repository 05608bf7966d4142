//! Chooses how to test a wheel.

use std::path::Path;

use pydist::tags::Platform;
use pydist::target::{Arch, System, Target};
use toolkit::FileError;

use super::result::{Smoke, SmokeResult};
use super::smoke_test::{SmokeTest, create_profile};
use super::{emulated, native, python};
use crate::build_result::BuildResult;
use crate::build_target::BuildTarget;
use crate::choices::SmokeMode;
use crate::error::Error;
use crate::host::{host, starts};
use crate::isolation::Isolation;
use crate::plan::Plan;
use crate::runtime::Runtime;
use crate::search_path::{IS_WINDOWS, shell};

/// Fails before a long build for what would only be found after it: missing `test-sources`, and
/// no Python with `smoke: required`.
pub(crate) fn check_setup(plan: &Plan, runtime: &Runtime<'_>) -> Result<(), Error> {
    if plan.smoke.mode == SmokeMode::Off {
        return Ok(());
    }
    for source in &plan.smoke.sources {
        let path = sources(plan).join(source);
        std::fs::symlink_metadata(&path).map_err(FileError::new("read", &path))?;
    }
    if !is_for_this_machine(plan.target.as_ref(), host(runtime.env)) {
        return Ok(());
    }
    if IS_WINDOWS && !plan.smoke.commands.is_empty() && shell(runtime.env).is_none() {
        return Err(Error::NoShell);
    }
    let platform = plan.target.as_ref().and_then(BuildTarget::known).and_then(Target::python_platform);
    let is_required = plan.smoke.mode == SmokeMode::Required && plan.build.is_some();
    if is_required && !python::exists(&plan.smoke, platform, runtime) {
        let reason = python::none(platform);
        return Err(Error::NoSmoke { result: SmokeResult::Skipped.name(), reason });
    }
    Ok(())
}

/// The directory that `test-sources` are relative to.
fn sources(plan: &Plan) -> &Path {
    if plan.project.is_dir() { &plan.project } else { Path::new(".") }
}

/// Whether the wheel will run here without an emulator, which needs no Python to start programs.
fn is_for_this_machine(target: Option<&BuildTarget>, host: Option<Target>) -> bool {
    match (target, host) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(target), Some(host)) if host.system == System::Macos => target.is_macos(),
        (Some(target), Some(host)) if host.is_windows() => {
            target.known().is_some_and(|target| target.is_windows() && starts(host, target.tag_arch()))
        }
        (Some(target), Some(host)) => target.known() == Some(host),
    }
}

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
    native::copy_sources(&plan.smoke, sources(plan), &work)?;
    create_profile(&home)?;
    let smoke_test = SmokeTest {
        wheel: name.to_string(),
        home,
        work,
        isolation: Isolation::find(runtime.ui),
        runtime,
        checks: Vec::new(),
        not_run: Vec::new(),
        not_for_system: Vec::new(),
    };
    let smoke = match RunMode::for_platforms(name.tags.platforms(), host(runtime.env)) {
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
            if system == host.system && starts(host, arch) {
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
        assert_eq!(mode("win32", "x86_64-pc-windows-msvc"), RunMode::Native);
        assert_eq!(mode("win_arm64", "x86_64-pc-windows-msvc"), RunMode::Unsupported);
        for tag in ["win_arm64", "win_amd64", "win32"] {
            assert_eq!(mode(tag, "aarch64-pc-windows-msvc"), RunMode::Native, "{tag}");
        }
        assert_eq!(mode("macosx_11_0_universal2", "aarch64-apple-darwin"), RunMode::Native);
    }

    /// A missing Python is reported before the build.
    #[test]
    fn knows_before_the_build_whether_the_wheel_runs_here() {
        let of = |target: &str, host: &str| {
            let target = BuildTarget::parse(target, System::Gnu).unwrap();
            is_for_this_machine(Some(&target), Some(Target::parse(host).unwrap()))
        };
        let (x64, arm) = ("x86_64-pc-windows-msvc", "aarch64-pc-windows-msvc");
        for (target, host, expected) in [
            ("i686-pc-windows-msvc", x64, true),
            ("x86_64-pc-windows-gnu", x64, true),
            (arm, x64, false),
            (arm, arm, true),
            (x64, arm, true),
            ("x86_64-unknown-linux-gnu", x64, false),
            (x64, "x86_64-unknown-linux-gnu", false),
            ("aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu", false),
            ("universal2", "aarch64-apple-darwin", true),
        ] {
            assert_eq!(of(target, host), expected, "{target} on {host}");
        }
    }
}
