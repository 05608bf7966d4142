//! An installation, from what the plan decided.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use toolkit::{
    Choice as _, Cmd, FileError, OutputMode, ProcessError, error_chain, interrupted, write_atomic,
};

use crate::choices::{CacheMode, Mount};
use crate::database::Database;
use crate::error::Error;
use crate::estimate::{keep_rate, reads_most};
use crate::folder::read_text;
use crate::inputs::STATE;
use crate::install::{self, Installed};
use crate::layers::{Exchange, TARBALLS};
use crate::machine::Access;
use crate::mount::{Left, Request};
use crate::narinfo::set_name;
use crate::plan::Source;
use crate::privileged::{DAEMON_CONF, ourselves_as_root};
use crate::report::Outcome;
use crate::restore::{Mounter, Restored, Rules, restore};
use crate::work::{FIRST, KVM, Phases, RESTORED_SET, Work};
use crate::{advisories, conf, fetch, layers, mount, nix32, report, tree};

/// The longest that a command for root takes.
const MINUTES: Duration = Duration::from_secs(300);
/// The longest that a restore by root takes.
const LONG: Duration = Duration::from_secs(3600);

impl Work<'_> {
    /// Nix, its settings, and what the cache has.
    pub(crate) fn install(&self) -> Result<(), Error> {
        let mut phases = Phases::default();
        self.adopt();
        for cmd in &self.plan.prepare {
            phases.time("prepare /nix", || Ok((cmd.run(self.ui, OutputMode::Quiet, MINUTES)?, 0)))?;
        }
        let tokens = conf::tokens(self.inputs);
        conf::write(&self.conf(), &self.plan.conf, tokens.as_ref())?;
        let (bin, certificates, installed) = match &self.plan.nix {
            Source::Reuse(found) => (found.bin.clone(), None, None),
            Source::Install { tarball, sha256 } => {
                let done = self.unpack_tarball(tarball, sha256, &mut phases)?;
                (done.bin, done.certificates, Some((done.placed, done.kept)))
            }
        };
        let (version, settings) =
            phases.time("check Nix and read its settings", || Ok((self.check(&bin)?, 0)))?;
        self.publish(&bin, certificates.as_deref())?;

        let start = Instant::now();
        let restored = self.restore();
        if interrupted() {
            return Err(ProcessError::Interrupted.into());
        }
        phases.add("restore", start.elapsed(), restored.as_ref().map_or(0, |restored| restored.bytes));
        if !self.plan.daemon.is_empty() {
            phases.time("start the daemon", || Ok((self.start_daemon(&bin)?, 0)))?;
        }
        let matched = self.env.get("CACHE_MATCHED_KEY").map(str::to_owned);
        let outcome = Outcome {
            version: &version,
            bin: &bin,
            installed,
            phases: phases.0,
            matched: matched.as_deref(),
            restored,
            settings: &settings,
            unsaved: self.plan.cache == CacheMode::ReadWrite && self.saves() == Some(false),
        };
        report::installed(&outcome, &self.report())?;
        self.open_kvm();
        if self.env.get("GITHUB_ACTIONS").is_none() {
            self.report_shell_setup(&bin);
        } else if self.plan.cache == CacheMode::ReadWrite
            || tokens.is_some()
            || mount::left() != Left::Nothing
        {
            self.start_packer(&bin);
        }
        Ok(())
    }

    /// Whether this Nix answers; its version and its settings.
    fn check(&self, bin: &Path) -> Result<(String, Value), Error> {
        let store = self.store(bin);
        // Each program of Nix takes a while to start.
        let (checked, settings) = std::thread::scope(|scope| {
            let settings = scope.spawn(|| store.settings());
            (store.check(), settings.join().unwrap_or_default())
        });
        match checked {
            // Not every Nix can open the database of a store that it cannot write to.
            Err(error) if self.machine.store == Access::ReadOnly => {
                self.ui.info(format!("the store does not answer: {}", error_chain(&error)));
            }
            checked => checked?,
        }
        let version = match &self.plan.nix {
            Source::Reuse(found) => found.version.clone(),
            Source::Install { .. } => store.version()?,
        };
        let (advisories, updated) = advisories::affecting(&version);
        if !advisories.is_empty() {
            self.ui.warning(format!(
                "Nix {version} has known security advisories (as of {updated}): {}",
                advisories.join(", ")
            ));
        }
        Ok((version, settings))
    }

    /// What makes `nix` work in a new shell, where no runner does that.
    fn report_shell_setup(&self, bin: &Path) {
        let path = self.env.get("PATH").unwrap_or_default();
        let mut lines = Vec::new();
        if !std::env::split_paths(path).any(|folder| folder == bin) {
            lines.push(format!("export PATH=\"{}:$PATH\"", bin.display()));
        }
        let files = conf::files(&self.conf(), self.env);
        if self.env.get("NIX_USER_CONF_FILES") != Some(&files) {
            lines.push(format!("export NIX_USER_CONF_FILES=\"{files}\""));
        }
        if !lines.is_empty() {
            self.ui.report(format!("to use Nix in a new shell:\n{}", lines.join("\n")));
        }
    }

    /// Prints the layers that the cache service is to restore.
    pub(crate) fn layers(&self) -> Result<(), Error> {
        let missing = Exchange::of(self.env).map(|exchange| exchange.missing(&self.cache()));
        let text = serde_json::to_string(&missing.unwrap_or_default()).unwrap_or_default();
        self.ui.output("layers", &text)?;
        self.ui.report(format!("layers to restore: {text}"));
        Ok(())
    }

    /// Takes what the cache service restored.
    fn adopt(&self) {
        let Some(exchange) = Exchange::of(self.env).filter(|_| self.plan.cache != CacheMode::Off) else {
            return;
        };
        let cache = self.cache();
        let adopted = cache.lock().and_then(|_lock| exchange.adopt(&cache));
        if let Err(error) = adopted {
            self.ui.warning(format!("the cache service's layers cannot be used: {}", error_chain(&error)));
        }
    }

    /// Whether the workflow's file, where it is to be seen, has a step that saves.
    fn saves(&self) -> Option<bool> {
        let reference = self.env.get("GITHUB_WORKFLOW_REF")?;
        let path = reference.split('@').next()?.splitn(3, '/').nth(2)?;
        let workspace = self.env.get("GITHUB_WORKSPACE")?;
        let text = read_text(&Path::new(workspace).join(path)).ok()?;
        Some(text.contains("setup-nix/save"))
    }

    fn unpack_tarball(&self, tarball: &str, sha256: &str, phases: &mut Phases) -> Result<Installed, Error> {
        let expected = nix32::sha256(sha256).unwrap_or_default();
        // In the cache folder: a restored one needs no download, and is checked
        // against the same hash.
        let keep = self.plan.cache_folder.join(TARBALLS);
        if fs::symlink_metadata(&keep).is_ok_and(|meta| !meta.is_dir()) {
            // A link that an archive put there would lead elsewhere.
            fs::remove_file(&keep).map_err(FileError::new("remove", &keep))?;
        }
        let to = keep.join(sha256);
        phases.time("fetch the tarball", || {
            fetch::fetch(tarball, expected, &to, false, self.ui)?;
            Ok(((), fs::metadata(&to).map_or(0, |meta| meta.len())))
        })?;
        let real = fs::symlink_metadata(&keep).is_ok_and(|meta| meta.is_dir());
        for other in fs::read_dir(&keep).into_iter().flatten().flatten().filter(|_| real) {
            if other.path() != to {
                // Of another version; it would only be carried along.
                let _ = tree::remove(&other.path());
            }
        }
        phases.time("unpack, compare and register it", || {
            let done = install::install(&to, &self.conf(), self.ui)?;
            let bytes = done.bytes;
            Ok((done, bytes))
        })
    }

    fn start_daemon(&self, bin: &Path) -> Result<(), Error> {
        let mut lines = vec![
            "build-users-group = nixbld".to_owned(),
            format!("trusted-users = root {}", self.user_name()?),
        ];
        lines.extend(self.plan.conf.iter().cloned());
        conf::write(Path::new(DAEMON_CONF), &lines, None)?;
        for cmd in &self.plan.daemon {
            let mut cmd = cmd.clone();
            cmd.args.iter_mut().for_each(|arg| *arg = arg.replace("{bin}", &bin.display().to_string()));
            cmd.run(self.ui, OutputMode::Quiet, MINUTES)?;
        }
        Ok(self.ui.set_env("NIX_REMOTE", "daemon")?)
    }

    /// `USER` is not set everywhere, in containers least of all.
    fn user_name(&self) -> Result<String, Error> {
        if let Some(name) = self.env.get("USER").filter(|name| !name.is_empty()) {
            return Ok(name.to_owned());
        }
        let done = Cmd::new("id").arg("-un").run(self.ui, OutputMode::Quiet, MINUTES)?;
        Ok(done.stdout.trim().to_owned())
    }

    /// For the job's later steps.
    fn publish(&self, bin: &Path, certificates: Option<&Path>) -> Result<(), FileError> {
        if let Some(home) = self.env.get("HOME") {
            self.ui.add_path(&Path::new(home).join(".nix-profile/bin"))?;
        }
        // In front of all others, `/usr/bin` would hide what earlier steps put there.
        let path = self.env.get("PATH").unwrap_or_default();
        if !std::env::split_paths(path).any(|folder| folder == bin) {
            self.ui.add_path(bin)?;
        }
        self.ui.set_env("NIX_USER_CONF_FILES", conf::files(&self.conf(), self.env))?;
        if let Some(path) = &self.inputs.nix_path {
            self.ui.set_env("NIX_PATH", path)?;
        }
        match certificates {
            Some(file) if self.env.get("NIX_SSL_CERT_FILE").is_none() => {
                self.ui.set_env("NIX_SSL_CERT_FILE", file.display().to_string())
            }
            _ => Ok(()),
        }
    }

    fn rules(&self) -> Rules<'_> {
        Rules { keys: &self.inputs.keys, trust: self.inputs.cache_trust, restore: self.inputs.restore }
    }

    /// Restores what the cache has; a failure is told, and no reason to fail a job.
    fn restore(&self) -> Result<Restored, String> {
        if self.plan.cache == CacheMode::Off {
            return Err(self.plan.cache_why.clone().unwrap_or_else(|| "off".into()));
        }
        let cache = self.cache();
        let prepare = || -> Result<Restored, Error> {
            cache.create()?;
            let _lock = cache.lock()?;
            let (found, _) = cache.read()?;
            let set = set_name(found.iter().map(|narinfo| &narinfo.info));
            write_atomic(&cache.state.join(RESTORED_SET), set.as_bytes())?;
            let start = Instant::now();
            if mount::left() == Left::Remains {
                self.unmount()?;
            }
            let restored = if self.plan.restore_as_root {
                self.ask_root()?
            } else {
                let mounter = |request: &Request| self.mount(request);
                let mount = self.plan.mount && (self.inputs.mount == Mount::Always || !reads_most(&cache));
                restore(&cache, self.rules(), mount.then_some(&mounter as Mounter<'_>))?
            };
            if restored.images > 0 {
                mount::mark_registered()?;
            }
            if let Some(why) = &restored.not_mounted {
                self.ui.info(format!("unpacked instead of mounted: {why}"));
            }
            if self.plan.cache == CacheMode::ReadWrite {
                cache.forget(&restored.refused);
                layers::forget(&cache, &restored.refused)?;
                keep_rate(&cache, restored.bytes, start.elapsed());
            }
            // What is registered from here on is the job's own.
            let last = Database::open(false).and_then(|database| database.last());
            write_atomic(&cache.state.join(FIRST), last.unwrap_or(0).to_string().as_bytes())?;
            Ok(restored)
        };
        prepare().map_err(|error| {
            let why = error_chain(&error);
            self.ui.warning(format!("nothing was restored from the cache: {why}"));
            why
        })
    }

    /// Restores into a store that belongs to root.
    fn ask_root(&self) -> Result<Restored, Error> {
        let keys = self.inputs.key_texts.join("\n");
        let (trust, which) = (self.inputs.cache_trust.word(), self.inputs.restore.word());
        let program = std::env::current_exe().map_err(FileError::new("find", "the running program"))?;
        let variables = [
            ("PATH", self.env.get("PATH").unwrap_or("/usr/bin:/bin").to_owned()),
            (STATE, self.inputs.state.display().to_string()),
            ("INPUT_CACHE_FOLDER", self.plan.cache_folder.display().to_string()),
            ("INPUT_CACHE_TRUST", trust.to_owned()),
            ("INPUT_RESTORE", which.to_owned()),
            ("INPUT_EXTRA_TRUSTED_PUBLIC_KEYS", keys),
        ];
        let cmd = ourselves_as_root(&program, "restore", &variables);
        let done = cmd.run(self.ui, OutputMode::Quiet, LONG)?;
        serde_json::from_str(done.stdout.trim()).map_err(|error| Error::Plan {
            message: format!("cannot read what `setup-nix restore` prints: {error}"),
            hint: "report this with the log of the job".into(),
        })
    }

    /// The part of root in that.
    pub(crate) fn restore_as_root(&self) -> Result<(), Error> {
        let restored = restore(&self.cache(), self.rules(), None)?;
        self.ui.report(serde_json::to_string(&restored).unwrap_or_default());
        Ok(())
    }

    /// A failure is no reason to fail a job.
    fn open_kvm(&self) {
        let Some(cmd) = &self.plan.kvm else { return };
        match cmd.run(self.ui, OutputMode::Quiet, Duration::from_secs(60)) {
            Err(error) => self.ui.info(format!("/dev/kvm stays closed: {error}")),
            Ok(_) if self.machine.hosted => {}
            Ok(_) => {
                let _ = write_atomic(&self.inputs.state.join(KVM), b"");
            }
        }
    }
}
