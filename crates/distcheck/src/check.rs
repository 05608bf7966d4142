//! Applies rules to a set of distributions.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dist::Body;
use crate::rule::{Check, Findings, Provenance, RawFinding, Rule, Set, Severity};
use crate::rules;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// Its severity.
    pub severity: Severity,
    /// The file's name; `None` for a finding about the whole set.
    pub file: Option<String>,
    /// The member, if it is about one.
    pub member: Option<String>,
    /// What was found, what was expected.
    pub message: String,
}

/// The outcome of a rule for one file, or for the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleOutcome {
    /// The rule found nothing.
    Passed,
    /// The rule found something.
    Failed,
    /// The file has nothing that the rule checks.
    NotApplicable,
}

/// The findings, and the outcome of each rule for each file (`""` is the set).
#[derive(Debug, Default)]
pub struct Verdict {
    /// Sorted by file, rule, member.
    pub findings: Vec<Finding>,
    /// File → rule → outcome.
    pub outcomes: BTreeMap<String, BTreeMap<&'static str, RuleOutcome>>,
}

/// Which rules to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every rule.
    All,
    /// Rules that indexes enforce (provenance [`Provenance::PypiRejects`]):
    /// publish uploads nothing with an error of these. Also, as warnings, what
    /// PyPI has announced to reject.
    Gate,
    /// All rules except those about the set, for a wheel that was just built.
    Files,
    /// These ids and families (`NIX`), in any case.
    Only(Vec<String>),
}

/// Rules whose violations PyPI accepts with an e-mail that announces their
/// rejection (Warehouse, `wheel-record-mismatch-email`, since July 2025).
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
            let mut out = Findings::default();
            check(set, &mut out);
            verdict.add(rule, "", out);
            continue;
        }
        for dist in set.dists {
            let mut out = Findings::default();
            match (rule.check, &dist.body, dist.metadata()) {
                (Check::Dist(check), ..) => check(dist, &mut out),
                (Check::Metadata(check), _, Some(metadata)) => check(dist, metadata, &mut out),
                (Check::Wheel(check), Body::Wheel(wheel), _) => check(dist, wheel, &mut out),
                (Check::Sdist(check), Body::Sdist(sdist), _) => check(dist, sdist, &mut out),
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
    /// Lowers the severity of findings of this provenance to at most `severity`.
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

    fn add(&mut self, rule: &'static Rule, file: &str, out: Findings) {
        let outcome = match (out.found.is_empty(), out.not_applicable) {
            (false, _) => RuleOutcome::Failed,
            (true, true) => RuleOutcome::NotApplicable,
            (true, false) => RuleOutcome::Passed,
        };
        self.outcomes.entry(file.to_owned()).or_default().insert(rule.id, outcome);
        for RawFinding { file: about, member, message, severity } in out.found {
            let file = about.or_else(|| (!file.is_empty()).then(|| file.to_owned()));
            let severity = severity.map_or(rule.severity, |severity| severity.min(rule.severity));
            self.findings.push(Finding { rule: rule.id, severity, file, member, message });
        }
        if out.unlisted > 0 {
            let file = (!file.is_empty()).then(|| file.to_owned());
            let message = format!("and {} more findings of this rule", out.unlisted);
            let severity = out.unlisted_severity.unwrap_or(rule.severity).min(rule.severity);
            self.findings.push(Finding { rule: rule.id, severity, file, member: None, message });
        }
    }
}
