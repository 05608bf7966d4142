//! Compatibility tags (PEP 425, 600, 656 and the PyPA specification
//! "Platform compatibility tags").

use std::fmt;
use std::str::FromStr;

/// One tag: `py3-none-manylinux_2_17_x86_64`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// `py3`, `cp312` …
    pub python: String,
    /// `none`, `abi3`, `cp312` …
    pub abi: String,
    /// `any`, `manylinux_2_17_x86_64` …
    pub platform: String,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.python, self.abi, self.platform)
    }
}

/// A compressed tag set: `py2.py3-none-any` (PEP 425).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagSet {
    /// The Python tags, in the order written.
    pub python: Vec<String>,
    /// The ABI tags.
    pub abi: Vec<String>,
    /// The platform tags.
    pub platform: Vec<String>,
}

/// A tag that is not of the form `python-abi-platform`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a tag of the form `python-abi-platform`")]
pub struct TagError(pub String);

/// A set that expands to more tags is treated as malicious: each tag uses memory.
const LIMIT_TAGS: usize = 4096;

impl FromStr for TagSet {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let error = || TagError(text.to_owned());
        let split = |part: &str| -> Option<Vec<String>> {
            let valid =
                |item: &str| !item.is_empty() && item.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            part.split('.').map(|item| valid(item).then(|| item.to_owned())).collect()
        };
        let parts: Vec<&str> = text.split('-').collect();
        let [python, abi, platform] = parts[..] else { return Err(error()) };
        let set = Self {
            python: split(python).ok_or_else(error)?,
            abi: split(abi).ok_or_else(error)?,
            platform: split(platform).ok_or_else(error)?,
        };
        let count = set.python.len().saturating_mul(set.abi.len()).saturating_mul(set.platform.len());
        // An interpreter is an identifier.
        let digit = |tag: &String| tag.starts_with(|c: char| c.is_ascii_digit());
        if count > LIMIT_TAGS || set.python.iter().any(digit) { Err(error()) } else { Ok(set) }
    }
}

impl fmt::Display for TagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.python.join("."), self.abi.join("."), self.platform.join("."))
    }
}

impl TagSet {
    /// Every tag of the set, one by one, as a `WHEEL` file lists them.
    pub fn expand(&self) -> Vec<Tag> {
        let mut tags = Vec::new();
        for python in &self.python {
            for abi in &self.abi {
                for platform in &self.platform {
                    let (python, abi, platform) = (python.clone(), abi.clone(), platform.clone());
                    tags.push(Tag { python, abi, platform });
                }
            }
        }
        tags
    }

    /// The parsed platform tags.
    pub fn platforms(&self) -> impl Iterator<Item = Platform> {
        self.platform.iter().map(|tag| Platform::parse(tag))
    }
}

/// A parsed platform tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    /// `any`.
    Any,
    /// `linux_x86_64`: the Linux of the build machine; indexes reject it.
    Linux {
        /// `x86_64`, `aarch64` …
        arch: String,
    },
    /// glibc at least of this version (PEP 600); the older names
    /// `manylinux1`, `manylinux2010`, `manylinux2014` are 2.5, 2.12, 2.17.
    Manylinux {
        /// Lowest glibc, (major, minor).
        glibc: (u32, u32),
        /// `x86_64`, `aarch64` …
        arch: String,
    },
    /// musl at least of this version (PEP 656).
    Musllinux {
        /// Lowest musl, (major, minor).
        musl: (u32, u32),
        /// `x86_64`, `aarch64` …
        arch: String,
    },
    /// macOS at least of this version.
    Macos {
        /// Lowest macOS, (major, minor).
        version: (u32, u32),
        /// `x86_64`, `arm64`, `universal2` …
        arch: String,
    },
    /// Windows: `win32`, `win_amd64`, `win_arm64`.
    Windows {
        /// `x86`, `amd64`, `arm64`.
        arch: String,
    },
    /// Anything else, as written.
    Other(String),
}

/// The older names of three glibc versions, newest first (PEP 599, 571, 513).
pub const LEGACY_MANYLINUX: [((u32, u32), &str); 3] =
    [((2, 17), "manylinux2014"), ((2, 12), "manylinux2010"), ((2, 5), "manylinux1")];

/// The older name of `manylinux_<major>_<minor>`, if there is one for the architecture: only
/// manylinux2014 is for others than x86.
pub fn legacy_manylinux(glibc: (u32, u32), arch: &str) -> Option<&'static str> {
    let (_, name) = LEGACY_MANYLINUX.iter().find(|(version, _)| *version == glibc)?;
    let exists = match arch {
        "x86_64" | "i686" => true,
        "aarch64" | "armv7l" | "ppc64" | "ppc64le" | "s390x" => glibc == (2, 17),
        _ => false,
    };
    exists.then_some(name)
}

impl Platform {
    /// Parses a platform tag; an unknown one is [`Platform::Other`].
    pub fn parse(tag: &str) -> Self {
        Self::known(tag).unwrap_or_else(|| Self::Other(tag.to_owned()))
    }

    fn known(tag: &str) -> Option<Self> {
        match tag {
            "any" => return Some(Self::Any),
            "win32" => return Some(Self::Windows { arch: "x86".into() }),
            _ => {}
        }
        let (family, rest) = tag.split_once('_')?;
        let arch = |rest: &str| (!rest.is_empty()).then(|| rest.to_owned());
        let versioned = |rest: &str| {
            let mut parts = rest.splitn(3, '_');
            let version = (number(parts.next()?)?, number(parts.next()?)?);
            Some((version, arch(parts.next()?)?))
        };
        if let Some((glibc, _)) = LEGACY_MANYLINUX.iter().find(|(_, name)| *name == family) {
            return Some(Self::Manylinux { glibc: *glibc, arch: arch(rest)? });
        }
        Some(match family {
            "linux" => Self::Linux { arch: arch(rest)? },
            "manylinux" => {
                let (glibc, arch) = versioned(rest)?;
                Self::Manylinux { glibc, arch }
            }
            "musllinux" => {
                let (musl, arch) = versioned(rest)?;
                Self::Musllinux { musl, arch }
            }
            "macosx" => {
                let (version, arch) = versioned(rest)?;
                Self::Macos { version, arch }
            }
            "win" => Self::Windows { arch: arch(rest)? },
            _ => return None,
        })
    }

    /// The architecture as the tag names it.
    pub fn arch(&self) -> Option<&str> {
        match self {
            Self::Linux { arch }
            | Self::Manylinux { arch, .. }
            | Self::Musllinux { arch, .. }
            | Self::Macos { arch, .. }
            | Self::Windows { arch } => Some(arch),
            Self::Any | Self::Other(_) => None,
        }
    }
}

/// A decimal number without sign or leading zero.
fn number(text: &str) -> Option<u32> {
    let plain = text == "0" || !text.starts_with('0');
    (plain && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Linux { arch } => write!(f, "linux_{arch}"),
            Self::Manylinux { glibc: (major, minor), arch } => write!(f, "manylinux_{major}_{minor}_{arch}"),
            Self::Musllinux { musl: (major, minor), arch } => write!(f, "musllinux_{major}_{minor}_{arch}"),
            Self::Macos { version: (major, minor), arch } => write!(f, "macosx_{major}_{minor}_{arch}"),
            Self::Windows { arch } if arch == "x86" => f.write_str("win32"),
            Self::Windows { arch } => write!(f, "win_{arch}"),
            Self::Other(tag) => f.write_str(tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_a_compressed_tag_set() {
        let set: TagSet = "py2.py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64".parse().unwrap();
        let tags: Vec<String> = set.expand().iter().map(Tag::to_string).collect();
        assert_eq!(tags.len(), 4);
        assert_eq!(tags[1], "py2-none-manylinux2014_x86_64");
        assert!(
            set.platforms()
                .all(|platform| platform == Platform::Manylinux { glibc: (2, 17), arch: "x86_64".into() })
        );
    }

    #[test]
    fn rejects_malformed_tags() {
        let many = format!("{}-{}-any", ["py3"; 100].join("."), ["none"; 100].join("."));
        for text in [
            many.as_str(),
            "3py-none-any",
            "py3-none",
            "py3-none-any-x",
            "py3..py2-none-any",
            "py3-none-",
            "py3-no ne-any",
        ] {
            assert!(text.parse::<TagSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn platform_tags_round_trip() {
        for tag in [
            "any",
            "linux_aarch64",
            "manylinux_2_34_x86_64",
            "musllinux_1_2_aarch64",
            "macosx_11_0_arm64",
            "macosx_10_9_universal2",
            "win32",
            "win_amd64",
            "win_arm64",
            "ios_13_0_arm64_iphoneos",
            "manylinux_02_17_x86_64",
            "manylinux_2_x86_64",
        ] {
            assert_eq!(Platform::parse(tag).to_string(), tag);
        }
        assert_eq!(
            Platform::parse("manylinux_02_17_x86_64"),
            Platform::Other("manylinux_02_17_x86_64".into())
        );
    }
}
