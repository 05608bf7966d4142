//! The command line and the action `build-wheel`.

use std::process::ExitCode;

fn main() -> ExitCode {
    toolkit::main(&build_wheel::SPEC, build_wheel::run)
}
