//! Carries out the commands from standard input.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use super::{BACKLOG, Session, warn};

use crate::keys::{self, KeyEvent};
use crate::mouse::{self, Mouse};
use crate::process;
use crate::protocol::{self, Command, Event};
use crate::pty;
use crate::readiness::{Observation, Purpose};
use crate::sources::has_input;
use crate::tasks;

/// If this many typed bytes are pending, further input waits.
const MAX_TYPED: usize = 1024 * 1024;

impl Session {
    /// Carries out pending commands in order, up to the first one that has to wait.
    pub(super) fn run_commands(&mut self) {
        while let Some(command) = self.commands.front()
            && !self.ended
        {
            // Keys wait until the command reads them, and a snapshot until it has processed
            // them. After the command has exited, a snapshot contains the last output.
            let (waits, types) = (command.waits(), command.types());
            let (purpose, deadline) = self.wait_condition();
            let mut settled = true;
            if waits && (self.draining.is_some() || !self.is_ready(purpose)) {
                settled = false;
                if deadline.is_none_or(|deadline| deadline > Instant::now()) {
                    return;
                }
            }
            if types && self.typed.len() >= MAX_TYPED {
                return;
            }
            let Some(command) = self.commands.pop_front() else { return };
            self.asked = None;
            match command {
                Command::Input { payload } => self.send_input(payload),
                Command::SendKeys { keys, event } => self.send_keys(keys, event),
                Command::Resize { cols, rows } => self.resize(cols, rows),
                Command::Paste { text } => self.paste(&text),
                Command::Mouse(mouse) => self.send_mouse(mouse),
                Command::TakeSnapshot { settle, timeout, include } => {
                    let mut snapshot = self.screen.snapshot(self.style);
                    snapshot.details = self.screen.details(include, self.style);
                    snapshot.settled = settle.or(timeout).map(|_| settled);
                    self.emit(&Event::Snapshot(snapshot));
                }
                Command::ScrollView { lines } => self.screen.scroll_view(lines),
                Command::SetStyleMode { mode } => self.style = mode,
                Command::Exit => self.ended = true,
            }
        }
    }

    /// What the first pending command waits for, and its deadline.
    fn wait_condition(&mut self) -> (Purpose, Option<Instant>) {
        let asked = *self.asked.get_or_insert_with(Instant::now);
        match self.commands.front() {
            Some(Command::TakeSnapshot { settle, timeout, .. }) => {
                let duration = |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).ok();
                let deadline = timeout.and_then(duration).and_then(|timeout| asked.checked_add(timeout));
                (Purpose::Snapshot(settle.and_then(duration)), deadline)
            }
            Some(Command::ScrollView { .. }) => (Purpose::Snapshot(None), None),
            _ => (Purpose::Keys, None),
        }
    }

    /// Whether the command has processed its input.
    fn is_ready(&mut self, purpose: Purpose) -> bool {
        if self.output.len() < BACKLOG {
            // Polling the command's end makes the kernel flush typed input to it (Linux,
            // n_tty_poll).
            if let Some(slave) = &self.slave {
                has_input(slave.as_fd());
            }
            if self.master.as_ref().is_some_and(|master| has_input(master.as_fd())) {
                self.read_terminal();
            }
        }
        #[cfg(target_os = "linux")]
        if self.readiness.is_nested() {
            crate::nested::flush_terminals(std::process::id());
        }
        let observation = Observation {
            now: Instant::now(),
            sample: tasks::sample(std::process::id()),
            unread: !self.typed.is_empty() || self.slave.as_ref().is_some_and(pty::has_unread),
            ended: process::has_ended(self.pid),
        };
        let ready = self.readiness.is_ready(purpose, observation);
        if let Some(busy) = self.readiness.gave_up() {
            self.debug(&format!("gave up waiting for the busy command after {} ms", busy.as_millis()));
        }
        if ready && std::mem::take(&mut self.replies_outdated) {
            self.screen.catch_up();
            self.collect_replies();
        }
        // If a reply is pending, the command may be waiting for it.
        ready && self.replies_since.is_none()
    }

    fn send_input(&mut self, payload: String) {
        let escape = payload.ends_with('\x1b') && self.is_raw();
        self.send(payload.into_bytes(), escape);
    }

    /// Types keys up to a lone Escape. The rest waits until the command has recognised it.
    fn send_keys(&mut self, keys: Vec<String>, event: KeyEvent) {
        let (keyboard, raw) = (self.screen.keyboard(), self.is_raw());
        if event == KeyEvent::Release && !keyboard.events {
            warn("ht: ignored released keys: the command has not asked for them");
            return;
        }
        let mut bytes = Vec::new();
        let mut keys = keys.into_iter();
        while let Some(key) = keys.next() {
            let key = keys::encode(&key, event, keyboard);
            bytes.extend(key.bytes);
            if key.is_escape && raw {
                self.send(bytes, true);
                let rest: Vec<String> = keys.collect();
                if !rest.is_empty() {
                    self.commands.push_front(Command::SendKeys { keys: rest, event });
                }
                return;
            }
        }
        self.send(bytes, false);
    }

    /// Pastes text as a terminal does.
    fn paste(&mut self, text: &str) {
        let bytes = if self.screen.brackets_paste() {
            // The text must not contain the sequence that ends the paste.
            let text: String = text.chars().filter(|character| *character != '\x1b').collect();
            format!("\x1b[200~{text}\x1b[201~")
        } else {
            text.replace("\r\n", "\r").replace('\n', "\r")
        };
        self.send(bytes.into_bytes(), false);
    }

    fn send_mouse(&mut self, mouse: Mouse) {
        let (mode, keyboard) = (self.screen.mouse(), self.screen.keyboard());
        match mouse::encode(mouse, mode, keyboard) {
            Ok(bytes) => self.send(bytes, false),
            Err(error) => warn(&format!("ht: ignored a mouse event: {error}")),
        }
    }

    fn is_raw(&self) -> bool {
        self.slave.as_ref().is_some_and(pty::is_raw)
    }

    fn send(&mut self, bytes: Vec<u8>, escape: bool) {
        if self.master.is_some() && self.slave.is_some() {
            self.debug(&format!("typing {} bytes", bytes.len()));
            // Like other terminals, scroll to the bottom on input.
            self.screen.scroll_view(i32::MAX);
            self.typed.extend(bytes);
            self.write_typed();
            self.readiness.key(Instant::now(), escape);
        } else {
            warn("ht: ignored input: the command has exited");
        }
    }

    fn resize(&mut self, cols: u16, rows: u16) {
        if let Err(error) = protocol::check_size(cols, rows) {
            warn(&format!("ht: cannot resize the terminal: {error}"));
            return;
        }
        // Earlier output belongs to the old size.
        while self.output.len() < BACKLOG && self.read_terminal() > 0 {}
        self.screen.resize(cols, rows);
        if let Some(Err(error)) = self.master.as_ref().map(|master| pty::resize(master, cols, rows)) {
            warn(&format!("ht: cannot resize the terminal: {error}"));
        }
        self.readiness.typed(Instant::now());
        self.emit(&Event::Resize { cols, rows });
    }
}
