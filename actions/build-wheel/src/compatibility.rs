//! The platform that a wheel is asked to run on.

use std::fmt;

use pydist::tags::Platform;
use serde::{Serialize, Serializer};

/// A platform and the oldest version of it, for any architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// glibc at least of this version.
    Manylinux((u32, u32)),
    /// musl at least of this version.
    Musllinux((u32, u32)),
    /// macOS at least of this version.
    Macos((u32, u32)),
}

impl Compatibility {
    /// Understands a platform tag without its architecture.
    pub fn parse(text: &str) -> Result<Self, String> {
        // The tag's form needs an architecture.
        match Platform::parse(&format!("{text}_any")) {
            Platform::Manylinux { glibc, .. } => Ok(Self::Manylinux(glibc)),
            Platform::Musllinux { musl, .. } => Ok(Self::Musllinux(musl)),
            Platform::Macos { version, .. } => Ok(Self::Macos(version)),
            _ => Err(format!(
                "expected `manylinux_<major>_<minor>`, `manylinux2014`, `musllinux_<major>_<minor>` or `macosx_<major>_<minor>`, found `{text}`"
            )),
        }
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
    fn tags_are_understood_without_an_architecture() {
        assert_eq!(Compatibility::parse("manylinux2014"), Ok(Compatibility::Manylinux((2, 17))));
        assert_eq!(Compatibility::parse("macosx_11_0"), Ok(Compatibility::Macos((11, 0))));
        assert_eq!(Compatibility::parse("musllinux_1_2").unwrap().to_string(), "musllinux_1_2");
        assert!(Compatibility::parse("manylinux").is_err() && Compatibility::parse("linux").is_err());
    }
}
