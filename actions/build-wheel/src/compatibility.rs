//! The platform that a wheel must run on.

use std::fmt;

use pydist::tags::Platform;
use serde::{Serialize, Serializer};

/// A platform and its oldest version, for any architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// At least this glibc.
    Manylinux((u32, u32)),
    /// At least this musl.
    Musllinux((u32, u32)),
    /// At least this macOS.
    Macos((u32, u32)),
}

impl Compatibility {
    /// Parses a platform tag without its architecture.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A tag needs an architecture to be parsed.
        match Platform::parse(&format!("{text}_any")) {
            Platform::Manylinux { glibc, .. } => Ok(Self::Manylinux(glibc)),
            Platform::Musllinux { musl, .. } => Ok(Self::Musllinux(musl)),
            Platform::Macos { version, .. } => Ok(Self::Macos(macos_tag_version(version))),
            _ => Err(format!(
                "expected `manylinux_<major>_<minor>`, `manylinux2014`, `musllinux_<major>_<minor>` or `macosx_<major>_<minor>`, found `{text}`"
            )),
        }
    }
}

/// The version in a tag for this macOS: since macOS 11, tags have no minor version. Installers
/// look for `macosx_14_0` on every macOS 14, and never for `macosx_14_2`.
pub(crate) fn macos_tag_version(version: (u32, u32)) -> (u32, u32) {
    match version {
        (major, _) if major >= 11 => (major, 0),
        version => version,
    }
}

impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, (major, minor)) = match self {
            Self::Manylinux(version) => ("manylinux", version),
            Self::Musllinux(version) => ("musllinux", version),
            Self::Macos(version) => ("macosx", version),
        };
        write!(f, "{family}_{major}_{minor}")
    }
}

impl Serialize for Compatibility {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_macos_tag_since_11_has_a_minor_version() {
        assert_eq!(Compatibility::parse("macosx_14_2"), Ok(Compatibility::Macos((14, 0))));
        assert_eq!(Compatibility::parse("macosx_11_7").unwrap().to_string(), "macosx_11_0");
    }

    #[test]
    fn parses_platform_tags_without_an_architecture() {
        assert_eq!(Compatibility::parse("manylinux2014"), Ok(Compatibility::Manylinux((2, 17))));
        assert_eq!(Compatibility::parse("macosx_11_0"), Ok(Compatibility::Macos((11, 0))));
        assert_eq!(Compatibility::parse("musllinux_1_2").unwrap().to_string(), "musllinux_1_2");
        assert_eq!(Compatibility::parse("macosx_10_13"), Ok(Compatibility::Macos((10, 13))));
        assert!(Compatibility::parse("manylinux").is_err() && Compatibility::parse("linux").is_err());
    }
}
