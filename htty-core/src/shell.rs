//! What a shell says of its commands: it marks its prompt, what is typed and what
//! is written by OSC 133 ("semantic prompts"), and the screen has the texts between.

use alacritty_terminal::grid::{Dimensions as _, Grid};
use alacritty_terminal::index::{Column, Line, Point};
use alacritty_terminal::term::cell::Cell;
use serde::Serialize;

use crate::cells;
use crate::style;

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;
const PREFIX: &[u8] = b"\x1b]133;";

/// A mark may carry the command's line; what is longer is no mark.
const LONGEST: usize = 64 * 1024;

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The prompt begins.
    Prompt,
    /// The prompt has ended: what comes is typed.
    Input,
    /// The command starts, and what comes is its output; some shells give its line.
    Output(Option<String>),
    /// The command has ended, with this exit code.
    End(Option<i32>),
}

impl Mark {
    /// Reads `A`, `B`, `C;cmdline_url=…` or `D;0`; other parameters say nothing here.
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

/// Finds marks in output that comes in pieces.
#[derive(Default)]
pub(crate) struct Scanner {
    /// The beginning of what may be a mark.
    seen: Vec<u8>,
}

impl Scanner {
    /// Gives the first mark in `bytes`, and how many of them there are up to its end.
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

    /// Adds a byte; gives what the mark has after its prefix once it is whole.
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
            // CAN and SUB end a sequence that has no effect.
            0x18 | 0x1a => self.seen.clear(),
            _ if self.seen.len() >= LONGEST => self.seen.clear(),
            _ => self.seen.push(byte),
        }
        None
    }
}

/// Where the shell is between its marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// It has marked nothing yet, or a command has ended.
    #[default]
    Between,
    Prompt,
    Input,
    Output,
}

/// A command that the shell runs, or has run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShellCommand {
    /// What was typed.
    line: String,
    /// What is on the screen of what it wrote, or was when it ended.
    output: String,
    /// `null` while it runs, and where the shell does not tell.
    exit_code: Option<i32>,
    running: bool,
}

/// What a snapshot tells of the shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Whether it waits for a line.
    prompt: bool,
    /// How many commands have ended.
    finished: u64,
    /// The last one; `null` before the first.
    command: Option<ShellCommand>,
}

/// What is known of the shell.
#[derive(Clone)]
pub(crate) struct Shell {
    phase: Phase,
    /// Where the text begins that the next mark ends.
    start: Point,
    /// How many lines were above the screen when `start` was right.
    history: usize,
    /// How many there may be.
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

    /// Takes note of a mark at the cursor.
    pub(crate) fn take(&mut self, mark: Mark, grid: &mut Grid<Cell>) {
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

    /// Moves the start along with the lines that have moved up since the last time.
    pub(crate) fn follow(&mut self, grid: &mut Grid<Cell>) {
        if !self.is_following() {
            return;
        }
        let line = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let now = grid.history_size();
        self.start.line = Line(self.start.line.0 + line(self.history) - line(now));
        // What is no longer there: the text begins with what is.
        if self.start.line < Line(-line(now)) {
            self.start = Point::new(Line(-line(now)), Column(0));
        }
        if now > self.scrollback {
            grid.update_history(self.scrollback);
            self.set_limit(grid);
        }
        self.history = grid.history_size();
    }

    /// Lets more lines stay above the screen than are kept, so that those can be
    /// counted that one piece of output moves there.
    fn set_limit(&self, grid: &mut Grid<Cell>) {
        let more = if self.is_following() { self.scrollback + grid.screen_lines() } else { 0 };
        grid.update_history(self.scrollback + more);
    }

    fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Input | Phase::Output)
    }

    /// What is known now; `grid` is the primary screen.
    pub(crate) fn report(&self, grid: &Grid<Cell>) -> Option<Report> {
        let mut command = self.command.clone();
        if let Some(command) = command.as_mut().filter(|command| command.running) {
            command.output = text(grid, self.start);
        }
        let prompt = matches!(self.phase, Phase::Prompt | Phase::Input);
        self.has_marks.then_some(Report { prompt, finished: self.finished, command })
    }
}

/// The text from a place up to the cursor: wrapped lines are one, and blanks at
/// the ends of lines are left out.
fn text(grid: &Grid<Cell>, start: Point) -> String {
    let end = grid.cursor.point;
    // The screen was cleared: what is on it came later.
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
