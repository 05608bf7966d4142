//! build-wheel from the outside: real compilers, real maturin, a real Nix
//! store, real runs.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

mod backends;
mod corpus;
mod cross;
mod elf;
mod graft;
mod hostile;
mod isolation;
mod macho;
mod nix;
mod reports;
mod support;
