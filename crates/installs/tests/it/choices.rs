//! Compares the chosen files with those that pip and uv pick from a local index
//! with the files of real releases.

use std::collections::BTreeMap;
use std::path::Path;

use installs::choice::InstallTarget;
use installs::environment::{Environment, Python, known};
use installs::file::File;
use installs::matrix::Matrix;
use installs::platform::{self, Generation};
use serde_json::{Value, json};

use crate::kit::{old_python, pip, releases, run};

/// Project → the file that is picked.
type Choices = BTreeMap<String, Option<String>>;

fn environment(name: &str) -> &'static Environment {
    known().environments.iter().find(|environment| environment.to_string() == name).unwrap()
}

fn python(name: &str) -> &'static Python {
    known().pythons.iter().find(|python| python.name == name).unwrap()
}

/// The releases, in rounds with at most one release of each project.
fn rounds() -> Vec<Vec<File>> {
    let mut rounds: Vec<Vec<File>> = Vec::new();
    for release in releases() {
        let project = release[0].name.project();
        let free = |round: &&mut Vec<File>| round.iter().all(|file: &File| file.name.project() != project);
        match rounds.iter_mut().find(free) {
            Some(round) => round.extend(release),
            None => rounds.push(release),
        }
    }
    rounds
}

fn ours(files: &[File], target: &InstallTarget, sdists: bool) -> Choices {
    let mut projects: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for file in files {
        let files = projects.entry(file.name.project().to_string()).or_default();
        if sdists || file.wheel().is_some() {
            files.push(file.clone());
        }
    }
    let chosen = |files: Vec<File>| target.choose(&files).map(|file| file.filename.clone());
    projects.into_iter().map(|(project, files)| (project, chosen(files))).collect()
}

fn index(files: &[File]) -> Value {
    files.iter().map(|file| json!([file.filename, file.requires_python, file.yanked])).collect()
}

/// Asserts that two lists of choices are equal. Returns the number of choices.
fn compare(what: &str, ours: &Choices, theirs: &Value) -> usize {
    let theirs: Choices = serde_json::from_value(theirs.clone()).unwrap();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (project, file) in ours {
        assert_eq!(file, &theirs[project], "{what}, {project}");
    }
    ours.len()
}

/// A run of pip for `target`, whose tags are passed one by one. pip compares
/// `Requires-Python` with the full version in `--python-version`.
fn run_of(pip: &[&str], target: &InstallTarget, generation: Generation, sdists: bool) -> Value {
    json!({
        "pip": pip,
        "platforms": platform::tags(target.environment, generation),
        "python": target.shipped.release.to_string(),
        "impl": &target.python.name[..2],
        "abis": [target.python.abi()],
        "sdists": sdists,
        "dry_run": sdists,
    })
}

/// The environments that every test run compares; `cargo xtask soak` compares the
/// others.
const ASKED: [(&str, &str); 6] = [
    ("rhel-8 x86_64", "cp311"),
    ("debian-13 aarch64", "cp314"),
    ("alpine-3.23 x86_64", "cp313t"),
    ("macos-14 arm64", "cp312"),
    ("macos-11 x86_64", "pp310"),
    ("windows x86", "cp310"),
];

fn ask_pip(asked: &[(&'static Environment, &'static Python)], rounds: &[Vec<File>]) -> usize {
    let own = testkit::tools::path("python");
    let own = own.to_str().unwrap();
    let mut compared = 0;
    for files in rounds {
        let targets: Vec<InstallTarget> =
            asked.iter().map(|(environment, python)| InstallTarget::new(environment, python)).collect();
        let targets: Vec<InstallTarget> = targets.into_iter().map(newest).collect();
        let runs: Vec<Value> = targets
            .iter()
            .map(|target| run_of(&[own, "-m", "pip"], target, Generation::Pip26, true))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let input = json!({"files": index(files), "runs": runs});
        let theirs = run(Path::new(own), "choices.py", &[dir.path()], &input);
        for (target, theirs) in targets.iter().zip(theirs.as_array().unwrap()) {
            let what = format!("{} {}", target.environment, target.python.name);
            compared += compare(&what, &ours(files, target, true), theirs);
        }
    }
    compared
}

/// The target with the newest pip, which the tests use.
fn newest(mut target: InstallTarget) -> InstallTarget {
    let generation = Generation::Pip26;
    target.interpreter = installs::accepted::Interpreter::new(target.python, generation);
    target.platforms = installs::accepted::Platforms::new(platform::tags(target.environment, generation));
    target
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn pip_picks_the_same_files() {
    let asked = ASKED.map(|(name, version)| (environment(name), python(version)));
    let compared = ask_pip(&asked, &rounds()[..1]);
    assert!(compared >= 200, "{compared} pairs");
}

#[test]
#[ignore = "soak: compares more than 10,000 choices with pip"]
fn pip_picks_the_same_files_in_every_environment() {
    let mut asked = BTreeMap::new();
    for environment in &known().environments {
        for python in known().pythons.iter().filter(|python| environment.has(python)) {
            let generation = Generation::of(&environment.shipped(python).pip);
            let key = (platform::tags(environment, generation), python.name.clone());
            asked.entry(key).or_insert((environment, python));
        }
    }
    // Every third Python of a platform: each is compared on some platform.
    let asked: Vec<_> =
        asked.into_values().enumerate().filter(|(at, _)| at % 3 == 0).map(|(_, it)| it).collect();
    assert!(ask_pip(&asked, &rounds()) > 10_000);
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn old_pips_pick_the_same_files() {
    let own = old_python();
    let own = own.to_str().unwrap();
    // pip 20.0 accepts one platform and adds the older names itself.
    let asked = [
        ("20.0.2", "ubuntu-20.04 x86_64", "cp38", vec!["manylinux2014_x86_64"]),
        ("20.0.2", "ubuntu-20.04 aarch64", "cp38", vec!["manylinux2014_aarch64"]),
        ("20.3.4", "debian-11 x86_64", "cp39", vec![]),
        ("21.3.1", "rhel-9 ppc64le", "cp39", vec![]),
        ("22.0.2", "ubuntu-22.04 x86_64", "cp310", vec![]),
        ("22.0.2", "ubuntu-22.04 riscv64", "cp310", vec![]),
    ];
    let files = rounds().pop().map(|last| [last, rounds().remove(1)].concat()).unwrap();
    let files: Vec<File> = files.into_iter().filter(|file| file.wheel().is_some()).collect();
    let mut compared = 0;
    let targets =
        asked.iter().map(|(_, name, version, _)| InstallTarget::new(environment(name), python(version)));
    let targets: Vec<InstallTarget> = targets.collect();
    let runs: Vec<Value> = asked
        .iter()
        .zip(&targets)
        .map(|((version, _, _, platforms), target)| {
            assert_eq!(target.shipped.pip.to_string(), *version);
            let program = pip(version).join("pip");
            let generation = Generation::of(&target.shipped.pip);
            let mut run = run_of(&[own, program.to_str().unwrap()], target, generation, false);
            if !platforms.is_empty() {
                run["platforms"] = json!(platforms);
                run["python"] = json!(target.python.name[2..]);
            }
            run
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let input = json!({"files": index(&files), "runs": runs});
    let theirs = run(Path::new(own), "choices.py", &[dir.path()], &input);
    for ((target, (version, ..)), theirs) in targets.iter().zip(&asked).zip(theirs.as_array().unwrap()) {
        let what = format!("pip {version}, {}", target.environment);
        compared += compare(&what, &ours(&files, target, false), theirs);
    }
    assert!(compared >= 50, "{compared} pairs");
}

/// A third of the files of each release is yanked, or all of them.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn pip_picks_yanked_files_only_if_pinned() {
    let own = testkit::tools::path("python");
    let own = own.to_str().unwrap();
    let mut files = rounds().swap_remove(0);
    let mut projects: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for file in &files {
        let place = projects.len();
        let version = file.version.to_string();
        projects
            .entry(file.name.project().to_string())
            .or_insert((place, format!("{}=={version}", file.name.project())));
    }
    for (at, file) in files.iter_mut().enumerate() {
        file.yanked = projects[file.name.project().as_str()].0.is_multiple_of(2) || at.is_multiple_of(3);
    }
    let targets = ["rhel-8 x86_64", "macos-14 arm64"]
        .map(|name| newest(InstallTarget::new(environment(name), python("cp312"))));
    let own_files = |project: &String| -> Vec<File> {
        files.iter().filter(|file| file.name.project() == project.as_str()).cloned().collect()
    };
    let runs = targets.iter().flat_map(|target| {
        // A pin that no file satisfies would end the run.
        let pins = projects.iter().filter(|(project, _)| target.choose_pinned(&own_files(project)).is_some());
        let pins: BTreeMap<&String, &String> = pins.map(|(project, (_, pin))| (project, pin)).collect();
        let plain = run_of(&[own, "-m", "pip"], target, Generation::Pip26, true);
        let mut pinned = plain.clone();
        pinned["pins"] = json!(pins);
        [plain, pinned]
    });
    let dir = tempfile::tempdir().unwrap();
    let input = json!({"files": index(&files), "runs": runs.collect::<Vec<_>>()});
    let theirs = run(Path::new(own), "choices.py", &[dir.path()], &input);
    let (mut compared, mut yanked) = (0, 0);
    for (target, theirs) in targets.iter().zip(theirs.as_array().unwrap().chunks(2)) {
        compared += compare(&format!("{}", target.environment), &ours(&files, target, true), &theirs[0]);
        let mut pinned = ours(&files, target, true);
        for (project, chosen) in &mut pinned {
            let own = own_files(project);
            let file = target.choose_pinned(&own);
            yanked += usize::from(file.is_some_and(|file| file.yanked));
            *chosen = file.map(|file| file.filename.clone());
        }
        compared += compare(&format!("{}, pinned", target.environment), &pinned, &theirs[1]);
    }
    assert!(compared >= 100 && yanked >= 10, "{compared} pairs, {yanked} yanked");
}

/// uv's name of a platform, with the matching environment and Python.
const UV: [(&str, &str, &str); 7] = [
    ("x86_64-manylinux_2_28", "rhel-8 x86_64", "3.11"),
    ("aarch64-manylinux_2_31", "debian-11 aarch64", "3.13"),
    ("x86_64-unknown-linux-musl", "alpine-3.23 x86_64", "3.12"),
    ("aarch64-apple-darwin", "macos-13 arm64", "3.10"),
    ("x86_64-apple-darwin", "macos-13 x86_64", "3.9"),
    ("x86_64-pc-windows-msvc", "windows x86_64", "3.14"),
    ("i686-pc-windows-msvc", "windows x86", "3.10"),
];

/// uv's choices. If two wheels have the same best tag, which SET008 reports, pip
/// picks the last and uv the first: then it is pip's choice.
fn first_of_equals(files: &[File], target: &InstallTarget, theirs: &Value) -> Value {
    let mut theirs: Choices = serde_json::from_value(theirs.clone()).unwrap();
    for (project, name) in &mut theirs {
        let Some(file) = files.iter().find(|file| Some(&file.filename) == name.as_ref()) else { continue };
        let equal = files.iter().filter(|other| {
            other.name.project() == project.as_str()
                && target.rank(other).is_some()
                && target.rank(other) == target.rank(file)
        });
        if let Some(last) = equal.map(|other| &other.filename).max() {
            *name = Some(last.clone());
        }
    }
    json!(theirs)
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn uv_picks_the_same_files() {
    let mut compared = 0;
    for files in rounds().into_iter().take(1) {
        let targets: Vec<InstallTarget> = UV
            .iter()
            .map(|(_, name, version)| {
                let version = format!("cp{}", version.replace('.', ""));
                newest(InstallTarget::new(environment(name), python(&version)))
            })
            .collect();
        let runs: Vec<Value> =
            UV.iter().map(|(platform, _, version)| json!({"uv": testkit::tools::path("uv"), "platform": platform, "python": version})).collect();
        let dir = tempfile::tempdir().unwrap();
        let input = json!({"files": index(&files), "runs": runs});
        let theirs = run(&testkit::tools::path("python"), "choices.py", &[dir.path()], &input);
        for ((target, (platform, ..)), theirs) in targets.iter().zip(UV).zip(theirs.as_array().unwrap()) {
            let theirs = first_of_equals(&files, target, theirs);
            compared += compare(&format!("uv, {platform}"), &ours(&files, target, true), &theirs);
        }
    }
    assert!(compared >= 200, "{compared} pairs");
}

#[test]
fn the_matrix_agrees_with_the_target() {
    for release in releases() {
        let matrix = Matrix::new(release[0].name.project(), release);
        for (row, column, cell) in matrix.cells() {
            let (environment, python) = (&known().environments[row], &known().pythons[column]);
            let chosen = environment.has(python).then(|| InstallTarget::new(environment, python));
            let chosen =
                chosen.and_then(|target| target.choose(&matrix.files).map(|file| file.filename.clone()));
            let cell = cell.file().map(|file| matrix.files[file].filename.clone());
            assert_eq!(cell, chosen, "{environment} {}", python.name);
        }
    }
}
