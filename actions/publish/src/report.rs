//! The JSON report, the outputs and the job summary.

use std::collections::BTreeSet;
use std::path::Path;

use index::Index;
use pydist::name::ProjectName;
use serde::Serialize;
use serde_json::Value;
use toolkit::{FileError, Summary, Ui, output_path, write_atomic};

use crate::inspect::Dist;
use crate::plan::{Action, Plan, PlannedFile};

/// The report's schema (`docs/schema/publish-report.json`).
pub const SCHEMA: u32 = 1;

/// The result of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// This run completed the release.
    Published,
    /// The index already had everything.
    Unchanged,
    /// A dry run.
    DryRun,
    /// The index has some of the files.
    Partial,
    /// The index has none of the files.
    Failed,
}

/// The result for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// This run sent it, and the index lists it.
    Uploaded,
    /// The index already had it.
    Present,
    /// It would be sent (dry run).
    Absent,
    /// The index was not queried (dry run).
    Unknown,
    /// It was sent, but the index does not list it as sent.
    Unverified,
    /// It could not be sent.
    Failed,
    /// It was not sent, because an earlier file failed.
    Skipped,
    /// The index has other content under its name, or would reject it.
    Conflict,
}

/// One file of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its name.
    pub filename: String,
    /// Its project.
    pub package: ProjectName,
    /// Its version.
    pub version: String,
    /// In bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// The result for it.
    pub state: State,
    /// Its URL on the index.
    pub url: Option<String>,
    /// Whether it was sent with an attestation.
    pub attested: bool,
    /// The number of attempts to send it.
    pub attempts: u32,
    /// The error.
    pub message: Option<String>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The program that wrote it, with its version.
    pub generator: String,
    /// The result of the run.
    pub result: Outcome,
    /// The index published to.
    pub index: Index,
    /// In the order of the plan.
    pub files: Vec<FileReport>,
    /// The GitHub Release's page.
    pub release: Option<String>,
    /// Why the run failed, with its hint, for the summary.
    #[serde(skip)]
    pub error: Option<String>,
    /// The warnings of the rules, for the summary.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl Report {
    /// A report without files, for the start of a run.
    pub fn empty(index: &Index) -> Self {
        Self {
            schema: SCHEMA,
            generator: concat!("publish ", env!("CARGO_PKG_VERSION")).to_owned(),
            result: Outcome::DryRun,
            index: index.clone(),
            files: Vec::new(),
            release: None,
            error: None,
            warnings: Vec::new(),
        }
    }

    /// Shows the warnings of the rules, at most the first few.
    pub fn warn(&mut self, mut warnings: Vec<String>, ui: &Ui) {
        const SHOWN: usize = 8;
        if warnings.is_empty() {
            return;
        }
        let more = warnings.len().saturating_sub(SHOWN);
        warnings.truncate(SHOWN);
        if more > 0 {
            warnings.push(format!("and {more} more; verify-dist lists them all"));
        }
        ui.warning(format!("{}\n  {}", self.warned(), warnings.join("\n  ")));
        self.warnings = warnings;
    }

    fn warned(&self) -> String {
        format!("{} accepts these files with warnings:", self.index)
    }

    /// Adds the files of `plan` in their initial state.
    pub fn add_files(&mut self, plan: &Plan, dists: &[Dist]) {
        let file = |dist: &Dist, planned: &PlannedFile| FileReport {
            filename: dist.filename.clone(),
            package: dist.project.clone(),
            version: dist.version.clone(),
            size: dist.size,
            sha256: dist.sha256.clone(),
            state: match planned.action {
                Action::Conflict => State::Conflict,
                Action::Upload => State::Absent,
                Action::Keep => State::Present,
                Action::Unknown => State::Unknown,
            },
            url: None,
            attested: false,
            attempts: 0,
            message: planned.conflict.clone(),
        };
        self.files = plan.files().map(|planned| file(&dists[planned.dist], planned)).collect();
    }

    /// The entry of a file.
    pub fn file(&mut self, filename: &str) -> Option<&mut FileReport> {
        self.files.iter_mut().find(|file| file.filename == filename)
    }

    /// The number of files that this run has sent.
    pub fn uploaded(&self) -> usize {
        self.files.iter().filter(|file| file.state == State::Uploaded).count()
    }

    /// Marks the run as failed, and the files that were not sent as skipped.
    pub fn fail(&mut self, partial: bool) {
        self.result = if partial { Outcome::Partial } else { Outcome::Failed };
        let failed = |file: &&FileReport| matches!(file.state, State::Failed | State::Unverified);
        let why = match self.files.iter().find(failed) {
            Some(file) => format!("not sent: {} failed first", file.filename),
            None => "not sent".to_owned(),
        };
        for file in self.files.iter_mut().filter(|file| file.state == State::Absent) {
            (file.state, file.message) = (State::Skipped, Some(why.clone()));
        }
    }

    /// The result, derived from the files.
    pub fn outcome(&self) -> Outcome {
        let is = |states: &[State]| self.files.iter().filter(|file| states.contains(&file.state)).count();
        let there = is(&[State::Uploaded, State::Present]);
        match there {
            _ if is(&[State::Present]) == self.files.len() => Outcome::Unchanged,
            _ if there == self.files.len() => Outcome::Published,
            // The index accepted it, so it may be there although it is not listed.
            0 if is(&[State::Unverified]) == 0 => Outcome::Failed,
            _ => Outcome::Partial,
        }
    }

    /// Writes the report.
    pub fn write(&self, path: &Path, ui: &Ui) -> Result<Value, FileError> {
        let report = hidden(serde_json::to_value(self).unwrap_or_default(), ui);
        write_atomic(path, format!("{report:#}\n").as_bytes())?;
        Ok(report)
    }

    /// Writes the report, sets the outputs, adds to the summary.
    pub fn finish(&self, path: &Path, ui: &Ui) -> Result<(), FileError> {
        let report = self.write(path, ui)?;
        ui.output("result", word(self.result))?;
        ui.output("uploaded", self.uploaded().to_string())?;
        ui.output("files", report["files"].to_string())?;
        ui.output("requirements", self.requirements())?;
        ui.output("report-path", output_path(path))?;
        ui.output("release-url", self.release.as_deref().unwrap_or_default())?;
        ui.summary(&self.summary())
    }

    /// Lines for `pip install --require-hashes -r`.
    fn requirements(&self) -> String {
        let mut lines: Vec<(String, String)> = Vec::new();
        for file in &self.files {
            let pin = format!("{}=={}", file.package, file.version);
            let hash = format!(" --hash=sha256:{}", file.sha256);
            match lines.iter_mut().find(|(known, _)| *known == pin) {
                Some((_, hashes)) => hashes.push_str(&hash),
                None => lines.push((pin, hash)),
            }
        }
        lines.into_iter().map(|(pin, hashes)| pin + &hashes).collect::<Vec<_>>().join("\n")
    }

    /// The table for terminals.
    pub fn table(&self) -> String {
        let width = self.files.iter().map(|file| file.filename.len()).max().unwrap_or(0);
        let mut lines: Vec<String> = Vec::new();
        for file in &self.files {
            let (name, state) = (&file.filename, word(file.state));
            let message = file.message.as_deref().unwrap_or_default();
            lines.push(
                format!("{name:width$}  {state:10}  {}  {message}", &file.sha256[..12]).trim_end().to_owned(),
            );
        }
        lines.join("\n")
    }

    fn summary(&self) -> Summary {
        let rows = self.files.iter().map(|file| {
            let message = file.message.clone().unwrap_or_default();
            let attested = if file.attested { "yes" } else { "no" };
            [word(file.state), format!("`{}`", file.filename), attested.to_owned(), message]
        });
        let mut summary =
            Summary::new().heading(2, &format!("Publish to {}: {}", self.index, word(self.result)));
        if let Some(error) = &self.error {
            summary = summary.paragraph(error);
        }
        if !self.warnings.is_empty() {
            summary = summary.paragraph(&format!("{} {}", self.warned(), self.warnings.join("; ")));
        }
        if !self.files.is_empty() {
            // In the format of `sha256sum --check`.
            let hash = |file: &FileReport| format!("{}  {}", file.sha256, file.filename);
            let hashes: Vec<String> = self.files.iter().map(hash).collect();
            summary = summary.table(&["State", "File", "Attested", "Note"], rows);
            summary = summary.details("SHA-256 of the files", &hashes.join("\n"));
        }
        let there = |file: &&FileReport| matches!(file.state, State::Uploaded | State::Present);
        let pages: BTreeSet<String> = (self.files.iter().filter(there))
            .filter_map(|file| self.index.page(&file.package, &file.version))
            .collect();
        for page in pages {
            summary = summary.paragraph(&page);
        }
        match &self.release {
            Some(url) => summary.paragraph(&format!("GitHub Release: {url}")),
            None => summary,
        }
    }
}

/// A value's word in JSON.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// Hides secrets in a value's strings before JSON escapes them: replacing an
/// escaped secret could leave a part of it.
fn hidden(value: Value, ui: &Ui) -> Value {
    match value {
        Value::String(text) => Value::String(ui.hide(&text)),
        Value::Array(items) => items.into_iter().map(|item| hidden(item, ui)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, field)| (name, hidden(field, ui))).collect(),
        other => other,
    }
}
