//! Compares this crate's results with those of real installers.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

mod behaviour;
mod choices;
mod kit;
mod tags;
