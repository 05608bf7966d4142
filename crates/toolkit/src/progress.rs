//! Progress bars.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar. It disappears when dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// An invisible bar.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// A bar on standard error.
    pub(crate) fn shown(label: &str, total: Option<u64>, unit: &str) -> Self {
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let numbers = if unit == "B" { "{bytes}/{total_bytes}" } else { "{pos}/{len}" };
        let template = match total {
            Some(_) => format!("{{msg}} {{wide_bar}} {numbers} {{elapsed}}"),
            None => "{spinner} {msg} {elapsed}".to_owned(),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Advances by `amount`.
    pub fn add(&self, amount: u64) {
        self.0.inc(amount);
    }

    /// Sets the message beside the bar.
    pub fn message(&self, text: impl Into<String>) {
        self.0.set_message(text.into());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
