//! The GitHub Release: its plan, and the client that makes it.

mod abort;
mod assets;
mod client;
mod plan;

pub use client::Releaser;
pub use plan::ReleasePlan;
