//! The terminal's screen, kept by a thread of its own, so that what the command
//! writes is interpreted while it is passed on.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};

use avt::Terminal;

use crate::protocol::{Snapshot, StyleMode};
use crate::style;

/// So much is gathered before the thread is told: nobody sees the screen before
/// he asks for it.
const BATCH: usize = 64 * 1024;

/// How many batches may wait; more make the reader of the terminal wait.
const WAITING: usize = 8;

enum Job {
    Feed(String),
    Run(Box<dyn FnOnce(&mut Terminal) + Send>),
}

/// The screen. What is asked of it sees everything that was fed before.
pub(crate) struct Screen {
    jobs: SyncSender<Job>,
    pending: String,
}

impl Screen {
    /// Starts with an empty screen of this size; both must be positive.
    pub(crate) fn new(cols: u16, rows: u16) -> io::Result<Self> {
        let mut terminal = Terminal::new(cols.into(), rows.into())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        let (jobs, queue) = sync_channel(WAITING);
        std::thread::Builder::new().name("screen".into()).spawn(move || {
            for job in queue {
                match job {
                    Job::Feed(text) => terminal.feed(text.as_str()),
                    Job::Run(job) => job(&mut terminal),
                }
            }
        })?;
        Ok(Self { jobs, pending: String::new() })
    }

    /// Interprets what the command has written.
    pub(crate) fn feed(&mut self, text: &str) {
        self.pending.push_str(text);
        if self.pending.len() >= BATCH {
            self.hand_over();
        }
    }

    pub(crate) fn resize(&mut self, cols: u16, rows: u16) {
        self.run(move |terminal| terminal.resize(cols.into(), rows.into()));
    }

    /// Whether cursor keys are in application mode (DECCKM).
    pub(crate) fn application_keys(&mut self) -> bool {
        self.ask(Terminal::cursor_key_app_mode)
    }

    pub(crate) fn snapshot(&mut self, style: StyleMode) -> Snapshot {
        self.ask(move |terminal| {
            let (cols, rows) = terminal.size();
            let text = match style {
                StyleMode::Plain => avt::Line::text,
                StyleMode::Styled => style::line,
            };
            let lines: Vec<String> = terminal.screen().visible_lines().map(text).collect();
            Snapshot { cols, rows, text: lines.join("\n"), seq: terminal.dump() }
        })
    }

    /// Gives what `question` finds. The thread ends only with this value.
    pub(crate) fn ask<T: Default + Send + 'static>(
        &mut self,
        question: impl FnOnce(&Terminal) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = sync_channel(1);
        self.run(move |terminal| {
            // It is waited for below.
            let _ = answer.send(question(terminal));
        });
        answered.recv().unwrap_or_default()
    }

    fn run(&mut self, job: impl FnOnce(&mut Terminal) + Send + 'static) {
        self.hand_over();
        let _ = self.jobs.send(Job::Run(Box::new(job)));
    }

    fn hand_over(&mut self) {
        if !self.pending.is_empty() {
            let _ = self.jobs.send(Job::Feed(std::mem::take(&mut self.pending)));
        }
    }
}
