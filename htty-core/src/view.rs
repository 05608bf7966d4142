//! Renders the screen as HTML, so that the page needs neither a terminal emulator nor anything
//! from the network.

use std::fmt::Write as _;

use alacritty_terminal::grid::Dimensions as _;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::Color;
use serde_json::json;

use crate::emulator::{Emulator, lines, shown};
use crate::palette::{self, BACKGROUND, FOREGROUND};
use crate::style::{self, Style};

/// The screen as JSON: `cols`, `rows` and the HTML of each line.
pub(crate) fn render(emulator: &Emulator) -> String {
    let grid = emulator.grid();
    let cursor = grid.cursor.point;
    let has_cursor = emulator.mode().contains(TermMode::SHOW_CURSOR);
    let html: Vec<String> = lines(grid)
        .zip(0..)
        .map(|(line, row)| html(line, (has_cursor && cursor.line.0 == row).then_some(cursor.column.0)))
        .collect();
    json!({"cols": grid.columns(), "rows": grid.screen_lines(), "lines": html}).to_string()
}

/// The screen as an HTML element.
pub(crate) fn element(emulator: &Emulator) -> String {
    let grid = emulator.grid();
    let lines: Vec<String> = shown(grid).map(|line| html(line, None)).collect();
    let style = format!("white-space:pre;color:#{FOREGROUND:06x};background:#{BACKGROUND:06x};");
    format!("<pre style=\"{style}\">{}</pre>", lines.join("\n"))
}

/// The HTML of a line, with its cursor.
fn html(line: &[Cell], cursor: Option<usize>) -> String {
    let mut text = String::new();
    let mut open: Option<(Style, bool)> = None;
    for (column, cell) in line.iter().enumerate().filter(|(_, cell)| !style::is_half(cell)) {
        let current = (Style::of(cell), cursor == Some(column));
        if open != Some(current) {
            if open.is_some() {
                text.push_str("</span>");
            }
            let class = if current.1 { " class=\"cursor\"" } else { "" };
            let _ = write!(text, "<span{class} style=\"{}\">", css(&current.0));
            open = Some(current);
        }
        let mut seen = String::new();
        style::push(cell, &mut seen);
        for character in seen.chars() {
            match character {
                '&' => text.push_str("&amp;"),
                '<' => text.push_str("&lt;"),
                '>' => text.push_str("&gt;"),
                other => text.push(other),
            }
        }
    }
    if open.is_some() {
        text.push_str("</span>");
    }
    text
}

fn css(style: &Style) -> String {
    let mut rules = String::new();
    let (mut foreground, mut background) = (color(style.foreground), color(style.background));
    if style.flags.contains(Flags::INVERSE) {
        let ink = foreground.unwrap_or(FOREGROUND);
        foreground = Some(background.unwrap_or(BACKGROUND));
        background = Some(ink);
    }
    for (name, color) in [("color", foreground), ("background", background)] {
        if let Some(color) = color {
            let _ = write!(rules, "{name}:#{color:06x};");
        }
    }
    let flags = [
        (Flags::BOLD, "font-weight:bold;"),
        (Flags::DIM, "opacity:.6;"),
        (Flags::ITALIC, "font-style:italic;"),
        (Flags::HIDDEN, "visibility:hidden;"),
    ];
    rules.extend(flags.iter().filter(|(flag, _)| style.flags.contains(*flag)).map(|(_, rule)| *rule));
    match (style.flags.contains(Flags::UNDERLINE), style.flags.contains(Flags::STRIKEOUT)) {
        (true, true) => rules.push_str("text-decoration:underline line-through;"),
        (true, false) => rules.push_str("text-decoration:underline;"),
        (false, true) => rules.push_str("text-decoration:line-through;"),
        (false, false) => {}
    }
    rules
}

/// The RGB value of a color; `None` for the default one.
fn color(color: Color) -> Option<u32> {
    match color {
        Color::Spec(rgb) => Some(u32::from_be_bytes([0, rgb.r, rgb.g, rgb.b])),
        other => style::number(other).map(palette::indexed),
    }
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::emulator::Emulator;

    #[test]
    fn renders_styles_and_escapes_markup() {
        let mut emulator = Emulator::new(6, 1, 0);
        emulator.feed(b"<\x1b[1;31mb\x1b[0;7m&\x1b[0;38;5;196;48;5;255mx\x1b[0;8mh\x1b[0m\x1b[?25l");
        let lines = [
            "<span style=\\\"\\\">&lt;</span>",
            "<span style=\\\"color:#aa0000;font-weight:bold;\\\">b</span>",
            "<span style=\\\"color:#000000;background:#d0d0d0;\\\">&amp;</span>",
            "<span style=\\\"color:#ff0000;background:#eeeeee;\\\">x</span>",
            "<span style=\\\"visibility:hidden;\\\">h</span>",
            "<span style=\\\"\\\"> </span>",
        ];
        let expected = format!("{{\"cols\":6,\"lines\":[\"{}\"],\"rows\":1}}", lines.concat());
        assert_eq!(render(&emulator), expected);
    }
}
