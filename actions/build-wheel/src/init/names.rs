//! Names and texts that several modules share.

/// Where the workflow goes.
pub(super) const WORKFLOW: &str = ".github/workflows/release.yml";

/// Where the build tools are listed for projects without such a list.
pub(super) const REQUIREMENTS: &str = ".github/release-requirements.txt";

/// maturin and zig, by hash.
pub(super) const CARRIED_REQUIREMENTS: &str =
    include_str!("../../../../tests/consumers/pyo3-abi3/requirements.txt");

/// Stands for every Python that a package supports.
pub(super) const ALL_PYTHONS: &str = "all";

/// Begins the list of what was not translated.
pub(super) const NOTES: &str = "Not translated; remove a line when it is taken care of:";
