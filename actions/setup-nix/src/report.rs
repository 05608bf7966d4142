//! Reports results as outputs, job summary, JSON and text.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use toolkit::{Choice as _, FileError, Summary, Ui, megabytes, write_atomic};

use crate::cache::RefusedEntry;
use crate::choices::CacheMode;
use crate::estimate::Estimate;
use crate::machine::MachineState;
use crate::pack::Packed;
use crate::plan::Plan;
use crate::prune::Pruned;
use crate::restore::Restored;

/// The report's schema (`docs/schema/setup-nix-report.json`).
const SCHEMA: u32 = 1;
const GENERATOR: &str = concat!("setup-nix ", env!("CARGO_PKG_VERSION"));

/// The settings whose effective values are always reported: those that affect trust and
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

/// How many paths a table of the summary lists.
const MAX_ROWS: usize = 20;

/// Reports what `plan` decided.
pub(crate) fn planned(plan: &Plan, machine: &MachineState, ui: &Ui) -> Result<(), FileError> {
    outputs(plan, ui)?;
    if machine.file_count == 0 && plan.cache != CacheMode::Off {
        ui.warning("no file matches `hash-files`: the cache key does not depend on any");
    }
    if let Some(why) = &plan.cache_off_reason {
        ui.warning(format!("the cache is off: {why}"));
    }
    ui.report(format!("cache {} at {}, key {}", plan.cache.word(), plan.cache_dir.display(), plan.key));
    Ok(())
}

/// Sets the outputs of both `plan` and `install`: the outputs of a composite action come
/// from a single step.
fn outputs(plan: &Plan, ui: &Ui) -> Result<(), FileError> {
    ui.output("cache", plan.cache.word())?;
    ui.output("cache-directory", plan.cache_dir.display().to_string())?;
    ui.output("cache-key", &plan.key)?;
    ui.output("layer-key", &plan.layer_key)?;
    ui.output("restore-keys", plan.restore_keys.join("\n"))
}

/// A phase of a command, with its duration and the bytes it processed.
#[derive(Debug, Serialize)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
}

/// Where a command's report goes.
pub(crate) struct Target<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) ui: &'a Ui,
    /// The file of the JSON report, if requested.
    pub(crate) path: Option<&'a Path>,
}

/// The result of `install`.
pub(crate) struct InstallResult<'a> {
    pub(crate) version: &'a str,
    pub(crate) bin: &'a Path,
    /// Numbers of paths that were installed and that were already present; `None` if an
    /// existing Nix is reused.
    pub(crate) installed: Option<(usize, usize)>,
    pub(crate) phases: Vec<Phase>,
    /// The key that the cache service matched.
    pub(crate) matched: Option<&'a str>,
    /// The result of the restore, or why there was none.
    pub(crate) restored: Result<Restored, String>,
    pub(crate) settings: &'a Value,
    /// Whether the workflow lacks the step that saves the cache.
    pub(crate) lacks_save_step: bool,
}

impl InstallResult<'_> {
    /// The kind of cache hit, and the reason.
    fn lookup(&self, plan: &Plan) -> (&'static str, String) {
        let found = self.restored.as_ref().is_ok_and(|restored| {
            restored.paths + restored.present + restored.refused.len() > 0 || restored.substitutable.is_some()
        });
        match (plan.cache, self.matched.filter(|key| !key.is_empty())) {
            (CacheMode::Off, _) => {
                ("off", plan.cache_off_reason.clone().unwrap_or_else(|| "as requested".into()))
            }
            // Cache services ignore case, and some store keys in lower case.
            (_, Some(key)) if key.to_ascii_lowercase().starts_with(&plan.key.to_ascii_lowercase()) => {
                ("hit", format!("the service has `{key}`"))
            }
            (_, Some(key)) => ("partial-hit", format!("the service only has `{key}`, of other `hash-files`")),
            (_, None) if found => ("local", "the directory was already on this machine".into()),
            (_, None) => {
                ("miss", format!("no entry of the service starts with {}", backticked(&plan.restore_keys)))
            }
        }
    }

    /// A sentence about how many paths were restored.
    fn counts(&self) -> String {
        match &self.restored {
            Err(error) => format!("nothing restored: {error}"),
            Ok(restored) => format!(
                "{} paths restored ({}), {} already present, {} skipped",
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
                "folder": plan.cache_dir,
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

/// The effective values of [`SETTINGS`] and of the settings in nix.conf.
fn settings(plan: &Plan, effective: &Value) -> Summary {
    let setting = |name: &&str| {
        let text = match &effective[*name]["value"] {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            // Feature flags and numbers; the format depends on the version of Nix.
            other => other.to_string(),
        };
        Some([format!("`{name}`"), text])
    };
    let lines = plan.conf.iter().filter_map(|packed_text| packed_text.split_once('='));
    let names = lines.map(|(name, _)| name.trim().trim_start_matches("extra-"));
    let names: BTreeSet<&str> = SETTINGS.into_iter().chain(names).collect();
    Summary::new().table(&["setting", "value"], names.iter().filter_map(setting))
}

fn backticked(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Reports the result of `install`.
pub(crate) fn installed(result: &InstallResult<'_>, target: &Target<'_>) -> Result<(), FileError> {
    let (ui, plan) = (target.ui, target.plan);
    let nix = match result.installed {
        Some((placed, kept)) => format!("installed: {placed} store paths added, {kept} already present"),
        None => "already installed".to_owned(),
    };
    let (lookup, why) = result.lookup(plan);
    let cache = result.counts();
    let rows = [
        ["Nix".to_owned(), format!("{}, {nix}", result.version)],
        ["cache".to_owned(), format!("{lookup}: {why}")],
        ["restore".to_owned(), cache.clone()],
    ];
    let mut summary =
        phases(Summary::new().heading(3, "Nix").table(&["what", "result"], rows), &result.phases);
    let skipped =
        result.restored.as_ref().ok().and_then(|restored| restored.substitutable.as_ref()).map(skipped_text);
    if let Some(text) = &skipped {
        summary = summary.paragraph(text);
    }
    if result.lacks_save_step {
        let text = "the workflow has no `setup-nix/save` step, so what this job builds is not saved; add one with \
                    `if: always()`, or set `cache: read-only`";
        ui.warning(text);
        summary = summary.paragraph(text);
    }
    if let Ok(restored) = &result.restored {
        summary = refused(summary, &restored.refused, ui);
    }
    summary = summary.fold("Settings in effect", false, settings(plan, result.settings));
    ui.summary(&summary)?;
    outputs(plan, ui)?;
    ui.output("nix-version", result.version)?;
    ui.output("nix-bin", result.bin.display().to_string())?;
    ui.output("installed", result.installed.is_some().to_string())?;
    let count = result.restored.as_ref().map_or(0, |restored| restored.paths);
    ui.output("restored-paths", count.to_string())?;
    write(target, || result.report(plan))?;
    let skipped = skipped.map(|text| format!("\n{text}")).unwrap_or_default();
    ui.report(format!(
        "Nix {} in {}, {nix}\ncache {lookup}: {why}\nrestore: {cache}{skipped}",
        result.version,
        result.bin.display()
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

fn skipped_text(skipped: &Estimate) -> String {
    format!(
        "{} paths ({}) that none of the last {} jobs used were not restored; Nix downloads them if needed: restoring \
         would take about {:.1} s, downloading on demand likely {:.1} s",
        skipped.paths,
        megabytes(skipped.bytes),
        skipped.idle_jobs,
        skipped.restore_seconds,
        skipped.substitute_seconds
    )
}

/// The result of `save`.
#[derive(Default)]
pub(crate) struct SaveResult {
    pub(crate) save_key: String,
    pub(crate) changed: bool,
    /// Numbers of paths and bytes that the background packer packed.
    pub(crate) packed_before: (u64, u64),
    pub(crate) phases: Vec<Phase>,
    pub(crate) packed: Packed,
    pub(crate) pruned: Pruned,
}

/// Reports the result of `save`.
pub(crate) fn saved(saved: &SaveResult, target: &Target<'_>) -> Result<(), FileError> {
    let SaveResult { packed, pruned, .. } = saved;
    let (paths, bytes) = saved.packed_before;
    let text = format!(
        "{}; {paths} more ({}) in the background; the cache holds {} paths, {} in the store and {} compressed; \
         {} dropped",
        packed_text(packed),
        megabytes(bytes),
        pruned.paths,
        megabytes(pruned.bytes),
        megabytes(pruned.packed_bytes),
        pruned.dropped.len()
    );
    let verdict = if saved.changed {
        format!("The cache is saved under `{}`.", saved.save_key)
    } else {
        "The paths are the ones that were restored, so nothing is saved.".to_owned()
    };
    let summary = Summary::new().heading(3, "Nix cache").paragraph(&text).paragraph(&verdict);
    let mut largest: Vec<_> = packed.names.iter().collect();
    largest.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let rows = largest.iter().take(MAX_ROWS).map(|(name, size)| [format!("`{name}`"), megabytes(*size)]);
    let mut summary = phases(summary, &saved.phases).table(&["largest packed paths", "size"], rows);
    if !pruned.dropped.is_empty() {
        summary = summary.details("Dropped, least recently used", &pruned.dropped.join("\n"));
    }
    target.ui.summary(&refused(summary, &packed.refused, target.ui))?;
    write_saved(saved, target)?;
    target.ui.report(format!("{text}\n{}", verdict.replace('`', "")));
    Ok(())
}

/// Writes the JSON report of `save`, even if nothing was saved.
pub(crate) fn write_saved(saved: &SaveResult, target: &Target<'_>) -> Result<(), FileError> {
    let (paths, bytes) = saved.packed_before;
    write(target, || {
        json!({
            "schema": SCHEMA,
            "generator": GENERATOR,
            "command": "save",
            "cache": { "folder": target.plan.cache_dir, "save_key": saved.save_key, "changed": saved.changed },
            "packed_in_background": { "paths": paths, "bytes": bytes },
            "packed": saved.packed,
            "kept": saved.pruned,
            "phases": saved.phases,
        })
    })
}

/// Reports the result of `pack`.
pub(crate) fn packed(packed: &Packed, time: Duration, ui: &Ui) {
    refused(Summary::new(), &packed.refused, ui);
    ui.report(format!("{} in {:.2} s", packed_text(packed), time.as_secs_f64()));
}

fn packed_text(packed: &Packed) -> String {
    format!("{} paths packed ({}), {} already packed", packed.paths, megabytes(packed.bytes), packed.present)
}

fn phases(summary: Summary, phases: &[Phase]) -> Summary {
    let rows = phases.iter().map(|phase| {
        let bytes = if phase.bytes == 0 { String::new() } else { megabytes(phase.bytes) };
        [phase.name.to_owned(), bytes, format!("{:.2} s", phase.seconds)]
    });
    summary.table(&["phase", "size", "time"], rows)
}

/// Writes the JSON report, if requested.
fn write(target: &Target<'_>, report: impl FnOnce() -> Value) -> Result<(), FileError> {
    let Some(path) = target.path else { return Ok(()) };
    let text = serde_json::to_string_pretty(&report()).unwrap_or_default();
    write_atomic(path, (text + "\n").as_bytes())?;
    target.ui.output("report-path", path.display().to_string())
}

fn refused(summary: Summary, refused: &[RefusedEntry], ui: &Ui) -> Summary {
    if refused.is_empty() {
        return summary;
    }
    let broken = refused.iter().filter(|one| one.broken).count();
    if broken > 0 {
        ui.warning(format!("{broken} entries of the cache are damaged or missing and were skipped"));
    }
    for one in refused.iter().take(MAX_ROWS) {
        ui.info(format!("skipped `{}`: {}", one.name, one.why));
    }
    let rows = refused.iter().take(MAX_ROWS).map(|one| [format!("`{}`", one.name), one.why.clone()]);
    let summary = summary.table(&["skipped", "reason"], rows);
    match refused.len().checked_sub(MAX_ROWS) {
        Some(more @ 1..) => summary.paragraph(&format!("and {more} more")),
        _ => summary,
    }
}
