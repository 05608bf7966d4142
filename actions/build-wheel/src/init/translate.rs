//! Translates other workflows. A field, step or job without a counterpart here gets a
//! note.

use std::path::Path;

use serde_json::{Map, Value};

use super::build::Translation;
use super::error::InitError;
use super::expression::{holds_for_no_release, holds_for_tags};
use super::workflow::{JobRow, Step, Workflow, own_path};
use super::{build_wheel_step, cibuildwheel, maturin_action};

/// GitHub's limit on nested workflow calls.
const CALLS: usize = 4;

/// Actions that have a counterpart in every generated workflow, or need none.
const COVERED: [&str; 12] = [
    "actions/checkout",
    "actions/setup-python",
    "actions/upload-artifact",
    "actions/upload-artifact/merge",
    "actions/download-artifact",
    "actions/attest-build-provenance",
    "pypa/gh-action-pypi-publish",
    "dtolnay/rust-toolchain",
    "actions-rust-lang/setup-rust-toolchain",
    "actions-rs/toolchain",
    "docker/setup-qemu-action",
    "astral-sh/setup-uv",
];

/// Fields of a job that do not affect its builds.
const JOB_FIELDS: [&str; 10] = [
    "name",
    "runs-on",
    "needs",
    "strategy",
    "steps",
    "permissions",
    "timeout-minutes",
    "outputs",
    "environment",
    "concurrency",
];

/// Translates a workflow. Fails if nothing in it builds wheels.
pub(super) fn translate(workflow: &Workflow, settings: &toml::Table) -> Result<Translation, InitError> {
    let mut out = Translation::default();
    triggers(workflow, &mut out);
    jobs(workflow, settings, 0, &mut out);
    if out.builds.is_empty() {
        return Err(InitError::NothingToTranslate(workflow.path.clone()));
    }
    Ok(out)
}

/// Translates the jobs of a workflow, and of the workflows in the same repository
/// that it calls.
fn jobs(workflow: &Workflow, settings: &toml::Table, depth: usize, out: &mut Translation) {
    let root = workflow.root();
    let mut others = Vec::new();
    for (id, job) in workflow.jobs() {
        if let Some(called) = workflow.called(job).filter(|_| depth < CALLS) {
            if !call(workflow, id, job, &called, (settings, depth + 1), out) {
                others.push(workflow.place(id));
            }
            continue;
        }
        let steps = || job.get("steps").and_then(Value::as_array).into_iter().flatten();
        // GitHub compares them without regard to case.
        let uses = |name: &str| {
            let is_it = |uses: &str| uses.to_ascii_lowercase().starts_with(name);
            steps().any(|step| step.get("uses").and_then(Value::as_str).is_some_and(is_it))
        };
        let is_upload = |step: &Value| {
            let command = step.get("with").and_then(|with| with.get("command")).and_then(Value::as_str);
            matches!(command, Some("upload" | "publish"))
        };
        let run_texts = || steps().filter_map(|step| step.get("run")?.as_str());
        let runs = |text: &str| run_texts().any(|run| run.contains(text));
        let publishes = uses("pypa/gh-action-pypi-publish") || steps().any(is_upload) || runs("twine upload");
        let publishes = publishes || runs("maturin publish") || runs("maturin upload") || runs("uv publish");
        let builds = uses("pyo3/maturin-action")
            || uses("messense/maturin-action")
            || uses("pypa/cibuildwheel")
            || run_texts().any(maturin_action::builds)
            || steps().any(|step| is_local_build(step, &root));
        let condition = job.get("if").and_then(Value::as_str);
        let closed = condition.filter(|text| holds_for_no_release(text, &Value::Object(Map::new())));
        if let Some(condition) = closed.filter(|_| builds || publishes) {
            let note = format!("`if: {condition}` is false for every release: skipped");
            out.note_at(&workflow.place(id), note);
            continue;
        }
        out.publishes |= publishes;
        if publishes {
            out.environment = environment(job).or(out.environment.take());
        }
        if !builds && !publishes {
            others.push(workflow.place(id));
            continue;
        }
        job_fields(&workflow.place(id), job, out);
        let Some(rows) = workflow.rows(id, job) else {
            out.note_at(&workflow.place(id), "its matrix is computed during the run");
            continue;
        };
        if rows.is_empty() {
            out.note_at(&workflow.place(id), "its matrix is empty");
        }
        for row in &rows {
            translate_row(row, settings, &root, out);
        }
    }
    match &others[..] {
        [] => {}
        [job] => out.note_at(job, "it builds no known wheel and is skipped"),
        all => out.note(format!("{} build no known wheel and are skipped", all.join(", "))),
    }
}

/// Translates a job that calls a workflow of the same repository. Returns whether it
/// builds or publishes.
fn call(
    workflow: &Workflow,
    id: &str,
    job: &Value,
    called: &Workflow,
    (settings, depth): (&toml::Table, usize),
    out: &mut Translation,
) -> bool {
    let mut found = Translation::default();
    jobs(called, settings, depth, &mut found);
    if found.builds.is_empty() && !found.publishes {
        return false;
    }
    let own = |(name, _): &(&String, &Value)| !["uses", "with", "secrets"].contains(&name.as_str());
    let fields = job.as_object().into_iter().flatten().filter(own);
    let fields = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    job_fields(&workflow.place(id), &Value::Object(fields), out);
    out.extend(found);
    true
}

/// Translates the triggers of the workflow: tags are kept.
fn triggers(workflow: &Workflow, out: &mut Translation) {
    let Some(on) = workflow.field("on") else { return };
    for event in events(on) {
        match event {
            ("push", fields) => {
                let tags = fields.and_then(|fields| fields.get("tags")).and_then(Value::as_array);
                out.tags.extend(tags.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
                if let Some(branches) = fields.and_then(|fields| fields.get("branches")) {
                    out.note(format!(
                        "`on.push.branches`: {branches}; a release is triggered by a tag or manually"
                    ));
                }
            }
            ("workflow_dispatch", None | Some(Value::Null)) => {}
            ("workflow_dispatch", Some(fields)) => {
                let inputs = fields.get("inputs").and_then(Value::as_object).into_iter().flatten();
                for (name, _) in inputs {
                    out.note(format!("the input `{name}` of `workflow_dispatch`"));
                }
            }
            (name, _) => out.note(format!("`on.{name}`: a release is triggered by a tag or manually")),
        }
    }
    // A pattern for every tag would also match unrelated tags.
    if let Some(all) = out.tags.iter().find(|tag| ["*", "**"].contains(&tag.as_str())).cloned() {
        out.note(format!("`on.push.tags`: `{all}`; only a tag with a version starts a release"));
        out.tags.retain(|tag| *tag != all);
    }
    for name in ["env", "defaults"] {
        if let Some(fields) = workflow.field(name).and_then(Value::as_object) {
            for (key, value) in fields.iter().filter(|(key, value)| !is_directory(name, key, value)) {
                out.note_at(&format!("`{name}`"), format!("`{key}: {}`", plain(value)));
            }
        }
    }
}

/// Whether it is `defaults.run` with only the directory, which each command gets.
fn is_directory(name: &str, key: &str, value: &Value) -> bool {
    let only = |fields: &serde_json::Map<String, Value>| {
        fields.keys().all(|field| ["working-directory", "shell"].contains(&field.as_str()))
    };
    name == "defaults" && key == "run" && value.as_object().is_some_and(only)
}

fn events(on: &Value) -> Vec<(&str, Option<&Value>)> {
    match on {
        Value::String(name) => vec![(name.as_str(), None)],
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(|name| (name, None)).collect(),
        Value::Object(events) => events.iter().map(|(name, fields)| (name.as_str(), Some(fields))).collect(),
        _ => Vec::new(),
    }
}

/// The environment of a job, unless it is for TestPyPI.
fn environment(job: &Value) -> Option<String> {
    let environment = job.get("environment")?;
    let name = environment.as_str().or_else(|| environment.get("name")?.as_str())?;
    (!name.contains("test") && !name.contains("${{")).then(|| name.to_owned())
}

/// Adds notes about a job's fields without a counterpart.
fn job_fields(place: &str, job: &Value, out: &mut Translation) {
    for (name, value) in job.as_object().into_iter().flatten() {
        if name == "env" {
            for (key, value) in value.as_object().into_iter().flatten() {
                out.note_at(place, format!("`env.{key}: {}`", plain(value)));
            }
        } else if name == "defaults"
            && value
                .as_object()
                .is_some_and(|fields| fields.iter().all(|(key, value)| is_directory(name, key, value)))
        {
            // Each command gets it.
        } else if name == "if"
            && value.as_str().is_some_and(|text| holds_for_tags(text, &Value::Object(Map::new())))
        {
            // A tag triggers the new workflow too.
        } else if !JOB_FIELDS.contains(&name.as_str()) {
            out.note_at(place, format!("`{name}: {}`", plain(value)));
        }
    }
}

/// Whether a step uses an action of the same repository that builds.
fn is_local_build(step: &Value, root: &Path) -> bool {
    let Some(place) = step.get("uses").and_then(Value::as_str).and_then(own_path) else {
        return false;
    };
    let names = ["action.yml", "action.yaml"];
    let text = names.iter().find_map(|name| std::fs::read_to_string(root.join(place).join(name)).ok());
    let text = text.unwrap_or_default().to_ascii_lowercase();
    ["/maturin-action@", "pypa/cibuildwheel@"].iter().any(|name| text.contains(name))
        || text.lines().any(maturin_action::builds)
}

fn translate_row(row: &JobRow<'_>, settings: &toml::Table, root: &Path, out: &mut Translation) {
    let mut chosen = None;
    for step in row.steps().filter(|step| !step.is_skipped()) {
        let before = out.builds.len();
        let name = step.uses().map(str::to_ascii_lowercase);
        let is_covered = name.as_deref().is_some_and(|name| COVERED.contains(&name));
        if let Some(condition) = step.closed_condition() {
            if !is_covered {
                out.note_at(&step.place(), format!("`if: {condition}` is false for every release: skipped"));
            }
            continue;
        }
        if let Some(condition) = step.open_condition().filter(|_| !is_covered) {
            out.note_at(&step.place(), format!("`if: {condition}`"));
        }
        match name.as_deref() {
            Some("pyo3/maturin-action" | "messense/maturin-action") => maturin_action::translate(&step, out),
            Some("pypa/cibuildwheel") => cibuildwheel::translate(&step, settings, out),
            Some("pypa/gh-action-pypi-publish") => publishing(&step, out),
            Some("actions/setup-python") => chosen = python_of_row(&step),
            Some(name) if COVERED.contains(&name) => {}
            Some(name) if own_path(name).is_some() => match step.local_action(root) {
                Some(action) => {
                    for input in &action.unknown {
                        out.note_at(&step.place(), format!("`{input}` is known only during the run"));
                    }
                    translate_row(&action.row(&step), settings, root, out);
                }
                None => out.note_at(&step.place(), format!("`uses: {name}`")),
            },
            Some(_) => {
                out.note_at(&step.place(), format!("`uses: {}`", step.uses().unwrap_or_default()));
            }
            None => {
                if let Some(run) = step.run() {
                    maturin_action::translate_run(&step, run, out);
                }
            }
        }
        let Some(python) = &chosen else { continue };
        for build in out.builds.iter_mut().skip(before).filter(|build| build.python.is_empty()) {
            // In its container, maturin-action has its own Pythons.
            if build.target.is_some_and(|target| step.run().is_some() || !target.is_linux()) {
                python.clone_into(&mut build.python);
            }
        }
    }
}

/// The Python that a setup-python step installs, if it depends on the row.
fn python_of_row(step: &Step<'_>) -> Option<String> {
    let with = step.field("with")?.get("python-version")?.as_str()?;
    let (_, value) = step.mapping("with").into_iter().find(|(name, _)| name == "python-version")?;
    let python = maturin_action::python(&value?).replace("pypy-", "pypy");
    (with.contains("matrix.") && !python.contains(char::is_whitespace)).then_some(python)
}

/// Translates an upload step, of which only the index is relevant.
fn publishing(step: &Step<'_>, out: &mut Translation) {
    for (name, value) in step.mapping("with") {
        if ![
            "packages-dir",
            "packages_dir",
            "skip-existing",
            "skip_existing",
            "verbose",
            "print-hash",
            "attestations",
        ]
        .contains(&name.as_str())
        {
            out.note_at(&step.place(), format!("`{name}: {}`", value.unwrap_or_else(|| "…".to_owned())));
        }
    }
}

/// Translates a workflow that this command or a template wrote.
pub(super) fn translate_own(workflow: &Workflow) -> Option<Translation> {
    let mut out = Translation::default();
    let push = workflow.field("on")?.get("push")?;
    let tags = push.get("tags").and_then(Value::as_array).into_iter().flatten();
    out.tags.extend(tags.filter_map(Value::as_str).map(str::to_owned));
    for (id, job) in workflow.jobs() {
        if let Some(text) = job.get("environment").and_then(Value::as_str) {
            // `${{ github.ref_type == 'tag' && 'release' || 'dry-run' }}`
            out.environment = text.split('\'').nth(3).map(str::to_owned);
        }
        for row in &workflow.rows(id, job)? {
            for step in row.steps().filter(|step| !step.is_skipped()) {
                build_wheel_step::translate(&step, &mut out);
            }
        }
    }
    (!out.builds.is_empty()).then_some(out)
}

fn plain(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = text.trim().lines().next().unwrap_or_default().to_owned();
    if line.len() < text.trim().len() { format!("{line} …") } else { line }
}
