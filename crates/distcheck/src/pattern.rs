//! Glob patterns for names: `*`, `?`, `[ab]` and `{a,b}`. They match whole texts.

use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

/// A glob pattern; `*` matches any text, including `/`.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

/// An invalid pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid pattern: {why}")]
pub struct PatternError {
    text: String,
    why: String,
}

impl PatternError {
    pub(crate) fn new(text: &str, error: &globset::Error) -> Self {
        Self { text: text.to_owned(), why: error.kind().to_string() }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        match GlobBuilder::new(text).literal_separator(false).build() {
            Ok(glob) => Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() }),
            Err(error) => Err(PatternError::new(text, &error)),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// Whether the pattern matches the whole text.
    pub fn matches(&self, text: &str) -> bool {
        self.matcher.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_texts() {
        let matches = |pattern: &str, text: &str| pattern.parse::<Pattern>().unwrap().matches(text);
        assert!(
            matches("*", "")
                && matches("a*c", "a/b/c")
                && matches("a*b*c", "a1b2b3c")
                && matches("abc", "abc")
        );
        assert!(
            !matches("a*c", "ab")
                && !matches("abc", "abcd")
                && !matches("*b", "a")
                && !matches("ab*ba", "aba")
        );
        assert!("a[".parse::<Pattern>().is_err());
    }
}
