//! A rule: its description, the function that applies it, and the findings that
//! the function reports.

use std::collections::BTreeMap;

use installs::require::Requirement;
use pydist::filename::DistName;
use pydist::metadata::Metadata;
use pydist::name::ProjectName;
use serde::Serialize;

use crate::dist::{Dist, Sdist, Wheel};
use crate::pattern::Pattern;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Note,
    /// Worth fixing; does not block the release.
    Warning,
    /// Must not be published.
    Error,
}

/// The consequence of a violation, from which the severity follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// The index rejects the upload.
    PypiRejects,
    /// Installers fail or install the wrong files.
    BreaksInstall,
    /// The installed package does not work.
    BreaksRuntime,
    /// The release is not what it claims to be.
    BreaksRelease,
    /// Cosmetic or wasteful.
    Hygiene,
}

/// One rule.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// `NIX001`; never reused for another rule.
    pub id: &'static str,
    /// The statement that is true if the rule passes.
    pub title: &'static str,
    /// The severity of its findings.
    pub severity: Severity,
    /// The consequence of a violation.
    pub provenance: Provenance,
    /// Why it matters.
    pub why: &'static str,
    /// The source of the rule.
    pub source: &'static str,
    /// How to fix it.
    pub fix: &'static str,
    /// An example of its report.
    pub example: &'static str,
    /// The function that applies the rule; not part of its description.
    #[serde(skip)]
    pub check: Check,
    /// A file or set that violates it.
    #[cfg(test)]
    #[serde(skip)]
    pub(crate) fails: fn() -> crate::fixture::Case,
}

/// What a rule checks.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// Any distribution, even an unreadable one.
    Dist(fn(&Dist, &mut Findings)),
    /// Metadata that can be read.
    Metadata(fn(&Dist, &Metadata, &mut Findings)),
    /// A wheel.
    Wheel(fn(&Dist, &Wheel, &mut Findings)),
    /// A source distribution.
    Sdist(fn(&Dist, &Sdist, &mut Findings)),
    /// All distributions together.
    Set(fn(&Set<'_>, &mut Findings)),
}

/// All distributions, and the expectations of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Set<'a> {
    /// Sorted by file name.
    pub dists: &'a [Dist],
    /// The platforms (`manylinux_*_x86_64`) or tags (`cp313-*-win_amd64`) that each
    /// package with binaries must have.
    pub matrix: &'a [Pattern],
    /// The git tag to compare versions with.
    pub tag: Option<&'a str>,
    /// Packages that must have a source distribution: `all`, or names.
    pub expect_sdist: &'a [String],
    /// The files of each package on the index, if it was queried.
    pub previous: Option<&'a Published>,
    /// Names of other archives beside the distributions.
    pub others: &'a [String],
    /// The top-level names that wheels may install; any by default.
    pub top_level: &'a [String],
    /// The environments that every package must have a wheel for.
    pub require: &'a [Requirement],
    /// Whether it is an error if an environment loses its wheel.
    pub lost_is_error: bool,
}

/// Package → the files that an index lists.
pub type Published = BTreeMap<ProjectName, Vec<PublishedFile>>;

/// A file that the index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Its name.
    pub filename: String,
    /// The parsed name.
    pub name: DistName,
    /// Lower-case hexadecimal, if the index provides it.
    pub sha256: Option<String>,
    /// `Requires-Python`, from the index or the metadata.
    pub requires_python: Option<String>,
    /// Whether it is yanked (PEP 592).
    pub yanked: bool,
}

/// At most this many findings of a rule are listed for one file.
const MAX_FINDINGS: usize = 100;

/// Collects the findings of a rule.
#[derive(Debug, Default)]
pub struct Findings {
    pub(crate) found: Vec<RawFinding>,
    pub(crate) not_applicable: bool,
    /// The number and the highest severity of findings beyond [`MAX_FINDINGS`].
    pub(crate) unlisted: usize,
    pub(crate) unlisted_severity: Option<Severity>,
    severity: Option<Severity>,
}

#[derive(Debug)]
pub(crate) struct RawFinding {
    pub(crate) file: Option<String>,
    pub(crate) member: Option<String>,
    pub(crate) message: String,
    /// The severity, if it differs from the rule's.
    pub(crate) severity: Option<Severity>,
}

impl Findings {
    /// Reports a finding about the whole file.
    pub fn found(&mut self, message: impl Into<String>) {
        self.push(None, None, message.into());
    }

    /// Reports a finding about a member.
    pub fn at(&mut self, member: &str, message: impl Into<String>) {
        self.push(None, Some(member.to_owned()), message.into());
    }

    /// Reports a finding of a set rule about one of its files.
    pub fn about(&mut self, file: &Dist, message: impl Into<String>) {
        self.push(Some(file.filename.clone()), None, message.into());
    }

    /// Sets the severity of the next finding, if it affects only few users.
    /// `None` is the rule's own severity.
    pub fn with_severity(&mut self, severity: impl Into<Option<Severity>>) -> &mut Self {
        self.severity = severity.into();
        self
    }

    fn push(&mut self, file: Option<String>, member: Option<String>, message: String) {
        let severity = self.severity.take();
        if self.found.len() < MAX_FINDINGS {
            return self.found.push(RawFinding { file, member, message, severity });
        }
        self.unlisted += 1;
        self.unlisted_severity = self.unlisted_severity.max(severity.or(Some(Severity::Error)));
    }

    /// Marks the rule as not applicable.
    pub fn not_applicable(&mut self) {
        self.not_applicable = true;
    }
}

/// The first few names, for a message.
pub(crate) fn some<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    const SHOWN: usize = 4;
    let items: Vec<S> = items.into_iter().collect();
    let mut text =
        items.iter().take(SHOWN).map(|item| format!("`{}`", item.as_ref())).collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    text
}
