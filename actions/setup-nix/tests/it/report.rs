//! The JSON report and its schema.

use std::fs;

use serde_json::Value;

use crate::machine::Machine;

fn read(machine: &Machine) -> Value {
    serde_json::from_slice(&fs::read(machine.path("work/report.json")).unwrap()).unwrap()
}

/// Asserts that every object of `value` has exactly the fields of `schema`.
fn assert_matches(value: &Value, schema: &Value, at: &str) {
    if let Some(choices) = schema["oneOf"].as_array() {
        let null = value.is_null();
        let choice = choices.iter().find(|choice| (choice["type"] == "null") == null).unwrap();
        return assert_matches(value, choice, at);
    }
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{at}: {value}");
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{at}");
    }
    if let (Value::Array(items), Some(schema)) = (value, schema.get("items")) {
        for item in items {
            assert_matches(item, schema, &format!("{at}[]"));
        }
    }
    if let (Value::Object(fields), Some(Value::Object(known))) = (value, schema.get("properties")) {
        let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
        let (mut found, mut expected) = (names(fields), names(known));
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{at}");
        for (name, value) in fields {
            assert_matches(value, &known[name], &format!("{at}.{name}"));
        }
    }
}

#[test]
fn reports_match_their_schema() {
    let schema = testkit::tools::workspace().join("docs/schema/setup-nix-report.json");
    let schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    let machine = Machine::new();
    machine.run_ok(&["install", "--report-path=report.json"]);
    let report = read(&machine);
    assert_matches(&report, &schema["$defs"]["install"], "install");
    assert_eq!(report["cache"]["lookup"], "miss");
    assert!(report["settings"]["max-jobs"].is_u64(), "{report}");
    let path = machine.build("reported", 2);
    machine.run_ok(&["save", "--report-path=report.json"]);
    let report = read(&machine);
    assert_matches(&report, &schema["$defs"]["save"], "save");
    assert_eq!((&report["packed"]["paths"], &report["cache"]["changed"]), (&4.into(), &true.into()));
    let names = report["packed"]["names"].as_array().unwrap();
    assert!(names.iter().any(|name| path.ends_with(name[0].as_str().unwrap())), "{report}");

    // A cache that is already on the machine is `local`; a damaged path is reported.
    let bytes = fs::read_dir(machine.cache().join("nar")).unwrap().next().unwrap().unwrap().path();
    fs::write(bytes, "damaged").unwrap();
    machine.empty();
    machine.run_ok(&["install", "--report-path=report.json"]);
    let report = read(&machine);
    assert_matches(&report, &schema["$defs"]["install"], "install");
    assert_eq!(report["cache"]["lookup"], "local");
    assert!(report["restored"]["refused"].as_array().unwrap().iter().any(|one| one["broken"] == true));
}
