//! Runs named steps and prints a table of their results.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::shell::Shell;

/// The steps so far.
pub(crate) struct Steps<'a> {
    shell: &'a Shell<'a>,
    rows: Vec<(String, String, Duration)>,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(shell: &'a Shell<'a>) -> Self {
        Self { shell, rows: Vec::new() }
    }

    /// Runs a step; `work` returns its result and a short description.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<(T, String), Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let result = self.shell.ui.group(name, work);
        let (detail, result) = match result {
            Ok((value, detail)) => (detail, Ok(value)),
            Err(error) => ("FAILED".to_owned(), Err(error)),
        };
        self.rows.push((name.to_owned(), detail, start.elapsed()));
        result
    }

    /// The table of all steps.
    pub(crate) fn table(&self) -> String {
        let width = |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text.chars().count()).max();
        let first = width(&mut self.rows.iter().map(|row| row.0.as_str())).unwrap_or(0);
        let second = width(&mut self.rows.iter().map(|row| row.1.as_str())).unwrap_or(0);
        let total: Duration = self.rows.iter().map(|row| row.2).sum();
        let line = |name: &str, detail: &str, time: Duration| {
            format!("{name:first$}  {detail:second$}  {:>7.2} s\n", time.as_secs_f64())
        };
        let mut table: String =
            self.rows.iter().map(|(name, detail, time)| line(name, detail, *time)).collect();
        table.push_str(&line("total", "", total));
        table
    }
}
