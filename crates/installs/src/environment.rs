//! The known systems and Pythons (`data/environments.json`), each with its source
//! and date.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use pep440_rs::Version;
use serde::Deserialize;

/// All known systems and Pythons.
#[derive(Debug)]
pub struct EnvironmentData {
    /// When the data was last reviewed, as `YYYY-MM-DD`.
    pub date: String,
    /// One entry for each pair of system and architecture.
    pub environments: Vec<Environment>,
    /// Pythons, in the order of the columns of a table.
    pub pythons: Vec<Python>,
}

/// A system on an architecture, such as `ubuntu-20.04 x86_64`.
#[derive(Debug)]
pub struct Environment {
    /// `ubuntu-20.04`.
    pub system: String,
    /// `Ubuntu 20.04`.
    pub title: String,
    /// `x86_64`, as Linux and macOS name it; also `x86` and `wasm32`.
    pub arch: String,
    /// The platform that binaries need.
    pub runtime: Runtime,
    /// The Pythons that the system itself ships, by name.
    pub pythons: BTreeMap<String, Shipped>,
    /// The source of the data.
    pub source: String,
    /// When the source was read, as `YYYY-MM-DD`.
    pub date: String,
}

/// The C library, or what takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Linux with this glibc.
    Glibc(u32, u32),
    /// Linux with this musl.
    Musl(u32, u32),
    /// This macOS.
    Macos(u32, u32),
    /// Windows.
    Windows,
    /// Pyodide, with the platform tags that it accepts.
    Pyodide(Vec<String>),
}

/// A Python with its pip, as a system ships it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shipped {
    /// The Python's full version.
    pub release: Version,
    /// The version of its pip.
    pub pip: Version,
}

/// A Python, such as `cp312` or `cp313t`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// The name: its tag, with `t` if it is free-threaded.
    pub name: String,
    /// As people write it: `3.12`, `3.13t`, `PyPy 3.11`.
    pub title: String,
    /// The newest full version, used if the system ships none.
    pub release: Version,
    /// The pip that comes with it.
    pub pip: Version,
    /// Whether every table has it; other Pythons appear if a wheel is for them.
    pub column: bool,
    /// The source of the data.
    pub source: String,
    /// When the source was read, as `YYYY-MM-DD`.
    pub date: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    date: String,
    systems: Vec<System>,
    pythons: Vec<Python>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct System {
    name: String,
    title: String,
    glibc: Option<(u32, u32)>,
    musl: Option<(u32, u32)>,
    macos: Option<(u32, u32)>,
    windows: Option<(u32, u32)>,
    pyodide: Option<Vec<String>>,
    archs: Vec<String>,
    pythons: BTreeMap<String, Shipped>,
    source: String,
    date: String,
}

impl System {
    fn runtime(&self) -> Runtime {
        if let Some((major, minor)) = self.glibc {
            Runtime::Glibc(major, minor)
        } else if let Some((major, minor)) = self.musl {
            Runtime::Musl(major, minor)
        } else if let Some((major, minor)) = self.macos {
            Runtime::Macos(major, minor)
        } else if let Some(tags) = &self.pyodide {
            Runtime::Pyodide(tags.clone())
        } else {
            debug_assert!(self.windows.is_some());
            Runtime::Windows
        }
    }
}

/// The data, read once.
pub fn known() -> &'static EnvironmentData {
    static KNOWN: LazyLock<EnvironmentData> = LazyLock::new(|| {
        let data: Data =
            serde_json::from_str(include_str!("../data/environments.json")).expect("the data is valid");
        let environments = data.systems.iter().flat_map(|system| {
            system.archs.iter().map(|arch| Environment {
                system: system.name.clone(),
                title: system.title.clone(),
                arch: arch.clone(),
                runtime: system.runtime(),
                pythons: system.pythons.clone(),
                source: system.source.clone(),
                date: system.date.clone(),
            })
        });
        EnvironmentData { environments: environments.collect(), date: data.date, pythons: data.pythons }
    });
    &KNOWN
}

impl Environment {
    /// The family of the system: `ubuntu` of `ubuntu-20.04`.
    pub fn family(&self) -> &str {
        self.system.split_once('-').map_or(&self.system, |(family, _)| family)
    }

    /// Whether this Python exists for it.
    pub fn has(&self, python: &Python) -> bool {
        let version = python.version();
        match &self.runtime {
            Runtime::Pyodide(_) => self.pythons.contains_key(&python.name),
            // PyPy has builds for glibc, macOS and Windows on a few processors.
            _ if python.is_pypy() => match self.runtime {
                Runtime::Glibc(..) => ["x86_64", "i686", "aarch64"].contains(&self.arch.as_str()),
                Runtime::Macos(..) => true,
                _ => self.runtime == Runtime::Windows && self.arch == "x86_64",
            },
            // python.org has shipped builds for Windows on Arm since 3.11.
            Runtime::Windows if self.arch == "arm64" => version >= (3, 11),
            // Apple silicon has been supported since 3.8.10.
            Runtime::Macos(..) if self.arch == "arm64" => version >= (3, 8),
            _ => true,
        }
    }

    /// The full version and the pip of a Python here: the system's, or the newest one.
    pub fn shipped(&self, python: &Python) -> Shipped {
        let shipped = self.pythons.get(&python.name).cloned();
        shipped.unwrap_or_else(|| Shipped { release: python.release.clone(), pip: python.pip.clone() })
    }

    /// `glibc 2.31`, `macOS 14`, `Windows`.
    pub fn runtime_name(&self) -> String {
        match &self.runtime {
            Runtime::Glibc(major, minor) => format!("glibc {major}.{minor}"),
            Runtime::Musl(major, minor) => format!("musl {major}.{minor}"),
            Runtime::Macos(major, _) => format!("macOS {major}"),
            Runtime::Windows => "Windows".to_owned(),
            Runtime::Pyodide(_) => self.title.clone(),
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.system, self.arch)
    }
}

impl Python {
    /// Whether it is PyPy and not CPython.
    pub fn is_pypy(&self) -> bool {
        self.name.starts_with("pp")
    }

    /// Whether it is built without the global interpreter lock.
    pub fn is_free_threaded(&self) -> bool {
        self.name.ends_with('t')
    }

    /// Major and minor version.
    pub fn version(&self) -> (u32, u32) {
        let part = |index: usize| {
            let part = self.release.release().get(index).copied().unwrap_or_default();
            u32::try_from(part).unwrap_or(u32::MAX)
        };
        (part(0), part(1))
    }

    /// The interpreter tag: `cp313`, `pp310`.
    pub fn interpreter(&self) -> &str {
        self.name.trim_end_matches('t')
    }

    /// The ABI tag: `cp313`, `cp313t`, `cp37m`, `pypy310_pp73`.
    pub fn abi(&self) -> String {
        match self.name.strip_prefix("pp") {
            Some(digits) => format!("pypy{digits}_pp73"),
            None if self.version() < (3, 8) => format!("{}m", self.name),
            None => self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_data_is_complete_and_consistent() {
        let known = known();
        let names: BTreeSet<String> = known.environments.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), known.environments.len(), "an environment is listed twice");
        assert!(known.environments.len() >= 60 && known.pythons.len() >= 8);
        let pythons: BTreeSet<&str> = known.pythons.iter().map(|python| python.name.as_str()).collect();
        for environment in &known.environments {
            assert!(!environment.source.is_empty() && environment.date.len() == 10, "{environment}");
            for name in environment.pythons.keys() {
                assert!(pythons.contains(name.as_str()), "{environment} ships `{name}`, which no column has");
            }
        }
        for python in &known.pythons {
            let digits = format!("{}{}", python.version().0, python.version().1);
            assert_eq!(python.interpreter()[2..], digits, "{}", python.name);
        }
    }
}
