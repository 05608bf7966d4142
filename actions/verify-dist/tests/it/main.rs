//! verify-dist from outside: mutants of a sound
//! wheel, real wheels, other tools, and the program.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

mod corpus;
mod every_rule;
mod kit;
mod mutants;
mod oracles;
mod previous;
mod program;
mod sets;
