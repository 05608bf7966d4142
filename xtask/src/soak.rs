//! `cargo xtask soak`: runs the tests that take too long for every change.

use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use time::OffsetDateTime;
use toolkit::{Cmd, Exit, FileError};

use crate::error::Error;
use crate::shell::Shell;
use crate::{corpus, fuzz, setup, test};

/// The file in which results are recorded.
const RECORD: &str = "docs/soak.md";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Append the results to docs/soak.md
    #[arg(long)]
    record: bool,
}

/// A part of the soak tests.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Kills, corruptions, load and corpora: the Rust tests that `cargo test` ignores as `soak`
    Rust,
    /// The parsers of archives and binaries, on random bytes
    Fuzz,
    /// Tests across packages: killed releases, clean builds
    Whole,
    /// The workflows of this repository and of its consumers, under act
    Workflows,
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn run(self, shell: &Shell) -> Result<(), Error> {
        match self {
            Self::Rust => {
                corpus::download_popular(shell)?;
                test::rust(shell, &["--", "--ignored"])
            }
            Self::Fuzz => fuzz::run(shell),
            Self::Whole => {
                corpus::download_popular(shell)?;
                test::tools_pytest(shell, &["tests", "-m", "soak"])
            }
            Self::Workflows => test::tools_pytest(shell, &["tests", "-m", "workflow"]),
        }
    }
}

/// The result of a part.
struct Row {
    part: String,
    result: &'static str,
    time: Duration,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    let is_chosen = |part: Part| args.parts.is_empty() || args.parts.contains(&part);
    if is_chosen(Part::Rust) {
        setup::set_up_soak(shell)?;
    } else {
        setup::set_up_tests(shell)?;
    }
    let mut rows = Vec::new();
    for part in Part::value_variants() {
        if !is_chosen(*part) {
            continue;
        }
        let start = Instant::now();
        // Continue after a failure.
        let result = part.run(shell);
        if let Err(error) = &result {
            shell.ui.error(toolkit::error_report(error));
        }
        let result = if result.is_ok() { "passed" } else { "FAILED" };
        rows.push(Row { part: part.name(), result, time: start.elapsed() });
    }
    let commit = shell.quiet(&Cmd::new("git").args(["rev-parse", "--short=10", "HEAD"]))?.stdout;
    let table = table(&OffsetDateTime::now_utc().date().to_string(), commit.trim(), &rows);
    shell.ui.report(&table);
    if args.record {
        let path = shell.root.join(RECORD);
        let old = std::fs::read_to_string(&path).map_err(FileError::new("read", &path))?;
        toolkit::write_atomic(&path, (old + &table).as_bytes())?;
    }
    let failed: Vec<&str> =
        rows.iter().filter(|row| row.result != "passed").map(|row| row.part.as_str()).collect();
    if failed.is_empty() {
        Ok(Exit::Done)
    } else {
        Err(Error::Check(format!("failed: {}", failed.join(", "))))
    }
}

/// The rows of the table in `docs/soak.md`.
fn table(date: &str, commit: &str, rows: &[Row]) -> String {
    let row = |row: &Row| {
        let minutes = row.time.as_secs().div_ceil(60);
        format!("| {date} | `{commit}` | {} | {} | {minutes} min |\n", row.part, row.result)
    };
    rows.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_becomes_a_row() {
        let row = |part: Part, result, seconds| Row {
            part: part.name(),
            result,
            time: Duration::from_secs(seconds),
        };
        let table =
            table("2026-11-26", "0123456789", &[row(Part::Rust, "passed", 61), row(Part::Fuzz, "FAILED", 5)]);
        assert_eq!(
            table,
            "| 2026-11-26 | `0123456789` | rust | passed | 2 min |\n\
             | 2026-11-26 | `0123456789` | fuzz | FAILED | 1 min |\n"
        );
    }
}
