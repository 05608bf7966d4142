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
    notes: Vec<Note>,
}

/// What has no counterpart, in one place of a workflow.
#[derive(Debug, Clone)]
struct Note {
    place: String,
    details: Vec<String>,
}

impl Translation {
    /// Notes what is not translated, once.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.note_at("", text);
    }

    /// Notes what is not translated of a job or a step. All that is noted of
    /// one place becomes one line.
    pub(super) fn note_at(&mut self, place: &str, detail: impl Into<String>) {
        let detail = detail.into();
        match self.notes.iter_mut().find(|note| note.place == place) {
            Some(note) if note.details.contains(&detail) => {}
            Some(note) if !place.is_empty() => note.details.push(detail),
            _ => self.notes.push(Note { place: place.to_owned(), details: vec![detail] }),
        }
    }

    /// Adds what another workflow does.
    pub(super) fn extend(&mut self, other: Self) {
        self.builds.extend(other.builds);
        self.publishes |= other.publishes;
        self.environment = other.environment.or(self.environment.take());
        self.notes.extend(other.notes);
    }

    /// Forgets what was noted.
    pub(super) fn clear_notes(&mut self) {
        self.notes.clear();
    }

    /// The notes, a line each.
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
