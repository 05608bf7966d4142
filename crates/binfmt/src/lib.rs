//! Executables and libraries as their loaders read them: ELF, Mach-O and PE.
//!
//! One model per format: what a file needs from its loader, with the file offset
//! of each field, so that it can be edited in place.

pub mod binary;
pub mod elf;
pub mod macho;
pub mod pe;
pub mod source;
