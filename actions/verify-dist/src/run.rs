//! A run: plan, scan, check, report.

use std::collections::BTreeSet;

use distcheck::dist::Dist;
use distcheck::{Limits, Published, Set, Severity, check, rules, scan};
use pydist::digest::{hex, sha256};
use pydist::name::ProjectName;
use toolkit::{Exit, Invocation, Ui};

use crate::config::{Config, Lost};
use crate::error::Error;
use crate::inputs::{FailOn, Format, Inputs};
use crate::plan::Plan;
use crate::report::installs::Installs;
use crate::report::model::{self, Report};
use crate::report::{self, RulePages};

/// Runs the action.
pub fn run(invocation: &Invocation, ui: &Ui) -> Result<Exit, Error> {
    if let Some(text) = about_rules(invocation)? {
        ui.report(text);
        return Ok(Exit::Done);
    }
    let inputs = Inputs::read(invocation)?;
    let (config, config_path) = Config::read(inputs.config.as_deref())?;
    let plan = Plan::new(&inputs, &config)?;
    if inputs.dry_run {
        ui.report(serde_json::to_string_pretty(&plan).unwrap_or_default());
        return Ok(Exit::Done);
    }
    let require = plan.required()?;
    let threads = toolkit::cores().min(8);
    let dists = scan(&plan.files, &Limits::default(), threads)?;
    let published = published(&plan, &dists, threads, invocation, ui)?;
    let set = Set {
        dists: &dists,
        matrix: &plan.matrix,
        others: &plan.others,
        tag: plan.tag.as_deref(),
        expect_sdist: &plan.expect_sdist,
        previous: published.as_ref(),
        top_level: &config.top_level,
        require: &require,
        lost_is_error: plan.lost == Lost::Error,
    };
    let installs = Installs::new(&set);
    if let Some(path) = &inputs.svg_path {
        toolkit::write_atomic_unsynced(path, installs.svg().as_bytes())?;
    }
    if invocation.command == Some("installs") {
        return show(&installs, invocation, &inputs, ui);
    }
    let verdict = check(&set, &config.selection());
    let mut report = Report::new(&dists, verdict, &config, installs);
    let manifest = manifest(&plan, &dists, &mut report)?;
    let anchor = config_path.map_or_else(|| "pyproject.toml".to_owned(), |path| path.display().to_string());
    write(&report, &manifest, &anchor, &inputs, invocation, ui)?;
    let strict = inputs.fail_on == FailOn::Warning;
    let failed = report.count(Severity::Error) > 0 || (strict && report.count(Severity::Warning) > 0);
    Ok(if failed { Exit::Findings } else { Exit::Done })
}

/// The output of the commands `rules` and `explain`.
fn about_rules(invocation: &Invocation) -> Result<Option<String>, Error> {
    Ok(Some(match (invocation.command, invocation.argument.as_deref()) {
        (Some("rules"), _) => match Format::of(invocation)? {
            Format::Json => {
                serde_json::to_string_pretty(&rules::all().collect::<Vec<_>>()).unwrap_or_default()
            }
            _ => report::table::rules(),
        },
        (Some("explain"), Some(id)) => {
            let rule = rules::find(id).ok_or_else(|| Error::UnknownRule(id.to_owned()))?;
            report::table::explain(rule)
        }
        _ => return Ok(None),
    }))
}

/// The published files of the projects, if the plan compares with a release.
fn published(
    plan: &Plan,
    dists: &[Dist],
    threads: usize,
    invocation: &Invocation,
    ui: &Ui,
) -> Result<Option<Published>, Error> {
    let Some(previous) = &plan.previous else { return Ok(None) };
    let projects: BTreeSet<ProjectName> =
        dists.iter().filter_map(|dist| Some(dist.name.as_ref().ok()?.project())).collect();
    previous.published(projects.into_iter(), threads, &invocation.env, ui).map(Some)
}

/// Builds the manifest of a set without errors and records it in the report.
/// Removes the manifest of an earlier run.
fn manifest(plan: &Plan, dists: &[Dist], report: &mut Report) -> Result<Vec<u8>, Error> {
    let Some(path) = &plan.manifest else { return Ok(Vec::new()) };
    // An old manifest would still let a set with errors be published.
    if path.is_file() {
        toolkit::remove_file(path).map_err(toolkit::FileError::new("remove", path))?;
    }
    if report.count(Severity::Error) > 0 {
        return Ok(Vec::new());
    }
    let manifest = model::manifest(report, dists).to_json();
    report.manifest = Some((path.clone(), hex(&sha256(&manifest))));
    Ok(manifest)
}

/// Writes the report in each requested format, then the manifest.
fn write(
    report: &Report,
    manifest: &[u8],
    anchor: &str,
    inputs: &Inputs,
    invocation: &Invocation,
    ui: &Ui,
) -> Result<(), Error> {
    let pages = RulePages::of(&invocation.env);
    if let Some(path) = &inputs.report_path {
        toolkit::write_atomic_unsynced(path, report::json::text(report).as_bytes())?;
    }
    if let Some(path) = &inputs.sarif_path {
        toolkit::write_atomic_unsynced(path, report::sarif::text(report, anchor, &pages).as_bytes())?;
    }
    // Last, so that a run that cannot write its reports leaves no manifest.
    if let Some((path, _)) = &report.manifest {
        toolkit::write_atomic_unsynced(path, manifest)?;
    }
    match inputs.format {
        Format::Table => ui.report(report::table::text(report)),
        Format::Json => ui.report(report::json::text(report)),
        Format::Sarif => ui.report(report::sarif::text(report, anchor, &pages)),
    }
    // Elsewhere, the table shows the findings.
    let runner = invocation.env.get("GITHUB_ACTIONS") == Some("true");
    report::publish(report, ui, runner, &pages)?;
    Ok(())
}

/// Runs the command `installs`.
fn show(installs: &Installs, invocation: &Invocation, inputs: &Inputs, ui: &Ui) -> Result<Exit, Error> {
    if let Some(path) = &inputs.report_path {
        toolkit::write_atomic_unsynced(path, installs.report().as_bytes())?;
    }
    let why = invocation.options.get("why");
    let explained = why.map(|text| {
        let why = installs.why(text);
        why.map_err(|source| Error::Why { text: text.clone(), source })
    });
    match (explained.transpose()?, inputs.format) {
        (Some(text), _) => ui.report(text),
        (None, Format::Json) => ui.report(installs.report()),
        (None, _) => ui.report(installs.text()),
    }
    Ok(Exit::Done)
}
