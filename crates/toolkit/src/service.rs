//! Servers that run as long as a value exists.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::command::spawn_group;
use crate::process_group::ProcessGroup;
use crate::{Cmd, ProcessError};

/// A server that runs until this value is dropped. Its standard input stays open as long as
/// this process runs, so that it can exit if this process crashes. Its output goes to a log
/// file.
pub struct Service {
    child: Child,
    group: ProcessGroup,
}

impl Service {
    /// Starts `cmd` with its output in the file `log`.
    pub fn start(cmd: &Cmd, log: &Path) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Start { program: cmd.program.clone(), source };
        let out = File::create(log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        let mut command = cmd.command();
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        let child = spawn_group(&mut command, &cmd.program)?;
        let group = ProcessGroup::watch(&child);
        Ok(Self { child, group })
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.group.end();
        // Reap it.
        let _ = self.child.wait();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_service_ends_with_its_value() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let cmd = Cmd::new("sh").args(["-c", "echo $$; sleep 1000"]);
        let mut service = Service::start(&cmd, &log).unwrap();
        assert!(service.is_running());
        let pid = loop {
            if let Ok(pid) = std::fs::read_to_string(&log).unwrap().trim().parse::<i32>() {
                break rustix::process::Pid::from_raw(pid).unwrap();
            }
            std::thread::yield_now();
        };
        drop(service);
        assert!(rustix::process::test_kill_process(pid).is_err(), "it has exited");
    }
}
