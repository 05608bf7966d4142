//! What the action is told.

use std::path::{Path, PathBuf};

use pydist::digest::Sha256Bytes;
use toolkit::{Choice as _, Command, Env, Input, InputErrors, InputKind, Output, Reader, Secret, Spec};

use crate::choices::{CacheMode, CacheTrust, Kvm, Mount, Restore, Reuse, Sandbox};
use crate::info::Keys;
use crate::nix32;

/// The public cache's key, which Nix trusts by default.
pub(crate) const NIXOS_KEY: &str = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";

/// The interface of `setup-nix`.
pub static SPEC: Spec = Spec {
    name: "setup-nix",
    about: "Sets up Nix, hash-checked, and restores its store from a cache.",
    version: env!("CARGO_PKG_VERSION"),
    positional: None,
    inputs: &[
        Input::new("nix-version", InputKind::Text, "The version of Nix to install.").or("2.35.2"),
        Input::new("reuse", InputKind::Choice(Reuse::WORDS), "Which Nix that is already there is used in place of an installation.").or("any"),
        Input::new("tarball", InputKind::Text, "Path or URL of an official-layout tarball; by default the official one of `nix-version`."),
        Input::new("sha256", InputKind::Text, "The tarball's SHA-256, hexadecimal or as Nix writes it; required for a `tarball` and for a version that is not compiled in."),
        Input::new("daemon", InputKind::Flag, "On Linux, makes an installation with build users and a daemon; needs root or `sudo -n`.").or("false"),
        Input::new("extra-conf", InputKind::Text, "Lines for nix.conf; they win over what the other inputs set."),
        Input::new("extra-substituters", InputKind::List, "Binary caches beside the default one, one a line."),
        Input::new("extra-trusted-public-keys", InputKind::List, "Keys whose signatures are trusted, one a line, beside that of the default cache."),
        Input::new("access-tokens", InputKind::Secret, "Nix's `access-tokens`, such as `github.com=…`; goes into a private file that only this user reads."),
        Input::new("sandbox", InputKind::Choice(Sandbox::WORDS), "Nix's `sandbox`; by default Nix's own setting."),
        Input::new("max-jobs", InputKind::Text, "Nix's `max-jobs`.").or("auto"),
        Input::new("github-token", InputKind::Secret, "For fetches from github.com, against its rate limit; only the private nix.conf holds it, until the end of the job. Empty: none.").or("${{ github.server_url == 'https://github.com' && github.token || '' }}"),
        Input::new("nix-path", InputKind::Text, "Sets `NIX_PATH` for later steps, such as `nixpkgs=flake:nixpkgs` for `nix-shell -p`."),
        Input::new("kvm", InputKind::Mode("true", Kvm::WORDS), "On Linux, lets everybody use `/dev/kvm`: on GitHub's runners, always, or never. On other machines `save` or the end of the job closes it again.").or("auto"),
        Input::new("cache", InputKind::Choice(CacheMode::WORDS), "Whether store paths are restored and packed.").or("read-write"),
        Input::new("cache-key", InputKind::Text, "The first part of the cache key.").or("nix-store"),
        Input::new("hash-files", InputKind::List, "Patterns of the files whose content is part of the key, one a line; `**` stands for any folders.").or("**/flake.lock"),
        Input::new("cache-folder", InputKind::Path, "The binary cache; by default in the user's cache directory; without one the cache is off."),
        Input::new("cache-trust", InputKind::Choice(CacheTrust::WORDS), "`signed` restores only paths that are signed by a trusted key or content-addressed.").or("all"),
        Input::new("restore", InputKind::Choice(Restore::WORDS), "`needed` leaves signed paths that the last jobs did not use to be substituted, where that is faster to be expected.").or("needed"),
        Input::new("mount", InputKind::Mode("true", Mount::WORDS), "On Linux, as root or with `sudo -n`, whether large parts of the cache are mounted over the store instead of unpacked: on GitHub's runners, always, or never. With `cache-trust: signed` and with a daemon they are always unpacked.").or("auto"),
        Input::new("max-size", InputKind::Number(0, 1 << 20), "The most that the packed paths may measure in the store, in MB; the least recently used ones leave.").or("8000"),
        Input::new("push-to", InputKind::List, "For `save`: stores, one a line, that what the job built is copied to by `nix copy`: `file://`, `s3://`, `ssh-ng://`. A failure is a warning."),
        Input::new("report-path", InputKind::Path, "Where a JSON report of `install` or `save` goes; none by default."),
        Input::new("dry-run", InputKind::Flag, "Prints the plan and does nothing.").or("false"),
    ],
    outputs: &[
        Output::new("nix-version", "The version of the Nix in use."),
        Output::new("nix-bin", "The directory of its programs."),
        Output::new("installed", "`true` where this action installed it."),
        Output::new("cache", "`read-write`, `read-only` or `off`."),
        Output::new("cache-folder", "The binary cache."),
        Output::new("cache-key", "The primary key."),
        Output::new("restore-keys", "The prefixes to restore from, one a line."),
        Output::new("restored-paths", "How many store paths were restored."),
        Output::new("report-path", "The JSON report, where one was asked for."),
    ],
    commands: &[
        Command::new("plan", "Decides and sets the cache's key"),
        Command::new("layers", "Prints the layers that the restored index names and this machine lacks"),
        Command::new("install", "Puts Nix and the cached paths in place (the default)"),
        Command::new("pack", "Adds new store paths to the cache directory"),
        Command::new("watch", "Packs for as long as the job runs"),
        Command::new("restore", "Restores as root what `install` asks for (started by it)"),
        Command::new("mount", "Mounts images as root for `install` (started by it)"),
        Command::new("unmount", "Takes that back as root (started by `install`, `watch` and `save`)"),
        Command::new("save", "Ends the packer, packs the rest, applies max-size"),
    ],
    foreign_options: &[],
};

/// The inputs, read.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    pub(crate) version: String,
    pub(crate) reuse: Reuse,
    pub(crate) tarball: Option<String>,
    pub(crate) sha256: Option<Sha256Bytes>,
    pub(crate) daemon: bool,
    pub(crate) extra_conf: Option<String>,
    pub(crate) substituters: Vec<String>,
    pub(crate) key_texts: Vec<String>,
    pub(crate) keys: Keys,
    pub(crate) access_tokens: Option<Secret>,
    pub(crate) sandbox: Option<Sandbox>,
    pub(crate) max_jobs: String,
    pub(crate) github_token: Option<Secret>,
    pub(crate) nix_path: Option<String>,
    pub(crate) kvm: Kvm,
    pub(crate) cache: CacheMode,
    pub(crate) cache_key: String,
    pub(crate) hash_files: Vec<String>,
    pub(crate) cache_folder: PathBuf,
    pub(crate) cache_trust: CacheTrust,
    pub(crate) restore: Restore,
    pub(crate) mount: Mount,
    pub(crate) push_to: Vec<String>,
    pub(crate) report_path: Option<PathBuf>,
    /// Why there is no place for a cache, where there is none.
    pub(crate) no_cache: Option<String>,
    /// The directory of this job.
    pub(crate) state: PathBuf,
    /// In bytes.
    pub(crate) max_size: u64,
    pub(crate) dry_run: bool,
}

impl Inputs {
    /// Reads them; all faults at once.
    pub(crate) fn read(env: &Env) -> Result<Self, InputErrors> {
        let mut reader = Reader::new(&SPEC, env);
        let version = reader.parse("nix-version", version);
        let sha256 = reader.parse("sha256", sha256);
        let key_texts = reader.list("extra-trusted-public-keys");
        let keys = Keys::parse(key_texts.iter().map(String::as_str).chain([NIXOS_KEY]));
        let keys = keys.unwrap_or_else(|fault| {
            reader.error("extra-trusted-public-keys", fault);
            Keys::default()
        });
        let given = reader.path("cache-folder").or_else(|| default_folder(env));
        let no_cache = given.is_none().then(|| "neither HOME nor XDG_CACHE_HOME is set".to_owned());
        let cache_folder = given.unwrap_or_else(last_resort);
        let colon = cache_folder.to_string_lossy().contains(':');
        if !cache_folder.is_absolute() || colon {
            // nix.conf is beside it, and Nix parts the names of such files by colons.
            let found = cache_folder.display();
            reader.error("cache-folder", format!("expected an absolute path without `:`, found `{found}`"));
        }
        let hash_files = reader.list("hash-files");
        for pattern in &hash_files {
            if let Err(why) = crate::key::check(pattern) {
                reader.error("hash-files", why);
            }
        }
        let substituters = stores(&mut reader, "extra-substituters");
        let push_to = stores(&mut reader, "push-to");
        let access_tokens = reader.secret("access-tokens");
        if access_tokens.as_ref().is_some_and(|tokens| !are_tokens(tokens.expose())) {
            reader.error("access-tokens", "expected one line of words like `host=token`");
        }
        let inputs = Self {
            version: version.unwrap_or_default(),
            reuse: reader.choice("reuse"),
            tarball: reader.parse("tarball", tarball),
            sha256,
            daemon: reader.flag("daemon"),
            extra_conf: reader.parse("extra-conf", extra_conf),
            substituters,
            key_texts,
            keys,
            access_tokens,
            sandbox: reader.optional_choice("sandbox"),
            max_jobs: reader.parse("max-jobs", max_jobs).unwrap_or_default(),
            // Without a workflow the default is an expression that nobody evaluated.
            github_token: reader.secret("github-token").filter(|token| !token.expose().starts_with("${{")),
            nix_path: reader.text("nix-path"),
            kvm: reader.choice("kvm"),
            cache: reader.choice("cache"),
            cache_key: reader.parse("cache-key", cache_key).unwrap_or_default(),
            hash_files,
            state: state_folder(env, &cache_folder),
            cache_folder,
            no_cache,
            push_to,
            cache_trust: reader.choice("cache-trust"),
            restore: reader.choice("restore"),
            mount: reader.choice("mount"),
            report_path: reader.path("report-path"),
            max_size: reader.number("max-size").unwrap_or_default() * 1_000_000,
            dry_run: reader.flag("dry-run"),
        };
        reader.finish(inputs)
    }
}

fn version(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() >= 2 && parts.iter().all(|part| part.parse::<u32>().is_ok()) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a version like `2.35.2`, found `{text}`"))
}

fn sha256(text: &str) -> Result<Sha256Bytes, String> {
    nix32::sha256(text).ok_or_else(|| format!("expected a SHA-256 of 64 hexadecimal digits, found `{text}`"))
}

/// The stores of an input.
fn stores(reader: &mut Reader<'_>, name: &str) -> Vec<String> {
    let stores = reader.list(name);
    for text in stores.iter().filter(|text| !is_store(text)) {
        let expected = "expected a binary cache's address like `https://cache.example.org`, one a line";
        reader.error(name, format!("{expected}, found `{text}`"));
    }
    stores
}

/// Whether Nix takes `text` for access tokens (Nix manual, "access-tokens").
fn are_tokens(text: &str) -> bool {
    !text.contains(['\n', '\r']) && text.split_whitespace().all(|word| word.contains('='))
}

/// A path, or an address whose answer nobody changes on the way.
fn tarball(text: &str) -> Result<String, String> {
    if text.contains("://") && !text.starts_with("https://") {
        return Err(format!("expected a path or an https address, found `{text}`"));
    }
    Ok(text.to_owned())
}

/// Whether Nix takes `text` for a store of others (Nix manual, "Store URL
/// format"): an address, or a path.
fn is_store(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
    };
    let address = text.split_once("://").is_some_and(|(name, rest)| scheme(name) && !rest.is_empty());
    (address || text.starts_with('/')) && !text.contains(char::is_whitespace)
}

/// What `actions/cache` takes: no comma, and 512 characters with what follows.
fn cache_key(text: &str) -> Result<String, String> {
    if text.len() > 384 || text.contains([',', '\n', '\r']) {
        return Err(format!("expected one line of at most 384 characters without a comma, found `{text}`"));
    }
    Ok(text.to_owned())
}

fn max_jobs(text: &str) -> Result<String, String> {
    if text == "auto" || text.parse::<u32>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(format!("expected `auto` or a number, found `{text}`"))
}

/// Lines that nix.conf can have (Nix manual, "nix.conf").
fn extra_conf(text: &str) -> Result<String, String> {
    for line in text.lines().map(str::trim) {
        let word = line.split_whitespace().next().unwrap_or_default();
        if word.is_empty() || word.starts_with('#') || word == "include" || word == "!include" {
            continue;
        }
        let Some((name, _)) = line.split_once('=') else {
            return Err(format!("expected lines like `name = value`, found `{line}`"));
        };
        if name.trim().ends_with("access-tokens") {
            return Err("expected no `access-tokens` here: give them as the input of that name".into());
        }
    }
    Ok(text.to_owned())
}

/// The directory of this job. On a runner it is one that the runner empties when
/// the job ends, and that no other job has.
fn state_folder(env: &Env, cache: &Path) -> PathBuf {
    let given = env.get(STATE).map(PathBuf::from);
    let runner = || {
        env.get("GITHUB_ACTIONS")?;
        env.get("RUNNER_TEMP").map(|folder| Path::new(folder).join("setup-nix"))
    };
    given.or_else(runner).filter(|path| path.is_absolute()).unwrap_or_else(|| cache.with_extension("state"))
}

/// The variable by which the background packer gets it.
pub(crate) const STATE: &str = "SETUP_NIX_STATE";

/// Where nix.conf goes when no directory of the user can be written to.
pub(crate) fn last_resort() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("setup-nix-{user}/binary-cache"))
}

fn default_folder(env: &Env) -> Option<PathBuf> {
    let cache = env.get("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env.get("HOME")?).join(".cache")))?;
    Some(cache.join("setup-nix/binary-cache"))
}
