//! Tests of the rules: mutants of a valid wheel, real distributions, other tools.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]
#![allow(clippy::too_many_lines, reason = "a test reads from top to bottom")]

mod archives;
mod corpus;
mod kit;
mod mutants;
mod oracles;
mod pypi;
mod sets;
mod systems;
mod windows;
