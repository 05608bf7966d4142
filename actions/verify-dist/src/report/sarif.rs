//! SARIF 2.1.0 (OASIS) for code scanning. A distribution is not a file of the
//! repository, so findings are anchored at the configuration, with file and
//! member as the logical location.

use std::collections::BTreeMap;

use distcheck::{Finding, Provenance, Rule, Severity, rules};
use pydist::digest::{hex, sha256};
use serde::Serialize;

use crate::report::RulePages;
use crate::report::model::Report;

/// Code scanning accepts no more results in one upload.
const MAX_RESULTS: usize = 5000;

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    column_kind: &'static str,
    results: Vec<SarifResult>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<Descriptor>,
}

/// `reportingDescriptor`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    id: &'static str,
    short_description: Message,
    full_description: Message,
    help: Message,
    /// The rule's page, if its URL is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    help_uri: Option<String>,
    default_configuration: Configuration,
    properties: Properties,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Properties {
    provenance: Provenance,
}

/// `result`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: &'static str,
    level: &'static str,
    message: Message,
    locations: [Location; 1],
    partial_fingerprints: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<LogicalLocation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: String,
    kind: &'static str,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    justification: String,
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

impl Descriptor {
    fn new(rule: &Rule, pages: &RulePages) -> Self {
        let message = |text: &str| Message { text: text.to_owned() };
        Self {
            id: rule.id,
            short_description: message(rule.title),
            full_description: message(rule.why),
            help: Message { text: format!("{}\n\nSource: {}", rule.fix, rule.source) },
            help_uri: pages.page(rule.id),
            default_configuration: Configuration { level: level(rule.severity) },
            properties: Properties { provenance: rule.provenance },
        }
    }
}

impl SarifResult {
    fn new(finding: &Finding, anchor: &str, accepted: Option<&str>) -> Self {
        let place = [finding.file.as_deref(), finding.member.as_deref()];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join("/");
        let print = sha256(format!("{} {place} {}", finding.rule, finding.message).as_bytes());
        let text =
            if place.is_empty() { finding.message.clone() } else { format!("{place}: {}", finding.message) };
        let uri = anchor.replace('\\', "/").replace(' ', "%20");
        let logical = (!place.is_empty())
            .then(|| LogicalLocation { fully_qualified_name: place.clone(), kind: "member" });
        let location = Location {
            physical_location: PhysicalLocation {
                artifact_location: ArtifactLocation { uri },
                region: Region { start_line: 1 },
            },
            logical_locations: logical.into_iter().collect(),
        };
        let suppression =
            accepted.map(|reason| Suppression { kind: "external", justification: reason.to_owned() });
        Self {
            rule_id: finding.rule,
            level: level(finding.severity),
            message: Message { text },
            locations: [location],
            partial_fingerprints: BTreeMap::from([("verifyDist/v1", hex(&print[..16]))]),
            suppressions: suppression.into_iter().collect(),
        }
    }
}

pub(crate) fn text(report: &Report, anchor: &str, pages: &RulePages) -> String {
    let open = report.findings.iter().map(|finding| SarifResult::new(finding, anchor, None));
    let accepted = report
        .accepted
        .iter()
        .map(|accepted| SarifResult::new(&accepted.finding, anchor, Some(&accepted.reason)));
    let driver = Driver {
        name: "verify-dist",
        semantic_version: env!("CARGO_PKG_VERSION"),
        rules: rules::all().map(|rule| Descriptor::new(rule, pages)).collect(),
    };
    let log = Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool { driver },
            column_kind: "unicodeCodePoints",
            results: open.chain(accepted).take(MAX_RESULTS).collect(),
        }],
    };
    let mut text = serde_json::to_string_pretty(&log).unwrap_or_default();
    text.push('\n');
    text
}
