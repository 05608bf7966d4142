//! Renders the screen as an SVG image with real text, deterministically.

use std::fmt::Write as _;

use alacritty_terminal::grid::Dimensions as _;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{Color, CursorShape, NamedColor};

use crate::emulator::{Emulator, offset, shown};
use crate::style::{self, Style};

/// The size of a cell in the image's units.
const CELL: (usize, usize) = (9, 18);
/// The distance from the top of a cell to the baseline.
const BASELINE: usize = 14;
/// The margin around the screen.
const MARGIN: usize = 12;

const HEAD: &str = "\
<style>\
text{font:15px \"DejaVu Sans Mono\",Menlo,Consolas,ui-monospace,monospace;white-space:pre}\
.b{font-weight:bold}.d{opacity:.6}.i{font-style:italic}\
.u{text-decoration:underline}.s{text-decoration:line-through}\
.u.s{text-decoration:underline line-through}\
</style>";

/// The image of the view.
pub(crate) fn render(emulator: &Emulator) -> String {
    let grid = emulator.grid();
    let size = |length: usize, cell: usize| length * cell + 2 * MARGIN;
    let (width, height) = (size(grid.columns(), CELL.0), size(grid.screen_lines(), CELL.1));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" xml:space=\"preserve\">\n"
    );
    if let Some(title) = emulator.title() {
        let _ = writeln!(svg, "<title>{}</title>", Escaped(title));
    }
    let screen = emulator.color(Color::Named(NamedColor::Background));
    let _ = writeln!(svg, "{HEAD}\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#{screen:06x}\"/>");
    let point = grid.cursor.point;
    let has_cursor = emulator.mode().contains(TermMode::SHOW_CURSOR);
    for (row, (line, number)) in shown(grid).zip(-offset(grid)..).enumerate() {
        let cursor = (has_cursor && point.line.0 == number).then_some(point.column.0);
        Row { emulator, top: MARGIN + row * CELL.1, cursor }.draw(line, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A line of the screen.
struct Row<'a> {
    emulator: &'a Emulator,
    top: usize,
    cursor: Option<usize>,
}

/// Adjacent cells with the same style.
struct Piece {
    column: usize,
    cols: usize,
    text: String,
    style: Style,
}

impl Row<'_> {
    fn draw(&self, line: &[Cell], svg: &mut String) {
        let pieces = self.pieces(line);
        // Draw all backgrounds first, so that they do not cover adjacent text.
        for piece in &pieces {
            self.draw_background(piece, svg);
        }
        for piece in &pieces {
            self.draw_text(piece, svg);
        }
        if let Some(column) = self.cursor {
            self.draw_cursor(column, svg);
        }
    }

    fn pieces(&self, line: &[Cell]) -> Vec<Piece> {
        let block = matches!(self.emulator.cursor_shape(), CursorShape::Block | CursorShape::HollowBlock);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut open = false;
        for (column, cell) in line.iter().enumerate().filter(|(_, cell)| !style::is_half(cell)) {
            let mut style = Style::of(cell);
            if block && self.cursor == Some(column) {
                style.flags.toggle(Flags::INVERSE);
            }
            // Position non-ASCII text exactly, because the font's widths may differ.
            let alone = !cell.c.is_ascii() || cell.zerowidth().is_some();
            match pieces.last_mut() {
                Some(last) if open && !alone && last.style == style => {
                    style::push(cell, &mut last.text);
                    last.cols += 1;
                }
                Some(last) if repeats(last, cell) && last.style == style => {
                    last.text.push(cell.c);
                    last.cols += 1;
                }
                _ => {
                    let mut text = String::new();
                    style::push(cell, &mut text);
                    let cols = 1 + usize::from(cell.flags.contains(Flags::WIDE_CHAR));
                    pieces.push(Piece { column, cols, text, style });
                }
            }
            open = !alone;
        }
        pieces
    }

    /// The foreground and background colors of a style.
    fn colors(&self, style: &Style) -> (u32, u32) {
        let colors = (self.emulator.color(style.foreground), self.emulator.color(style.background));
        if style.flags.contains(Flags::INVERSE) { (colors.1, colors.0) } else { colors }
    }

    fn draw_background(&self, piece: &Piece, svg: &mut String) {
        let (_, background) = self.colors(&piece.style);
        if background != self.emulator.color(Color::Named(NamedColor::Background)) {
            let (x, width) = (MARGIN + piece.column * CELL.0, piece.cols * CELL.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{}\" fill=\"#{background:06x}\"/>",
                self.top, CELL.1
            );
        }
    }

    fn draw_text(&self, piece: &Piece, svg: &mut String) {
        let flags = piece.style.flags;
        let lined = flags.intersects(Flags::UNDERLINE | Flags::STRIKEOUT);
        let (mut text, mut column, mut cols) = (piece.text.as_str(), piece.column, piece.cols);
        if !lined {
            let start = text.len() - text.trim_start_matches(' ').len();
            let end = text.len() - text.trim_end_matches(' ').len();
            if start == text.len() {
                return;
            }
            text = text.trim_matches(' ');
            column += start;
            cols -= start + end;
        }
        if flags.contains(Flags::HIDDEN) {
            return;
        }
        let classes = [
            (Flags::BOLD, "b"),
            (Flags::DIM, "d"),
            (Flags::ITALIC, "i"),
            (Flags::UNDERLINE, "u"),
            (Flags::STRIKEOUT, "s"),
        ];
        let classes: Vec<&str> =
            classes.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, class)| *class).collect();
        let class =
            if classes.is_empty() { String::new() } else { format!(" class=\"{}\"", classes.join(" ")) };
        let (color, _) = self.colors(&piece.style);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\"{class} \
             fill=\"#{color:06x}\">{}</text>",
            MARGIN + column * CELL.0,
            self.top + BASELINE,
            cols * CELL.0,
            Escaped(text)
        );
    }

    /// Draws an underline or beam cursor; a block cursor is part of its cell.
    fn draw_cursor(&self, column: usize, svg: &mut String) {
        let left = MARGIN + column * CELL.0;
        let (y, width, height) = match self.emulator.cursor_shape() {
            CursorShape::Underline => (self.top + CELL.1 - 2, CELL.0, 2),
            CursorShape::Beam => (self.top, 2, CELL.1),
            _ => return,
        };
        let color = self.emulator.color(Color::Named(NamedColor::Foreground));
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"#{color:06x}\"/>"
        );
    }
}

/// Whether a piece repeats this character, as lines and bars do.
fn repeats(piece: &Piece, cell: &Cell) -> bool {
    !cell.flags.contains(Flags::WIDE_CHAR)
        && cell.zerowidth().is_none()
        && piece.text.chars().all(|character| character == cell.c)
}

/// Text with XML escapes, and without characters that XML forbids.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                // XML 1.0 forbids these.
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => formatter.write_str("\u{fffd}")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::emulator::Emulator;

    fn image(cols: u16, output: &str) -> String {
        let mut emulator = Emulator::new(cols, 1, 0);
        emulator.feed(format!("\x1b[?25l{output}").as_bytes());
        emulator.replies();
        let svg = render(&emulator);
        svg.split_once("</style>").unwrap().1.split_once("/>\n").unwrap().1.to_owned()
    }

    #[test]
    fn positions_text() {
        let text =
            "<text x=\"21\" y=\"26\" textLength=\"27\" lengthAdjust=\"spacingAndGlyphs\" fill=\"#d0d0d0\">";
        assert_eq!(image(6, " a<b "), format!("{text}a&lt;b</text>\n</svg>\n"));
        assert_eq!(image(6, ""), "</svg>\n");
    }

    #[test]
    fn styles_become_classes_and_rectangles() {
        let svg = image(4, "\x1b[1;4;31;44mx \x1b[0;7my\x1b[0;8mz");
        assert!(
            svg.contains("<rect x=\"12\" y=\"12\" width=\"18\" height=\"18\" fill=\"#5555ff\"/>"),
            "{svg}"
        );
        assert!(svg.contains("class=\"b u\" fill=\"#aa0000\">x </text>"), "{svg}");
        assert!(svg.contains("fill=\"#000000\">y</text>"), "{svg}");
        assert!(!svg.contains('z'), "hidden text is not drawn: {svg}");
    }

    #[test]
    fn wide_characters_span_two_columns_and_lines_are_one_text() {
        let svg = image(9, "\u{6f22}\u{2500}\u{2500}\u{2500}a");
        assert!(
            svg.contains(
                "x=\"12\" y=\"26\" textLength=\"18\" lengthAdjust=\"spacingAndGlyphs\" fill=\"#d0d0d0\">\u{6f22}<"
            ),
            "{svg}"
        );
        assert!(svg.contains(">\u{2500}\u{2500}\u{2500}<"), "{svg}");
    }

    #[test]
    fn shows_changed_colors_the_title_and_the_cursor() {
        let mut emulator = Emulator::new(4, 1, 0);
        emulator.feed(b"\x1b]11;#102030\x07\x1b]2;a&b\x07\x1b[5 q");
        emulator.replies();
        let svg = render(&emulator);
        assert!(svg.contains("fill=\"#102030\"/>"), "{svg}");
        assert!(svg.contains("<title>a&amp;b</title>"), "{svg}");
        assert!(svg.contains("<rect x=\"12\" y=\"12\" width=\"2\" height=\"18\""), "{svg}");
        assert_eq!(svg, render(&emulator));
    }
}
