//! The files of a release, as an installer sees them, and what their content
//! needs beyond that.

use std::fmt;

use pep440_rs::{Version, VersionSpecifiers};
use pydist::filename::{DistName, WheelName};

use crate::environment::{Environment, Runtime};

/// A file that an installer may choose.
#[derive(Debug, Clone)]
pub struct File {
    /// Its name.
    pub filename: String,
    /// The parsed name.
    pub name: DistName,
    /// The version in the name.
    pub version: Version,
    /// `Requires-Python`, as written.
    pub requires_python: Option<String>,
    /// Whether the index lists it as yanked (PEP 592).
    pub yanked: bool,
    /// What its binaries need, if the content was read.
    pub needs: Vec<Need>,
}

/// Something that a wheel's content needs to be loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// What is needed.
    pub what: Needed,
    /// The member of the wheel that needs it.
    pub member: String,
}

/// Something that a system has or lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    /// Linux with at least this glibc.
    Glibc(u32, u32),
    /// Linux with musl.
    Musl,
    /// At least this macOS, on this architecture.
    Macos {
        /// The lowest version.
        version: (u32, u32),
        /// The architecture that needs it.
        arch: String,
    },
    /// macOS on this architecture.
    MacosArch(String),
    /// Linux on this architecture.
    LinuxArch(String),
    /// Windows on this architecture.
    WindowsArch(String),
    /// A code signature that matches: macOS on this architecture checks it.
    Signature(String),
    /// A shared library that no system has by default.
    Library(String),
    /// A path of the machine that built the wheel.
    Path(String),
}

impl File {
    /// Builds a file from its name and the index's data. Returns `None` if the
    /// name is not that of a distribution, because installers skip such a file.
    pub fn new(filename: &str, requires_python: Option<&str>, yanked: bool) -> Option<Self> {
        let name: DistName = filename.parse().ok()?;
        Some(Self {
            filename: filename.to_owned(),
            version: name.version().replace('_', "-").parse().ok()?,
            name,
            requires_python: requires_python.map(|text| text.trim().to_owned()),
            yanked,
            needs: Vec::new(),
        })
    }

    /// The wheel's name, if it is one.
    pub fn wheel(&self) -> Option<&WheelName> {
        self.name.wheel()
    }

    /// The build number, as PEP 427 orders it: none first, then the number,
    /// then the rest as text.
    pub(crate) fn build(&self) -> Option<(u128, &str)> {
        let build = self.wheel()?.build.as_deref()?;
        let digits = build.find(|c: char| !c.is_ascii_digit()).unwrap_or(build.len());
        Some((build[..digits].parse().unwrap_or(u128::MAX), &build[digits..]))
    }

    /// Whether it supports a Python. pip ignores a `Requires-Python` that it
    /// cannot parse.
    pub(crate) fn supports(&self, python: &Version) -> bool {
        let specifiers =
            self.requires_python.as_deref().and_then(|text| text.parse::<VersionSpecifiers>().ok());
        specifiers.is_none_or(|specifiers| specifiers.contains(python))
    }

    /// The first need that an environment does not meet.
    pub fn missing(&self, environment: &Environment) -> Option<&Need> {
        self.needs.iter().find(|need| !need.what.is_met(environment))
    }
}

impl Needed {
    /// Whether an environment has it.
    pub fn is_met(&self, environment: &Environment) -> bool {
        let runtime = &environment.runtime;
        let linux = matches!(runtime, Runtime::Glibc(..) | Runtime::Musl(..));
        let macos = matches!(runtime, Runtime::Macos(..));
        let windows = *runtime == Runtime::Windows;
        match self {
            Self::Glibc(major, minor) => match runtime {
                Runtime::Glibc(have_major, have_minor) => (have_major, have_minor) >= (major, minor),
                _ => !linux,
            },
            Self::Musl => !matches!(runtime, Runtime::Glibc(..)),
            Self::Macos { version: (major, _), arch } => match runtime {
                // An environment is a macOS with all updates.
                Runtime::Macos(have, _) if environment.arch == *arch => have >= major,
                _ => true,
            },
            Self::MacosArch(arch) => !macos || environment.arch == *arch,
            Self::LinuxArch(arch) => !linux || environment.arch == *arch,
            Self::WindowsArch(arch) => {
                // Windows wheels and environments name architectures alike, except amd64.
                !windows || environment.arch == arch.replace("amd64", "x86_64")
            }
            Self::Signature(arch) => !macos || environment.arch != arch.trim_end_matches('e'),
            Self::Library(_) => !linux && !macos && !windows,
            Self::Path(_) => !linux && !macos,
        }
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc(major, minor) => write!(f, "glibc {major}.{minor}"),
            Self::Musl => f.write_str("musl"),
            Self::Macos { version: (major, minor), .. } => write!(f, "macOS {major}.{minor}"),
            Self::MacosArch(arch) | Self::LinuxArch(arch) | Self::WindowsArch(arch) => f.write_str(arch),
            Self::Signature(arch) => write!(f, "a code signature that matches its {arch} code"),
            Self::Library(name) => write!(f, "`{name}`"),
            Self::Path(path) => write!(f, "`{path}`"),
        }
    }
}
