//! The inputs of setup-nix.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pydist::digest::Sha256Bytes;
use toolkit::{
    Choice as _, Command, Env, FileError, Input, InputErrors, InputKind, Output, Reader, Secret, Spec,
    write_atomic,
};

use crate::cache::read_text;
use crate::choices::{CacheMode, CacheTrust, Restore, Reuse, Sandbox, Where};
use crate::narinfo::Keys;
use crate::{nix32, tree};

/// The public key of cache.nixos.org, which Nix trusts by default.
pub(crate) const NIXOS_KEY: &str = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";

/// The interface of `setup-nix`.
pub static SPEC: Spec = Spec {
    name: "setup-nix",
    about: "Install Nix, verified by its hash, and restore its store from a cache.",
    version: env!("CARGO_PKG_VERSION"),
    positional: None,
    inputs: &[
        Input::new("nix-version", InputKind::Text, "Install this version of Nix.").or("2.35.2"),
        Input::new("reuse", InputKind::Choice(Reuse::WORDS), "Use a Nix that is already installed: `any`, only the `same-version`, or `never`.").or("any"),
        Input::new("tarball", InputKind::Text, "Install from this path or URL, a tarball with the layout of the official ones. By default the official one of `nix-version`."),
        Input::new("sha256", InputKind::Text, "The SHA-256 of the tarball, hexadecimal or in Nix's base 32. Required with `tarball`, and for any `nix-version` other than the default."),
        Input::new("daemon", InputKind::Flag, "On Linux, install with build users and a daemon. Requires root or `sudo -n`.").or("false"),
        Input::new("extra-conf", InputKind::Text, "Lines to append to nix.conf. They override the other inputs."),
        Input::new("extra-substituters", InputKind::List, "Additional binary caches, one per line."),
        Input::new("extra-trusted-public-keys", InputKind::List, "Additional public keys to trust, one per line, such as `cache.example.org-1:…`."),
        Input::new("access-tokens", InputKind::Secret, "Nix's `access-tokens`, such as `github.com=…`. Written to a file that only this user can read."),
        Input::new("sandbox", InputKind::Choice(Sandbox::WORDS), "Set Nix's `sandbox`. By default Nix decides."),
        Input::new("max-jobs", InputKind::Text, "Set Nix's `max-jobs`.").or("auto"),
        Input::new("github-token", InputKind::Secret, "The token for fetches from github.com, which raises its rate limit. Stored in a private nix.conf until the job ends; empty for none.").or("${{ github.server_url == 'https://github.com' && github.token || '' }}"),
        Input::new("nix-path", InputKind::Text, "Set `NIX_PATH` for later steps, such as `nixpkgs=flake:nixpkgs` for `nix-shell -p`."),
        Input::new("kvm", InputKind::Mode("true", Where::WORDS), "On Linux, let every user open `/dev/kvm`: on GitHub's runners only (`auto`), always (`true`), or never (`false`). On other machines, the permissions are restored by `save` or when the job ends.").or("auto"),
        Input::new("cache", InputKind::Choice(CacheMode::WORDS), "Restore store paths from the cache and save new ones (`read-write`), only restore them (`read-only`), or neither (`off`).").or("read-write"),
        Input::new("cache-key", InputKind::Text, "The start of the cache key.").or("nix-store"),
        Input::new("hash-files", InputKind::List, "Patterns of files to hash into the cache key, one per line; `**` matches any directories.").or("**/flake.lock"),
        Input::new("cache-directory", InputKind::Path, "Keep the binary cache in this directory. By default in the user's cache directory; without one, the cache is off."),
        Input::new("cache-trust", InputKind::Choice(CacheTrust::WORDS), "Restore every path whose content matches its hash (`all`), or only paths that are also signed by a trusted key or content-addressed (`signed`).").or("all"),
        Input::new("restore", InputKind::Choice(Restore::WORDS), "`needed` skips signed paths that recent jobs did not use, when downloading them on demand is likely faster; `all` restores every path.").or("needed"),
        Input::new("mount", InputKind::Mode("true", Where::WORDS), "On Linux, as root or with `sudo -n`, mount large parts of the cache over the store instead of unpacking them: on GitHub's runners only (`auto`), always (`true`), or never (`false`). They are always unpacked with `cache-trust: signed` or a daemon.").or("auto"),
        Input::new("max-size", InputKind::Number(0, 1 << 20), "Limit the cached paths to this many MB, measured in the store; the least recently used ones are dropped first.").or("8000"),
        Input::new("push-to", InputKind::List, "Copy what the job built to these stores with `nix copy` at `save`, one per line: `file://…`, `s3://…`, `ssh-ng://…`. A failure is a warning."),
        Input::new("report-path", InputKind::Path, "Write the report of `install` or `save` as JSON to PATH."),
        Input::new("dry-run", InputKind::Flag, "Print the plan and change nothing.").or("false"),
    ],
    outputs: &[
        Output::new("nix-version", "The version of the Nix in use."),
        Output::new("nix-bin", "The directory of Nix's programs."),
        Output::new("installed", "`true` if this action installed Nix."),
        Output::new("cache", "`read-write`, `read-only` or `off`."),
        Output::new("cache-directory", "The directory of the binary cache."),
        Output::new("cache-key", "The primary cache key."),
        Output::new("restore-keys", "The key prefixes to restore from, one per line."),
        Output::new("restored-paths", "How many store paths were restored."),
        Output::new("report-path", "The path of the JSON report, if `report-path` is set."),
    ],
    commands: &[
        Command::new("plan", "Print the plan and set the cache key."),
        Command::new("layers", "Print the layers of the restored index that are missing on this machine."),
        Command::new("install", "Install Nix and restore the cached paths (the default)."),
        Command::new("pack", "Add new store paths to the cache directory."),
        Command::new("watch", "Pack new store paths until the job ends."),
        Command::new("restore", "Restore paths as root (started by `install`)."),
        Command::new("mount", "Mount images as root (started by `install`)."),
        Command::new("unmount", "Unmount the images as root (started by `install`, `watch` and `save`)."),
        Command::new("save", "Stop packing in the background, pack the rest and apply `max-size`."),
    ],
    foreign_options: &[],
};

/// The parsed inputs.
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
    pub(crate) kvm: Where,
    pub(crate) cache: CacheMode,
    pub(crate) cache_key: String,
    pub(crate) hash_files: Vec<String>,
    pub(crate) cache_dir: PathBuf,
    pub(crate) cache_trust: CacheTrust,
    pub(crate) restore: Restore,
    pub(crate) mount: Where,
    pub(crate) push_to: Vec<String>,
    pub(crate) report_path: Option<PathBuf>,
    /// Why there is no default cache directory, if there is none.
    pub(crate) no_cache: Option<String>,
    /// The private directory of this job.
    pub(crate) state: PathBuf,
    /// In bytes.
    pub(crate) max_size: u64,
    pub(crate) dry_run: bool,
}

impl Inputs {
    /// Reads all inputs and reports all errors at once.
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
        let (cache_dir, no_cache) = cache_dir(&mut reader, env);
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
            reader.error("access-tokens", "expected a single line of items like `host=token`");
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
            // Outside of a workflow, the default is an unevaluated expression.
            github_token: reader.secret("github-token").filter(|token| !token.expose().starts_with("${{")),
            nix_path: reader.text("nix-path"),
            kvm: reader.choice("kvm"),
            cache: reader.choice("cache"),
            cache_key: reader.parse("cache-key", cache_key).unwrap_or_default(),
            hash_files,
            state: state_dir(env, &cache_dir),
            cache_dir,
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

/// The inputs that `save` takes from the job's `install` step, unless it sets them itself.
const INHERITED: [&str; 6] = ["cache", "cache-key", "hash-files", "cache-directory", "max-size", "push-to"];
/// Those inputs of the `install` step, in the state directory.
const INHERITED_FILE: &str = "inputs.json";

/// Stores the inputs that `save` takes over.
pub(crate) fn store_for_save(env: &Env) -> Result<(), FileError> {
    let Some(state) = runner_state_dir(env) else { return Ok(()) };
    let names = SPEC.inputs.iter().filter(|input| INHERITED.contains(&input.name)).map(Input::variable);
    let given: BTreeMap<String, &str> =
        names.filter_map(|name| Some((name.clone(), env.get(&name)?))).collect();
    let text = serde_json::to_string(&given).unwrap_or_default();
    write_atomic(&state.join(INHERITED_FILE), text.as_bytes())
}

/// Adds the inputs of the `install` step that `env` does not set.
pub(crate) fn inherit(env: &Env) -> Env {
    let mut env = env.clone();
    let text = runner_state_dir(&env).and_then(|state| read_text(&state.join(INHERITED_FILE)).ok());
    let given: BTreeMap<String, String> =
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    for input in SPEC.inputs.iter().filter(|input| INHERITED.contains(&input.name)) {
        let name = input.variable();
        if let (None, Some(value)) = (env.get(&name), given.get(&name)) {
            env.set(name, value);
        }
    }
    env
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

/// The store URLs of a list input.
fn stores(reader: &mut Reader<'_>, name: &str) -> Vec<String> {
    let stores = reader.list(name);
    for text in stores.iter().filter(|text| !is_store(text)) {
        let expected = "expected a store URL such as `https://cache.example.org`, one per line";
        reader.error(name, format!("{expected}, found `{text}`"));
    }
    stores
}

/// Whether `text` is a list of access tokens (Nix manual, "access-tokens").
fn are_tokens(text: &str) -> bool {
    !text.contains(['\n', '\r']) && text.split_whitespace().all(|word| word.contains('='))
}

/// Accepts a path or an https URL.
fn tarball(text: &str) -> Result<String, String> {
    if text.contains("://") && !text.starts_with("https://") {
        return Err(format!("expected a path or an https URL, found `{text}`"));
    }
    Ok(text.to_owned())
}

/// Whether `text` is a store URL or an absolute path (Nix manual, "Store URL format").
fn is_store(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
    };
    let is_url = text.split_once("://").is_some_and(|(name, rest)| scheme(name) && !rest.is_empty());
    (is_url || text.starts_with('/')) && !text.contains(char::is_whitespace)
}

/// `actions/cache` rejects keys with commas or of more than 512 characters; some are left
/// for the suffix.
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

/// Accepts valid lines of nix.conf (Nix manual, "nix.conf").
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
            return Err("`access-tokens` is not allowed here: use the input `access-tokens`".into());
        }
    }
    Ok(text.to_owned())
}

/// The private directory of this job. On a runner it is below `RUNNER_TEMP`, which the
/// runner empties when the job ends.
fn state_dir(env: &Env, cache: &Path) -> PathBuf {
    let given = env.get(STATE).map(PathBuf::from);
    given
        .or_else(|| runner_state_dir(env))
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| cache.with_extension("state"))
}

/// The private directory of this job on a runner.
fn runner_state_dir(env: &Env) -> Option<PathBuf> {
    env.get("GITHUB_ACTIONS")?;
    env.get("RUNNER_TEMP").map(|dir| Path::new(dir).join("setup-nix"))
}

/// The variable that passes the state directory to the background packer.
pub(crate) const STATE: &str = "SETUP_NIX_STATE";

/// Where nix.conf goes if no directory of the user is writable.
fn last_resort() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    let temporary = Some(std::env::temp_dir()).filter(|dir| is_usable(dir));
    temporary.unwrap_or_else(|| "/tmp".into()).join(format!("setup-nix-{user}/binary-cache"))
}

/// Creates the parent of that directory. Other users know its name, so it must not be one that
/// they have prepared.
pub(crate) fn create_last_resort() -> Result<PathBuf, FileError> {
    let dir = last_resort();
    let parent = dir.parent().unwrap_or(Path::new("/"));
    tree::create_private_dir(parent).map_err(FileError::new("use", parent))?;
    Ok(dir)
}

/// Whether `dir` can be the cache directory: nix.conf is beside it, and `NIX_USER_CONF_FILES` is
/// a colon-separated list.
fn is_usable(dir: &Path) -> bool {
    dir.is_absolute() && !dir.to_string_lossy().contains(':')
}

/// The cache directory; and if it is only a place for nix.conf, why there is no cache.
fn cache_dir(reader: &mut Reader<'_>, env: &Env) -> (PathBuf, Option<String>) {
    let given = reader.path("cache-directory");
    if let Some(dir) = given.as_ref().filter(|dir| !is_usable(dir)) {
        let expected = "expected an absolute path without `:`";
        reader.error("cache-directory", format!("{expected}, found `{}`", dir.display()));
    }
    match given.map_or_else(|| default_cache_dir(env), Ok) {
        Ok(dir) => (dir, None),
        Err(why) => (last_resort(), Some(why)),
    }
}

/// The default cache directory, or why there is none.
fn default_cache_dir(env: &Env) -> Result<PathBuf, String> {
    let (name, dir) = match (env.get("XDG_CACHE_HOME"), env.get("HOME")) {
        (Some(cache), _) => ("XDG_CACHE_HOME", PathBuf::from(cache)),
        (None, Some(home)) => ("HOME", Path::new(home).join(".cache")),
        (None, None) => return Err("neither HOME nor XDG_CACHE_HOME is set".into()),
    };
    if is_usable(&dir) {
        return Ok(dir.join("setup-nix/binary-cache"));
    }
    let value = env.get(name).unwrap_or_default();
    Err(format!("{name} is `{value}`, expected an absolute path without `:`"))
}
