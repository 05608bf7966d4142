//! From inputs and the machine's state to what will be done; nothing is done here.

use std::path::{Path, PathBuf};

use pydist::digest::hex;
use serde::Serialize;
use toolkit::Cmd;

use crate::choices::{CacheMode, CacheTrust, Kvm, Mount, Reuse};
use crate::conf;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::install::{official, official_url};
use crate::machine::{Access, FoundNix, MachineState};
use crate::privileged::{daemon, open_kvm, prepare};

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
    pub cache: CacheMode,
    /// Whether paths are put into a store that belongs to root, by `sudo -n`.
    pub restore_as_root: bool,
    /// Whether images of the cache are mounted over the store.
    pub mount: bool,
    /// Why the cache is off, where that was not asked for.
    pub cache_why: Option<String>,
    /// The binary cache.
    pub cache_folder: PathBuf,
    /// The primary key.
    pub key: String,
    /// The start of the layers' keys, which end with their ids.
    pub layer_key: String,
    /// Prefixes to restore from.
    pub restore_keys: Vec<String>,
}

/// Where Nix comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It is there.
    Reuse(FoundNix),
    /// From this tarball.
    Install {
        /// Path or URL.
        tarball: String,
        /// Hexadecimal.
        sha256: String,
    },
}

/// Decides what is to be done.
pub(crate) fn plan(inputs: &Inputs, machine: &MachineState) -> Result<Plan, Error> {
    let fits = |found: &&FoundNix| match inputs.reuse {
        Reuse::Any => true,
        Reuse::SameVersion => found.version == inputs.version,
        Reuse::Never => false,
    };
    let nix = match (machine.nix.as_ref().filter(fits), &machine.elsewhere) {
        (Some(found), _) => Source::Reuse(found.clone()),
        (None, None) => source(inputs, machine)?,
        (None, Some(elsewhere)) => {
            return Err(Error::Plan {
                message: format!("{elsewhere}, and an installed Nix works in /nix/store alone"),
                hint: "unset it, or use the Nix of that store (`reuse: any`)".into(),
            });
        }
    };
    let prepare = match &nix {
        Source::Reuse(_) => Vec::new(),
        Source::Install { .. } => prepare(machine)?,
    };
    let reused = matches!(nix, Source::Reuse(_));
    let daemon = daemon_steps(inputs, machine, reused)?;
    let read_only = machine.store == Access::ReadOnly;
    let ours = machine.store == Access::Ours || machine.root || !reused;
    let restore_as_root = !read_only && !ours && machine.sudo;
    let usable = !read_only && (ours || restore_as_root);
    let usable = usable && inputs.no_cache.is_none() && machine.elsewhere.is_none();
    let cache = if usable { inputs.cache } else { CacheMode::Off };
    let kvm = inputs.kvm == Kvm::Always || (inputs.kvm == Kvm::Auto && machine.hosted);
    let os = if machine.system.ends_with("darwin") { "macOS" } else { "Linux" };
    let arch = machine.system.split('-').next().unwrap_or_default();
    // What another user packed cannot be collected by this one.
    let stem = format!("{}-{os}-{arch}-{}-", inputs.cache_key, machine.user);
    let key = format!("{stem}{}", machine.files);
    Ok(Plan {
        prepare,
        conf: conf::lines(inputs, daemon.is_empty() && !(reused && machine.daemon)),
        daemon,
        nix,
        kvm: (kvm && machine.closed_kvm && (machine.root || machine.sudo)).then(|| open_kvm(machine)),
        cache,
        restore_as_root,
        mount: cache != CacheMode::Off && mounts(inputs, machine, restore_as_root),
        cache_why: (!usable && inputs.cache != CacheMode::Off).then(|| match &inputs.no_cache {
            Some(why) => why.clone(),
            None if machine.elsewhere.is_some() => {
                format!("{}; it is for /nix/store alone", machine.elsewhere.as_deref().unwrap_or_default())
            }
            None if read_only => "the store is on a file system that is mounted read-only".into(),
            None => "the store belongs to a daemon or another user, and `sudo -n` is not allowed".into(),
        }),
        cache_folder: inputs.cache_folder.clone(),
        layer_key: format!("{}-layer-{}", inputs.cache_key, machine.user),
        // The newest index of the same files; then that of others.
        restore_keys: vec![format!("{key}-"), stem],
        key,
    })
}

/// Whether images are mounted. A daemon may live in a mount namespace of its own, or be
/// about to get a store that belongs to root; and an image that no key signed reaches the
/// kernel's parser.
fn mounts(inputs: &Inputs, machine: &MachineState, restore_as_root: bool) -> bool {
    let asked = match inputs.mount {
        Mount::Auto => machine.hosted,
        Mount::Always => true,
        Mount::Never => false,
    };
    let able = machine.system.ends_with("linux") && (machine.root || machine.sudo);
    let daemon = inputs.daemon || machine.daemon || restore_as_root;
    asked && able && !daemon && inputs.cache_trust == CacheTrust::All
}

/// What `daemon: true` takes here.
fn daemon_steps(inputs: &Inputs, machine: &MachineState, reused: bool) -> Result<Vec<Cmd>, Error> {
    let none = |message: &str, hint: &str| Err(Error::Plan { message: message.into(), hint: hint.into() });
    if !inputs.daemon || (reused && machine.daemon) {
        return Ok(Vec::new());
    }
    if machine.system.ends_with("darwin") {
        return none("`daemon` is for Linux alone", "leave it out: a single-user Nix builds on macOS too");
    }
    if reused {
        return none(
            "the Nix that is there has no daemon, and is not this action's to change",
            "leave `daemon` out, or install another one with `reuse: never`",
        );
    }
    if !machine.root && !machine.sudo {
        return none("a daemon is started by root", "run as root, or allow `sudo -n`");
    }
    Ok(daemon(machine, Path::new("{bin}")))
}

fn source(inputs: &Inputs, machine: &MachineState) -> Result<Source, Error> {
    let known = official(&inputs.version, &machine.system);
    let (tarball, expected) = match &inputs.tarball {
        Some(tarball) => (tarball.clone(), inputs.sha256),
        None => (official_url(&inputs.version, &machine.system), inputs.sha256.or(known)),
    };
    let Some(expected) = expected else {
        return Err(Error::Plan {
            message: format!("no sha256 is known for {tarball}; nothing is installed without one"),
            hint: "give `sha256`, or leave out `nix-version` and `tarball`".into(),
        });
    };
    Ok(Source::Install { tarball, sha256: hex(&expected) })
}
