//! What a workflow builds, whoever's actions it uses.

use crate::target::Target;

/// One wheel, or the source distribution, of one row of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Build {
    /// `None`: the source distribution.
    pub(super) target: Option<Target>,
    /// The label of the runner, where it shall stay.
    pub(super) runner: Option<String>,
    /// The directory of the package below the repository.
    pub(super) directory: Option<String>,
    /// What `compatibility` says.
    pub(super) compatibility: String,
    /// What is built with, such as `3.12`, `3.14t` or `pypy3.11`.
    pub(super) python: String,
    /// What `backend` and `flake-attr` say.
    pub(super) backend: String,
    pub(super) flake_attr: String,
    /// Further options of maturin.
    pub(super) args: Vec<String>,
    pub(super) smoke_commands: Vec<String>,
    pub(super) test_requires: Vec<String>,
    pub(super) test_sources: Vec<String>,
}

/// What a workflow does.
#[derive(Debug, Clone, Default)]
pub(super) struct Translation {
    pub(super) builds: Vec<Build>,
    /// Packages that uv builds, by name.
    pub(super) uv: Vec<String>,
    /// The patterns of tags that start it.
    pub(super) tags: Vec<String>,
    /// The environment of the job that publishes.
    pub(super) environment: Option<String>,
    /// Whether it uploads to an index.
    pub(super) publishes: bool,
    /// What has no counterpart, each with its place.
    pub(super) notes: Vec<String>,
}

impl Translation {
    /// Notes what is not translated, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
