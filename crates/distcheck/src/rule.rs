//! What a rule is: its description, the function that applies it, and what
//! that function reports.

use std::collections::BTreeMap;

use installs::require::Requirement;
use pydist::filename::DistName;
use pydist::name::ProjectName;
use serde::Serialize;

use crate::facts::{Dist, Sdist, Wheel};
use crate::pattern::Pattern;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Note,
    /// Worth fixing; does not stop the release.
    Warning,
    /// Must not be published.
    Error,
}

/// What happens if nobody fixes it; the severity follows from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// The index refuses the upload.
    PypiRejects,
    /// Installers fail, or install something else.
    BreaksInstall,
    /// What is installed does not work.
    BreaksRuntime,
    /// The release is not what it claims to be.
    BreaksRelease,
    /// Untidy.
    Hygiene,
}

/// One rule.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// `NIX001`; never used for anything else.
    pub id: &'static str,
    /// What holds where it passes.
    pub title: &'static str,
    /// The weight of its findings.
    pub severity: Severity,
    /// What a finding leads to.
    pub provenance: Provenance,
    /// Why it matters.
    pub why: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// How to fix it.
    pub fix: &'static str,
    /// What it reports about a file that breaks it.
    pub example: &'static str,
    /// The rule itself; not part of its description.
    #[serde(skip)]
    pub check: Check,
    /// A file, or a set, that breaks it.
    #[cfg(test)]
    #[serde(skip)]
    pub(crate) fails: fn() -> crate::fixture::Case,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// Any distribution, even one that cannot be read.
    Dist(fn(&Dist, &mut Out)),
    /// A wheel.
    Wheel(fn(&Dist, &Wheel, &mut Out)),
    /// A source distribution.
    Sdist(fn(&Dist, &Sdist, &mut Out)),
    /// All distributions together.
    Set(fn(&Set<'_>, &mut Out)),
}

/// All distributions, and what is expected of them.
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
    /// What the index has of each package, where it was asked.
    pub previous: Option<&'a Published>,
    /// Names of other archives beside the distributions.
    pub others: &'a [String],
    /// The top-level names that wheels may install; any by default.
    pub top_level: &'a [String],
    /// The environments that every package must have a wheel for.
    pub require: &'a [Requirement],
    /// Whether it is an error that an environment loses its wheel.
    pub lost_is_error: bool,
}

/// Package → the files that an index lists.
pub type Published = BTreeMap<ProjectName, Vec<PublishedFile>>;

/// A file that the index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Its name.
    pub filename: String,
    /// The name, understood.
    pub name: DistName,
    /// Lower-case hexadecimal, where the index says it.
    pub sha256: Option<String>,
    /// `Requires-Python`, where the index or the metadata give it.
    pub requires_python: Option<String>,
    /// Whether it is yanked (PEP 592).
    pub yanked: bool,
}

/// So many findings of a rule are listed for one file.
const LIMIT: usize = 100;

/// Takes what a rule finds.
#[derive(Debug, Default)]
pub struct Out {
    pub(crate) found: Vec<Found>,
    pub(crate) not_applicable: bool,
    /// How many findings there were beyond [`LIMIT`], and the most serious.
    pub(crate) surplus: usize,
    pub(crate) surplus_weight: Option<Severity>,
    weight: Option<Severity>,
}

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) file: Option<String>,
    pub(crate) member: Option<String>,
    pub(crate) message: String,
    /// Where it weighs less than its rule.
    pub(crate) weight: Option<Severity>,
}

impl Out {
    /// A finding about the whole file.
    pub fn found(&mut self, message: impl Into<String>) {
        self.push(None, None, message.into());
    }

    /// A finding about a member.
    pub fn at(&mut self, member: &str, message: impl Into<String>) {
        self.push(None, Some(member.to_owned()), message.into());
    }

    /// A finding of a set rule about one of its files.
    pub fn about(&mut self, file: &Dist, message: impl Into<String>) {
        self.push(Some(file.filename.clone()), None, message.into());
    }

    /// The next finding weighs less than the rule: it breaks only some, or
    /// nobody any more. `None`: as much as the rule.
    pub fn only(&mut self, weight: impl Into<Option<Severity>>) -> &mut Self {
        self.weight = weight.into();
        self
    }

    fn push(&mut self, file: Option<String>, member: Option<String>, message: String) {
        let weight = self.weight.take();
        if self.found.len() < LIMIT {
            return self.found.push(Found { file, member, message, weight });
        }
        self.surplus += 1;
        self.surplus_weight = self.surplus_weight.max(weight.or(Some(Severity::Error)));
    }

    /// There is nothing to look at.
    pub fn not_applicable(&mut self) {
        self.not_applicable = true;
    }
}

/// The first few of several names, for a message.
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
