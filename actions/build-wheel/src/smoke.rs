//! Tries a wheel out as a user would meet it: installed into a clean
//! environment, on a machine without Nix.

use std::path::Path;
use std::time::Duration;

use binfmt::elf::ElfInfo;
use pydist::filename::DistName;
use pydist::tags::Platform;
use serde::Serialize;
use toolkit::{Cmd, FileError, OutputMode, ProcessError};

use crate::error::Error;
use crate::facts::which;
use crate::inputs::SmokeMode;
use crate::isolation::Isolation;
use crate::plan::{Plan, SmokePlan, unmisled};
use crate::repair::{self, Contents};
use crate::run::Ports;
use crate::target::{Arch, System, Target};

/// For the installation.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// For each check.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// Imports the modules named after the first argument; where the wheel has
/// requirements (`1`), which are not installed, a missing one is no fault.
const IMPORT: &str = "\
import importlib, sys
requires, names = sys.argv[1] == '1', sys.argv[2:]
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not requires or (error.name or name).partition('.')[0] in names:
            raise
";

/// What came of trying a wheel out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Smoke {
    /// In one word.
    pub result: SmokeResult,
    /// How `/nix` was masked.
    pub isolation: &'static str,
    /// Why it is not `passed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was run, and how it went.
    pub checks: Vec<Check>,
}

/// One command that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// The command, without the isolation around it.
    pub command: String,
    /// `ok`, or how it ended where only starting was asked for.
    pub outcome: String,
}

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SmokeResult {
    /// It works where there is no Nix.
    Passed,
    /// Its programs work under QEMU.
    Emulated,
    /// It works, but the Nix store could be seen.
    NotIsolated,
    /// It could not be run here.
    Skipped,
    /// It was not asked for.
    Off,
}

impl SmokeResult {
    /// As outputs and reports name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Emulated => "emulated",
            Self::NotIsolated => "not-isolated",
            Self::Skipped => "skipped",
            Self::Off => "off",
        }
    }
}

/// Tries the wheel `bytes` out in the folder `staging`.
pub(crate) fn test(
    plan: &Plan,
    name: &DistName,
    bytes: &[u8],
    contents: &Contents,
    staging: &Path,
    ports: &Ports<'_>,
) -> Result<Smoke, Error> {
    let none =
        |result, reason: Option<String>| Smoke { result, isolation: "none", reason, checks: Vec::new() };
    let DistName::Wheel(wheel) = name else { return Ok(none(SmokeResult::Off, None)) };
    if plan.smoke.mode == SmokeMode::Off {
        return Ok(none(SmokeResult::Off, None));
    }
    let isolation = Isolation::find(ports.ui);
    let trial = Trial { wheel: wheel.to_string(), staging, isolation, ports, checks: Vec::new() };
    let smoke = match Runs::of(wheel.tags.platforms(), Target::host()) {
        Runs::Native => trial.native(&plan.smoke, bytes, contents)?,
        Runs::Emulated(arch) => trial.emulated(&plan.smoke, arch, bytes, contents)?,
        Runs::Not => none(SmokeResult::Skipped, Some("the wheel is for another system".into())),
    };
    let passed = matches!(smoke.result, SmokeResult::Passed | SmokeResult::Emulated);
    if plan.smoke.mode == SmokeMode::Required && !passed {
        let reason = smoke.reason.unwrap_or_default();
        return Err(Error::NoSmoke { result: smoke.result.name(), reason });
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
                _ => continue,
            };
            let arch = platform.arch().unwrap_or_default();
            if system == host.system && (arch == host.tag_arch() || arch == "universal2") {
                return Self::Native;
            }
            let all = [Arch::X86_64, Arch::Aarch64, Arch::Riscv64, Arch::Ppc64le];
            if let Some(other) = all.into_iter().find(|other| other.tag() == arch)
                && host.is_linux()
                && system != System::Macos
                && other != host.arch
            {
                best = Self::Emulated(other);
            }
        }
        best
    }
}

struct Trial<'a> {
    wheel: String,
    staging: &'a Path,
    isolation: Isolation,
    ports: &'a Ports<'a>,
    checks: Vec<Check>,
}

impl Trial<'_> {
    fn native(mut self, plan: &SmokePlan, bytes: &[u8], contents: &Contents) -> Result<Smoke, Error> {
        let Some(python) = &plan.python else {
            return Ok(
                self.done(SmokeResult::Skipped, Some("there is no Python outside the Nix store".into()))
            );
        };
        let wheel = self.staging.join(&self.wheel);
        std::fs::write(&wheel, bytes).map_err(FileError::new("write", &wheel))?;
        let environment = self.staging.join("environment");
        self.install(python, plan.uv.as_deref(), &environment, &wheel)?;

        let bin = environment.join("bin");
        let own = |program: &str| {
            let path = bin.join(program);
            if path.is_file() { path.display().to_string() } else { program.to_owned() }
        };
        for words in &plan.commands {
            self.check(&clean(&own(&words[0]), &words[1..], self.staging, &bin), true)?;
        }
        if plan.commands.is_empty() {
            if !contents.modules.is_empty() {
                let requires = if contents.requires { "1" } else { "0" };
                let args = ["-c", IMPORT, requires].map(str::to_owned);
                let args: Vec<String> = args.into_iter().chain(contents.modules.iter().cloned()).collect();
                let python = bin.join("python").display().to_string();
                self.check(&clean(&python, &args, self.staging, &bin), true)?;
            }
            let binary = |program: &&String| contents.binaries.iter().any(|(name, _)| name == *program);
            // A Python program needs what the wheel requires.
            for program in contents.programs.iter().filter(|program| !contents.requires || binary(program)) {
                self.check(&clean(&own(program), &["--version".into()], self.staging, &bin), false)?;
            }
        }
        let hidden = self.isolation != Isolation::Impossible;
        let result = if hidden { SmokeResult::Passed } else { SmokeResult::NotIsolated };
        let reason = (!hidden).then(|| "nothing on this machine can mask /nix".to_owned());
        Ok(self.done(result, reason))
    }

    fn emulated(
        mut self,
        plan: &SmokePlan,
        arch: Arch,
        bytes: &[u8],
        contents: &Contents,
    ) -> Result<Smoke, Error> {
        let name = format!("qemu-{}", arch.tag());
        let env = self.ports.env;
        let Some(qemu) = which(env, &format!("{name}-static")).or_else(|| which(env, &name)) else {
            return Ok(self.done(SmokeResult::Skipped, Some(format!("there is no `{name}` on PATH"))));
        };
        if contents.binaries.is_empty() {
            let reason = "it has no program, and there is no Python for its machine here";
            return Ok(self.done(SmokeResult::Skipped, Some(reason.into())));
        }
        // Where Debian's cross packages put a foreign C library.
        let target = Target { arch, system: System::Gnu };
        let root = target
            .gnu_prefix()
            .map(|prefix| format!("/usr/{prefix}"))
            .filter(|root| Path::new(root).is_dir());
        // As installed: a program finds libraries from its own place.
        let prefix = self.staging.join("emulated");
        let bin = prefix.join("bin");
        let members = contents.binaries.iter().map(|(name, member)| (bin.join(name), member, true));
        let libraries = contents.libraries.iter().map(|(path, member)| (prefix.join(path), member, false));
        for (path, member, program) in members.chain(libraries) {
            let content = repair::member(bytes, member).unwrap_or_default();
            let loader = ElfInfo::read(content.as_slice()).ok();
            let loader = loader.and_then(|elf| elf.interpreter().map(str::to_owned));
            let loader = loader.filter(|loader| {
                !["", root.as_deref().unwrap_or_default()]
                    .iter()
                    .any(|root| Path::new(&format!("{root}{loader}")).exists())
            });
            if let Some(loader) = loader.filter(|_| program) {
                let reason = format!(
                    "there is no C library for {} here (`{loader}`; on Debian and Ubuntu: `libc6-<cpu>-cross`)",
                    arch.tag()
                );
                return Ok(self.done(SmokeResult::Skipped, Some(reason)));
            }
            write_member(&path, &content)?;
        }
        let under_qemu = |program: &str, rest: &[String]| {
            let mut args: Vec<String> =
                root.iter().flat_map(|root| ["-L".to_owned(), root.clone()]).collect();
            args.push(bin.join(program).display().to_string());
            args.extend(rest.iter().cloned());
            clean(&qemu.display().to_string(), &args, self.staging, &bin)
        };
        let mut commands = Vec::new();
        for words in &plan.commands {
            if contents.binaries.iter().any(|(program, _)| *program == words[0]) {
                commands.push((under_qemu(&words[0], &words[1..]), true));
            } else {
                let reason =
                    format!("`{}` is no binary of the wheel, and only these can be emulated", words[0]);
                return Ok(self.done(SmokeResult::Skipped, Some(reason)));
            }
        }
        if commands.is_empty() {
            let programs = contents.binaries.iter();
            commands.extend(programs.map(|(program, _)| (under_qemu(program, &["--version".into()]), false)));
        }
        for (cmd, must_succeed) in commands {
            self.check(&cmd, must_succeed)?;
        }
        Ok(self.done(SmokeResult::Emulated, Some(format!("run by {name}"))))
    }

    /// Installs the wheel, and nothing else, into a new environment.
    fn install(&self, python: &Path, uv: Option<&Path>, to: &Path, wheel: &Path) -> Result<(), Error> {
        let (python, to, wheel) = (show(python), show(to), show(wheel));
        let commands = match uv {
            Some(uv) => [
                Cmd::new(show(uv)).args([
                    "venv",
                    "--quiet",
                    "--no-config",
                    "--no-project",
                    "--python",
                    &python,
                    &to,
                ]),
                Cmd::new(show(uv))
                    .args(["pip", "install", "--quiet", "--no-config", "--offline", "--no-index"])
                    .args(["--no-deps", "--python", &format!("{to}/bin/python"), &wheel]),
            ],
            None => [
                Cmd::new(&python).args(["-m", "venv", "--without-pip", &to]),
                Cmd::new(&python)
                    .args(["-m", "pip", "--isolated", "--disable-pip-version-check", "--quiet", "--python"])
                    .args([
                        &format!("{to}/bin/python"),
                        "install",
                        "--no-index",
                        "--no-deps",
                        "--no-compile",
                        &wheel,
                    ]),
            ],
        };
        for cmd in commands.map(unmisled) {
            let command = cmd.to_string();
            let done = cmd.run(self.ports.ui, OutputMode::Quiet, INSTALL_LIMIT);
            done.map_err(|source| Error::Smoke {
                wheel: self.wheel.clone(),
                command,
                source: source.into(),
            })?;
        }
        Ok(())
    }

    /// Runs one command in isolation. Where it need not succeed, it must at
    /// least start: not every program knows `--version`.
    fn check(&mut self, cmd: &Cmd, must_succeed: bool) -> Result<(), Error> {
        let command = cmd.to_string();
        let outcome = match self.isolation.wrap(cmd).run(self.ports.ui, OutputMode::Quiet, CHECK_LIMIT) {
            Ok(_) => "ok".to_owned(),
            Err(ProcessError::Failed { status, .. }) if !must_succeed && started(status.code()) => {
                format!("started, then ended with {status}")
            }
            Err(ProcessError::Timeout { limit, .. }) if !must_succeed => {
                format!("started, and still ran after {} s", limit.as_secs())
            }
            Err(source) => {
                return Err(Error::Smoke { wheel: self.wheel.clone(), command, source: source.into() });
            }
        };
        self.checks.push(Check { command, outcome });
        Ok(())
    }

    fn done(self, result: SmokeResult, reason: Option<String>) -> Smoke {
        Smoke { result, isolation: self.isolation.name(), reason, checks: self.checks }
    }
}

/// 126 and 127 are of the shell and `env`, for what they cannot start, and of
/// the loader, for a library it cannot find; 255 is QEMU's; a signal has none.
fn started(code: Option<i32>) -> bool {
    code.is_some_and(|code| code < 126)
}

/// A command with a fresh home and a PATH without Nix.
fn clean(program: &str, args: &[String], home: &Path, bin: &Path) -> Cmd {
    Cmd::new(program)
        .args(args)
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
        .env("HOME", show(home))
        .env("TMPDIR", show(home))
        .env("LANG", "C.UTF-8")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .directory(home)
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

/// Writes a file that can be executed, and the folders around it.
fn write_member(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(FileError::new("create", folder))?;
    std::fs::write(path, content).map_err(FileError::new("write", path))?;
    executable(path)
}

#[cfg(unix)]
fn executable(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).map_err(FileError::new("make executable", path))
}

#[cfg(not(unix))]
fn executable(_path: &Path) -> Result<(), FileError> {
    Ok(())
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
        assert_eq!(runs("macosx_11_0_universal2", "aarch64-apple-darwin"), Runs::Native);
    }
}
