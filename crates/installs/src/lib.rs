//! Who can install a release: which wheel pip picks on which system, where it
//! falls back to the source distribution, and where it finds nothing.
//!
//! [`environment`] lists the systems and Pythons, [`accepted`] the tags that
//! they accept, [`choice`] picks a file, [`matrix`] does so for all of them,
//! [`difference`] compares two releases, and [`why`] and [`render`] present it.

pub mod accepted;
pub mod choice;
pub mod difference;
pub mod environment;
pub mod file;
pub mod matrix;
pub mod names;
pub mod platform;
pub mod render;
pub mod require;
pub mod why;
