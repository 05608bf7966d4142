//! Which jobs run on this machine: images that one job has mounted also serve the others, so only
//! the last one unmounts them.

use std::fs;
use std::path::{Path, PathBuf};

use pydist::digest::{hex, sha256};
use rustix::process::Pid;
use toolkit::write_atomic;

use crate::cache::read_text;
use crate::runner_process::{runner, start_time};
use crate::store::STATE;
use crate::tree;

/// Holds a file for each job, with the ID and the start time of the process that runs it.
const JOBS: &str = "setup-nix-jobs";

/// The list of jobs below a state directory of Nix.
pub(crate) struct RunningJobs {
    dir: PathBuf,
}

impl RunningJobs {
    /// The list of this machine.
    pub(crate) fn of_machine() -> Self {
        Self { dir: Path::new(STATE).join(JOBS) }
    }

    /// The file of the job with the private directory `state`, which no other job has.
    fn file(&self, state: &Path) -> PathBuf {
        self.dir.join(&hex(&sha256(state.as_os_str().as_encoded_bytes()))[..32])
    }

    /// Adds this job. Does nothing if the process that runs it is unknown, as in a container,
    /// which has mounts of its own.
    pub(crate) fn add(&self, state: &Path) {
        if let Some(pid) = runner() {
            self.add_process(state, pid);
        }
    }

    fn add_process(&self, state: &Path, pid: Pid) {
        if let Some(start) = start_time(pid)
            && fs::create_dir_all(&self.dir).is_ok()
        {
            let _ = write_atomic(&self.file(state), format!("{} {start}", pid.as_raw_nonzero()).as_bytes());
        }
    }

    /// Removes this job.
    pub(crate) fn remove(&self, state: &Path) {
        let _ = tree::remove(&self.file(state));
    }

    /// Whether another job still runs. Removes the files of those that have ended.
    pub(crate) fn has_others(&self, state: &Path) -> bool {
        let own = self.file(state);
        let mut others = false;
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let file = entry.path();
            if file == own {
                continue;
            }
            let runs = || {
                let text = read_text(&file).ok()?;
                let (pid, start) = text.trim().split_once(' ')?;
                // A process ID may be used again.
                (start_time(Pid::from_raw(pid.parse().ok()?)?)? == start).then_some(())
            };
            if runs().is_some() {
                others = true;
            } else {
                let _ = tree::remove(&file);
            }
        }
        others
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_job_runs_until_it_is_removed_or_its_process_ends() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = RunningJobs { dir: dir.path().join("jobs") };
        let [one, two, three] = ["/one", "/two", "/three"].map(Path::new);
        assert!(!jobs.has_others(one));
        jobs.add_process(one, rustix::process::getpid());
        assert!(!jobs.has_others(one) && jobs.has_others(two));
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        jobs.add_process(two, pid);
        assert!(jobs.has_others(one));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!jobs.has_others(one) && !jobs.file(two).exists());
        // Another process with the same ID.
        fs::write(jobs.file(three), format!("{} 1", rustix::process::getpid().as_raw_nonzero())).unwrap();
        assert!(!jobs.has_others(one));
        jobs.remove(one);
        assert!(!jobs.has_others(two));
    }
}
