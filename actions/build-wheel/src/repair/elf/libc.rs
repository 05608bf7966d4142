//! The C library that a file is linked with, and the path of its loader.

use binfmt::elf::ElfInfo;
use pydist::policy;
use pydist::target::Arch;

use super::super::layout::file_name;

/// Which C library a file is linked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Libc {
    Glibc,
    Musl,
    /// None is named.
    Unknown,
}

impl Libc {
    pub(super) fn of(elf: &ElfInfo) -> Self {
        let has_glibc_versions =
            || elf.versions.values().flatten().any(|version| version.starts_with("GLIBC_"));
        if elf.needed().any(|library| is_musl(file_name(library))) {
            Self::Musl
        } else if elf.needed().any(|library| file_name(library) == "libc.so.6") || has_glibc_versions() {
            Self::Glibc
        } else {
            elf.interpreter().map_or(Self::Unknown, Self::of_loader)
        }
    }

    fn of_loader(path: &str) -> Self {
        let file = file_name(path);
        if file.contains("musl") || file == "libc.so" {
            Self::Musl
        } else if policy::is_loader(file) {
            Self::Glibc
        } else {
            Self::Unknown
        }
    }
}

/// musl's C library and loader are one file.
pub(super) fn is_musl(library: &str) -> bool {
    library == "libc.so" || library.starts_with("libc.musl-") || library.starts_with("ld-musl-")
}

/// The loader's path on every system with this C library.
pub(super) fn loader(arch: Arch, libc: Libc) -> Option<String> {
    match libc {
        Libc::Glibc => policy::glibc_loader(arch.tag()).map(str::to_owned),
        Libc::Musl => Some(policy::musl_loader(arch.tag())),
        Libc::Unknown => None,
    }
}

/// 32-bit Arm also has a soft-float loader.
pub(super) fn is_standard(found: &str, expected: &str, arch: Arch) -> bool {
    found == expected || arch == Arch::Armv7l && found == "/lib/ld-linux.so.3"
}
