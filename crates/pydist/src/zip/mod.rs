//! ZIP archives: their records, raw, and writing them without anything that
//! depends on the machine.
//!
//! Read are what the central directory says, what the local headers say, and where
//! the two differ (APPNOTE.TXT 6.3).
//!
//! Installers disagree on which of the two to believe, so an archive in which
//! they differ is one that means different things to different readers. The
//! index refuses such archives; this module names every difference as a
//! [`Fault`] and goes on as long as there is something to go on with.

mod archive;
mod content;
mod data;
mod deflate;
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
pub use fault::Fault;
pub use write::{NewMember, Written, write};
