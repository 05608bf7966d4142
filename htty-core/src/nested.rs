//! Terminals inside the terminal, as tmux, script and ssh create them.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::sources::has_input;
use crate::tasks;

/// Flushes pending data of the terminals that descendants of the process `pid` have open.
///
/// The kernel moves data to the other end in a separate task, which may have to wait for a
/// processor. Until then the reader sleeps as if there were nothing to read. Polling waits for
/// that task (Linux, `n_tty_poll`).
pub(crate) fn flush_terminals(pid: u32) {
    for process in tasks::descendants(pid) {
        for end in terminal_ends(process).unwrap_or_default() {
            has_input(end.as_fd());
        }
    }
}

/// The ends of terminals that a process has open; `None` without permission.
fn terminal_ends(process: u32) -> Option<Vec<OwnedFd>> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let pid = Pid::from_raw(i32::try_from(process).ok()?)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let mut ends = Vec::new();
    let mut seen = Vec::new();
    for file in files.flatten() {
        let Ok(target) = std::fs::read_link(file.path()) else { continue };
        let Some(name) = target.to_str() else { continue };
        // Each `ptmx` is a separate terminal.
        let is_master = name == "/dev/ptmx" || name == "/dev/pts/ptmx";
        if !is_master && (!name.starts_with("/dev/pts/") || seen.contains(&target)) {
            continue;
        }
        let Some(number) = file.file_name().to_str().and_then(|number| number.parse().ok()) else { continue };
        ends.extend(pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()));
        seen.push(target);
    }
    Some(ends)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use super::terminal_ends;

    #[test]
    #[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    fn finds_both_ends_of_a_terminal() {
        let script = "import os, pty, sys\nm, s = pty.openpty()\nm2, s2 = pty.openpty()\nos.dup(s)\n\
                      os.write(1, b'.'); sys.stdin.read()";
        let mut holder = Command::new("python3")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        holder.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(terminal_ends(holder.id()).unwrap().len(), 4);
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
}
