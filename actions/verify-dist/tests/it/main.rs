//! verify-dist from outside: mutants of a sound wheel, and the program.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

mod mutants;
mod program;
