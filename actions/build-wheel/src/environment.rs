//! The state of the machine and the project that the plan depends on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pydist::target::Target;
use toolkit::{Cmd, Env, FileError, OutputMode, ProcessError, Ui};

use crate::build_target::BuildTarget;
use crate::compiler_flags::CompilerFlags;
use crate::host;
use crate::inputs::Inputs;
use crate::interpreter::{Interpreter, PythonRequest};
use crate::search_path::{IS_WINDOWS, in_store, is_batch_file, is_store_alias, on_path, python_names, which};

/// The state of the machine and the project that the plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineState {
    /// `None` on a machine that is not one of the targets.
    pub host: Option<Target>,
    /// The state of the project's path.
    pub project: ProjectState,
    /// The project's repository or, without one, its directory.
    pub root: PathBuf,
    /// `SOURCE_DATE_EPOCH`, or the time of the project's last commit.
    pub epoch: Option<u64>,
    /// `zig`, or `python-zig` of the `ziglang` wheel.
    pub zig: Option<PathBuf>,
    /// The programs among `maturin`, `cargo` and `nix` that are on PATH.
    pub programs: Vec<&'static str>,
    /// The paths of those that are batch files, which cannot be started by name.
    pub batch_files: BTreeMap<&'static str, PathBuf>,
    /// Whether rustc has the target's standard library.
    pub library: RustLibrary,
    /// The flags of Cargo and the C compiler.
    pub flags: CompilerFlags,
    /// The cross compilers `<prefix>-gcc` on PATH, of all targets.
    pub gcc: Vec<String>,
    /// `docker` or `podman`.
    pub engine: Option<String>,
    /// `uv`, for a fast clean environment and for build isolation.
    pub uv: Option<PathBuf>,
    /// A Python outside the Nix store.
    pub python: Option<PathBuf>,
    /// The path of each Python in the input `interpreters`, if it is on this machine.
    pub interpreters: Vec<Option<PathBuf>>,
}

/// Whether rustc has the standard library of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RustLibrary {
    /// It is installed, Cargo builds it, or rustc gave no answer.
    Ready,
    /// It is missing, but rustup can install it.
    Installable,
    /// It is missing.
    Missing,
    /// rustc does not know the target.
    Unknown,
}

/// The state of the project's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectState {
    /// Nothing.
    Missing,
    /// A flake elsewhere: `github:…`, `git+https://…`.
    RemoteFlake,
    /// A file.
    File,
    /// A directory.
    Directory {
        /// `build-backend` in its `pyproject.toml`; `Some("")` if the file names
        /// none.
        build_backend: Option<String>,
        /// `backend-path`: the directories of the backend's own modules.
        backend_path: Vec<String>,
        /// Whether it has a `Cargo.toml`.
        cargo: bool,
        /// Whether it has a `flake.nix`.
        flake: bool,
        /// The names of the wheels in it, sorted.
        wheels: Vec<String>,
        /// `[tool.maturin]` of its `pyproject.toml`.
        maturin: MaturinSettings,
    },
}

/// Why the machine or the project cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A file of the project cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// `pyproject.toml` is not TOML.
    #[error("`{}` is not valid TOML", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The error and its position.
        source: Box<toml::de::Error>,
    },
    /// `SOURCE_DATE_EPOCH` is invalid.
    #[error("SOURCE_DATE_EPOCH is `{0}`, expected a number of seconds since 1970, from 1980 on")]
    Epoch(String),
}

impl MachineState {
    /// Inspects the machine and the project.
    pub fn gather(inputs: &Inputs, env: &Env, ui: &Ui) -> Result<Self, EnvironmentError> {
        let host = host::host(env);
        let target = inputs.target.clone().or(host.map(BuildTarget::Known));
        let known = target.as_ref().and_then(BuildTarget::known);
        let gcc = known.and_then(Target::gnu_prefix).map(|prefix| format!("{prefix}-gcc"));
        let uv = which(env, "uv").filter(|path| !in_store(path));
        // Windows runs Pythons for several processors.
        let platform = known.filter(|_| host.is_some_and(Target::is_windows));
        let platform = platform.and_then(Target::python_platform);
        let find =
            |request: &PythonRequest| Some(request.find(platform, uv.as_deref(), env, ui).next()?.path);
        Ok(Self {
            host,
            project: ProjectState::inspect(&inputs.project, inputs.manifest_path.as_deref())?,
            root: repository(&inputs.project),
            epoch: epoch(inputs, env, ui)?,
            programs: ["maturin", "cargo", "nix"]
                .into_iter()
                .filter(|name| which(env, name).is_some())
                .collect(),
            batch_files: ["maturin"].into_iter().filter_map(|name| batch_file(env, name)).collect(),
            library: target
                .as_ref()
                .map_or(RustLibrary::Ready, |target| RustLibrary::find(target, inputs, env, ui)),
            flags: CompilerFlags::gather(&repository(&inputs.project), &inputs.project, target.as_ref(), env),
            zig: ["zig", "python-zig"].iter().find_map(|name| which(env, name)),
            gcc: gcc.filter(|name| which(env, name).is_some()).into_iter().collect(),
            engine: ["docker", "podman"].into_iter().find(|name| which(env, name).is_some()).map(|name| {
                match batch_file(env, name) {
                    Some((_, path)) => path.display().to_string(),
                    None => name.to_owned(),
                }
            }),
            interpreters: inputs.interpreters.iter().map(find).collect(),
            python: python(inputs, platform, env, uv.as_deref(), ui),
            uv,
        })
    }
}

/// The program `name` if it is a batch file.
fn batch_file(env: &Env, name: &'static str) -> Option<(&'static str, PathBuf)> {
    Some((name, which(env, name).filter(|path| is_batch_file(path))?))
}

impl ProjectState {
    /// Inspects the project. Like maturin, prefers the `pyproject.toml` beside the
    /// manifest.
    fn inspect(path: &Path, manifest: Option<&Path>) -> Result<Self, EnvironmentError> {
        if path.is_file() {
            return Ok(Self::File);
        }
        if !path.exists() && is_flake_url(&path.to_string_lossy()) {
            return Ok(Self::RemoteFlake);
        }
        if !path.is_dir() {
            return Ok(Self::Missing);
        }
        let mut wheels = Vec::new();
        for entry in std::fs::read_dir(path).map_err(FileError::new("read", path))? {
            let name = entry.map_err(FileError::new("read", path))?.file_name();
            wheels.extend(
                name.into_string().ok().filter(|name| Path::new(name).extension() == Some("whl".as_ref())),
            );
        }
        wheels.sort();
        let manifest = path.join(manifest.unwrap_or(Path::new("Cargo.toml")));
        let beside = manifest.with_file_name("pyproject.toml");
        let pyproject = if beside.is_file() { beside } else { path.join("pyproject.toml") };
        let Pyproject { build_backend, backend_path, maturin } = Pyproject::read(&pyproject)?;
        Ok(Self::Directory {
            build_backend,
            backend_path,
            maturin,
            cargo: manifest.is_file(),
            flake: path.join("flake.nix").is_file(),
            wheels,
        })
    }
}

/// Whether the text is the URL of a flake reference.
fn is_flake_url(text: &str) -> bool {
    const SCHEMES: [&str; 8] = ["github", "gitlab", "sourcehut", "git", "hg", "tarball", "path", "flake"];
    let scheme =
        text.split_once(':').map(|(scheme, _)| scheme.split_once('+').map_or(scheme, |(kind, _)| kind));
    scheme.is_some_and(|scheme| SCHEMES.contains(&scheme) || ["https", "http", "file"].contains(&scheme))
}

impl RustLibrary {
    /// Asks rustc in the project's directory, to respect its
    /// `rust-toolchain.toml`.
    fn find(target: &BuildTarget, inputs: &Inputs, env: &Env, ui: &Ui) -> Self {
        if !inputs.project.is_dir() || builds_library(inputs, env) {
            return Self::Ready;
        }
        let found =
            target.triples().into_iter().map(|triple| Self::find_one(triple, target, inputs, env, ui));
        found.max_by_key(|found| *found as u8).unwrap_or(Self::Ready)
    }

    fn find_one(triple: &str, target: &BuildTarget, inputs: &Inputs, env: &Env, ui: &Ui) -> Self {
        let rustc = env.get("RUSTC").unwrap_or("rustc");
        let cmd = Cmd::new(rustc).args(["--print", "target-libdir", "--target", triple]);
        let cmd = cmd.directory(&inputs.project);
        let output = match cmd.run(ui, OutputMode::Quiet, Duration::from_secs(600)) {
            Ok(output) => output,
            Err(ProcessError::Failed { .. }) if target.known().is_none() => return Self::Unknown,
            Err(_) => return Self::Ready,
        };
        let directory = PathBuf::from(output.stdout.trim());
        let is_core = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore-");
        let mut entries = std::fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok);
        if entries.any(is_core) {
            return Self::Ready;
        }
        // rustup can only add to its own toolchains.
        let is_rustups = directory.components().any(|part| part.as_os_str() == "toolchains");
        if is_rustups && which(env, "rustup").is_some() { Self::Installable } else { Self::Missing }
    }
}

/// Whether Cargo builds the standard library itself.
fn builds_library(inputs: &Inputs, env: &Env) -> bool {
    let project = std::path::absolute(&inputs.project).unwrap_or_default();
    let files = project.ancestors().map(|path| path.join(".cargo/config.toml"));
    let mut texts = files.filter_map(|path| std::fs::read_to_string(path).ok());
    env.get("CARGO_UNSTABLE_BUILD_STD").is_some()
        || inputs.maturin_args.iter().any(|arg| arg.contains("build-std"))
        || texts.any(|text| text.contains("build-std"))
}

/// The root of the repository of `project`; without one, `project`.
pub(crate) fn repository(project: &Path) -> PathBuf {
    let project = dunce::canonicalize(project).unwrap_or_else(|_| project.to_owned());
    project.ancestors().find(|dir| dir.join(".git").exists()).unwrap_or(&project).to_owned()
}

/// The settings in `[tool.maturin]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaturinSettings {
    /// Cargo's profile.
    pub profile: Option<String>,
    /// The platform tag to build for, such as `manylinux_2_28`.
    pub compatibility: Option<String>,
}

/// The relevant parts of `pyproject.toml`.
#[derive(Default)]
struct Pyproject {
    /// `build-backend` (PEP 517); `""` if the file names none, `None` without a
    /// file.
    build_backend: Option<String>,
    backend_path: Vec<String>,
    maturin: MaturinSettings,
}

impl Pyproject {
    fn read(path: &Path) -> Result<Self, EnvironmentError> {
        if !path.is_file() {
            return Ok(Self::default());
        }
        let text = toolkit::read_text(path)?;
        let parsed: toml::Table = text
            .parse()
            .map_err(|source| EnvironmentError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        let key = |name: &str| parsed.get("build-system").and_then(|table| table.get(name));
        let name = key("build-backend").and_then(toml::Value::as_str).unwrap_or_default();
        let paths = key("backend-path").and_then(toml::Value::as_array).into_iter().flatten();
        let maturin = parsed.get("tool").and_then(|table| table.get("maturin"));
        let setting = |name: &str| maturin.and_then(|table| table.get(name)?.as_str()).map(str::to_owned);
        Ok(Self {
            build_backend: Some(name.to_owned()),
            backend_path: paths.filter_map(|path| path.as_str().map(str::to_owned)).collect(),
            maturin: MaturinSettings { profile: setting("profile"), compatibility: setting("compatibility") },
        })
    }
}

/// The time of `SOURCE_DATE_EPOCH`, or else of the last commit. Warns if git cannot
/// read it.
fn epoch(inputs: &Inputs, env: &Env, ui: &Ui) -> Result<Option<u64>, EnvironmentError> {
    if let Some(text) = env.get("SOURCE_DATE_EPOCH") {
        let epoch = text.parse().ok().filter(|epoch| *epoch >= crate::repair::EARLIEST);
        return epoch.map(Some).ok_or_else(|| EnvironmentError::Epoch(text.to_owned()));
    }
    let root = repository(&inputs.project);
    if inputs.source_date_epoch.is_some() || !inputs.project.is_dir() || !root.join(".git").exists() {
        return Ok(None);
    }
    // In a container, the checkout belongs to the runner's user, and git refuses to
    // read it. Reading it is safe, because it is built anyway.
    let trust = format!("safe.directory={}", root.display());
    let git = Cmd::new("git").args(["-c", &trust, "log", "-1", "--no-show-signature", "--format=%ct"]);
    let output = git.directory(&inputs.project).run(ui, OutputMode::Quiet, Duration::from_secs(60));
    let problem = match output {
        Ok(output) => match output.stdout.trim().parse() {
            Ok(time) => return Ok(Some(time)),
            Err(_) => format!("git printed `{}`", output.stdout.trim()),
        },
        Err(error) => error.to_string(),
    };
    ui.warning(format!(
        "cannot read the time of the last commit in `{}`, files are dated 1980: {problem}\n\
         hint: set `source-date-epoch`, or fix what git reports",
        root.display()
    ));
    Ok(None)
}

/// A Python outside the Nix store, and for `platform` if there is one on PATH. A requested one is
/// used as given.
fn python(
    inputs: &Inputs,
    platform: Option<&'static str>,
    env: &Env,
    uv: Option<&Path>,
    ui: &Ui,
) -> Option<PathBuf> {
    match &inputs.python {
        // Commands run in other directories.
        Some(name) if name.contains(std::path::is_separator) => {
            Some(std::path::absolute(name).unwrap_or_else(|_| name.into()))
        }
        // Windows has no program `python3.12`: every Python is called `python`.
        Some(name) => on_path(env, name).find(|path| !is_store_alias(path)).or_else(|| {
            let request = PythonRequest::parse(name).ok()?;
            Some(request.find(platform, uv, env, ui).next()?.path)
        }),
        None => {
            let is_outside = |path: &PathBuf| {
                !in_store(path)
                    && !in_store(&path.canonicalize().unwrap_or_default())
                    && !is_store_alias(path)
            };
            let names = python_names(IS_WINDOWS).into_iter();
            let mut all = names.flat_map(|name| on_path(env, name)).filter(is_outside);
            let Some(platform) = platform else { return all.next() };
            let all: Vec<PathBuf> = all.collect();
            let is_for = |path: &&PathBuf| {
                Interpreter::inspect(path, ui).is_some_and(|found| found.platform == platform)
            };
            all.iter().find(is_for).or(all.first()).cloned()
        }
    }
}
