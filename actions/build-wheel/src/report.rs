//! The outputs, the job summary and the JSON report.

use pydist::filename::DistName;
use pydist::name::ProjectName;
use pydist::tags::Tag;
use serde::Serialize;
use toolkit::{FileError, Summary, Ui, megabytes, output_path, write_atomic_unsynced};

use crate::inputs::SPEC;
use crate::plan::Plan;
use crate::repair::Change;
use crate::run::{Distribution, RunResult};
use crate::smoke::{Smoke, SmokeResult};

/// The report's schema (`docs/schema/build-report.json`).
const SCHEMA: u32 = 1;

/// The JSON report. Its fields for a single distribution describe the first one.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: u32,
    generator: String,
    plan: &'a Plan,
    #[serde(flatten)]
    first: DistributionReport<'a>,
    package: ProjectName,
    version: &'a str,
    artifact_name: String,
    distributions: Vec<DistributionReport<'a>>,
    reproducible: Option<bool>,
    seconds: Seconds,
}

/// The part of the report about one distribution.
#[derive(Debug, Clone, Serialize)]
struct DistributionReport<'a> {
    filename: String,
    size: u64,
    sha256: &'a str,
    tags: Vec<String>,
    floor: Option<String>,
    repaired: &'a [Change],
    warnings: &'a [Change],
    smoke: &'a Smoke,
}

#[derive(Debug, Serialize)]
struct Seconds {
    build: f64,
    repair: f64,
    smoke: f64,
}

impl<'a> DistributionReport<'a> {
    fn of(distribution: &'a Distribution) -> Self {
        Self {
            filename: distribution.name.to_string(),
            size: distribution.size,
            sha256: &distribution.sha256,
            tags: match &distribution.name {
                DistName::Wheel(wheel) => wheel.tags.expand().iter().map(Tag::to_string).collect(),
                DistName::Sdist(_) => Vec::new(),
            },
            floor: distribution.floor.as_ref().map(ToString::to_string),
            repaired: &distribution.changes,
            warnings: &distribution.warnings,
            smoke: &distribution.smoke,
        }
    }
}

/// Writes the results to the runner, the user and the report file.
pub(crate) fn report(plan: &Plan, result: &RunResult, ui: &Ui) -> Result<(), FileError> {
    let all = &result.distributions;
    let Some(first) = all.first() else { return Ok(()) };
    let package = first.name.project();
    let platform = first.name.wheel().and_then(|wheel| wheel.tags.platform.first());
    let report = Report {
        schema: SCHEMA,
        generator: format!("{} {}", SPEC.name, SPEC.version),
        plan,
        first: DistributionReport::of(first),
        version: first.name.version(),
        artifact_name: format!("dist-{package}-{}", platform.map_or("sdist", String::as_str)),
        package,
        distributions: all.iter().map(DistributionReport::of).collect(),
        reproducible: result.reproducible,
        seconds: Seconds {
            build: result.build_time.as_secs_f64(),
            repair: result.repair_time.as_secs_f64(),
            smoke: result.smoke_time.as_secs_f64(),
        },
    };
    let json = serde_json::to_vec_pretty(&report).unwrap_or_default();
    write_atomic_unsynced(&plan.report_path, &json)?;

    let lines = |line: &dyn Fn(&Distribution) -> String| all.iter().map(line).collect::<Vec<_>>().join("\n");
    // Several files leave the singular output empty, so that a workflow which
    // // expects one does not silently ignore the others.
    for (name, names, line) in [
        (
            "path",
            "paths",
            &(|dist: &Distribution| output_path(&dist.path)) as &dyn Fn(&Distribution) -> String,
        ),
        ("filename", "filenames", &|dist| dist.name.to_string()),
        ("sha256", "sha256s", &|dist| dist.sha256.clone()),
    ] {
        ui.output(name, if all.len() == 1 { line(first) } else { String::new() })?;
        ui.output(names, lines(line))?;
    }
    ui.output("package", report.package.as_str())?;
    ui.output("version", report.version)?;
    let mut tags: Vec<&str> = Vec::new();
    for tag in report.distributions.iter().flat_map(|dist| &dist.tags) {
        if !tags.contains(&tag.as_str()) {
            tags.push(tag);
        }
    }
    ui.output("tags", tags.join(" "))?;
    // All distributions of a build are for the same system.
    let floor = all.iter().filter_map(|dist| dist.floor.as_ref()).max_by_key(|floor| floor.version);
    ui.output("floor", floor.map(ToString::to_string).unwrap_or_default())?;
    let repaired: Vec<&Change> = all.iter().flat_map(|dist| &dist.changes).collect();
    ui.output("repaired", serde_json::to_string(&repaired).unwrap_or_default())?;
    ui.output("smoke", worst_smoke_result(all).name())?;
    ui.output("artifact-name", &report.artifact_name)?;
    ui.output("report", output_path(&plan.report_path))?;
    ui.summary(&summary(&report))?;
    for dist in all {
        if dist.smoke.result != SmokeResult::Off {
            ui.info(smoke_line(&dist.smoke));
        }
        ui.report(format!("{}\nsha256 {}", dist.path.display(), dist.sha256));
    }
    Ok(())
}

/// The worst smoke test result of the wheels.
fn worst_smoke_result(all: &[Distribution]) -> SmokeResult {
    let wheels = all.iter().filter(|dist| dist.name.wheel().is_some());
    wheels.map(|dist| dist.smoke.result).max().unwrap_or(SmokeResult::Off)
}

/// The smoke test in one line.
fn smoke_line(smoke: &Smoke) -> String {
    let result = smoke.result.name();
    match (&smoke.reason, smoke.checks.len()) {
        (Some(reason), _) => format!("smoke test: {result} ({reason})"),
        (None, 0) => format!("smoke test: {result}"),
        (None, count) => format!("smoke test: {result} (commands: {count}, isolation: {})", smoke.isolation),
    }
}

fn summary(report: &Report<'_>) -> Summary {
    let heading = format!("{} {}", report.package, report.version);
    let summary = Summary::new().heading(3, &heading);
    let entries = report.distributions.iter();
    entries.fold(summary, |summary, entry| add_entry(summary, entry, report.reproducible))
}

fn add_entry(summary: Summary, entry: &DistributionReport<'_>, reproducible: Option<bool>) -> Summary {
    let code = |text: &str| format!("`{text}`");
    let smoke = entry.smoke.result.name();
    let smoke = match &entry.smoke.reason {
        Some(reason) => format!("{smoke}: {reason}"),
        None => smoke.to_owned(),
    };
    let mut rows = vec![
        ["file".to_owned(), code(&entry.filename)],
        ["size".to_owned(), megabytes(entry.size)],
        ["sha256".to_owned(), code(entry.sha256)],
        ["runs on".to_owned(), entry.floor.clone().unwrap_or_else(|| "any system".into())],
        ["smoke test".to_owned(), smoke],
    ];
    if let Some(same) = reproducible {
        rows.push(["reproducible".to_owned(), if same { "yes" } else { "no" }.into()]);
    }
    let mut summary = summary.table(&["what", "result"], rows);
    let cells =
        |changes: &[Change]| changes.iter().map(|c| [code(&c.file), c.what.clone()]).collect::<Vec<_>>();
    if !entry.repaired.is_empty() {
        summary = summary.table(&["repaired", "what"], cells(entry.repaired));
    }
    if !entry.warnings.is_empty() {
        summary = summary.table(&["warning", "what"], cells(entry.warnings));
    }
    summary
}
