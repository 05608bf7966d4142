//! Checks the distributions of a release with [`distcheck`], writes reports and
//! the manifest.

mod config;
mod error;
mod files;
mod inputs;
mod plan;
mod previous;
mod report;
mod run;

pub use error::Error;
pub use inputs::SPEC;
pub use run::run;
