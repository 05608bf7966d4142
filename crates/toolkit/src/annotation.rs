//! Messages that GitHub shows on the page of a run.

/// The level of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For information.
    Notice,
    /// Something to check.
    Warning,
    /// Something that fails the run.
    Error,
}

impl Level {
    /// The name of the workflow command.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A message that GitHub shows on the run's page and beside the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The level.
    pub level: Level,
    /// A short title; `""` for none.
    pub title: String,
    /// The text, possibly of several lines.
    pub message: String,
    /// The file it belongs to, relative to the repository.
    pub file: Option<String>,
}
