//! Publishes Python distributions so that a release cannot go half wrong:
//! inspect, probe, authenticate, attest, upload, verify, release. The index is
//! the only state; a second run sends what is absent.

mod archive;
pub mod attest;
pub mod auth;
pub mod error;
pub mod github;
pub mod http;
pub mod index;
pub mod inputs;
pub mod inspect;
mod job;
pub mod plan;
mod probe;
pub mod release;
pub mod report;
mod run;
pub mod simple;
pub mod upload;

pub use inputs::SPEC;
pub use run::run;
