//! Python identifiers.

/// The keywords of Python 3.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Whether a text can name a module: an identifier that is not a keyword.
pub(crate) fn is_identifier(text: &str) -> bool {
    !KEYWORDS.contains(&text)
        && text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::is_identifier;

    #[test]
    fn recognises_identifiers() {
        assert!(["a", "_a1", "é"].into_iter().all(is_identifier));
        assert!(!["", "1a", "a-b", "class", "a b"].into_iter().any(is_identifier));
    }
}
