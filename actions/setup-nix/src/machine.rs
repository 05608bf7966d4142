//! The state of this machine: its Nix, its store, our privileges.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use serde::Serialize;
use toolkit::{Cmd, Env, OutputMode, Ui};

use crate::key::hash_files;
use crate::narinfo::STORE;
use crate::store::{DAEMON_CONF, STATE};

/// The link that protects the installed Nix from garbage collection, and by which the next
/// run finds it.
pub(crate) const GC_ROOT: &str = "/nix/var/nix/gcroots/setup-nix";

/// The socket of Nix's daemon.
pub(crate) const DAEMON_SOCKET: &str = "/nix/var/nix/daemon-socket/socket";

/// The state of this machine.
#[allow(clippy::struct_excessive_bools, reason = "each is one fact")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineState {
    /// Nix's name of the system, such as `x86_64-linux`.
    pub system: String,
    /// Whether we are root.
    pub root: bool,
    /// Whether `sudo -n` works.
    pub sudo: bool,
    /// Our numeric user ID, for `chown`.
    pub user: String,
    /// An installed Nix that works.
    pub nix: Option<FoundNix>,
    /// Whether `/nix` is usable, or can be created.
    pub store: Access,
    /// `NIX_STORE_DIR` or `NIX_STATE_DIR` with its value, if it is not the default.
    pub custom_store: Option<String>,
    /// Whether a daemon is running.
    pub daemon: bool,
    /// Whether Nix is our installation, with a daemon that we have set up.
    pub had_daemon: bool,
    /// Whether `/dev/kvm` exists and is not accessible to us.
    pub closed_kvm: bool,
    /// Whether the machine is GitHub-hosted, and therefore discarded after the job.
    pub hosted: bool,
    /// SHA-256 over the files that match `hash-files`.
    pub files: String,
    /// The number of those files.
    pub file_count: usize,
}

/// An installed Nix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundNix {
    /// The directory of its programs.
    pub bin: PathBuf,
    /// Its version.
    pub version: String,
}

/// Our access to `/nix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It exists and is writable.
    Writable,
    /// It does not exist.
    Missing,
    /// It exists and is not writable.
    NotWritable,
    /// It is on a read-only file system.
    ReadOnly,
}

impl MachineState {
    /// Inspects the machine.
    pub(crate) fn read(patterns: &[String], env: &Env, ui: &Ui) -> Self {
        let run = |cmd: Cmd| cmd.run(ui, OutputMode::Quiet, Duration::from_secs(60)).ok();
        let root = rustix::process::geteuid().is_root();
        let os = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
        let nix = nix_dirs(env).into_iter().find_map(|bin| {
            if !bin.join("nix-store").is_file() {
                return None;
            }
            let output = run(Cmd::new(bin.join("nix").display().to_string()).arg("--version"))?;
            Some(FoundNix { version: output.stdout.split_whitespace().last()?.to_owned(), bin })
        });
        let writable = |path: &str| rustix::fs::access(path, rustix::fs::Access::WRITE_OK);
        let store = match (writable("/nix"), writable("/nix/store")) {
            (Err(Errno::NOENT), _) => Access::Missing,
            (Ok(()), Ok(()) | Err(Errno::NOENT)) => Access::Writable,
            (Err(Errno::ROFS), _) | (_, Err(Errno::ROFS)) => Access::ReadOnly,
            _ => Access::NotWritable,
        };
        let workspace = env.get("GITHUB_WORKSPACE").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let is_ours = nix.as_ref().is_some_and(|nix| nix.bin.starts_with(GC_ROOT));
        let (files, file_count) = hash_files(&workspace, patterns);
        Self {
            system: format!("{}-{os}", std::env::consts::ARCH),
            root,
            sudo: !root && run(Cmd::new("sudo").args(["-n", "true"])).is_some(),
            user: rustix::process::geteuid().as_raw().to_string(),
            nix,
            store,
            custom_store: custom_store(env),
            daemon: is_listening(Path::new(DAEMON_SOCKET)),
            had_daemon: is_ours && Path::new(DAEMON_CONF).exists(),
            closed_kvm: Path::new("/dev/kvm").exists()
                && rustix::fs::access("/dev/kvm", rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)
                    .is_err(),
            hosted: env.get("RUNNER_ENVIRONMENT") == Some("github-hosted"),
            files,
            file_count,
        }
    }
}

/// Whether a process accepts connections to `socket`. After a restart of the machine, its file
/// remains without a process.
fn is_listening(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// The variable that makes Nix use another store than the one that is restored and packed
/// here, if one is set.
fn custom_store(env: &Env) -> Option<String> {
    let defaults = [("NIX_STORE_DIR", STORE), ("NIX_STATE_DIR", STATE)];
    defaults.iter().find_map(|(name, default)| {
        let value =
            env.get(name).filter(|value| !value.is_empty() && value.trim_end_matches('/') != *default)?;
        Some(format!("{name} is `{value}`"))
    })
}

/// Where to look for Nix: our own installation, PATH, the usual profiles.
fn nix_dirs(env: &Env) -> Vec<PathBuf> {
    let mut dirs = vec![Path::new(GC_ROOT).join("bin")];
    dirs.extend(std::env::split_paths(env.get("PATH").unwrap_or_default()));
    dirs.push("/nix/var/nix/profiles/default/bin".into());
    dirs.extend(env.get("HOME").map(|home| Path::new(home).join(".nix-profile/bin")));
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_of_a_daemon_that_has_ended_is_no_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        assert!(!is_listening(&socket));
        let daemon = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(is_listening(&socket));
        drop(daemon);
        assert!(socket.exists() && !is_listening(&socket));
    }
}
