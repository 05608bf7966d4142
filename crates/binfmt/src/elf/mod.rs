//! ELF files as the dynamic loader reads them, with the file offset of each
//! field, so that it can be edited in place (System V ABI, "Program Loading and
//! Dynamic Linking"; LSB, "Symbol Versioning").

mod edit;
mod info;
mod layout;
mod notes;
mod read;
mod tables;

pub use edit::{Changes, apply};
pub use info::{DynamicEntry, ElfInfo, Interpreter, Kind, arch_name, tag};
pub use layout::{PT_LOAD, Segment};
pub use read::code;
