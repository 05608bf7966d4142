//! Lines of the screen as plain or styled text.

use std::fmt::Write as _;

use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{Color, NamedColor};

/// The style of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) foreground: Color,
    pub(crate) background: Color,
    pub(crate) flags: Flags,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            foreground: Color::Named(NamedColor::Foreground),
            background: Color::Named(NamedColor::Background),
            flags: Flags::empty(),
        }
    }
}

/// The flags of a style with their SGR codes; all kinds of underline count as one.
const FLAGS: [(Flags, u8); 7] = [
    (Flags::BOLD, 1),
    (Flags::DIM, 2),
    (Flags::ITALIC, 3),
    (Flags::UNDERLINE, 4),
    (Flags::INVERSE, 7),
    (Flags::HIDDEN, 8),
    (Flags::STRIKEOUT, 9),
];

impl Style {
    pub(crate) fn of(cell: &Cell) -> Self {
        let mut flags = cell.flags & FLAGS.iter().fold(Flags::empty(), |all, (flag, _)| all | *flag);
        flags.set(Flags::UNDERLINE, cell.flags.intersects(Flags::ALL_UNDERLINES));
        Self { foreground: cell.fg, background: cell.bg, flags }
    }

    /// The SGR sequence that sets exactly this style (ECMA-48, 8.3.117).
    pub(crate) fn sgr(&self) -> String {
        let mut codes = String::from("0");
        for (_, code) in FLAGS.iter().filter(|(flag, _)| self.flags.contains(*flag)) {
            let _ = write!(codes, ";{code}");
        }
        for (color, base) in [(self.foreground, 30_u16), (self.background, 40)] {
            let _ = match number(color) {
                Some(index @ 0..=7) => write!(codes, ";{}", base + u16::from(index)),
                Some(index @ 8..=15) => write!(codes, ";{}", base + 52 + u16::from(index)),
                Some(index) => write!(codes, ";{};5;{index}", base + 8),
                None => match color {
                    Color::Spec(rgb) => write!(codes, ";{};2;{};{};{}", base + 8, rgb.r, rgb.g, rgb.b),
                    _ => Ok(()),
                },
            };
        }
        format!("\x1b[{codes}m")
    }
}

/// The color's index in the palette; `None` for the default and for RGB.
pub(crate) fn number(color: Color) -> Option<u8> {
    match color {
        Color::Indexed(index) => Some(index),
        Color::Named(name) => u8::try_from(name as usize).ok(),
        Color::Spec(_) => None,
    }
}

/// Whether a cell is the second half of a wide character.
pub(crate) fn is_half(cell: &Cell) -> bool {
    cell.flags.contains(Flags::WIDE_CHAR_SPACER)
}

/// Appends a cell's characters.
pub(crate) fn push(cell: &Cell, text: &mut String) {
    // The library stores tabs in their cell.
    text.push(if cell.c == '\t' { ' ' } else { cell.c });
    text.extend(cell.zerowidth().into_iter().flatten());
}

/// The text of a line.
pub(crate) fn plain(line: &[Cell]) -> String {
    let mut text = String::with_capacity(line.len());
    for cell in line.iter().filter(|cell| !is_half(cell)) {
        push(cell, &mut text);
    }
    text
}

/// The text of a line with an SGR sequence at each change of style, and a reset at the end if
/// needed.
pub(crate) fn styled(line: &[Cell]) -> String {
    let mut text = String::with_capacity(line.len());
    let mut style = Style::default();
    for cell in line.iter().filter(|cell| !is_half(cell)) {
        let cell_style = Style::of(cell);
        if cell_style != style {
            style = cell_style;
            text.push_str(&style.sgr());
        }
        push(cell, &mut text);
    }
    if style != Style::default() {
        text.push_str("\x1b[0m");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::styled;
    use crate::emulator::{Emulator, lines};

    #[test]
    fn keeps_styles() {
        let mut emulator = Emulator::new(9, 1, 0);
        emulator.feed("a\x1b[1;31mb\x1b[0;48;5;200mc\x1b[0m\x1b[94md\x1b[0;4:3me\x1b[0m\u{4e2d}".as_bytes());
        let text = lines(emulator.grid()).next().map(styled).unwrap();
        let expected = "a\x1b[0;1;31mb\x1b[0;48;5;200mc\x1b[0;94md\x1b[0;4me\x1b[0m\u{4e2d}  ";
        assert_eq!(text, expected);
    }
}
