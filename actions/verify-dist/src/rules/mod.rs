//! The rules. A rule is a pure function over facts, with a stable id; a file
//! holds one family. `docs/adding-a-rule.md` says how to add one.

mod abi;
mod archive;
mod content;
mod linux;
mod macos;
mod metadata;
mod names;
mod nix;
mod project;
mod record;
mod restructured;
mod scripts;
mod sdist;
mod set;
mod tags;
mod top;
mod windows;

pub use metadata::is_licence_expression;
pub use restructured::faults as restructured_faults;
pub(crate) use set::systems;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::facts::{Body, Dist, Sdist, Wheel};
use crate::previous::Listed;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Note,
    /// Worth mending; does not stop the release.
    Warning,
    /// Not fit to publish.
    Error,
}

/// What comes of it if nobody mends it; the severity follows from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// The index refuses the upload.
    PypiRejects,
    /// Installers fail, or install something else.
    BreaksInstall,
    /// What is installed does not work.
    BreaksRuntime,
    /// The release is not what it says it is.
    BreaksRelease,
    /// Untidy.
    Hygiene,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// `NIX001`; never used for anything else.
    pub id: &'static str,
    /// What holds where it passes.
    pub title: &'static str,
    /// The weight of its findings.
    pub severity: Severity,
    /// What comes of a finding.
    pub provenance: Provenance,
    /// Why it matters.
    pub why: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// How to mend it.
    pub fix: &'static str,
    /// The rule itself.
    pub check: Check,
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
    /// The platforms that each package with binaries must have.
    pub matrix: &'a [String],
    /// The git tag to compare versions with.
    pub tag: Option<&'a str>,
    /// Packages that must have a source distribution: `all`, or names.
    pub expect_sdist: &'a [String],
    /// What the index has of each package, where it was asked.
    pub previous: Option<&'a Published>,
    /// The top-level names that wheels may install; any by default.
    pub top_level: &'a [String],
}

/// Package → the files that an index lists.
pub type Published = BTreeMap<String, Vec<Listed>>;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// The weight.
    pub severity: Severity,
    /// The file's name; none for what concerns the whole set.
    pub file: Option<String>,
    /// The member it is about.
    pub member: Option<String>,
    /// What was found, what was expected.
    pub message: String,
}

/// How a rule ended for one file, or for the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing found.
    Passed,
    /// Something found.
    Failed,
    /// There is nothing in the file that it could look at.
    NotApplicable,
}

/// Takes what a rule finds.
#[derive(Debug, Default)]
pub struct Out {
    found: Vec<Found>,
    not_applicable: bool,
    weight: Option<Severity>,
}

#[derive(Debug)]
struct Found {
    file: Option<String>,
    member: Option<String>,
    message: String,
    /// Where it weighs less than its rule.
    weight: Option<Severity>,
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
    /// nobody any more.
    pub fn only(&mut self, weight: Severity) -> &mut Self {
        self.weight = Some(weight);
        self
    }

    fn push(&mut self, file: Option<String>, member: Option<String>, message: String) {
        self.found.push(Found { file, member, message, weight: self.weight.take() });
    }

    /// There is nothing to look at.
    pub fn not_applicable(&mut self) {
        self.not_applicable = true;
    }
}

/// Every rule, family by family.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [
        archive::RULES,
        names::RULES,
        tags::RULES,
        record::RULES,
        metadata::RULES,
        project::RULES,
        restructured::RULES,
        scripts::RULES,
        nix::RULES,
        linux::RULES,
        macos::RULES,
        windows::RULES,
        abi::RULES,
        content::RULES,
        top::RULES,
        sdist::RULES,
        set::RULES,
    ]
    .into_iter()
    .flatten()
}

/// The rule with this id, in any case.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

/// What the rules found, and how each ended for each file (`""` is the set).
#[derive(Debug, Default)]
pub struct Verdict {
    /// Sorted by file, rule, member.
    pub findings: Vec<Finding>,
    /// File → rule → outcome.
    pub outcomes: BTreeMap<String, BTreeMap<&'static str, Outcome>>,
}

/// Applies the rules that `wanted` selects.
pub fn apply(set: &Set<'_>, wanted: impl Fn(&Rule) -> bool) -> Verdict {
    let mut verdict = Verdict::default();
    for rule in all().filter(|rule| wanted(rule)) {
        if let Check::Set(check) = rule.check {
            let mut out = Out::default();
            check(set, &mut out);
            verdict.add(rule, "", out);
            continue;
        }
        for dist in set.dists {
            let mut out = Out::default();
            match (rule.check, &dist.body) {
                (Check::Dist(check), _) => check(dist, &mut out),
                (Check::Wheel(check), Body::Wheel(wheel)) => check(dist, wheel, &mut out),
                (Check::Sdist(check), Body::Sdist(sdist)) => check(dist, sdist, &mut out),
                _ => out.not_applicable(),
            }
            verdict.add(rule, &dist.filename, out);
        }
    }
    verdict.findings.sort_by(|a, b| {
        (&a.file, std::cmp::Reverse(a.severity), a.rule, &a.member, &a.message).cmp(&(
            &b.file,
            std::cmp::Reverse(b.severity),
            b.rule,
            &b.member,
            &b.message,
        ))
    });
    verdict
}

impl Verdict {
    fn add(&mut self, rule: &'static Rule, file: &str, out: Out) {
        let outcome = match (out.found.is_empty(), out.not_applicable) {
            (false, _) => Outcome::Failed,
            (true, true) => Outcome::NotApplicable,
            (true, false) => Outcome::Passed,
        };
        self.outcomes.entry(file.to_owned()).or_default().insert(rule.id, outcome);
        for Found { file: about, member, message, weight } in out.found {
            let file = about.or_else(|| (!file.is_empty()).then(|| file.to_owned()));
            let severity = weight.map_or(rule.severity, |weight| weight.min(rule.severity));
            self.findings.push(Finding { rule: rule.id, severity, file, member, message });
        }
    }
}

/// The first few of several names, for a message.
fn some<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    const SHOWN: usize = 4;
    let items: Vec<S> = items.into_iter().collect();
    let mut text =
        items.iter().take(SHOWN).map(|item| format!("`{}`", item.as_ref())).collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_families_in_order() {
        let ids: Vec<&str> = all().map(|rule| rule.id).collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "an id stands twice in {ids:?}");
        for rule in all() {
            let family = rule.id.trim_end_matches(|c: char| c.is_ascii_digit());
            assert!(rule.id.len() == family.len() + 3, "{}", rule.id);
            for text in [rule.why, rule.source, rule.fix] {
                assert!(text.ends_with('.'), "{}: {text}", rule.id);
            }
        }
    }
}
