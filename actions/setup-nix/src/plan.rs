//! Decides from the inputs and the machine's state what to do, without doing it.

use std::path::{Path, PathBuf};

use pydist::digest::hex;
use serde::Serialize;
use toolkit::Cmd;

use crate::choices::{CacheMode, CacheTrust, Reuse};
use crate::conf;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::install::{official, official_url};
use crate::machine::{Access, FoundNix, MachineState};
use crate::privileged::{daemon, open_kvm, prepare};

/// Everything that will be done, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Commands that make `/nix` writable.
    pub prepare: Vec<Cmd>,
    /// Where Nix comes from.
    pub nix: Source,
    /// The lines of nix.conf, without tokens.
    pub conf: Vec<String>,
    /// Commands that set up the daemon after the restore. `{bin}` is replaced by the directory
    /// of Nix's programs.
    pub daemon: Vec<Cmd>,
    /// Opens `/dev/kvm`; a failure does not fail the job.
    pub kvm: Option<Cmd>,
    /// `read-write`, `read-only` or `off`.
    pub cache: CacheMode,
    /// Whether paths are restored through `sudo -n` into a store that belongs to root.
    pub restore_as_root: bool,
    /// Whether images of the cache are mounted over the store.
    pub mount: bool,
    /// Why the cache is off although it was requested.
    #[serde(rename = "cache_why")]
    pub cache_off_reason: Option<String>,
    /// The directory of the binary cache.
    #[serde(rename = "cache_folder")]
    pub cache_dir: PathBuf,
    /// The primary cache key.
    pub key: String,
    /// The prefix of the layers' keys; the layer's id follows.
    pub layer_key: String,
    /// Key prefixes to restore from.
    pub restore_keys: Vec<String>,
}

/// Where Nix comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The installed one.
    Reuse(FoundNix),
    /// A tarball.
    Install {
        /// Path or URL.
        tarball: String,
        /// Hexadecimal.
        sha256: String,
    },
}

/// Decides what to do.
pub(crate) fn plan(inputs: &Inputs, machine: &MachineState) -> Result<Plan, Error> {
    let reusable = |found: &&FoundNix| match inputs.reuse {
        Reuse::Any => true,
        Reuse::SameVersion => found.version == inputs.version,
        Reuse::Never => false,
    };
    let nix = match (machine.nix.as_ref().filter(reusable), &machine.custom_store) {
        (Some(found), _) => Source::Reuse(found.clone()),
        (None, None) => source(inputs, machine)?,
        (None, Some(custom_store)) => {
            return Err(Error::Plan {
                message: format!("{custom_store}, but Nix can only be installed into /nix/store"),
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
    let writable = machine.store == Access::Writable || machine.root || !reused;
    let restore_as_root = !read_only && !writable && machine.sudo;
    let usable = !read_only && (writable || restore_as_root);
    let usable = usable && inputs.no_cache.is_none() && machine.custom_store.is_none();
    let cache = if usable { inputs.cache } else { CacheMode::Off };
    let kvm = inputs.kvm.is_here(machine.hosted);
    let os = if machine.system.ends_with("darwin") { "macOS" } else { "Linux" };
    let arch = machine.system.split('-').next().unwrap_or_default();
    // A user cannot collect the garbage that another user's images hold.
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
        cache_off_reason: (!usable && inputs.cache != CacheMode::Off).then(|| {
            match (&inputs.no_cache, &machine.custom_store) {
                (Some(why), _) => why.clone(),
                (None, Some(custom_store)) => {
                    format!("{custom_store}, and the cache supports only /nix/store")
                }
                (None, None) if read_only => "the store is on a file system that is mounted read-only".into(),
                (None, None) => {
                    "the store belongs to a daemon or another user, and `sudo -n` is not allowed".into()
                }
            }
        }),
        cache_dir: inputs.cache_dir.clone(),
        layer_key: format!("{}-layer-{}", inputs.cache_key, machine.user),
        // The newest index of the same `hash-files`, then of any others.
        restore_keys: vec![format!("{key}-"), stem],
        key,
    })
}

/// Whether images are mounted. Not with a daemon, which may have its own mount namespace or
/// need a store that belongs to root; and not with `cache-trust: signed`, because mounting
/// exposes the kernel's parser to unsigned images.
fn mounts(inputs: &Inputs, machine: &MachineState, restore_as_root: bool) -> bool {
    let supported = machine.system.ends_with("linux") && (machine.root || machine.sudo);
    let daemon = inputs.daemon || machine.daemon || restore_as_root;
    inputs.mount.is_here(machine.hosted) && supported && !daemon && inputs.cache_trust == CacheTrust::All
}

/// The commands for `daemon: true`.
fn daemon_steps(inputs: &Inputs, machine: &MachineState, reused: bool) -> Result<Vec<Cmd>, Error> {
    let fail = |message: &str, hint: &str| Err(Error::Plan { message: message.into(), hint: hint.into() });
    if !inputs.daemon || (reused && machine.daemon) {
        return Ok(Vec::new());
    }
    if machine.system.ends_with("darwin") {
        return fail(
            "`daemon` is only supported on Linux",
            "remove it: on macOS, a single-user Nix can build too",
        );
    }
    // A restart of the machine ends the daemon of our own installation.
    if reused && !machine.had_daemon {
        return fail(
            "the installed Nix has no daemon, and this action does not change it",
            "remove `daemon`, or install another Nix with `reuse: never`",
        );
    }
    if !machine.root && !machine.sudo {
        return fail("starting a daemon requires root", "run as root, or allow `sudo -n`");
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
            message: format!("no SHA-256 is known for `{tarball}`; nothing is installed without one"),
            hint: "set `sha256`, or remove `nix-version` and `tarball`".into(),
        });
    };
    Ok(Source::Install { tarball, sha256: hex(&expected) })
}
