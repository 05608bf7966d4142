//! The action's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    toolkit::main(&publish::SPEC, publish::run)
}
