//! build-wheel from the outside: real compilers, real maturin, a real Nix
//! store, real runs.

mod backends;
mod corpus;
mod elf;
mod macho;
mod support;
