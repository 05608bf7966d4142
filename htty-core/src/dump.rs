//! Output that makes an empty terminal look like this one, with sequences that every terminal
//! supports: positions, styles, modes.

use std::fmt::Write as _;

use alacritty_terminal::grid::{Dimensions as _, Grid};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags};

use crate::emulator::{Emulator, lines};
use crate::style::{self, Style};

/// Modes with their defaults in a new terminal, and the sequences that set them otherwise.
const MODES: [(TermMode, bool, &str); 13] = [
    (TermMode::SHOW_CURSOR, false, "\x1b[?25l"),
    (TermMode::LINE_WRAP, false, "\x1b[?7l"),
    (TermMode::APP_CURSOR, true, "\x1b[?1h"),
    (TermMode::APP_KEYPAD, true, "\x1b="),
    (TermMode::INSERT, true, "\x1b[4h"),
    (TermMode::LINE_FEED_NEW_LINE, true, "\x1b[20h"),
    (TermMode::BRACKETED_PASTE, true, "\x1b[?2004h"),
    (TermMode::FOCUS_IN_OUT, true, "\x1b[?1004h"),
    (TermMode::MOUSE_REPORT_CLICK, true, "\x1b[?1000h"),
    (TermMode::MOUSE_DRAG, true, "\x1b[?1002h"),
    (TermMode::MOUSE_MOTION, true, "\x1b[?1003h"),
    (TermMode::UTF8_MOUSE, true, "\x1b[?1005h"),
    (TermMode::SGR_MOUSE, true, "\x1b[?1006h"),
];

/// The sequence for the current screen, including the primary screen behind the alternate one.
pub(crate) fn sequence(emulator: &mut Emulator) -> String {
    let mut text = String::new();
    let primary = emulator.with_primary(|grid| {
        let mut text = String::new();
        draw(grid, &mut text);
        let cursor = grid.cursor.point;
        let _ = write!(text, "\x1b[{};{}H", cursor.line.0 + 1, cursor.column.0 + 1);
        text
    });
    if let Some(primary) = primary {
        text.push_str(&primary);
        // Terminals without an alternate screen still show the text of the primary one.
        text.push_str("\x1b[?1049h\x1b[2J");
    }
    let grid = emulator.grid();
    draw(grid, &mut text);
    let (mode, margins) = (emulator.mode(), emulator.margins());
    let lines = i32::try_from(grid.screen_lines()).unwrap_or(i32::MAX);
    if margins != (0..lines) {
        let _ = write!(text, "\x1b[{};{}r", margins.start + 1, margins.end);
    }
    let mut top = 0;
    if mode.contains(TermMode::ORIGIN) {
        text.push_str("\x1b[?6h");
        top = margins.start;
    }
    // In insert mode, writing the cursor's cell would move text.
    position(grid, top, &mut text);
    for (_, _, sequence) in MODES.iter().filter(|(flag, set, _)| mode.contains(*flag) == *set) {
        text.push_str(sequence);
    }
    let pen = Style::of(&grid.cursor.template);
    if pen != Style::default() {
        text.push_str(&pen.sgr());
    }
    text
}

/// Moves the cursor to its position, before or past the edge; lines count from `top`.
fn position(grid: &Grid<Cell>, top: i32, text: &mut String) {
    let cursor = grid.cursor.point;
    let line = cursor.line.0 - top;
    let mut column = cursor.column;
    let cells = &grid[cursor.line];
    if grid.cursor.input_needs_wrap && style::is_half(&cells[column]) && column.0 > 0 {
        column -= 1;
    }
    let _ = write!(text, "\x1b[{};{}H", line + 1, column.0 + 1);
    if grid.cursor.input_needs_wrap {
        // Only writing a character moves it past the edge.
        let cell = &cells[column];
        text.push_str(&Style::of(cell).sgr());
        style::push(cell, text);
        text.push_str("\x1b[0m");
    }
}

/// Draws the lines that are not empty, each from its start.
fn draw(grid: &Grid<Cell>, text: &mut String) {
    for (number, line) in lines(grid).enumerate() {
        let end = line.iter().rposition(|cell| !is_blank(cell)).map_or(0, |last| last + 1);
        if end == 0 {
            continue;
        }
        let _ = write!(text, "\x1b[{};1H", number + 1);
        let mut style = Style::default();
        for cell in line[..end].iter().filter(|cell| !style::is_half(cell)) {
            let cell_style = Style::of(cell);
            if cell_style != style {
                style = cell_style;
                text.push_str(&style.sgr());
            }
            style::push(cell, text);
        }
        if style != Style::default() {
            text.push_str("\x1b[0m");
        }
    }
}

fn is_blank(cell: &Cell) -> bool {
    let visible = Flags::UNDERLINE | Flags::INVERSE | Flags::STRIKEOUT;
    let style = Style::of(cell);
    matches!(cell.c, ' ' | '\t')
        && cell.zerowidth().is_none()
        && !cell.flags.intersects(Flags::WIDE_CHAR_SPACER)
        && style.background == Style::default().background
        && !style.flags.intersects(visible)
}

#[cfg(test)]
mod tests {
    use super::sequence;
    use crate::emulator::{Emulator, lines};
    use crate::style;

    fn picture(emulator: &Emulator) -> (Vec<String>, String) {
        let cursor = &emulator.grid().cursor;
        let state = format!("{:?} {} {:?}", cursor.point, cursor.input_needs_wrap, emulator.mode());
        (lines(emulator.grid()).map(style::styled).collect(), state)
    }

    #[test]
    fn another_terminal_looks_the_same() {
        let cases = [
            "",
            "plain text\r\nand more",
            "\x1b[1;31mred\x1b[0m \x1b[48;5;200mback\x1b[0m\x1b[4munder",
            "e\u{301}\u{6f22}\u{5b57}\r\n\u{1f468}\u{200d}\u{1f469}",
            "0123456789",
            "12345678\u{6f22}",
            "primary\x1b[?1049h\x1b[2;3Halternate\x1b[?25l",
            "\x1b[2;3r\x1b[?6h\x1b[2;2Hx\x1b[4h",
            "\x1b[?1h\x1b=\x1b[?2004h\x1b[?1002h\x1b[?1006h\x1b[?7l",
            "\x1b(0lqk\x1b(B",
            "a\tb\x1b[8mhidden\x1b[0m",
        ];
        for output in cases {
            let mut first = Emulator::new(10, 4, 0);
            first.feed(output.as_bytes());
            let dumped = sequence(&mut first);
            let mut second = Emulator::new(10, 4, 0);
            second.feed(dumped.as_bytes());
            assert_eq!(picture(&second), picture(&first), "{output:?} {dumped:?}");
            let parts = dumped.split("\x1b[").skip(1);
            let finals = parts.filter_map(|part| part.chars().find(char::is_ascii_alphabetic));
            assert_eq!(finals.filter(|last| !"HJhlmr".contains(*last)).count(), 0, "{dumped:?}");
            first.feed(b"\x1b[?1049l");
            second.feed(b"\x1b[?1049l");
            assert_eq!(picture(&second).0, picture(&first).0, "{output:?}");
        }
    }
}
