//! The machines that build for a target, and how others name the target.

use crate::compatibility::Compatibility;
use crate::target::{Arch, System, Target};

/// The operating system of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunnerSystem {
    Linux,
    Macos,
    Windows,
}

/// The targets of a project of which nothing is known.
pub(super) const COMMON: [&str; 8] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "i686-unknown-linux-gnu",
    "armv7-unknown-linux-gnueabihf",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
];

impl RunnerSystem {
    /// Of a runner's label.
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

/// The processor of a runner, as its label shows it.
pub(super) fn runner_arch(label: &str) -> Arch {
    let label = label.to_ascii_lowercase();
    let is_arm = match RunnerSystem::of(&label) {
        // GitHub's Intel images were macos-13 and older, and are called so now.
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

/// GitHub's runner that starts what is built for the target, or else one that
/// builds for it.
pub(super) fn runner(target: Target) -> &'static str {
    match (target.system, target.arch) {
        (System::Macos, Arch::Aarch64) => "macos-15",
        (System::Macos, _) => "macos-15-intel",
        (_, Arch::Aarch64) => "ubuntu-24.04-arm",
        _ => "ubuntu-latest",
    }
}

/// Whether a runner can start what is built for the target.
pub(super) fn is_native(target: Target, runner: &str) -> bool {
    let system = match target.system {
        System::Macos => RunnerSystem::Macos,
        System::Gnu => RunnerSystem::Linux,
        // GitHub's images have glibc.
        System::Musl => return false,
    };
    RunnerSystem::of(runner) == system && runner_arch(runner) == target.arch
}

/// The targets with this name, as maturin-action takes it. An error is what
/// cannot be built.
pub(super) fn targets(name: &str, runner: &str, is_musl: bool) -> Result<Vec<Target>, String> {
    let system = RunnerSystem::of(runner);
    let linux = if is_musl { System::Musl } else { System::Gnu };
    if name.starts_with("universal2") {
        let of = |arch| Target { arch, system: System::Macos };
        return Ok(vec![of(Arch::X86_64), of(Arch::Aarch64)]);
    }
    if name.contains('-') {
        return Target::parse(name).map(|target| vec![target]).map_err(|_| format!("the target `{name}`"));
    }
    let arch = match name {
        "" => runner_arch(runner),
        "x86_64" | "x64" | "amd64" | "AMD64" | "auto" | "auto64" | "native" => match name {
            "auto" | "auto64" | "native" => runner_arch(runner),
            _ => Arch::X86_64,
        },
        "x86" | "i686" => Arch::I686,
        "aarch64" | "arm64" | "ARM64" => Arch::Aarch64,
        "armv7" | "armv7l" => Arch::Armv7l,
        "ppc64le" | "powerpc64le" => Arch::Ppc64le,
        "s390x" => Arch::S390x,
        "riscv64" | "riscv64gc" => Arch::Riscv64,
        "loongarch64" => Arch::Loongarch64,
        other => return Err(format!("the target `{other}`")),
    };
    let system = match system {
        RunnerSystem::Linux => linux,
        RunnerSystem::Macos => System::Macos,
        RunnerSystem::Windows => return Err(format!("Windows ({})", arch.tag())),
    };
    let target = Target { arch, system };
    if target.triple() == "unknown" {
        Err(format!("the target `{name}` on {runner}"))
    } else {
        Ok(vec![target])
    }
}

/// What a platform tag of the target looks like, for `matrix` of verify-dist.
pub(super) fn tag_pattern(target: Target) -> String {
    let family = match target.system {
        System::Gnu => "manylinux*",
        System::Musl => "musllinux*",
        System::Macos => "macosx_*",
    };
    format!("{family}_{}", target.tag_arch())
}

/// A system that takes the target's wheels of this floor, as `require` of
/// verify-dist names it; `None` where it knows none.
pub(super) fn environment(target: Target, floor: Option<Compatibility>) -> Option<String> {
    let system = match (target.system, floor) {
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
    };
    Some(format!("{system} {}", target.tag_arch()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_as_others_do() {
        let names = |name: &str, runner: &str, is_musl: bool| {
            targets(name, runner, is_musl)
                .map(|found| found.iter().map(|target| target.triple()).collect::<Vec<_>>())
        };
        for (name, runner, is_musl, expected) in [
            ("x86_64", "ubuntu-latest", false, "x86_64-unknown-linux-gnu"),
            ("x86", "ubuntu-22.04", true, "i686-unknown-linux-musl"),
            ("armv7", "ubuntu-22.04", false, "armv7-unknown-linux-gnueabihf"),
            ("", "ubuntu-24.04-arm", false, "aarch64-unknown-linux-gnu"),
            ("", "macos-13", false, "x86_64-apple-darwin"),
            ("", "macos-latest", false, "aarch64-apple-darwin"),
            ("aarch64", "macos-13", false, "aarch64-apple-darwin"),
            ("s390x-unknown-linux-gnu", "ubuntu-latest", false, "s390x-unknown-linux-gnu"),
        ] {
            assert_eq!(names(name, runner, is_musl), Ok(vec![expected]), "{name} {runner}");
        }
        assert_eq!(names("universal2", "macos-14", false).unwrap().len(), 2);
        assert_eq!(names("x64", "windows-latest", false), Err("Windows (x86_64)".into()));
        assert_eq!(
            names("wasm32-unknown-emscripten", "ubuntu-latest", false).unwrap_err(),
            "the target `wasm32-unknown-emscripten`"
        );
    }

    #[test]
    fn verify_dist_knows_the_environments() {
        for name in COMMON {
            let target = Target::parse(name).unwrap();
            let text = format!("{} cp313", environment(target, None).unwrap());
            assert!(text.parse::<installs::require::Requirement>().is_ok(), "{text}");
        }
    }
}
