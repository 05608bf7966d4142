//! Expressions of a workflow (`${{ … }}`), as far as the matrix and `env`
//! decide them.

use github_actions_expressions::{Evaluation, Expr, SpannedExpr};
use serde_json::{Value, json};

/// The text with every expression evaluated over `contexts` (`matrix`, `env`);
/// `None` where one depends on the run.
pub(super) fn interpolate(text: &str, contexts: &Value) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("${{") {
        let (expression, after) = tail.split_once("}}")?;
        out += before;
        out += &evaluate(expression, contexts)?.sema().to_string();
        rest = after;
    }
    Some(out + rest)
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
        // A context within another one's index.
        if origin.span.start < done {
            return None;
        }
        let mut path = origin.raw.split('.');
        let name = path.next()?;
        let value = path.try_fold(contexts.get(name)?, |value, key| {
            let is_name = key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
            // A step may set a variable that the file does not name, and the
            // run an input. A push has no `github.event.pull_request`.
            let missing = ["matrix", "github"].contains(&name).then_some(&Value::Null);
            value.get(key).or(missing).filter(|_| is_name || name == "github")
        })?;
        out += &expression[done..origin.span.start];
        out += &literal(value)?;
        done = origin.span.end;
    }
    Some(out + &expression[done..])
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

/// Whether a condition holds; `None` where the run decides it.
pub(super) fn truth(condition: &str, contexts: &Value) -> Option<bool> {
    let inner = condition.strip_prefix("${{").and_then(|text| text.strip_suffix("}}"));
    let value = evaluate(inner.unwrap_or(condition), contexts);
    value.map(|value| value.as_boolean())
}

/// Whether a condition holds in every run that a tag starts, as those of the
/// new workflow are.
pub(super) fn holds_for_tags(condition: &str, contexts: &Value) -> bool {
    let mut contexts = contexts.clone();
    let push = json!({
        "event_name": "push",
        "ref": "refs/tags/v1.0.0",
        "ref_name": "v1.0.0",
        "ref_type": "tag",
        "event": { "ref": "refs/tags/v1.0.0" },
    });
    if let Some(all) = contexts.as_object_mut() {
        all.insert("github".to_owned(), push);
    }
    truth(condition.trim(), &contexts) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tag_decides_is_no_condition() {
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
        ] {
            assert_eq!(holds_for_tags(condition, &json!({})), expected, "{condition}");
        }
    }

    #[test]
    fn what_the_matrix_decides_is_evaluated() {
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
            ("${{ needs.x.outputs.y || 'z' }}", None),
            ("${{ matrix.target", None),
            ("plain", Some("plain")),
        ] {
            assert_eq!(interpolate(text, &contexts).as_deref(), expected, "{text}");
        }
    }
}
