//! The event sources of the session.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// An event source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The terminal has a reply for the command.
    Reply,
    Child,
    /// Standard input is readable.
    Input,
    /// Standard input has ended, while too many commands are pending to read it.
    Hangup,
    Listener,
    Output,
    Parent,
    Signal,
    Terminal,
    /// The terminal accepts typed bytes.
    TerminalWritable,
}

/// Descriptors to poll together.
#[derive(Default)]
pub(crate) struct Sources<'a> {
    sources: Vec<Source>,
    fds: Vec<PollFd<'a>>,
}

impl<'a> Sources<'a> {
    pub(crate) fn add(&mut self, source: Source, fd: BorrowedFd<'a>, flags: PollFlags) {
        self.sources.push(source);
        self.fds.push(PollFd::from_borrowed_fd(fd, flags));
    }

    /// Waits until at least one is ready or the timeout has passed; returns all that are ready.
    pub(crate) fn wait(mut self, timeout: Option<Duration>) -> io::Result<Vec<Source>> {
        match poll(&mut self.fds, timeout.and_then(|timeout| Timespec::try_from(timeout).ok()).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = Vec::with_capacity(self.sources.len());
        for (source, fd) in self.sources.into_iter().zip(&self.fds) {
            let events = fd.revents();
            match source {
                Source::Terminal => {
                    if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                        ready.push(Source::Terminal);
                    }
                    if events.contains(PollFlags::OUT) {
                        ready.push(Source::TerminalWritable);
                    }
                }
                // Only a hang-up counts, because standard input is not read now.
                Source::Hangup if !events.contains(PollFlags::HUP) => {}
                source if !events.is_empty() => ready.push(source),
                _ => {}
            }
        }
        Ok(ready)
    }
}

/// Whether a descriptor is readable now.
pub(crate) fn has_input(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
}
