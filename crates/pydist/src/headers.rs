//! The header format that `METADATA`, `PKG-INFO` and `WHEEL` share: RFC 822
//! fields, then a blank line and a body (core metadata specification).

/// Fields in the order of the file, and the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Names as written, values with their continuation lines joined by `\n`.
    pub fields: Vec<(String, String)>,
    /// Fields whose values end with blanks, with the number of blanks. `fields`
    /// holds the values without them.
    pub trailing_blanks: Vec<(String, usize)>,
    /// What follows the first blank line, if there is one.
    pub body: Option<String>,
}

/// Why headers cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not UTF-8.
    #[error("not UTF-8 from byte {0} on")]
    Utf8(usize),
    /// A line that is neither a field nor a continuation line.
    #[error("line {line} is not of the form `Name: value`: `{text}`")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line, cut at 80 characters.
        text: String,
    },
}

impl Headers {
    /// Reads headers and body. Lines may end in `\n` or `\r\n`.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let text = std::str::from_utf8(bytes).map_err(|error| HeaderError::Utf8(error.valid_up_to()))?;
        let mut headers = Self::default();
        let mut offset = 0;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            offset += line.len();
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                headers.body = Some(text[offset..].to_owned());
                break;
            }
            if line.starts_with([' ', '\t'])
                && let Some((_, value)) = headers.fields.last_mut()
            {
                value.push('\n');
                value.push_str(line);
                continue;
            }
            match line.split_once(':') {
                Some((name, value)) if is_field_name(name) => {
                    let blanks = value.len() - value.trim_end().len();
                    if blanks > 0 && blanks < value.len() {
                        headers.trailing_blanks.push((name.to_owned(), blanks));
                    }
                    headers.fields.push((name.to_owned(), value.trim().to_owned()));
                }
                _ => {
                    let text = line.chars().take(80).collect();
                    return Err(HeaderError::Line { line: index + 1, text });
                }
            }
        }
        Ok(headers)
    }

    /// The first value of a field; names are case-insensitive.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All values of a field, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|(_, value)| value.as_str())
    }
}

/// Printable ASCII except the colon (RFC 5322, 3.6.8).
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_continuations_and_body() {
        let headers =
            Headers::parse(b"Name: a\r\nLicense: MIT\r\n  or so\r\nname: b\n\nText\n\nmore: x\n").unwrap();
        assert_eq!(headers.all("NAME").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(headers.get("license"), Some("MIT\n  or so"));
        assert_eq!(headers.body.as_deref(), Some("Text\n\nmore: x\n"));
    }

    #[test]
    fn rejects_malformed_headers() {
        assert_eq!(Headers::parse(b"Name: \xff"), Err(HeaderError::Utf8(6)));
        let error = Headers::parse(b"Name: a\nno colon").unwrap_err();
        assert_eq!(error, HeaderError::Line { line: 2, text: "no colon".into() });
        assert!(Headers::parse(b" indented: first").is_err());
        // Python's parser reads a byte order mark as part of the first name.
        assert!(Headers::parse("\u{feff}Name: a\n".as_bytes()).is_err());
    }
}
