//! A workflow file: its jobs, each row of their matrices, their steps.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use toolkit::FileError;

use super::error::InitError;
use super::expression::interpolate;

/// How deep actions of a repository may use each other.
const DEPTH: usize = 4;

/// A workflow file.
pub(super) struct Workflow {
    /// The file.
    pub(super) path: PathBuf,
    document: Value,
}

/// A job for one row of its matrix.
pub(super) struct JobRow<'w> {
    /// Its key in the file.
    pub(super) id: &'w str,
    job: &'w Value,
    contexts: Value,
    /// Where its commands run by default.
    working_directory: Option<String>,
    /// How many actions of the repository it is within.
    depth: usize,
}

/// A job with the steps of an action of the same repository, and what their
/// expressions may refer to.
pub(super) struct LocalAction {
    job: Value,
    contexts: Value,
    /// Inputs that the run decides.
    pub(super) unknown: Vec<String>,
}

/// A step of a job.
pub(super) struct Step<'r> {
    fields: &'r Value,
    row: &'r JobRow<'r>,
    /// Its place among the steps, from 1 on.
    index: usize,
}

impl Workflow {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self, InitError> {
        let text = std::fs::read_to_string(path).map_err(FileError::new("read", path))?;
        Self::parse(path, &text)
    }

    /// Understands the text of the file at `path`.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, InitError> {
        let document = parse(text)
            .map_err(|source| InitError::Yaml { path: path.to_owned(), source: Box::new(source) })?;
        if document.get("jobs").is_none_or(|jobs| !jobs.is_object()) {
            return Err(InitError::NoJobs(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), document })
    }

    /// The directory of the repository that it is in.
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

    /// A job once for each row of its matrix; `None` where the matrix is
    /// computed during the run.
    pub(super) fn rows<'w>(&'w self, id: &'w str, job: &'w Value) -> Option<Vec<JobRow<'w>>> {
        let mut env = Map::new();
        for place in [self.field("env"), job.get("env")] {
            env.extend(place.and_then(Value::as_object).cloned().unwrap_or_default());
        }
        let rows = match job.get("strategy").and_then(|strategy| strategy.get("matrix")) {
            None => vec![Map::new()],
            Some(Value::Object(matrix)) => expand(matrix)?,
            Some(_) => return None,
        };
        let places = [job.get("defaults"), self.field("defaults")].into_iter().flatten();
        let working_directory = places
            .filter_map(|place| place.get("run")?.get("working-directory")?.as_str())
            .map(str::to_owned)
            .next();
        let row = |matrix: Map<String, Value>| {
            let contexts = json!({ "matrix": matrix, "env": env });
            JobRow { id, job, contexts, working_directory: working_directory.clone(), depth: 0 }
        };
        Some(rows.into_iter().map(row).collect())
    }
}

fn parse(text: &str) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        // `manylinux: 2_28` is a text, as for GitHub.
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options)
}

/// The rows of a matrix: the product of its axes without `exclude`, then
/// `include` (GitHub, "Running variations of jobs in a workflow").
fn expand(matrix: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
    let mut rows = vec![Map::new()];
    let axes: Vec<_> =
        matrix.iter().filter(|(name, _)| !["include", "exclude"].contains(&name.as_str())).collect();
    for (name, values) in &axes {
        let values = values.as_array()?;
        let with = |row: &Map<String, Value>, value: &Value| {
            let mut row = row.clone();
            row.insert((*name).clone(), value.clone());
            row
        };
        rows = rows
            .iter()
            .flat_map(|row| values.iter().map(|value| with(row, value)).collect::<Vec<_>>())
            .collect();
    }
    if axes.is_empty() {
        rows.clear();
    }
    let listed = |name: &str| -> Option<Vec<Map<String, Value>>> {
        match matrix.get(name) {
            None => Some(Vec::new()),
            Some(list) => list.as_array()?.iter().map(|row| row.as_object().cloned()).collect(),
        }
    };
    for excluded in listed("exclude")? {
        rows.retain(|row| !excluded.iter().all(|(key, value)| row.get(key) == Some(value)));
    }
    let original = rows.clone();
    for included in listed("include")? {
        let mut is_added = false;
        for (row, first) in rows.iter_mut().zip(&original) {
            // It extends the rows whose own values it does not change.
            if included.iter().all(|(key, value)| first.get(key).is_none_or(|own| own == value)) {
                row.extend(included.clone());
                is_added = true;
            }
        }
        if !is_added {
            rows.push(included);
        }
    }
    Some(rows)
}

impl JobRow<'_> {
    /// A field of the job.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.job.get(name)
    }

    /// The text of a value in this row; `None` where the run decides it.
    pub(super) fn text(&self, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => interpolate(text, &self.contexts),
            Value::Null => Some(String::new()),
            Value::Array(list) => list.first().and_then(|first| self.text(first)),
            Value::Object(_) => None,
            other => Some(other.to_string()),
        }
    }

    /// What expressions may refer to.
    pub(super) fn contexts(&self) -> &Value {
        &self.contexts
    }

    /// Where its commands run by default.
    pub(super) fn working_directory(&self) -> Option<String> {
        let directory = self.working_directory.as_deref()?;
        interpolate(directory, &self.contexts)
    }

    /// The label of its runner; `""` where the run decides it.
    pub(super) fn runner(&self) -> String {
        self.field("runs-on").and_then(|value| self.text(value)).unwrap_or_default()
    }

    /// Its steps.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let steps = self.field("steps").and_then(Value::as_array).into_iter().flatten();
        steps.enumerate().map(|(index, step)| Step { fields: step, row: self, index: index + 1 })
    }
}

impl LocalAction {
    /// The action as a row of the job that uses it.
    pub(super) fn row<'a>(&'a self, step: &'a Step<'_>) -> JobRow<'a> {
        JobRow {
            id: step.row.id,
            job: &self.job,
            contexts: self.contexts.clone(),
            working_directory: None,
            depth: step.row.depth + 1,
        }
    }
}

impl Step<'_> {
    /// The composite action of the repository at `root` that it uses.
    pub(super) fn local_action(&self, root: &Path) -> Option<LocalAction> {
        let directory = root.join(self.uses()?.strip_prefix("./")?);
        let names = ["action.yml", "action.yaml"];
        let text = names.iter().find_map(|name| std::fs::read_to_string(directory.join(name)).ok())?;
        let action: Value = parse(&text).ok()?;
        let steps = action.get("runs")?.get("steps").filter(|_| self.row.depth < DEPTH)?;
        let mut inputs = Map::new();
        for (name, input) in action.get("inputs").and_then(Value::as_object).into_iter().flatten() {
            let default = input.get("default").and_then(|default| self.row.text(default));
            inputs.insert(name.clone(), Value::String(default.unwrap_or_default()));
        }
        let mut unknown = Vec::new();
        for (name, value) in self.mapping("with") {
            match value {
                Some(value) => drop(inputs.insert(name, Value::String(value))),
                None => unknown.push(name),
            }
        }
        let mut job = self.row.job.clone();
        job.as_object_mut()?.insert("steps".to_owned(), steps.clone());
        let runner = Value::String(self.row.runner());
        job.as_object_mut()?.insert("runs-on".to_owned(), runner);
        let mut contexts = self.row.contexts.clone();
        contexts.as_object_mut()?.insert("inputs".to_owned(), Value::Object(inputs));
        Some(LocalAction { job, contexts, unknown })
    }

    /// The action that it uses, without its version.
    pub(super) fn uses(&self) -> Option<&str> {
        let text = self.fields.get("uses")?.as_str()?;
        Some(text.split_once('@').map_or(text, |(name, _)| name))
    }

    /// The commands that it runs.
    pub(super) fn run(&self) -> Option<&str> {
        self.fields.get("run")?.as_str()
    }

    /// The row that it is in.
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

    /// Its condition, where the run decides it.
    pub(super) fn open_condition(&self) -> Option<&str> {
        self.condition().filter(|(_, value)| value.is_none()).map(|(text, _)| text)
    }

    /// Its condition and the value of that: none where the run decides it.
    fn condition(&self) -> Option<(&str, Option<bool>)> {
        let condition = self.fields.get("if")?.as_str()?.trim();
        let inner = condition.strip_prefix("${{").and_then(|text| text.strip_suffix("}}"));
        let value = super::expression::evaluate(inner.unwrap_or(condition), &self.row.contexts);
        Some((condition, value.map(|value| value.as_boolean())))
    }

    /// Whether its condition is false in this row.
    pub(super) fn is_skipped(&self) -> bool {
        self.condition().is_some_and(|(_, value)| value == Some(false))
    }

    /// How to name it to people: its job and its own name.
    pub(super) fn place(&self) -> String {
        let name = self.fields.get("name").and_then(Value::as_str).map(str::to_owned);
        let name = name.or_else(|| self.uses().map(str::to_owned));
        let name = name.unwrap_or_else(|| format!("{}", self.index));
        format!("job `{}`, step `{name}`", self.row.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_expanded_as_github_does() {
        let matrix = json!({
            "fruit": ["apple", "pear"],
            "animal": ["cat", "dog"],
            "include": [
                {"color": "green"},
                {"color": "pink", "animal": "cat"},
                {"fruit": "apple", "shape": "circle"},
                {"fruit": "banana"},
                {"fruit": "banana", "animal": "cat"},
            ],
        });
        let rows = expand(matrix.as_object().unwrap()).unwrap();
        let rows: Vec<String> = rows.into_iter().map(|row| Value::Object(row).to_string()).collect();
        assert_eq!(
            rows,
            [
                r#"{"animal":"cat","color":"pink","fruit":"apple","shape":"circle"}"#,
                r#"{"animal":"cat","color":"pink","fruit":"pear"}"#,
                r#"{"animal":"dog","color":"green","fruit":"apple","shape":"circle"}"#,
                r#"{"animal":"dog","color":"green","fruit":"pear"}"#,
                r#"{"fruit":"banana"}"#,
                r#"{"animal":"cat","fruit":"banana"}"#,
            ]
        );
    }

    #[test]
    fn only_a_workflow_is_read() {
        let read =
            |text: &str| Workflow::parse(Path::new("a.yml"), text).err().map(|error| error.to_string());
        assert_eq!(read("jobs: {}"), None);
        assert_eq!(read("a: 1").unwrap(), "`a.yml` is not a workflow: it has no `jobs`");
        assert_eq!(read("jobs: [").unwrap(), "`a.yml` is not valid YAML");
    }
}
