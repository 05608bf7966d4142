//! Carries out the plan: installs Nix and restores the cache.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use toolkit::{
    Choice as _, Cmd, FileError, OutputMode, ProcessError, error_chain, interrupted, write_atomic,
};

use crate::cache::{TARBALLS, read_text};
use crate::choices::{CacheMode, Restore, Where};
use crate::command_context::{CommandContext, FIRST_ID, KVM_OPENED, Phases, RESTORED_SET, ROOT_TIMEOUT};
use crate::database::Database;
use crate::error::Error;
use crate::estimate::{reads_most, record_rate, record_unpacked};
use crate::inputs::STATE;
use crate::install::{self, Installed};
use crate::layer_index::is_digits;
use crate::layers::Exchange;
use crate::machine::Access;
use crate::mount::{EarlierMounts, Request};
use crate::narinfo::set_name;
use crate::plan::Source;
use crate::privileged::{own_command_as_root, remove_kvm_rule};
use crate::report::InstallResult;
use crate::restore::{Mounter, Restored, Rules, restore};
use crate::running_jobs::RunningJobs;
use crate::store::DAEMON_CONF;
use crate::{advisories, conf, fetch, inputs, layers, mount, nix32, report, tree};

/// The variable with the key of the index that the cache service restored; see `action.yml`.
const MATCHED_KEY: &str = "CACHE_MATCHED_KEY";
/// Timeout of a restore that runs as root.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(3600);
/// A tarball that no job has used for this long is removed.
const TARBALL_AGE: Duration = Duration::from_secs(24 * 3600);

impl CommandContext<'_> {
    /// Installs Nix, writes its settings, and restores the cache.
    pub(crate) fn install(&self) -> Result<(), Error> {
        let mut phases = Phases::default();
        inputs::store_for_save(self.env)?;
        self.adopt_layers();
        for cmd in &self.plan.prepare {
            phases.time("prepare /nix", || Ok((cmd.run(self.ui, OutputMode::Quiet, ROOT_TIMEOUT)?, 0)))?;
        }
        let tokens = conf::tokens(self.inputs);
        conf::write(&self.conf_path(), &self.plan.conf, tokens.as_ref())?;
        let (bin, certificates, installed) = match &self.plan.nix {
            Source::Reuse(found) => (found.bin.clone(), None, None),
            Source::Install { tarball, sha256 } => {
                let installed = self.unpack_tarball(tarball, sha256, &mut phases)?;
                (installed.bin, installed.certificates, Some((installed.placed, installed.kept)))
            }
        };
        // Without its daemon, a user who does not own the store cannot use the installed Nix.
        let restart = matches!(self.plan.nix, Source::Reuse(_));
        self.start_daemon(restart, &bin, &mut phases)?;
        let (version, settings) =
            phases.time("check Nix and read its settings", || Ok((self.check(&bin)?, 0)))?;
        self.export_environment(&bin, certificates.as_deref())?;

        let start = Instant::now();
        let restored = self.restore(substitutes(&settings));
        // Paths registered after this were built by the job. Without the file, nothing is pushed.
        let first = self.inputs.state.join(FIRST_ID);
        match Database::open(false).and_then(|database| database.last()) {
            Ok(last) => write_atomic(&first, last.to_string().as_bytes())?,
            Err(_) => tree::remove(&first).map_err(FileError::new("remove", &first))?,
        }
        if interrupted() {
            return Err(ProcessError::Interrupted.into());
        }
        phases.add("restore", start.elapsed(), restored.as_ref().map_or(0, |restored| restored.bytes));
        self.start_daemon(!restart, &bin, &mut phases)?;
        let matched = self.env.get(MATCHED_KEY).map(str::to_owned);
        let result = InstallResult {
            version: &version,
            bin: &bin,
            installed,
            phases: phases.0,
            matched: matched.as_deref(),
            restored,
            settings: &settings,
            lacks_save_step: self.plan.cache == CacheMode::ReadWrite && self.has_save_step() == Some(false),
        };
        report::installed(&result, &self.report_target())?;
        self.open_kvm();
        // Also for a job that only has to be cleaned up after.
        if self.env.get("GITHUB_ACTIONS").is_none() {
            self.report_shell_setup(&bin);
        } else if self.plan.cache == CacheMode::ReadWrite
            || tokens.is_some()
            || self.kvm_opened()
            || mount::earlier_mounts() != EarlierMounts::None
        {
            self.start_packer(&bin);
        }
        Ok(())
    }

    /// Checks that this Nix works; returns its version and its settings.
    fn check(&self, bin: &Path) -> Result<(String, Value), Error> {
        let store = self.store(bin);
        // In parallel, because each Nix command takes a while to start.
        let (checked, settings) = std::thread::scope(|scope| {
            let settings = scope.spawn(|| store.settings());
            (store.check(), settings.join().unwrap_or_default())
        });
        match checked {
            // Some versions of Nix cannot open the database of a read-only store.
            Err(error) if self.machine.store == Access::ReadOnly => {
                self.ui.info(format!("Nix cannot open the store: {}", error_chain(&error)));
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

    /// Prints the commands that set up a shell, for use outside of a runner.
    fn report_shell_setup(&self, bin: &Path) {
        let path = self.env.get("PATH").unwrap_or_default();
        let mut lines = Vec::new();
        if !std::env::split_paths(path).any(|dir| dir == bin) {
            lines.push(format!("export PATH=\"{}:$PATH\"", bin.display()));
        }
        let files = conf::files(&self.conf_path(), self.env);
        if self.env.get("NIX_USER_CONF_FILES") != Some(&files) {
            lines.push(format!("export NIX_USER_CONF_FILES=\"{files}\""));
        }
        if !lines.is_empty() {
            self.ui.report(format!("to use Nix in a new shell:\n{}", lines.join("\n")));
        }
    }

    /// Prints the layers that the cache service should restore.
    pub(crate) fn layers(&self) -> Result<(), Error> {
        let missing = Exchange::from_env(self.env).map(|exchange| exchange.missing(&self.cache()));
        let text = serde_json::to_string(&missing.unwrap_or_default()).unwrap_or_default();
        self.ui.output("layers", &text)?;
        self.ui.report(format!("layers to restore: {text}"));
        Ok(())
    }

    /// Moves what the cache service restored into the cache.
    fn adopt_layers(&self) {
        let Some(exchange) = Exchange::from_env(self.env).filter(|_| self.plan.cache != CacheMode::Off)
        else {
            return;
        };
        let cache = self.cache();
        let adopted = cache.lock().and_then(|_lock| {
            if self.env.get(MATCHED_KEY).is_none() {
                // The service restored nothing: this is from the repository or an earlier step.
                exchange.remove()?;
            }
            exchange.adopt(&cache)
        });
        if let Err(error) = adopted {
            self.ui.warning(format!("cannot use the layers of the cache service: {}", error_chain(&error)));
        }
    }

    /// Whether the workflow has a `setup-nix/save` step; `None` if its file is not available.
    fn has_save_step(&self) -> Option<bool> {
        let reference = self.env.get("GITHUB_WORKFLOW_REF")?;
        let path = reference.split('@').next()?.splitn(3, '/').nth(2)?;
        let workspace = self.env.get("GITHUB_WORKSPACE")?;
        let text = read_text(&Path::new(workspace).join(path)).ok()?;
        Some(text.contains("setup-nix/save"))
    }

    fn unpack_tarball(&self, tarball: &str, sha256: &str, phases: &mut Phases) -> Result<Installed, Error> {
        let expected = nix32::sha256(sha256).unwrap_or_default();
        // In the cache directory: a restored tarball needs no download, and is checked against
        // the same hash.
        let tarballs = self.plan.cache_dir.join(TARBALLS);
        if fs::symlink_metadata(&tarballs).is_ok_and(|meta| !meta.is_dir()) {
            // A restored archive may have put a link here.
            fs::remove_file(&tarballs).map_err(FileError::new("remove", &tarballs))?;
        }
        let to = tarballs.join(sha256);
        phases.time("fetch the tarball", || {
            fetch::fetch(tarball, expected, &to, false, self.ui)?;
            Ok(((), fs::metadata(&to).map_or(0, |meta| meta.len())))
        })?;
        remove_old_tarballs(&tarballs, &to);
        phases.time("unpack, verify and register it", || {
            let installed = install::install(&to, &self.conf_path(), self.ui)?;
            let bytes = installed.bytes;
            Ok((installed, bytes))
        })
    }

    /// Starts the daemon if this is the time for it and it was requested.
    fn start_daemon(&self, now: bool, bin: &Path, phases: &mut Phases) -> Result<(), Error> {
        if !now || self.plan.daemon.is_empty() {
            return Ok(());
        }
        let start = || {
            let mut lines = vec![
                "build-users-group = nixbld".to_owned(),
                format!("trusted-users = root {}", self.user_name()?),
            ];
            lines.extend(self.plan.conf.iter().cloned());
            self.write_daemon_conf(&lines)?;
            for cmd in &self.plan.daemon {
                let mut cmd = cmd.clone();
                cmd.args.iter_mut().for_each(|arg| *arg = arg.replace("{bin}", &bin.display().to_string()));
                cmd.run(self.ui, OutputMode::Quiet, ROOT_TIMEOUT)?;
            }
            self.ui.set_env("NIX_REMOTE", "daemon")?;
            Ok(((), 0))
        };
        phases.time("start the daemon", start)
    }

    /// Writes the daemon's nix.conf. It is kept if it belongs to root, as after an earlier job.
    fn write_daemon_conf(&self, lines: &[String]) -> Result<(), Error> {
        let file = Path::new(DAEMON_CONF);
        match conf::write(file, lines, None) {
            Err(error) if !self.machine.had_daemon => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The name of this user. `USER` may be unset, for example in containers.
    fn user_name(&self) -> Result<String, Error> {
        if let Some(name) = self.env.get("USER").filter(|name| !name.is_empty()) {
            return Ok(name.to_owned());
        }
        let output = Cmd::new("id").arg("-un").run(self.ui, OutputMode::Quiet, ROOT_TIMEOUT)?;
        Ok(output.stdout.trim().to_owned())
    }

    /// Sets PATH and variables for the job's later steps.
    fn export_environment(&self, bin: &Path, certificates: Option<&Path>) -> Result<(), FileError> {
        if let Some(home) = self.env.get("HOME") {
            self.ui.add_path(&Path::new(home).join(".nix-profile/bin"))?;
        }
        // If `bin` is `/usr/bin`, prepending it would hide what earlier steps added to PATH.
        let path = self.env.get("PATH").unwrap_or_default();
        if !std::env::split_paths(path).any(|dir| dir == bin) {
            self.ui.add_path(bin)?;
        }
        self.ui.set_env("NIX_USER_CONF_FILES", conf::files(&self.conf_path(), self.env))?;
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

    fn rules(&self, restore: Restore) -> Rules<'_> {
        Rules { keys: &self.inputs.keys, trust: self.inputs.cache_trust, restore }
    }

    /// Restores the cache. A failure is a warning and does not fail the job. Unless Nix
    /// `substitutes`, all paths are needed.
    fn restore(&self, substitutes: bool) -> Result<Restored, String> {
        if !self.machine.hosted {
            // Also without a cache: this job can use what the others have mounted.
            RunningJobs::of_machine().add(&self.inputs.state);
        }
        if self.plan.cache == CacheMode::Off {
            return Err(self.plan.cache_off_reason.clone().unwrap_or_else(|| "the cache is off".into()));
        }
        let cache = self.cache();
        let rules = self.rules(if substitutes { self.inputs.restore } else { Restore::All });
        let prepare = || -> Result<Restored, Error> {
            cache.create()?;
            let _lock = cache.lock()?;
            let (found, _) = cache.read()?;
            let set = set_name(found.iter().map(|narinfo| &narinfo.info));
            write_atomic(&cache.state.join(RESTORED_SET), set.as_bytes())?;
            // What looks like the leftovers of an interrupted run may be another job's mount in
            // progress.
            let affects_mounts = self.plan.mount || mount::earlier_mounts() != EarlierMounts::None;
            let (_lock, can_mount) = match affects_mounts.then(|| mount::lock(self.ui)).transpose() {
                Ok(lock) => (lock, true),
                Err(error) => {
                    self.ui.info(format!("images are not mounted: {}", error_chain(&error)));
                    (None, false)
                }
            };
            if can_mount && mount::earlier_mounts() == EarlierMounts::Stale {
                self.unmount()?;
            }
            let start = Instant::now();
            let restored = if self.plan.restore_as_root {
                self.restore_through_sudo(rules.restore)?
            } else {
                let mounter = |request: &Request| self.mount(request);
                let unpack = self.inputs.mount != Where::Everywhere && reads_most(&cache);
                if self.plan.mount && unpack {
                    record_unpacked(&cache, &found);
                }
                let mount = self.plan.mount && can_mount && !unpack;
                let restored = restore(&cache, rules, mount.then_some(&mounter as Mounter<'_>));
                if restored.is_err() && mount && mount::earlier_mounts() == EarlierMounts::Stale {
                    // Mounted paths that are not registered are of no use.
                    let _ = self.unmount();
                }
                restored?
            };
            if restored.images > 0 {
                mount::mark_registered()?;
            }
            if let Some(why) = &restored.not_mounted {
                self.ui.info(format!("images are unpacked instead of mounted: {why}"));
            }
            if self.plan.cache == CacheMode::ReadWrite {
                cache.remove_broken(&restored.refused);
                layers::mark_damaged(&cache, &restored.refused)?;
                record_rate(&cache, restored.bytes, start.elapsed());
            }
            Ok(restored)
        };
        prepare().map_err(|error| {
            let why = error_chain(&error);
            self.ui.warning(format!("nothing was restored from the cache: {why}"));
            why
        })
    }

    /// Restores into a store that belongs to root.
    fn restore_through_sudo(&self, restore: Restore) -> Result<Restored, Error> {
        let keys = self.inputs.key_texts.join("\n");
        let (trust, restore) = (self.inputs.cache_trust.word(), restore.word());
        let program = std::env::current_exe().map_err(FileError::new("find", "the running program"))?;
        let variables = [
            ("PATH", self.env.get("PATH").unwrap_or("/usr/bin:/bin").to_owned()),
            (STATE, self.inputs.state.display().to_string()),
            ("INPUT_CACHE_DIRECTORY", self.plan.cache_dir.display().to_string()),
            ("INPUT_CACHE_TRUST", trust.to_owned()),
            ("INPUT_RESTORE", restore.to_owned()),
            ("INPUT_EXTRA_TRUSTED_PUBLIC_KEYS", keys),
        ];
        let cmd = own_command_as_root(&program, "restore", &variables);
        let output = cmd.run(self.ui, OutputMode::Quiet, RESTORE_TIMEOUT)?;
        serde_json::from_str(output.stdout.trim()).map_err(|error| Error::Plan {
            message: format!("cannot parse the output of `setup-nix restore`: {error}"),
            hint: "report this as a bug, with the log of the job".into(),
        })
    }

    /// The command that [`restore_through_sudo`](Self::restore_through_sudo) runs.
    pub(crate) fn restore_as_root(&self) -> Result<(), Error> {
        let restored = restore(&self.cache(), self.rules(self.inputs.restore), None)?;
        self.ui.report(serde_json::to_string(&restored).unwrap_or_default());
        Ok(())
    }

    /// Opens `/dev/kvm`. A failure does not fail the job.
    fn open_kvm(&self) {
        let marker = self.inputs.state.join(KVM_OPENED);
        let Some(cmd) = &self.plan.kvm else { return };
        // First, so that the end of the job removes the rule even if this run is killed.
        if !self.machine.hosted
            && let Err(error) = write_atomic(&marker, b"")
        {
            return self.ui.info(format!("`/dev/kvm` is not opened: {}", error_chain(&error)));
        }
        if let Err(error) = cmd.run(self.ui, OutputMode::Quiet, Duration::from_secs(60)) {
            self.ui.info(format!("cannot open `/dev/kvm` for all users: {error}"));
            // It would take effect when the machine starts.
            let removed =
                remove_kvm_rule(self.machine).run(self.ui, OutputMode::Quiet, Duration::from_secs(60));
            if removed.is_ok() {
                let _ = fs::remove_file(&marker);
            }
        }
    }
}

/// Removes tarballs of other versions, which would only make the cache larger, unless another
/// job may be using them. `used` is the one of this job.
fn remove_old_tarballs(tarballs: &Path, used: &Path) {
    if !fs::symlink_metadata(tarballs).is_ok_and(|meta| meta.is_dir()) {
        return;
    }
    let now = SystemTime::now();
    // The newest one is saved.
    let _ = fs::File::open(used).and_then(|file| file.set_modified(now));
    for other in fs::read_dir(tarballs).into_iter().flatten().flatten() {
        let old = other
            .metadata()
            .and_then(|meta| meta.modified())
            .is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > TARBALL_AGE));
        let name = other.file_name().to_string_lossy().into_owned();
        // Those of killed downloads, too.
        if other.path() != used && old && (is_digits(&name, 64) || name.starts_with(".tmp-")) {
            let _ = tree::remove(&other.path());
        }
    }
}

/// Whether Nix can substitute anything, according to its settings.
fn substitutes(settings: &Value) -> bool {
    let value = |name: &str| settings.get(name).and_then(|setting| setting.get("value"));
    let on = value("substitute").is_none_or(|value| value.as_bool().unwrap_or(true));
    on && value("substituters").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_tarballs_that_another_job_may_be_using() {
        let dir = tempfile::tempdir().unwrap();
        let create = |name: &str, age: u64| {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            dir.path().join(name)
        };
        let used = create(&"1".repeat(64), 1 << 20);
        let recent = create(&"2".repeat(64), 60);
        let old = create(&"3".repeat(64), 1 << 20);
        let foreign = create("photos.tar", 1 << 20);
        remove_old_tarballs(dir.path(), &used);
        assert!(used.exists() && recent.exists() && foreign.exists() && !old.exists());
        assert!(
            fs::metadata(&used).unwrap().modified().unwrap()
                > fs::metadata(&recent).unwrap().modified().unwrap()
        );
    }

    #[test]
    fn nothing_is_substituted_without_a_substituter() {
        let settings = |text: &str| substitutes(&serde_json::from_str(text).unwrap());
        assert!(settings(r#"{"substituters": {"value": ["https://cache.example.org"]}}"#));
        assert!(!settings(r#"{"substituters": {"value": []}}"#));
        assert!(!settings("null"));
        assert!(!settings(
            r#"{"substituters": {"value": ["https://a.example"]}, "substitute": {"value": false}}"#
        ));
    }
}
