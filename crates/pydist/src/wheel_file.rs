//! `WHEEL`, the description of a wheel as an archive (PEP 427).

use crate::headers::{HeaderError, Headers};
use crate::tags::Tag;

/// The content of a `WHEEL` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelFile {
    /// All fields as written.
    pub headers: Headers,
}

impl WheelFile {
    /// Reads a `WHEEL` file.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        Ok(Self { headers: Headers::parse(bytes)? })
    }

    /// The `Tag` lines as written.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.headers.all("Tag")
    }

    /// Whether `Root-Is-Purelib` is `true`; `None` if it is neither `true` nor `false`.
    pub fn root_is_purelib(&self) -> Option<bool> {
        match self.headers.get("Root-Is-Purelib")?.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The file with its `Tag` lines replaced by `tags`.
    #[must_use]
    pub fn with_tags(mut self, tags: &[Tag]) -> Self {
        self.headers.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("Tag"));
        self.headers.fields.extend(tags.iter().map(|tag| ("Tag".to_owned(), tag.to_string())));
        self
    }

    /// The bytes of the file.
    pub fn write(&self) -> Vec<u8> {
        let lines = self.headers.fields.iter().map(|(name, value)| format!("{name}: {value}\n"));
        lines.collect::<String>().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_tags() {
        let file =
            WheelFile::parse(b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n")
                .unwrap();
        assert_eq!(file.root_is_purelib(), Some(false));
        let tags = "py3-none-any".parse::<crate::tags::TagSet>().unwrap().expand();
        let text = String::from_utf8(file.with_tags(&tags).write()).unwrap();
        assert_eq!(text, "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n");
    }
}
