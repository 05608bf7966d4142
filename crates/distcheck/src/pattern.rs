//! Patterns with `*`.

/// Whether `text` fits `pattern`, in which `*` stands for any text.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(
            matches("*", "") && matches("a*c", "abc") && matches("a*b*c", "a1b2b3c") && matches("abc", "abc")
        );
        assert!(
            !matches("a*c", "ab")
                && !matches("abc", "abcd")
                && !matches("*b", "a")
                && !matches("ab*ba", "aba")
        );
    }
}
