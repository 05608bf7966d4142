//! The process groups of our children, and what ends them.

use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Exit;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Whether the user asked this process to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// On Ctrl-C or SIGTERM, ends running children, so that the work fails and
/// cleans up after itself. Exits without that after five seconds, or at the
/// second signal.
pub fn handle_interrupts() {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(Exit::Interrupted.code().into());
        }
        for pid in GROUPS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            kill(*pid);
        }
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(5));
            std::process::exit(Exit::Interrupted.code().into());
        });
    };
    // It fails only where a handler is set already, as in a test.
    let _ = ctrlc::set_handler(handler);
}

/// A child's process group, known to the signal handler while it lives.
pub(crate) struct ProcessGroup(u32);

impl ProcessGroup {
    pub(crate) fn watch(child: &Child) -> Self {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).push(child.id());
        Self(child.id())
    }

    pub(crate) fn end(&self) {
        kill(self.0);
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|pid| *pid != self.0);
    }
}

#[cfg(unix)]
fn kill(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // The group may be gone already.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill(_pid: u32) {}
