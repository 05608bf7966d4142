//! Translates build-wheel steps, so that the settings of an existing workflow stay.

use pydist::target::Target;

use super::build::{Build, Translation};
use super::maturin_action::python;
use super::workflow::Step;

/// Adds the build of a step.
pub(super) fn translate(step: &Step<'_>, out: &mut Translation) {
    if let Some(run) = step.run() {
        let lines = run.lines().map(str::trim).filter(|line| line.starts_with("uv build "));
        for words in lines.filter_map(shlex::split) {
            let name = words.iter().position(|word| word == "--package").and_then(|at| words.get(at + 1));
            out.uv.extend(name.cloned());
        }
        return;
    }
    if !step.uses().is_some_and(|name| name.ends_with("/actions/build-wheel")) {
        return;
    }
    let mut build = Build { runner: Some(step.row().runner()), ..Build::default() };
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
    };
    let mut interpreters = Vec::new();
    for (name, value) in step.mapping("with") {
        let value = value.unwrap_or_default();
        match name.as_str() {
            "target" => build.target = Target::parse(&value),
            "project" => build.directory = Some(value),
            "compatibility" => build.compatibility = value,
            "python" => build.python = python(&value),
            "interpreters" => interpreters = lines(&value),
            "backend" => build.backend = value,
            "flake-attr" => build.flake_attr = value,
            "maturin-args" => build.args = lines(&value),
            "smoke-command" => build.smoke_commands = lines(&value),
            "test-requires" => build.test_requires = lines(&value),
            "test-sources" => build.test_sources = lines(&value),
            _ => {}
        }
    }
    // `--interpreter` names the Python of the build.
    if let [first, name] = &build.args[..]
        && first == "--interpreter"
    {
        build.python = python(name);
        build.args.clear();
    }
    if build.backend == "sdist" {
        build.target = None;
    } else if build.backend == "maturin" || build.backend.is_empty() {
        build.backend = String::new();
    }
    if interpreters.is_empty() {
        out.builds.push(build);
        return;
    }
    let of = |python: String| Build { python, ..build.clone() };
    out.builds.extend(interpreters.into_iter().map(of));
}
