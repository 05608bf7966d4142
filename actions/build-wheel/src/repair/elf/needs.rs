//! System requirements of a file by the manylinux and musllinux policies.

use std::collections::BTreeSet;

use binfmt::elf::{ElfInfo, Kind, tag};
use pydist::libc::{Libc, glibc_version, is_musl};
use pydist::policy::{self, Excess, Linux};
use pydist::target::Arch;

use super::super::binary_error::BinaryError;
use super::super::tags::{MUSL, Needs, policy_version};

/// The system requirements of a file.
pub(super) fn needs(
    elf: &ElfInfo,
    arch: Arch,
    libc: Option<Libc>,
    files: &BTreeSet<String>,
) -> Result<Needs, BinaryError> {
    if libc == Some(Libc::Musl) {
        check_libraries(Linux::of("musllinux", MUSL), elf, arch, files)?;
        return Ok(Needs::Musl(arch));
    }
    // glibc before 2.36 does not apply a library's compact relocations. A program without a
    // loader applies its own.
    let needs_relr = elf.kind == Kind::Library && has_relr(elf);
    let has_loader = elf.interpreter().is_some() || elf.needed().next().is_some();
    // The process that loads it provides its symbols, whatever the C library.
    if !has_loader && elf.versions.is_empty() && !needs_relr {
        return Ok(Needs::AnyLinux(arch));
    }
    let relr = if needs_relr { (2, 36) } else { (2, 0) };
    let glibc = glibc_needs(elf)?.max(relr).max(policy_for_other_libraries(elf, arch, files)?);
    check_libraries(Linux::of("manylinux", policy_version(arch, glibc)), elf, arch, files)?;
    Ok(Needs::Glibc(arch, glibc))
}

/// Whether the file has relative relocations in the compact format.
pub(super) fn has_relr(elf: &ElfInfo) -> bool {
    elf.dynamic.iter().any(|entry| entry.tag == tag::RELR)
}

/// Checks that every library is on each system of the policy or in the wheel.
fn check_libraries(
    policy: Option<&Linux>,
    elf: &ElfInfo,
    arch: Arch,
    files: &BTreeSet<String>,
) -> Result<(), BinaryError> {
    for excess in policy.into_iter().flat_map(|policy| policy.excess(elf, arch.tag(), files)) {
        match excess {
            Excess::Library(library) if is_musl(&library) => {}
            Excess::Library(library) => return Err(BinaryError::Library(library)),
            Excess::Forbidden(library, symbol) => return Err(BinaryError::Forbidden { library, symbol }),
            Excess::Symbol(..) => {}
        }
    }
    Ok(())
}

/// The glibc version that introduced the newest symbol version in use.
fn glibc_needs(elf: &ElfInfo) -> Result<(u32, u32), BinaryError> {
    let mut glibc = (2, 0);
    for (library, versions) in &elf.versions {
        for version in versions {
            if !version.starts_with("GLIBC_") {
                continue;
            }
            let private = || BinaryError::Private { library: library.clone(), version: version.clone() };
            glibc = glibc.max(glibc_version(version).ok_or_else(private)?);
        }
    }
    Ok(glibc)
}

/// The version of the oldest policy that allows the symbol versions of other
/// libraries, such as GLIBCXX_3.4.30.
fn policy_for_other_libraries(
    elf: &ElfInfo,
    arch: Arch,
    files: &BTreeSet<String>,
) -> Result<(u32, u32), BinaryError> {
    let is_too_new =
        |excess: &Excess| matches!(excess, Excess::Symbol(_, version) if !version.starts_with("GLIBC_"));
    // The oldest policies cover only two architectures.
    let policies = policy::linux()
        .iter()
        .filter(|policy| policy.family == "manylinux" && policy.symbol_versions.contains_key(arch.tag()));
    let mut missing = None;
    for (index, policy) in policies.enumerate() {
        match policy.excess(elf, arch.tag(), files).into_iter().find(is_too_new) {
            None => return Ok(if index == 0 { (2, 0) } else { policy.version }),
            found => missing = found,
        }
    }
    let (library, version) = match missing {
        Some(Excess::Symbol(library, version)) => (library, version),
        _ => (String::new(), String::new()),
    };
    Err(BinaryError::Private { library, version })
}
