//! The `setup-nix` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    toolkit::main(&setup_nix::SPEC, setup_nix::run)
}
