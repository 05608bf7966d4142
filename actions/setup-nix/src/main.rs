//! `setup-nix`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    toolkit::main(&setup_nix::SPEC, setup_nix::run)
}
