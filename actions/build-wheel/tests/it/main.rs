//! Runs build-wheel with real compilers, real maturin and a real Nix store.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]
#![allow(clippy::too_many_lines, reason = "a test reads from top to bottom")]

#[cfg_attr(not(tools), allow(dead_code, unused_imports, reason = "the tests that use it need tools"))]
mod support;

mod elf;
mod graft;
mod hostile;
mod loading;
mod matrix;
mod scripts;

testkit::needs_tools! {
    mod archives;
    mod backends;
    mod commit_time;
    mod corpus;
    mod cross;
    mod foreign;
    mod init;
    mod init_platforms;
    mod interpreters;
    mod isolation;
    mod macho;
    mod nix;
    mod real_wheels;
    mod reports;
    mod smoke;
    mod smoke_imports;
    mod smoke_programs;
    mod targets;
    mod windows;
    mod windows_dlls;
}
