//! Composite actions of the same repository.

use std::path::Path;

use serde_json::{Map, Value};

use super::{JobLines, JobRow, Step, own_path, parse};

/// The limit on nested actions of a repository.
const DEPTH: usize = 4;

/// A job with the steps of an action of the same repository, and the contexts of
/// their expressions.
pub(in crate::init) struct LocalAction {
    job: Value,
    contexts: Value,
    file: String,
    lines: Vec<u64>,
    /// Inputs that depend on the run.
    pub(in crate::init) unknown: Vec<String>,
}

/// The lines of the steps of an action in the same repository.
#[derive(Default, serde::Deserialize)]
struct ActionLines {
    #[serde(default)]
    runs: JobLines,
}

impl LocalAction {
    /// The action as a row of the job that uses it.
    pub(in crate::init) fn row<'a>(&'a self, step: &'a Step<'_>) -> JobRow<'a> {
        JobRow {
            id: step.row.id,
            job: &self.job,
            contexts: self.contexts.clone(),
            working_directory: None,
            depth: step.row.depth + 1,
            file: Some(self.file.clone()),
            lines: self.lines.clone(),
        }
    }
}

impl Step<'_> {
    /// The composite action in the repository at `root` that it uses.
    pub(in crate::init) fn local_action(&self, root: &Path) -> Option<LocalAction> {
        let directory = root.join(own_path(self.uses()?)?);
        let names = ["action.yml", "action.yaml"];
        let (name, text) = names
            .iter()
            .find_map(|name| Some((name, std::fs::read_to_string(directory.join(name)).ok()?)))?;
        let action: Value = parse(&text).ok()?;
        let lines: ActionLines = serde_saphyr::from_str(&text).unwrap_or_default();
        let file = format!("{}/{name}", own_path(self.uses()?)?.trim_end_matches('/'));
        let steps = action.get("runs")?.get("steps").filter(|_| self.row.depth < DEPTH)?;
        let mut inputs = Map::new();
        for (name, input) in action.get("inputs").and_then(Value::as_object).into_iter().flatten() {
            let default = input.get("default").and_then(|default| self.row.text(default));
            inputs.insert(name.clone(), Value::String(default.unwrap_or_default()));
        }
        let mut unknown = Vec::new();
        for (name, value) in self.mapping("with") {
            if let Some(value) = value {
                inputs.insert(name, Value::String(value));
            } else {
                inputs.remove(&name);
                unknown.push(name);
            }
        }
        let mut job = self.row.job.clone();
        job.as_object_mut()?.insert("steps".to_owned(), steps.clone());
        let runner = Value::String(self.row.runner());
        job.as_object_mut()?.insert("runs-on".to_owned(), runner);
        let mut contexts = self.row.contexts.clone();
        contexts.as_object_mut()?.insert("inputs".to_owned(), Value::Object(inputs));
        Some(LocalAction { job, contexts, file, lines: lines.runs.lines(), unknown })
    }
}
