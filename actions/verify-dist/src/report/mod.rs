//! What is told, and to whom.

pub(crate) mod installs;
pub(crate) mod json;
pub(crate) mod sarif;
pub(crate) mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use pydist::digest::hex;
use pydist::filename::DistName;
use pydist::manifest::{self, Manifest};
use serde::Serialize;
use toolkit::{Annotation, FileError, Level, Summary, Ui};

use crate::config::Config;
use crate::report::installs::Installs;
use distcheck::facts::Dist;
use distcheck::{Finding, Outcome, Severity, Verdict, rules};

/// Everything there is to tell.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) files: Vec<FileReport>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) unused: Vec<String>,
    /// How the rules about the set ended.
    pub(crate) set: BTreeMap<&'static str, Outcome>,
    pub(crate) manifest: Option<(PathBuf, String)>,
    pub(crate) installs: Installs,
}

/// One file, and how each rule ended for it.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    pub(crate) filename: String,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) platform: String,
    /// The columns of the job summary that it fills.
    #[serde(skip)]
    pub(crate) systems: BTreeSet<String>,
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) rules: BTreeMap<&'static str, Outcome>,
}

/// A finding that the configuration accepts.
#[derive(Debug, Serialize)]
pub(crate) struct Accepted {
    #[serde(flatten)]
    pub(crate) finding: Finding,
    pub(crate) reason: String,
}

impl Report {
    pub(crate) fn new(dists: &[Dist], mut verdict: Verdict, config: &Config, installs: Installs) -> Self {
        let (mut findings, mut accepted) = (Vec::new(), Vec::new());
        for finding in verdict.findings {
            match config.accepts(&finding) {
                Some(reason) => accepted.push(Accepted { reason: reason.to_owned(), finding }),
                None => findings.push(finding),
            }
        }
        let files = dists.iter().map(|dist| FileReport {
            filename: dist.filename.clone(),
            package: dist.project(),
            version: dist.version(),
            platform: match &dist.name {
                Ok(DistName::Wheel(wheel)) => wheel.tags.to_string(),
                _ => "sdist".to_owned(),
            },
            systems: match dist.wheel_name() {
                Some(wheel) => rules::systems(&wheel.tags).collect(),
                None => BTreeSet::from(["sdist".to_owned()]),
            },
            size: dist.size,
            sha256: hex(&dist.sha256),
            rules: verdict.outcomes.remove(&dist.filename).unwrap_or_default(),
        });
        let files = files.collect();
        let set = verdict.outcomes.remove("").unwrap_or_default();
        let unused =
            config.unused().map(|ignore| format!("{} for `{}`", ignore.rule, ignore.files)).collect();
        Self { files, findings, accepted, unused, set, manifest: None, installs }
    }

    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// `3 files, 1 error, no warnings`.
    pub(crate) fn verdict(&self) -> String {
        let number = |count: usize, word: &str| match count {
            0 => format!("no {word}s"),
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        };
        let accepted = match self.accepted.len() {
            0 => String::new(),
            count => format!(", {count} accepted"),
        };
        format!(
            "{}, {}, {}{accepted}",
            number(self.files.len(), "file"),
            number(self.count(Severity::Error), "error"),
            number(self.count(Severity::Warning), "warning"),
        )
    }
}

/// The manifest of a set without errors.
pub(crate) fn manifest(report: &Report, dists: &[Dist]) -> Manifest {
    let files = report.files.iter().zip(dists).map(|(file, dist)| {
        let passed = file.rules.iter().filter(|(_, outcome)| **outcome == Outcome::Passed);
        manifest::File {
            filename: file.filename.clone(),
            kind: if dist.wheel().is_some() { manifest::Kind::Wheel } else { manifest::Kind::Sdist },
            package: file.package.clone(),
            version: file.version.clone(),
            size: file.size,
            sha256: file.sha256.clone(),
            tags: dist
                .wheel_name()
                .map(|name| name.tags.expand().iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
            rules: passed.map(|(id, _)| (*id).to_owned()).collect(),
        }
    });
    Manifest::new(concat!("verify-dist ", env!("CARGO_PKG_VERSION")), files.collect())
}

/// Annotations, job summary and outputs.
pub(crate) fn publish(report: &Report, ui: &Ui, annotate: bool) -> Result<(), FileError> {
    // The most serious first: the runner shows ten of a kind.
    let mut findings: Vec<&Finding> = report.findings.iter().filter(|_| annotate).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in findings {
        let level = match finding.severity {
            Severity::Note => Level::Notice,
            Severity::Warning => Level::Warning,
            Severity::Error => Level::Error,
        };
        let place = [finding.file.as_deref(), finding.member.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(": ");
        let message =
            if place.is_empty() { finding.message.clone() } else { format!("{place}: {}", finding.message) };
        ui.annotate(&Annotation { level, title: finding.rule.to_owned(), message, file: None });
    }
    for unused in &report.unused {
        ui.warning(format!("an `ignore` accepts nothing and can go: {unused}"));
    }
    ui.summary(&summary(report))?;
    let (path, digest) = report
        .manifest
        .as_ref()
        .map_or((String::new(), ""), |(path, digest)| (path.display().to_string(), digest.as_str()));
    ui.output("manifest-path", path)?;
    ui.output("manifest-sha256", digest)?;
    ui.output("errors", report.count(Severity::Error).to_string())?;
    ui.output("warnings", report.count(Severity::Warning).to_string())
}

fn summary(report: &Report) -> Summary {
    let weight = |file: &FileReport| {
        let own = report.findings.iter().filter(|finding| finding.file.as_ref() == Some(&file.filename));
        own.map(|finding| finding.severity).max().unwrap_or(Severity::Note)
    };
    // Package × platform: the worst of the files that serve it.
    let systems: BTreeSet<&String> = report.files.iter().flat_map(|file| &file.systems).collect();
    let packages: BTreeSet<(&str, &str)> =
        report.files.iter().map(|file| (file.package.as_str(), file.version.as_str())).collect();
    let row = |(package, version): (&str, &str)| {
        let cell = |system: &&String| {
            let files = report.files.iter().filter(|file| {
                (file.package.as_str(), file.version.as_str()) == (package, version)
                    && file.systems.contains(system.as_str())
            });
            let cell = match files.map(weight).max() {
                Some(Severity::Error) => "error",
                Some(Severity::Warning) => "warning",
                Some(Severity::Note) => "fit",
                None => "–",
            };
            cell.to_owned()
        };
        [format!("{package} {version}")].into_iter().chain(systems.iter().map(cell)).collect::<Vec<_>>()
    };
    let head: Vec<&str> =
        ["package"].into_iter().chain(systems.iter().map(|system| system.as_str())).collect();
    let mut summary = Summary::new()
        .heading(2, "Distributions")
        .paragraph(&report.verdict())
        .table(&head, packages.into_iter().map(row));
    summary = report.installs.summary(summary);
    if !report.findings.is_empty() {
        let rows = report.findings.iter().map(|finding| {
            let place = [finding.file.as_deref(), finding.member.as_deref()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(": ");
            [
                finding.rule.to_owned(),
                table::word(finding.severity).to_owned(),
                place,
                finding.message.clone(),
            ]
        });
        summary = summary.heading(3, "Findings").table(&["rule", "severity", "where", "what"], rows);
    }
    summary
}
