//! The background packer, which runs alongside the job.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use toolkit::{Choice as _, FileError, error_chain, interrupted, write_atomic};

use crate::cache::Cache;
use crate::choices::CacheMode;
use crate::command_context::{CommandContext, LAST_PACKED_ID, PACKER_LOG};
use crate::error::Error;
use crate::inputs::STATE;
use crate::pack::{database_stamp, pack, stop_file};
use crate::prune::IN_USE;
use crate::{in_use, runner_process};

/// How often the background packer looks for new paths.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// GitHub's limit for a job on its machines, in seconds. A packer that was never stopped and
/// cannot see the process that runs the job exits then. Other jobs may take longer.
const MAX_JOB_SECONDS: u64 = 6 * 3600;

impl CommandContext<'_> {
    /// Starts this program in the background, with a minimal environment.
    pub(crate) fn start_packer(&self, bin: &Path) {
        let cache = self.cache();
        let start = || -> std::io::Result<()> {
            let _ = fs::remove_file(stop_file(&cache));
            let log = fs::File::create(cache.state.join("packer.log"))?;
            let _ = fs::remove_file(cache.state.join(IN_USE));
            let _ = fs::remove_file(cache.state.join(LAST_PACKED_ID));
            // Run at low priority from the start, so that the job's own work goes first.
            let mut command = Command::new("nice");
            command.args(["-n", "10"]).arg(std::env::current_exe()?).arg("watch");
            let path = format!("{}:/usr/bin:/bin", bin.display());
            command.env_clear().env("PATH", path).current_dir("/");
            command.env(STATE, &self.inputs.state).env("INPUT_CACHE", self.plan.cache.word());
            // Not RUNNER_TRACKING_ID: the runner kills all processes with its value at the end of
            // the job, before this one can clean up. It ends by itself.
            for name in ["HOME", "USER", "TMPDIR"] {
                if let Some(value) = self.env.get(name) {
                    command.env(name, value);
                }
            }
            if let Some(runner) = runner_process::runner() {
                command.env(runner_process::RUNNER_PID, runner.as_raw_nonzero().to_string());
            }
            command.env("INPUT_CACHE_DIRECTORY", &self.plan.cache_dir);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            command.spawn().map(drop)
        };
        if let Err(error) = start() {
            self.ui.info(format!("cannot start the background packer; new store paths are packed at the end of the job: {error}"));
        }
    }

    /// Packs new paths until told to stop. If the job has ended by then, also cleans up after
    /// it.
    pub(crate) fn watch(&self) -> Result<(), Error> {
        let cache = self.cache();
        let bin = &self.nix()?.bin;
        let runner = runner_process::runner_from_env(self.env);
        let job_ended = || runner.is_some_and(runner_process::has_exited);
        let file = cache.state.join(PACKER_LOG);
        let mut log = fs::File::create(&file).map_err(FileError::new("create", &file))?;
        // The runner empties the directory of this file when the job ends. Packing may create
        // the directory again, but not the file.
        let state_removed = || !file.exists();
        let stop = || interrupted() || stop_file(&cache).exists() || state_removed() || job_ended();
        let kvm_opened = self.kvm_opened();
        let packs = self.plan.cache == CacheMode::ReadWrite;
        if packs {
            follow_use(&cache.state.join(IN_USE));
        }
        let start = Instant::now();
        let (mut stamp, mut last, mut complete) = (Vec::new(), 0, true);
        while !stop() && !has_expired(runner.is_some(), start.elapsed()) {
            let now = database_stamp();
            if packs && now != stamp {
                match pack(&cache, bin, last, true, &stop) {
                    Ok(packed) => {
                        let _ = writeln!(log, "{} {}", packed.paths, packed.bytes);
                        last = packed.last;
                        complete &= packed.refused.is_empty() && !stop();
                        if complete {
                            let _ =
                                write_atomic(&cache.state.join(LAST_PACKED_ID), last.to_string().as_bytes());
                        }
                    }
                    Err(error) => {
                        self.ui.info(format!("cannot pack new store paths: {}", error_chain(&error)))
                    }
                }
                stamp = now;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        if job_ended() || state_removed() {
            self.clean_up(kvm_opened);
            self.unmount_at_end();
        }
        Ok(())
    }
}

/// Whether to give up waiting for the end of the job.
fn has_expired(sees_runner: bool, time: Duration) -> bool {
    !sees_runner && time.as_secs() >= MAX_JOB_SECONDS
}

/// Writes the paths that the job's Nix processes use to `file`.
fn follow_use(file: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(file) = fs::File::create(file) {
        let file = std::sync::Mutex::new((file, std::collections::HashSet::new()));
        std::thread::spawn(move || {
            in_use::follow(|path| {
                let Ok(mut known) = file.lock() else { return };
                if known.1.insert(path.clone()) {
                    let _ = writeln!(known.0, "{}", path.base());
                }
            })
        });
    }
}

/// The totals of the background packer's log, which has a line `paths bytes` per pass.
pub(crate) fn read_log(cache: &Cache) -> (u64, u64) {
    let text = fs::read_to_string(cache.state.join(PACKER_LOG)).unwrap_or_default();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let passes = text.lines().filter_map(|line| line.split_once(' '));
    passes.fold((0, 0), |sum, (paths, bytes)| (sum.0 + number(paths), sum.1 + number(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_a_visible_job_however_long_it_takes() {
        let long = Duration::from_secs(MAX_JOB_SECONDS);
        assert!(!has_expired(true, long) && has_expired(false, long));
        assert!(!has_expired(false, Duration::from_secs(1)));
    }
}
