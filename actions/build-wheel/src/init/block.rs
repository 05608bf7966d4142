//! This command writes a block between two marker lines; the rest of the file
//! belongs to the user.

use std::path::Path;

use super::error::InitError;

pub(super) const BEGIN: &str = "# build-wheel init: begin. Changes until the line `end` are overwritten.";
pub(super) const END: &str = "# build-wheel init: end";
const BOM: char = '\u{feff}';

/// The line endings and byte order mark of a file, which differ on Windows and with
/// some editors.
pub(super) struct TextFormat {
    has_bom: bool,
    is_crlf: bool,
}

impl TextFormat {
    /// Splits a text into its format and the normalised text.
    pub(super) fn of(text: &str) -> (Self, String) {
        let format = Self { has_bom: text.starts_with(BOM), is_crlf: text.contains("\r\n") };
        (format, text.trim_start_matches(BOM).replace("\r\n", "\n"))
    }

    /// The text in this format.
    pub(super) fn apply(&self, text: &str) -> String {
        let text = if self.is_crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
        if self.has_bom { format!("{BOM}{text}") } else { text }
    }
}

/// The text between the marker lines; `None` if there are none.
pub(super) fn find<'t>(path: &Path, text: &'t str) -> Result<Option<&'t str>, InitError> {
    let count = |line: &str| text.lines().filter(|found| found.trim() == line).count();
    if count(BEGIN) > 1 || count(END) > 1 {
        return Err(InitError::Markers { path: path.to_owned(), begin: BEGIN, end: END });
    }
    match (place(text, BEGIN), place(text, END)) {
        (None, None) => Ok(None),
        (Some((_, begin)), Some((end, _))) if begin <= end => Ok(Some(&text[begin..end])),
        _ => Err(InitError::Marker { path: path.to_owned(), begin: BEGIN, end: END }),
    }
}

/// The file with the block replaced.
pub(super) fn replace(path: &Path, text: &str, block: &str) -> Result<String, InitError> {
    let new = format!("{BEGIN}\n{block}{END}\n");
    if text.trim().is_empty() {
        return Ok(new);
    }
    if find(path, text)?.is_none() {
        return Err(InitError::Foreign(path.to_owned()));
    }
    let (begin, _) = place(text, BEGIN).unwrap_or_default();
    let (_, end) = place(text, END).unwrap_or_default();
    Ok(format!("{}{new}{}", &text[..begin], &text[end..]))
}

/// The start of the only such line, and of the line after it.
fn place(text: &str, line: &str) -> Option<(usize, usize)> {
    let mut start = 0;
    for whole in text.split_inclusive('\n') {
        if whole.trim() == line {
            return Some((start, start + whole.len()));
        }
        start += whole.len();
    }
    None
}

/// The difference in the format of `diff -u`; empty if there is none.
pub(super) fn diff(path: &Path, old: &str, new: &str) -> String {
    let name = path.display().to_string();
    let diff = similar::TextDiff::from_lines(old, new);
    if old == new { String::new() } else { diff.unified_diff().header(&name, &name).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_the_block() {
        let path = Path::new("a.yml");
        let first = replace(path, "", "x: 1\n").unwrap();
        assert_eq!(first, format!("{BEGIN}\nx: 1\n{END}\n"));
        let mine = format!("# mine\n{first}  more: 2\n");
        assert_eq!(find(path, &mine).unwrap(), Some("x: 1\n"));
        assert_eq!(
            replace(path, &mine, "x: 2\n").unwrap(),
            format!("# mine\n{BEGIN}\nx: 2\n{END}\n  more: 2\n")
        );
        assert!(matches!(replace(path, "name: mine\n", ""), Err(InitError::Foreign(_))));
        for text in [format!("{BEGIN}\n"), format!("{END}\n"), format!("{END}\n{BEGIN}\n")] {
            assert!(matches!(replace(path, &text, ""), Err(InitError::Marker { .. })), "{text}");
        }
        let twice = format!("{first}{first}");
        assert!(matches!(replace(path, &twice, ""), Err(InitError::Markers { .. })), "{twice}");
    }

    #[test]
    fn keeps_the_format_of_a_file() {
        for text in ["a\nb\n", "a\r\nb\r\n", "\u{feff}a\nb\n", "\u{feff}a\r\nb\r\n", ""] {
            let (format, plain) = TextFormat::of(text);
            assert!(!plain.contains(['\r', BOM]), "{text:?}");
            assert_eq!(format.apply(&plain), text);
        }
    }

    #[test]
    fn shows_a_difference_as_a_patch() {
        let shown = diff(Path::new("a.yml"), "a\nb\n", "a\nc\n");
        assert_eq!(shown, "--- a.yml\n+++ a.yml\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        assert_eq!(diff(Path::new("a.yml"), "a\n", "a\n"), "");
    }
}
