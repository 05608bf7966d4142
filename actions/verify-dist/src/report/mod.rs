//! Annotations, job summary and outputs. The modules below write the other report
//! formats.

pub(crate) mod installs;
pub(crate) mod json;
pub(crate) mod model;
pub(crate) mod sarif;
pub(crate) mod table;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use distcheck::{Finding, Severity, rules};
use toolkit::{Annotation, Env, FileError, Level, Summary, Ui, output_path};

use crate::report::model::{FileReport, Report};

/// The location of the rule pages.
pub(crate) struct RulePages {
    /// The URL of their directory; `None` if the repository is unknown.
    base: Option<String>,
}

impl RulePages {
    /// Derives the URL from the directory to which the runner downloaded the action:
    /// `…/_actions/OWNER/REPOSITORY/REF/…`.
    pub(crate) fn of(env: &Env) -> Self {
        let path = env.get("GITHUB_ACTION_PATH").unwrap_or_default().replace('\\', "/");
        let base = path.split_once("/_actions/").and_then(|(_, rest)| {
            let mut parts = rest.split('/');
            let (owner, repository, reference) = (parts.next()?, parts.next()?, parts.next()?);
            let server = env.get("GITHUB_SERVER_URL").unwrap_or("https://github.com");
            Some(format!("{server}/{owner}/{repository}/blob/{reference}/docs/rules"))
        });
        Self { base }
    }

    /// The URL of a rule's page.
    pub(crate) fn page(&self, rule: &str) -> Option<String> {
        self.base.as_ref().map(|base| format!("{base}/{rule}.md"))
    }
}

/// The file and the member of a finding, in backticks.
fn place(finding: &Finding) -> Option<String> {
    let parts: Vec<&str> =
        [finding.file.as_deref(), finding.member.as_deref()].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// Annotations, job summary and outputs.
pub(crate) fn publish(report: &Report, ui: &Ui, annotate: bool, pages: &RulePages) -> Result<(), FileError> {
    // The most serious first: the runner shows ten per level.
    let mut findings: Vec<&Finding> = report.findings.iter().filter(|_| annotate).collect();
    findings.sort_by_key(|finding| Reverse(finding.severity));
    for finding in findings {
        let level = match finding.severity {
            Severity::Note => Level::Notice,
            Severity::Warning => Level::Warning,
            Severity::Error => Level::Error,
        };
        let mut message = match place(finding) {
            Some(place) => format!("{place}: {}", finding.message),
            None => finding.message.clone(),
        };
        if let Some(rule) = rules::find(finding.rule) {
            message.push_str(&format!("\nhint: {}", rule.fix));
        }
        ui.annotate(&Annotation { level, title: finding.rule.to_owned(), message, file: None });
    }
    for unused in &report.unused {
        ui.warning(format!("an `ignore` matches no finding and can be removed: {unused}"));
    }
    ui.summary(&summary(report, pages))?;
    let (path, digest) = report
        .manifest
        .as_ref()
        .map_or((String::new(), ""), |(path, digest)| (output_path(path), digest.as_str()));
    ui.output("manifest-path", path)?;
    ui.output("manifest-sha256", digest)?;
    ui.output("errors", report.count(Severity::Error).to_string())?;
    ui.output("warnings", report.count(Severity::Warning).to_string())
}

fn summary(report: &Report, pages: &RulePages) -> Summary {
    let (head, rows) = matrix(report);
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let summary = Summary::new().heading(2, "Distributions").paragraph(&report.verdict()).table(&head, rows);
    let summary = if report.findings.is_empty() { summary } else { findings(report, pages, summary) };
    report.installs.summary(summary)
}

/// Adds the findings by rule, the most serious first, each with its fix. Two
/// columns fit on a phone.
fn findings(report: &Report, pages: &RulePages, summary: Summary) -> Summary {
    let mut by_rule: BTreeMap<(Reverse<Severity>, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        by_rule.entry((Reverse(finding.severity), finding.rule)).or_default().push(finding);
    }
    let mut summary = summary.heading(3, "Findings");
    for ((Reverse(severity), id), findings) in by_rule {
        let mut title = format!("{} {id} ({})", table::word(severity), findings.len());
        let mut content = Summary::new();
        if let Some(rule) = rules::find(id) {
            title.push_str(&format!(", expected: {}", rule.title));
            content = content.paragraph(&format!("Fix: {}", rule.fix));
        }
        if let Some(page) = pages.page(id) {
            content = content.paragraph(&page);
        }
        let rows = findings.iter().map(|finding| {
            let place = place(finding).map_or_else(|| "the set".to_owned(), |place| format!("`{place}`"));
            [finding.message.clone(), place]
        });
        summary = summary.fold(&title, severity != Severity::Note, content.table(&["what", "where"], rows));
    }
    summary
}

/// Package × platform: the worst of the files that serve it.
fn matrix(report: &Report) -> (Vec<String>, Vec<Vec<String>>) {
    let mut worst: BTreeMap<&str, Severity> = BTreeMap::new();
    for finding in &report.findings {
        let file = worst.entry(finding.file.as_deref().unwrap_or_default()).or_insert(Severity::Note);
        *file = (*file).max(finding.severity);
    }
    let weight = |file: &FileReport| worst.get(file.filename.as_str()).copied().unwrap_or(Severity::Note);
    let systems: BTreeSet<&String> = report.files.iter().flat_map(|file| &file.systems).collect();
    let packages: BTreeSet<(&str, &str)> =
        report.files.iter().map(|file| (file.package.as_str(), file.version.as_str())).collect();
    let head = std::iter::once("package".to_owned()).chain(systems.iter().map(|system| (*system).clone()));
    let mut rows = Vec::new();
    for (package, version) in packages {
        let cell = |system: &&String| {
            let files = report.files.iter().filter(|file| {
                (file.package.as_str(), file.version.as_str()) == (package, version)
                    && file.systems.contains(system.as_str())
            });
            let cell = match files.map(weight).max() {
                Some(Severity::Error) => "error",
                Some(Severity::Warning) => "warning",
                Some(Severity::Note) => "ok",
                None => "–",
            };
            cell.to_owned()
        };
        let name = format!("{package} {version}");
        rows.push(std::iter::once(name).chain(systems.iter().map(cell)).collect());
    }
    (head.collect(), rows)
}
