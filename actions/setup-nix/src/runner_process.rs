//! Finds the process that runs the job, so that the background packer can exit with it.

use std::fs;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, getppid, test_kill_process};
use toolkit::Env;

/// The variable that passes the ID of that process to the background packer.
pub(crate) const RUNNER_PID: &str = "SETUP_NIX_RUNNER";

/// Names of processes that belong to a single step.
const STEP_PROGRAMS: [&str; 8] = ["bash", "sh", "dash", "zsh", "env", "sudo", "node", "setup-nix"];

/// The process that runs the job: the nearest ancestor that is not part of the step. `None`
/// in a container, where it is invisible; the container ends with the job.
pub(crate) fn runner() -> Option<Pid> {
    let mut pid = getppid()?;
    while pid != Pid::INIT {
        let (name, parent) = name_and_parent(pid)?;
        if !STEP_PROGRAMS.contains(&name.as_str()) {
            return Some(pid);
        }
        pid = parent?;
    }
    None
}

fn name_and_parent(pid: Pid) -> Option<(String, Option<Pid>)> {
    let number = pid.as_raw_nonzero();
    let (name, parent) = if let Ok(stat) = fs::read_to_string(format!("/proc/{number}/stat")) {
        // proc_pid_stat(5): `pid (name) state parent …`; a name may contain any character.
        let (start, rest) = stat.rsplit_once(')')?;
        let name = start.split_once('(')?.1.to_owned();
        (name, rest.split_whitespace().nth(1)?.to_owned())
    } else {
        // macOS has no /proc; its `ps` prints the full path of the program.
        let output =
            Command::new("ps").args(["-o", "ppid=,comm=", "-p", &number.to_string()]).output().ok()?;
        let line = String::from_utf8(output.stdout).ok()?;
        let (parent, path) = line.trim().split_once(' ')?;
        let name = path.trim().rsplit('/').next()?.trim_start_matches('-').to_owned();
        (name, parent.to_owned())
    };
    Some((name, parent.parse().ok().and_then(Pid::from_raw)))
}

/// The process whose ID is in [`RUNNER_PID`].
pub(crate) fn runner_from_env(env: &Env) -> Option<Pid> {
    env.get(RUNNER_PID)?.parse().ok().and_then(Pid::from_raw)
}

/// Whether `pid` has ended.
pub(crate) fn has_exited(pid: Pid) -> bool {
    test_kill_process(pid) == Err(Errno::SRCH)
}

/// When `pid` was started, in the kernel's unit; `None` if it has ended or the system does not
/// report it.
pub(crate) fn start_time(pid: Pid) -> Option<String> {
    // proc_pid_stat(5): the 22nd field, counted from before the name.
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}
