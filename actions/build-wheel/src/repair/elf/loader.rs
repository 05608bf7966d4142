//! The path of the dynamic loader.

use pydist::libc::Libc;
use pydist::policy;
use pydist::target::Arch;

/// The loader's path on every system with this C library.
pub(super) fn loader(arch: Arch, libc: Libc) -> Option<String> {
    match libc {
        Libc::Glibc => policy::glibc_loader(arch.tag()).map(str::to_owned),
        Libc::Musl => Some(policy::musl_loader(arch.tag())),
    }
}

/// 32-bit Arm also has a soft-float loader.
pub(super) fn is_standard(found: &str, expected: &str, arch: Arch) -> bool {
    found == expected || arch == Arch::Armv7l && found == "/lib/ld-linux.so.3"
}
