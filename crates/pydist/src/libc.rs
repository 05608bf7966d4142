//! The C library that an ELF file is linked with.

use std::collections::BTreeSet;

use binfmt::elf::ElfInfo;

use crate::member_path::file_name;
use crate::policy::{Version, is_loader};

/// A C library of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Libc {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

impl Libc {
    /// The C library of a file, by the libraries and symbol versions that it needs, or else
    /// by its loader; `None` if they name none. `bundled` names the libraries in the wheel.
    pub fn of(elf: &ElfInfo, bundled: &BTreeSet<String>) -> Option<Self> {
        if elf.needed().any(|library| is_musl(file_name(library))) {
            return Some(Self::Musl);
        }
        let needs_glibc = elf.needed().any(|library| file_name(library) == "libc.so.6");
        let versions = elf.versions.iter().filter(|(library, _)| !bundled.contains(*library));
        let mut versions = versions.flat_map(|(_, versions)| versions);
        if needs_glibc && !bundled.contains("libc.so.6") || versions.any(|text| text.starts_with("GLIBC_")) {
            return Some(Self::Glibc);
        }
        let loader = file_name(elf.interpreter()?);
        if loader.contains("musl") || is_musl(loader) {
            Some(Self::Musl)
        } else {
            is_loader(loader).then_some(Self::Glibc)
        }
    }
}

/// Whether a library is musl, whose C library and loader are one file.
pub fn is_musl(library: &str) -> bool {
    library == "libc.so" || library.starts_with("libc.musl-") || library.starts_with("ld-musl-")
}

/// The version of glibc that introduced a symbol version such as `GLIBC_2.34`; `None` for
/// those of other libraries, and those without a number, such as `GLIBC_PRIVATE`.
pub fn glibc_version(symbol_version: &str) -> Option<Version> {
    let number = symbol_version.strip_prefix("GLIBC_")?;
    // Marks relative relocations.
    if number == "ABI_DT_RELR" {
        return Some((2, 36));
    }
    let mut numbers = number.split('.').map(|part| part.parse().ok());
    numbers.next().flatten().zip(numbers.next().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_symbol_versions() {
        for (text, expected) in [
            ("GLIBC_2.2.5", Some((2, 2))),
            ("GLIBC_2.34", Some((2, 34))),
            ("GLIBC_ABI_DT_RELR", Some((2, 36))),
            ("GLIBC_PRIVATE", None),
            ("GLIBCXX_3.4", None),
        ] {
            assert_eq!(glibc_version(text), expected, "{text}");
        }
    }
}
