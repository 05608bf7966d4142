//! The processes around a session: the command, and the one that started us.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group};

use crate::settle;

/// How long the command's processes have to end after a hang-up.
const GRACE: Duration = Duration::from_millis(300);

/// A pipe whose ends no command inherits.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe()?;
    for end in [&read, &write] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok((read, write))
}

/// Lets processes whose parents leave become ours, so that they are seen, and
/// waited for when they end (Linux, prctl(2)).
pub(crate) fn adopt_orphans() {
    // Where it does not work, the first process has them, as usual.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// A descriptor that gives the raw wait status of the process `pid` when it has
/// ended. All other children are waited for too.
pub(crate) fn watch(pid: u32) -> io::Result<OwnedFd> {
    let (read, write) = pipe()?;
    let pid = process(pid);
    std::thread::Builder::new().name("watch".into()).stack_size(64 * 1024).spawn(move || {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                // The reader is gone only when ht itself is.
                Ok(Some((ended, status))) if Some(ended) == pid => {
                    let _ = rustix::io::write(&write, &status.as_raw().to_ne_bytes());
                }
                Ok(_) | Err(Errno::INTR) => {}
                // Nobody is left.
                Err(_) => return,
            }
        }
    })?;
    Ok(read)
}

/// Whether the process `pid`, a child, has ended, also where [`watch`] has not told yet.
pub(crate) fn has_ended(pid: u32) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    process(pid).is_some_and(|pid| !matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(None)))
}

/// The code a caller sees: negative for a signal.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// Ends the command's processes: politely, then for good. Those are its process
/// group and whatever else descends from it in its session (a shell's jobs
/// have groups of their own).
pub(crate) fn hang_up(pid: u32) {
    let Some(leader) = process(pid) else { return };
    let descendants = settle::descendants(std::process::id());
    let descendants: Vec<Pid> = descendants.into_iter().filter_map(process).collect();
    // Those that have started a session of their own are meant to stay.
    let ours = |other: Pid| rustix::process::getsid(Some(other)).is_ok_and(|session| session == leader);
    let left = || {
        rustix::process::test_kill_process_group(leader).is_ok()
            || descendants.iter().any(|other| ours(*other))
    };
    let send = |signal| {
        let _ = kill_process_group(leader, signal);
        for other in descendants.iter().filter(|other| ours(**other)) {
            let _ = kill_process(*other, signal);
        }
    };
    if !left() {
        return;
    }
    send(Signal::HUP);
    // A stopped process sees the hang-up only when it goes on.
    send(Signal::CONT);
    let end = Instant::now() + GRACE;
    let mut pause = Duration::from_millis(1);
    while left() {
        if Instant::now() >= end {
            send(Signal::KILL);
            return;
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
}

fn process(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// The process that started us.
pub(crate) struct Parent {
    pid: Option<Pid>,
    descriptor: Option<OwnedFd>,
}

impl Parent {
    pub(crate) fn new() -> Self {
        let pid = rustix::process::getppid();
        #[cfg(target_os = "linux")]
        let descriptor =
            pid.and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
        #[cfg(not(target_os = "linux"))]
        let descriptor = None;
        Self { pid, descriptor }
    }

    pub(crate) fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.descriptor.as_ref().map(OwnedFd::as_fd)
    }

    /// An orphan gets another parent.
    pub(crate) fn is_gone(&self) -> bool {
        rustix::process::getppid() != self.pid
    }
}

/// The signals that ask us to end, told by a descriptor.
pub(crate) struct Signals {
    descriptor: OwnedFd,
    number: Arc<AtomicUsize>,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        let (descriptor, write) = pipe()?;
        let number = Arc::new(AtomicUsize::new(0));
        for signal in [1, 2, 15] {
            let raw = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&number), raw)?;
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Self { descriptor, number })
    }

    pub(crate) fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Ends this process as the signal that came would have, had it not been
    /// caught; returns where none came.
    pub(crate) fn die(&self) {
        let number = i32::try_from(self.number.load(Ordering::Relaxed)).unwrap_or_default();
        if number != 0 {
            let _ = signal_hook::low_level::emulate_default_handler(number);
        }
    }
}
