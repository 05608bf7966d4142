//! Project names.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use serde::Serialize;

/// A project's normalised name: lower case, with runs of `-`, `_` and `.` as one
/// `-` (PEP 503). Two names belong to the same project if their normalised names
/// are equal. The names of extras are normalised the same way (PEP 685).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ProjectName(String);

impl ProjectName {
    /// Normalises `name`, whether it [is valid](is_valid) or not.
    pub fn new(name: &str) -> Self {
        let mut out = String::with_capacity(name.len());
        for c in name.chars() {
            if matches!(c, '-' | '_' | '.') {
                if !out.ends_with('-') {
                    out.push('-');
                }
            } else {
                out.extend(c.to_lowercase());
            }
        }
        Self(out)
    }

    /// The form used in file names, with `_` for `-` (PEP 427, PEP 625).
    pub fn escaped(&self) -> String {
        self.0.replace('-', "_")
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for ProjectName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ProjectName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq<str> for ProjectName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for ProjectName {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// Whether `name` is valid: ASCII letters, digits, `-`, `_` and `.`, starting
/// and ending with a letter or digit (core metadata, field Name).
pub fn is_valid(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().all(inner)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_runs_of_separators() {
        let name = ProjectName::new("Foo-_.Bar");
        assert_eq!(name, "foo-bar");
        assert_eq!(name, ProjectName::new("foo.bar"));
        assert_eq!(name.escaped(), "foo_bar");
        assert!(is_valid("a") && is_valid("A.b-c_9"));
        assert!(!is_valid("") && !is_valid("-a") && !is_valid("a.") && !is_valid("a b") && !is_valid("é"));
    }
}
