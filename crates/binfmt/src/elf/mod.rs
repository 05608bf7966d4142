//! ELF files as the dynamic loader reads them, with the place of each field in
//! the file, so that it can be edited there (System V ABI, "Program Loading
//! and Dynamic Linking"; LSB, "Symbol Versioning").

mod edit;
mod info;
mod layout;
mod notes;
mod read;
mod tables;

pub use edit::{Changes, apply};
pub use info::{DynamicEntry, ElfInfo, Interpreter, Kind, tag};
pub use layout::{PT_LOAD, Segment};
pub use read::code;
