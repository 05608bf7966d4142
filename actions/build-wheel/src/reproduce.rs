//! Builds a second time, in another directory and for another user, and
//! compares the bytes.

use std::fs::File;
use std::path::{Path, PathBuf};

use toolkit::{Cmd, FileError};

use crate::backend::{self, BuiltFile};
use crate::build_result::{BuildResult, finish};
use crate::choices::Linker;
use crate::compiler_flags::SourceDirs;
use crate::environment::repository;
use crate::error::Error;
use crate::files::copy_tree;
use crate::plan::Plan;
use crate::repair;
use crate::runtime::Runtime;
use crate::search_path::{IS_WINDOWS, which};

/// Files that mark a directory without sources: caches, such as Cargo's target
/// directory, and virtual environments.
const MARKER_FILES: [&str; 2] = ["CACHEDIR.TAG", "pyvenv.cfg"];

/// Builds a second time below the directory `to`, and compares the result with
/// `firsts`.
pub(crate) fn verify(
    plan: &Plan,
    firsts: &[BuildResult],
    to: &Path,
    runtime: &Runtime<'_>,
) -> Result<(), Error> {
    // Compilers record canonical paths.
    let to = &dunce::canonicalize(to).map_err(FileError::new("read", to))?;
    let result = to.join("finished");
    let built = match &plan.build {
        None => vec![BuiltFile { name: file_name(&plan.project), path: plan.project.clone() }],
        Some(cmd) if cmd.program == "nix" => {
            runtime.ui.info("building a second time");
            // Nix itself builds in a new directory and compares the outputs.
            let rebuild = Plan { build: Some(cmd.clone().arg("--rebuild")), ..plan.clone() };
            backend::build(&rebuild, to, runtime.ui).map_err(as_difference)?
        }
        Some(cmd) => {
            let (cmd, out) = varied_build(plan, cmd, to, runtime)?;
            let mut again = Plan { build: Some(cmd), build_sdist: None, ..plan.clone() };
            if let Some(sdist) = &plan.build_sdist {
                again.build_sdist = Some(varied_build(plan, sdist, &to.join("sdist"), runtime)?.0);
            }
            backend::build(&again, &out, runtime.ui)?
        }
    };
    let names = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join("`, `");
    if built.len() != firsts.len() {
        let first = names(&mut firsts.iter().filter_map(|first| first.path.file_name()?.to_str()));
        let second = names(&mut built.iter().map(|built| built.name.as_str()));
        return Err(Error::NotReproducible(format!("one build produces `{first}`, the other `{second}`")));
    }
    for (first, built) in firsts.iter().zip(&built) {
        let second = finish(plan, built, &result)?;
        if let Some(difference) = difference(first, &second)? {
            return Err(Error::NotReproducible(difference));
        }
        reject_zig_debug_info(plan, &second, to)?;
    }
    Ok(())
}

/// zig compiles its startup files once per machine, with debug information that
/// contains its own directory and that of the first build. The second build here
/// uses the same cache, so it cannot reveal the difference.
fn reject_zig_debug_info(plan: &Plan, built: &BuildResult, scratch: &Path) -> Result<(), Error> {
    const SOURCES: [&[u8]; 2] = [b"/lib/libc/glibc/", b"/lib/libc/musl/"];
    if plan.linker != Some(Linker::Zig) || built.name.wheel().is_none() {
        return Ok(());
    }
    let wheel = File::open(&built.path).map_err(FileError::new("read", &built.path))?;
    repair::find_member_with(&wheel, &SOURCES, scratch).map_or(Ok(()), |file| Err(Error::ZigDebugInfo(file)))
}

/// The same build of a copy of the sources, with another home, registry, time
/// zone, umask and, if `faketime` is available, clock. Also returns the output
/// directory.
fn varied_build(plan: &Plan, cmd: &Cmd, to: &Path, runtime: &Runtime<'_>) -> Result<(Cmd, PathBuf), Error> {
    let make = |name: &str| -> Result<PathBuf, FileError> {
        let path = to.join(name);
        std::fs::create_dir_all(&path).map_err(FileError::new("create", &path))?;
        Ok(path)
    };
    let (root, directory) = copy_sources(&plan.project, &to.join("sources"))?;
    // A container sees the copy at the same paths as the original.
    let mounts = (format!("{}:", plan.source_dirs.root.display()), format!("{}:", root.display()));
    let (home, out) = (make("home")?, make("out")?);
    let mut varied = vec!["directory"];
    let target = plan.source_dirs.target.as_ref().map(|_| make("target")).transpose()?;
    let mut source_dirs = SourceDirs { home: Some(home.clone()), cargo_home: None, root, target };
    let mut again = Cmd { directory: Some(directory), ..cmd.clone() };
    let cargo_home = plan.source_dirs.cargo_home.as_ref().filter(|path| path.is_dir());
    if let Some(cargo_home) = cargo_home.filter(|_| IS_WINDOWS) {
        // Links need rights there, and a registry is too large to copy.
        again = again.env("CARGO_HOME", cargo_home.display().to_string());
        source_dirs.cargo_home = Some(cargo_home.clone());
    } else if let Some(cargo_home) = cargo_home {
        let linked = make("cargo")?;
        link_entries(cargo_home, &linked)?;
        again = again.env("CARGO_HOME", linked.display().to_string());
        source_dirs.cargo_home = Some(linked);
        varied.push("CARGO_HOME");
    }
    // rustup would look in the other home.
    let rustup = runtime.env.get("RUSTUP_HOME").map(PathBuf::from);
    let rustup = rustup.or_else(|| Some(plan.source_dirs.home.as_ref()?.join(".rustup")));
    if let Some(rustup) = rustup.filter(|path| path.is_dir()) {
        again = again.env("RUSTUP_HOME", rustup.display().to_string());
    }
    // zig would spend minutes compiling its C library again for the other home. On Windows its
    // cache is not in the home directory.
    let cache = plan.source_dirs.home.as_ref().filter(|_| !IS_WINDOWS).map(|home| home.join(".cache/zig"));
    if let Some(cache) = cache.filter(|_| runtime.env.get("ZIG_GLOBAL_CACHE_DIR").is_none()) {
        again = again.env("ZIG_GLOBAL_CACHE_DIR", cache.display().to_string());
    }
    for value in again.env.values_mut().flatten() {
        *value = plan.source_dirs.moved(&source_dirs, value);
    }
    for arg in &mut again.args {
        *arg = plan.source_dirs.moved(&source_dirs, arg);
        if let Some(place) = arg.strip_prefix(&mounts.0).filter(|_| plan.linker == Some(Linker::Container)) {
            *arg = mounts.1.clone() + place;
        }
    }
    if let Some(target) = &source_dirs.target {
        again = again.env("CARGO_TARGET_DIR", target.display().to_string());
    }
    let faketime = which(runtime.env, "faketime");
    let (again, more) = varied_process(again, &home, faketime.as_deref(), IS_WINDOWS);
    varied.extend(more);
    runtime.ui.info(format!("building a second time with another {}", varied.join(", ")));
    Ok((again, out))
}

/// The command with another home, time zone and, except on Windows, umask and clock. Also returns
/// what differs.
fn varied_process(
    mut cmd: Cmd,
    home: &Path,
    faketime: Option<&Path>,
    is_windows: bool,
) -> (Cmd, Vec<&'static str>) {
    let mut varied = vec!["home", "time zone"];
    cmd = cmd.env("HOME", home.display().to_string());
    if is_windows {
        // The C runtime knows no names of places. There is no umask, and `sh` may be missing.
        cmd = cmd.env("USERPROFILE", home.display().to_string()).env("TZ", "XXX-14");
        return (cmd, varied);
    }
    cmd = cmd.env("TZ", "Pacific/Kiritimati");
    varied.push("umask");
    let mut args = vec!["-c".to_owned(), "umask 027; exec \"$@\"".to_owned(), "sh".to_owned()];
    if let Some(faketime) = faketime {
        args.extend([faketime.display().to_string(), "-f".to_owned(), "+400d".to_owned()]);
        varied.push("clock");
    }
    args.push(std::mem::replace(&mut cmd.program, "sh".to_owned()));
    args.append(&mut cmd.args);
    (Cmd { args, ..cmd }, varied)
}

/// Links every entry of `from` in `to`, so that the same registry has another
/// path.
fn link_entries(from: &Path, to: &Path) -> Result<(), FileError> {
    for entry in std::fs::read_dir(from).map_err(FileError::new("read", from))? {
        let entry = entry.map_err(FileError::new("read", from))?;
        let link = to.join(entry.file_name());
        toolkit::link(&entry.path(), &link)?;
    }
    Ok(())
}

/// Recognizes Nix's message about differing outputs.
fn as_difference(error: Error) -> Error {
    match &error {
        Error::BuildFailed { stderr, .. } if stderr.contains("may not be deterministic") => {
            let line = stderr.lines().find(|line| line.contains("may not be deterministic"));
            Error::NotReproducible(line.unwrap_or_default().trim_start_matches("error: ").to_owned())
        }
        _ => error,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Describes the first difference.
fn difference(first: &BuildResult, second: &BuildResult) -> Result<Option<String>, FileError> {
    if first.sha256 == second.sha256 && first.name == second.name {
        return Ok(None);
    }
    if first.name != second.name {
        return Ok(Some(format!("one is named `{}`, the other `{}`", first.name, second.name)));
    }
    let open = |path: &Path| File::open(path).map_err(FileError::new("read", path));
    let (old, new) = (open(&first.path)?, open(&second.path)?);
    let found = first.name.wheel().and_then(|_| repair::difference(&old, &new));
    Ok(Some(
        found.unwrap_or_else(|| {
            format!("`{}` differs ({} and {} bytes)", first.name, first.size, second.size)
        }),
    ))
}

/// Copies the repository (or the project, outside a repository) to `to`.
/// Returns the copy and the project's directory in it.
fn copy_sources(project: &Path, to: &Path) -> Result<(PathBuf, PathBuf), FileError> {
    let project = dunce::canonicalize(project).map_err(FileError::new("read", project))?;
    let root = repository(&project);
    let is_copied = |entry: &walkdir::DirEntry| {
        let is_dir = entry.file_type().is_dir();
        !(is_dir && MARKER_FILES.iter().any(|marker| entry.path().join(marker).exists()))
    };
    copy_tree(&root, to, &is_copied)?;
    Ok((to.to_owned(), to.join(project.strip_prefix(&root).unwrap_or(Path::new("")))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_build_on_windows_needs_no_shell() {
        let cmd = Cmd::new("maturin").arg("build");
        let (again, varied) = varied_process(cmd.clone(), Path::new("C:/b"), None, true);
        assert_eq!((again.program.as_str(), &again.args), ("maturin", &cmd.args));
        let value = |name: &str| again.env[name].clone().unwrap();
        assert_eq!(["HOME", "USERPROFILE", "TZ"].map(value), ["C:/b", "C:/b", "XXX-14"]);
        assert_eq!(varied, ["home", "time zone"], "only what differs");
        let (again, varied) = varied_process(cmd, Path::new("/b"), Some(Path::new("/f")), false);
        assert_eq!(again.to_string(), "sh -c 'umask 027; exec \"$@\"' sh /f -f +400d maturin build");
        assert_eq!(again.env["TZ"].as_deref(), Some("Pacific/Kiritimati"));
        assert!(!again.env.contains_key("USERPROFILE"));
        assert_eq!(varied, ["home", "time zone", "umask", "clock"]);
    }
}
