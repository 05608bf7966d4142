//! Where the set can be installed, and the changes since the previous release.

use std::collections::BTreeMap;

use distcheck::rules::{PackageChanges, changes};
use distcheck::{Set, installable};
use installs::environment::known;
use installs::matrix::{Cell, Matrix, matrices};
use installs::require::RequirementError;
use installs::{render, why};
use serde::Serialize;
use toolkit::Summary;

/// The schema's major version.
const SCHEMA: u32 = 1;
/// A terminal's usual width.
const WIDTH: usize = 80;

/// The outcomes of the set, by package.
#[derive(Debug)]
pub(crate) struct Installs {
    matrices: Vec<Matrix>,
    changes: Vec<PackageChanges>,
}

/// The JSON form, a part of `docs/schema/verify-report.json`.
#[derive(Serialize)]
pub(crate) struct InstallsJson<'a> {
    /// When the data about environments was last reviewed.
    date: &'static str,
    packages: Vec<Package<'a>>,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Package<'a> {
    package: &'a str,
    environments: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    environment: String,
    /// Python → outcome.
    outcomes: BTreeMap<&'static str, CellOutcome<'a>>,
}

#[derive(Serialize)]
struct CellOutcome<'a> {
    outcome: &'static str,
    file: Option<&'a str>,
}

#[derive(Serialize)]
struct Change<'a> {
    package: &'a str,
    previous: String,
    loss: bool,
    before: &'static str,
    after: &'static str,
    reason: &'a str,
    file_before: Option<&'a str>,
    file_after: Option<&'a str>,
    /// `ubuntu-20.04 x86_64 cp38`.
    environments: Vec<String>,
}

/// The report of the command `installs` (`docs/schema/installs-report.json`).
#[derive(Serialize)]
struct InstallsReport<'a> {
    schema: u32,
    generator: &'static str,
    #[serde(flatten)]
    installs: InstallsJson<'a>,
}

impl Installs {
    pub(crate) fn new(set: &Set<'_>) -> Self {
        Self { matrices: matrices(installable(set.dists)), changes: changes(set) }
    }

    /// The tables, for a terminal.
    pub(crate) fn tables(&self) -> String {
        self.matrices.iter().map(|matrix| render::text(matrix, WIDTH)).collect::<Vec<_>>().join("\n")
    }

    /// The tables and all changes, for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = self.tables();
        for package in &self.changes {
            text.push_str(&format!("\nsince {} {}:", package.package, package.previous));
            if package.changes.is_empty() {
                text.push_str(" no change");
            }
            text.push('\n');
            for change in &package.changes {
                let mark = if change.is_loss { "loss" } else { "gain" };
                text.push_str(&wrapped(&format!("  {mark}: {}", change.text())));
            }
        }
        text
    }

    /// The explanation of the cells that `text` names.
    pub(crate) fn why(&self, text: &str) -> Result<String, RequirementError> {
        why::why(text, &self.matrices)
    }

    /// The tables as SVG.
    pub(crate) fn svg(&self) -> String {
        render::svg(&self.matrices)
    }

    /// Adds the tables and the changes to the job summary.
    pub(crate) fn summary(&self, mut summary: Summary) -> Summary {
        for matrix in &self.matrices {
            let (head, rows) = render::table(matrix);
            let head: Vec<&str> = head.iter().map(String::as_str).collect();
            let files = matrix.files.iter().enumerate();
            let files = files.map(|(at, file)| format!("{:>4}  {}", at + 1, file.filename));
            let files = files.collect::<Vec<_>>().join("\n");
            let content = Summary::new().table(&head, rows).details("The numbered files", &files);
            summary = summary.fold(&format!("Where pip installs {}", matrix.project), true, content);
        }
        for package in self.changes.iter().filter(|package| !package.changes.is_empty()) {
            let rows = package.changes.iter().map(|change| {
                let what = format!("{} → {}", change.before, change.after);
                [installs::names::cells(&change.cells), what, change.reason.clone()]
            });
            summary = summary
                .heading(3, &format!("Since {} {}", package.package, package.previous))
                .table(&["environments", "change", "reason"], rows);
        }
        summary
    }

    pub(crate) fn json(&self) -> InstallsJson<'_> {
        let changes = self.changes.iter().flat_map(|package| {
            package.changes.iter().map(|change| Change {
                package: &package.package,
                previous: package.previous.to_string(),
                loss: change.is_loss,
                before: change.before,
                after: change.after,
                reason: &change.reason,
                file_before: change.file_before.as_deref(),
                file_after: change.file_after.as_deref(),
                environments: change.cells.iter().map(|(row, column)| name(*row, *column)).collect(),
            })
        });
        InstallsJson {
            date: &known().date,
            packages: self.matrices.iter().map(package).collect(),
            changes: changes.collect(),
        }
    }

    /// The JSON report of the command `installs`.
    pub(crate) fn report(&self) -> String {
        let generator = concat!("verify-dist ", env!("CARGO_PKG_VERSION"));
        let report = InstallsReport { schema: SCHEMA, generator, installs: self.json() };
        let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Wraps a line at the width of a terminal, with the rest indented.
fn wrapped(text: &str) -> String {
    const INDENT: &str = "        ";
    let mut out = String::new();
    let mut width = 0;
    for word in text.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if width > INDENT.len() && width + length > WIDTH {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.push_str(INDENT);
            width = INDENT.len();
        }
        out.push_str(word);
        width += word.chars().count();
    }
    out.push('\n');
    out
}

fn name(row: usize, column: usize) -> String {
    format!("{} {}", known().environments[row], known().pythons[column].name)
}

fn package(matrix: &Matrix) -> Package<'_> {
    let columns = matrix.columns();
    let outcome = |row: usize, column: usize| {
        let cell = matrix.cell(row, column);
        let file = cell.file().map(|file| matrix.files[file].filename.as_str());
        let python = known().pythons[column].name.as_str();
        (cell != Cell::Absent).then_some((python, CellOutcome { outcome: cell.word(), file }))
    };
    let row = |(row, environment): (usize, &installs::environment::Environment)| Row {
        environment: environment.to_string(),
        outcomes: columns.iter().filter_map(|column| outcome(row, *column)).collect(),
    };
    Package {
        package: &matrix.project,
        environments: known().environments.iter().enumerate().map(row).collect(),
    }
}
