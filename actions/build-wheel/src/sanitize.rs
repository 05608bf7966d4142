//! Variables that would decide over a wheel in place of its target.

use toolkit::Cmd;

/// What nixpkgs' Python or a user's shell may set, and what would then decide
/// over the target's tags in place of the target.
pub(crate) const MISLEADING: [&str; 6] = [
    "_PYTHON_HOST_PLATFORM",
    "_PYTHON_SYSCONFIGDATA_NAME",
    "ARCHFLAGS",
    "MATURIN_PEP517_ARGS",
    "PYTHONHOME",
    "PYTHONPATH",
];

/// The command without what could mislead it about the target.
pub(crate) fn sanitized_env(cmd: Cmd) -> Cmd {
    MISLEADING.iter().fold(cmd, |cmd, name| cmd.without(*name))
}
