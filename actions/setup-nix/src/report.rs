//! From plans and outcomes to outputs and the job summary.

use std::path::Path;
use std::time::Duration;

use toolkit::{FileError, Summary, Ui};

use crate::cache::{Refused, Restored};
use crate::pack::{Packed, Pruned};
use crate::plan::{Facts, Plan};

/// The settings whose effective values are told: what decides over trust and
/// speed.
const SETTINGS: [&str; 7] = [
    "build-users-group",
    "experimental-features",
    "max-jobs",
    "require-sigs",
    "sandbox",
    "substituters",
    "trusted-public-keys",
];

/// How many refused paths the summary names.
const NAMED: usize = 20;

/// What `plan` tells.
pub(crate) fn planned(plan: &Plan, facts: &Facts, ui: &Ui) -> Result<(), FileError> {
    ui.output("cache", plan.cache)?;
    ui.output("cache-folder", plan.cache_folder.display().to_string())?;
    ui.output("cache-key", &plan.key)?;
    ui.output("restore-keys", plan.restore_keys.join("\n"))?;
    if facts.file_count == 0 {
        ui.info("no file matches `hash-files`: the cache key does not depend on any");
    }
    if let Some(why) = &plan.cache_why {
        ui.warning(format!("the cache is off: {why}"));
    }
    ui.report(format!("cache {} at {}, key {}", plan.cache, plan.cache_folder.display(), plan.key));
    Ok(())
}

/// What `install` did.
pub(crate) struct Outcome<'a> {
    pub(crate) version: &'a str,
    pub(crate) bin: &'a Path,
    /// Paths put in place, and paths found complete; none for a re-used Nix.
    pub(crate) installed: Option<(usize, usize)>,
    pub(crate) install_time: Duration,
    /// Why there was no restore, or what it did.
    pub(crate) restored: Result<Restored, String>,
    pub(crate) restore_time: Duration,
    pub(crate) settings: &'a serde_json::Value,
}

pub(crate) fn installed(outcome: &Outcome<'_>, ui: &Ui) -> Result<(), FileError> {
    let nix = match outcome.installed {
        Some((placed, kept)) => format!("installed: {placed} store paths put in place, {kept} were there"),
        None => "it was there".to_owned(),
    };
    let cache = match &outcome.restored {
        Err(why) => why.clone(),
        Ok(restored) => format!(
            "{} paths restored ({}), {} were there, {} left out",
            restored.paths,
            megabytes(restored.bytes),
            restored.present,
            restored.refused.len()
        ),
    };
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let rows = [
        ["Nix".to_owned(), format!("{}, {nix}", outcome.version), seconds(outcome.install_time)],
        ["cache".to_owned(), cache.clone(), seconds(outcome.restore_time)],
    ];
    let mut summary = Summary::new().heading(3, "Nix").table(&["", "", "time"], rows);
    if let Ok(restored) = &outcome.restored {
        summary = refused(summary, &restored.refused, ui);
    }
    let setting = |name: &&str| {
        let value = &outcome.settings[*name]["value"];
        let text = match value {
            serde_json::Value::Null => return None,
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) => {
                items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(" ")
            }
            other => other.to_string(),
        };
        Some([format!("`{name}`"), text])
    };
    summary = summary.table(&["setting in effect", ""], SETTINGS.iter().filter_map(setting));
    ui.summary(&summary)?;
    ui.output("nix-version", outcome.version)?;
    ui.output("nix-bin", outcome.bin.display().to_string())?;
    ui.output("installed", outcome.installed.is_some().to_string())?;
    let count = outcome.restored.as_ref().map_or(0, |restored| restored.paths);
    ui.output("restored-paths", count.to_string())?;
    ui.report(format!("Nix {} in {}, {nix}\ncache: {cache}", outcome.version, outcome.bin.display()));
    Ok(())
}

/// What `save` or `pack` did.
pub(crate) fn saved(
    packed: &Packed,
    pruned: Option<&Pruned>,
    time: Duration,
    ui: &Ui,
) -> Result<(), FileError> {
    let mut text = format!(
        "{} paths packed ({}) in {:.2} s, {} were packed already",
        packed.paths,
        megabytes(packed.bytes),
        time.as_secs_f64(),
        packed.present
    );
    if let Some(pruned) = pruned {
        text += &format!(
            "; the cache holds {} paths, {} in the store and {} compressed; {} dropped",
            pruned.paths,
            megabytes(pruned.bytes),
            megabytes(pruned.packed_bytes),
            pruned.dropped.len()
        );
    }
    let summary = Summary::new().heading(3, "Nix cache").paragraph(&text);
    ui.summary(&refused(summary, &packed.refused, ui))?;
    ui.report(text);
    Ok(())
}

fn refused(summary: Summary, refused: &[Refused], ui: &Ui) -> Summary {
    if refused.is_empty() {
        return summary;
    }
    for one in refused.iter().take(NAMED) {
        ui.info(format!("left out: {}: {}", one.name, one.why));
    }
    let rows = refused.iter().take(NAMED).map(|one| [format!("`{}`", one.name), one.why.clone()]);
    let summary = summary.table(&["left out", "why"], rows);
    match refused.len().checked_sub(NAMED) {
        Some(more @ 1..) => summary.paragraph(&format!("and {more} more")),
        _ => summary,
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}
