//! Outputs, summary and report of a build, and what a failure leaves behind.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::*;

/// Parses the outputs file in both formats: `name=value` and with a delimiter.
pub(crate) fn outputs(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((name, delimiter)) = line.split_once("<<") {
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
            found.insert(name.to_owned(), value.join("\n"));
        } else if let Some((name, value)) = line.split_once('=') {
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    found
}

#[test]
fn reports_everything_to_the_workflow() {
    let dir = tempfile::tempdir().unwrap();
    let broken = compile(&CC, dir.path(), "a", HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    let note = file("sample_note.py", format!("PATH = '{STORE}-x'\n"));
    let wheel = zip(&members(&[file("sample-1.0.data/scripts/sample", &broken), note]));
    std::fs::write(dir.path().join(WHEEL), wheel).unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut command = build_wheel(dir.path());
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_OUTPUT", at("out"))
        .env("GITHUB_STEP_SUMMARY", at("sum"));
    let shown = command.args([WHEEL, "--verify-reproducible"]).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");

    let outputs = outputs(&std::fs::read_to_string(at("out")).unwrap());
    let declared: Vec<&str> = build_wheel::SPEC.outputs.iter().map(|output| output.name).collect();
    let mut names: Vec<&str> = outputs.keys().map(String::as_str).collect();
    names.sort_by_key(|name| declared.iter().position(|declared| declared == name));
    assert_eq!(names, declared, "each that is declared, and no other");
    let report = report(dir.path());
    let wheel = std::fs::read(dir.path().join(&outputs["path"])).unwrap();
    assert_eq!(outputs["sha256"], pydist::digest::hex(&pydist::digest::sha256(&wheel)));
    for (output, field) in [
        ("filename", "filename"),
        ("sha256", "sha256"),
        ("floor", "floor"),
        ("artifact-name", "artifact_name"),
    ] {
        assert_eq!(outputs[output], report[field].as_str().unwrap(), "{output}");
    }
    assert_eq!((outputs["package"].as_str(), outputs["version"].as_str()), ("sample", "1.0"));
    let tags: Vec<String> = serde_json::from_value(report["tags"].clone()).unwrap();
    assert_eq!(outputs["tags"].split(' ').collect::<Vec<_>>(), tags);
    assert_eq!(serde_json::from_str::<Value>(&outputs["repaired"]).unwrap(), report["repaired"]);
    assert!(outputs["floor"].starts_with("glibc 2."), "{outputs:?}");
    assert_eq!((outputs["smoke"].as_str(), outputs["report"].as_str()), ("passed", "build-report.json"));
    assert!(outputs["artifact-name"].starts_with("dist-sample-manylinux_2_"), "{outputs:?}");

    let summary = std::fs::read_to_string(at("sum")).unwrap();
    for expected in [
        "### sample 1.0",
        &format!("| file | `{}` |", outputs["filename"]),
        &format!("| sha256 | `{}` |", outputs["sha256"]),
        &format!("| runs on | {} |", outputs["floor"]),
        "| smoke test | passed |",
        "| reproducible | yes |",
        "| `sample-1.0.data/scripts/sample` | the interpreter ",
        "| `sample_note.py` | mentions the Nix store |",
    ] {
        assert!(summary.contains(expected), "{expected} is not in\n{summary}");
    }
    let shown = String::from_utf8_lossy(&shown.stdout) + String::from_utf8_lossy(&shown.stderr);
    assert!(shown.contains("::warning"), "a warning is an annotation:\n{shown}");
    assert!(shown.contains("smoke test: passed (commands: 2, isolation: "), "{shown}");
}

#[test]
fn a_failure_keeps_existing_files() {
    let dir = tempfile::tempdir().unwrap();
    let broken = compile(&CC, dir.path(), "a", HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    let sound = program_wheel(&broken);
    let path = dir.path().join(WHEEL);
    std::fs::write(&path, &sound).unwrap();
    succeed(build_wheel(dir.path()).args([WHEEL, "--smoke-command", "sample"]));
    let name = report(dir.path())["filename"].as_str().unwrap().to_owned();
    let before = std::fs::read(dir.path().join("dist").join(&name)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), sound, "the input is read and not written");

    // The smoke test is the last step before writing; the other wheels fail earlier.
    let cut = program_wheel(&broken[..broken.len() / 2]);
    let report = std::fs::read(dir.path().join("build-report.json")).unwrap();
    for (wheel, command) in
        [(&sound, "sample --no-such && false"), (&cut, "sample"), (&sound[..99].to_vec(), "sample")]
    {
        std::fs::write(&path, wheel).unwrap();
        let command = format!("sh -c '{command}; exit 3'");
        fail(build_wheel(dir.path()).args([WHEEL, "--smoke-command", &command]), 1);
        assert_eq!(std::fs::read(&path).unwrap(), *wheel, "the input is not touched");
        assert_eq!(names(&dir.path().join("dist")), [name.as_str()], "and nothing half-written stays");
        assert_eq!(std::fs::read(dir.path().join("dist").join(&name)).unwrap(), before);
        assert_eq!(std::fs::read(dir.path().join("build-report.json")).unwrap(), report);
    }
}
