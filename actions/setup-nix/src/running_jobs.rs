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

/// Holds a file for each job, named by its state directory, and the ID and the start time of the
/// process that runs it. A runner uses one directory for all its jobs, and some run several jobs in
/// one process. The file contains the path of the directory, which runners empty at the end.
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

    /// Adds the job with the private directory `state`. Does nothing if the process that runs it
    /// is unknown, as in a container, which has mounts of its own.
    pub(crate) fn add(&self, state: &Path) {
        if let Some(name) = runner().and_then(|pid| name(state, pid))
            && fs::create_dir_all(&self.dir).is_ok()
            && fs::create_dir_all(state).is_ok()
        {
            let _ = write_atomic(&self.dir.join(name), state.as_os_str().as_encoded_bytes());
        }
    }

    /// Removes the job with this directory that the process `runner` runs.
    pub(crate) fn remove(&self, state: &Path, runner: Option<Pid>) {
        if let Some(name) = runner.and_then(|pid| name(state, pid)) {
            let _ = tree::remove(&self.dir.join(name));
        }
    }

    /// Whether another job still runs. Removes the files of those that have ended.
    pub(crate) fn has_others(&self, state: &Path, runner: Option<Pid>) -> bool {
        let own = runner.and_then(|pid| name(state, pid));
        let mut others = false;
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let file_name = entry.file_name().to_string_lossy().into_owned();
            // Not one that is being written.
            let [_, pid, start] = file_name.split('-').collect::<Vec<_>>()[..] else { continue };
            if own.as_deref() == Some(&file_name) {
                continue;
            }
            let pid = pid.parse().ok().and_then(Pid::from_raw);
            // A process ID may be used again.
            let runs = pid.and_then(start_time).is_some_and(|found| found == start)
                && read_text(&entry.path()).is_ok_and(|state| Path::new(&state).is_dir());
            if runs {
                others = true;
            } else {
                let _ = tree::remove(&entry.path());
            }
        }
        others
    }
}

fn name(state: &Path, runner: Pid) -> Option<String> {
    let digest = hex(&sha256(state.as_os_str().as_encoded_bytes()));
    Some(format!("{}-{}-{}", &digest[..32], runner.as_raw_nonzero(), start_time(runner)?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_job_runs_until_it_is_removed_or_its_process_or_directory_ends() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = RunningJobs { dir: dir.path().join("jobs") };
        fs::create_dir(&jobs.dir).unwrap();
        let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
        let add = |state: &Path, pid: Pid| {
            fs::create_dir_all(state).unwrap();
            fs::write(jobs.dir.join(name(state, pid).unwrap()), state.to_str().unwrap()).unwrap();
        };
        let this = rustix::process::getpid();
        let own = Some(this);
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        assert!(!jobs.has_others(&one, own));
        add(&one, this);
        assert!(!jobs.has_others(&one, own) && jobs.has_others(&two, own));
        // The next job of the same runner has the same directory.
        add(&one, pid);
        assert!(jobs.has_others(&one, own));
        jobs.remove(&one, own);
        assert!(jobs.has_others(&one, own) && !jobs.has_others(&one, Some(pid)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!jobs.has_others(&one, own));
        add(&two, this);
        assert!(jobs.has_others(&one, own));
        fs::remove_dir(&two).unwrap();
        assert!(!jobs.has_others(&one, own));
        // Another process with the same ID.
        fs::write(jobs.dir.join(format!("x-{}-1", this.as_raw_nonzero())), "/").unwrap();
        fs::write(jobs.dir.join(".tmp-x"), "").unwrap();
        assert!(!jobs.has_others(&one, own));
        assert_eq!(fs::read_dir(&jobs.dir).unwrap().count(), 1, "only what is being written");
    }
}
