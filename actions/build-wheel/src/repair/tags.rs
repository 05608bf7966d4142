//! The platform tags that a wheel's binaries allow (PEP 600, PEP 656).

use std::collections::BTreeSet;

use pydist::policy;
use pydist::tags::{Platform, legacy_manylinux};
use pydist::target::{Arch, System, Target};
use serde::Serialize;

use crate::build_target::BuildTarget;
use crate::compatibility::{Compatibility, macos_tag_version};

use super::foreign::BinaryKind;

/// The system requirements of a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Needs {
    /// Any Linux: it has no loader and no library.
    AnyLinux(Arch),
    /// glibc of at least this version.
    Glibc(Arch, (u32, u32)),
    /// musl.
    Musl(Arch),
    /// macOS of at least this version; the architectures are named as in tags,
    /// sorted and deduplicated.
    Macos(Vec<&'static str>, (u32, u32)),
}

/// The oldest system that a wheel runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Floor {
    /// `glibc`, `musl`, `linux` (no system library is used) or `macOS`.
    pub system: &'static str,
    /// Major and minor version; `None` for `linux`.
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

/// Why no platform tag matches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagsError {
    /// The binaries are for two platforms.
    #[error("its binaries are for two platforms: {first} and {second}")]
    Mixed {
        /// The platform of one.
        first: String,
        /// The platform of another.
        second: String,
    },
    /// The binaries are not for the target.
    #[error("its binaries are for {found}, but the target is `{target}`")]
    Target {
        /// The expected target.
        target: BuildTarget,
        /// What the binaries are for.
        found: String,
    },
    /// The binaries need a newer system than requested.
    #[error("it needs {floor}, but `{requested}` was requested")]
    Floor {
        /// The oldest system it runs on.
        floor: Floor,
        /// The requested platform.
        requested: Compatibility,
    },
    /// The tags name several systems or machines, and one of them cannot be kept.
    #[error("its tag `{tags}` names several platforms, but {reason}")]
    Several {
        /// The platform tags.
        tags: String,
        /// Why they cannot be kept.
        reason: String,
    },
    /// The requested platform is for another system.
    #[error("it runs on {floor}, but `{requested}` was requested")]
    System {
        /// The oldest system it runs on.
        floor: Floor,
        /// The requested platform.
        requested: Compatibility,
    },
}

/// Rust links musl targets with musl 1.2. Binaries have no symbol versions from
/// which to determine an older one.
pub(super) const MUSL: (u32, u32) = (1, 2);

/// Combines the requirements of all binaries.
pub(super) fn combine(all: &[Needs]) -> Result<Option<Needs>, TagsError> {
    let mut all = all.iter();
    let Some(first) = all.next() else { return Ok(None) };
    let combined = all.try_fold(first.clone(), |first, second| {
        let mixed = || TagsError::Mixed { first: first.to_string(), second: second.to_string() };
        if first.linux() != second.linux() {
            return Err(mixed());
        }
        match (&first, second) {
            (Needs::AnyLinux(_), other) => Ok(other.clone()),
            (_, Needs::AnyLinux(_)) | (Needs::Musl(_), Needs::Musl(_)) => Ok(first),
            (Needs::Glibc(arch, a), Needs::Glibc(_, b)) => Ok(Needs::Glibc(*arch, *a.max(b))),
            (Needs::Macos(archs, a), Needs::Macos(other, b)) => {
                // Together they support the architectures that both have.
                let common: Vec<_> = archs.iter().copied().filter(|arch| other.contains(arch)).collect();
                if common.is_empty() { Err(mixed()) } else { Ok(Needs::Macos(common, *a.max(b))) }
            }
            _ => Err(mixed()),
        }
    })?;
    Ok(Some(combined))
}

/// The oldest manylinux policy that allows `glibc` and that Rust still supports.
/// Old installers know only the policies' names, not the versions between them.
pub(super) fn policy_version(arch: Arch, glibc: (u32, u32)) -> (u32, u32) {
    let minimum = glibc.max(arch.oldest_glibc());
    let mut policies = policy::linux().iter().filter(|policy| {
        policy.family == "manylinux"
            && policy.symbol_versions.contains_key(arch.machine())
            && policy.version >= minimum
    });
    // A glibc that is newer than all known policies.
    policies.next().map_or(minimum, |policy| policy.version)
}

/// What a tag is for: installers of one never load the binaries of another.
fn system_and_machine(tag: &str) -> String {
    let platform = Platform::parse(tag);
    let machine =
        |arch: &str| Arch::from_tag(arch).map_or_else(|| arch.to_owned(), |arch| arch.machine().to_owned());
    match &platform {
        Platform::Linux { arch } | Platform::Manylinux { arch, .. } | Platform::Musllinux { arch, .. } => {
            format!("Linux on {}", machine(arch))
        }
        Platform::Macos { .. } => "macOS".to_owned(),
        _ => format!("`{platform}`"),
    }
}

/// Whether the tags of a wheel name several systems or machines. A repair would set the tags of
/// one of them, so such a wheel is not repaired, and must need no repair.
pub(super) fn are_several(tags: &[String]) -> bool {
    let mut systems = tags.iter().map(|tag| system_and_machine(tag));
    let first = systems.next();
    systems.any(|system| Some(system) != first)
}

/// Checks the tags of a wheel for several platforms, which has binaries for `present`.
pub(super) fn check_several(tags: &[String], present: &BTreeSet<String>) -> Result<(), TagsError> {
    let error = |reason| TagsError::Several { tags: tags.join("."), reason };
    for tag in tags {
        let platform = Platform::parse(tag);
        if matches!(&platform, Platform::Linux { arch } if !["armv6l", "armv7l"].contains(&arch.as_str())) {
            return Err(error(format!("`{tag}` must be replaced: build one wheel for each platform")));
        }
        let system = system_and_machine(tag);
        if !matches!(platform, Platform::Any | Platform::Windows { .. } | Platform::Other(_))
            && !present.contains(&system)
        {
            return Err(error(format!("it has no binary for {system}")));
        }
    }
    Ok(())
}

/// The platforms of binaries, as [`check_several`] names them.
pub(super) fn platforms_of<'b>(binaries: impl Iterator<Item = &'b BinaryKind>) -> BTreeSet<String> {
    binaries
        .filter_map(|kind| match kind {
            BinaryKind::Elf(arch) => Some(format!("Linux on {}", arch.as_ref()?.machine())),
            BinaryKind::MachO => Some("macOS".to_owned()),
        })
        .collect()
}

/// Whether a wheel that was built for Windows has the tag of its target.
pub(super) fn check_windows(target: &BuildTarget, tags: &[String]) -> Result<(), TagsError> {
    let arch = target.known().map(Target::tag_arch);
    let is_for = |tag: &String| matches!(Platform::parse(tag), Platform::Windows { arch: tag_arch } if Some(tag_arch.as_str()) == arch);
    if tags.iter().all(is_for) {
        Ok(())
    } else {
        Err(TagsError::Target { target: target.clone(), found: format!("`{}`", tags.join(".")) })
    }
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
                Floor { system: "glibc", version: Some(policy_version(*arch, *version)) }
            }
            Self::Musl(_) => Floor { system: "musl", version: Some(MUSL) },
            Self::Macos(archs, version) => {
                Floor { system: "macOS", version: Some(macos_version(archs, *version)) }
            }
        }
    }

    /// Checks that a wheel with these requirements is for the target.
    pub(super) fn check_target(&self, target: &BuildTarget) -> Result<(), TagsError> {
        let is_for = |target: Target| match self {
            Self::AnyLinux(arch) => target.is_linux() && *arch == target.arch,
            Self::Glibc(arch, _) => target.system == System::Gnu && *arch == target.arch,
            Self::Musl(arch) => target.system == System::Musl && *arch == target.arch,
            Self::Macos(archs, _) => target.system == System::Macos && archs.contains(&target.tag_arch()),
        };
        let suits = match target {
            BuildTarget::Known(target) => is_for(*target),
            BuildTarget::Universal2 => [Arch::X86_64, Arch::Aarch64]
                .into_iter()
                .all(|arch| is_for(Target { arch, system: System::Macos })),
            BuildTarget::Other(_) => true,
        };
        if suits {
            Ok(())
        } else {
            Err(TagsError::Target { target: target.clone(), found: self.to_string() })
        }
    }

    /// The same requirements for Armv6.
    pub(super) fn for_armv6(self) -> Self {
        let with_armv6 = |arch| if arch == Arch::Armv7l { Arch::Armv6l } else { arch };
        match self {
            Self::AnyLinux(arch) => Self::AnyLinux(with_armv6(arch)),
            Self::Glibc(arch, version) => Self::Glibc(with_armv6(arch), version),
            Self::Musl(arch) => Self::Musl(with_armv6(arch)),
            Self::Macos(..) => self,
        }
    }

    /// The platform tags, the broadest first.
    pub(super) fn platforms(&self, requested: Option<Compatibility>) -> Result<Vec<String>, TagsError> {
        let floor = self.floor();
        if let Some(requested) = requested {
            return self.requested_platforms(floor, requested);
        }
        Ok(match self {
            Self::AnyLinux(arch) => {
                let mut tags = manylinux(*arch, policy_version(*arch, (2, 0)));
                tags.push(musllinux(*arch, (1, 1)));
                tags
            }
            Self::Glibc(arch, _) => manylinux(*arch, floor.version.unwrap_or_default()),
            Self::Musl(arch) => vec![musllinux(*arch, MUSL)],
            Self::Macos(archs, _) => vec![macosx(archs, floor.version.unwrap_or_default())],
        })
    }

    fn requested_platforms(&self, floor: Floor, requested: Compatibility) -> Result<Vec<String>, TagsError> {
        let above = |version: (u32, u32)| floor.version > Some(version);
        let tags = match (self, requested) {
            (Self::AnyLinux(arch), Compatibility::Manylinux(version)) => manylinux(*arch, version),
            (Self::AnyLinux(arch), Compatibility::Musllinux(version)) => vec![musllinux(*arch, version)],
            // The actual requirement counts, not that of the next policy.
            (Self::Glibc(arch, needed), Compatibility::Manylinux(version)) if *needed <= version => {
                manylinux(*arch, version)
            }
            (Self::Musl(arch), Compatibility::Musllinux(version)) if !above(version) => {
                vec![musllinux(*arch, version)]
            }
            (Self::Macos(archs, _), Compatibility::Macos(version)) if !above(version) => {
                vec![macosx(archs, version)]
            }
            (Self::Glibc(..), Compatibility::Manylinux(_))
            | (Self::Musl(_), Compatibility::Musllinux(_))
            | (Self::Macos(..), Compatibility::Macos(_)) => {
                return Err(TagsError::Floor { floor, requested });
            }
            _ => return Err(TagsError::System { floor, requested }),
        };
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

/// The tag of PEP 600, and its older alias if there is one, for older pips.
fn manylinux(arch: Arch, glibc: (u32, u32)) -> Vec<String> {
    if arch == Arch::Armv6l {
        // No policy and no installer has manylinux for it; PyPI accepts this tag.
        return vec![format!("linux_{}", arch.tag())];
    }
    let tag = Platform::Manylinux { glibc, arch: arch.tag().into() }.to_string();
    let legacy = legacy_manylinux(glibc, arch.tag()).map(|name| format!("{name}_{}", arch.tag()));
    std::iter::once(tag).chain(legacy).collect()
}

fn musllinux(arch: Arch, musl: (u32, u32)) -> String {
    Platform::Musllinux { musl, arch: arch.tag().into() }.to_string()
}

fn macosx(archs: &[&str], version: (u32, u32)) -> String {
    let arch = match archs {
        ["arm64", "x86_64"] => "universal2",
        archs => archs.first().copied().unwrap_or_default(),
    };
    Platform::Macos { version, arch: arch.into() }.to_string()
}

/// A minimum of 14.2 becomes 14.0, as in delocate. Apple silicon requires at least 11.0.
fn macos_version(archs: &[&str], version: (u32, u32)) -> (u32, u32) {
    let lowest = if archs == ["arm64"] { (11, 0) } else { (10, 9) };
    macos_tag_version(version.max(lowest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_tags_from_requirements() {
        let tags = |needs: Needs| needs.platforms(None).unwrap().join(".");
        let oldest = "manylinux_2_17_x86_64.manylinux2014_x86_64";
        for minor in [2, 5, 14, 16, 17] {
            assert_eq!(tags(Needs::Glibc(Arch::X86_64, (2, minor))), oldest, "2.{minor}");
        }
        assert_eq!(tags(Needs::Glibc(Arch::Aarch64, (2, 5))), "manylinux_2_17_aarch64.manylinux2014_aarch64");
        assert_eq!(tags(Needs::Glibc(Arch::X86_64, (2, 18))), "manylinux_2_24_x86_64");
        assert_eq!(tags(Needs::Glibc(Arch::X86_64, (2, 29))), "manylinux_2_31_x86_64");
        assert_eq!(tags(Needs::Glibc(Arch::X86_64, (2, 33))), "manylinux_2_34_x86_64");
        assert_eq!(tags(Needs::Glibc(Arch::Riscv64, (2, 27))), "manylinux_2_31_riscv64");
        assert_eq!(tags(Needs::Glibc(Arch::X86_64, (2, 99))), "manylinux_2_99_x86_64");
        assert_eq!(tags(Needs::Musl(Arch::Ppc64le)), "musllinux_1_2_ppc64le");
        assert_eq!(
            tags(Needs::AnyLinux(Arch::X86_64)),
            "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64"
        );
        assert_eq!(tags(Needs::Glibc(Arch::Armv7l, (2, 5)).for_armv6()), "linux_armv6l");
        assert_eq!(tags(Needs::Musl(Arch::Armv7l).for_armv6()), "musllinux_1_2_armv6l");
        assert_eq!(tags(Needs::Macos(vec!["arm64"], (10, 12))), "macosx_11_0_arm64");
        assert_eq!(tags(Needs::Macos(vec!["arm64", "x86_64"], (10, 12))), "macosx_10_12_universal2");
        assert_eq!(tags(Needs::Macos(vec!["arm64"], (14, 2))), "macosx_14_0_arm64");
    }

    #[test]
    fn rejects_a_floor_above_the_request() {
        let requested = |minor| Compatibility::Manylinux((2, minor));
        let error = Needs::Glibc(Arch::X86_64, (2, 34)).platforms(Some(requested(17))).unwrap_err();
        assert_eq!(error.to_string(), "it needs glibc 2.34, but `manylinux_2_17` was requested");
        let tags = Needs::Glibc(Arch::X86_64, (2, 14)).platforms(Some(requested(17))).unwrap();
        assert_eq!(tags, ["manylinux_2_17_x86_64", "manylinux2014_x86_64"]);
        let tags = Needs::Glibc(Arch::X86_64, (2, 30)).platforms(Some(requested(30))).unwrap();
        assert_eq!(tags, ["manylinux_2_30_x86_64"]);
        let error = Needs::Musl(Arch::X86_64).platforms(Some(requested(17))).unwrap_err();
        assert_eq!(error.to_string(), "it runs on musl 1.2, but `manylinux_2_17` was requested");
    }

    #[test]
    fn combines_the_requirements_of_all_binaries() {
        let glibc = |minor| Needs::Glibc(Arch::X86_64, (2, minor));
        assert_eq!(combine(&[glibc(17), Needs::AnyLinux(Arch::X86_64), glibc(28)]), Ok(Some(glibc(28))));
        assert!(combine(&[glibc(17), Needs::Musl(Arch::X86_64)]).is_err());
        assert!(combine(&[glibc(17), Needs::Glibc(Arch::Aarch64, (2, 17))]).is_err());
        assert_eq!(combine(&[]), Ok(None));
    }
}
