//! Classifies lines.

/// Whether a line starts explicit markup.
pub(super) fn is_explicit(line: &str) -> bool {
    ["..", "__"]
        .iter()
        .any(|mark| line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
}

pub(super) fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The repeated character of an adornment line.
pub(super) fn adornment(line: &str) -> Option<char> {
    let first = line.chars().next().filter(char::is_ascii_punctuation)?;
    line.chars().all(|c| c == first).then_some(first)
}

/// Whether a line starts a table.
pub(super) fn is_table(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("+-")
        || line.starts_with("+=")
        || (line.starts_with("==") && line.contains(' ') && line.chars().all(|c| c == '=' || c == ' '))
}

/// The marker of a bullet list item.
pub(super) fn bullet(line: &str) -> Option<char> {
    let mark = line.chars().next().filter(|c| "*+-•‣⁃".contains(*c))?;
    let rest = &line[mark.len_utf8()..];
    (rest.is_empty() || rest.starts_with(' ')).then_some(mark)
}

/// Whether a line starts an item of a numbered list: `1.`, `(a)`, `#.`.
pub(super) fn is_enumerated(line: &str) -> bool {
    let Some((mark, _)) = line.split_once(' ').or(Some((line, ""))) else { return false };
    let inner = mark.strip_prefix('(').unwrap_or(mark);
    let Some(inner) = inner.strip_suffix(['.', ')']) else { return false };
    !inner.is_empty()
        && (inner == "#" || (inner.len() < 6 && inner.chars().all(|c| c.is_ascii_alphanumeric())))
}
