//! The build target: one whose wheels are repaired, universal2, or one that only maturin
//! supports.

use std::fmt;

use pydist::target::{Arch, System, Target};
use serde::{Serialize, Serializer};

/// maturin's name of both kinds of Mac.
const UNIVERSAL2: &str = "universal2-apple-darwin";

/// The prefixes of the other Rust targets that maturin supports.
const ARCHS: [&str; 24] = [
    "aarch64",
    "aarch64_be",
    "arm",
    "arm64ec",
    "armv5te",
    "armv6",
    "armv7",
    "i586",
    "i686",
    "loongarch64",
    "mips64el",
    "mipsel",
    "powerpc",
    "powerpc64",
    "powerpc64le",
    "riscv32gc",
    "riscv64a23",
    "riscv64gc",
    "s390x",
    "sparc64",
    "sparcv9",
    "thumbv7neon",
    "wasm32",
    "x86_64",
];

/// The target of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildTarget {
    /// A target whose binaries are repaired and tagged.
    Known(Target),
    /// Both kinds of Mac, in one wheel.
    Universal2,
    /// A Rust target whose wheels cannot be repaired: maturin builds and tags them, and they
    /// are only checked.
    Other(String),
}

impl BuildTarget {
    /// Parses a Rust target, or a short name as in maturin-action, which is for
    /// `system`.
    pub fn parse(name: &str, system: System) -> Result<Self, String> {
        if let Some(target) = Target::parse(name) {
            return Ok(Self::Known(target));
        }
        if name == "universal2" || name == UNIVERSAL2 {
            return Ok(Self::Universal2);
        }
        if let Some(arch) = Arch::from_short_name(name) {
            let target = Target { arch, system };
            return match target.triple() {
                "unknown" => Err(format!("`{name}` is not a target for {}", system.name())),
                _ => Ok(Self::Known(target)),
            };
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_of_maturin = ARCHS.iter().any(|arch| name.starts_with(&format!("{arch}-")));
        match name.matches('-').count() {
            1..=4 if name.chars().all(is_plain) && is_of_maturin => Ok(Self::Other(name.to_owned())),
            _ => {
                let known: Vec<&str> = Target::all().map(Target::triple).chain([UNIVERSAL2]).collect();
                Err(format!(
                    "unsupported target `{name}`; expected a short name such as `aarch64`, another Rust target that maturin supports, or one of {}",
                    known.join(", ")
                ))
            }
        }
    }

    /// The target, if its wheels can be repaired.
    pub fn known(&self) -> Option<Target> {
        match self {
            Self::Known(target) => Some(*target),
            Self::Universal2 | Self::Other(_) => None,
        }
    }

    /// The name for maturin.
    pub fn name(&self) -> &str {
        match self {
            Self::Known(target) => target.triple(),
            Self::Universal2 => UNIVERSAL2,
            Self::Other(triple) => triple,
        }
    }

    /// The Rust targets that are compiled for it.
    pub fn triples(&self) -> Vec<&str> {
        match self {
            Self::Universal2 => vec!["x86_64-apple-darwin", "aarch64-apple-darwin"],
            other => vec![other.name()],
        }
    }

    /// Whether it is for Windows.
    pub fn is_windows(&self) -> bool {
        self.known().is_some_and(Target::is_windows)
    }

    /// Whether it is for Macs.
    pub fn is_macos(&self) -> bool {
        matches!(self, Self::Universal2 | Self::Known(Target { system: System::Macos, .. }))
    }
}

impl fmt::Display for BuildTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for BuildTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_for_the_given_system() {
        let of = |name: &str, system| BuildTarget::parse(name, system).map(|target| target.name().to_owned());
        for (name, system, triple) in [
            ("x86_64", System::Gnu, "x86_64-unknown-linux-gnu"),
            ("x86", System::Musl, "i686-unknown-linux-musl"),
            ("armv7", System::Gnu, "armv7-unknown-linux-gnueabihf"),
            ("armv6", System::Musl, "arm-unknown-linux-musleabihf"),
            ("aarch64", System::Macos, "aarch64-apple-darwin"),
            ("universal2", System::Gnu, "universal2-apple-darwin"),
            ("aarch64-apple-ios", System::Gnu, "aarch64-apple-ios"),
            ("x64", System::Msvc, "x86_64-pc-windows-msvc"),
            ("x86", System::Msvc, "i686-pc-windows-msvc"),
            ("x86_64-pc-windows-gnu", System::Gnu, "x86_64-pc-windows-gnu"),
            ("s390x-unknown-linux-gnu", System::Macos, "s390x-unknown-linux-gnu"),
        ] {
            assert_eq!(of(name, system).as_deref(), Ok(triple), "{name}");
        }
        for (name, system) in [
            ("pdp11", System::Gnu),
            ("s390x", System::Macos),
            ("x86_64-b c", System::Gnu),
            ("-x-y", System::Gnu),
        ] {
            assert!(of(name, system).unwrap_err().contains(name), "{name}");
        }
        assert_eq!(BuildTarget::Universal2.triples().len(), 2);
    }

    #[test]
    fn the_error_lists_every_target() {
        let error = BuildTarget::parse("pdp11", System::Gnu).unwrap_err();
        let expected = error.split_once("or one of ").unwrap().1;
        let listed: Vec<&str> = expected.split(", ").collect();
        assert_eq!(listed.len(), Target::all().count() + 1);
        assert!(listed.contains(&"arm-unknown-linux-gnueabihf") && listed.contains(&UNIVERSAL2));
        assert!(listed.iter().all(|name| BuildTarget::parse(name, System::Gnu).is_ok()));
    }
}
