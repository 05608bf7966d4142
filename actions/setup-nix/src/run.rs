//! What the plan decided, done.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use toolkit::{Env, FileError, OutputMode, ProcessError, Ui, error_chain, interrupted, write_atomic};

use crate::cache::{Cache, Restored, Rules, restore};
use crate::error::Error;
use crate::estimate::keep_rate;
use crate::inputs::Inputs;
use crate::install::{self, Installed};
use crate::pack::{database_stamp, pack, prune, set_name, stop_file};
use crate::plan::{Facts, Found, Plan, Source};
use crate::privileged::DAEMON_CONF;
use crate::report::{Outcome, Phase, Saved};
use crate::store::{Store, lock};
use crate::{conf, fetch, job, nix32, report};

/// How often the background packer looks for new paths.
const LOOK: Duration = Duration::from_secs(1);
/// The longest that GitHub lets a job run, in seconds; a packer that nobody
/// stopped, and whose job's end cannot be seen, ends then.
const LONGEST: u64 = 6 * 3600;

/// The longest that a command for root takes.
const MINUTES: Duration = Duration::from_secs(300);
/// Where the background packer notes what it did.
const PACKED: &str = "packed";

/// All that a command needs.
pub(crate) struct Work<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) facts: &'a Facts,
    pub(crate) plan: &'a Plan,
    pub(crate) env: &'a Env,
    pub(crate) ui: &'a Ui,
}

impl Work<'_> {
    fn cache(&self) -> Cache {
        Cache::new(&self.plan.cache_folder)
    }

    fn conf(&self) -> PathBuf {
        self.cache().state().join("nix.conf")
    }

    fn store(&self, bin: &Path) -> Store<'_> {
        Store { bin: bin.to_owned(), conf: self.conf(), ui: self.ui }
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
        let mut phases = Phases::default();
        for cmd in &self.plan.prepare {
            phases.time("prepare /nix", || Ok((cmd.run(self.ui, OutputMode::Quiet, MINUTES)?, 0)))?;
        }
        conf::write(&self.conf(), &self.plan.conf, self.inputs.access_tokens.as_ref())?;
        let (bin, certificates, installed) = match &self.plan.nix {
            Source::Reuse(found) => (found.bin.clone(), None, None),
            Source::Install { tarball, sha256 } => {
                let done = self.unpack_tarball(tarball, sha256, &mut phases)?;
                (done.bin, done.certificates, Some((done.placed, done.kept)))
            }
        };
        let store = self.store(&bin);
        let (version, settings) = phases.time("check Nix and read its settings", || {
            // Each program of Nix takes a while to start.
            let (checked, settings) = std::thread::scope(|scope| {
                let settings = scope.spawn(|| store.settings());
                (store.check(), settings.join().unwrap_or_default())
            });
            checked?;
            let version = match &self.plan.nix {
                Source::Reuse(found) => found.version.clone(),
                Source::Install { .. } => store.version()?,
            };
            Ok(((version, settings), 0))
        })?;
        self.publish(&bin, certificates.as_deref())?;

        let start = Instant::now();
        let restored = self.restore(&store);
        if interrupted() {
            return Err(ProcessError::Interrupted.into());
        }
        phases.add("restore", start.elapsed(), restored.as_ref().map_or(0, |restored| restored.bytes));
        if let Err(why) = &restored
            && self.plan.cache != "off"
        {
            self.ui.warning(format!("nothing was restored from the cache: {why}"));
        }
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
        };
        report::installed(&outcome, self)?;
        if let (Some(kvm), Err(error)) = self.open_kvm() {
            self.ui.info(format!("/dev/kvm stays closed: `{kvm}`: {error}"));
        }
        if self.plan.cache == "read-write" && self.env.get("GITHUB_ACTIONS").is_some() {
            self.start_packer(&bin);
        }
        Ok(())
    }

    fn unpack_tarball(&self, tarball: &str, sha256: &str, phases: &mut Phases) -> Result<Installed, Error> {
        let expected = nix32::sha256(sha256).unwrap_or_default();
        // In the cache folder: a restored one needs no download, and is checked
        // against the same hash.
        let keep = self.plan.cache_folder.join("tarball");
        let to = keep.join(sha256);
        phases.time("fetch the tarball", || {
            fetch::fetch(tarball, expected, &to, false, self.ui)?;
            Ok(((), fs::metadata(&to).map_or(0, |meta| meta.len())))
        })?;
        for other in fs::read_dir(&keep).map_err(FileError::new("read", &keep))?.flatten() {
            if other.path() != to {
                // Of another version; it would only be carried along.
                let _ = fs::remove_file(other.path());
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
            format!("trusted-users = root {}", self.env.get("USER").unwrap_or("root")),
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
            let rules = Rules {
                keys: &self.inputs.keys,
                signed_only: self.inputs.signed_only,
                everything: self.inputs.restore_all,
            };
            let start = Instant::now();
            let restored = restore(&cache, store, rules)?;
            if self.plan.cache == "read-write" {
                cache.forget(&restored.refused);
                keep_rate(&cache, restored.bytes, start.elapsed());
            }
            Ok(restored)
        };
        prepare().map_err(|error| error_chain(&error))
    }

    fn open_kvm(&self) -> (Option<&toolkit::Cmd>, Result<(), toolkit::ProcessError>) {
        let run = |cmd: &toolkit::Cmd| cmd.run(self.ui, OutputMode::Quiet, Duration::from_secs(60)).map(drop);
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
            if let Some(runner) = job::runner() {
                command.env(job::RUNNER, runner.as_raw_nonzero().to_string());
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
        if self.plan.cache != "read-write" {
            self.ui.report(format!("nothing is packed: the cache is {}", self.plan.cache));
            return Ok(());
        }
        let start = Instant::now();
        let packed = pack(&self.cache(), &self.store(&self.found()?.bin), &interrupted)?;
        report::packed(&packed, start.elapsed(), self.ui);
        Ok(())
    }

    /// Pass after pass, until asked to stop.
    pub(crate) fn watch(&self) -> Result<(), Error> {
        let cache = self.cache();
        let store = self.store(&self.found()?.bin);
        // The job's own work goes first.
        let _ = rustix::process::nice(10);
        let runner = job::given(self.env);
        let over = || runner.is_some_and(job::is_gone);
        let stop = || interrupted() || stop_file(&cache).exists() || !cache.state().exists() || over();
        let file = cache.state().join(PACKED);
        let mut log = fs::File::create(&file).map_err(FileError::new("create", &file))?;
        let start = Instant::now();
        let mut seen = Vec::new();
        while !stop() && start.elapsed().as_secs() < LONGEST {
            let stamp = database_stamp();
            if stamp != seen {
                match pack(&cache, &store, &stop) {
                    Ok(packed) => {
                        use std::io::Write as _;
                        let _ = writeln!(log, "{} {}", packed.paths, packed.bytes);
                    }
                    Err(error) => self.ui.info(format!("not packed: {}", error_chain(&error))),
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
        let mut phases = Phases::default();
        let cache = self.cache();
        if self.plan.cache != "read-write" {
            self.ui.output("changed", "false")?;
            self.ui.report(format!("nothing is saved: the cache is {}", self.plan.cache));
            return Ok(());
        }
        let mut finish = || -> Result<_, Error> {
            let found = self.found()?;
            cache.create()?;
            write_atomic(&stop_file(&cache), b"")?;
            let packed = phases.time("pack the rest", || {
                let packed = pack(&cache, &self.store(&found.bin), &interrupted)?;
                let bytes = packed.bytes;
                Ok((packed, bytes))
            })?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            let pruned = phases.time("apply max-size", || {
                let pruned = prune(&cache, self.inputs.max_size, now)?;
                let bytes = pruned.bytes;
                Ok((pruned, bytes))
            })?;
            Ok((packed, pruned))
        };
        let (packed, pruned) = match finish() {
            Ok(done) => done,
            Err(error) => {
                self.ui.warning(format!("the cache is not saved: {}", error_chain(&error)));
                self.ui.output("changed", "false")?;
                return Ok(());
            }
        };
        let before = fs::read_to_string(cache.state().join("restored-set")).unwrap_or_default();
        let saved = Saved {
            save_key: format!("{}-{}", self.plan.key, pruned.set),
            changed: before != pruned.set && pruned.paths > 0,
            packed_before: read_log(&cache),
            phases: phases.0,
            packed,
            pruned,
        };
        self.ui.output("cache-folder", cache.folder.display().to_string())?;
        self.ui.output("save-key", &saved.save_key)?;
        self.ui.output("changed", saved.changed.to_string())?;
        Ok(report::saved(&saved, self)?)
    }
}

/// Where a command's time goes.
#[derive(Default)]
pub(crate) struct Phases(Vec<Phase>);

impl Phases {
    /// Runs `work`, which gives how many bytes it was about, and notes its time.
    fn time<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(T, u64), Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let (value, bytes) = work()?;
        self.add(name, start.elapsed(), bytes);
        Ok(value)
    }

    fn add(&mut self, name: &'static str, time: Duration, bytes: u64) {
        self.0.push(Phase { name, seconds: time.as_secs_f64(), bytes });
    }
}

/// What the background packer noted: a line a pass, `paths bytes`.
fn read_log(cache: &Cache) -> (u64, u64) {
    let text = fs::read_to_string(cache.state().join(PACKED)).unwrap_or_default();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let passes = text.lines().filter_map(|line| line.split_once(' '));
    passes.fold((0, 0), |sum, (paths, bytes)| (sum.0 + number(paths), sum.1 + number(bytes)))
}
