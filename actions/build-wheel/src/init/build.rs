//! The builds of a workflow, whichever actions it uses.

use pydist::target::Target;

/// One wheel, or the source distribution, of one row of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Build {
    /// `None`: the source distribution.
    pub(super) target: Option<Target>,
    /// The label of the runner, if it must be kept.
    pub(super) runner: Option<String>,
    /// The package's directory, relative to the repository.
    pub(super) directory: Option<String>,
    /// The value of `compatibility`.
    pub(super) compatibility: String,
    /// The Python to build with, such as `3.12`, `3.14t` or `pypy3.11`.
    pub(super) python: String,
    /// The values of `backend` and `flake-attr`.
    pub(super) backend: String,
    pub(super) flake_attr: String,
    /// More options for maturin.
    pub(super) args: Vec<String>,
    pub(super) smoke_commands: Vec<String>,
    pub(super) test_requires: Vec<String>,
    pub(super) test_sources: Vec<String>,
}

/// A workflow in terms of build-wheel.
#[derive(Debug, Clone, Default)]
pub(super) struct Translation {
    pub(super) builds: Vec<Build>,
    /// The names of packages that uv builds.
    pub(super) uv: Vec<String>,
    /// The patterns of the tags that trigger it.
    pub(super) tags: Vec<String>,
    /// The environment of the publishing job.
    pub(super) environment: Option<String>,
    /// Whether it uploads to an index.
    pub(super) publishes: bool,
    notes: Vec<Note>,
}

/// Things at one place of a workflow that have no counterpart.
#[derive(Debug, Clone)]
struct Note {
    place: String,
    details: Vec<String>,
}

impl Translation {
    /// Adds a note about something that is not translated, once.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.note_at("", text);
    }

    /// Adds a note about a job or a step. The notes about one place become one
    /// line.
    pub(super) fn note_at(&mut self, place: &str, detail: impl Into<String>) {
        let detail = detail.into();
        match self.notes.iter_mut().find(|note| note.place == place) {
            Some(note) if note.details.contains(&detail) => {}
            Some(note) if !place.is_empty() => note.details.push(detail),
            _ => self.notes.push(Note { place: place.to_owned(), details: vec![detail] }),
        }
    }

    /// Adds another workflow.
    pub(super) fn extend(&mut self, other: Self) {
        self.builds.extend(other.builds);
        self.publishes |= other.publishes;
        self.environment = other.environment.or(self.environment.take());
        self.notes.extend(other.notes);
    }

    /// Removes all notes.
    pub(super) fn clear_notes(&mut self) {
        self.notes.clear();
    }

    /// The notes, one per line.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for Note { place, details } in &self.notes {
            let details = details.join("; ");
            let line = if place.is_empty() { details } else { format!("{place}: {details}") };
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }
}
