//! The platform tags that a wheel's binaries allow (PEP 600, PEP 656).

use pydist::tags::Platform;
use serde::Serialize;

use crate::target::{Arch, System, Target};

/// What one binary needs of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needs {
    /// No loader and no library: any Linux.
    AnyLinux(Arch),
    /// glibc of at least this version.
    Glibc(Arch, (u32, u32)),
    /// musl.
    Musl(Arch),
    /// macOS of at least this version; the architectures are as tags name
    /// them, sorted.
    Macos(Vec<&'static str>, (u32, u32)),
}

/// The lowest system that a wheel runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Floor {
    /// `glibc`, `musl`, `linux` (nothing of the system is used) or `macOS`.
    pub system: &'static str,
    /// Major and minor version; none for `linux`.
    pub version: Option<(u32, u32)>,
}

impl std::fmt::Display for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            Some((major, minor)) => write!(f, "{} {major}.{minor}", self.system),
            None => write!(f, "any {}", self.system),
        }
    }
}

/// Why no tag fits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagsError {
    /// Binaries of two kinds.
    #[error("its binaries are of two kinds: {first} in one, {second} in another")]
    Mixed {
        /// What one needs.
        first: String,
        /// What another needs.
        second: String,
    },
    /// Not for the target.
    #[error("its binaries are for {found}, the target is `{target}`")]
    Target {
        /// What the target was to be.
        target: Target,
        /// What the binaries are for.
        found: String,
    },
    /// The binaries need more than was asked for.
    #[error("it needs {floor}, but `{asked}` was asked for")]
    Floor {
        /// What it needs.
        floor: Floor,
        /// The platform asked for.
        asked: String,
    },
    /// The platform asked for is of another system.
    #[error("it runs on {floor}, but `{asked}` was asked for")]
    System {
        /// What it needs.
        floor: Floor,
        /// The platform asked for.
        asked: String,
    },
}

/// Rust's musl targets are linked with musl 1.2; what a binary uses of it
/// cannot be seen in the binary.
const MUSL: (u32, u32) = (1, 2);

/// Takes the needs of all binaries together.
pub(super) fn combine(all: &[Needs]) -> Result<Option<Needs>, TagsError> {
    let mut all = all.iter();
    let Some(first) = all.next() else { return Ok(None) };
    let both = all.try_fold(first.clone(), |first, second| {
        let mixed = || TagsError::Mixed { first: first.to_string(), second: second.to_string() };
        if first.linux() != second.linux() {
            return Err(mixed());
        }
        match (&first, second) {
            (Needs::AnyLinux(_), other) => Ok(other.clone()),
            (_, Needs::AnyLinux(_)) | (Needs::Musl(_), Needs::Musl(_)) => Ok(first),
            (Needs::Glibc(arch, a), Needs::Glibc(_, b)) => Ok(Needs::Glibc(*arch, *a.max(b))),
            (Needs::Macos(archs, a), Needs::Macos(other, b)) => {
                // Together they serve the architectures that both have.
                let common: Vec<_> = archs.iter().copied().filter(|arch| other.contains(arch)).collect();
                if common.is_empty() { Err(mixed()) } else { Ok(Needs::Macos(common, *a.max(b))) }
            }
            _ => Err(mixed()),
        }
    })?;
    Ok(Some(both))
}

impl Needs {
    fn linux(&self) -> Option<Arch> {
        match self {
            Self::AnyLinux(arch) | Self::Glibc(arch, _) | Self::Musl(arch) => Some(*arch),
            Self::Macos(..) => None,
        }
    }

    /// The floor that the tag will state.
    pub(super) fn floor(&self) -> Floor {
        match self {
            Self::AnyLinux(_) => Floor { system: "linux", version: None },
            Self::Glibc(arch, version) => {
                Floor { system: "glibc", version: Some(*version.max(&arch.oldest_glibc())) }
            }
            Self::Musl(_) => Floor { system: "musl", version: Some(MUSL) },
            Self::Macos(archs, version) => {
                Floor { system: "macOS", version: Some(macos_version(archs, *version)) }
            }
        }
    }

    /// Whether a wheel with these needs suits the target.
    pub(super) fn check_target(&self, target: Target) -> Result<(), TagsError> {
        let suits = match self {
            Self::AnyLinux(arch) => target.is_linux() && *arch == target.arch,
            Self::Glibc(arch, _) => target.system == System::Gnu && *arch == target.arch,
            Self::Musl(arch) => target.system == System::Musl && *arch == target.arch,
            Self::Macos(archs, _) => target.system == System::Macos && archs.contains(&target.tag_arch()),
        };
        if suits { Ok(()) } else { Err(TagsError::Target { target, found: self.to_string() }) }
    }

    /// The platform tags, the broadest first.
    pub(super) fn platforms(&self, asked: Option<&Platform>) -> Result<Vec<String>, TagsError> {
        let floor = self.floor();
        let asked_name = |asked: &Platform| asked.to_string().trim_end_matches('_').to_owned();
        let mut tags = match self {
            Self::AnyLinux(arch) => {
                let mut tags = manylinux(*arch, arch.oldest_glibc().max((2, 17)));
                tags.push(Platform::Musllinux { musl: (1, 1), arch: arch.tag().into() }.to_string());
                tags
            }
            Self::Glibc(arch, _) => manylinux(*arch, floor.version.unwrap_or_default()),
            Self::Musl(arch) => vec![Platform::Musllinux { musl: MUSL, arch: arch.tag().into() }.to_string()],
            Self::Macos(archs, _) => {
                let arch = match archs[..] {
                    ["arm64", "x86_64"] => "universal2",
                    ref archs => archs.first().copied().unwrap_or_default(),
                };
                let version = floor.version.unwrap_or_default();
                vec![Platform::Macos { version, arch: arch.into() }.to_string()]
            }
        };
        let Some(asked) = asked else { return Ok(tags) };
        let above = || TagsError::Floor { floor: floor.clone(), asked: asked_name(asked) };
        match (self, asked) {
            (Self::AnyLinux(_), Platform::Manylinux { .. } | Platform::Musllinux { .. }) => {}
            (Self::Glibc(arch, _), Platform::Manylinux { glibc, .. }) => {
                if floor.version > Some(*glibc) {
                    return Err(above());
                }
                tags = manylinux(*arch, *glibc);
            }
            (Self::Musl(arch), Platform::Musllinux { musl, .. }) => {
                if floor.version > Some(*musl) {
                    return Err(above());
                }
                tags = vec![Platform::Musllinux { musl: *musl, arch: arch.tag().into() }.to_string()];
            }
            (Self::Macos(..), Platform::Macos { version, .. }) => {
                if floor.version > Some(*version) {
                    return Err(above());
                }
            }
            _ => return Err(TagsError::System { floor, asked: asked_name(asked) }),
        }
        Ok(tags)
    }
}

impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AnyLinux(arch) => write!(f, "Linux on {}", arch.tag()),
            Self::Glibc(arch, _) => write!(f, "Linux with glibc on {}", arch.tag()),
            Self::Musl(arch) => write!(f, "Linux with musl on {}", arch.tag()),
            Self::Macos(archs, _) => write!(f, "macOS on {}", archs.join(" and ")),
        }
    }
}

/// The tag of PEP 600, and the older name where there is one, for older pips.
fn manylinux(arch: Arch, glibc: (u32, u32)) -> Vec<String> {
    let tag = Platform::Manylinux { glibc, arch: arch.tag().into() }.to_string();
    let old = match glibc {
        (2, 5) => Some("manylinux1"),
        (2, 12) => Some("manylinux2010"),
        (2, 17) => Some("manylinux2014"),
        _ => None,
    };
    let old = old.filter(|_| arch != Arch::Riscv64).map(|old| format!("{old}_{}", arch.tag()));
    std::iter::once(tag).chain(old).collect()
}

/// Installers know no minor versions from macOS 11 on: a minimum of 14.2 is
/// rounded up to 15.0, since 14.0 would promise too much. Apple silicon began
/// with 11.0.
fn macos_version(archs: &[&str], version: (u32, u32)) -> (u32, u32) {
    let lowest = if archs == ["arm64"] { (11, 0) } else { (10, 9) };
    match version.max(lowest) {
        (major, minor) if major >= 11 && minor > 0 => (major + 1, 0),
        version => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_from_needs() {
        let tags = |needs: Needs| needs.platforms(None).unwrap().join(".");
        assert_eq!(tags(Needs::Glibc(Arch::X86_64, (2, 2))), "manylinux_2_5_x86_64.manylinux1_x86_64");
        assert_eq!(tags(Needs::Glibc(Arch::Aarch64, (2, 5))), "manylinux_2_17_aarch64.manylinux2014_aarch64");
        assert_eq!(tags(Needs::Glibc(Arch::X86_64, (2, 34))), "manylinux_2_34_x86_64");
        assert_eq!(tags(Needs::Musl(Arch::Ppc64le)), "musllinux_1_2_ppc64le");
        assert_eq!(
            tags(Needs::AnyLinux(Arch::X86_64)),
            "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64"
        );
        assert_eq!(tags(Needs::Macos(vec!["arm64"], (10, 12))), "macosx_11_0_arm64");
        assert_eq!(tags(Needs::Macos(vec!["arm64", "x86_64"], (10, 12))), "macosx_10_12_universal2");
        assert_eq!(tags(Needs::Macos(vec!["arm64"], (14, 2))), "macosx_15_0_arm64");
    }

    #[test]
    fn a_floor_above_the_request_is_refused() {
        let asked = Platform::Manylinux { glibc: (2, 17), arch: "x86_64".into() };
        let error = Needs::Glibc(Arch::X86_64, (2, 34)).platforms(Some(&asked)).unwrap_err();
        assert_eq!(error.to_string(), "it needs glibc 2.34, but `manylinux_2_17_x86_64` was asked for");
        let tags = Needs::Glibc(Arch::X86_64, (2, 14)).platforms(Some(&asked)).unwrap();
        assert_eq!(tags, ["manylinux_2_17_x86_64", "manylinux2014_x86_64"]);
    }

    #[test]
    fn binaries_are_taken_together() {
        let glibc = |minor| Needs::Glibc(Arch::X86_64, (2, minor));
        assert_eq!(combine(&[glibc(17), Needs::AnyLinux(Arch::X86_64), glibc(28)]), Ok(Some(glibc(28))));
        assert!(combine(&[glibc(17), Needs::Musl(Arch::X86_64)]).is_err());
        assert!(combine(&[glibc(17), Needs::Glibc(Arch::Aarch64, (2, 17))]).is_err());
        assert_eq!(combine(&[]), Ok(None));
    }
}
