//! The processes around a session: the command and our parent.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group};

use crate::tasks;

/// How long processes have to exit after a hang-up before they are killed.
const HANG_UP_TIMEOUT: Duration = Duration::from_millis(300);

/// A pipe with close-on-exec ends.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe()?;
    for end in [&read, &write] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok((read, write))
}

/// Makes orphaned descendants our children, so that they can be observed and reaped (Linux,
/// prctl(2)).
pub(crate) fn adopt_orphans() {
    // If this fails, init adopts them as usual.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// A descriptor from which the raw wait status of the process `pid` can be read after it has
/// exited. Also reaps all other children.
pub(crate) fn watch(pid: u32) -> io::Result<OwnedFd> {
    let (read, write) = pipe()?;
    let pid = process(pid);
    std::thread::Builder::new().name("watch".into()).stack_size(64 * 1024).spawn(move || {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                // The read end is only closed when ht itself exits.
                Ok(Some((ended, status))) if Some(ended) == pid => {
                    let _ = rustix::io::write(&write, &status.as_raw().to_ne_bytes());
                }
                Ok(_) | Err(Errno::INTR) => {}
                // There are no more children.
                Err(_) => return,
            }
        }
    })?;
    Ok(read)
}

/// Whether the child `pid` has exited, even if [`watch`] has not reported it yet.
pub(crate) fn has_ended(pid: u32) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    process(pid).is_some_and(|pid| !matches!(rustix::process::waitid(WaitId::Pid(pid), options), Ok(None)))
}

/// The exit code, or the negative number of the signal.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// Terminates the command's processes: first by a hang-up, then by killing them. These are
/// its process group and all descendants in its session (a shell's jobs have their own
/// groups).
pub(crate) fn hang_up(pid: u32) {
    let Some(leader) = process(pid) else { return };
    let descendants = tasks::descendants(std::process::id());
    let descendants: Vec<Pid> = descendants.into_iter().filter_map(process).collect();
    // Descendants that have started their own session are meant to stay.
    let in_session = |other: Pid| rustix::process::getsid(Some(other)).is_ok_and(|session| session == leader);
    let any_alive = || {
        rustix::process::test_kill_process_group(leader).is_ok()
            || descendants.iter().any(|other| in_session(*other))
    };
    let send = |signal| {
        let _ = kill_process_group(leader, signal);
        for other in descendants.iter().filter(|other| in_session(**other)) {
            let _ = kill_process(*other, signal);
        }
    };
    if !any_alive() {
        return;
    }
    send(Signal::HUP);
    // Stopped processes handle the hang-up only after they continue.
    send(Signal::CONT);
    let deadline = Instant::now() + HANG_UP_TIMEOUT;
    let mut pause = Duration::from_millis(1);
    while any_alive() {
        if Instant::now() >= deadline {
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

    /// Whether the parent has exited: we have another one then.
    pub(crate) fn has_exited(&self) -> bool {
        rustix::process::getppid() != self.pid
    }
}

/// Termination signals, with a descriptor that is readable after one has arrived.
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

    /// Ends this process by the signal that has arrived; does nothing if none has.
    pub(crate) fn reraise(&self) {
        let number = i32::try_from(self.number.load(Ordering::Relaxed)).unwrap_or_default();
        if number != 0 {
            let _ = signal_hook::low_level::emulate_default_handler(number);
        }
    }
}
