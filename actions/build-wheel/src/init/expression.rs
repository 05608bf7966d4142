//! Evaluates expressions of a workflow (`${{ … }}`) that depend only on known
//! contexts, such as `matrix` and `env`.

use github_actions_expressions::{Evaluation, Expr, SpannedExpr};
use serde_json::{Value, json};

/// Evaluates every expression in a text with `contexts` (`matrix`, `env`); `None`
/// if one depends on the run. Values that are the same for every tag, such as
/// `github.ref_type`, are those of a release.
pub(super) fn interpolate(text: &str, contexts: &Value) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("${{") {
        let (expression, after) = tail.split_once("}}")?;
        out += before;
        out +=
            &in_every_release(contexts, |contexts| Some(evaluate(expression, contexts)?.sema().to_string()))?;
        rest = after;
    }
    Some(out + rest)
}

/// The value of an expression, such as a matrix.
pub(super) fn value(expression: &str, contexts: &Value) -> Option<Value> {
    let text = in_every_release(contexts, |contexts| {
        Some(evaluate(&format!("toJSON({expression})"), contexts)?.sema().to_string())
    })?;
    serde_json::from_str(&text).ok()
}

/// The value that is the same for every tag and GitHub release.
fn in_every_release<T: PartialEq>(contexts: &Value, of: impl Fn(&Value) -> Option<T>) -> Option<T> {
    if let Some(found) = of(contexts) {
        return Some(found);
    }
    let releases = RELEASES.iter().map(|(event, tag)| of(&with_github(contexts, event, tag)));
    let mut found = releases.collect::<Option<Vec<T>>>()?.into_iter();
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The triggers of a release: event and tag.
const RELEASES: [(&str, &str); 4] =
    [("push", "v1.0.0"), ("push", "2.7rc1"), ("release", "v1.0.0"), ("release", "2.7rc1")];

/// The contexts with `github` of a run for a tag.
fn with_github(contexts: &Value, event: &str, tag: &str) -> Value {
    let full = format!("refs/tags/{tag}");
    let github = json!({
        "event_name": event,
        "ref": full,
        "ref_name": tag,
        "ref_type": "tag",
        "head_ref": "",
        "base_ref": "",
        "event": if event == "push" {
            json!({ "ref": full, "pull_request": null, "release": null, "action": null })
        } else {
            json!({ "pull_request": null })
        },
    });
    let mut contexts = contexts.clone();
    if let Some(all) = contexts.as_object_mut() {
        all.insert("github".to_owned(), github);
    }
    contexts
}

/// The value of one expression.
pub(super) fn evaluate(expression: &str, contexts: &Value) -> Option<Evaluation> {
    let expression = expression.trim();
    let parsed = Expr::parse(expression).ok()?;
    let constant = with_values(&parsed, expression, contexts)?;
    Expr::parse(&constant).ok()?.consteval()
}

/// The expression with its contexts replaced by their values.
fn with_values(parsed: &SpannedExpr<'_>, expression: &str, contexts: &Value) -> Option<String> {
    let mut places = parsed.contexts();
    places.sort_by_key(|(_, origin)| origin.span.start);
    let (mut out, mut done) = (String::new(), 0);
    for (_, origin) in places {
        // A context in another one's index.
        if origin.span.start < done {
            return None;
        }
        let path = path(origin.raw)?;
        let (name, keys) = path.split_first()?;
        let value = keys.iter().try_fold(contexts.get(name)?, |value, key| {
            let is_name = key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
            // A row need not have every key, and a push has no `github.event.pull_request`. But
            // a step may set a variable that is not in the file, and the run an input.
            let is_null = value.is_null() || name == "matrix" && is_name;
            value.get(key).or(is_null.then_some(&Value::Null))
        })?;
        out += &expression[done..origin.span.start];
        out += &literal(value)?;
        done = origin.span.end;
    }
    Some(out + &expression[done..])
}

/// The parts of `matrix.platform['target']`; `None` if an index is computed.
fn path(raw: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '.' => parts.push(String::new()),
            '[' => {
                let (key, after) = rest.strip_prefix('\'')?.split_once("']")?;
                parts.push(key.to_owned());
                rest = after;
            }
            c => parts.last_mut()?.push(c),
        }
    }
    Some(parts)
}

fn literal(value: &Value) -> Option<String> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    Some(match value {
        Value::String(text) => quoted(text),
        Value::Array(_) | Value::Object(_) => {
            format!("fromJSON({})", quoted(&serde_json::to_string(value).ok()?))
        }
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    })
}

/// Whether a condition holds; `None` if it depends on the run.
pub(super) fn truth(condition: &str, contexts: &Value) -> Option<bool> {
    let inner = condition.strip_prefix("${{").and_then(|text| text.strip_suffix("}}"));
    let value = evaluate(inner.unwrap_or(condition), contexts);
    value.map(|value| value.as_boolean())
}

/// Whether a condition holds in every run for a tag, like those of the new workflow.
pub(super) fn holds_for_tags(condition: &str, contexts: &Value) -> bool {
    truth(condition.trim(), &with_github(contexts, "push", "v1.0.0")) == Some(true)
}

/// Whether a condition holds in no run that publishes: a run for a tag or a GitHub
/// release, or a manual run.
pub(super) fn holds_for_no_release(condition: &str, contexts: &Value) -> bool {
    let by_hand = [("workflow_dispatch", "v1.0.0")];
    let mut runs: Vec<Value> =
        RELEASES.iter().chain(&by_hand).map(|(event, tag)| with_github(contexts, event, tag)).collect();
    let mut on_branch = with_github(contexts, "workflow_dispatch", "");
    for (name, value) in [("ref", "refs/heads/main"), ("ref_name", "main"), ("ref_type", "branch")] {
        on_branch["github"][name] = json!(value);
    }
    runs.push(on_branch);
    runs.iter().all(|run| truth(condition.trim(), run) == Some(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_conditions_that_hold_for_tags() {
        for (condition, expected) in [
            ("startsWith(github.ref, 'refs/tags/')", true),
            ("${{ github.event_name == 'push' }}", true),
            ("!github.event.pull_request && github.ref_type == 'tag'", true),
            ("!contains(github.event.pull_request.labels.*.name, 'skip')", true),
            ("github.ref == 'refs/heads/main'", false),
            ("github.event_name == 'release'", false),
            ("needs.check.outputs.run == 'true'", false),
            ("always() && github.ref_type == 'tag'", false),
            ("inputs.publish", false),
            ("github.repository == 'owner/name'", false),
        ] {
            assert_eq!(holds_for_tags(condition, &json!({})), expected, "{condition}");
        }
    }

    #[test]
    fn recognises_conditions_that_hold_for_no_release() {
        for (condition, expected) in [
            ("github.event_name == 'pull_request'", true),
            ("${{ github.event_name == 'schedule' }}", true),
            ("github.head_ref == 'next' && github.event_name == 'pull_request'", true),
            ("github.ref == 'refs/heads/main'", false),
            ("github.event_name == 'release'", false),
            ("github.repository == 'owner/name'", false),
            ("github.event.inputs.publish == 'true'", false),
            ("startsWith(github.ref, 'refs/tags/')", false),
        ] {
            assert_eq!(holds_for_no_release(condition, &json!({})), expected, "{condition}");
        }
    }

    #[test]
    fn evaluates_expressions_of_known_contexts() {
        let contexts = json!({
            "matrix": {"target": "x86_64", "platform": {"python": ["3.10", "3.11"]}, "floor": "it's"},
            "env": {"DIR": "py"},
            "inputs": {"profile": "release"},
            "runner": {"os": "Linux"},
        });
        for (text, expected) in [
            ("a ${{ matrix.target }} b", Some("a x86_64 b")),
            ("${{ matrix.platform.manylinux || 'auto' }}", Some("auto")),
            ("-i ${{ join(matrix.platform.python, ' ') }}", Some("-i 3.10 3.11")),
            ("${{ endsWith(matrix.target, '64') && 'yes' || 'no' }}${{ env.DIR }}", Some("yespy")),
            ("${{ matrix.floor }}", Some("it's")),
            ("${{ matrix.other }}", Some("")),
            ("${{ env.OTHER }}", None),
            ("${{ inputs.profile }} ${{ runner.os == 'Linux' }}", Some("release true")),
            ("${{ inputs.other }}", None),
            ("${{ github.ref }}", None),
            ("${{ github.repository }}", None),
            ("${{ startsWith(github.ref, 'refs/tags/') && '--release' || '' }}", Some("--release")),
            ("${{ github.event_name == 'pull_request' && 'dev' || 'release' }}", Some("release")),
            ("${{ github.event_name == 'release' && 'x' || 'y' }}", None),
            ("${{ format('{0}-{1}', matrix.target, env.DIR) }}", Some("x86_64-py")),
            ("${{ matrix['target'] }} ${{ matrix.platform['python'][1] }}", None),
            ("${{ matrix['target'] }}", Some("x86_64")),
            ("${{ contains(matrix.platform.python, '3.11') && 'a' }}", Some("a")),
            ("${{ needs.x.outputs.y || 'z' }}", None),
            ("${{ matrix.target", None),
            ("plain", Some("plain")),
        ] {
            assert_eq!(interpolate(text, &contexts).as_deref(), expected, "{text}");
        }
    }
}
