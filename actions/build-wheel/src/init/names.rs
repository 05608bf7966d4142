//! Paths of the generated files, and texts that several modules use.

/// The default path of the workflow.
pub(super) const WORKFLOW: &str = ".github/workflows/release.yml";

/// The requirements file of the build tools, for projects without one.
pub(super) const REQUIREMENTS: &str = ".github/release-requirements.txt";

/// maturin and zig, with hashes.
pub(super) const CARRIED_REQUIREMENTS: &str =
    include_str!("../../../../tests/consumers/pyo3-abi3/requirements.txt");

/// Means every Python that a package supports.
pub(super) const ALL_PYTHONS: &str = "all";

/// Part of each note about wheels for other targets, by which they are found.
pub(super) const NO_JOB: &str = "`build-wheel init` writes no job for";

/// How to add the files of another job to the release.
pub(super) const KEEP_JOBS: &str = "to keep such wheels, add the job that builds them below the last line of the workflow, let it upload an artifact `dist-…`, and run this command again: what it uploads is verified and published with the rest";

/// The same, as a comment in the workflow.
pub(super) const KEEP_JOBS_COMMENT: &str =
    "# To keep a job that builds other wheels, add it below the last line of this file, let it
# upload an artifact `dist-…`, and run `build-wheel init` again: what it uploads is
# verified and published with the rest.
";

/// The heading of the list of things that were not translated.
pub(super) const NOTES: &str = "Not translated; remove a line when it is taken care of:";
