//! Checks that `docs/support-matrix.md` calls only those targets `tested` that a test
//! here builds and runs.

use std::collections::BTreeSet;

use pydist::target::Target;

use crate::support::*;

/// The first three cells of the tables' rows.
fn rows() -> Vec<[String; 3]> {
    let path = testkit::tools::workspace().join("docs/support-matrix.md");
    let text = std::fs::read_to_string(path).unwrap();
    let cells = |line: &str| {
        let cells: Vec<String> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        <[String; 3]>::try_from(cells).ok()
    };
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).map(cells).collect();
    rows.into_iter().map(|row| row.expect("three cells")).collect()
}

/// The body of the test `name` in `file`.
fn body(file: &str, name: &str) -> String {
    let path = testkit::tools::workspace().join("actions/build-wheel").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let start = text.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("{file} has no test `{name}`"));
    let is_test = text[..start].trim_end().ends_with(']');
    assert!(is_test, "`{name}` is not a test");
    let end = text[start..].find("\n}\n").map_or(text.len(), |end| start + end);
    text[start..end].to_owned()
}

#[test]
fn a_tested_cell_names_its_test() {
    let rows = rows();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for [what, state, by] in &rows {
        // The words in backticks, which the test must contain.
        let words: Vec<&str> = what.split('`').skip(1).step_by(2).collect();
        match state.as_str() {
            "tested" => {
                let place = by.split('`').nth(1).unwrap_or_else(|| panic!("{what}: no test is named"));
                let (file, name) = place.split_once("::").unwrap();
                let body = body(file, name);
                let named = words.iter().any(|word| body.contains(&format!("\"{word}\"")));
                assert!(named, "{what}: `{name}` builds none of {words:?}");
            }
            "untested" => assert!(by.len() > 20, "{what}: what would test it?"),
            other => panic!("{what}: `{other}` is neither `tested` nor `untested`"),
        }
    }
}

#[test]
fn every_target_has_a_row() {
    let rows = rows();
    let listed: BTreeSet<&str> =
        rows.iter().flat_map(|[what, ..]| what.split('`').skip(1).step_by(2)).collect();
    for target in Target::all() {
        assert!(listed.contains(target.triple()), "{target} is missing");
    }
}

/// The targets for which maturin generates jobs.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn every_job_of_maturin_has_a_row() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let mut maturin = testkit::tools::command("maturin");
    maturin.current_dir(dir.path()).args(["generate-ci", "github", "--platform", "all", "--output", "-"]);
    let generated = succeed(&mut maturin);
    let targets: BTreeSet<&str> =
        generated.lines().filter_map(|line| line.trim().strip_prefix("target: ")).collect();
    assert!(targets.len() >= 7, "{targets:?}");
    let text = std::fs::read_to_string(testkit::tools::workspace().join("docs/support-matrix.md")).unwrap();
    for target in targets.iter().filter(|target| !target.contains("matrix")) {
        assert!(text.contains(&format!("`{target}`")), "{target} is missing");
    }
}
