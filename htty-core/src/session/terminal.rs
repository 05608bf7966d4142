//! What a session reads from its terminal and types into it, up to the command's end.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{BACKLOG, BATCH, DRAIN, Draining, Session};

use crate::process;
use crate::protocol::Event;
use crate::settle;

/// After the child's end its output is read until there is none. This much is
/// what a terminal holds; who goes on after that is somebody else.
const LAST: usize = 1024 * 1024;

/// Answers wait no longer for a command that has run for this long without a sleep,
/// by the time of the processors.
const BUSY: Duration = Duration::from_millis(50);

/// Nor longer than this by the clock.
const LATEST: Duration = Duration::from_secs(1);

impl Session {
    /// Reads what the terminal has right now; tells how much.
    pub(super) fn read_terminal(&mut self) -> usize {
        let mut count = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        // A terminal gives a page at a time.
        while let Some(master) = &self.master
            && count < BATCH
        {
            match rustix::io::read(master, &mut buffer[count..]) {
                Ok(read) if read > 0 => count += read,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                // Linux: EIO when the last one on the other side has closed it.
                Ok(_) | Err(_) => {
                    self.master = None;
                    self.typed.clear();
                }
            }
        }
        if count > 0 {
            self.screen.feed(buffer[..count].to_vec());
            self.unanswered = true;
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

    /// Takes the terminal's answers, which wait for [`Self::give_answers`].
    pub(super) fn take_answers(&mut self) {
        let answers = self.screen.answers();
        if !answers.is_empty() && self.slave.is_some() {
            self.answers.extend(answers);
            let ran = || settle::look(std::process::id()).map_or(0, |look| look.ran());
            self.answered.get_or_insert_with(|| (Instant::now(), ran()));
        }
    }

    /// Hands the answers to the command once it sleeps: a terminal takes its time, and
    /// vim leaves out a part of its screen where an answer comes while it draws.
    pub(super) fn give_answers(&mut self) {
        let Some((since, before)) = self.answered else { return };
        if self.slave.is_none() || process::has_ended(self.pid) {
            // Nobody reads them.
            self.answers.clear();
            self.answered = None;
            return;
        }
        let look = settle::look(std::process::id());
        let sleeps = look.as_ref().is_none_or(|look| look.asleep);
        let ran = Duration::from_nanos(look.map_or(0, |look| look.ran()).saturating_sub(before));
        if sleeps || ran >= BUSY || since.elapsed() >= LATEST {
            self.answered = None;
            self.typed.extend(self.answers.drain(..));
            self.type_out();
            self.readiness.typed(Instant::now());
        }
    }

    /// Output that was written before the child ended comes before its end.
    pub(super) fn child_ended(&mut self, child: &OwnedFd) -> io::Result<()> {
        let mut raw = [0; 4];
        if rustix::io::read(child, &mut raw[..])? == raw.len() {
            use std::os::unix::process::ExitStatusExt as _;
            let status = ExitStatus::from_raw(i32::from_ne_bytes(raw));
            self.draining = Some(Draining { status, quiet: Instant::now() + DRAIN, read: 0 });
            self.debug("the command has ended");
        }
        Ok(())
    }

    /// Tells the child's end once its output has been read.
    pub(super) fn tell_end(&mut self) {
        while self.draining.as_ref().is_some_and(|draining| draining.read < LAST) {
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

    /// Types what waits to be typed, as much as the terminal takes.
    pub(super) fn type_out(&mut self) {
        while let (Some(master), false) = (&self.master, self.typed.is_empty()) {
            let (first, _) = self.typed.as_slices();
            match rustix::io::write(master, first) {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(_) => return,
            }
        }
    }
}
