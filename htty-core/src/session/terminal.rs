//! Reads from the terminal and writes to it, until the command exits.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{BACKLOG, BATCH, DRAIN, Draining, Session};

use crate::process;
use crate::protocol::Event;
use crate::tasks;

/// The maximum to read after the child has exited. This is more than a terminal buffers;
/// anything beyond it comes from other processes.
const MAX_LAST_OUTPUT: usize = 1024 * 1024;

/// Replies are sent to a command that does not sleep after this much processor time.
const MAX_REPLY_RUN_TIME: Duration = Duration::from_millis(50);

/// And after this much time by the clock.
const MAX_REPLY_DELAY: Duration = Duration::from_secs(1);

impl Session {
    /// Reads what is available from the terminal; returns the number of bytes.
    pub(super) fn read_terminal(&mut self) -> usize {
        let mut count = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        // A terminal returns at most a page per read.
        while let Some(master) = &self.master
            && count < BATCH
        {
            match rustix::io::read(master, &mut buffer[count..]) {
                Ok(read) if read > 0 => count += read,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                // Linux returns EIO after everyone has closed the other end.
                Ok(_) | Err(_) => {
                    self.master = None;
                    self.typed.clear();
                }
            }
        }
        if count > 0 {
            self.screen.feed(buffer[..count].to_vec());
            self.replies_outdated = true;
            self.readiness.output_came(Instant::now());
            if let Some(draining) = &mut self.draining {
                draining.quiet = Instant::now() + DRAIN;
                draining.read += count;
            }
            let text = self.decoder.decode(&buffer[..count]);
            if !text.is_empty() {
                self.emit(&Event::Output { seq: &text });
            }
        }
        self.buffer = buffer;
        count
    }

    /// Collects the terminal's replies, which [`Self::send_replies`] sends.
    pub(super) fn collect_replies(&mut self) {
        let replies = self.screen.replies();
        if !replies.is_empty() && self.slave.is_some() {
            self.replies.extend(replies);
            let ran = || tasks::sample(std::process::id()).map_or(0, |sample| sample.ran());
            self.replies_since.get_or_insert_with(|| (Instant::now(), ran()));
        }
    }

    /// Sends the replies to the command once it sleeps: real terminals reply with a delay, and
    /// vim does not draw a part of its screen if a reply arrives while it draws.
    pub(super) fn send_replies(&mut self) {
        let Some((since, before)) = self.replies_since else { return };
        if self.slave.is_none() || process::has_ended(self.pid) {
            // Nobody reads them.
            self.replies.clear();
            self.replies_since = None;
            return;
        }
        let sample = tasks::sample(std::process::id());
        let asleep = sample.as_ref().is_none_or(|sample| sample.asleep);
        let ran = Duration::from_nanos(sample.map_or(0, |sample| sample.ran()).saturating_sub(before));
        if asleep || ran >= MAX_REPLY_RUN_TIME || since.elapsed() >= MAX_REPLY_DELAY {
            self.replies_since = None;
            self.typed.extend(self.replies.drain(..));
            self.write_typed();
            self.readiness.typed(Instant::now());
        }
    }

    /// Reads the child's exit status, which is reported after its last output.
    pub(super) fn child_ended(&mut self, child: &OwnedFd) -> io::Result<()> {
        let mut raw = [0; 4];
        if rustix::io::read(child, &mut raw[..])? == raw.len() {
            use std::os::unix::process::ExitStatusExt as _;
            let status = ExitStatus::from_raw(i32::from_ne_bytes(raw));
            self.draining = Some(Draining { status, quiet: Instant::now() + DRAIN, read: 0 });
            self.debug("the command has exited");
        }
        Ok(())
    }

    /// Reports the child's exit once its output has been read.
    pub(super) fn report_exit(&mut self) {
        while self.draining.as_ref().is_some_and(|draining| draining.read < MAX_LAST_OUTPUT) {
            if self.output.len() >= BACKLOG {
                return;
            }
            if self.read_terminal() == 0 {
                break;
            }
        }
        if let Some(draining) = self.draining.take_if(|draining| draining.quiet <= Instant::now()) {
            self.slave = None;
            let time = self.started.elapsed().as_secs_f64();
            self.emit(&Event::CommandCompleted { time });
            self.emit(&Event::ExitCode { exit_code: process::exit_code(draining.status) });
            self.readiness.command_ended();
        }
    }

    /// Writes pending typed bytes, as many as the terminal accepts.
    pub(super) fn write_typed(&mut self) {
        while let (Some(master), false) = (&self.master, self.typed.is_empty()) {
            let (first, _) = self.typed.as_slices();
            match rustix::io::write(master, first) {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(_) => return,
            }
        }
    }
}
