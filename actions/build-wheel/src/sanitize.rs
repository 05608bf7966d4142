//! Variables that would falsify a wheel's platform.

use toolkit::Cmd;

/// Variables that nixpkgs' Python or a user's shell may set, and that would then
/// determine the tags instead of the target.
pub(crate) const MISLEADING: [&str; 6] = [
    "_PYTHON_HOST_PLATFORM",
    "_PYTHON_SYSCONFIGDATA_NAME",
    "ARCHFLAGS",
    "MATURIN_PEP517_ARGS",
    "PYTHONHOME",
    "PYTHONPATH",
];

/// Removes misleading variables from the command's environment.
pub(crate) fn sanitized_env(cmd: Cmd) -> Cmd {
    MISLEADING.iter().fold(cmd, |cmd, name| cmd.without(*name))
}
