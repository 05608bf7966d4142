//! Compares the accepted tags with those of `packaging` and of pips of each
//! generation.

use std::collections::BTreeMap;
use std::path::Path;

use installs::accepted::{Interpreter, Platforms, list};
use installs::environment::{Environment, Python, known};
use installs::platform::{self, Generation};
use pydist::digest::{hex, sha256};
use serde_json::{Value, json};

use crate::kit::{described, old_python, pip, run};

/// The environments and Pythons that differ for an installer, among those that
/// `wanted` accepts.
fn different(wanted: impl Fn(&Environment, &Python) -> bool) -> Vec<(&'static Environment, &'static Python)> {
    let mut found = BTreeMap::new();
    for environment in &known().environments {
        for python in known().pythons.iter().filter(|python| environment.has(python)) {
            if wanted(environment, python) {
                found.entry(described(environment, python).to_string()).or_insert((environment, python));
            }
        }
    }
    found.into_values().collect()
}

fn ours(environment: &Environment, python: &Python, generation: Generation) -> Vec<String> {
    let platforms = Platforms::new(platform::tags(environment, generation));
    list(&Interpreter::new(python, generation), &platforms).iter().map(ToString::to_string).collect()
}

/// Asks an installer for the digest of each list, and for the list itself if it
/// differs from ours.
fn compare(
    python: &Path,
    kind: &str,
    dir: &Path,
    generation: Generation,
    wanted: impl Fn(&Environment, &Python) -> bool,
) {
    let asked = different(wanted);
    assert!(!asked.is_empty());
    let list = |asked: &[(&Environment, &Python)]| -> Vec<Value> {
        asked.iter().map(|(environment, python)| described(environment, python)).collect()
    };
    let args = [Path::new(kind), dir];
    let theirs = run(python, "accepted.py", &args, &json!({"digest": true, "asked": list(&asked)}));
    for (place, (environment, version)) in asked.iter().enumerate() {
        let own = ours(environment, version, generation);
        if theirs[place] != hex(&sha256(own.join("\n").as_bytes())) {
            let one = json!({"digest": false, "asked": list(&[asked[place]])});
            let theirs: Vec<String> =
                serde_json::from_value(run(python, "accepted.py", &args, &one)[0].clone()).unwrap();
            let first = own.iter().zip(&theirs).position(|(a, b)| a != b);
            panic!(
                "{kind} {}: {environment} {}: {} tags, expected {}; the first other one: {:?}",
                dir.display(),
                version.name,
                own.len(),
                theirs.len(),
                first.map(|at| (&own[at], &theirs[at]))
            );
        }
    }
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn packaging_agrees_in_every_environment() {
    let python = testkit::tools::path("python");
    compare(&python, "packaging", Path::new(""), Generation::Pip26, |_, _| true);
    compare(&python, "pip", Path::new(""), Generation::Pip26, |_, _| true);
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn a_pip_of_each_generation_agrees() {
    let python = old_python();
    for version in ["20.0.2", "20.2.4", "20.3.4", "21.3.1", "22.0.2", "24.0", "25.1.1", "26.1"] {
        let generation = Generation::of(&version.parse().unwrap());
        // Only where such a pip is shipped: an older one does not know the
        // other environments.
        compare(&python, "pip", &pip(version), generation, |environment, python| {
            Generation::of(&environment.shipped(python).pip) == generation
        });
    }
}

#[test]
fn every_shipped_pip_is_of_a_compared_generation() {
    let asked: Vec<Generation> = include_str!("../pips.txt")
        .lines()
        .filter_map(|line| line.strip_prefix("pip==")?.split_whitespace().next())
        .map(|version| Generation::of(&version.parse().unwrap()))
        .chain([Generation::Pip26])
        .collect();
    for environment in &known().environments {
        for python in &known().pythons {
            let shipped = environment.shipped(python).pip;
            assert!(
                asked.contains(&Generation::of(&shipped)),
                "{environment} {}: pip {shipped}",
                python.name
            );
        }
    }
}
