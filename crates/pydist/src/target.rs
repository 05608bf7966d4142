//! The targets, and their names in Rust, Python, Nix, ELF and QEMU.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::policy;

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    I686,
    /// 64-bit Arm.
    Aarch64,
    /// 32-bit Arm (Armv7) with hardware floating point.
    Armv7l,
    /// The same for older processors (Armv6), such as that of the first Raspberry Pi.
    Armv6l,
    /// 64-bit RISC-V with double-precision floating point.
    Riscv64,
    /// 64-bit POWER, little-endian.
    Ppc64le,
    /// IBM Z.
    S390x,
    /// 64-bit LoongArch.
    Loongarch64,
}

/// An operating system with its C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// Linux with glibc.
    Gnu,
    /// Linux with musl.
    Musl,
    /// macOS.
    Macos,
    /// Windows with Microsoft's C runtime.
    Msvc,
    /// Windows with the C runtime of MinGW.
    Mingw,
}

/// The target of a wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The processor.
    pub arch: Arch,
    /// The system.
    pub system: System,
}

/// Rust's names of the targets that have their own platform tags.
const TARGETS: [(&str, Arch, System); 22] = [
    ("x86_64-unknown-linux-gnu", Arch::X86_64, System::Gnu),
    ("x86_64-unknown-linux-musl", Arch::X86_64, System::Musl),
    ("aarch64-unknown-linux-gnu", Arch::Aarch64, System::Gnu),
    ("aarch64-unknown-linux-musl", Arch::Aarch64, System::Musl),
    ("riscv64gc-unknown-linux-gnu", Arch::Riscv64, System::Gnu),
    ("riscv64gc-unknown-linux-musl", Arch::Riscv64, System::Musl),
    ("powerpc64le-unknown-linux-gnu", Arch::Ppc64le, System::Gnu),
    ("powerpc64le-unknown-linux-musl", Arch::Ppc64le, System::Musl),
    ("i686-unknown-linux-gnu", Arch::I686, System::Gnu),
    ("i686-unknown-linux-musl", Arch::I686, System::Musl),
    ("armv7-unknown-linux-gnueabihf", Arch::Armv7l, System::Gnu),
    ("armv7-unknown-linux-musleabihf", Arch::Armv7l, System::Musl),
    ("s390x-unknown-linux-gnu", Arch::S390x, System::Gnu),
    ("loongarch64-unknown-linux-gnu", Arch::Loongarch64, System::Gnu),
    ("loongarch64-unknown-linux-musl", Arch::Loongarch64, System::Musl),
    ("x86_64-apple-darwin", Arch::X86_64, System::Macos),
    ("aarch64-apple-darwin", Arch::Aarch64, System::Macos),
    ("x86_64-pc-windows-msvc", Arch::X86_64, System::Msvc),
    ("i686-pc-windows-msvc", Arch::I686, System::Msvc),
    ("aarch64-pc-windows-msvc", Arch::Aarch64, System::Msvc),
    ("x86_64-pc-windows-gnu", Arch::X86_64, System::Mingw),
    ("i686-pc-windows-gnu", Arch::I686, System::Mingw),
];

/// Targets without a manylinux or musllinux policy: their wheels are tagged
/// `linux_…`.
const WITHOUT_POLICY: [(&str, Arch, System); 2] = [
    ("arm-unknown-linux-gnueabihf", Arch::Armv6l, System::Gnu),
    ("arm-unknown-linux-musleabihf", Arch::Armv6l, System::Musl),
];

/// All targets with Rust's names.
fn entries() -> impl Iterator<Item = &'static (&'static str, Arch, System)> {
    TARGETS.iter().chain(&WITHOUT_POLICY)
}

impl Target {
    /// Parses Rust's name of a target; `None` if the target has no rules.
    pub fn parse(triple: &str) -> Option<Self> {
        let (_, arch, system) = entries().find(|(name, ..)| *name == triple)?;
        Some(Self { arch: *arch, system: *system })
    }

    /// All targets whose wheels can be repaired or checked.
    pub fn all() -> impl Iterator<Item = Self> {
        entries().map(|(_, arch, system)| Self { arch: *arch, system: *system })
    }

    /// The name of its Pythons' platform, `sysconfig.get_platform()`, if it is Windows.
    pub fn python_platform(self) -> Option<&'static str> {
        match self.arch {
            _ if !self.is_windows() => None,
            Arch::I686 => Some("win32"),
            Arch::X86_64 => Some("win-amd64"),
            Arch::Aarch64 => Some("win-arm64"),
            _ => None,
        }
    }

    /// Rust's name.
    pub fn triple(self) -> &'static str {
        let same = |entry: &&(&str, Arch, System)| (entry.1, entry.2) == (self.arch, self.system);
        entries().find(same).map_or("unknown", |(name, ..)| name)
    }

    /// Whether it is Linux.
    pub fn is_linux(self) -> bool {
        matches!(self.system, System::Gnu | System::Musl)
    }

    /// Whether it is Windows.
    pub fn is_windows(self) -> bool {
        matches!(self.system, System::Msvc | System::Mingw)
    }

    /// The prefix of a cross compiler's programs, in Debian's and crosstool's
    /// naming.
    pub fn gnu_prefix(self) -> Option<String> {
        let cpu = match self.arch {
            Arch::Ppc64le => "powerpc64le",
            Arch::Armv7l | Arch::Armv6l => "arm",
            arch => arch.tag(),
        };
        let suffix = if cpu == "arm" { "eabihf" } else { "" };
        match self.system {
            System::Gnu => Some(format!("{cpu}-linux-gnu{suffix}")),
            System::Musl => Some(format!("{cpu}-linux-musl{suffix}")),
            System::Mingw => Some(format!("{cpu}-w64-mingw32")),
            System::Macos | System::Msvc => None,
        }
    }

    /// The architecture's name in the system's platform tags.
    pub fn tag_arch(self) -> &'static str {
        match (self.system, self.arch) {
            (System::Macos | System::Msvc | System::Mingw, Arch::Aarch64) => "arm64",
            (System::Msvc | System::Mingw, Arch::X86_64) => "amd64",
            (System::Msvc | System::Mingw, Arch::I686) => "x86",
            (_, arch) => arch.tag(),
        }
    }

    /// The dynamic loader's path on every distribution.
    pub fn loader(self) -> Option<String> {
        match self.system {
            System::Gnu => policy::glibc_loader(self.arch.machine()).map(str::to_owned),
            System::Musl => Some(policy::musl_loader(self.arch.machine())),
            System::Macos | System::Msvc | System::Mingw => None,
        }
    }
}

impl Arch {
    /// Its name in platform tags.
    pub fn tag(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I686 => "i686",
            Self::Aarch64 => "aarch64",
            Self::Armv7l => "armv7l",
            Self::Armv6l => "armv6l",
            Self::Riscv64 => "riscv64",
            Self::Ppc64le => "ppc64le",
            Self::S390x => "s390x",
            Self::Loongarch64 => "loongarch64",
        }
    }

    /// The architecture with this name in a platform tag.
    pub fn from_tag(tag: &str) -> Option<Self> {
        entries().map(|(_, arch, _)| *arch).find(|arch| arch.tag() == tag)
    }

    /// The architecture with a short name, as in maturin-action and cibuildwheel.
    pub fn from_short_name(name: &str) -> Option<Self> {
        Some(match name {
            "x86_64" | "x64" | "amd64" | "AMD64" => Self::X86_64,
            "i686" | "x86" => Self::I686,
            "aarch64" | "arm64" | "ARM64" => Self::Aarch64,
            "armv7" | "armv7l" => Self::Armv7l,
            "armv6" | "armv6l" => Self::Armv6l,
            "ppc64le" | "powerpc64le" => Self::Ppc64le,
            "riscv64" | "riscv64gc" => Self::Riscv64,
            "s390x" => Self::S390x,
            "loongarch64" => Self::Loongarch64,
            _ => return None,
        })
    }

    /// Its ELF machine, which does not distinguish Armv6 and Armv7.
    pub fn machine(self) -> &'static str {
        if self == Self::Armv6l { Self::Armv7l.tag() } else { self.tag() }
    }

    /// Its name in QEMU.
    pub fn qemu(self) -> &'static str {
        match self {
            Self::I686 => "i386",
            Self::Armv7l | Self::Armv6l => "arm",
            arch => arch.tag(),
        }
    }

    /// The oldest glibc that Rust supports: 2.17 for most architectures (see Rust's
    /// "Platform Support"), and the first with the architecture for newer ones.
    pub fn oldest_glibc(self) -> (u32, u32) {
        match self {
            Self::Riscv64 => (2, 31),
            Self::Loongarch64 => (2, 36),
            _ => (2, 17),
        }
    }
}

impl System {
    /// Its name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gnu => "Linux with glibc",
            Self::Musl => "Linux with musl",
            Self::Macos => "macOS",
            Self::Msvc | Self::Mingw => "Windows",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.triple())
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.triple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_name_of_every_target() {
        for (triple, ..) in entries() {
            assert_eq!(Target::parse(triple).unwrap().triple(), *triple);
        }
        assert_eq!(Target::parse("x86_64"), None);
    }

    #[test]
    fn the_tag_of_every_architecture_is_a_short_name() {
        for target in Target::all() {
            for name in [target.arch.tag(), target.tag_arch()] {
                assert_eq!(Arch::from_short_name(name), Some(target.arch), "{name}");
            }
        }
        assert_eq!(Arch::from_short_name("pdp11"), None);
    }
}
