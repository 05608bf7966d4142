//! The report for terminals.

use std::collections::BTreeMap;

use distcheck::{Rule, Severity, rules};
use toolkit::count;

use crate::report::model::Report;

/// At most this many findings of a rule are shown per file.
const SHOWN: usize = 5;

pub(crate) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// Files, then findings, then the verdict.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    let width = report.files.iter().map(|file| file.filename.len()).max().unwrap_or_default();
    let mut found: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for finding in &report.findings {
        let counts = found.entry(finding.file.as_deref().unwrap_or_default()).or_default();
        counts[finding.severity as usize] += 1;
    }
    for file in &report.files {
        let counts = found.get(file.filename.as_str()).copied().unwrap_or_default();
        let words = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
        let parts: Vec<String> = words
            .into_iter()
            .map(|(severity, word)| (counts[severity as usize], word))
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| count(number, word))
            .collect();
        let verdict = if parts.is_empty() { "ok".to_owned() } else { parts.join(", ") };
        text.push_str(&format!("{:width$}  {:>7} kB  {verdict}\n", clean(&file.filename), file.size / 1000));
    }
    text.push('\n');
    text.push_str(&report.installs.tables());
    let mut shown: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    for finding in &report.findings {
        let count = shown.entry((finding.rule, finding.file.as_deref())).or_default();
        *count += 1;
        if *count > SHOWN {
            continue;
        }
        text.push_str(&format!("\n{}[{}]", word(finding.severity), finding.rule));
        for place in [&finding.file, &finding.member].into_iter().flatten() {
            text.push_str(&format!(" {}", clean(place)));
        }
        text.push_str(&format!("\n  {}\n", clean(&finding.message)));
        if let Some(rule) = rules::find(finding.rule) {
            text.push_str(&format!("  hint: {}\n", rule.fix));
        }
    }
    for ((rule, file), count) in shown.into_iter().filter(|(_, count)| *count > SHOWN) {
        let file = clean(file.unwrap_or("the set"));
        text.push_str(&format!("\n{rule} {file}: {} more; the JSON report lists them\n", count - SHOWN));
    }
    for accepted in &report.accepted {
        let file = accepted.finding.file.as_deref().unwrap_or("the set");
        text.push_str(&format!(
            "\naccepted[{}] {}: {}\n",
            accepted.finding.rule,
            clean(file),
            clean(&accepted.reason)
        ));
    }
    text.push_str(&format!("\n{}\n", report.verdict()));
    if let Some((path, digest)) = &report.manifest {
        text.push_str(&format!("manifest: {} (sha256 {digest})\n", path.display()));
    }
    text
}

/// Removes control characters, so that an archive cannot control the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// All rules, one per line.
pub(crate) fn rules() -> String {
    let line = |rule: &Rule| format!("{}  {:7}  {}\n", rule.id, word(rule.severity), rule.title);
    rules::all().map(line).collect()
}

/// The explanation of a rule.
pub(crate) fn explain(rule: &Rule) -> String {
    let provenance = serde_json::to_value(rule.provenance).ok();
    let provenance = provenance.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
    format!(
        "{}: {}\n\nseverity: {} ({provenance})\nwhy:      {}\nsource:   {}\nfix:      {}\nexample:  {}\n",
        rule.id,
        rule.title,
        word(rule.severity),
        rule.why,
        rule.source,
        rule.fix,
        rule.example
    )
}
