//! verify-dist from outside: mutants of a sound wheel, and the program.

mod mutants;
mod program;
