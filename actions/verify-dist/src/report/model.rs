//! The data of all reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use distcheck::dist::Dist;
use distcheck::{Finding, RuleOutcome, Severity, Verdict};
use pydist::digest::hex;
use pydist::filename::DistName;
use pydist::manifest::{self, Manifest};
use serde::Serialize;

use crate::config::Config;
use crate::report::installs::Installs;

/// The data of all reports.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) files: Vec<FileReport>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) unused: Vec<String>,
    /// The outcomes of the rules about the set.
    pub(crate) set: BTreeMap<&'static str, RuleOutcome>,
    pub(crate) manifest: Option<(PathBuf, String)>,
    pub(crate) installs: Installs,
}

/// One file, with the outcome of each rule.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    pub(crate) filename: String,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) platform: String,
    /// The columns of the job summary that it covers.
    #[serde(skip)]
    pub(crate) systems: BTreeSet<String>,
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) rules: BTreeMap<&'static str, RuleOutcome>,
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
            package: dist.project().map_or_else(|| dist.filename.clone(), |project| project.to_string()),
            version: dist.version(),
            platform: match &dist.name {
                Ok(DistName::Wheel(wheel)) => wheel.tags.to_string(),
                _ => "sdist".to_owned(),
            },
            systems: match dist.wheel_name() {
                Some(wheel) => distcheck::systems(&wheel.tags).collect(),
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

    /// `3 files: 1 error, 2 warnings, 1 accepted`.
    pub(crate) fn verdict(&self) -> String {
        let counts = [
            (self.count(Severity::Error), "error"),
            (self.count(Severity::Warning), "warning"),
            (self.count(Severity::Note), "note"),
        ];
        let mut parts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| toolkit::count(count, word))
            .collect();
        if parts.is_empty() {
            parts.push("no findings".into());
        }
        if !self.accepted.is_empty() {
            parts.push(format!("{} accepted", self.accepted.len()));
        }
        format!("{}: {}", toolkit::count(self.files.len(), "file"), parts.join(", "))
    }
}

/// The manifest of a set without errors.
pub(crate) fn manifest(report: &Report, dists: &[Dist]) -> Manifest {
    let files = report.files.iter().zip(dists).map(|(file, dist)| {
        let passed = file.rules.iter().filter(|(_, outcome)| **outcome == RuleOutcome::Passed);
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
