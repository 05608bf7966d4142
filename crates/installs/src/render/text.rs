//! Text for a terminal.

use crate::environment::known;
use crate::matrix::{Cell, Matrix};
use crate::render::{Row, rows};

/// The width of the system names, with the space after them.
const LABEL: usize = 22;

/// The table of one project in lines of at most `width` characters. Pythons that
/// do not fit are in a second table below. The file names after the table are not
/// cut.
pub fn text(matrix: &Matrix, width: usize) -> String {
    let mut columns = matrix.columns();
    let all = rows(matrix, &columns, true);
    let mut out = format!("{}: the number of the wheel that pip installs\n", matrix.project);
    while !columns.is_empty() {
        let mut used = LABEL;
        let fits = columns.iter().take_while(|column| {
            used += column_width(matrix, **column);
            used <= width
        });
        let taken = fits.count().max(1);
        let rest = columns.split_off(taken);
        part(matrix, &all, &columns, &mut out);
        columns = rest;
    }
    out.push_str("\n  s sdist   - nothing   ! wheel, but does not load   blank: no such Python\n");
    for (at, file) in matrix.files.iter().enumerate() {
        out.push_str(&format!("{:>5}  {}\n", at + 1, file.filename));
    }
    out
}

/// One table, headed by the architecture and the Pythons.
fn part(matrix: &Matrix, all: &[Row], columns: &[usize], out: &mut String) {
    for group in all.chunk_by(|a, b| a.arch == b.arch) {
        let heads = columns.iter().map(|column| {
            let width = column_width(matrix, *column);
            format!("{:>width$}", heading(&known().pythons[*column].title))
        });
        out.push_str(&format!("\n{:LABEL$}{}\n", group[0].arch, heads.collect::<String>()));
        for row in group {
            let cells = columns.iter().map(|column| {
                let width = column_width(matrix, *column);
                format!("{:>width$}", symbol(matrix.cell(row.first, *column)))
            });
            let mut lines = wrapped(&row.systems).into_iter();
            let line = format!("{:LABEL$}{}", lines.next().unwrap_or_default(), cells.collect::<String>());
            out.push_str(line.trim_end());
            out.push('\n');
            for line in lines {
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
}

/// The names, wrapped to the width of their column.
fn wrapped(systems: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (at, system) in systems.iter().enumerate() {
        let comma = if at + 1 < systems.len() { "," } else { "" };
        match lines.last_mut() {
            Some(line) if line.len() + system.len() + 2 < LABEL => {
                line.push_str(&format!(" {system}{comma}"))
            }
            _ => lines.push(format!("  {system}{comma}")),
        }
    }
    lines
}

/// `3.12`, `13t`, and `p311` for PyPy 3.11.
fn heading(title: &str) -> String {
    match title.strip_prefix("PyPy ") {
        Some(version) => format!("p{}", version.replace('.', "")),
        None if title.ends_with('t') => title.trim_start_matches("3.").to_owned(),
        None => title.to_owned(),
    }
}

fn symbol(cell: Cell) -> String {
    match cell {
        Cell::Absent => String::new(),
        Cell::Nothing => "-".to_owned(),
        Cell::Sdist(_) => "s".to_owned(),
        Cell::Wheel(file) => (file + 1).to_string(),
        Cell::DoesNotLoad(file) => format!("!{}", file + 1),
    }
}

/// With a space before it.
fn column_width(matrix: &Matrix, column: usize) -> usize {
    let cells = (0..known().environments.len()).map(|row| symbol(matrix.cell(row, column)).len());
    let widest = cells.max().unwrap_or_default();
    1 + widest.max(heading(&known().pythons[column].title).len())
}
