//! The cells of the screen for snapshots, as runs of cells with the same style.

use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::Color;
use serde::Serialize;

use crate::style;

/// Adjacent cells with the same style. `text` has one character per cell; a wide character, or
/// one with combining characters, has its own run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Run {
    text: String,
    cols: usize,
    /// A single character, two columns wide.
    #[serde(skip_serializing_if = "is_false")]
    wide: bool,
    #[serde(flatten)]
    style: CellStyle,
}

/// The style of a cell. Defaults are omitted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is an attribute of SGR")]
struct CellStyle {
    #[serde(skip_serializing_if = "Option::is_none")]
    foreground: Option<CellColor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    background: Option<CellColor>,
    #[serde(skip_serializing_if = "is_false")]
    bold: bool,
    #[serde(skip_serializing_if = "is_false")]
    dim: bool,
    #[serde(skip_serializing_if = "is_false")]
    italic: bool,
    /// `single`, `double`, `curly`, `dotted` or `dashed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    underline: Option<&'static str>,
    #[serde(skip_serializing_if = "is_false")]
    inverse: bool,
    #[serde(skip_serializing_if = "is_false")]
    hidden: bool,
    #[serde(skip_serializing_if = "is_false")]
    strikethrough: bool,
    /// The target of a hyperlink (OSC 8).
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// An index of the 256-color palette, or `#rrggbb`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum CellColor {
    Index(u8),
    Rgb(String),
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde requires a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

const UNDERLINES: [(Flags, &str); 5] = [
    (Flags::DOUBLE_UNDERLINE, "double"),
    (Flags::UNDERCURL, "curly"),
    (Flags::DOTTED_UNDERLINE, "dotted"),
    (Flags::DASHED_UNDERLINE, "dashed"),
    (Flags::UNDERLINE, "single"),
];

impl CellStyle {
    fn of(cell: &Cell) -> Self {
        let has = |flag| cell.flags.contains(flag);
        Self {
            foreground: color(cell.fg),
            background: color(cell.bg),
            bold: has(Flags::BOLD),
            dim: has(Flags::DIM),
            italic: has(Flags::ITALIC),
            underline: UNDERLINES.iter().find(|(flag, _)| has(*flag)).map(|(_, name)| *name),
            inverse: has(Flags::INVERSE),
            hidden: has(Flags::HIDDEN),
            strikethrough: has(Flags::STRIKEOUT),
            link: cell.hyperlink().map(|link| link.uri().to_owned()),
        }
    }
}

fn color(color: Color) -> Option<CellColor> {
    match color {
        Color::Spec(rgb) => Some(CellColor::Rgb(format!("#{:02x}{:02x}{:02x}", rgb.r, rgb.g, rgb.b))),
        other => style::number(other).map(CellColor::Index),
    }
}

/// The runs of a line, without trailing blanks.
pub(crate) fn runs(line: &[Cell]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut open = false;
    for cell in line.iter().filter(|cell| !style::is_half(cell)) {
        let style = CellStyle::of(cell);
        let wide = cell.flags.contains(Flags::WIDE_CHAR);
        let alone = wide || cell.zerowidth().is_some();
        match runs.last_mut() {
            Some(last) if open && !alone && last.style == style => {
                style::push(cell, &mut last.text);
                last.cols += 1;
            }
            _ => {
                let mut text = String::new();
                style::push(cell, &mut text);
                runs.push(Run { text, cols: 1 + usize::from(wide), wide, style });
            }
        }
        open = !alone;
    }
    if let Some(last) = runs.last_mut()
        && last.style == CellStyle::default()
        && !last.wide
    {
        let end = last.text.trim_end_matches(' ').len();
        last.cols -= last.text.len() - end;
        last.text.truncate(end);
        if end == 0 {
            runs.pop();
        }
    }
    runs
}

/// Whether a line is wrapped into the next one.
pub(crate) fn is_wrapped(line: &[Cell]) -> bool {
    line.last().is_some_and(|cell| cell.flags.contains(Flags::WRAPLINE))
}

#[cfg(test)]
mod tests {
    use super::{is_wrapped, runs};
    use crate::emulator::{Emulator, lines};

    fn json(cols: u16, output: &str) -> String {
        let mut emulator = Emulator::new(cols, 1, 0);
        emulator.feed(output.as_bytes());
        let line = lines(emulator.grid()).next().map(runs).unwrap();
        serde_json::to_string(&line).unwrap()
    }

    #[test]
    fn joins_cells_with_the_same_style() {
        assert_eq!(json(9, ""), "[]");
        assert_eq!(json(9, "ab  "), r#"[{"text":"ab","cols":2}]"#);
        assert_eq!(
            json(9, "a\x1b[1;31mb\x1b[0;4:3;48;2;1;2;3m \x1b[0mc"),
            concat!(
                r#"[{"text":"a","cols":1},{"text":"b","cols":1,"foreground":1,"bold":true},"#,
                r##"{"text":" ","cols":1,"background":"#010203","underline":"curly"},"##,
                r#"{"text":"c","cols":1}]"#
            )
        );
    }

    #[test]
    fn wide_and_combined_characters_have_their_own_run() {
        assert_eq!(
            json(9, "ae\u{301}\u{6f22}b"),
            "[{\"text\":\"a\",\"cols\":1},{\"text\":\"e\u{301}\",\"cols\":1},\
             {\"text\":\"\u{6f22}\",\"cols\":2,\"wide\":true},{\"text\":\"b\",\"cols\":1}]"
        );
    }

    #[test]
    fn reports_links() {
        let text = json(9, "\x1b]8;;https://a.example\x1b\\x\x1b]8;;\x1b\\");
        assert_eq!(text, r#"[{"text":"x","cols":1,"link":"https://a.example"}]"#);
    }

    #[test]
    fn recognises_wrapped_lines() {
        let mut emulator = Emulator::new(3, 3, 0);
        emulator.feed(b"abcd\r\nef");
        let wrapped: Vec<bool> = lines(emulator.grid()).map(is_wrapped).collect();
        assert_eq!(wrapped, [true, false, false]);
    }
}
