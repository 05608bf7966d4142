//! From inputs and facts to what will be done; nothing is done here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pydist::digest::hex;
use rustix::io::Errno;
use serde::Serialize;
use toolkit::{Cmd, Env, OutputMode, Ui};

use crate::conf;
use crate::error::Error;
use crate::inputs::{Inputs, Reuse};
use crate::install::{GC_ROOT, official, official_url};
use crate::key::hash_files;
use crate::privileged::{daemon, open_kvm, prepare};

/// What is so on this machine.
#[allow(clippy::struct_excessive_bools, reason = "each is one fact")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// As Nix names it, `x86_64-linux`.
    pub system: String,
    /// Whether we are root.
    pub root: bool,
    /// Whether `sudo -n` works.
    pub sudo: bool,
    /// Our user, for `chown`.
    pub user: String,
    /// A Nix that starts.
    pub nix: Option<Found>,
    /// Whether paths can be put into `/nix`, now or by making it.
    pub store: Access,
    /// Whether a daemon listens.
    pub daemon: bool,
    /// Whether `/dev/kvm` is there and not for us.
    pub closed_kvm: bool,
    /// SHA-256 over the files that `hash-files` names.
    pub files: String,
    /// How many those are.
    pub file_count: usize,
}

/// A Nix that is already there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its folder of programs.
    pub bin: PathBuf,
    /// Its version.
    pub version: String,
}

/// What can be done about `/nix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It is there, and ours to write to.
    Ours,
    /// It is not there.
    Missing,
    /// It is there, and not ours.
    Foreign,
    /// Nobody can write there: a file system that is mounted so.
    ReadOnly,
}

/// Everything that will be done, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What makes `/nix` ready.
    pub prepare: Vec<Cmd>,
    /// Where Nix comes from.
    pub nix: Source,
    /// The lines of nix.conf, without a token.
    pub conf: Vec<String>,
    /// Makes the installation one with a daemon, after the restore; `{bin}`
    /// stands for Nix's programs.
    pub daemon: Vec<Cmd>,
    /// Opens `/dev/kvm`; a failure is a warning.
    pub kvm: Option<Cmd>,
    /// `read-write`, `read-only` or `off`.
    pub cache: &'static str,
    /// Why the cache is off, where that was not asked for.
    pub cache_why: Option<String>,
    /// The binary cache.
    pub cache_folder: PathBuf,
    /// The primary key.
    pub key: String,
    /// Prefixes to restore from.
    pub restore_keys: Vec<String>,
}

/// Where Nix comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It is there.
    Reuse(Found),
    /// From this tarball.
    Install {
        /// Path or URL.
        tarball: String,
        /// Hexadecimal.
        sha256: String,
    },
}

impl Facts {
    /// Looks at the machine.
    pub(crate) fn gather(inputs: &Inputs, env: &Env, ui: &Ui) -> Self {
        let run = |cmd: Cmd| cmd.run(ui, OutputMode::Quiet, Duration::from_secs(60)).ok();
        let root = rustix::process::geteuid().is_root();
        let os = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
        let nix = nix_folders(env).into_iter().find_map(|bin| {
            if !bin.join("nix-store").is_file() {
                return None;
            }
            let done = run(Cmd::new(bin.join("nix").display().to_string()).arg("--version"))?;
            Some(Found { version: done.stdout.split_whitespace().last()?.to_owned(), bin })
        });
        let writable = |path: &str| rustix::fs::access(path, rustix::fs::Access::WRITE_OK);
        let store = match (writable("/nix"), writable("/nix/store")) {
            (Err(Errno::NOENT), _) => Access::Missing,
            (Ok(()), Ok(()) | Err(Errno::NOENT)) => Access::Ours,
            (Err(Errno::ROFS), _) | (_, Err(Errno::ROFS)) => Access::ReadOnly,
            _ => Access::Foreign,
        };
        let workspace = env.get("GITHUB_WORKSPACE").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let (files, file_count) = hash_files(&workspace, &inputs.hash_files);
        Self {
            system: format!("{}-{os}", std::env::consts::ARCH),
            root,
            sudo: !root && store != Access::Ours && run(Cmd::new("sudo").args(["-n", "true"])).is_some(),
            user: rustix::process::geteuid().as_raw().to_string(),
            nix,
            store,
            daemon: Path::new("/nix/var/nix/daemon-socket/socket").exists(),
            closed_kvm: Path::new("/dev/kvm").exists()
                && rustix::fs::access("/dev/kvm", rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)
                    .is_err(),
            files,
            file_count,
        }
    }
}

/// Where a Nix may be: ours of an earlier run, PATH, the usual profiles.
fn nix_folders(env: &Env) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(GC_ROOT).join("bin")];
    folders.extend(std::env::split_paths(env.get("PATH").unwrap_or_default()));
    folders.push("/nix/var/nix/profiles/default/bin".into());
    folders.extend(env.get("HOME").map(|home| Path::new(home).join(".nix-profile/bin")));
    folders
}

/// Decides what is to be done.
pub(crate) fn plan(inputs: &Inputs, facts: &Facts) -> Result<Plan, Error> {
    let fits = |found: &&Found| match inputs.reuse {
        Reuse::Any => true,
        Reuse::SameVersion => found.version == inputs.version,
        Reuse::Never => false,
    };
    let nix = match facts.nix.as_ref().filter(fits) {
        Some(found) => Source::Reuse(found.clone()),
        None => source(inputs, facts)?,
    };
    let prepare = match &nix {
        Source::Reuse(_) => Vec::new(),
        Source::Install { .. } => prepare(facts)?,
    };
    let reused = matches!(nix, Source::Reuse(_));
    let daemon = daemon_steps(inputs, facts, reused)?;
    let read_only = facts.store == Access::ReadOnly;
    let ours = !read_only && (facts.store == Access::Ours || facts.root || !reused);
    let cache = if ours { inputs.cache } else { "off" };
    let os = if facts.system.ends_with("darwin") { "macOS" } else { "Linux" };
    let arch = facts.system.split('-').next().unwrap_or_default();
    let stem = format!("{}-{os}-{arch}-", inputs.cache_key);
    let key = format!("{stem}{}", facts.files);
    Ok(Plan {
        prepare,
        conf: conf::lines(inputs, daemon.is_empty() && !(reused && facts.daemon)),
        daemon,
        nix,
        kvm: (inputs.kvm && facts.closed_kvm && (facts.root || facts.sudo)).then(|| open_kvm(facts)),
        cache,
        cache_why: (!ours && inputs.cache != "off").then(|| {
            if read_only {
                "the store is on a file system that is mounted read-only".into()
            } else {
                "the store belongs to a daemon or another user".into()
            }
        }),
        cache_folder: inputs.cache_folder.clone(),
        // The newest saved set first; then what a post of `actions/cache` saved.
        restore_keys: vec![format!("{key}-"), key.clone(), stem],
        key,
    })
}

/// What `daemon: true` takes here.
fn daemon_steps(inputs: &Inputs, facts: &Facts, reused: bool) -> Result<Vec<Cmd>, Error> {
    let none = |message: &str, hint: &str| Err(Error::Plan { message: message.into(), hint: hint.into() });
    if !inputs.daemon || (reused && facts.daemon) {
        return Ok(Vec::new());
    }
    if facts.system.ends_with("darwin") {
        return none("`daemon` is for Linux alone", "leave it out: a single-user Nix builds on macOS too");
    }
    if reused {
        return none(
            "the Nix that is there has no daemon, and is not this action's to change",
            "leave `daemon` out, or install another one with `reuse: never`",
        );
    }
    if !facts.root && !facts.sudo {
        return none("a daemon is started by root", "run as root, or allow `sudo -n`");
    }
    Ok(daemon(facts, Path::new("{bin}")))
}

fn source(inputs: &Inputs, facts: &Facts) -> Result<Source, Error> {
    let known = official(&inputs.version, &facts.system);
    let (tarball, expected) = match &inputs.tarball {
        Some(tarball) => (tarball.clone(), inputs.sha256),
        None => (official_url(&inputs.version, &facts.system), inputs.sha256.or(known)),
    };
    let Some(expected) = expected else {
        return Err(Error::Plan {
            message: format!("no sha256 is known for {tarball}; nothing is installed without one"),
            hint: "give `sha256`, or a `nix-version` that is compiled in (2.34.4, 2.35.2) and no `tarball`"
                .into(),
        });
    };
    Ok(Source::Install { tarball, sha256: hex(&expected) })
}
