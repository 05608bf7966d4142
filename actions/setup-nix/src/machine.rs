//! What this machine has: a Nix, a store, rights.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use serde::Serialize;
use toolkit::{Cmd, Env, OutputMode, Ui};

use crate::key::hash_files;
use crate::narinfo::STORE;
use crate::store::STATE;

/// The link that keeps the installed Nix from garbage collection, and by which the
/// next run finds it.
pub(crate) const GC_ROOT: &str = "/nix/var/nix/gcroots/setup-nix";

/// The state of this machine.
#[allow(clippy::struct_excessive_bools, reason = "each is one fact")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineState {
    /// As Nix names it, `x86_64-linux`.
    pub system: String,
    /// Whether we are root.
    pub root: bool,
    /// Whether `sudo -n` works.
    pub sudo: bool,
    /// Our user, for `chown`.
    pub user: String,
    /// A Nix that starts.
    pub nix: Option<FoundNix>,
    /// Whether paths can be put into `/nix`, now or by making it.
    pub store: Access,
    /// `NIX_STORE_DIR` or `NIX_STATE_DIR` with its value, where it names another place.
    pub elsewhere: Option<String>,
    /// Whether a daemon listens.
    pub daemon: bool,
    /// Whether `/dev/kvm` is there and not for us.
    pub closed_kvm: bool,
    /// Whether the machine is one of GitHub's, and goes away with the job.
    pub hosted: bool,
    /// SHA-256 over the files that `hash-files` names.
    pub files: String,
    /// How many those are.
    pub file_count: usize,
}

/// A Nix that is already there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundNix {
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

impl MachineState {
    /// Looks at the machine.
    pub(crate) fn read(patterns: &[String], env: &Env, ui: &Ui) -> Self {
        let run = |cmd: Cmd| cmd.run(ui, OutputMode::Quiet, Duration::from_secs(60)).ok();
        let root = rustix::process::geteuid().is_root();
        let os = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
        let nix = nix_folders(env).into_iter().find_map(|bin| {
            if !bin.join("nix-store").is_file() {
                return None;
            }
            let done = run(Cmd::new(bin.join("nix").display().to_string()).arg("--version"))?;
            Some(FoundNix { version: done.stdout.split_whitespace().last()?.to_owned(), bin })
        });
        let writable = |path: &str| rustix::fs::access(path, rustix::fs::Access::WRITE_OK);
        let store = match (writable("/nix"), writable("/nix/store")) {
            (Err(Errno::NOENT), _) => Access::Missing,
            (Ok(()), Ok(()) | Err(Errno::NOENT)) => Access::Ours,
            (Err(Errno::ROFS), _) | (_, Err(Errno::ROFS)) => Access::ReadOnly,
            _ => Access::Foreign,
        };
        let workspace = env.get("GITHUB_WORKSPACE").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let (files, file_count) = hash_files(&workspace, patterns);
        Self {
            system: format!("{}-{os}", std::env::consts::ARCH),
            root,
            sudo: !root && run(Cmd::new("sudo").args(["-n", "true"])).is_some(),
            user: rustix::process::geteuid().as_raw().to_string(),
            nix,
            store,
            elsewhere: elsewhere(env),
            daemon: Path::new("/nix/var/nix/daemon-socket/socket").exists(),
            closed_kvm: Path::new("/dev/kvm").exists()
                && rustix::fs::access("/dev/kvm", rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)
                    .is_err(),
            hosted: env.get("RUNNER_ENVIRONMENT") == Some("github-hosted"),
            files,
            file_count,
        }
    }
}

/// The variables by which Nix takes another store than the one that is restored and
/// packed here.
fn elsewhere(env: &Env) -> Option<String> {
    let usual = [("NIX_STORE_DIR", STORE), ("NIX_STATE_DIR", STATE)];
    usual.iter().find_map(|(name, usual)| {
        let value =
            env.get(name).filter(|value| !value.is_empty() && value.trim_end_matches('/') != *usual)?;
        Some(format!("{name} is `{value}`"))
    })
}

/// Where a Nix may be: ours of an earlier run, PATH, the usual profiles.
fn nix_folders(env: &Env) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(GC_ROOT).join("bin")];
    folders.extend(std::env::split_paths(env.get("PATH").unwrap_or_default()));
    folders.push("/nix/var/nix/profiles/default/bin".into());
    folders.extend(env.get("HOME").map(|home| Path::new(home).join(".nix-profile/bin")));
    folders
}
