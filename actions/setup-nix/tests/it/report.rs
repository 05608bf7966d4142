//! The JSON report, and what its schema promises.

use std::fs;

use serde_json::Value;

use crate::machine::Machine;

fn read(machine: &Machine) -> Value {
    serde_json::from_slice(&fs::read(machine.path("work/report.json")).unwrap()).unwrap()
}

/// Every object of `value` has the fields of `schema`, no more and no fewer.
fn follows(value: &Value, schema: &Value, at: &str) {
    if let Some(choices) = schema["oneOf"].as_array() {
        let null = value.is_null();
        let choice = choices.iter().find(|choice| (choice["type"] == "null") == null).unwrap();
        return follows(value, choice, at);
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value}");
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{at}");
    }
    if let (Value::Array(items), Some(schema)) = (value, schema.get("items")) {
        for item in items {
            follows(item, schema, &format!("{at}[]"));
        }
    }
    if let (Value::Object(fields), Some(Value::Object(known))) = (value, schema.get("properties")) {
        let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
        let (mut found, mut wanted) = (names(fields), names(known));
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{at}");
        for (name, value) in fields {
            follows(value, &known[name], &format!("{at}.{name}"));
        }
    }
}

#[test]
fn the_reports_follow_their_schema() {
    let schema = testkit::tools::workspace().join("docs/schema/setup-nix-report.json");
    let schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    let machine = Machine::new();
    machine.done(&["install", "--report-path=report.json"]);
    let report = read(&machine);
    follows(&report, &schema["$defs"]["install"], "install");
    assert_eq!(report["cache"]["lookup"], "miss");
    assert!(report["settings"]["max-jobs"].is_u64(), "{report}");
    let path = machine.build("told", 2);
    machine.done(&["save", "--report-path=report.json"]);
    let report = read(&machine);
    follows(&report, &schema["$defs"]["save"], "save");
    assert_eq!((&report["packed"]["paths"], &report["cache"]["changed"]), (&4.into(), &true.into()));
    let names = report["packed"]["names"].as_array().unwrap();
    assert!(names.iter().any(|name| path.ends_with(name[0].as_str().unwrap())), "{report}");

    // What is there counts as local, and a damaged path is told as such.
    let bytes = fs::read_dir(machine.cache().join("nar")).unwrap().next().unwrap().unwrap().path();
    fs::write(bytes, "damaged").unwrap();
    machine.empty();
    machine.done(&["install", "--report-path=report.json"]);
    let report = read(&machine);
    follows(&report, &schema["$defs"]["install"], "install");
    assert_eq!(report["cache"]["lookup"], "local");
    assert!(report["restored"]["refused"].as_array().unwrap().iter().any(|one| one["broken"] == true));
}
