//! The JSON report (`docs/schema/verify-report.json`).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::installs;
use crate::report::model::{Accepted, FileReport, Report};
use distcheck::{Finding, RuleOutcome, Severity};

/// The schema's major version.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct JsonReport<'a> {
    schema: u32,
    generator: &'static str,
    errors: usize,
    warnings: usize,
    files: &'a [FileReport],
    set: &'a BTreeMap<&'static str, RuleOutcome>,
    findings: &'a [Finding],
    accepted: &'a [Accepted],
    unused_ignores: &'a [String],
    manifest_sha256: Option<&'a str>,
    installs: installs::InstallsJson<'a>,
}

pub(crate) fn text(report: &Report) -> String {
    let json = JsonReport {
        schema: SCHEMA,
        generator: concat!("verify-dist ", env!("CARGO_PKG_VERSION")),
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        files: &report.files,
        set: &report.set,
        findings: &report.findings,
        accepted: &report.accepted,
        unused_ignores: &report.unused,
        manifest_sha256: report.manifest.as_ref().map(|(_, digest)| digest.as_str()),
        installs: report.installs.json(),
    };
    let mut text = serde_json::to_string_pretty(&json).unwrap_or_default();
    text.push('\n');
    text
}
