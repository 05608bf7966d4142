//! The coverage of a release: systems, their oldest versions, and Pythons.

use std::collections::{BTreeMap, BTreeSet};

use pydist::policy::{self, Version};
use pydist::tags::{Platform, Tag, TagSet};

/// The systems that the platform tags cover, without versions: `macosx arm64`.
pub fn systems(tags: &TagSet) -> impl Iterator<Item = String> {
    tags.platforms().flat_map(|platform| floors(&platform)).map(|(system, _)| system)
}

/// The oldest version of a system.
type Floor = Option<Version>;

fn floors(platform: &Platform) -> Vec<(String, Floor)> {
    match platform {
        Platform::Any => vec![("any".to_owned(), None)],
        Platform::Linux { arch } => vec![(format!("manylinux {arch}"), None)],
        Platform::Manylinux { arch, glibc } => vec![(format!("manylinux {arch}"), Some(*glibc))],
        Platform::Musllinux { arch, musl } => vec![(format!("musllinux {arch}"), Some(*musl))],
        Platform::Macos { arch, version } => match policy::macos_archs(arch) {
            [] => vec![(format!("macosx {arch}"), Some(*version))],
            archs => archs.iter().map(|arch| (format!("macosx {arch}"), Some(*version))).collect(),
        },
        Platform::Windows { arch } => vec![(format!("windows {arch}"), None)],
        Platform::Other(tag) => vec![(tag.clone(), None)],
    }
}

/// The interpreters that a tag serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pythons {
    /// Every Python 3.
    All,
    /// This CPython 3 and later ones (the stable ABI).
    From(u32),
    /// One: `cp312`, `cp313t`, `pp310`.
    One(String),
}

impl Pythons {
    pub(crate) fn of(tag: &Tag) -> Self {
        let minor = || tag.python.strip_prefix("cp3").and_then(|minor| minor.parse().ok());
        match tag.abi.as_str() {
            "none" if tag.python.starts_with("py") => Self::All,
            "abi3" => minor().map_or_else(|| Self::One(tag.python.clone()), Self::From),
            abi if abi.starts_with("cp") => Self::One(abi.to_owned()),
            _ => Self::One(tag.python.clone()),
        }
    }

    /// Whether whoever was served by `other` is served by this, too.
    fn serves(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::From(low), Self::From(other)) => low <= other,
            (Self::From(low), Self::One(one)) => one
                .strip_prefix("cp3")
                .and_then(|minor| minor.parse().ok())
                .is_some_and(|minor: u32| *low <= minor),
            (own, other) => own == other,
        }
    }

    /// The CPython 3 that it is for, if it is one.
    pub(crate) fn minor(&self) -> Option<u64> {
        match self {
            Self::One(one) => one.strip_prefix("cp3")?.trim_end_matches('t').parse().ok(),
            _ => None,
        }
    }
}

/// What the wheels of a release serve.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// System → its oldest version, by the wheel that asks for least.
    floors: BTreeMap<String, Floor>,
    pythons: BTreeMap<String, BTreeSet<Pythons>>,
}

impl Coverage {
    pub(crate) fn of<'a>(wheels: impl Iterator<Item = &'a TagSet>) -> Self {
        let mut coverage = Self::default();
        for tags in wheels {
            for tag in tags.expand() {
                for (system, floor) in floors(&Platform::parse(&tag.platform)) {
                    let known = coverage.floors.entry(system.clone()).or_insert(floor);
                    *known = (*known).min(floor);
                    coverage.pythons.entry(system).or_default().insert(Pythons::of(&tag));
                }
            }
        }
        coverage
    }

    /// The systems that `before` had.
    pub(crate) fn lost_systems<'b>(&self, before: &'b Self) -> Vec<&'b String> {
        // A wheel for any platform serves all.
        before.floors.keys().filter(|system| !self.floors.contains_key("any") && !self.has(system)).collect()
    }

    fn has(&self, system: &str) -> bool {
        self.floors.contains_key(system)
    }

    /// System, floor of before, floor of now, where it rose.
    pub(crate) fn raised<'b>(&self, before: &'b Self) -> Vec<(&'b String, Version, Version)> {
        let raised = |(system, old): (&'b String, &Floor)| {
            let (old, new) = ((*old)?, (*self.floors.get(system)?)?);
            (new > old && !self.has("any")).then_some((system, old, new))
        };
        before.floors.iter().filter_map(raised).collect()
    }

    /// Systems that are left, with the Pythons that lost their wheels there.
    pub(crate) fn lost_pythons<'b>(&self, before: &'b Self) -> Vec<(&'b String, Vec<&'b Pythons>)> {
        let lost = |(system, had): (&'b String, &'b BTreeSet<Pythons>)| {
            let here = [system.as_str(), "any"];
            let has: Vec<&Pythons> =
                here.iter().filter_map(|system| self.pythons.get(*system)).flatten().collect();
            let lost: Vec<&Pythons> =
                had.iter().filter(|old| !has.iter().any(|new| new.serves(old))).collect();
            (!has.is_empty() && !lost.is_empty()).then_some((system, lost))
        };
        before.pythons.iter().filter_map(lost).collect()
    }
}

impl std::fmt::Display for Pythons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("every Python 3"),
            Self::From(minor) => write!(f, "CPython 3.{minor} and later (abi3)"),
            Self::One(one) => f.write_str(one),
        }
    }
}
