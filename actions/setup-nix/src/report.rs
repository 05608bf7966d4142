//! From plans and outcomes to outputs and the job summary.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use toolkit::{Choice as _, FileError, Summary, Ui, megabytes, write_atomic};

use crate::choices::CacheMode;
use crate::estimate::Estimate;
use crate::folder::Refused;
use crate::machine::MachineState;
use crate::pack::Packed;
use crate::plan::Plan;
use crate::prune::Pruned;
use crate::restore::Restored;

/// The report's schema (`docs/schema/setup-nix-report.json`).
const SCHEMA: u32 = 1;
const GENERATOR: &str = concat!("setup-nix ", env!("CARGO_PKG_VERSION"));

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
pub(crate) fn planned(plan: &Plan, machine: &MachineState, ui: &Ui) -> Result<(), FileError> {
    outputs(plan, ui)?;
    if machine.file_count == 0 && plan.cache != CacheMode::Off {
        ui.warning("no file matches `hash-files`: the cache key does not depend on any");
    }
    if let Some(why) = &plan.cache_why {
        ui.warning(format!("the cache is off: {why}"));
    }
    ui.report(format!("cache {} at {}, key {}", plan.cache.word(), plan.cache_folder.display(), plan.key));
    Ok(())
}

/// What both steps of the action tell: the outputs of a composite are those of
/// one step.
fn outputs(plan: &Plan, ui: &Ui) -> Result<(), FileError> {
    ui.output("cache", plan.cache.word())?;
    ui.output("cache-folder", plan.cache_folder.display().to_string())?;
    ui.output("cache-key", &plan.key)?;
    ui.output("layer-key", &plan.layer_key)?;
    ui.output("restore-keys", plan.restore_keys.join("\n"))
}

/// A part of a command, and what it took.
#[derive(Debug, Serialize)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
}

/// Where a command reports to.
pub(crate) struct Target<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) ui: &'a Ui,
    /// The file of the JSON report, where one was asked for.
    pub(crate) path: Option<&'a Path>,
}

/// What `install` did.
pub(crate) struct Outcome<'a> {
    pub(crate) version: &'a str,
    pub(crate) bin: &'a Path,
    /// Paths put in place, and paths found complete; none for a re-used Nix.
    pub(crate) installed: Option<(usize, usize)>,
    pub(crate) phases: Vec<Phase>,
    /// The key that the cache service answered with.
    pub(crate) matched: Option<&'a str>,
    /// Why there was no restore, or what it did.
    pub(crate) restored: Result<Restored, String>,
    pub(crate) settings: &'a Value,
    /// Whether nothing of the job's is going to be saved.
    pub(crate) unsaved: bool,
}

impl Outcome<'_> {
    /// Whether the cache was hit, and why.
    fn lookup(&self, plan: &Plan) -> (&'static str, String) {
        let found = self.restored.as_ref().is_ok_and(|restored| {
            restored.paths + restored.present + restored.refused.len() > 0 || restored.left.is_some()
        });
        match (plan.cache, self.matched.filter(|key| !key.is_empty())) {
            (CacheMode::Off, _) => ("off", plan.cache_why.clone().unwrap_or_else(|| "as asked for".into())),
            // Services compare keys without regard to case, and some keep them in lower case.
            (_, Some(key)) if key.to_ascii_lowercase().starts_with(&plan.key.to_ascii_lowercase()) => {
                ("hit", format!("the service has `{key}`"))
            }
            (_, Some(key)) => ("partial-hit", format!("of another `hash-files`: the service has `{key}`")),
            (_, None) if found => ("local", "the directory was on this machine".into()),
            (_, None) => ("miss", format!("nothing is saved under {}", backticked(&plan.restore_keys))),
        }
    }

    /// How many paths were restored, in words.
    fn counts(&self) -> String {
        match &self.restored {
            Err(error) => format!("nothing restored: {error}"),
            Ok(restored) => format!(
                "{} paths restored ({}), {} already there, {} left out",
                restored.paths,
                size(restored),
                restored.present,
                restored.refused.len()
            ),
        }
    }

    /// The JSON report (`docs/schema/setup-nix-report.json`).
    fn report(&self, plan: &Plan) -> Value {
        let (lookup, why) = self.lookup(plan);
        let setting = |name: &&str| ((*name).to_owned(), self.settings[*name]["value"].clone());
        let settings: serde_json::Map<String, Value> = SETTINGS.iter().map(setting).collect();
        json!({
            "schema": SCHEMA,
            "generator": GENERATOR,
            "command": "install",
            "nix": {
                "version": self.version,
                "bin": self.bin,
                "source": plan.nix,
                "daemon": !plan.daemon.is_empty(),
                "paths_placed": self.installed.map_or(0, |installed| installed.0),
                "paths_kept": self.installed.map_or(0, |installed| installed.1),
            },
            "cache": {
                "mode": plan.cache,
                "folder": plan.cache_folder,
                "key": plan.key,
                "restore_keys": plan.restore_keys,
                "lookup": lookup,
                "why": why,
            },
            "restored": self.restored.as_ref().ok(),
            "not_restored": self.restored.as_ref().err(),
            "phases": self.phases,
            "settings": settings,
        })
    }
}

/// The settings that decide over trust and speed, and those that `extra-conf` sets.
fn settings(plan: &Plan, effective: &Value) -> Summary {
    let setting = |name: &&str| {
        let text = match &effective[*name]["value"] {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            // Older ones tell features as numbers; newer ones settings by name.
            other => other.to_string(),
        };
        Some([format!("`{name}`"), text])
    };
    let lines = plan.conf.iter().filter_map(|line| line.split_once('='));
    let names = lines.map(|(name, _)| name.trim().trim_start_matches("extra-"));
    let names: BTreeSet<&str> = SETTINGS.into_iter().chain(names).collect();
    Summary::new().table(&["setting", "value"], names.iter().filter_map(setting))
}

fn backticked(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// What `install` did, told everywhere.
pub(crate) fn installed(outcome: &Outcome<'_>, target: &Target<'_>) -> Result<(), FileError> {
    let (ui, plan) = (target.ui, target.plan);
    let nix = match outcome.installed {
        Some((placed, kept)) => format!("installed: {placed} store paths put in place, {kept} already there"),
        None => "already there".to_owned(),
    };
    let (lookup, why) = outcome.lookup(plan);
    let cache = outcome.counts();
    let rows = [
        ["Nix".to_owned(), format!("{}, {nix}", outcome.version)],
        ["cache".to_owned(), format!("{lookup}: {why}")],
        ["restore".to_owned(), cache.clone()],
    ];
    let mut summary =
        phases(Summary::new().heading(3, "Nix").table(&["what", "result"], rows), &outcome.phases);
    let left = outcome.restored.as_ref().ok().and_then(|restored| restored.left.as_ref()).map(told);
    if let Some(text) = &left {
        summary = summary.paragraph(text);
    }
    if outcome.unsaved {
        let text = "the workflow has no `setup-nix/save` step: what this job builds is not saved; add one with \
                    `if: always()`, or `cache: read-only`";
        ui.warning(text);
        summary = summary.paragraph(text);
    }
    if let Ok(restored) = &outcome.restored {
        summary = refused(summary, &restored.refused, ui);
    }
    summary = summary.fold("Settings in effect", false, settings(plan, outcome.settings));
    ui.summary(&summary)?;
    outputs(plan, ui)?;
    ui.output("nix-version", outcome.version)?;
    ui.output("nix-bin", outcome.bin.display().to_string())?;
    ui.output("installed", outcome.installed.is_some().to_string())?;
    let count = outcome.restored.as_ref().map_or(0, |restored| restored.paths);
    ui.output("restored-paths", count.to_string())?;
    write(target, || outcome.report(plan))?;
    let left = left.map(|text| format!("\n{text}")).unwrap_or_default();
    ui.report(format!(
        "Nix {} in {}, {nix}\ncache {lookup}: {why}\ncache: {cache}{left}",
        outcome.version,
        outcome.bin.display()
    ));
    Ok(())
}

fn size(restored: &Restored) -> String {
    let bytes = megabytes(restored.bytes);
    match restored.images {
        0 => bytes,
        images => format!("{bytes}; {} of them mounted, from {images} images", restored.mounted),
    }
}

fn told(left: &Estimate) -> String {
    format!(
        "{} paths ({}) that none of the last {} jobs used are left to be substituted: restoring them would take \
         about {:.1} s, substituting what is needed of them about {:.1} s",
        left.paths,
        megabytes(left.bytes),
        left.idle_jobs,
        left.restore_seconds,
        left.substitute_seconds
    )
}

/// What `save` did.
#[derive(Default)]
pub(crate) struct Saved {
    pub(crate) save_key: String,
    pub(crate) changed: bool,
    /// Paths and bytes that the background packer had packed.
    pub(crate) packed_before: (u64, u64),
    pub(crate) phases: Vec<Phase>,
    pub(crate) packed: Packed,
    pub(crate) pruned: Pruned,
}

/// The same, told everywhere.
pub(crate) fn saved(saved: &Saved, target: &Target<'_>) -> Result<(), FileError> {
    let Saved { packed, pruned, .. } = saved;
    let (paths, bytes) = saved.packed_before;
    let text = format!(
        "{}; {paths} more ({}) in the background; the cache holds {} paths, {} in the store and {} compressed; \
         {} dropped",
        line(packed),
        megabytes(bytes),
        pruned.paths,
        megabytes(pruned.bytes),
        megabytes(pruned.packed_bytes),
        pruned.dropped.len()
    );
    let verdict = if saved.changed {
        format!("It is saved under `{}`.", saved.save_key)
    } else {
        "The set of paths is the one that was restored: nothing is saved.".to_owned()
    };
    let summary = Summary::new().heading(3, "Nix cache").paragraph(&text).paragraph(&verdict);
    let mut largest: Vec<_> = packed.names.iter().collect();
    largest.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let rows = largest.iter().take(NAMED).map(|(name, size)| [format!("`{name}`"), megabytes(*size)]);
    let mut summary = phases(summary, &saved.phases).table(&["packed, the largest", "size"], rows);
    if !pruned.dropped.is_empty() {
        summary = summary.details("Dropped, the least recently used", &pruned.dropped.join("\n"));
    }
    target.ui.summary(&refused(summary, &packed.refused, target.ui))?;
    write_saved(saved, target)?;
    target.ui.report(format!("{text}\n{}", verdict.replace('`', "")));
    Ok(())
}

/// Writes the report of `save`, also where nothing was saved.
pub(crate) fn write_saved(saved: &Saved, target: &Target<'_>) -> Result<(), FileError> {
    let (paths, bytes) = saved.packed_before;
    write(target, || {
        json!({
            "schema": SCHEMA,
            "generator": GENERATOR,
            "command": "save",
            "cache": { "folder": target.plan.cache_folder, "save_key": saved.save_key, "changed": saved.changed },
            "packed_in_background": { "paths": paths, "bytes": bytes },
            "packed": saved.packed,
            "kept": saved.pruned,
            "phases": saved.phases,
        })
    })
}

/// What `pack` did.
pub(crate) fn packed(packed: &Packed, time: Duration, ui: &Ui) {
    refused(Summary::new(), &packed.refused, ui);
    ui.report(format!("{} in {:.2} s", line(packed), time.as_secs_f64()));
}

fn line(packed: &Packed) -> String {
    format!(
        "{} paths packed ({}), {} were packed already",
        packed.paths,
        megabytes(packed.bytes),
        packed.present
    )
}

fn phases(summary: Summary, phases: &[Phase]) -> Summary {
    let rows = phases.iter().map(|phase| {
        let bytes = if phase.bytes == 0 { String::new() } else { megabytes(phase.bytes) };
        [phase.name.to_owned(), bytes, format!("{:.2} s", phase.seconds)]
    });
    summary.table(&["phase", "size", "time"], rows)
}

/// Writes the JSON report, where one was asked for.
fn write(target: &Target<'_>, report: impl FnOnce() -> Value) -> Result<(), FileError> {
    let Some(path) = target.path else { return Ok(()) };
    let text = serde_json::to_string_pretty(&report()).unwrap_or_default();
    write_atomic(path, (text + "\n").as_bytes())?;
    target.ui.output("report-path", path.display().to_string())
}

fn refused(summary: Summary, refused: &[Refused], ui: &Ui) -> Summary {
    if refused.is_empty() {
        return summary;
    }
    let broken = refused.iter().filter(|one| one.broken).count();
    if broken > 0 {
        ui.warning(format!("{broken} of the cache's entries are damaged or missing and were left out"));
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
