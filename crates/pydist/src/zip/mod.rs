//! ZIP archives: reads their raw records, and writes archives that do not depend
//! on the machine.
//!
//! The reader compares the central directory with the local headers (APPNOTE.TXT
//! 6.3).
//!
//! Installers disagree on which of the two to trust, so an archive in which they
//! differ has different content for different installers, and the index rejects
//! it. This module reports every difference as a [`Fault`] and reads on as far as
//! it can.

mod archive;
mod content;
mod data;
mod deflate;
mod edited;
mod end;
mod extra;
mod fault;
mod fields;
mod records;
mod write;

pub use archive::{Archive, Limits, Member, Method, ZipError};
pub use content::{Content, contains, each_piece};
pub use data::DataError;
pub use deflate::{Packed, pack, pack_deflated};
pub use edited::{Deflated, pack_edited};
pub use fault::Fault;
pub use write::{NewMember, Written, write};
