//! What verify-dist would say of the wheel, by the same rules: nothing leaves
//! this action that the next step rejects.

use distcheck::{Finding, Limits, Provenance, Selection, Set, Severity, check, rules, scan};

use crate::build_result::BuildResult;
use crate::error::Error;
use crate::plan::Plan;
use crate::repair::Change;

/// As many and as large members as the repair takes.
const LIMITS: Limits = Limits { members: 1_000_000, member_size: 64 << 30, total_size: 256 << 30 };

/// Store paths that no loader looks at: the repair has named them.
const SAID_BEFORE: &str = "NIX004";

/// Libraries that not every machine has. The repair has refused those that are
/// not excluded.
const LIBRARIES: &str = "LNX003";

/// Applies the rules about one file; gives the warnings. What an index rejects
/// is a warning here: not every wheel goes to one.
pub(crate) fn inspect(plan: &Plan, result: &BuildResult) -> Result<Vec<Change>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let dists = scan(std::slice::from_ref(&result.path), &LIMITS, threads)?;
    let mut verdict = check(&Set { dists: &dists, ..Set::default() }, &Selection::Files);
    verdict.limit(Provenance::PypiRejects, Severity::Warning);
    let place = |finding: &Finding| finding.member.clone().unwrap_or_else(|| result.name.to_string());
    // What is for another platform was reported, and is not what the wheel runs.
    let is_foreign =
        |finding: &Finding| finding.member.as_ref().is_some_and(|member| result.foreign.contains(member));
    let is_excluded = |finding: &Finding| finding.rule == LIBRARIES && !plan.exclude.is_empty();
    let is_accepted = |finding: &Finding| is_foreign(finding) || is_excluded(finding);
    let errors: Vec<&Finding> = verdict.errors().filter(|finding| !is_accepted(finding)).collect();
    if let Some(first) = errors.first() {
        let line = |finding: &&Finding| format!("{} `{}`: {}", finding.rule, place(finding), finding.message);
        return Err(Error::Gate {
            file: result.name.to_string(),
            findings: errors.iter().map(line).collect(),
            hint: rules::find(first.rule).map(|rule| rule.fix.to_owned()),
        });
    }
    let warnings = verdict.findings.iter();
    let is_warning = |finding: &Finding| match finding.severity {
        Severity::Warning => true,
        Severity::Error => is_excluded(finding),
        Severity::Note => false,
    };
    let warnings = warnings.filter(|finding| is_warning(finding) && finding.rule != SAID_BEFORE);
    let change = |finding: &Finding| Change {
        file: place(finding),
        what: format!("{} ({})", finding.message, finding.rule),
    };
    Ok(warnings.map(change).collect())
}
