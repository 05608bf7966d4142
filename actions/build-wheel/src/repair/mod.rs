//! Turns a wheel that runs only on the machine that built it into one that
//! runs everywhere: one read, one write.

mod archive;
mod binary;
mod binary_error;
mod change;
mod contents;
mod difference;
mod dll;
mod dll_search;
mod elf;
mod error;
mod extract;
mod foreign;
mod graft;
mod layout;
mod macho;
mod metadata;
mod options;
mod pass;
mod resolve;
mod room;
mod sbom;
mod scripts;
mod surroundings;
mod tags;
mod wheel;
mod wrapper;

pub use archive::ArchiveError;
pub use binary::{edit_binary, edit_elf_in_place};
pub use binary_error::BinaryError;
pub use change::Change;
pub use contents::{Contents, Executable, Extension, ProgramPlatform, ProgramSystem};
pub use difference::{difference, find_member_with};
pub use error::WheelError;
pub use extract::extract;
pub use graft::{GraftError, GraftScope};
pub use options::{EARLIEST, Options};
pub use tags::{Floor, TagsError};
pub use wheel::{Repaired, member, repair};

pub(crate) use archive::LIMITS;
pub(crate) use layout::{Root, installed};
