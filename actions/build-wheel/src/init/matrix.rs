//! The rows of a job's matrix.

use serde_json::{Map, Value};

/// The rows of a matrix: the product of its axes without `exclude`, then
/// `include` (GitHub, "Running variations of jobs in a workflow").
pub(super) fn expand(matrix: &Map<String, Value>) -> Option<Vec<Map<String, Value>>> {
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
            // It extends the rows whose original values it does not change.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expands_a_matrix_like_github() {
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
}
