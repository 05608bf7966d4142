//! Tracks a shell's commands by its OSC 133 marks ("semantic prompts"), which delimit the
//! prompt, the typed line and the output on the screen.

use alacritty_terminal::grid::{Dimensions as _, Grid};
use alacritty_terminal::index::{Column, Line, Point};
use alacritty_terminal::term::cell::Cell;
use serde::Serialize;

use crate::cells;
use crate::style;

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;
const PREFIX: &[u8] = b"\x1b]133;";

/// In bytes. A mark can contain the command's line; longer sequences are ignored.
const MAX_MARK: usize = 64 * 1024;

/// A mark of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The start of the prompt.
    Prompt,
    /// The end of the prompt; typed text follows.
    Input,
    /// The start of a command, whose output follows. Some shells include its line.
    Output(Option<String>),
    /// The end of the command, with its exit code.
    End(Option<i32>),
}

impl Mark {
    /// Parses `A`, `B`, `C;cmdline_url=…` or `D;0`, ignoring other parameters.
    fn parse(payload: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(payload);
        let mut parts = text.split(';');
        let kind = parts.next()?;
        Some(match kind {
            "A" => Self::Prompt,
            "B" => Self::Input,
            "C" => {
                Self::Output(parts.find_map(|part| part.strip_prefix("cmdline_url=")).map(percent_decoded))
            }
            "D" => Self::End(parts.next().and_then(|code| code.parse().ok())),
            _ => return None,
        })
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let escaped = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds marks in output that arrives in pieces.
#[derive(Default)]
pub(crate) struct Scanner {
    /// The start of a possible mark.
    seen: Vec<u8>,
}

impl Scanner {
    /// The first mark in `bytes`, and the offset of its end.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<(usize, Mark)> {
        let mut at = 0;
        while at < bytes.len() {
            if self.seen.is_empty() {
                at += memchr::memchr(ESCAPE, &bytes[at..])?;
            }
            let byte = bytes[at];
            at += 1;
            if let Some(payload) = self.add(byte)
                && let Some(mark) = Mark::parse(&payload)
            {
                return Some((at, mark));
            }
        }
        None
    }

    /// Adds a byte; returns the payload of the mark once it is complete.
    fn add(&mut self, byte: u8) -> Option<Vec<u8>> {
        if let Some(expected) = PREFIX.get(self.seen.len()) {
            if byte != *expected {
                self.seen.clear();
            }
            if byte == *expected || byte == ESCAPE {
                self.seen.push(byte);
            }
            return None;
        }
        match byte {
            BELL | ESCAPE => {
                let payload = self.seen.split_off(PREFIX.len());
                self.seen.clear();
                if byte == ESCAPE {
                    self.seen.push(byte);
                }
                return Some(payload);
            }
            // CAN and SUB cancel the sequence.
            0x18 | 0x1a => self.seen.clear(),
            _ if self.seen.len() >= MAX_MARK => self.seen.clear(),
            _ => self.seen.push(byte),
        }
        None
    }
}

/// The last mark of the shell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// No mark yet, or the end of a command.
    #[default]
    Between,
    Prompt,
    Input,
    Output,
}

/// A command of the shell, running or finished.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShellCommand {
    /// The typed line.
    line: String,
    /// Its output as the screen shows it, or showed it at its end.
    output: String,
    /// `null` while it runs, and if the shell does not report it.
    exit_code: Option<i32>,
    running: bool,
}

/// The shell's state in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ShellState {
    /// Whether it shows a prompt.
    prompt: bool,
    /// The number of finished commands.
    finished: u64,
    /// The last command; `null` before the first one.
    command: Option<ShellCommand>,
}

/// Tracks the shell's marks.
#[derive(Clone)]
pub(crate) struct Shell {
    phase: Phase,
    /// The start of the text that the next mark ends.
    start: Point,
    /// The number of lines above the screen when `start` was updated.
    history: usize,
    /// The maximum number of lines above the screen.
    scrollback: usize,
    finished: u64,
    command: Option<ShellCommand>,
    has_marks: bool,
}

impl Shell {
    pub(crate) fn new(scrollback: usize) -> Self {
        Self {
            phase: Phase::default(),
            start: Point::default(),
            history: 0,
            scrollback,
            finished: 0,
            command: None,
            has_marks: false,
        }
    }

    /// Handles a mark at the cursor.
    pub(crate) fn handle_mark(&mut self, mark: Mark, grid: &mut Grid<Cell>) {
        self.has_marks = true;
        let before = if self.is_following() { text(grid, self.start) } else { String::new() };
        if self.phase == Phase::Output && !matches!(mark, Mark::Output(_)) {
            let exit_code = if let Mark::End(code) = mark { code } else { None };
            if let Some(command) = &mut self.command {
                *command = ShellCommand {
                    output: before.clone(),
                    exit_code,
                    running: false,
                    ..std::mem::take(command)
                };
            }
            self.finished += 1;
        }
        self.phase = match mark {
            Mark::Prompt => Phase::Prompt,
            Mark::Input => Phase::Input,
            Mark::Output(line) => {
                let typed = if self.phase == Phase::Input { before } else { String::new() };
                let line = line.unwrap_or_else(|| typed.trim().to_owned());
                self.command = Some(ShellCommand { line, running: true, ..ShellCommand::default() });
                Phase::Output
            }
            Mark::End(_) => Phase::Between,
        };
        self.start = grid.cursor.point;
        self.history = grid.history_size();
        self.set_limit(grid);
    }

    /// Moves `start` up with the lines that have scrolled since the last call.
    pub(crate) fn follow(&mut self, grid: &mut Grid<Cell>) {
        if !self.is_following() {
            return;
        }
        let line = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let now = grid.history_size();
        self.start.line = Line(self.start.line.0 + line(self.history) - line(now));
        // If the start is no longer in the history, use the first line.
        if self.start.line < Line(-line(now)) {
            self.start = Point::new(Line(-line(now)), Column(0));
        }
        if now > self.scrollback {
            grid.update_history(self.scrollback);
            self.set_limit(grid);
        }
        self.history = grid.history_size();
    }

    /// Temporarily raises the limit of the history, so that lines that one piece of output
    /// scrolls can be counted.
    fn set_limit(&self, grid: &mut Grid<Cell>) {
        let more = if self.is_following() { self.scrollback + grid.screen_lines() } else { 0 };
        grid.update_history(self.scrollback + more);
    }

    fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Input | Phase::Output)
    }

    /// The current state; `grid` is the primary screen. `None` without any mark.
    pub(crate) fn state(&self, grid: &Grid<Cell>) -> Option<ShellState> {
        let mut command = self.command.clone();
        if let Some(command) = command.as_mut().filter(|command| command.running) {
            command.output = text(grid, self.start);
        }
        let prompt = matches!(self.phase, Phase::Prompt | Phase::Input);
        self.has_marks.then_some(ShellState { prompt, finished: self.finished, command })
    }
}

/// The text from `start` to the cursor. Joins wrapped lines and trims trailing blanks.
fn text(grid: &Grid<Cell>, start: Point) -> String {
    let end = grid.cursor.point;
    // If the screen was cleared, everything on it is newer.
    let start = if start > end { Point::default() } else { start };
    let mut all = String::new();
    let mut line = start.line.max(Line(-i32::try_from(grid.history_size()).unwrap_or(i32::MAX)));
    while line <= end.line {
        let first = if line == start.line { start.column.0.min(grid.columns()) } else { 0 };
        let last = if line == end.line { end.column.0 } else { grid.columns() };
        let cells = &grid[line][..];
        let text = style::plain(&cells[first..last.max(first)]);
        let wrapped = line < end.line && cells::is_wrapped(cells);
        all.push_str(if wrapped { &text } else { text.trim_end() });
        if line < end.line && !wrapped {
            all.push('\n');
        }
        line += 1;
    }
    all
}

#[cfg(test)]
mod tests;
