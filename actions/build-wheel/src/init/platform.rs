//! Targets, their runners, and their names in other tools.

use pydist::target::{Arch, System, Target};

use crate::compatibility::Compatibility;

/// A target, with the oldest system of its wheels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) target: Target,
    /// The value of `compatibility`; `""` for the default.
    pub(super) compatibility: String,
}

impl Platform {
    /// Parses a Rust target or a platform tag; `None` if the target is unknown, or
    /// for a tag with two targets.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match Target::parse(name) {
            Some(target) => Some(Self { target, compatibility: String::new() }),
            None => match &Self::of_tag(name)[..] {
                [one] => Some(one.clone()),
                _ => None,
            },
        }
    }

    /// The version of the oldest system, if one is given.
    pub(super) fn version(&self) -> Option<(u32, u32)> {
        match Compatibility::parse(&self.compatibility).ok()? {
            Compatibility::Manylinux(version)
            | Compatibility::Musllinux(version)
            | Compatibility::Macos(version) => Some(version),
        }
    }

    /// The platforms of a tag: `universal2` has two.
    pub(super) fn of_tag(tag: &str) -> Vec<Self> {
        use pydist::tags::Platform as Tag;
        let (system, archs, floor) = match Tag::parse(tag) {
            Tag::Manylinux { glibc, arch } => (System::Gnu, vec![arch], Compatibility::Manylinux(glibc)),
            // Rust links with musl 1.2.
            Tag::Musllinux { musl, arch } => {
                (System::Musl, vec![arch], Compatibility::Musllinux(musl.max((1, 2))))
            }
            Tag::Macos { version, arch } if arch == "universal2" => {
                (System::Macos, vec!["x86_64".into(), "arm64".into()], Compatibility::Macos(version))
            }
            Tag::Macos { version, arch } => (System::Macos, vec![arch], Compatibility::Macos(version)),
            Tag::Windows { arch } => {
                let target = targets(&arch, "windows-latest", false).ok();
                let platform = |target| Self { target, compatibility: String::new() };
                return target.into_iter().flatten().map(platform).collect();
            }
            _ => return Vec::new(),
        };
        let platform = |arch: &String| {
            let runner = if system == System::Macos { "macos-latest" } else { "ubuntu-latest" };
            let target = *targets(arch, runner, system == System::Musl).ok()?.first()?;
            let floor = match floor {
                // Apple silicon has no older system.
                Compatibility::Macos(version) if target.arch == Arch::Aarch64 => {
                    Compatibility::Macos(version.max((11, 0)))
                }
                other => other,
            };
            Some(Self { target, compatibility: floor.to_string() })
        };
        archs.iter().filter_map(platform).collect()
    }
}

/// The operating system of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunnerSystem {
    Linux,
    Macos,
    Windows,
}

/// The default targets of a new project.
pub(super) const COMMON: [&str; 9] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "i686-unknown-linux-gnu",
    "armv7-unknown-linux-gnueabihf",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
];

impl RunnerSystem {
    /// Derives the system from a runner's label.
    pub(super) fn of(label: &str) -> Self {
        let label = label.to_ascii_lowercase();
        if label.contains("macos") || label.contains("mac-") {
            Self::Macos
        } else if label.contains("windows") || label.starts_with("win") {
            Self::Windows
        } else {
            Self::Linux
        }
    }
}

/// The architecture of a runner, from its label.
pub(super) fn runner_arch(label: &str) -> Arch {
    let label = label.to_ascii_lowercase();
    let is_arm = match RunnerSystem::of(&label) {
        // GitHub's Intel images are macos-13 and older, or have `intel` or `large` in their name.
        RunnerSystem::Macos => {
            !["intel", "large", "macos-10", "macos-11", "macos-12", "macos-13"]
                .iter()
                .any(|text| label.contains(text))
                || label.contains("xlarge")
        }
        _ => label.contains("arm") || label.contains("aarch64"),
    };
    if is_arm { Arch::Aarch64 } else { Arch::X86_64 }
}

/// GitHub's runner that can run the target's binaries, or else one that can build
/// them.
pub(super) fn runner(target: Target) -> &'static str {
    match (target.system, target.arch) {
        (System::Macos, Arch::Aarch64) => "macos-15",
        (System::Macos, _) => "macos-15-intel",
        (System::Msvc | System::Mingw, Arch::Aarch64) => "windows-11-arm",
        (System::Msvc | System::Mingw, _) => "windows-latest",
        (_, Arch::Aarch64) => "ubuntu-24.04-arm",
        _ => "ubuntu-latest",
    }
}

/// Whether a runner can run the target's binaries.
pub(super) fn is_native(target: Target, runner: &str) -> bool {
    let system = match target.system {
        System::Macos => RunnerSystem::Macos,
        System::Gnu => RunnerSystem::Linux,
        // GitHub's images have glibc.
        System::Musl => return false,
        // Windows on x86-64 also runs x86 programs.
        System::Msvc | System::Mingw => {
            let arch = if target.arch == Arch::I686 { Arch::X86_64 } else { target.arch };
            return RunnerSystem::of(runner) == RunnerSystem::Windows && runner_arch(runner) == arch;
        }
    };
    RunnerSystem::of(runner) == system && runner_arch(runner) == target.arch
}

/// The targets with this name in maturin-action. The error names what cannot be
/// built.
pub(super) fn targets(name: &str, runner: &str, is_musl: bool) -> Result<Vec<Target>, String> {
    let system = RunnerSystem::of(runner);
    let linux = if is_musl { System::Musl } else { System::Gnu };
    if name.starts_with("universal2") {
        let of = |arch| Target { arch, system: System::Macos };
        return Ok(vec![of(Arch::X86_64), of(Arch::Aarch64)]);
    }
    if name.contains('-') {
        return Target::parse(name).map(|target| vec![target]).ok_or_else(|| format!("the target `{name}`"));
    }
    let arch = match name {
        "" | "auto" | "auto64" | "native" => runner_arch(runner),
        name => Arch::from_short_name(name).ok_or_else(|| format!("the target `{name}`"))?,
    };
    let system = match system {
        RunnerSystem::Linux => linux,
        RunnerSystem::Macos => System::Macos,
        RunnerSystem::Windows => System::Msvc,
    };
    let target = Target { arch, system };
    if target.triple() == "unknown" {
        Err(format!("the target `{name}` on {runner}"))
    } else {
        Ok(vec![target])
    }
}

/// The pattern of the target's platform tags, for `matrix` of verify-dist.
pub(super) fn tag_pattern(target: Target) -> String {
    let family = match target.system {
        System::Msvc | System::Mingw if target.arch == Arch::I686 => return "win32".to_owned(),
        System::Msvc | System::Mingw => "win",
        System::Gnu | System::Musl if target.arch == Arch::Armv6l => "linux",
        System::Gnu => "manylinux*",
        System::Musl => "musllinux*",
        System::Macos => "macosx_*",
    };
    format!("{family}_{}", target.tag_arch())
}

/// An environment that accepts the target's wheels with this floor, for `require` of
/// verify-dist; `None` if it knows none.
pub(super) fn environment(target: Target, floor: Option<Compatibility>) -> Option<String> {
    let system = match (target.system, floor) {
        _ if target.arch == Arch::Armv6l => return None,
        (System::Gnu, Some(Compatibility::Manylinux(glibc))) if glibc > (2, 36) => return None,
        (System::Gnu, Some(Compatibility::Manylinux(glibc))) if glibc > (2, 31) => "debian-12",
        (System::Gnu, _) => match target.arch {
            Arch::Riscv64 => "debian-13",
            Arch::Loongarch64 => return None,
            _ => "debian-11",
        },
        (System::Musl, _) => match target.arch {
            Arch::Loongarch64 => return None,
            _ => "alpine-3.20",
        },
        (System::Macos, Some(Compatibility::Macos(version))) if version > (15, 0) => return None,
        (System::Macos, _) => "macos-15",
        (System::Msvc | System::Mingw, _) => "windows",
    };
    Some(format!("{system} {}", target.tag_arch()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_target_names_of_other_tools() {
        let names = |name: &str, runner: &str, is_musl: bool| {
            targets(name, runner, is_musl)
                .map(|found| found.iter().map(|target| target.triple()).collect::<Vec<_>>())
        };
        for (name, runner, is_musl, expected) in [
            ("x86_64", "ubuntu-latest", false, "x86_64-unknown-linux-gnu"),
            ("x86", "ubuntu-22.04", true, "i686-unknown-linux-musl"),
            ("armv7", "ubuntu-22.04", false, "armv7-unknown-linux-gnueabihf"),
            ("armv6", "ubuntu-22.04", false, "arm-unknown-linux-gnueabihf"),
            ("", "ubuntu-24.04-arm", false, "aarch64-unknown-linux-gnu"),
            ("", "macos-13", false, "x86_64-apple-darwin"),
            ("", "macos-latest", false, "aarch64-apple-darwin"),
            ("aarch64", "macos-13", false, "aarch64-apple-darwin"),
            ("s390x-unknown-linux-gnu", "ubuntu-latest", false, "s390x-unknown-linux-gnu"),
        ] {
            assert_eq!(names(name, runner, is_musl), Ok(vec![expected]), "{name} {runner}");
        }
        assert_eq!(names("universal2", "macos-14", false).unwrap().len(), 2);
        assert_eq!(names("x64", "windows-latest", false), Ok(vec!["x86_64-pc-windows-msvc"]));
        assert_eq!(names("", "windows-11-arm", false), Ok(vec!["aarch64-pc-windows-msvc"]));
        assert_eq!(
            names("wasm32-unknown-emscripten", "ubuntu-latest", false).unwrap_err(),
            "the target `wasm32-unknown-emscripten`"
        );
    }

    #[test]
    fn parses_platform_tags_as_targets_with_a_floor() {
        let of = |tag: &str| {
            let all = Platform::of_tag(tag).into_iter();
            all.map(|found| format!("{} {}", found.target.triple(), found.compatibility)).collect::<Vec<_>>()
        };
        for (tag, expected) in [
            ("manylinux2014_x86_64", &["x86_64-unknown-linux-gnu manylinux_2_17"][..]),
            ("manylinux_2_28_armv7l", &["armv7-unknown-linux-gnueabihf manylinux_2_28"]),
            ("manylinux_2_31_riscv64", &["riscv64gc-unknown-linux-gnu manylinux_2_31"]),
            ("musllinux_1_1_i686", &["i686-unknown-linux-musl musllinux_1_2"]),
            ("macosx_11_0_arm64", &["aarch64-apple-darwin macosx_11_0"]),
            (
                "macosx_10_12_universal2",
                &["x86_64-apple-darwin macosx_10_12", "aarch64-apple-darwin macosx_11_0"],
            ),
            ("win_amd64", &["x86_64-pc-windows-msvc "]),
            ("win32", &["i686-pc-windows-msvc "]),
            ("win_arm64", &["aarch64-pc-windows-msvc "]),
            ("linux_armv6l", &[]),
            ("any", &[]),
        ] {
            assert_eq!(of(tag), expected, "{tag}");
        }
        assert_eq!(Platform::parse("x86_64-apple-darwin").unwrap().compatibility, "");
        assert_eq!(Platform::parse("macosx_11_0_universal2"), None, "one wheel is for one of them");
    }

    #[test]
    fn verify_dist_knows_every_environment() {
        for target in Target::all() {
            let Some(environment) = environment(target, None) else {
                assert!(!COMMON.contains(&target.triple()), "{target}");
                continue;
            };
            let text = format!("{environment} cp313");
            assert!(text.parse::<installs::require::Requirement>().is_ok(), "{text}");
        }
    }
}
