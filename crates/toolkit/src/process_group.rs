//! The process groups of our children, which are ended on interrupts.

use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Exit;
use crate::platform::KillHandle;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static GROUPS: Mutex<Vec<(u32, KillHandle)>> = Mutex::new(Vec::new());

/// Whether the user asked this process to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// On Ctrl-C or SIGTERM, ends running children, so that the action fails and cleans up. Exits
/// without that after five seconds, or on a second signal.
pub fn handle_interrupts() {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(Exit::Interrupted.code().into());
        }
        for (_, group) in groups().iter_mut() {
            group.kill();
        }
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(5));
            std::process::exit(Exit::Interrupted.code().into());
        });
    };
    // Fails only if a handler is already set, as in a test.
    let _ = ctrlc::set_handler(handler);
}

/// The process group of a child. The signal handler ends it while this value exists.
pub(crate) struct ProcessGroup(u32);

impl ProcessGroup {
    pub(crate) fn watch(child: &Child) -> Self {
        groups().push((child.id(), KillHandle::new(child)));
        Self(child.id())
    }

    pub(crate) fn end(&self) {
        if let Some((_, group)) = groups().iter_mut().find(|(pid, _)| *pid == self.0) {
            group.kill();
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        groups().retain(|(pid, _)| *pid != self.0);
    }
}

fn groups() -> MutexGuard<'static, Vec<(u32, KillHandle)>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}
