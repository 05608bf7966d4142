//! The records of a ZIP archive, raw: what the central directory says, what
//! the local headers say, and where the two differ (APPNOTE.TXT 6.3).
//!
//! Installers disagree on which of the two to believe, so an archive in which
//! they differ is one that means different things to different readers. The
//! index refuses such archives; this module names every difference as a
//! [`Fault`] and goes on as long as there is something to go on with.

mod archive;
mod data;
mod fault;
mod records;

pub use archive::{Archive, Limits, Member, Method, ZipError};
pub use data::DataError;
pub use fault::Fault;
