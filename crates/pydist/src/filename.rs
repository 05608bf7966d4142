//! The file names of distributions (PEP 427, PEP 625 and the PyPA
//! specifications "Binary distribution format" and "Source distribution
//! format").

use std::fmt;
use std::str::FromStr;

use crate::name::{self, ProjectName};
use crate::tags::{TagError, TagSet};

/// The file name of a wheel or of a source distribution.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DistName {
    /// `….whl`.
    Wheel(WheelName),
    /// `….tar.gz`.
    Sdist(SdistName),
}

/// `name-version[-build]-python-abi-platform.whl`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WheelName {
    /// The project's name as written.
    pub name: String,
    /// The version as written.
    pub version: String,
    /// The build tag; starts with a digit.
    pub build: Option<String>,
    /// The compatibility tags.
    pub tags: TagSet,
}

/// `name-version.tar.gz`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SdistName {
    /// The project's name as written.
    pub name: String,
    /// The version as written.
    pub version: String,
}

/// Why a file name is not that of a distribution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Neither `.whl` nor `.tar.gz`.
    #[error("expected a name that ends in `.whl` or `.tar.gz`")]
    Suffix,
    /// The wrong number of parts.
    #[error("expected five or six parts (name-version[-build]-python-abi-platform.whl), found {0}")]
    Parts(usize),
    /// No `-` between name and version.
    #[error("expected `name-version.tar.gz`")]
    NoVersion,
    /// The project name breaks the rules.
    #[error("`{0}` is not a valid project name")]
    Project(String),
    /// The version does not follow PEP 440.
    #[error("`{0}` is not a version (PEP 440)")]
    Version(String),
    /// The build tag does not start with a digit.
    #[error("the build tag `{0}` does not start with a digit")]
    Build(String),
    /// The compatibility tag is malformed.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl FromStr for DistName {
    type Err = NameError;

    fn from_str(file: &str) -> Result<Self, NameError> {
        if let Some(stem) = file.strip_suffix(".whl") {
            wheel(stem).map(Self::Wheel)
        } else if let Some(stem) = file.strip_suffix(".tar.gz") {
            sdist(stem).map(Self::Sdist)
        } else {
            Err(NameError::Suffix)
        }
    }
}

fn wheel(stem: &str) -> Result<WheelName, NameError> {
    let parts: Vec<&str> = stem.split('-').collect();
    let (name, version, build, tags) = match parts[..] {
        [name, version, ref tags @ ..] if tags.len() == 3 => (name, version, None, tags),
        [name, version, build, ref tags @ ..] if tags.len() == 3 => (name, version, Some(build), tags),
        _ => return Err(NameError::Parts(parts.len())),
    };
    if let Some(build) = build.filter(|build| !build.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(NameError::Build(build.to_owned()));
    }
    let (name, version) = checked(name, version)?;
    Ok(WheelName { name, version, build: build.map(str::to_owned), tags: tags.join("-").parse()? })
}

fn sdist(stem: &str) -> Result<SdistName, NameError> {
    let (name, version) = stem.rsplit_once('-').ok_or(NameError::NoVersion)?;
    let (name, version) = checked(name, version)?;
    Ok(SdistName { name, version })
}

fn checked(project: &str, version: &str) -> Result<(String, String), NameError> {
    if !name::is_valid(project) {
        return Err(NameError::Project(project.to_owned()));
    }
    if version.parse::<pep440_rs::Version>().is_err() {
        return Err(NameError::Version(version.to_owned()));
    }
    Ok((project.to_owned(), version.to_owned()))
}

impl DistName {
    /// The project's normalised name.
    pub fn project(&self) -> ProjectName {
        match self {
            Self::Wheel(wheel) => ProjectName::new(&wheel.name),
            Self::Sdist(sdist) => ProjectName::new(&sdist.name),
        }
    }

    /// The version in its normal form (`1.0.post1`).
    pub fn normal_version(&self) -> Option<pep440_rs::Version> {
        self.version().parse().ok()
    }

    /// The version as written.
    pub fn version(&self) -> &str {
        match self {
            Self::Wheel(wheel) => &wheel.version,
            Self::Sdist(sdist) => &sdist.version,
        }
    }

    /// The wheel's name, if it is one.
    pub fn wheel(&self) -> Option<&WheelName> {
        match self {
            Self::Wheel(wheel) => Some(wheel),
            Self::Sdist(_) => None,
        }
    }
}

impl WheelName {
    /// The name of the metadata directory: `name-version.dist-info`.
    pub fn dist_info(&self) -> String {
        format!("{}-{}.dist-info", self.name, self.version)
    }
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.version)?;
        if let Some(build) = &self.build {
            write!(f, "-{build}")?;
        }
        write!(f, "-{}.whl", self.tags)
    }
}

impl fmt::Display for SdistName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.tar.gz", self.name, self.version)
    }
}

impl fmt::Display for DistName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wheel(wheel) => wheel.fmt(f),
            Self::Sdist(sdist) => sdist.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_round_trip() {
        for file in [
            "htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl",
            "a-1.0-2b-py2.py3-none-any.whl",
            "htty-0.3.0.tar.gz",
            "my-old-name-1.0rc1.tar.gz",
        ] {
            assert_eq!(file.parse::<DistName>().unwrap().to_string(), file);
        }
        let name: DistName = "my-old-name-1.0rc1.tar.gz".parse().unwrap();
        assert_eq!((name.project().as_str(), name.version()), ("my-old-name", "1.0rc1"));
    }

    #[test]
    fn rejects_malformed_file_names() {
        let error = |file: &str| file.parse::<DistName>().unwrap_err();
        assert_eq!(error("a-1.0.zip"), NameError::Suffix);
        assert_eq!(error("a-1.0-py3-any.whl"), NameError::Parts(4));
        assert_eq!(error("a-x1-py3-none-any.whl"), NameError::Version("x1".into()));
        assert_eq!(error("a-1.0_1-py3-none-any.whl"), NameError::Version("1.0_1".into()));
        assert_eq!(error("a-1-b2-py3-none-any.whl"), NameError::Build("b2".into()));
        assert_eq!(error("é-1-py3-none-any.whl"), NameError::Project("é".into()));
        assert!(matches!(error("a-1-py3-none-a ny.whl"), NameError::Tag(_)));
        assert_eq!(error("a.tar.gz"), NameError::NoVersion);
    }
}
