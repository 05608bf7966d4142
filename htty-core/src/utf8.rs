//! UTF-8 from a stream that may split a character between two reads.

use std::borrow::Cow;

/// Decodes as bytes come; what is not UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The beginning of a character, at most three bytes.
    rest: Vec<u8>,
}

impl Decoder {
    /// The text of `bytes`, but for an unfinished character at the end.
    pub(crate) fn decode<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, str> {
        // By far the most text is whole.
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
            if chunks.peek().is_none() && is_beginning(invalid) {
                unfinished = invalid.len();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.rest.drain(..self.rest.len() - unfinished);
        Cow::Owned(text)
    }
}

/// Whether more bytes could make this a character.
fn is_beginning(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::Decoder;

    #[test]
    fn split_and_broken_characters() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(b"a\xe2\x82"), "a");
        assert_eq!(decoder.decode(b"\xac\xffb"), "\u{20ac}\u{fffd}b");
        assert_eq!(decoder.decode(b"\xf0"), "");
        assert_eq!(decoder.decode(b"x"), "\u{fffd}x");
    }
}
