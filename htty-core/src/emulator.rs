//! The terminal: `alacritty_terminal`, corrected where it differs from xterm
//! (`docs/decisions/0025-terminal.md`), and its replies to programs.

use std::ops::Range;
use std::time::Instant;

use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, WindowSize};
use alacritty_terminal::grid::{Dimensions, Grid, Scroll};
use alacritty_terminal::index::Line;
use alacritty_terminal::term::cell::Cell;
use alacritty_terminal::term::{Config, TermMode};
use alacritty_terminal::vte::ansi::{Color, CursorShape, Processor, Rgb};

use crate::corrections::{Corrected, Extra, Listener};
use crate::palette;
use crate::shell::{self, Scanner, Shell};

/// The size of a cell in pixels, for programs that query the window's size in pixels.
pub(crate) const CELL: (u16, u16) = (8, 16);

/// More lines than the history can have.
const FAR: i32 = 1 << 30;

pub(crate) struct Emulator {
    term: Term<Listener>,
    parser: Processor,
    events: Listener,
    extra: Extra,
    title: Option<String>,
    clipboard: Option<String>,
    bells: u64,
    scanner: Scanner,
    shell: Shell,
}

/// A size in characters, for the library.
struct Size {
    cols: usize,
    rows: usize,
}

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        self.rows
    }

    fn screen_lines(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.cols
    }
}

impl Emulator {
    /// An empty screen of at least two columns and one row.
    pub(crate) fn new(cols: u16, rows: u16, scrollback: usize) -> Self {
        let config = Config { scrolling_history: scrollback, kitty_keyboard: true, ..Config::default() };
        let events = Listener::default();
        let size = Size { cols: cols.into(), rows: rows.into() };
        let term = Term::new(config, &size, events.clone());
        let extra = Extra { margins: 0..rows.into(), replies: events.clone(), ..Extra::default() };
        Self {
            term,
            parser: Processor::new(),
            events,
            extra,
            title: None,
            clipboard: None,
            bells: 0,
            scanner: Scanner::default(),
            shell: Shell::new(scrollback),
        }
    }

    /// Interprets output.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((length, mark)) = self.scanner.find(bytes) {
            let (before, after) = bytes.split_at(length);
            self.advance(before);
            // The text between two marks must be on the screen.
            self.end_update();
            if !self.mode().contains(TermMode::ALT_SCREEN) {
                self.shell.handle_mark(mark, self.term.grid_mut());
            }
            bytes = after;
        }
        self.advance(bytes);
    }

    fn advance(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut Corrected { term: &mut self.term, extra: &mut self.extra }, bytes);
        self.follow();
    }

    /// Keeps the shell's marks in place when lines scroll.
    fn follow(&mut self) {
        if !self.mode().contains(TermMode::ALT_SCREEN) {
            self.shell.follow(self.term.grid_mut());
        }
    }

    /// When to show a synchronized update (mode 2026) even if it has not ended.
    pub(crate) fn update_ends(&self) -> Option<Instant> {
        self.parser.sync_timeout().sync_timeout()
    }

    /// Shows an unfinished synchronized update.
    pub(crate) fn end_update(&mut self) {
        if self.update_ends().is_some() {
            self.parser.stop_sync(&mut Corrected { term: &mut self.term, extra: &mut self.extra });
            self.follow();
        }
    }

    pub(crate) fn resize(&mut self, cols: u16, rows: u16) {
        self.extra.margins = 0..rows.into();
        self.term.resize(Size { cols: cols.into(), rows: rows.into() });
        self.follow();
    }

    /// Scrolls the view that snapshots show; negative numbers scroll up.
    pub(crate) fn scroll_view(&mut self, lines: i32) {
        // The library adds this to the current offset.
        self.term.grid_mut().scroll_display(Scroll::Delta(lines.saturating_neg().clamp(-FAR, FAR)));
    }

    /// The state of the shell; `None` if it uses no marks.
    pub(crate) fn shell(&mut self) -> Option<shell::ShellState> {
        if self.mode().contains(TermMode::ALT_SCREEN) {
            let shell = self.shell.clone();
            return self.with_primary(|grid| shell.state(grid)).flatten();
        }
        self.shell.state(self.term.grid())
    }

    pub(crate) fn grid(&self) -> &Grid<Cell> {
        self.term.grid()
    }

    pub(crate) fn mode(&self) -> TermMode {
        *self.term.mode()
    }

    /// The window's title, as of the last call of [`Self::replies`].
    pub(crate) fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// The text that was copied last, as of the last call of [`Self::replies`].
    pub(crate) fn clipboard(&self) -> Option<&str> {
        self.clipboard.as_deref()
    }

    /// How often the bell has rung, as of the last call of [`Self::replies`].
    pub(crate) fn bells(&self) -> u64 {
        self.bells
    }

    pub(crate) fn cursor_shape(&self) -> CursorShape {
        self.term.cursor_style().shape
    }

    /// The RGB value of a color, with the program's changes to the palette.
    pub(crate) fn color(&self, color: Color) -> u32 {
        let index = match color {
            Color::Spec(rgb) => return number(rgb),
            Color::Indexed(index) => usize::from(index),
            Color::Named(name) => name as usize,
        };
        number(self.term.colors()[index].unwrap_or_else(|| palette::rgb(index)))
    }

    pub(crate) fn margins(&self) -> Range<i32> {
        self.extra.margins.clone()
    }

    /// Calls `inspect` with the primary screen if the alternate one is shown.
    pub(crate) fn with_primary<T>(&mut self, inspect: impl FnOnce(&Grid<Cell>) -> T) -> Option<T> {
        if !self.mode().contains(TermMode::ALT_SCREEN) {
            return None;
        }
        // Switching back to the alternate screen would clear it.
        let alternate = self.term.grid().clone();
        self.term.swap_alt();
        let result = inspect(self.term.grid());
        self.term.swap_alt();
        *self.term.grid_mut() = alternate;
        Some(result)
    }

    /// The terminal's replies to the output so far.
    pub(crate) fn replies(&mut self) -> Vec<u8> {
        let events = self.events.take();
        let mut bytes = Vec::new();
        for event in events {
            match event {
                Event::PtyWrite(text) => bytes.extend(text.into_bytes()),
                Event::ColorRequest(index, format) => {
                    let color = self.term.colors()[index].unwrap_or_else(|| palette::rgb(index));
                    bytes.extend(format(color).into_bytes());
                }
                Event::TextAreaSizeRequest(format) => {
                    let grid = self.term.grid();
                    let length = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
                    let (num_lines, num_cols) = (length(grid.screen_lines()), length(grid.columns()));
                    let (cell_width, cell_height) = CELL;
                    let size = WindowSize { num_lines, num_cols, cell_width, cell_height };
                    bytes.extend(format(size).into_bytes());
                }
                Event::ClipboardStore(_, text) => self.clipboard = Some(text),
                Event::Title(title) => self.title = Some(title),
                Event::ResetTitle => self.title = None,
                Event::Bell => self.bells += 1,
                _ => {}
            }
        }
        bytes
    }
}

fn number(rgb: Rgb) -> u32 {
    u32::from_be_bytes([0, rgb.r, rgb.g, rgb.b])
}

/// The lines of the screen.
pub(crate) fn lines(grid: &Grid<Cell>) -> impl Iterator<Item = &[Cell]> {
    (0..grid.screen_lines()).map(move |line| &grid[Line(i32::try_from(line).unwrap_or(i32::MAX))][..])
}

/// The lines of the view: those of the screen, or older ones.
pub(crate) fn shown(grid: &Grid<Cell>) -> impl Iterator<Item = &[Cell]> {
    let offset = offset(grid);
    (0..grid.screen_lines())
        .map(move |line| &grid[Line(i32::try_from(line).unwrap_or(i32::MAX) - offset)][..])
}

/// How many lines above the screen the view starts.
pub(crate) fn offset(grid: &Grid<Cell>) -> i32 {
    i32::try_from(grid.display_offset()).unwrap_or(i32::MAX)
}

/// The lines above the screen, oldest first.
pub(crate) fn scrollback(grid: &Grid<Cell>) -> impl Iterator<Item = &[Cell]> {
    let first = i32::try_from(grid.history_size()).unwrap_or(i32::MAX);
    (-first..0).map(move |line| &grid[Line(line)][..])
}

#[cfg(test)]
mod tests;
