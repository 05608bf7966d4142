//! Runs the emulator in its own thread, so that output is interpreted while it is passed on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Instant;

use alacritty_terminal::grid::Dimensions as _;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::Cell;
use alacritty_terminal::vte::ansi::CursorShape;
use serde_json::json;

use crate::cells;
use crate::dump;
use crate::emulator::{self, Emulator};
use crate::keys::Keyboard;
use crate::mouse::{MouseMode, Tracking};
use crate::process;
use crate::protocol::{Cursor, Details, Modes, Part, Snapshot, StyleMode, View};
use crate::style;
use crate::svg;
use crate::view;

/// The maximum number of pending batches of output. More make the reader of the terminal wait.
const MAX_PENDING: usize = 8;

enum Job {
    Feed(Vec<u8>),
    Run(Box<dyn FnOnce(&mut Emulator) + Send>),
}

/// The screen. Queries see everything that was fed before.
pub(crate) struct Screen {
    jobs: SyncSender<Job>,
    replies: OwnedFd,
}

impl Screen {
    /// An empty screen of this size; both must be positive.
    pub(crate) fn new(cols: u16, rows: u16, scrollback: usize) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(MAX_PENDING);
        let (replies, reply_writer) = process::pipe()?;
        for end in [&replies, &reply_writer] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        std::thread::Builder::new()
            .name("screen".into())
            .spawn(move || run_jobs(&mut Emulator::new(cols, rows, scrollback), &queue, &reply_writer))?;
        Ok(Self { jobs, replies })
    }

    /// Interprets what the command has written.
    pub(crate) fn feed(&mut self, bytes: Vec<u8>) {
        // The thread runs as long as this value exists.
        let _ = self.jobs.send(Job::Feed(bytes));
    }

    pub(crate) fn resize(&mut self, cols: u16, rows: u16) {
        self.run(move |emulator| emulator.resize(cols, rows));
    }

    /// A descriptor that is readable when there are replies.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.replies.as_fd()
    }

    /// The terminal's replies to the output so far.
    pub(crate) fn replies(&self) -> Vec<u8> {
        let mut bytes = [0; 1024];
        let mut all = Vec::new();
        while let Ok(count @ 1..) = rustix::io::read(&self.replies, &mut bytes[..]) {
            all.extend_from_slice(&bytes[..count]);
        }
        all
    }

    /// Waits until everything that was fed is interpreted and the replies are available.
    pub(crate) fn catch_up(&mut self) {
        self.ask(|_| ());
    }

    /// How to encode keys.
    pub(crate) fn keyboard(&mut self) -> Keyboard {
        self.ask(|emulator| {
            let mode = emulator.mode();
            Keyboard {
                application: mode.contains(TermMode::APP_CURSOR),
                unambiguous: mode
                    .intersects(TermMode::DISAMBIGUATE_ESC_CODES | TermMode::REPORT_ALL_KEYS_AS_ESC),
                all_as_sequences: mode.contains(TermMode::REPORT_ALL_KEYS_AS_ESC),
                with_text: mode.contains(TermMode::REPORT_ASSOCIATED_TEXT),
                events: mode.contains(TermMode::REPORT_EVENT_TYPES),
            }
        })
    }

    pub(crate) fn snapshot(&mut self, style: StyleMode) -> Snapshot {
        self.ask(move |emulator| {
            emulator.end_update();
            let seq = dump::sequence(emulator);
            let grid = emulator.grid();
            let lines: Vec<String> = emulator::shown(grid).map(line_text(style)).collect();
            Snapshot {
                cols: grid.columns(),
                rows: grid.screen_lines(),
                text: lines.join("\n"),
                seq,
                settled: None,
                details: Details::default(),
            }
        })
    }

    /// The requested parts of a snapshot.
    pub(crate) fn details(&mut self, parts: Vec<Part>, style: StyleMode) -> Details {
        if parts.is_empty() {
            return Details::default();
        }
        self.ask(move |emulator| {
            let mut details = Details::default();
            if parts.contains(&Part::Shell) {
                details.shell = Some(json!(emulator.shell()));
            }
            let grid = emulator.grid();
            for part in parts {
                match part {
                    Part::Bells => details.bells = Some(emulator.bells()),
                    Part::Cells => details.cells = Some(emulator::shown(grid).map(cells::runs).collect()),
                    Part::Clipboard => details.clipboard = Some(emulator.clipboard().into()),
                    Part::Cursor => details.cursor = Some(cursor(emulator)),
                    Part::Html => details.html = Some(view::element(emulator)),
                    Part::Modes => details.modes = Some(modes(emulator.mode())),
                    Part::Scrollback => {
                        let lines = emulator::scrollback(grid).map(line_text(style));
                        details.scrollback = Some(lines.collect());
                    }
                    Part::Shell => {}
                    Part::Svg => details.svg = Some(svg::render(emulator)),
                    Part::Title => details.title = Some(emulator.title().into()),
                    Part::View => {
                        let (offset, history) = (grid.display_offset(), grid.history_size());
                        details.view = Some(View { offset, history });
                    }
                    Part::Wrapped => {
                        let lines = emulator::shown(grid).enumerate();
                        let wrapped = lines.filter(|(_, line)| cells::is_wrapped(line));
                        details.wrapped = Some(wrapped.map(|(row, _)| row).collect());
                    }
                }
            }
            details
        })
    }

    /// Scrolls the view that snapshots show; negative numbers scroll up.
    pub(crate) fn scroll_view(&mut self, lines: i32) {
        self.run(move |emulator| emulator.scroll_view(lines));
    }

    /// Whether bracketed paste is enabled.
    pub(crate) fn brackets_paste(&mut self) -> bool {
        self.ask(|emulator| emulator.mode().contains(TermMode::BRACKETED_PASTE))
    }

    /// How to encode mouse events.
    pub(crate) fn mouse(&mut self) -> MouseMode {
        self.ask(|emulator| {
            let mode = emulator.mode();
            MouseMode {
                tracking: tracking(mode),
                sgr: mode.contains(TermMode::SGR_MOUSE),
                utf8: mode.contains(TermMode::UTF8_MOUSE),
                wheel_keys: mode.contains(TermMode::ALT_SCREEN | TermMode::ALTERNATE_SCROLL),
            }
        })
    }

    /// Runs `query` on the emulator and returns its result.
    pub(crate) fn ask<T: Default + Send + 'static>(
        &mut self,
        query: impl FnOnce(&mut Emulator) -> T + Send + 'static,
    ) -> T {
        let (sender, result) = sync_channel(1);
        self.run(move |emulator| {
            // The receiver is used below.
            let _ = sender.send(query(emulator));
        });
        result.recv().unwrap_or_default()
    }

    fn run(&mut self, job: impl FnOnce(&mut Emulator) + Send + 'static) {
        let _ = self.jobs.send(Job::Run(Box::new(job)));
    }
}

/// The function that converts a line to text.
fn line_text(style: StyleMode) -> fn(&[Cell]) -> String {
    match style {
        StyleMode::Plain => style::plain,
        StyleMode::Styled => style::styled,
    }
}

fn cursor(emulator: &Emulator) -> Cursor {
    let grid = emulator.grid();
    let point = grid.cursor.point;
    let row = usize::try_from(point.line.0).unwrap_or_default() + grid.display_offset();
    Cursor {
        row,
        col: point.column.0,
        visible: emulator.mode().contains(TermMode::SHOW_CURSOR) && row < grid.screen_lines(),
        shape: match emulator.cursor_shape() {
            CursorShape::Underline => "underline",
            CursorShape::Beam => "beam",
            _ => "block",
        },
    }
}

fn tracking(mode: TermMode) -> Tracking {
    let kinds = [
        (TermMode::MOUSE_MOTION, Tracking::Motion),
        (TermMode::MOUSE_DRAG, Tracking::Drag),
        (TermMode::MOUSE_REPORT_CLICK, Tracking::Click),
    ];
    kinds.iter().find(|(flag, _)| mode.contains(*flag)).map_or(Tracking::Off, |(_, kind)| *kind)
}

fn modes(mode: TermMode) -> Modes {
    Modes {
        alternate_screen: mode.contains(TermMode::ALT_SCREEN),
        application_cursor: mode.contains(TermMode::APP_CURSOR),
        bracketed_paste: mode.contains(TermMode::BRACKETED_PASTE),
        focus_events: mode.contains(TermMode::FOCUS_IN_OUT),
        key_events: mode.contains(TermMode::REPORT_EVENT_TYPES),
        mouse: match tracking(mode) {
            Tracking::Off => "off",
            Tracking::Click => "click",
            Tracking::Drag => "drag",
            Tracking::Motion => "motion",
        },
        sgr_mouse: mode.contains(TermMode::SGR_MOUSE),
    }
}

/// The main function of the thread; returns when the [`Screen`] is dropped.
fn run_jobs(emulator: &mut Emulator, queue: &Receiver<Job>, reply_writer: &OwnedFd) {
    loop {
        let job = match emulator.update_ends() {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(end) => queue.recv_timeout(end.saturating_duration_since(Instant::now())),
        };
        match job {
            Ok(Job::Feed(output)) => emulator.feed(&output),
            Ok(Job::Run(job)) => job(emulator),
            Err(RecvTimeoutError::Timeout) => emulator.end_update(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let bytes = emulator.replies();
        if !bytes.is_empty() {
            // A program that does not read its replies loses some, as with any terminal.
            let _ = rustix::io::write(reply_writer, &bytes);
        }
    }
}
