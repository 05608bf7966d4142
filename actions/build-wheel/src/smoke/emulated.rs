//! Tests a wheel for another Linux architecture: its programs run under QEMU,
//! and so do its modules if there is a Python for that architecture.

use std::path::{Path, PathBuf};

use pydist::tags::TagSet;
use pydist::target::{Arch, System, Target};
use toolkit::{Cmd, FileError, make_executable};

use super::outcome::{CheckOutcome, Expected};
use super::result::{Smoke, SmokeResult};
use super::smoke_test::{ImportTask, SmokeTest};
use crate::build_result::BuildResult;
use crate::error::Error;
use crate::interpreter::Interpreter;
use crate::plan::SmokePlan;
use crate::repair::{Executable, ProgramSystem, Root, extract, installed};
use crate::search_path::which;

/// Runs programs for another architecture.
struct Emulator {
    /// `qemu-aarch64` …
    name: String,
    path: PathBuf,
    /// Where Debian's cross packages put the architecture's C library.
    root: Option<String>,
}

impl Emulator {
    fn find(arch: Arch, smoke_test: &SmokeTest<'_>) -> Result<Self, String> {
        let name = format!("qemu-{}", arch.qemu());
        let env = smoke_test.runtime.env;
        let path = which(env, &format!("{name}-static")).or_else(|| which(env, &name));
        let path = path.ok_or_else(|| format!("there is no `{name}` on PATH"))?;
        let prefix = Target { arch, system: System::Gnu }.gnu_prefix();
        let root = prefix.map(|prefix| format!("/usr/{prefix}")).filter(|root| Path::new(root).is_dir());
        Ok(Self { name, path, root })
    }

    /// The command line that runs a program, without the program.
    fn command_line(&self) -> Vec<String> {
        let root = self.root.iter().flat_map(|root| ["-L".to_owned(), root.clone()]);
        std::iter::once(self.path.display().to_string()).chain(root).collect()
    }

    /// Whether a program's loader exists.
    fn has_loader(&self, interpreter: Option<&str>) -> bool {
        let Some(path) = interpreter else { return true };
        let in_root = self.root.as_ref().is_some_and(|root| Path::new(&format!("{root}{path}")).exists());
        in_root || Path::new(path).exists()
    }

    fn cmd(&self, smoke_test: &SmokeTest<'_>, program: &Path, bin: &Path) -> Cmd {
        let command_line = self.command_line();
        smoke_test.cmd(&command_line[0], bin).args(&command_line[1..]).arg(program.display().to_string())
    }
}

/// Runs the smoke test.
pub(super) fn run(
    mut smoke_test: SmokeTest<'_>,
    plan: &SmokePlan,
    arch: Arch,
    wheel: &BuildResult,
) -> Result<Smoke, Error> {
    let emulator = match Emulator::find(arch, &smoke_test) {
        Ok(emulator) => emulator,
        Err(reason) => return Ok(Smoke::none(SmokeResult::Skipped, Some(reason))),
    };
    let own = |program: &&Executable| {
        program.platform.as_ref().is_none_or(|platform| {
            platform.system == ProgramSystem::Linux && platform.archs.iter().any(|name| name == arch.tag())
        })
    };
    let (programs, others): (Vec<&Executable>, Vec<&Executable>) =
        wheel.contents.executables.iter().partition(own);
    let without_loader = programs.iter().find(|program| !emulator.has_loader(program.interpreter.as_deref()));
    if let Some(loader) = without_loader.and_then(|program| program.interpreter.as_deref()) {
        let arch = arch.tag();
        let reason = format!(
            "there is no C library for {arch} here (`{loader}`; on Debian and Ubuntu: `libc6-<cpu>-cross`)"
        );
        return Ok(Smoke::none(SmokeResult::Skipped, Some(reason)));
    }
    // Install it, since a program finds its libraries relative to itself.
    let prefix = smoke_test.home.join("emulated");
    extract(&wheel.path, &wheel.stem(), &prefix, &prefix.join("site"))
        .map_err(|source| Error::Wheel { file: smoke_test.wheel.clone(), source })?;
    let installed_path = |member: &str| {
        let (root, path) = installed(&wheel.stem(), member);
        match root {
            Root::Site => prefix.join("site").join(&*path),
            Root::Data => prefix.join(&*path),
            Root::Headers => prefix.join("include").join(&*path),
        }
    };
    for executable in &programs {
        make_executable(&installed_path(&executable.member))?;
    }
    let wrappers = prefix.join("wrappers");
    write_wrappers(&emulator, &programs, &wrappers, &installed_path)?;
    if !plan.commands.is_empty() {
        return run_commands(smoke_test, plan, &emulator, &wrappers);
    }
    for executable in others {
        let platform = executable.platform.as_ref().map_or("another platform", |platform| &platform.name);
        let reason = format!("it is for {platform}");
        smoke_test.record_foreign(wheel, executable, reason)?;
    }
    let expected = Expected { contents: &wheel.contents, requires: wheel.contents.requires(None) };
    for executable in programs {
        let cmd = emulator.cmd(&smoke_test, &installed_path(&executable.member), &wrappers).arg("--version");
        smoke_test.must_start(&cmd, expected)?;
    }
    import(&mut smoke_test, &emulator, wheel, arch, &prefix, &wrappers)?;
    Ok(smoke_test.finish(SmokeResult::Emulated, Some(format!("run by {}", emulator.name))))
}

/// Writes scripts that run the wheel's programs under QEMU, with the same names.
fn write_wrappers(
    emulator: &Emulator,
    programs: &[&Executable],
    to: &Path,
    installed_path: &dyn Fn(&str) -> PathBuf,
) -> Result<(), FileError> {
    std::fs::create_dir_all(to).map_err(FileError::new("create", to))?;
    for executable in programs {
        let Some(script) = &executable.script else { continue };
        let program = Cmd::new(&emulator.command_line()[0]).args(&emulator.command_line()[1..]);
        let program = program.arg(installed_path(&executable.member).display().to_string());
        let path = to.join(script);
        std::fs::write(&path, format!("#!/bin/sh\nexec {program} \"$@\"\n"))
            .map_err(FileError::new("write", &path))?;
        make_executable(&path)?;
    }
    Ok(())
}

/// Commands of the shell itself, which start no program.
const SHELL_COMMANDS: [&str; 3] = ["cd", "export", "set"];

fn run_commands(
    mut smoke_test: SmokeTest<'_>,
    plan: &SmokePlan,
    emulator: &Emulator,
    wrappers: &Path,
) -> Result<Smoke, Error> {
    for line in &plan.commands {
        let program = line.split_whitespace().next().unwrap_or_default();
        if program.is_empty() || program.starts_with('#') {
            continue;
        }
        if !SHELL_COMMANDS.contains(&program) && !wrappers.join(program).is_file() {
            let reason = format!("`{program}` is not a binary of the wheel, and only these can be emulated");
            return Ok(Smoke::none(SmokeResult::Skipped, Some(reason)));
        }
    }
    smoke_test.run_commands(&plan.commands, wrappers, None)?;
    Ok(smoke_test.finish(SmokeResult::Emulated, Some(format!("run by {}", emulator.name))))
}

/// Imports the modules with a Python for the wheel's architecture, if there is
/// one.
fn import(
    smoke_test: &mut SmokeTest<'_>,
    emulator: &Emulator,
    wheel: &BuildResult,
    arch: Arch,
    prefix: &Path,
    bin: &Path,
) -> Result<(), Error> {
    let contents = &wheel.contents;
    let Some(name) = wheel.name.wheel() else { return Ok(()) };
    let Some(mut task) = ImportTask::new(wheel, contents.requires(None), Some(prefix)) else {
        return Ok(());
    };
    let requires = contents.requires_python.as_deref();
    if let Some(python) = foreign_python(smoke_test, emulator, &name.tags, requires, arch) {
        task.requires = contents.requires(python.markers.as_ref());
        let cmd = emulator.cmd(smoke_test, &python.path, bin);
        smoke_test.import(cmd, &task, Expected { contents, requires: task.requires })
    } else {
        let reason = "no Python for its architecture on this machine";
        smoke_test.record("import the modules".to_owned(), CheckOutcome::NotRun(reason.to_owned()))
    }
}

/// A Python that runs under the emulator and accepts the wheel: in the root of
/// Debian's cross packages, or one that uv has installed for the architecture
/// (`uv python install cpython-3.12-linux-aarch64-gnu`).
fn foreign_python(
    smoke_test: &SmokeTest<'_>,
    emulator: &Emulator,
    tags: &TagSet,
    requires: Option<&str>,
    arch: Arch,
) -> Option<Interpreter> {
    let root = emulator.root.as_ref().map(PathBuf::from).into_iter();
    let in_root = root
        .flat_map(|root| ["usr/bin/python3", "bin/python3"].map(|installed_path| root.join(installed_path)));
    let env = smoke_test.runtime.env;
    let data = env.get("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(Path::new(env.get("HOME")?).join(".local/share")));
    let uv = env.get("UV_PYTHON_INSTALL_DIR").map(PathBuf::from);
    let uv = uv.or_else(|| Some(data?.join("uv/python"))).and_then(|uv| std::fs::read_dir(uv).ok());
    let platform = format!("-linux-{}-", arch.tag());
    let is_for_arch = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().contains(&platform);
    let uv_pythons = uv.into_iter().flatten().filter_map(Result::ok).filter(is_for_arch);
    let uv_pythons = uv_pythons.map(|entry| entry.path().join("bin/python3"));
    in_root.chain(uv_pythons).filter(|path| path.is_file()).find_map(|path| {
        let cmd = emulator.cmd(smoke_test, &path, path.parent().unwrap_or(&path));
        let python = Interpreter::inspect_by(cmd, &path, smoke_test.runtime.ui)?;
        (python.accepts(tags) && python.fits(requires)).then_some(python)
    })
}
