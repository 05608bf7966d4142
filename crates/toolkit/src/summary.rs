//! The job summary: Markdown with escaped values.

use std::fmt::Write as _;

/// The size that GitHub accepts for one step's summary, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// `1 file`, `2 files`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A human-readable size in decimal megabytes, with one decimal place.
pub fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// A Markdown builder. It escapes all text, except for `code` in single backticks and web
/// links.
#[derive(Debug, Clone, Default)]
pub struct Summary(Vec<Block>);

#[derive(Debug, Clone)]
enum Block {
    Heading(usize, String),
    Paragraph(String),
    Table(Vec<String>, Vec<Vec<String>>),
    Details(String, String),
    Fold { title: String, open: bool, content: Summary },
}

impl Summary {
    /// An empty summary.
    pub fn new() -> Self {
        Self::default()
    }

    /// A heading of `level` 1 to 6.
    #[must_use]
    pub fn heading(mut self, level: usize, text: &str) -> Self {
        self.0.push(Block::Heading(level.clamp(1, 6), text.to_owned()));
        self
    }

    /// A paragraph.
    #[must_use]
    pub fn paragraph(mut self, text: &str) -> Self {
        self.0.push(Block::Paragraph(text.to_owned()));
        self
    }

    /// A table.
    #[must_use]
    pub fn table<R, C>(mut self, head: &[&str], rows: R) -> Self
    where
        R: IntoIterator,
        R::Item: IntoIterator<Item = C>,
        C: AsRef<str>,
    {
        let rows = rows.into_iter().map(|row| row.into_iter().map(|cell| cell.as_ref().to_owned()).collect());
        self.0.push(Block::Table(head.iter().map(|&cell| cell.to_owned()).collect(), rows.collect()));
        self
    }

    /// A verbatim block, folded under `title`.
    #[must_use]
    pub fn details(mut self, title: &str, text: &str) -> Self {
        self.0.push(Block::Details(title.to_owned(), text.to_owned()));
        self
    }

    /// A foldable section, initially unfolded if `open`.
    #[must_use]
    pub fn fold(mut self, title: &str, open: bool, content: Self) -> Self {
        self.0.push(Block::Fold { title: title.to_owned(), open, content });
        self
    }

    /// The Markdown, truncated at a line end to GitHub's limit.
    pub fn markdown(&self) -> String {
        self.render(str::to_owned)
    }

    /// Renders the Markdown with `hide` applied to each text before escaping and truncating.
    pub(crate) fn render(&self, hide: impl Fn(&str) -> String) -> String {
        truncate(self.blocks(&hide))
    }

    fn blocks(&self, hide: &dyn Fn(&str) -> String) -> String {
        let mut out = String::new();
        for block in &self.0 {
            let _ = match block {
                Block::Heading(level, text) => {
                    writeln!(out, "\n{} {}\n", "#".repeat(*level), escape(&hide(text)))
                }
                Block::Paragraph(text) => writeln!(out, "\n{}\n", escape(&hide(text))),
                Block::Table(head, rows) => writeln!(out, "{}", table(head, rows, hide)),
                Block::Details(title, text) => {
                    let (title, text) = (escape_html(&hide(title)), hide(text));
                    let fence = fence(&text);
                    writeln!(
                        out,
                        "\n<details><summary>{title}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>\n"
                    )
                }
                Block::Fold { title, open, content } => {
                    let (title, open) = (escape_html(&hide(title)), if *open { " open" } else { "" });
                    let content = content.blocks(hide);
                    writeln!(out, "\n<details{open}><summary>{title}</summary>\n{content}\n</details>\n")
                }
            };
        }
        out
    }
}

fn table(head: &[String], rows: &[Vec<String>], hide: &dyn Fn(&str) -> String) -> String {
    let mut out = format!("\n| {} |\n|{}\n", head.join(" | "), " --- |".repeat(head.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escape(&hide(cell))).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out
}

/// A code fence that `text` does not contain.
fn fence(text: &str) -> String {
    let longest = text.lines().map(|line| line.chars().take_while(|c| *c == '`').count()).max();
    "`".repeat(longest.unwrap_or(0).max(2) + 1)
}

fn truncate(text: String) -> String {
    const NOTE: &str =
        "\n\n…truncated: a job summary is limited to 1 MiB; see the report file for the rest.\n";
    if text.len() <= MAX_BYTES {
        return text;
    }
    let mut end = MAX_BYTES - NOTE.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').unwrap_or(end);
    format!("{}{NOTE}", &text[..end])
}

/// Escapes Markdown and HTML markup and joins lines, except for code in single backticks and
/// URLs.
fn escape(text: &str) -> String {
    let text = text.replace(['\r', '\n'], " ");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find('`') {
        let (before, after) = (&rest[..start], &rest[start + 1..]);
        escape_text(before, &mut out);
        match after.split_once('`') {
            // In a table, a bar ends the cell even within code, and a backslash cannot be
            // escaped there.
            Some((code, after)) if !(code.trim().is_empty() || code.contains('|') && code.contains('\\')) => {
                let _ = write!(out, "`{}`", code.replace('|', "\\|"));
                rest = after;
            }
            _ => {
                out.push_str("\\`");
                rest = after;
            }
        }
    }
    escape_text(rest, &mut out);
    out
}

fn escape_text(text: &str, out: &mut String) {
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            out.push(' ');
        }
        if is_url(word) {
            // Between angle brackets, no character of a URL is markup.
            let _ = write!(out, "<{word}>");
            continue;
        }
        for c in word.chars() {
            match c {
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '&' => out.push_str("&amp;"),
                // An at sign would mention a user.
                '@' => out.push_str("&#64;"),
                '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' => {
                    out.push('\\');
                    out.push(c);
                }
                _ => out.push(c),
            }
        }
    }
}

/// Whether `word` is a URL without characters that end a link or a cell.
fn is_url(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#=&%+,".contains(c);
    word.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
}

/// Escapes text within an HTML element, where Markdown does not apply.
fn escape_html(text: &str) -> String {
    let text = text.replace(['\r', '\n'], " ");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "&#64;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_cannot_break_a_table() {
        let summary = Summary::new().table(&["a", "b"], [["x | y\n| z", "`a|b`"], ["<script>@me", "*_"]]);
        assert_eq!(
            summary.markdown(),
            "\n| a | b |\n| --- | --- |\n| x \\| y \\| z | `a\\|b` |\n| &lt;script&gt;&#64;me | \\*\\_ |\n\n"
        );
    }

    #[test]
    fn keeps_code_and_urls_and_escapes_a_lone_backtick() {
        assert_eq!(escape("expected `a_b`, found `<c>`"), "expected `a_b`, found `<c>`");
        assert_eq!(escape("one ` and *more*"), "one \\` and \\*more\\*");
        assert_eq!(escape("empty `` code"), "empty \\`\\` code");
        assert_eq!(escape("see https://example.org/a_b#c now"), "see <https://example.org/a_b#c> now");
        assert_eq!(escape("https://example.org/<b>|"), "https://example.org/&lt;b&gt;\\|");
    }

    #[test]
    fn a_fold_contains_blocks() {
        let content = Summary::new().paragraph("why `x`").table(&["a"], [["1"]]);
        let text = Summary::new().fold("error A1 <b>", true, content).fold("rest", false, Summary::new());
        assert_eq!(
            text.markdown(),
            "\n<details open><summary>error A1 &lt;b&gt;</summary>\n\nwhy `x`\n\n\n| a |\n| --- |\n| 1 |\n\n\n</details>\n\n\
             \n<details><summary>rest</summary>\n\n</details>\n\n"
        );
    }

    #[test]
    fn truncates_a_long_summary_at_a_line() {
        let line = "é".repeat(100);
        let summary = (0..6000).fold(Summary::new(), |summary, _| summary.paragraph(&line));
        let text = summary.markdown();
        assert!(text.len() <= MAX_BYTES);
        assert!(text.ends_with("for the rest.\n"));
    }

    #[test]
    fn a_fence_in_the_text_does_not_end_the_block() {
        let text = Summary::new().details("a_b <c>", "```\n# not a heading\n```").markdown();
        assert!(text.contains("<summary>a_b &lt;c&gt;</summary>"), "{text}");
        assert!(text.contains("````text\n```\n# not a heading\n```\n````"), "{text}");
    }

    proptest! {
        /// The content of a cell cannot add cells, rows or elements.
        #[test]
        fn a_cell_stays_one_cell(text in "[a-z`|<>\\\\*_ \n\r&@#]{0,30}") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains('\n'));
            let mut bars = escaped.match_indices('|');
            let backslashes = |at: usize| escaped[..at].chars().rev().take_while(|c| *c == '\\').count();
            prop_assert!(bars.all(|(at, _)| backslashes(at) % 2 == 1), "{}", escaped);
        }
    }
}
