//! Renders matrices: as text for a terminal, as rows of a Markdown table, as SVG.

mod svg;
mod text;

pub use svg::svg;
pub use text::text;

use crate::environment::known;
use crate::matrix::{Cell, Matrix};
use crate::names;

/// Environments of an architecture with the same outcomes.
#[derive(Debug)]
pub(crate) struct Row {
    /// `debian-11..13`, `rhel-8`.
    pub(crate) systems: Vec<String>,
    pub(crate) arch: &'static str,
    /// The index of the first environment in [`known`].
    pub(crate) first: usize,
}

/// The rows of a table by architecture, in the order of [`known`]: neighbours
/// with the same outcomes share one, across families only if `across`.
pub(crate) fn rows(matrix: &Matrix, columns: &[usize], across: bool) -> Vec<Row> {
    let known = &known().environments;
    let mut archs: Vec<&'static str> = Vec::new();
    for environment in known {
        if !archs.contains(&environment.arch.as_str()) {
            archs.push(&environment.arch);
        }
    }
    let cells = |row: usize| columns.iter().map(|column| matrix.cell(row, *column)).collect::<Vec<Cell>>();
    let same =
        |a: usize, b: usize| cells(a) == cells(b) && (across || known[a].family() == known[b].family());
    let mut rows: Vec<Row> = Vec::new();
    for arch in archs {
        let of_arch: Vec<usize> = (0..known.len()).filter(|row| known[*row].arch == arch).collect();
        for group in of_arch.chunk_by(|a, b| same(*a, *b)) {
            rows.push(Row { systems: names::systems(group), arch, first: group[0] });
        }
    }
    rows
}

/// The head and the rows of a Markdown table.
pub fn table(matrix: &Matrix) -> (Vec<String>, Vec<Vec<String>>) {
    let columns = matrix.columns();
    let titles = columns.iter().map(|column| known().pythons[*column].title.clone());
    let head = ["environment".to_owned()].into_iter().chain(titles).collect();
    let row = |row: Row| {
        let cells = columns.iter().map(|column| match matrix.cell(row.first, *column) {
            Cell::Absent => String::new(),
            Cell::Nothing => "nothing".to_owned(),
            Cell::Sdist(_) => "sdist".to_owned(),
            Cell::Wheel(file) => format!("wheel {}", file + 1),
            Cell::DoesNotLoad(file) => format!("wheel {}, but does not load", file + 1),
        });
        [format!("{} {}", row.systems.join(", "), row.arch)].into_iter().chain(cells).collect()
    };
    (head, rows(matrix, &columns, true).into_iter().map(row).collect())
}
