//! The job summary: Markdown in which no value can break the layout.

use std::fmt::Write as _;

/// The size that GitHub accepts for one step's summary, in bytes.
const LIMIT: usize = 1024 * 1024;

/// A Markdown text under construction. Text goes in through methods that
/// escape it.
#[derive(Debug, Clone, Default)]
pub struct Summary(String);

impl Summary {
    /// An empty summary.
    pub fn new() -> Self {
        Self::default()
    }

    /// A heading of `level` 1 to 6.
    #[must_use]
    pub fn heading(mut self, level: usize, text: &str) -> Self {
        let _ = writeln!(self.0, "\n{} {}\n", "#".repeat(level.clamp(1, 6)), escape(text));
        self
    }

    /// A paragraph.
    #[must_use]
    pub fn paragraph(mut self, text: &str) -> Self {
        let _ = writeln!(self.0, "\n{}\n", escape(text));
        self
    }

    /// A table; a cell whose text stands in backticks keeps them.
    #[must_use]
    pub fn table<R, C>(mut self, head: &[&str], rows: R) -> Self
    where
        R: IntoIterator,
        R::Item: IntoIterator<Item = C>,
        C: AsRef<str>,
    {
        let _ = writeln!(self.0, "\n| {} |", head.join(" | "));
        let _ = writeln!(self.0, "|{}", " --- |".repeat(head.len()));
        for row in rows {
            let cells: Vec<String> = row.into_iter().map(|cell| escape(cell.as_ref())).collect();
            let _ = writeln!(self.0, "| {} |", cells.join(" | "));
        }
        self.0.push('\n');
        self
    }

    /// A text as it is, in a block of its own; folded under `title`.
    #[must_use]
    pub fn details(mut self, title: &str, text: &str) -> Self {
        let longest = text.lines().map(|line| line.chars().take_while(|c| *c == '`').count()).max();
        let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
        let title = escape(title);
        let _ = writeln!(
            self.0,
            "\n<details><summary>{title}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>\n"
        );
        self
    }

    /// The Markdown, cut at a line within GitHub's limit.
    pub fn markdown(&self) -> String {
        const NOTE: &str = "\n\n…cut: a job summary holds 1 MiB; the report file has the rest.\n";
        if self.0.len() <= LIMIT {
            return self.0.clone();
        }
        let mut end = LIMIT - NOTE.len();
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        let end = self.0[..end].rfind('\n').unwrap_or(end);
        format!("{}{NOTE}", &self.0[..end])
    }
}

/// Escapes what Markdown or HTML would take for markup, in one line. Text that
/// is wholly a code span stays one.
pub(crate) fn escape(text: &str) -> String {
    let text = text.replace(['\r', '\n'], " ");
    let code = text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
    if let Some(code) = code.filter(|code| !code.contains('`')) {
        return format!("`{}`", code.replace('|', "\\|"));
    }
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // An at-sign would notify somebody.
            '@' => out.push_str("&#64;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
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
    fn a_long_summary_is_cut_at_a_line() {
        let line = "é".repeat(100);
        let summary = (0..6000).fold(Summary::new(), |summary, _| summary.paragraph(&line));
        let text = summary.markdown();
        assert!(text.len() <= LIMIT);
        assert!(text.ends_with("has the rest.\n"));
    }

    #[test]
    fn a_fence_in_the_text_does_not_end_the_block() {
        let text = Summary::new().details("log", "```\n# not a heading\n```").markdown();
        assert!(text.contains("````text\n```\n# not a heading\n```\n````"), "{text}");
    }
}
