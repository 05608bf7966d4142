//! For code scanning: SARIF 2.1.0 (OASIS). A distribution is no file of the
//! repository, so findings are anchored at the configuration, with file and
//! member as logical location.

use pydist::digest::{hex, sha256};
use serde_json::{Value, json};

use crate::report::Report;
use distcheck::{Finding, Rule, Severity, rules};

/// Code scanning takes no more results of one upload.
const LIMIT: usize = 5000;

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.title },
        "fullDescription": { "text": rule.why },
        "help": { "text": format!("{}\n\nSource: {}", rule.fix, rule.source) },
        "defaultConfiguration": { "level": level(rule.severity) },
        "properties": { "provenance": rule.provenance },
    })
}

fn result(finding: &Finding, anchor: &str, suppressed: Option<&str>) -> Value {
    let place = [finding.file.as_deref(), finding.member.as_deref()];
    let place = place.into_iter().flatten().collect::<Vec<_>>().join("/");
    let print = sha256(format!("{} {place} {}", finding.rule, finding.message).as_bytes());
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": anchor.replace('\\', "/").replace(' ', "%20") },
            "region": { "startLine": 1 },
        },
    });
    if !place.is_empty() {
        location["logicalLocations"] = json!([{ "fullyQualifiedName": place, "kind": "member" }]);
    }
    let text =
        if place.is_empty() { finding.message.clone() } else { format!("{place}: {}", finding.message) };
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": { "text": text },
        "locations": [location],
        "partialFingerprints": { "verifyDist/v1": hex(&print[..16]) },
    });
    if let Some(reason) = suppressed {
        result["suppressions"] = json!([{ "kind": "external", "justification": reason }]);
    }
    result
}

pub(crate) fn text(report: &Report, anchor: &str) -> String {
    let open = report.findings.iter().map(|finding| result(finding, anchor, None));
    let accepted =
        report.accepted.iter().map(|accepted| result(&accepted.finding, anchor, Some(&accepted.reason)));
    let results: Vec<Value> = open.chain(accepted).take(LIMIT).collect();
    let sarif = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "verify-dist",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules::all().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    let mut text = serde_json::to_string_pretty(&sarif).unwrap_or_default();
    text.push('\n');
    text
}
