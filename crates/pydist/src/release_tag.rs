//! The git tag of a release: an optional prefix and the version.
//!
//! A repository with one package tags `v1.2.3`; one with several puts a name
//! before the version: `htty-v0.3.0`, `pkg@1.2.3`, `pkg/v1.2.3`.

use std::str::FromStr as _;

use pep440_rs::Version;

/// A release's git tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseTag {
    /// What precedes the version, separator included: `htty-v`, `pkg@`, `v`.
    pub prefix: String,
    /// The version (PEP 440).
    pub version: Version,
}

/// Why a tag does not name a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseTagError {
    /// No part of it is a version.
    #[error(
        "the tag `{0}` does not name a version: expected `v1.2.3`, or a prefix and a version such as `pkg-v1.2.3`, `pkg@1.2.3` or `pkg/v1.2.3`"
    )]
    NoVersion(String),
    /// It does not begin with the expected prefix.
    #[error("the tag `{tag}` does not begin with the prefix `{prefix}`")]
    OtherPrefix {
        /// The tag.
        tag: String,
        /// The expected prefix.
        prefix: String,
    },
    /// What follows the expected prefix is not a version.
    #[error("the tag `{tag}` has `{rest}` after the prefix `{prefix}`, expected a version")]
    NoVersionAfter {
        /// The tag.
        tag: String,
        /// The expected prefix.
        prefix: String,
        /// The text after it.
        rest: String,
    },
}

impl ReleaseTag {
    /// Reads `tag`, with or without `refs/tags/`.
    ///
    /// With a `prefix`, everything after it must be the version. Without one,
    /// the version is the whole tag or the longest suffix after `-`, `_`, `@` or
    /// `/` that is a version: `pkg-1.2.3-rc1` is `1.2.3rc1` of `pkg`. A prefix
    /// has a letter, so `2024-01-02` does not name a version.
    pub fn parse(tag: &str, prefix: Option<&str>) -> Result<Self, ReleaseTagError> {
        let name = tag.strip_prefix("refs/tags/").unwrap_or(tag);
        if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
            return Self::after(name, prefix);
        }
        let starts = std::iter::once(0).chain(
            name.char_indices().filter(|(_, c)| matches!(c, '-' | '_' | '@' | '/')).map(|(at, _)| at + 1),
        );
        for start in starts {
            let (before, rest) = name.split_at(start);
            let named = start == 0 || before.contains(|c: char| c.is_alphabetic());
            if named && let Some((v, version)) = version(rest) {
                return Ok(Self { prefix: format!("{before}{v}"), version });
            }
        }
        Err(ReleaseTagError::NoVersion(name.to_owned()))
    }

    fn after(name: &str, prefix: &str) -> Result<Self, ReleaseTagError> {
        let (tag, prefix) = (name.to_owned(), prefix.to_owned());
        let Some(rest) = name.strip_prefix(prefix.as_str()) else {
            return Err(ReleaseTagError::OtherPrefix { tag, prefix });
        };
        match version(rest) {
            Some((v, version)) => Ok(Self { prefix: format!("{prefix}{v}"), version }),
            None => Err(ReleaseTagError::NoVersionAfter { rest: rest.to_owned(), tag, prefix }),
        }
    }
}

/// The `v`, if there is one, and the version, if `text` holds nothing else.
fn version(text: &str) -> Option<(&str, Version)> {
    let digits = text.strip_prefix(['v', 'V']).unwrap_or(text);
    // PEP 440 tolerates characters around a version that are not part of a tag.
    let begins = digits.starts_with(|c: char| c.is_ascii_digit());
    let version = Version::from_str(digits).ok().filter(|_| begins && digits.trim() == digits)?;
    Some((&text[..text.len() - digits.len()], version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(tag: &str) -> Option<(String, String)> {
        let tag = ReleaseTag::parse(tag, None).ok()?;
        Some((tag.prefix, tag.version.to_string()))
    }

    #[test]
    fn splits_a_tag_into_prefix_and_version() {
        for (tag, prefix, version) in [
            ("v1.2.3", "v", "1.2.3"),
            ("1.2.3", "", "1.2.3"),
            ("V2", "V", "2"),
            ("refs/tags/v1.0rc1", "v", "1.0rc1"),
            ("htty-v0.3.0", "htty-v", "0.3.0"),
            ("htty-0.3.0", "htty-", "0.3.0"),
            ("htty_v0.3.0", "htty_v", "0.3.0"),
            ("pkg@1.2.3", "pkg@", "1.2.3"),
            ("@scope/pkg@1.2.3", "@scope/pkg@", "1.2.3"),
            ("pkg/v1.2.3", "pkg/v", "1.2.3"),
            ("refs/tags/a/b/v1!2.0+cpu", "a/b/v", "1!2.0+cpu"),
            ("release/2026.11", "release/", "2026.11"),
            ("py3-tools-v1.0.dev4", "py3-tools-v", "1.0.dev4"),
            ("pkg-1.2.3-rc1", "pkg-", "1.2.3rc1"),
            ("v1.2.3-rc.1", "v", "1.2.3rc1"),
            ("pkg-v1.2.3-1", "pkg-v", "1.2.3.post1"),
            ("übung-v1.0", "übung-v", "1.0"),
        ] {
            assert_eq!(parsed(tag), Some((prefix.to_owned(), version.to_owned())), "{tag}");
        }
    }

    #[test]
    fn rejects_tags_without_a_version() {
        for tag in [
            "",
            "v",
            "main",
            "pkg-",
            "htty-v",
            "vv1.0",
            "pkgv1.0",
            "2024-01-02",
            "v1.2.x",
            "pkg-v 1.0",
            "pkg@latest",
        ] {
            let error = ReleaseTag::parse(tag, None).expect_err(tag).to_string();
            assert!(error.contains(&format!("`{tag}` does not name a version")), "{error}");
        }
    }

    #[test]
    fn a_given_prefix_takes_precedence() {
        let version = |tag, prefix| ReleaseTag::parse(tag, Some(prefix)).map(|tag| tag.version.to_string());
        assert_eq!(version("pkg-2-1", "pkg-"), Ok("2.post1".into()));
        assert_eq!(version("pkg-2-1", "pkg-2-"), Ok("1".into()));
        assert_eq!(version("pkgv1.0", "pkg"), Ok("1.0".into()));
        assert_eq!(version("refs/tags/htty-v0.3.0", "htty-v"), Ok("0.3.0".into()));
        assert_eq!(version("v1.0", ""), Ok("1.0".into()), "an input that is not set");
        let error = version("v1.0", "htty-v").unwrap_err().to_string();
        assert_eq!(error, "the tag `v1.0` does not begin with the prefix `htty-v`");
        let error = version("htty-core-v1.0", "htty-").unwrap_err().to_string();
        assert_eq!(
            error,
            "the tag `htty-core-v1.0` has `core-v1.0` after the prefix `htty-`, expected a version"
        );
    }
}
