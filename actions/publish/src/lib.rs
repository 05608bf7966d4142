//! Publishes Python distributions so that no release stops halfway: inspect,
//! probe, authenticate, attest, upload, verify, release. The index is the only
//! state; a second run sends what is missing.

pub mod advice;
mod archive;
pub mod attest;
pub mod attestation;
pub mod auth;
mod command;
pub mod error;
pub mod github;
pub mod identity;
pub mod inputs;
pub mod inspect;
mod local_credentials;
mod paths;
pub mod plan;
mod probe;
pub mod refusal;
pub mod report;
mod run;
pub mod trust;
pub mod upload;
mod upload_queue;
mod verify;

pub use inputs::SPEC;
pub use run::run;
