//! Which file an installer picks in one environment, and why it rejects the
//! others.

use std::cmp::Reverse;
use std::fmt;

use pydist::tags::Platform;

use crate::accepted::{self, Interpreter, Platforms, Rank};
use crate::environment::{Environment, Python, Shipped};
use crate::file::File;
use crate::platform::{self, Generation};

/// A Python in an environment, with the tags that its pip accepts.
#[derive(Debug)]
pub struct InstallTarget {
    /// The environment.
    pub environment: &'static Environment,
    /// The Python.
    pub python: &'static Python,
    /// Its full version and its pip.
    pub shipped: Shipped,
    /// The tags of the Python.
    pub interpreter: Interpreter,
    /// The tags of the platform.
    pub platforms: Platforms,
}

/// Why an installer rejects a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The platform tag needs a newer system: required and actual version.
    Floor(String, String),
    /// The system is new enough, but its pip does not know the tag.
    OldPip(String, String),
    /// `Requires-Python` and the Python's full version.
    RequiresPython(String, String),
    /// The index lists it as yanked; whether it would be accepted otherwise.
    Yanked(bool),
    /// Its Python and ABI tags are not for this Python.
    Interpreter(String),
    /// It is for another architecture of the same system.
    Arch(String),
    /// It is for another system.
    System(String),
    /// No pip on any known system accepts its platform tag.
    Unknown(String),
}

impl InstallTarget {
    /// For an environment and a Python that it has.
    pub fn new(environment: &'static Environment, python: &'static Python) -> Self {
        let shipped = environment.shipped(python);
        let generation = Generation::of(&shipped.pip);
        Self {
            environment,
            python,
            interpreter: Interpreter::new(python, generation),
            platforms: Platforms::new(platform::tags(environment, generation)),
            shipped,
        }
    }

    /// The rank of a wheel's tags, if they are accepted.
    pub fn rank(&self, file: &File) -> Option<Rank> {
        file.wheel().and_then(|wheel| accepted::rank(&self.interpreter, &self.platforms, &wheel.tags))
    }

    /// The file that pip picks.
    pub fn choose<'f>(&self, files: &'f [File]) -> Option<&'f File> {
        self.best(files.iter().filter(|file| self.refusal(file).is_none()))
    }

    /// The file of one release that pip picks if its version is pinned (`==`): a
    /// yanked one only if there is no other (PEP 592).
    pub fn choose_pinned<'f>(&self, files: &'f [File]) -> Option<&'f File> {
        let accepted = |file: &&File| matches!(self.refusal(file), None | Some(Refusal::Yanked(true)));
        self.choose(files).or_else(|| self.best(files.iter().filter(accepted)))
    }

    fn best<'f>(&self, candidates: impl Iterator<Item = &'f File>) -> Option<&'f File> {
        candidates.max_by(|a, b| {
            let key = |file: &&'f File| (file.version.clone(), self.rank(file).map(Reverse));
            let build = |file: &&'f File| file.build().map(|(number, rest)| (number, rest.to_owned()));
            (key(a), build(a), &a.filename).cmp(&(key(b), build(b), &b.filename))
        })
    }

    /// Why a file is not a candidate; `None` if it is one.
    pub fn refusal(&self, file: &File) -> Option<Refusal> {
        if file.yanked {
            let is_accepted = self.refusal(&File { yanked: false, ..file.clone() }).is_none();
            return Some(Refusal::Yanked(is_accepted));
        }
        if !file.supports(&self.shipped.release) {
            let text = file.requires_python.clone().unwrap_or_default();
            return Some(Refusal::RequiresPython(text, self.shipped.release.to_string()));
        }
        let wheel = file.wheel()?;
        if self.rank(file).is_some() {
            return None;
        }
        let any = wheel.tags.platform.iter().any(|tag| tag == "any");
        if any || self.platforms.place(&wheel.tags).is_some() {
            let (python, abi) = (wheel.tags.python.join("."), wheel.tags.abi.join("."));
            return Some(Refusal::Interpreter(format!("{python}-{abi}")));
        }
        Some(self.platform_refusal(wheel.tags.platform.iter().map(String::as_str)))
    }

    /// The refusal of the closest of a wheel's platform tags.
    fn platform_refusal<'t>(&self, tags: impl Iterator<Item = &'t str>) -> Refusal {
        let closest = tags.map(|tag| self.tag_refusal(tag)).min_by_key(Refusal::distance);
        closest.unwrap_or_else(|| Refusal::Unknown(String::new()))
    }

    fn tag_refusal(&self, tag: &str) -> Refusal {
        use crate::environment::Runtime::{Glibc, Macos, Musl, Windows};
        let platform = Platform::parse(tag);
        let own_arch = self.environment.arch.as_str();
        let same_arch = platform.arch() == Some(own_arch);
        match (&platform, &self.environment.runtime) {
            (Platform::Manylinux { glibc, arch }, Glibc(major, minor)) if same_arch => {
                let is_name = glibc.0 == *major && glibc.1 >= platform::oldest_manylinux_minor(arch);
                self.version_refusal(tag, "glibc", *glibc, (*major, *minor), is_name)
            }
            (Platform::Musllinux { musl, .. }, Musl(major, minor)) if same_arch => {
                self.version_refusal(tag, "musl", *musl, (*major, *minor), true)
            }
            (Platform::Macos { version, arch }, Macos(major, minor))
                if pydist::policy::macos_archs(arch).contains(&own_arch) =>
            {
                // Since macOS 11 installers compare the major version alone.
                let is_name = version.0 == 10 || version.1 == 0;
                self.version_refusal(tag, "macOS", *version, (*major, *minor), is_name)
            }
            (Platform::Manylinux { .. } | Platform::Linux { .. }, Glibc(..))
            | (Platform::Musllinux { .. } | Platform::Linux { .. }, Musl(..))
            | (Platform::Macos { .. }, Macos(..))
            | (Platform::Windows { .. }, Windows) => {
                Refusal::Arch(platform.arch().unwrap_or_default().to_owned())
            }
            (Platform::Manylinux { .. }, _) => Refusal::System("Linux with glibc".to_owned()),
            (Platform::Musllinux { .. }, _) => Refusal::System("Linux with musl".to_owned()),
            (Platform::Linux { .. }, _) => Refusal::System("Linux".to_owned()),
            (Platform::Macos { .. }, _) => Refusal::System("macOS".to_owned()),
            (Platform::Windows { .. }, _) => Refusal::System("Windows".to_owned()),
            (Platform::Any | Platform::Other(_), _) => Refusal::Unknown(tag.to_owned()),
        }
    }

    fn version_refusal(
        &self,
        tag: &str,
        name: &str,
        needs: (u32, u32),
        has: (u32, u32),
        is_name: bool,
    ) -> Refusal {
        if !is_name {
            Refusal::Unknown(tag.to_owned())
        } else if needs > has {
            Refusal::Floor(format!("{name} {}.{}", needs.0, needs.1), self.environment.runtime_name())
        } else {
            Refusal::OldPip(tag.to_owned(), self.shipped.pip.to_string())
        }
    }
}

impl Refusal {
    /// How far a file is from being accepted; the closest explains a loss best.
    pub fn distance(&self) -> u8 {
        match self {
            Self::Floor(..) => 0,
            Self::OldPip(..) => 1,
            Self::RequiresPython(..) => 2,
            Self::Yanked(_) => 3,
            Self::Interpreter(_) => 4,
            Self::Arch(_) => 5,
            Self::System(_) => 6,
            Self::Unknown(_) => 7,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floor(needs, has) => write!(f, "its tag needs {needs}, the system has {has}"),
            Self::OldPip(tag, pip) => write!(f, "pip {pip} does not know `{tag}`"),
            Self::RequiresPython(text, release) => {
                write!(f, "Requires-Python `{text}` excludes Python {release}")
            }
            Self::Yanked(true) => f.write_str("it is yanked, so pip uses it only if its version is pinned"),
            Self::Yanked(false) => f.write_str("it is yanked"),
            Self::Interpreter(tags) => write!(f, "this Python does not accept `{tags}`"),
            Self::Arch(arch) => write!(f, "it is for {arch}"),
            Self::System(system) => write!(f, "it is for {system}"),
            Self::Unknown(tag) => write!(f, "no pip accepts the platform tag `{tag}`"),
        }
    }
}
