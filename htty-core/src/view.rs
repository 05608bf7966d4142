//! The screen as a browser shows it: HTML made here, so that the page needs
//! neither a terminal emulator of its own nor anything from the network.

use std::fmt::Write as _;

use avt::{Color, Line, Pen, Terminal};
use serde_json::json;

/// xterm's first sixteen colours.
const PALETTE: [u32; 16] = [
    0x00_0000, 0xaa_0000, 0x00_aa00, 0xaa_5500, 0x55_55ff, 0xe8_50a8, 0x00_aaaa, 0xd0_d0d0, 0x7f_7f7f,
    0xff_0000, 0x00_ff00, 0xff_ff00, 0x5c_5cff, 0xff_00ff, 0x00_ffff, 0xff_ffff,
];

/// Gives the screen as JSON: `cols`, `rows` and an HTML text for each line.
pub(crate) fn render(terminal: &Terminal) -> String {
    let (cols, rows) = terminal.size();
    let cursor = terminal.cursor().position();
    let lines: Vec<String> = terminal
        .screen()
        .visible_lines()
        .enumerate()
        .map(|(row, line)| {
            html(line, cursor.filter(|(_, cursor_row)| *cursor_row == row).map(|(column, _)| column))
        })
        .collect();
    json!({"cols": cols, "rows": rows, "lines": lines}).to_string()
}

/// A line, with its cursor.
fn html(line: &Line, cursor: Option<usize>) -> String {
    let mut text = String::new();
    let mut open: Option<(Pen, bool)> = None;
    for (column, cell) in line.cells().iter().enumerate() {
        // The second half of a wide character.
        if cell.width() == 0 {
            continue;
        }
        let style = (*cell.pen(), cursor == Some(column));
        if open != Some(style) {
            if open.is_some() {
                text.push_str("</span>");
            }
            let class = if style.1 { " class=\"cursor\"" } else { "" };
            let _ = write!(text, "<span{class} style=\"{}\">", css(&style.0));
            open = Some(style);
        }
        match cell.char() {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            other => text.push(other),
        }
    }
    if open.is_some() {
        text.push_str("</span>");
    }
    text
}

fn css(pen: &Pen) -> String {
    let mut style = String::new();
    let (mut foreground, mut background) = (pen.foreground().map(hex), pen.background().map(hex));
    if pen.is_inverse() {
        let black = foreground.take().unwrap_or_else(|| "#d0d0d0".into());
        foreground = Some(background.take().unwrap_or_else(|| "#000000".into()));
        background = Some(black);
    }
    for (name, color) in [("color", foreground), ("background", background)] {
        if let Some(color) = color {
            let _ = write!(style, "{name}:{color};");
        }
    }
    let flags = [
        (pen.is_bold(), "font-weight:bold;"),
        (pen.is_faint(), "opacity:.6;"),
        (pen.is_italic(), "font-style:italic;"),
    ];
    style.extend(flags.iter().filter(|(on, _)| *on).map(|(_, rule)| *rule));
    match (pen.is_underline(), pen.is_strikethrough()) {
        (true, true) => style.push_str("text-decoration:underline line-through;"),
        (true, false) => style.push_str("text-decoration:underline;"),
        (false, true) => style.push_str("text-decoration:line-through;"),
        (false, false) => {}
    }
    style
}

fn hex(color: Color) -> String {
    let number = match color {
        Color::RGB(rgb) => u32::from(rgb.r) << 16 | u32::from(rgb.g) << 8 | u32::from(rgb.b),
        Color::Indexed(index @ 0..=15) => PALETTE[usize::from(index)],
        // xterm's cube of 6x6x6 colours, then 24 greys.
        Color::Indexed(index @ 16..=231) => {
            let level = |part: u8| if part == 0 { 0 } else { 55 + 40 * u32::from(part) };
            let index = index - 16;
            level(index / 36) << 16 | level(index / 6 % 6) << 8 | level(index % 6)
        }
        Color::Indexed(index) => (8 + 10 * (u32::from(index) - 232)) * 0x01_0101,
    };
    format!("#{number:06x}")
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn styles_and_markup_of_the_text() {
        let mut terminal = avt::Terminal::new(6, 1).unwrap();
        terminal.feed("<\x1b[1;31mb\x1b[0;7m&\x1b[0;38;5;196;48;5;255mx\x1b[0m\x1b[?25l");
        let lines = [
            "<span style=\\\"\\\">&lt;</span>",
            "<span style=\\\"color:#aa0000;font-weight:bold;\\\">b</span>",
            "<span style=\\\"color:#000000;background:#d0d0d0;\\\">&amp;</span>",
            "<span style=\\\"color:#ff0000;background:#eeeeee;\\\">x</span>",
            "<span style=\\\"\\\">  </span>",
        ];
        let expected = format!("{{\"cols\":6,\"lines\":[\"{}\"],\"rows\":1}}", lines.concat());
        assert_eq!(render(&terminal), expected);
    }
}
