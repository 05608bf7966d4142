//! Python distributions: their names, tags, records, metadata and content,
//! as the PEPs and the PyPA specifications define them.

pub mod attestation;
pub mod digest;
pub mod dll;
pub mod entry_points;
pub mod filename;
pub mod headers;
pub mod libc;
pub mod manifest;
pub mod member_path;
pub mod metadata;
pub mod name;
pub mod policy;
pub mod record;
pub mod release_tag;
#[cfg(feature = "requirements")]
pub mod requirement;
pub mod store;
pub mod tags;
pub mod tar;
pub mod target;
pub mod wheel_file;
pub mod zip;
