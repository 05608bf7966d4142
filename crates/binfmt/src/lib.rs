//! Executables and libraries as their loaders read them: ELF, Mach-O and PE.

pub mod binary;
pub mod elf;
pub mod macho;
pub mod pe;
pub mod source;
