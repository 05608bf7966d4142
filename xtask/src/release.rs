//! `cargo xtask release --local`: runs the whole release on this machine, with the same
//! programs as the workflows.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pydist::digest;
use pydist::manifest::Manifest;
use toolkit::{Cmd, Exit, FileError, Service};

use crate::actions::{Actions, PACKAGES};
use crate::error::Error;
use crate::generate::ACTIONS;
use crate::programs::{self, Programs};
use crate::shell::{Shell, display};
use crate::steps::Steps;
use crate::tools;

/// How long the index server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Publish to an index server on this machine
    #[arg(long, required = true)]
    local: bool,
    /// Build and publish again even if nothing has changed
    #[arg(long)]
    fresh: bool,
}

/// The directories of a local release.
struct Directories {
    root: PathBuf,
    /// The built distributions. Removed with their reports if an input changes.
    dist: PathBuf,
    reports: PathBuf,
    /// The files of the index server.
    index: PathBuf,
    /// The digest of the inputs of the distributions.
    stamp: PathBuf,
    /// The clean environment in which htty is installed.
    venv: PathBuf,
}

impl Directories {
    fn new(shell: &Shell) -> Self {
        let root = shell.target.join("release-local");
        Self {
            dist: root.join("dist"),
            reports: root.join("reports"),
            index: root.join("index"),
            stamp: root.join("inputs.sha256"),
            venv: root.join("venv"),
            root,
        }
    }

    fn manifest(&self) -> PathBuf {
        self.root.join("dist-manifest.json")
    }

    /// Creates the directories, and empties them unless they are from the same `inputs`.
    fn prepare(&self, inputs: &str, fresh: bool) -> Result<bool, Error> {
        let unchanged = !fresh && std::fs::read_to_string(&self.stamp).is_ok_and(|old| old == inputs);
        if !unchanged && self.root.exists() {
            std::fs::remove_dir_all(&self.root).map_err(FileError::new("remove", &self.root))?;
        }
        for directory in [&self.dist, &self.reports, &self.index] {
            std::fs::create_dir_all(directory).map_err(FileError::new("create", directory))?;
        }
        Ok(unchanged)
    }
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    let mut steps = Steps::new(shell);
    let result = release(shell, args, &mut steps);
    shell.ui.report(steps.table());
    result.map(|()| Exit::Done)
}

fn release(shell: &Shell, args: &Args, steps: &mut Steps) -> Result<(), Error> {
    let directories = Directories::new(shell);
    let tools = steps.step("tools", || {
        let bin = tools::environment(shell, "release")?;
        tools::build_requirements(shell)?;
        Ok((bin, "maturin, uv and pypiserver, pinned by hash".into()))
    })?;
    let actions =
        steps.step("binaries", || Ok((Actions::build(shell, &ACTIONS, &tools)?, ACTIONS.join(", "))))?;
    build(shell, args, steps, &actions, &directories)?;
    let manifest = steps.step("verify-dist", || verify(&actions, &directories))?;
    let index = steps.step("index server", || {
        let index = LocalIndex::start(shell, &tools, &directories.index)?;
        let detail = format!("pypiserver at {}", index.url);
        Ok((index, detail))
    })?;
    steps.step("publish", || publish(&actions, &directories, &index, &manifest))?;
    steps.step("install", || Ok(((), install(shell, &tools, &index, &manifest, &directories.venv)?)))?;
    steps.step("compare", || {
        let script = shell.root.join("xtask/scripts/compare_installed.py");
        let listed = directories.manifest();
        let paths = [&script, &listed, &directories.dist, &directories.venv];
        let python = Cmd::new(display(&tools.join("python")));
        let output = shell.quiet(&python.args(paths.map(|path| display(path))))?;
        Ok(((), output.stdout.trim().to_owned()))
    })?;
    steps.step("run verify-dist", || Ok(((), run_from_index(shell, &tools, &index)?)))?;
    steps.step("run htty", || {
        let htty = Cmd::new(display(&directories.venv.join("bin/htty")));
        let args = ["-r", "4", "-c", "20", "--expect", "world", "-s", "--", "echo", "hello", "world"];
        let output = shell.quiet(&htty.args(args))?;
        if output.stdout.lines().next() != Some("hello world") {
            let stdout = output.stdout;
            return Err(Error::Check(format!("htty printed {stdout:?}, expected `hello world`")));
        }
        Ok(((), "printed `hello world`".into()))
    })
}

/// Builds the distributions, unless they are from the same inputs.
fn build(
    shell: &Shell,
    args: &Args,
    steps: &mut Steps,
    actions: &Actions,
    directories: &Directories,
) -> Result<(), Error> {
    let inputs = inputs_digest(shell, &actions.bin)?;
    let unchanged = directories.prepare(&inputs, args.fresh)?;
    for (package, backend) in PACKAGES {
        steps.step(&format!("build {package}"), || {
            if unchanged {
                return Ok(((), "unchanged, reused".into()));
            }
            actions.build_wheel(package, &directories.dist, &directories.reports)?;
            Ok(((), format!("backend {backend}")))
        })?;
    }
    steps.step(&format!("build {}", programs::NAME), || {
        if unchanged {
            return Ok(((), "unchanged, reused".into()));
        }
        let programs = Programs {
            target: &programs::host_target(),
            binaries: &actions.bin,
            source_url: None,
            is_released: false,
        };
        let raw = programs::pack_wheel(shell, &programs, &directories.root.join("raw"))?;
        let report = directories.reports.join("wheel-actions.json");
        actions.tag_wheel(&raw, &directories.dist, &report)?;
        Ok(((), ACTIONS.join(", ")))
    })?;
    Ok(toolkit::write_atomic(&directories.stamp, inputs.as_bytes())?)
}

fn verify(actions: &Actions, directories: &Directories) -> Result<(Manifest, String), Error> {
    let path = directories.manifest();
    actions.run("verify-dist", &[&display(&directories.dist), "--manifest", &display(&path)])?;
    let bytes = std::fs::read(&path).map_err(FileError::new("read", &path))?;
    let manifest = Manifest::parse(&bytes).map_err(|error| Error::Check(error.to_string()))?;
    let detail = format!("{} files without an error", manifest.files.len());
    Ok((manifest, detail))
}

fn publish(
    actions: &Actions,
    directories: &Directories,
    index: &LocalIndex,
    manifest: &Manifest,
) -> Result<((), String), Error> {
    let before = count(&directories.index)?;
    let report = display(&directories.reports.join("publish.json"));
    let (dist, path) = (display(&directories.dist), display(&directories.manifest()));
    let target = ["--index", &index.url, "--allow-insecure-loopback"];
    actions
        .run("publish", &[&[&*dist, "--manifest", &path, "--report-path", &report], &target[..]].concat())?;
    let sent = count(&directories.index)? - before;
    Ok(((), format!("{sent} sent, {} already there", manifest.files.len() - sent)))
}

/// The digest of everything that the distributions depend on: the files of the packages, the
/// pins of the tools, and the programs.
fn inputs_digest(shell: &Shell, bin: &Path) -> Result<String, Error> {
    let mut files = Vec::new();
    for directory in ["htty-core", "htty", "nix/lib"] {
        walk(&shell.root.join(directory), &mut files)?;
    }
    for file in ["xtask/requirements/release.txt", "xtask/requirements/build.txt"] {
        files.push(shell.root.join(file));
    }
    for file in programs::SOURCES {
        files.push(shell.root.join(file));
    }
    files.extend(ACTIONS.map(|program| bin.join(program)));
    files.sort();
    let mut all = String::new();
    for file in files {
        let bytes = std::fs::read(&file).map_err(FileError::new("read", &file))?;
        all.push_str(&format!("{} {}\n", digest::hex(&digest::sha256(&bytes)), display(&file)));
    }
    Ok(digest::hex(&digest::sha256(all.as_bytes())))
}

/// All files below `directory`, except caches of tools.
fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in std::fs::read_dir(directory).map_err(FileError::new("read", directory))? {
        let path = entry.map_err(FileError::new("read", directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let left =
            name.starts_with('.') || matches!(&*name, "__pycache__" | "target" | "dist" | "node_modules");
        if left || name.ends_with(".pyc") {
            continue;
        }
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn count(directory: &Path) -> Result<usize, Error> {
    Ok(std::fs::read_dir(directory).map_err(FileError::new("read", directory))?.count())
}

/// A real pypiserver on loopback, which runs until this value is dropped.
struct LocalIndex {
    url: String,
    simple: String,
    _service: Service,
}

impl LocalIndex {
    fn start(shell: &Shell, tools: &Path, packages: &Path) -> Result<Self, Error> {
        let port = free_port()?;
        let script = shell.root.join("xtask/scripts/serve_index.py");
        let requirements = tools::build_requirements(shell)?;
        let cmd = Cmd::new(display(&tools.join("python")))
            .args([&script, packages, &requirements].map(AsRef::as_ref).map(display))
            .arg(port.to_string())
            .directory(&shell.root);
        let log = packages.with_extension("log");
        let mut service = Service::start(&cmd, &log)?;
        let end = Instant::now() + START_TIMEOUT;
        while !responds(port) {
            if !service.is_running() || Instant::now() > end || toolkit::interrupted() {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::Check(format!("the index server does not respond\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let url = format!("http://127.0.0.1:{port}/");
        Ok(Self { simple: format!("{url}simple/"), url, _service: service })
    }
}

fn free_port() -> Result<u16, Error> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    port.map(|address| address.port()).map_err(|error| Error::Check(format!("no free port: {error}")))
}

fn responds(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"HTTP")
    };
    ask().unwrap_or(false)
}

/// Installs exactly the files of the manifest into a new environment, by hash and only from the
/// index.
fn install(
    shell: &Shell,
    tools: &Path,
    index: &LocalIndex,
    manifest: &Manifest,
    venv: &Path,
) -> Result<String, Error> {
    let uv =
        || Cmd::new(display(&tools.join("uv"))).arg("--no-config").arg("--quiet").without("UV_INDEX_URL");
    let python = tools.join("python");
    shell.quiet(&uv().args(["venv", "--clear", "--python", &display(&python), &display(venv)]))?;
    let requirements = venv.with_extension("requirements.txt");
    let lines = manifest
        .files
        .iter()
        .map(|file| format!("{}=={} --hash=sha256:{}\n", file.package, file.version, file.sha256));
    let text = lines.collect::<String>();
    toolkit::write_atomic(&requirements, text.as_bytes())?;
    let install = uv()
        .args(["pip", "install", "--no-cache", "--require-hashes", "--default-index", &index.simple])
        .args(["--python", &display(venv), "-r", &display(&requirements)])
        .without("PIP_FIND_LINKS")
        .without("UV_FIND_LINKS")
        .without("UV_EXTRA_INDEX_URL");
    shell.quiet(&install)?;
    let listed: Vec<String> =
        manifest.files.iter().map(|file| format!("{} {}", file.package, file.version)).collect();
    Ok(format!("{} by hash from the index only", listed.join(", ")))
}

/// Runs a program of wheel-actions from the index without installing it, as a user would.
fn run_from_index(shell: &Shell, tools: &Path, index: &LocalIndex) -> Result<String, Error> {
    let python = tools.join("python");
    let uv = Cmd::new(display(&tools.join("uv"))).args(["tool", "run", "--no-config", "--no-cache"]);
    let uv = uv.args(["--quiet", "--python", &display(&python), "--default-index", &index.simple]);
    let from = format!("{}=={}", programs::NAME, programs::VERSION);
    let run = uv.args(["--from", &from, "verify-dist", "--version"]);
    let run = run.without("UV_INDEX_URL").without("UV_FIND_LINKS").without("UV_EXTRA_INDEX_URL");
    let printed = shell.quiet(&run)?.stdout.trim().to_owned();
    if !printed.starts_with(&format!("verify-dist {}", programs::VERSION)) {
        return Err(Error::Check(format!("`verify-dist --version` printed {printed:?}")));
    }
    Ok(format!("{printed}, by `uv tool run`"))
}
