//! A line of the screen with its styles.

use std::fmt::Write as _;

use avt::{Color, Line, Pen};

/// The line's text with a sequence wherever the style changes (SGR; ECMA-48,
/// 8.3.117), and one at its end where a style is left on.
pub(crate) fn line(line: &Line) -> String {
    let mut text = String::new();
    let mut pen = Pen::default();
    for cell in line.cells() {
        // The second half of a wide character.
        if cell.width() == 0 {
            continue;
        }
        if *cell.pen() != pen {
            pen = *cell.pen();
            text.push_str(&sgr(&pen));
        }
        text.push(cell.char());
    }
    if !pen.is_default() {
        text.push_str("\x1b[0m");
    }
    text
}

/// The sequence that sets exactly this style.
fn sgr(pen: &Pen) -> String {
    let mut codes = String::from("0");
    let flags = [
        (pen.is_bold(), 1),
        (pen.is_faint(), 2),
        (pen.is_italic(), 3),
        (pen.is_underline(), 4),
        (pen.is_blink(), 5),
        (pen.is_inverse(), 7),
        (pen.is_strikethrough(), 9),
    ];
    for (_, code) in flags.iter().filter(|(on, _)| *on) {
        let _ = write!(codes, ";{code}");
    }
    for (color, base) in [(pen.foreground(), 30), (pen.background(), 40)] {
        let _ = match color {
            None => Ok(()),
            Some(Color::Indexed(index @ 0..=7)) => write!(codes, ";{}", base + u16::from(index)),
            Some(Color::Indexed(index @ 8..=15)) => write!(codes, ";{}", base + 52 + u16::from(index)),
            Some(Color::Indexed(index)) => write!(codes, ";{};5;{index}", base + 8),
            Some(Color::RGB(rgb)) => write!(codes, ";{};2;{};{};{}", base + 8, rgb.r, rgb.g, rgb.b),
        };
    }
    format!("\x1b[{codes}m")
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn styles_are_kept() {
        let mut terminal = avt::Terminal::new(8, 1).unwrap();
        terminal.feed("a\x1b[1;31mb\x1b[0;48;5;200mc\x1b[0m\x1b[94md\x1b[0m\u{4e2d}");
        let text = terminal.screen().visible_lines().next().map(line).unwrap();
        assert_eq!(text, "a\x1b[0;1;31mb\x1b[0;48;5;200mc\x1b[0;94md\x1b[0m\u{4e2d}  ");
    }
}
