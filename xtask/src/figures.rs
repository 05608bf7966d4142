//! Generates the figures of the README from the tables of docs/benchmarks.md.

use toolkit::FileError;

use crate::error::Error;
use crate::shell::Shell;

const BENCHMARKS: &str = "docs/benchmarks.md";

/// A figure: what was measured, the section and the row that contain it, and the columns of
/// ours and of the peers.
struct Figure {
    about: &'static str,
    section: &'static str,
    /// How the row's first cell starts.
    row: &'static str,
    ours: usize,
    /// Names of peers and their columns. Without a name, the cell contains it.
    peers: &'static [(&'static str, usize)],
}

const UPLOADERS: &[(&str, usize)] = &[("uv publish", 2), ("twine", 3)];

const TAR: &[(&str, usize)] = &[("tar and zstd", 2)];

const FIGURES: [Figure; 10] = [
    Figure {
        about: "restoring 144 store paths (3.6 GB), hashes checked",
        section: "setup-nix",
        row: "restore, mounted",
        ours: 1,
        peers: &[("tar and zstd, no hash checked", 2)],
    },
    Figure {
        about: "the end of the job: all of them saved, packed in the background",
        section: "setup-nix",
        row: "end of job, packed in the background",
        ours: 1,
        peers: TAR,
    },
    Figure {
        about: "saving one path that has changed",
        section: "setup-nix",
        row: "one path changed",
        ours: 1,
        peers: TAR,
    },
    Figure {
        about: "Nix wheels that the tool accepts although they stay broken",
        section: "build-wheel",
        row: "broken Nix wheels that pass",
        ours: 1,
        peers: &[("", 2)],
    },
    Figure {
        about: "repair of a 10 MB wheel",
        section: "build-wheel",
        row: "repair of a 10 MB wheel",
        ours: 1,
        peers: &[("", 2)],
    },
    Figure {
        about: "installing the wheel and running it",
        section: "build-wheel",
        row: "smoke test, with uv",
        ours: 1,
        peers: &[("", 2)],
    },
    Figure {
        about: "uploading 8 files of 10 MiB to pypiserver",
        section: "publish",
        row: "8 × 10 MiB to pypiserver",
        ours: 1,
        peers: UPLOADERS,
    },
    Figure {
        about: "the index fails once (503)",
        section: "publish",
        row: "one 503",
        ours: 1,
        peers: UPLOADERS,
    },
    Figure {
        about: "the index stores a file, and its answer is lost",
        section: "publish",
        row: "stored, answer lost",
        ours: 1,
        peers: UPLOADERS,
    },
    Figure {
        about: "the index answers 200 and stores nothing",
        section: "publish",
        row: "200, but not there",
        ours: 1,
        peers: UPLOADERS,
    },
];

/// The README's table of figures.
pub(crate) fn table(shell: &Shell) -> Result<String, Error> {
    let path = shell.root.join(BENCHMARKS);
    let text = std::fs::read_to_string(&path).map_err(FileError::new("read", &path))?;
    let rows: Result<String, String> = FIGURES.iter().map(|figure| row(&text, figure)).collect();
    let rows = rows.map_err(|problem| Error::Check(format!("{BENCHMARKS}: {problem}")))?;
    Ok(format!("| | here | others |\n| --- | --- | --- |\n{rows}"))
}

fn row(text: &str, figure: &Figure) -> Result<String, String> {
    let Figure { about, section, row, ours, peers } = figure;
    let start = format!("## {section}");
    let cells: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != start)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| "))
        .find(|line| line.starts_with(row))
        .map(|line| line.trim_end_matches('|').split('|').map(str::trim).collect())
        .ok_or_else(|| {
            format!("no row `{row}` in section `{section}`; update `FIGURES` in xtask/src/figures.rs")
        })?;
    let cell = |column: usize| {
        cells.get(column).copied().ok_or_else(|| format!("row `{row}` has no column {column}"))
    };
    let mut others = Vec::new();
    for (name, column) in *peers {
        let value = cell(*column)?;
        others.push(if name.is_empty() { value.to_owned() } else { format!("{name}: {value}") });
    }
    Ok(format!("| {about} | {} | {} |\n", cell(*ours)?, others.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Figure =
        Figure { about: "time", section: "b", row: "x", ours: 1, peers: &[("p", 2), ("", 3)] };

    #[test]
    fn reads_a_figure_from_its_section() {
        let text = "## a\n| x | no | no | no |\n## b\n| x of y | 1 s | 2 s | q 3 s | bar |\n## c\n";
        assert_eq!(row(text, &ONE).unwrap(), "| time | 1 s | p: 2 s; q 3 s |\n");
    }

    #[test]
    fn names_a_missing_row() {
        let problem = row("## b\n\n| y | 1 |\n", &ONE).unwrap_err();
        assert!(problem.contains("no row `x` in section `b`"), "{problem}");
        assert!(row("## b\n| x | 1 |\n", &ONE).unwrap_err().contains("no column 2"));
    }
}
