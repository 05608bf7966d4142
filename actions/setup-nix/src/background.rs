//! The packer that runs beside the job.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use toolkit::{Choice as _, FileError, error_chain, interrupted, write_atomic};

use crate::choices::CacheMode;
use crate::error::Error;
use crate::folder::Cache;
use crate::inputs::STATE;
use crate::pack::{database_stamp, pack, stop_file};
use crate::prune::SEEN;
use crate::work::{LAST, PACKED, Work};
use crate::{job, seen};

/// How often the background packer looks for new paths.
const LOOK: Duration = Duration::from_secs(1);
/// The longest that GitHub lets a job run, in seconds; a packer that nobody
/// stopped, and whose job's end cannot be seen, ends then.
const LONGEST: u64 = 6 * 3600;

impl Work<'_> {
    /// The same program in the background, with nothing of the job's
    /// environment that it does not need.
    pub(crate) fn start_packer(&self, bin: &Path) {
        let cache = self.cache();
        let start = || -> std::io::Result<()> {
            let _ = fs::remove_file(stop_file(&cache));
            let log = fs::File::create(cache.state.join("packer.log"))?;
            let _ = fs::remove_file(cache.state.join(SEEN));
            let _ = fs::remove_file(cache.state.join(LAST));
            // The job's own work goes first, from the first moment on.
            let mut command = Command::new("nice");
            command.args(["-n", "10"]).arg(std::env::current_exe()?).arg("watch");
            let path = format!("{}:/usr/bin:/bin", bin.display());
            command.env_clear().env("PATH", path).current_dir("/");
            command.env(STATE, &self.inputs.state).env("INPUT_CACHE", self.plan.cache.word());
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

    /// Pass after pass, until asked to stop; then, if the job is over, removes what
    /// must not outlive it.
    pub(crate) fn watch(&self) -> Result<(), Error> {
        let cache = self.cache();
        let bin = &self.found()?.bin;
        let runner = job::given(self.env);
        let over = || runner.is_some_and(job::is_gone);
        let stop = || interrupted() || stop_file(&cache).exists() || !cache.state.exists() || over();
        let file = cache.state.join(PACKED);
        let mut log = fs::File::create(&file).map_err(FileError::new("create", &file))?;
        let packs = self.plan.cache == CacheMode::ReadWrite;
        if packs {
            follow_use(&cache.state.join(SEEN));
        }
        let start = Instant::now();
        let (mut stamp, mut last, mut all) = (Vec::new(), 0, true);
        while !stop() && start.elapsed().as_secs() < LONGEST {
            let now = database_stamp();
            if packs && now != stamp {
                match pack(&cache, bin, last, true, &stop) {
                    Ok(packed) => {
                        let _ = writeln!(log, "{} {}", packed.paths, packed.bytes);
                        last = packed.last;
                        all &= packed.refused.is_empty() && !stop();
                        if all {
                            let _ = write_atomic(&cache.state.join(LAST), last.to_string().as_bytes());
                        }
                    }
                    Err(error) => self.ui.info(format!("not packed: {}", error_chain(&error))),
                }
                stamp = now;
            }
            std::thread::sleep(LOOK);
        }
        if over() {
            self.clean_up();
            self.unmount_at_end();
        }
        Ok(())
    }
}

/// Notes in `file` which paths the job's Nix processes work with.
fn follow_use(file: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(file) = fs::File::create(file) {
        let file = std::sync::Mutex::new((file, std::collections::HashSet::new()));
        std::thread::spawn(move || {
            seen::follow(|path| {
                let Ok(mut known) = file.lock() else { return };
                if known.1.insert(path.clone()) {
                    let _ = writeln!(known.0, "{}", path.base());
                }
            })
        });
    }
}

/// What the background packer noted: a line a pass, `paths bytes`.
pub(crate) fn read_log(cache: &Cache) -> (u64, u64) {
    let text = fs::read_to_string(cache.state.join(PACKED)).unwrap_or_default();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let passes = text.lines().filter_map(|line| line.split_once(' '));
    passes.fold((0, 0), |sum, (paths, bytes)| (sum.0 + number(paths), sum.1 + number(bytes)))
}
