//! Values that the steps of a workflow set but that can be read from the file:
//! variables and outputs set to literals, and matrices that follow from these.

use serde_json::{Map, Value, json};

use super::expression::{interpolate, truth, value};

/// The values that the steps of a job set, for the contexts `env` and `steps`. A
/// step whose condition depends on the run sets no known value.
pub(super) fn set_by_steps(job: &Value, contexts: &Value) -> (Map<String, Value>, Map<String, Value>) {
    let (mut env, mut steps) = (Map::new(), Map::new());
    for step in job.get("steps").and_then(Value::as_array).into_iter().flatten() {
        let Some(run) = step.get("run").and_then(Value::as_str) else { continue };
        let condition = step.get("if").and_then(Value::as_str);
        if condition.is_some_and(|condition| truth(condition, contexts) != Some(true)) {
            continue;
        }
        let Some(set) = assignments(run, contexts) else { continue };
        let mut outputs = Map::new();
        for (file, name, value) in set {
            let place = if file == "GITHUB_ENV" { &mut env } else { &mut outputs };
            place.insert(name, Value::String(value));
        }
        if let Some(id) = step.get("id").and_then(Value::as_str) {
            steps.insert(id.to_owned(), json!({ "outputs": outputs }));
        }
    }
    (env, steps)
}

/// The file, name and value of each `echo "name=value" >> "$GITHUB_OUTPUT"`; `None`
/// if the commands do anything else or compute a value.
fn assignments(run: &str, contexts: &Value) -> Option<Vec<(&'static str, String, String)>> {
    let lines = run.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("set -"));
    let assignment = |line: &str| {
        let (command, file) = line.rsplit_once(">>")?;
        let file = file.trim().trim_matches('"');
        let file = ["GITHUB_ENV", "GITHUB_OUTPUT"]
            .into_iter()
            .find(|name| file == format!("${name}") || file == format!("${{{name}}}"))?;
        let words = shlex::split(&interpolate(command, contexts)?)?;
        let [echo, word] = &words[..] else { return None };
        let (name, value) = word.split_once('=')?;
        let is_literal = echo == "echo" && !value.contains(['$', '`']);
        is_literal.then(|| (file, name.to_owned(), value.to_owned()))
    };
    lines.map(assignment).collect()
}

/// The known outputs of the jobs that a job needs.
pub(super) fn needs(jobs: &Value, job: &Value, env: &Map<String, Value>) -> Map<String, Value> {
    let names = match job.get("needs") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut needs = Map::new();
    for name in names {
        // With a matrix, the last row to finish sets the outputs.
        let Some(needed) = jobs.get(name).filter(|needed| needed.get("strategy").is_none()) else { continue };
        let mut env = env.clone();
        env.extend(needed.get("env").and_then(Value::as_object).cloned().unwrap_or_default());
        let (_, steps) = set_by_steps(needed, &json!({ "env": env }));
        let contexts = json!({ "env": env, "steps": steps });
        let outputs = needed.get("outputs").and_then(Value::as_object).into_iter().flatten();
        let known = outputs.filter_map(|(name, text)| {
            Some((name.clone(), Value::String(interpolate(text.as_str()?, &contexts)?)))
        });
        needs.insert(name.to_owned(), json!({ "outputs": known.collect::<Map<_, _>>() }));
    }
    needs
}

/// Evaluates the expressions that give a whole matrix or a whole axis; `None` if
/// one depends on the run.
pub(super) fn resolved(matrix: &Value, contexts: &Value) -> Option<Value> {
    match matrix {
        Value::String(text) => {
            let inner = text.trim().strip_prefix("${{")?.strip_suffix("}}")?;
            if inner.contains("}}") { None } else { value(inner, contexts) }
        }
        Value::Object(fields) => {
            let field = |(name, field): (&String, &Value)| {
                let field = if field.is_string() { resolved(field, contexts)? } else { field.clone() };
                Some((name.clone(), field))
            };
            fields.iter().map(field).collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        other => Some(other.clone()),
    }
}

/// Replaces the shell variables in a command; `None` if one is unknown or something
/// else is computed.
pub(super) fn with_variables(text: &str, env: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('$') {
        out += before;
        let (braced, tail) = tail.strip_prefix('{').map_or((false, tail), |tail| (true, tail));
        let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
        let (name, after) = tail.split_at(end);
        rest = if braced { after.strip_prefix('}')? } else { after };
        out += &env(name).filter(|_| !name.is_empty())?;
    }
    Some(out + rest).filter(|text| !text.contains('`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_literals_that_steps_set() {
        let job = json!({ "steps": [
            { "id": "rows", "run": "set -eu\n# both\necho 'rows=[1, 2]' >> \"$GITHUB_OUTPUT\"\necho a=${{ matrix.a }} >>$GITHUB_ENV" },
            { "id": "date", "run": "echo \"date=$(date)\" >> $GITHUB_OUTPUT" },
            { "id": "tool", "run": "make\necho x=1 >> $GITHUB_OUTPUT" },
            { "id": "open", "if": "github.actor == 'a'", "run": "echo x=1 >> $GITHUB_OUTPUT" },
        ]});
        let (env, steps) = set_by_steps(&job, &json!({ "matrix": { "a": "b" } }));
        assert_eq!(Value::Object(env), json!({ "a": "b" }));
        assert_eq!(Value::Object(steps), json!({ "rows": { "outputs": { "rows": "[1, 2]" } } }));
    }

    #[test]
    fn evaluates_a_matrix_of_known_values() {
        let contexts = json!({ "needs": { "list": { "outputs": { "rows": "[{\"a\": 1}]" } } } });
        let of = |text: &str| resolved(&json!(text), &contexts);
        assert_eq!(of("${{ fromJSON(needs.list.outputs.rows) }}"), Some(json!([{ "a": 1 }])));
        assert_eq!(of("${{ fromJSON('[\"x\", \"y\"]') }}"), Some(json!(["x", "y"])));
        assert_eq!(of("${{ fromJSON(needs.list.outputs.other) }}"), None);
        assert_eq!(of("${{ needs.a }}${{ needs.b }}"), None);
    }

    #[test]
    fn replaces_shell_variables() {
        let env = |name: &str| (name == "TARGET").then(|| "x86_64".to_owned());
        for (text, expected) in [
            ("--target $TARGET -i 3.12", Some("--target x86_64 -i 3.12")),
            ("\"${TARGET}\"", Some("\"x86_64\"")),
            ("$OTHER", None),
            ("$(nproc)", None),
            ("${TARGET:-x}", None),
            ("`nproc`", None),
            ("plain", Some("plain")),
        ] {
            assert_eq!(with_variables(text, env).as_deref(), expected, "{text}");
        }
    }
}
