//! What the session waits for.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// What can be ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The terminal answers the command.
    Answer,
    Child,
    /// Standard input has something.
    Input,
    /// Standard input has ended, and there is no room for what it still has.
    Hangup,
    Listener,
    Output,
    Parent,
    Signal,
    Terminal,
    /// The terminal takes what is typed.
    Keyboard,
}

/// Descriptors to wait for together.
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

    /// Waits until one is ready, at most so long; gives all that are.
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
                        ready.push(Source::Keyboard);
                    }
                }
                // It is not read: there is no room.
                Source::Hangup if !events.contains(PollFlags::HUP) => {}
                source if !events.is_empty() => ready.push(source),
                _ => {}
            }
        }
        Ok(ready)
    }
}

/// Whether a descriptor can be read right now.
pub(crate) fn has_input(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
}
