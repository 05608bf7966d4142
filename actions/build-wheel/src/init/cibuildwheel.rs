//! cibuildwheel's options, from `CIBW_…` and from `[tool.cibuildwheel]`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::build::{Build, Translation};
use super::names::NO_JOB;
use super::platform::{RunnerSystem, tag_pattern, targets};
use super::workflow::Step;

/// The Pythons that cibuildwheel builds for by default.
const DEFAULT_PYTHONS: [&str; 5] = ["3.10", "3.11", "3.12", "3.13", "3.14"];

/// Translates a cibuildwheel step.
pub(super) fn translate(step: &Step<'_>, settings: &Table, out: &mut Translation) {
    let runner = step.row().runner();
    let system = RunnerSystem::of(&runner);
    let platform = match system {
        RunnerSystem::Linux => "linux",
        RunnerSystem::Macos => "macos",
        RunnerSystem::Windows => "windows",
    };
    let mut options = configured(settings, platform);
    let of_job = step.row().field("env").and_then(serde_json::Value::as_object).into_iter().flatten();
    let of_job = of_job.map(|(name, value)| (name.clone(), step.row().text(value)));
    for (name, value) in of_job.chain(step.mapping("env")) {
        let Some(name) = name.strip_prefix("CIBW_") else { continue };
        let name = name.to_ascii_lowercase().replace('_', "-").replace("x86-64", "x86_64");
        let name = match name.strip_suffix(&format!("-{platform}")) {
            Some(name) => name.to_owned(),
            None if ["linux", "macos", "windows"]
                .iter()
                .any(|other| name.ends_with(&format!("-{other}"))) =>
            {
                continue;
            }
            None => name,
        };
        match value {
            Some(value) => drop(options.insert(name, value)),
            None => {
                out.note_at(&step.place(), format!("`{name}` of cibuildwheel is known only during the run"));
            }
        }
    }
    let mut directory = None;
    for (name, value) in step.mapping("with") {
        match (name.as_str(), value) {
            ("package-dir", Some(value)) => directory = Some(value.trim_start_matches("./").to_owned()),
            ("output-dir", _) => {}
            (name, value) => out.note_at(&step.place(), format!("`{name}: {}`", value.unwrap_or_default())),
        }
    }
    let request = Request { step, runner: &runner, options: &options, directory };
    request.add(out);
}

struct Request<'r> {
    step: &'r Step<'r>,
    runner: &'r str,
    options: &'r BTreeMap<String, String>,
    directory: Option<String>,
}

/// The options that are translated.
const KNOWN: [&str; 12] = [
    "build",
    "skip",
    "archs",
    "test-command",
    "test-requires",
    "test-sources",
    "manylinux-x86_64-image",
    "manylinux-aarch64-image",
    "manylinux-i686-image",
    "build-verbosity",
    "build-frontend",
    "enable",
];

impl Request<'_> {
    fn option(&self, name: &str) -> &str {
        self.options.get(name).map_or("", String::as_str)
    }

    fn add(&self, out: &mut Translation) {
        let place = self.step.place();
        for (name, value) in self.options.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str())) {
            let value = value.lines().next().unwrap_or_default();
            out.note_at(&place, format!("`{name}` of cibuildwheel: `{value}`"));
        }
        let is_linux = RunnerSystem::of(self.runner) == RunnerSystem::Linux;
        let archs: Vec<&str> =
            self.option("archs").split([' ', ',']).filter(|arch| !arch.is_empty()).collect();
        let archs = if archs.is_empty() { vec!["auto"] } else { archs };
        for arch in archs {
            for is_musl in [false, true].into_iter().take(if is_linux { 2 } else { 1 }) {
                match targets(arch, self.runner, is_musl) {
                    Ok(found) => {
                        for target in found {
                            self.add_target(target, is_musl, &place, out);
                        }
                    }
                    Err(_) if is_musl => {}
                    Err(what) => {
                        out.note_at(&place, format!("{what}: {NO_JOB} this target; keep this job"));
                    }
                }
            }
        }
    }

    fn add_target(&self, target: pydist::target::Target, is_musl: bool, place: &str, out: &mut Translation) {
        let arch = target.tag_arch();
        let platform = match (target.is_linux(), is_musl) {
            _ if target.is_windows() => tag_pattern(target),
            (true, true) => format!("musllinux_{arch}"),
            (true, false) => format!("manylinux_{arch}"),
            (false, _) => format!("macosx_{arch}"),
        };
        let image = self.option(&format!("manylinux-{arch}-image"));
        let compatibility =
            if target.is_linux() && !is_musl && image.starts_with("manylinux") { image } else { "" };
        let test = self.option("test-command");
        let commands = test
            .replace("{project}/", "")
            .replace("{package}/", "")
            .replace("{project}", ".")
            .replace("{package}", ".");
        if test.contains("{wheel}") {
            out.note_at(place, "`{wheel}` in `test-command`");
        }
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let requires = words(self.option("test-requires"));
        let sources = match words(self.option("test-sources")) {
            sources if !sources.is_empty() => sources,
            _ => sources_of(test),
        };
        for python in self.pythons(&platform) {
            out.builds.push(Build {
                target: Some(target),
                directory: self.directory.clone(),
                compatibility: compatibility.to_owned(),
                python,
                smoke_commands: commands.lines().map(str::to_owned).collect(),
                test_requires: if commands.is_empty() {
                    Vec::new()
                } else {
                    std::iter::once("wheel".to_owned()).chain(requires.clone()).collect()
                },
                test_sources: sources.clone(),
                ..Build::default()
            });
        }
    }

    /// The Pythons that `build` and `skip` select for a platform.
    fn pythons(&self, platform: &str) -> Vec<String> {
        let patterns =
            |name: &str| -> Vec<String> { self.option(name).split_whitespace().flat_map(braces).collect() };
        let (build, skip) = (patterns("build"), patterns("skip"));
        let matches = |patterns: &[String], text: &str| {
            patterns.iter().any(|pattern| glob(pattern.as_bytes(), text.as_bytes()))
        };
        let identifiers = DEFAULT_PYTHONS
            .iter()
            .map(|python| (format!("cp{}-{platform}", python.replace('.', "")), *python));
        let free =
            ["3.14t"].iter().map(|python| (format!("cp{}-{platform}", python.replace('.', "")), *python));
        let pypy = ["pypy3.11"].iter().map(|python| (format!("pp311-{platform}"), *python));
        let has_pypy =
            self.option("enable").contains("pypy") || build.iter().any(|pattern| pattern.starts_with("pp"));
        let all = identifiers.chain(free).chain(pypy.filter(|_| has_pypy));
        let chosen = all.filter(|(id, _)| (build.is_empty() || matches(&build, id)) && !matches(&skip, id));
        chosen.map(|(_, python)| python.to_owned()).collect()
    }
}

/// Expands the braces of `cp3{10,11}-*`.
fn braces(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let Some((inner, after)) = rest.split_once('}') else { return vec![pattern.to_owned()] };
    inner.split(',').flat_map(|part| braces(&format!("{before}{part}{after}"))).collect()
}

/// Matches `*` and `?` like cibuildwheel's `fnmatch`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => glob(&pattern[1..], text) || !text.is_empty() && glob(pattern, &text[1..]),
        (Some(b'?'), Some(_)) => glob(&pattern[1..], &text[1..]),
        (Some(a), Some(b)) if a == b => glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

/// The paths in the project that a test command names.
fn sources_of(test: &str) -> Vec<String> {
    let words = test.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
    let paths =
        words.filter_map(|word| word.strip_prefix("{project}/").or_else(|| word.strip_prefix("{package}/")));
    let mut paths: Vec<String> = paths.map(|path| path.trim_end_matches('/').to_owned()).collect();
    paths.dedup();
    paths
}

/// The options in `[tool.cibuildwheel]` and its table for the platform.
fn configured(pyproject: &Table, platform: &str) -> BTreeMap<String, String> {
    let table = pyproject.get("tool").and_then(|tool| tool.get("cibuildwheel")).and_then(Value::as_table);
    let of_platform = table.and_then(|table| table.get(platform)).and_then(Value::as_table);
    let mut options = BTreeMap::new();
    for table in [table, of_platform].into_iter().flatten() {
        for (name, value) in table {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
                Value::Table(_) if ["linux", "macos", "windows"].contains(&name.as_str()) => continue,
                other => other.to_string(),
            };
            options.insert(name.clone(), text);
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_identifiers_like_cibuildwheel() {
        assert_eq!(braces("cp3{10,11}-*"), ["cp310-*", "cp311-*"]);
        assert!(glob(b"cp31?-manylinux*", b"cp312-manylinux_x86_64"));
        assert!(!glob(b"cp31?-manylinux*", b"cp312-musllinux_x86_64"));
        assert!(glob(b"*", b""));
    }
}
