//! Runs the program.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

mod installs;
mod large;
mod previous;
mod program;
