//! A workflow file: its jobs, their matrix rows and their steps.

mod local_action;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pydist::target::Arch;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;
use toolkit::FileError;

use super::constants;
use super::error::InitError;
use super::expression::{holds_for_no_release, holds_for_tags, interpolate, truth};
use super::matrix::expand;
use super::platform::{RunnerSystem, runner_arch};

/// A workflow file.
pub(super) struct Workflow {
    /// The file.
    pub(super) path: PathBuf,
    document: Value,
    /// Its path in the repository, if another workflow calls it.
    file: Option<String>,
    /// The known inputs: those that a caller sets, or else their defaults.
    inputs: Map<String, Value>,
    lines: Lines,
}

/// The lines of a workflow's jobs and steps.
#[derive(Default, serde::Deserialize)]
struct Lines {
    #[serde(default)]
    jobs: BTreeMap<String, Spanned<JobLines>>,
}

#[derive(Default, serde::Deserialize)]
struct JobLines {
    #[serde(default)]
    steps: Vec<Spanned<IgnoredAny>>,
}

/// A job for one row of its matrix.
pub(super) struct JobRow<'w> {
    /// Its key in the file.
    pub(super) id: &'w str,
    job: &'w Value,
    contexts: Value,
    /// The default directory of its commands.
    working_directory: Option<String>,
    /// The nesting depth in actions of the repository.
    depth: usize,
    /// The location of its steps: the file, if it is not the workflow, and the line
    /// of each.
    file: Option<String>,
    lines: Vec<u64>,
}

/// A step of a job.
pub(super) struct Step<'r> {
    fields: &'r Value,
    row: &'r JobRow<'r>,
    /// Its number among the steps, counted from 1.
    index: usize,
}

impl Workflow {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self, InitError> {
        let text = std::fs::read_to_string(path).map_err(FileError::new("read", path))?;
        Self::parse(path, &text)
    }

    /// Parses the text of the file at `path`.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, InitError> {
        let document = parse(text)
            .map_err(|source| InitError::Yaml { path: path.to_owned(), source: Box::new(source) })?;
        if document.get("jobs").is_none_or(|jobs| !jobs.is_object()) {
            return Err(InitError::NoJobs(path.to_owned()));
        }
        // Without the usual structure there are no line numbers.
        let lines = serde_saphyr::from_str(text).unwrap_or_default();
        let inputs = defaults(&document);
        Ok(Self { path: path.to_owned(), document, file: None, inputs, lines })
    }

    /// The workflow of the same repository that a job calls.
    pub(super) fn called(&self, job: &Value) -> Option<Self> {
        let place = own_path(job.get("uses")?.as_str()?)?;
        let mut called = Self::read(&self.root().join(place)).ok()?;
        called.file = Some(place.to_owned());
        for (name, value) in job.get("with").and_then(Value::as_object).into_iter().flatten() {
            // Otherwise, it depends on the caller's run.
            if value.as_str().is_some_and(|text| text.contains("${{")) {
                called.inputs.remove(name);
            } else {
                called.inputs.insert(name.clone(), value.clone());
            }
        }
        Some(called)
    }

    /// The name of a job in messages.
    pub(super) fn place(&self, id: &str) -> String {
        // The key is on the line before.
        let line = self.lines.jobs.get(id).map(|job| job.defined.line().saturating_sub(1));
        format!("job `{id}`{}", shown_place(self.file.as_deref(), line))
    }

    /// The root of its repository.
    pub(super) fn root(&self) -> PathBuf {
        let here = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut above = here.ancestors().skip(1);
        let root = above.find(|path| path.join(".github").is_dir() || path.join(".git").exists());
        root.map(Path::to_owned).unwrap_or_default()
    }

    /// A field of the file.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.document.get(name)
    }

    /// The names of the jobs.
    pub(super) fn jobs(&self) -> impl Iterator<Item = (&str, &Value)> {
        let jobs = self.field("jobs").and_then(Value::as_object).into_iter().flatten();
        jobs.map(|(id, job)| (id.as_str(), job))
    }

    /// A job for each row of its matrix; `None` if the matrix is computed during
    /// the run.
    pub(super) fn rows<'w>(&'w self, id: &'w str, job: &'w Value) -> Option<Vec<JobRow<'w>>> {
        let mut env = Map::new();
        for place in [self.field("env"), job.get("env")] {
            env.extend(place.and_then(Value::as_object).cloned().unwrap_or_default());
        }
        let needs = constants::needs(self.field("jobs")?, job, &env);
        let known = json!({ "env": env, "inputs": self.inputs, "needs": needs });
        let matrix = job.get("strategy").and_then(|strategy| strategy.get("matrix"));
        let rows = match matrix.map(|matrix| constants::resolved(matrix, &known)) {
            None => vec![Map::new()],
            Some(Some(Value::Object(matrix))) => expand(&matrix)?,
            Some(_) => return None,
        };
        let places = [job.get("defaults"), self.field("defaults")].into_iter().flatten();
        let working_directory = places
            .filter_map(|place| place.get("run")?.get("working-directory")?.as_str())
            .map(str::to_owned)
            .next();
        let lines = self.lines.jobs.get(id).map(|job| job.value.lines()).unwrap_or_default();
        let row = |matrix: Map<String, Value>| {
            let mut contexts = known.clone();
            contexts["matrix"] = Value::Object(matrix);
            let working_directory = working_directory.clone();
            let (file, lines) = (self.file.clone(), lines.clone());
            let mut row = JobRow { id, job, contexts, working_directory, depth: 0, file, lines };
            let runner = runner_context(&row.runner());
            row.contexts.as_object_mut().into_iter().for_each(|all| all.extend(runner.clone()));
            // Values that depend on the run are unknown.
            let env = env.iter().filter_map(|(name, text)| Some((name.clone(), row.text(text)?.into())));
            row.contexts["env"] = Value::Object(env.collect());
            let (set, steps) = constants::set_by_steps(job, &row.contexts);
            row.contexts["steps"] = Value::Object(steps);
            row.contexts["env"].as_object_mut().into_iter().for_each(|env| env.extend(set.clone()));
            row
        };
        Some(rows.into_iter().map(row).collect())
    }
}

pub(super) fn parse(text: &str) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        // `manylinux: 2_28` is a string, like on GitHub.
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options)
}

impl JobLines {
    fn lines(&self) -> Vec<u64> {
        self.steps.iter().map(|step| step.defined.line()).collect()
    }
}

/// The defaults of the inputs of a run.
fn defaults(document: &Value) -> Map<String, Value> {
    let mut inputs = Map::new();
    for event in ["workflow_call", "workflow_dispatch"] {
        let of_event = document.get("on").and_then(|on| on.get(event)?.get("inputs")?.as_object());
        for (name, input) in of_event.into_iter().flatten() {
            if let Some(default) = input.get("default") {
                inputs.insert(name.clone(), default.clone());
            }
        }
    }
    inputs
}

/// `runner.os` and `runner.arch`; empty if the runner depends on the run.
fn runner_context(label: &str) -> Map<String, Value> {
    if label.is_empty() {
        return Map::new();
    }
    let os = match RunnerSystem::of(label) {
        RunnerSystem::Linux => "Linux",
        RunnerSystem::Macos => "macOS",
        RunnerSystem::Windows => "Windows",
    };
    let arch = if runner_arch(label) == Arch::Aarch64 { "ARM64" } else { "X64" };
    Map::from_iter([("runner".to_owned(), json!({ "os": os, "arch": arch }))])
}

impl JobRow<'_> {
    /// A field of the job.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.job.get(name)
    }

    /// The text of a value in this row; `None` if it depends on the run.
    pub(super) fn text(&self, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => interpolate(text, &self.contexts),
            Value::Null => Some(String::new()),
            Value::Array(list) => list.first().and_then(|first| self.text(first)),
            Value::Object(_) => None,
            other => Some(other.to_string()),
        }
    }

    /// The contexts of expressions.
    pub(super) fn contexts(&self) -> &Value {
        &self.contexts
    }

    /// The default directory of its commands.
    pub(super) fn working_directory(&self) -> Option<String> {
        let directory = self.working_directory.as_deref()?;
        interpolate(directory, &self.contexts)
    }

    /// The label of its runner; `""` if it depends on the run.
    pub(super) fn runner(&self) -> String {
        self.field("runs-on").and_then(|value| self.text(value)).unwrap_or_default()
    }

    /// Its steps.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let steps = self.field("steps").and_then(Value::as_array).into_iter().flatten();
        steps.enumerate().map(|(index, step)| Step { fields: step, row: self, index: index + 1 })
    }
}

impl Step<'_> {
    /// The action that it uses, without its version.
    pub(super) fn uses(&self) -> Option<&str> {
        let text = self.fields.get("uses")?.as_str()?;
        Some(text.split_once('@').map_or(text, |(name, _)| name))
    }

    /// The commands that it runs.
    pub(super) fn run(&self) -> Option<&str> {
        self.fields.get("run")?.as_str()
    }

    /// Its row.
    pub(super) fn row(&self) -> &JobRow<'_> {
        self.row
    }

    /// Fields of a mapping (`with`, `env`), each with its text in this row.
    pub(super) fn mapping(&self, name: &str) -> Vec<(String, Option<String>)> {
        let fields = self.fields.get(name).and_then(Value::as_object).into_iter().flatten();
        fields.map(|(key, value)| (key.clone(), self.row.text(value))).collect()
    }

    /// A field of the step.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// Its condition, if it depends on more than the tag.
    pub(super) fn open_condition(&self) -> Option<&str> {
        let open = self.condition().filter(|(_, value)| value.is_none()).map(|(text, _)| text);
        open.filter(|text| !holds_for_tags(text, &self.row.contexts))
    }

    /// Its condition with its value; `None` if it depends on the run.
    fn condition(&self) -> Option<(&str, Option<bool>)> {
        let condition = self.fields.get("if")?.as_str()?.trim();
        Some((condition, truth(condition, &self.row.contexts)))
    }

    /// Whether its condition is false in this row.
    pub(super) fn is_skipped(&self) -> bool {
        self.condition().is_some_and(|(_, value)| value == Some(false))
    }

    /// Its condition, if it holds in no run that publishes.
    pub(super) fn closed_condition(&self) -> Option<&str> {
        let (condition, value) = self.condition()?;
        (value.is_none() && holds_for_no_release(condition, &self.row.contexts)).then_some(condition)
    }

    /// The value of a variable of the environment that its commands run in.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let own = self.fields.get("env").and_then(|env| env.get(name));
        self.row.text(own.or_else(|| self.row.contexts.get("env")?.get(name))?)
    }

    /// Its name in messages, with that of its job.
    pub(super) fn place(&self) -> String {
        let name = self.fields.get("name").and_then(Value::as_str).map(str::to_owned);
        let name = name.or_else(|| self.uses().map(str::to_owned));
        let name = name.unwrap_or_else(|| format!("{}", self.index));
        let line = self.row.lines.get(self.index - 1).copied();
        format!("job `{}`, step `{name}`{}", self.row.id, shown_place(self.row.file.as_deref(), line))
    }
}

/// The file, if it is not the workflow, and the line.
fn shown_place(file: Option<&str>, line: Option<u64>) -> String {
    match (file, line.filter(|line| *line > 0)) {
        (Some(file), Some(line)) => format!(" (`{file}` line {line})"),
        (Some(file), None) => format!(" (`{file}`)"),
        (None, Some(line)) => format!(" (line {line})"),
        (None, None) => String::new(),
    }
}

/// The path of an action or a workflow of the same repository.
pub(super) fn own_path(uses: &str) -> Option<&str> {
    uses.strip_prefix("./").or_else(|| uses.strip_prefix("$/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_files_that_are_not_workflows() {
        let read =
            |text: &str| Workflow::parse(Path::new("a.yml"), text).err().map(|error| error.to_string());
        assert_eq!(read("jobs: {}"), None);
        assert_eq!(read("a: 1").unwrap(), "`a.yml` is not a workflow: it has no `jobs`");
        assert_eq!(read("jobs: [").unwrap(), "`a.yml` is not valid YAML");
    }
}
