//! The program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    toolkit::main(&verify_dist::SPEC, verify_dist::run)
}
