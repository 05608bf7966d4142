//! Decodes UTF-8 from a stream in which reads can split characters.

use std::borrow::Cow;

/// An incremental decoder. Invalid UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The start of an incomplete character, at most three bytes.
    rest: Vec<u8>,
}

impl Decoder {
    /// The text of `bytes`, without an incomplete character at the end.
    pub(crate) fn decode<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, str> {
        // The usual case.
        if self.rest.is_empty()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return Cow::Borrowed(text);
        }
        self.rest.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.rest.len());
        let mut unfinished = 0;
        let mut chunks = self.rest.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_incomplete(invalid) {
                unfinished = invalid.len();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.rest.drain(..self.rest.len() - unfinished);
        Cow::Owned(text)
    }
}

/// Whether this is the start of a character.
fn is_incomplete(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::Decoder;

    #[test]
    fn decodes_split_and_invalid_characters() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(b"a\xe2\x82"), "a");
        assert_eq!(decoder.decode(b"\xac\xffb"), "\u{20ac}\u{fffd}b");
        assert_eq!(decoder.decode(b"\xf0"), "");
        assert_eq!(decoder.decode(b"x"), "\u{fffd}x");
    }
}
