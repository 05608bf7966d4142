//! From an outcome to outputs, summary and the JSON report.

use pydist::filename::DistName;
use pydist::tags::Tag;
use serde::Serialize;
use toolkit::{FileError, Summary, Ui, write_atomic};

use crate::inputs::SPEC;
use crate::plan::Plan;
use crate::repair::Change;
use crate::run::RunResult;
use crate::smoke::{Smoke, SmokeResult};

/// The report's schema (`docs/schema/build-report.json`).
const SCHEMA: u32 = 1;

/// What is written to `report-path`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: u32,
    generator: String,
    plan: &'a Plan,
    filename: String,
    size: u64,
    sha256: &'a str,
    package: String,
    version: &'a str,
    tags: Vec<String>,
    floor: Option<String>,
    artifact_name: String,
    repaired: &'a [Change],
    warnings: &'a [Change],
    smoke: &'a Smoke,
    reproducible: Option<bool>,
    seconds: Seconds,
}

#[derive(Debug, Serialize)]
struct Seconds {
    build: f64,
    repair: f64,
    smoke: f64,
}

/// Tells the runner, the user and the report file what came of it.
pub(crate) fn report(plan: &Plan, outcome: &RunResult, ui: &Ui) -> Result<(), FileError> {
    let tags: Vec<String> = match &outcome.name {
        DistName::Wheel(wheel) => wheel.tags.expand().iter().map(Tag::to_string).collect(),
        DistName::Sdist(_) => Vec::new(),
    };
    let package = outcome.name.project();
    let platform = outcome.name.wheel().and_then(|wheel| wheel.tags.platform.first());
    let report = Report {
        schema: SCHEMA,
        generator: format!("{} {}", SPEC.name, SPEC.version),
        plan,
        filename: outcome.name.to_string(),
        size: outcome.size,
        sha256: &outcome.sha256,
        version: outcome.name.version(),
        tags,
        floor: outcome.floor.as_ref().map(ToString::to_string),
        artifact_name: format!("dist-{package}-{}", platform.map_or("sdist", String::as_str)),
        package,
        repaired: &outcome.changes,
        warnings: &outcome.warnings,
        smoke: &outcome.smoke,
        reproducible: outcome.reproducible,
        seconds: Seconds {
            build: outcome.build_time.as_secs_f64(),
            repair: outcome.repair_time.as_secs_f64(),
            smoke: outcome.smoke_time.as_secs_f64(),
        },
    };
    let json = serde_json::to_vec_pretty(&report).unwrap_or_default();
    write_atomic(&plan.report_path, &json)?;

    ui.output("path", outcome.path.display().to_string())?;
    ui.output("filename", &report.filename)?;
    ui.output("sha256", report.sha256)?;
    ui.output("package", &report.package)?;
    ui.output("version", report.version)?;
    ui.output("tags", report.tags.join(" "))?;
    ui.output("floor", report.floor.as_deref().unwrap_or_default())?;
    ui.output("repaired", serde_json::to_string(report.repaired).unwrap_or_default())?;
    ui.output("smoke", outcome.smoke.result.name())?;
    ui.output("artifact-name", &report.artifact_name)?;
    ui.output("report", plan.report_path.display().to_string())?;
    ui.summary(&summary(&report))?;
    if outcome.smoke.result != SmokeResult::Off {
        ui.info(told(&outcome.smoke));
    }
    ui.report(format!("{}\nsha256 {}", outcome.path.display(), outcome.sha256));
    Ok(())
}

/// The smoke test in one line: how it ended, and why or after what.
fn told(smoke: &Smoke) -> String {
    let result = smoke.result.name();
    match (&smoke.reason, smoke.checks.len()) {
        (Some(reason), _) => format!("smoke test: {result} ({reason})"),
        (None, 0) => format!("smoke test: {result}"),
        (None, ran) => format!("smoke test: {result} (commands: {ran}, isolation: {})", smoke.isolation),
    }
}

fn summary(report: &Report<'_>) -> Summary {
    let code = |text: &str| format!("`{text}`");
    let smoke = report.smoke.result.name();
    let smoke = match &report.smoke.reason {
        Some(reason) => format!("{smoke}: {reason}"),
        None => smoke.to_owned(),
    };
    let mut rows = vec![
        ["file".to_owned(), code(&report.filename)],
        ["size".to_owned(), format!("{} bytes", report.size)],
        ["sha256".to_owned(), code(report.sha256)],
        ["runs on".to_owned(), report.floor.clone().unwrap_or_else(|| "any system".into())],
        ["smoke test".to_owned(), smoke],
    ];
    if let Some(same) = report.reproducible {
        rows.push(["reproducible".to_owned(), if same { "yes" } else { "no" }.into()]);
    }
    let heading = format!("{} {}", report.package, report.version);
    let mut summary = Summary::new().heading(3, &heading).table(&["", ""], rows);
    let cells =
        |changes: &[Change]| changes.iter().map(|c| [code(&c.file), c.what.clone()]).collect::<Vec<_>>();
    if !report.repaired.is_empty() {
        summary = summary.table(&["repaired", "what"], cells(report.repaired));
    }
    if !report.warnings.is_empty() {
        summary = summary.table(&["warning", "what"], cells(report.warnings));
    }
    summary
}
