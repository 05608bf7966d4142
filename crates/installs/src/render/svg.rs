//! SVG for a README.

use crate::environment::known;
use crate::matrix::{Cell, Matrix};
use crate::render::rows;

const ROW: usize = 18;
const COLUMN: usize = 46;
const LABEL: usize = 230;
const HEAD: usize = 52;

/// Draws the tables, on a background that suits both light and dark pages. Each
/// cell shows its file on hover.
pub fn svg(matrices: &[Matrix]) -> String {
    let (mut body, mut top, mut width) = (String::new(), 0, LABEL);
    for matrix in matrices {
        let columns = matrix.columns();
        width = width.max(LABEL + columns.len() * COLUMN + 12);
        top = draw_table(matrix, &columns, top, &mut body);
    }
    legend(&mut body, top + ROW);
    let height = top + 2 * ROW;
    let names: Vec<String> = matrices.iter().map(|matrix| escape(&matrix.project)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"11\" role=\"img\">\n\
         <title>Where pip installs a wheel of {}</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#ffffff\" stroke=\"#d0d7de\"/>\n{body}</svg>\n",
        names.join(", ")
    )
}

/// Draws one table from `top` on. Returns the position below it.
fn draw_table(matrix: &Matrix, columns: &[usize], top: usize, out: &mut String) -> usize {
    let rows = rows(matrix, columns, false);
    out.push_str(&format!(
        "<text x=\"12\" y=\"{}\" font-size=\"14\" font-weight=\"600\" fill=\"#1f2328\">{}</text>\n",
        top + 22,
        escape(&matrix.project)
    ));
    let top = top + HEAD;
    for (at, column) in columns.iter().enumerate() {
        let x = LABEL + at * COLUMN + COLUMN / 2;
        let title = known().pythons[*column].title.replace("PyPy ", "PyPy");
        out.push_str(&format!(
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-size=\"9\" fill=\"#59636e\">{title}</text>\n",
            top - 6
        ));
    }
    for (at, row) in rows.iter().enumerate() {
        let y = top + at * ROW;
        out.push_str(&format!(
            "<text x=\"12\" y=\"{}\" fill=\"#1f2328\">{} {}</text>\n",
            y + 13,
            row.systems.join(", "),
            row.arch
        ));
        for (place, column) in columns.iter().enumerate() {
            let cell = matrix.cell(row.first, *column);
            let Some((color, word)) = fill_and_label(cell) else { continue };
            let title = cell
                .file()
                .map_or(word.to_owned(), |file| format!("{word}: {}", escape(&matrix.files[file].filename)));
            out.push_str(&format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"3\" fill=\"{color}\"><title>{title}</title></rect>\n",
                LABEL + place * COLUMN + 2,
                y + 2,
                COLUMN - 4,
                ROW - 4
            ));
        }
    }
    top + rows.len() * ROW
}

fn legend(out: &mut String, y: usize) {
    let cells = [Cell::Wheel(0), Cell::Sdist(0), Cell::Nothing, Cell::DoesNotLoad(0)];
    let mut x = 12;
    for (color, word) in cells.into_iter().filter_map(fill_and_label) {
        out.push_str(&format!(
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"3\" fill=\"{color}\"/>\
             <text x=\"{}\" y=\"{y}\" fill=\"#59636e\">{word}</text>\n",
            y - 10,
            x + 17
        ));
        x += 40 + word.len() * 6;
    }
}

/// Colors that are distinct for people with red-green color blindness.
fn fill_and_label(cell: Cell) -> Option<(&'static str, &'static str)> {
    let color = match cell {
        Cell::Absent => return None,
        Cell::Wheel(_) => "#2a7f62",
        Cell::Sdist(_) => "#f2c14e",
        Cell::Nothing => "#d8dee4",
        Cell::DoesNotLoad(_) => "#c0392b",
    };
    Some((color, cell.word()))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
