//! Executables and libraries as their loaders read them: ELF, Mach-O and PE.
//!
//! One model of each: what a file asks of its loader, with the place of each
//! field in the file, so that what was read can be edited where it is.

pub mod binary;
pub mod elf;
pub mod macho;
pub mod pe;
pub mod source;
