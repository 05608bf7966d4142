//! Whether the index can render a reStructuredText description.
//!
//! The index renders with docutils and rejects a text with warnings. This parser
//! finds the common mistakes, with docutils' terms, and accepts constructs that it
//! does not parse.

mod inline;
mod lines;
mod names;
mod reader;

use std::collections::BTreeMap;

use reader::Reader;

/// The result of checking a text. Lines are counted from 1.
#[derive(Debug)]
pub struct RestructuredCheck {
    /// The mistakes, with their lines.
    pub mistakes: Vec<(usize, String)>,
    /// Constructs that are not checked, with their lines.
    pub unchecked: BTreeMap<&'static str, Vec<usize>>,
}

/// Checks a text, as far as it can be parsed.
pub fn check_text(text: &str) -> RestructuredCheck {
    let lines: Vec<String> = text.lines().map(|line| line.trim_end().replace('\t', "        ")).collect();
    let mut reader = Reader::new(&lines);
    reader.read();
    if reader.texts.is_empty() {
        // The index rejects a description that renders to nothing.
        reader.skip("a text without a paragraph", 0);
    }
    reader.references();
    reader.mistakes.sort();
    RestructuredCheck { mistakes: reader.mistakes, unchecked: reader.unchecked }
}

#[cfg(test)]
mod tests {
    use super::check_text;

    fn mistakes(text: &str) -> Vec<(usize, String)> {
        check_text(text).mistakes
    }

    fn first(text: &str) -> Option<String> {
        mistakes(text).into_iter().next().map(|(_, message)| message)
    }

    #[test]
    fn accepts_what_docutils_renders() {
        let text = "Title\n=====\n\nSome *text* with ``code``, a `link <https://a.example>`_, `Title`_ and |logo|.\n\
            2 * 3 and a* and 'quoted' \\`escape.\n\n.. |logo| image:: a.png\n\n.. note:: Well\n   done.\n\n\
            Code::\n\n    .. anything::\n    ``x\n\n- one\n- two\n\nSub\n---\n\nMore\n====\n\n.. _a: https://a.example\n\
            .. code-block:: python\n\n   x = `y\n\n====  ====\na     `b\n====  ====\n\n:math:`x` and :sub:`2`\n";
        assert_eq!(mistakes(text), []);
    }

    #[test]
    fn reports_each_mistake() {
        for (text, expected) in [
            ("Title\n====\n", "too short"),
            (".. toctree::\n\n   a\n", "directive `toctree`"),
            (".. raw:: html\n\n   <b>\n", "disables the directive `raw`"),
            ("See :class:`x`.\n", "role `class`"),
            ("See `gone`_.\n", "no target `gone`"),
            ("See |gone|.\n", "no substitution `gone`"),
            ("A ``literal.\n", "not closed"),
            ("A **strong.\n", "not closed"),
            ("A `title.\n", "not closed"),
            (".. _a: https://a.example\n.. _a: https://b.example\n", "defined twice"),
            ("A\n=\n\nB\n-\n\nC\n~\n\nD\n=\n\nE\n~\n", "skips a level"),
            ("A\n=\n\nB\n-\n\nC\n=\n\nD\n~\n", "new style"),
            (".. note:: x\ntext\n", "without a blank line"),
            ("Code::\n\nnot indented\n", "literal block"),
        ] {
            let message = first(text).unwrap_or_default();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
