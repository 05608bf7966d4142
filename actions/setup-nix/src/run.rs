//! What the plan decided, done.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use toolkit::{Env, FileError, Io, Processes, Ui, interrupted, write_atomic};

use crate::cache::{Cache, Restored, restore};
use crate::error::Error;
use crate::inputs::Inputs;
use crate::install::{self, Installed};
use crate::pack::{Packed, database_stamp, pack, prune, set_name, stop_file};
use crate::plan::{Facts, Found, Plan, Source};
use crate::store::{Store, lock};
use crate::{conf, fetch, nix32, report};

/// How often the background packer looks for new paths.
const LOOK: Duration = Duration::from_secs(1);
/// The longest that GitHub lets a job run, in seconds; a packer that nobody
/// stopped ends then.
const LONGEST: u64 = 6 * 3600;

/// All that a command needs.
pub(crate) struct Work<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) facts: &'a Facts,
    pub(crate) plan: &'a Plan,
    pub(crate) env: &'a Env,
    pub(crate) ui: &'a Ui,
    pub(crate) processes: &'a dyn Processes,
}

impl Work<'_> {
    fn cache(&self) -> Cache {
        Cache::new(&self.plan.cache_folder)
    }

    fn conf(&self) -> PathBuf {
        self.cache().state().join("nix.conf")
    }

    fn store(&self, bin: &Path) -> Store<'_> {
        Store { bin: bin.to_owned(), conf: self.conf(), processes: self.processes }
    }

    /// The Nix that is there by now.
    fn found(&self) -> Result<&Found, Error> {
        self.facts.nix.as_ref().ok_or_else(|| Error::Plan {
            message: "there is no Nix on this machine".into(),
            hint: "run `setup-nix install` first".into(),
        })
    }

    /// Nix, its settings, and what the cache has.
    pub(crate) fn install(&self) -> Result<(), Error> {
        let start = Instant::now();
        for cmd in &self.plan.prepare {
            self.processes.run(cmd, Io::Quiet, Duration::from_secs(300))?;
        }
        conf::write(&self.conf(), &self.plan.conf, self.inputs)?;
        let (bin, certificates, installed) = match &self.plan.nix {
            Source::Reuse(found) => (found.bin.clone(), None, None),
            Source::Install { tarball, sha256 } => {
                let Installed { bin, certificates, placed, kept } = self.unpack_tarball(tarball, sha256)?;
                (bin, certificates, Some((placed, kept)))
            }
        };
        let store = self.store(&bin);
        store.check()?;
        let version = match (&self.plan.nix, installed) {
            (Source::Reuse(found), _) => found.version.clone(),
            _ => store.version()?,
        };
        let install_time = start.elapsed();
        self.publish(&bin, certificates.as_deref())?;

        let start = Instant::now();
        let restored = self.restore(&store);
        if let Err(why) = &restored
            && self.plan.cache != "off"
        {
            self.ui.warning(format!("nothing was restored from the cache: {why}"));
        }
        let restore_time = start.elapsed();
        let settings = store.settings();
        let outcome = report::Outcome {
            version: &version,
            bin: &bin,
            installed,
            install_time,
            restored,
            restore_time,
            settings: &settings,
        };
        report::installed(&outcome, self.ui)?;
        if let (Some(kvm), Err(error)) = self.open_kvm() {
            self.ui.info(format!("/dev/kvm stays closed: `{kvm}`: {error}"));
        }
        if self.plan.cache == "read-write" && self.env.get("GITHUB_ACTIONS").is_some() {
            self.start_packer(&bin);
        }
        Ok(())
    }

    fn unpack_tarball(&self, tarball: &str, sha256: &str) -> Result<Installed, Error> {
        let expected = nix32::sha256(sha256).unwrap_or_default();
        // In the cache folder: a restored one needs no download, and is checked
        // against the same hash.
        let keep = self.plan.cache_folder.join("tarball");
        let to = keep.join(sha256);
        fetch::fetch(tarball, expected, &to, self.ui)?;
        for other in fs::read_dir(&keep).map_err(FileError::new("read", &keep))?.flatten() {
            if other.path() != to {
                // Of another version; it would only be carried along.
                let _ = fs::remove_file(other.path());
            }
        }
        install::install(&to, &self.conf(), self.processes)
    }

    /// For the job's later steps.
    fn publish(&self, bin: &Path, certificates: Option<&Path>) -> Result<(), FileError> {
        if let Some(home) = self.env.get("HOME") {
            self.ui.add_path(&Path::new(home).join(".nix-profile/bin"))?;
        }
        self.ui.add_path(bin)?;
        self.ui.set_env("NIX_USER_CONF_FILES", conf::files(&self.conf(), self.env))?;
        match certificates {
            Some(file) if self.env.get("NIX_SSL_CERT_FILE").is_none() => {
                self.ui.set_env("NIX_SSL_CERT_FILE", file.display().to_string())
            }
            _ => Ok(()),
        }
    }

    fn restore(&self, store: &Store<'_>) -> Result<Restored, String> {
        if self.plan.cache == "off" {
            return Err(self.plan.cache_why.clone().unwrap_or_else(|| "off".into()));
        }
        let cache = self.cache();
        let prepare = || -> Result<Restored, Error> {
            cache.create()?;
            let _lock = lock(&cache.state().join("lock"))?;
            let (found, _) = cache.read()?;
            let set = set_name(found.iter().map(|narinfo| &narinfo.info));
            write_atomic(&cache.state().join("restored-set"), set.as_bytes())?;
            restore(&cache, store, &self.inputs.keys, self.inputs.signed_only)
        };
        prepare().map_err(|error| chain(&error))
    }

    fn open_kvm(&self) -> (Option<&toolkit::Cmd>, Result<(), toolkit::ProcessError>) {
        let run = |cmd| self.processes.run(cmd, Io::Quiet, Duration::from_secs(60)).map(drop);
        (self.plan.kvm.as_ref(), self.plan.kvm.as_ref().map_or(Ok(()), run))
    }

    /// The same program in the background, with nothing of the job's
    /// environment that it does not need.
    fn start_packer(&self, bin: &Path) {
        let cache = self.cache();
        let start = || -> std::io::Result<()> {
            let _ = fs::remove_file(stop_file(&cache));
            let log = fs::File::create(cache.state().join("packer.log"))?;
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("watch").env_clear().env("PATH", bin).current_dir("/");
            for name in ["HOME", "USER", "TMPDIR", "RUNNER_TRACKING_ID"] {
                if let Some(value) = self.env.get(name) {
                    command.env(name, value);
                }
            }
            command.env("INPUT_CACHE_FOLDER", &self.plan.cache_folder);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            command.spawn().map(drop)
        };
        if let Err(error) = start() {
            self.ui.info(format!("new store paths are packed at the end only: {error}"));
        }
    }

    /// One pass.
    pub(crate) fn pack(&self) -> Result<(), Error> {
        let start = Instant::now();
        let packed = pack(&self.cache(), &self.store(&self.found()?.bin), &interrupted)?;
        Ok(report::saved(&packed, None, start.elapsed(), self.ui)?)
    }

    /// Pass after pass, until asked to stop.
    pub(crate) fn watch(&self) -> Result<(), Error> {
        let cache = self.cache();
        let store = self.store(&self.found()?.bin);
        // The job's own work goes first.
        let _ = rustix::process::nice(10);
        let stop = || interrupted() || stop_file(&cache).exists() || !cache.state().exists();
        let start = Instant::now();
        let mut seen = Vec::new();
        while !stop() && start.elapsed().as_secs() < LONGEST {
            let stamp = database_stamp();
            if stamp != seen {
                match pack(&cache, &store, &stop) {
                    Ok(packed) => self.ui.info(format!("{} paths packed", packed.paths)),
                    Err(error) => self.ui.info(format!("not packed: {}", chain(&error))),
                }
                seen = stamp;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends the packer, packs the rest, applies the bound. Never an error: the
    /// job has done its work.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let start = Instant::now();
        let cache = self.cache();
        if self.plan.cache != "read-write" {
            self.ui.output("changed", "false")?;
            self.ui.report(format!("nothing is saved: the cache is {}", self.plan.cache));
            return Ok(());
        }
        let finish = || -> Result<_, Error> {
            let found = self.found()?;
            cache.create()?;
            write_atomic(&stop_file(&cache), b"")?;
            let packed = pack(&cache, &self.store(&found.bin), &interrupted)?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            Ok((packed, prune(&cache, self.inputs.max_size, now)?))
        };
        let (packed, pruned) = match finish() {
            Ok(done) => done,
            Err(error) => {
                self.ui.warning(format!("the cache is not saved: {}", chain(&error)));
                self.ui.output("changed", "false")?;
                return Ok(());
            }
        };
        let before = fs::read_to_string(cache.state().join("restored-set")).unwrap_or_default();
        self.ui.output("cache-folder", cache.folder.display().to_string())?;
        self.ui.output("save-key", format!("{}-{}", self.plan.key, pruned.set))?;
        self.ui.output("changed", (before != pruned.set && pruned.paths > 0).to_string())?;
        self.log_packed(&packed);
        Ok(report::saved(&packed, Some(&pruned), start.elapsed(), self.ui)?)
    }

    fn log_packed(&self, packed: &Packed) {
        if packed.paths > 0 {
            self.ui.info(format!("the background packer had left {} paths", packed.paths));
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}
