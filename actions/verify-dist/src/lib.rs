//! Proves that a set of distributions is fit to publish: facts first, in one
//! pass over each archive ([`scan`]), then rules over the facts ([`rules`]),
//! then reports.

pub mod config;
mod content;
mod error;
pub mod facts;
mod inputs;
mod plan;
pub mod previous;
mod report;
pub mod rules;
mod run;
pub mod scan;

pub use error::Error;
pub use inputs::SPEC;
pub use run::run;
