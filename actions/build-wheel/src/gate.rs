//! Applies the rules of verify-dist to the wheel, so that this action makes nothing
//! that the next step rejects.

use distcheck::{Finding, Provenance, Selection, Set, Severity, check, rules, scan};

use crate::build_result::BuildResult;
use crate::error::Error;
use crate::repair::{Change, LIMITS};

/// Store paths that no loader reads, which the repair has reported.
const ALREADY_REPORTED: &str = "NIX004";

/// Rules whose notes are about libraries in `exclude`.
const LIBRARIES: [&str; 3] = ["LNX003", "MAC004", "WIN004"];

/// DLLs that the wheel lacks are a warning: another package may provide them.
const DLLS: &str = "WIN004";
const DLL_HINT: &str = "; hint: set `graft` to copy DLLs of this machine into the wheel, or name those that users have in `exclude`";

/// Applies the rules about one file and returns the warnings. Errors that only an
/// index reports are warnings here, because not every wheel is uploaded.
pub(crate) fn inspect(result: &BuildResult) -> Result<Vec<Change>, Error> {
    let threads = toolkit::cores();
    let dists = scan(std::slice::from_ref(&result.path), &LIMITS, threads)?;
    let mut verdict = check(&Set { dists: &dists, ..Set::default() }, &Selection::Files);
    verdict.limit(Provenance::PypiRejects, Severity::Warning);
    let place = |finding: &Finding| finding.member.clone().unwrap_or_else(|| result.name.to_string());
    let errors: Vec<&Finding> = verdict.errors().collect();
    if let Some(first) = errors.first() {
        let line = |finding: &&Finding| format!("{} `{}`: {}", finding.rule, place(finding), finding.message);
        return Err(Error::Gate {
            file: result.name.to_string(),
            findings: errors.iter().map(line).collect(),
            hint: rules::find(first.rule).map(|rule| rule.fix.to_owned()),
        });
    }
    // The repair has reported binaries for other systems.
    let is_foreign =
        |finding: &Finding| finding.member.as_ref().is_some_and(|member| result.foreign.contains(member));
    let is_warning = |finding: &&Finding| match finding.severity {
        Severity::Error => false,
        Severity::Warning => finding.rule != ALREADY_REPORTED && !is_foreign(finding),
        Severity::Note => LIBRARIES.contains(&finding.rule),
    };
    let warnings = verdict.findings.iter().filter(is_warning);
    let change = |finding: &Finding| {
        let hint = if finding.rule == DLLS && finding.severity == Severity::Warning { DLL_HINT } else { "" };
        Change { file: place(finding), what: format!("{} ({}){hint}", finding.message, finding.rule) }
    };
    Ok(warnings.map(change).collect())
}
