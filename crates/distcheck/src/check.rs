//! Applies rules to a set of distributions.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::facts::Body;
use crate::rule::{Check, Found, Out, Provenance, Rule, Set, Severity};
use crate::rules;

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

/// What the rules found, and how each ended for each file (`""` is the set).
#[derive(Debug, Default)]
pub struct Verdict {
    /// Sorted by file, rule, member.
    pub findings: Vec<Finding>,
    /// File → rule → outcome.
    pub outcomes: BTreeMap<String, BTreeMap<&'static str, Outcome>>,
}

/// Which rules to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every rule.
    All,
    /// What indexes reject: provenance [`Provenance::PypiRejects`]. publish
    /// uploads nothing that these rules call an error. As warnings, what PyPI
    /// has announced to reject.
    Gate,
    /// Rules about one file, for a wheel that was just built: everything but
    /// the rules about the set.
    Files,
    /// These ids and families (`NIX`), in any case.
    Only(Vec<String>),
}

/// What PyPI accepts with an e-mail to the owners that announces to reject it
/// (Warehouse, `wheel-record-mismatch-email`, since July 2025).
const ANNOUNCED: [&str; 2] = ["REC004", "REC005"];

impl Selection {
    /// Whether `rule` is applied.
    pub fn selects(&self, rule: &Rule) -> bool {
        match self {
            Self::All => true,
            Self::Gate => rule.provenance == Provenance::PypiRejects || ANNOUNCED.contains(&rule.id),
            Self::Files => !matches!(rule.check, Check::Set(_)),
            Self::Only(only) => {
                let family = rule.id.trim_end_matches(|c: char| c.is_ascii_digit());
                only.iter()
                    .any(|text| rule.id.eq_ignore_ascii_case(text) || family.eq_ignore_ascii_case(text))
            }
        }
    }
}

/// Applies the selected rules.
pub fn check(set: &Set<'_>, selection: &Selection) -> Verdict {
    let mut verdict = Verdict::default();
    for rule in rules::all().filter(|rule| selection.selects(rule)) {
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
    if *selection == Selection::Gate {
        for finding in verdict.findings.iter_mut().filter(|finding| ANNOUNCED.contains(&finding.rule)) {
            finding.severity = finding.severity.min(Severity::Warning);
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
    /// Findings of this provenance weigh at most `severity`.
    pub fn limit(&mut self, provenance: Provenance, severity: Severity) {
        for finding in &mut self.findings {
            if rules::find(finding.rule).is_some_and(|rule| rule.provenance == provenance) {
                finding.severity = finding.severity.min(severity);
            }
        }
    }

    /// The findings of severity [`Severity::Error`].
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

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
        if out.surplus > 0 {
            let file = (!file.is_empty()).then(|| file.to_owned());
            let message = format!("and {} more findings of this rule, which are not listed", out.surplus);
            let severity = out.surplus_weight.unwrap_or(rule.severity).min(rule.severity);
            self.findings.push(Finding { rule: rule.id, severity, file, member: None, message });
        }
    }
}
