//! What this command writes stands between two lines of a file; the rest is
//! the user's.

use std::path::Path;

use super::error::InitError;

pub(super) const BEGIN: &str = "# build-wheel init: begin. Changes until the line `end` are overwritten.";
pub(super) const END: &str = "# build-wheel init: end";
const MARK: char = '\u{feff}';

/// How a file is written: a checkout on Windows has other line endings, and
/// some editors begin a file with a byte order mark.
pub(super) struct Form {
    has_mark: bool,
    is_crlf: bool,
}

impl Form {
    /// The form of a text, and the text without what is peculiar to it.
    pub(super) fn of(text: &str) -> (Self, String) {
        let form = Self { has_mark: text.starts_with(MARK), is_crlf: text.contains("\r\n") };
        (form, text.trim_start_matches(MARK).replace("\r\n", "\n"))
    }

    /// A text in this form.
    pub(super) fn apply(&self, text: &str) -> String {
        let text = if self.is_crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
        if self.has_mark { format!("{MARK}{text}") } else { text }
    }
}

/// The text between the lines; `None` where there are none.
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

/// The file with a new block in the place of the old one.
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

/// Where the only such line begins, and where the next one does.
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

/// The difference in the form of `diff -u`; empty where there is none.
pub(super) fn diff(path: &Path, old: &str, new: &str) -> String {
    let name = path.display().to_string();
    let diff = similar::TextDiff::from_lines(old, new);
    if old == new { String::new() } else { diff.unified_diff().header(&name, &name).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_block_is_replaced() {
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
    fn a_file_keeps_its_form() {
        for text in ["a\nb\n", "a\r\nb\r\n", "\u{feff}a\nb\n", "\u{feff}a\r\nb\r\n", ""] {
            let (form, plain) = Form::of(text);
            assert!(!plain.contains(['\r', MARK]), "{text:?}");
            assert_eq!(form.apply(&plain), text);
        }
    }

    #[test]
    fn a_difference_is_shown_as_a_patch() {
        let shown = diff(Path::new("a.yml"), "a\nb\n", "a\nc\n");
        assert_eq!(shown, "--- a.yml\n+++ a.yml\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        assert_eq!(diff(Path::new("a.yml"), "a\n", "a\n"), "");
    }
}
