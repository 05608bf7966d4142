//! The job that this process is a step of, for what must not outlive it.

use std::fs;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, getppid, test_kill_process};
use toolkit::Env;

/// The variable that tells the background packer the process to end with.
pub(crate) const RUNNER: &str = "SETUP_NIX_RUNNER";

/// What starts a step's programs, and ends with the step.
const OF_A_STEP: [&str; 8] = ["bash", "sh", "dash", "zsh", "env", "sudo", "node", "setup-nix"];

/// The process that runs the job: the nearest one above that is not a part of
/// the step. None in a container, where it is not to be seen; the container
/// then ends with the job.
pub(crate) fn runner() -> Option<Pid> {
    let mut pid = getppid()?;
    while pid != Pid::INIT {
        let (name, parent) = about(pid)?;
        if !OF_A_STEP.contains(&name.as_str()) {
            return Some(pid);
        }
        pid = parent?;
    }
    None
}

/// Its name and its parent.
fn about(pid: Pid) -> Option<(String, Option<Pid>)> {
    let number = pid.as_raw_nonzero();
    let (name, parent) = if let Ok(stat) = fs::read_to_string(format!("/proc/{number}/stat")) {
        // proc_pid_stat(5): `pid (name) state parent …`; a name may hold any character.
        let (start, rest) = stat.rsplit_once(')')?;
        let name = start.split_once('(')?.1.to_owned();
        (name, rest.split_whitespace().nth(1)?.to_owned())
    } else {
        // macOS has no /proc; its `ps` prints the program's whole path.
        let done = Command::new("ps").args(["-o", "ppid=,comm=", "-p", &number.to_string()]).output().ok()?;
        let line = String::from_utf8(done.stdout).ok()?;
        let (parent, path) = line.trim().split_once(' ')?;
        let name = path.trim().rsplit('/').next()?.trim_start_matches('-').to_owned();
        (name, parent.to_owned())
    };
    Some((name, parent.parse().ok().and_then(Pid::from_raw)))
}

/// The process that [`RUNNER`] names.
pub(crate) fn given(env: &Env) -> Option<Pid> {
    env.get(RUNNER)?.parse().ok().and_then(Pid::from_raw)
}

/// Whether `pid` has ended.
pub(crate) fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid) == Err(Errno::SRCH)
}
