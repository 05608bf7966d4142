//! The release of a project: its jobs, and the expectations of the set.

use std::collections::BTreeSet;

use pydist::target::{Arch, System, Target};

use super::bindings::Bindings;
use super::build::{Build, Translation};
use super::platform::{COMMON, environment, is_native, runner, tag_pattern};
use super::project::{Package, Project};
use crate::compatibility::Compatibility;

/// The content of the workflow.
#[derive(Debug, Default)]
pub(super) struct Release {
    /// The names of all packages.
    pub(super) packages: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) environment: String,
    pub(super) wheels: Vec<WheelJob>,
    pub(super) sources: Sources,
    pub(super) requirements: String,
    /// Whether verify-dist reads `pyproject.toml`.
    pub(super) has_verify_settings: bool,
    pub(super) expects_all_sdists: bool,
    /// Platform tags that every package with binaries must have.
    pub(super) matrix: Vec<String>,
    /// Environments that must get a wheel of every package.
    pub(super) require: Vec<String>,
    pub(super) notes: Vec<String>,
    /// Jobs below the block that add files to the set.
    pub(super) own_jobs: Vec<String>,
}

/// How the source distributions, and the wheels without Rust, are built.
#[derive(Debug, Default)]
pub(super) enum Sources {
    #[default]
    None,
    /// build-wheel, in these directories.
    BuildWheel(Vec<String>),
    /// `uv build` with these arguments.
    Uv {
        commands: Vec<String>,
        /// Whether the requirements file also has the build backends.
        is_pinned: bool,
    },
}

/// A job that builds the wheels of a package.
#[derive(Debug)]
pub(super) struct WheelJob {
    pub(super) id: String,
    pub(super) package: String,
    pub(super) directory: String,
    pub(super) rows: Vec<Row>,
    /// The newest Python that the package supports.
    pub(super) newest_python: String,
    pub(super) smoke_commands: Vec<String>,
    pub(super) test_requires: Vec<String>,
    pub(super) test_sources: Vec<String>,
}

/// A row of its matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) target: Target,
    pub(super) runner: String,
    pub(super) compatibility: String,
    /// The Pythons to build for; empty for the default one.
    pub(super) pythons: Vec<String>,
    /// The flake's attribute, if Nix builds.
    pub(super) flake_attr: String,
    pub(super) args: String,
    pub(super) smoke: &'static str,
}

impl Release {
    /// Builds the release of a project from its current `translation`, or else a new one
    /// triggered by `tags`.
    pub(super) fn new(project: &Project, translation: Option<Translation>, tags: Vec<String>) -> Self {
        let is_new = translation.is_none();
        let mut translation = translation.unwrap_or_default();
        let mut builds: Vec<(usize, Build)> = Vec::new();
        for build in std::mem::take(&mut translation.builds) {
            if let Some(index) = owner(project, &build) {
                builds.push((index, build));
            } else {
                let directory = build.directory.unwrap_or_else(|| ".".to_owned());
                translation.note(format!("a build in `{directory}`, where there is no package"));
            }
        }
        let mut release = Self {
            packages: project.packages.iter().map(|package| package.name.clone()).collect(),
            tags: translation.tags.clone(),
            environment: translation.environment.clone().unwrap_or_else(|| "release".to_owned()),
            requirements: project
                .requirements
                .clone()
                .unwrap_or_else(|| super::names::REQUIREMENTS.to_owned()),
            has_verify_settings: project.has_verify_settings,
            ..Self::default()
        };
        if release.tags.is_empty() {
            release.tags = tags;
        }
        if release.tags.is_empty() {
            release.tags.push("v[0-9]*".to_owned());
        }
        let natives = project.native().count().max(1);
        for (index, package) in project.packages.iter().enumerate() {
            let own: Vec<&Build> =
                builds.iter().filter(|(of, _)| *of == index).map(|(_, build)| build).collect();
            let is_flake = project.flake_attr.is_some() && natives == 1 && index == 0;
            if package.bindings == Bindings::Pure && !is_flake {
                continue;
            }
            let flake_attr = project.flake_attr.as_deref().filter(|_| is_flake);
            let taken: Vec<String> = release.wheels.iter().map(|job| job.id.clone()).collect();
            let id = if project.packages.len() == 1 { "wheels".to_owned() } else { package.job(&taken) };
            let job = WheelJob::new(package, id, &own, flake_attr);
            release.wheels.extend((!job.rows.is_empty()).then_some(job));
        }
        release.sources = sources(project, &builds, &translation, is_new);
        release.expects_all_sdists = match &release.sources {
            Sources::None => false,
            Sources::BuildWheel(directories) => directories.len() == project.packages.len(),
            Sources::Uv { commands, .. } => commands.len() == project.packages.len(),
        };
        release.matrix = common(&release.wheels, |row, _| vec![tag_pattern(row.target)], project);
        let is_by_nix =
            release.wheels.iter().any(|job| job.rows.iter().any(|row| !row.flake_attr.is_empty()));
        let all_have_wheels =
            matches!(release.sources, Sources::Uv { .. }) || release.wheels.len() == project.packages.len();
        // The libraries that Nix links against depend on nixpkgs, not on this file.
        if all_have_wheels && !is_by_nix {
            release.require = common(&release.wheels, required, project);
        }
        release.notes = translation.notes();
        release
    }
}

/// The values that all jobs have in common, in the order of the first.
fn common(jobs: &[WheelJob], of: impl Fn(&Row, &Package) -> Vec<String>, project: &Project) -> Vec<String> {
    let lists: Vec<Vec<String>> = jobs
        .iter()
        .map(|job| {
            let package = project.packages.iter().find(|package| package.name == job.package);
            let rows = job.rows.iter();
            rows.filter_map(|row| package.map(|package| of(row, package))).flatten().collect()
        })
        .collect();
    let Some((first, others)) = lists.split_first() else { return Vec::new() };
    let mut shared: Vec<String> = Vec::new();
    for text in first.iter().filter(|text| others.iter().all(|list| list.contains(text))) {
        if !shared.contains(text) {
            shared.push(text.clone());
        }
    }
    shared
}

/// The environments of a row's wheel.
fn required(row: &Row, package: &Package) -> Vec<String> {
    let floor = Compatibility::parse(&row.compatibility).ok();
    let Some(system) = environment(row.target, floor) else { return Vec::new() };
    let tag = |python: &str| match python.strip_prefix("pypy") {
        Some(version) => format!("pp{}", version.replace('.', "")),
        None => format!("cp{}", python.replace('.', "")),
    };
    let default = package.pythons.last().map(std::slice::from_ref).unwrap_or_default();
    let pythons = if row.pythons.is_empty() { default } else { &row.pythons };
    pythons.iter().map(|python| format!("{system} {}", tag(python))).collect()
}

/// The package of a build.
pub(super) fn owner(project: &Project, build: &Build) -> Option<usize> {
    let packages = &project.packages;
    if let Some(directory) = &build.directory {
        let is_its = |package: &Package| package.directory == *directory;
        // The only package may have its crate in another directory.
        return packages.iter().position(is_its).or_else(|| (packages.len() == 1).then_some(0));
    }
    let at_root = packages.iter().position(|package| package.directory == ".");
    at_root.or_else(|| (project.native().count() == 1).then_some(0))
}

/// Chooses how the source distributions are built.
fn sources(project: &Project, builds: &[(usize, Build)], translation: &Translation, is_new: bool) -> Sources {
    let of_workflow = |index: usize, package: &Package| {
        builds.iter().any(|(of, build)| *of == index && build.target.is_none() && build.backend == "sdist")
            || translation.uv.contains(&package.name)
    };
    let packages = project.packages.iter().enumerate();
    let wanted: Vec<&Package> = packages
        .filter(|(index, package)| {
            is_new || of_workflow(*index, package) || package.bindings == Bindings::Pure
        })
        .map(|(_, package)| package)
        .collect();
    if wanted.is_empty() {
        return Sources::None;
    }
    let requirements = project
        .requirements
        .as_ref()
        .map(|path| std::fs::read_to_string(project.root.join(path)).unwrap_or_default());
    let has = |name: &str| {
        let line = format!("{name}==");
        requirements
            .as_deref()
            .unwrap_or(super::names::CARRIED_REQUIREMENTS)
            .lines()
            .any(|found| found.starts_with(&line))
    };
    if project.is_uv && has("uv") {
        let is_pinned =
            wanted.iter().all(|package| has(package.backend.split('.').next().unwrap_or_default()));
        let command = |package: &&Package| {
            let sdist = if package.bindings == Bindings::Pure { "" } else { " --sdist" };
            format!("--package {}{sdist}", package.name)
        };
        return Sources::Uv { commands: wanted.iter().map(command).collect(), is_pinned };
    }
    Sources::BuildWheel(wanted.iter().map(|package| package.directory.clone()).collect())
}

impl Row {
    /// Whether it needs a 32-bit Python on a machine that has a 64-bit one.
    pub(super) fn is_x86_windows(&self) -> bool {
        self.target.is_windows() && self.target.arch == Arch::I686
    }
}

impl WheelJob {
    fn new(package: &Package, id: String, builds: &[&Build], flake_attr: Option<&str>) -> Self {
        let wheels: Vec<&&Build> = builds.iter().filter(|build| build.backend != "sdist").collect();
        let mut rows: Vec<Row> = Vec::new();
        for build in &wheels {
            for row in rows_of(package, build) {
                if !rows.contains(&row) {
                    rows.push(row);
                }
            }
        }
        if wheels.is_empty() {
            rows = match flake_attr {
                Some(attr) => flake_rows(attr),
                None => COMMON.iter().flat_map(|name| new_rows(package, name)).collect(),
            };
        }
        let mut rows = merged(rows, package);
        // Grouped by target, in the order of their first rows.
        let targets: Vec<Target> = rows.iter().map(|row| row.target).collect();
        rows.sort_by_key(|row| targets.iter().position(|target| *target == row.target));
        let first = |field: fn(&Build) -> &Vec<String>| {
            wheels.iter().map(|build| field(build)).find(|list| !list.is_empty()).cloned().unwrap_or_default()
        };
        let smoke_commands = first(|build| &build.smoke_commands);
        let mut test_requires = first(|build| &build.test_requires);
        if wheels.is_empty() && package.has_requirements {
            test_requires.push("wheel".to_owned());
        }
        Self {
            id,
            package: package.name.clone(),
            directory: package.directory.clone(),
            rows,
            newest_python: package.pythons.last().cloned().unwrap_or_default(),
            smoke_commands,
            test_requires,
            test_sources: first(|build| &build.test_sources),
        }
    }
}

/// Whether a Python is CPython with the GIL, which the stable ABI covers.
pub(super) fn is_cpython(python: &str) -> bool {
    python.starts_with('3') && !python.ends_with('t')
}

/// The rows of a build; empty if its target is unknown.
fn rows_of(package: &Package, build: &Build) -> Vec<Row> {
    let all = build.python == super::names::ALL_PYTHONS;
    let pythons = match package.bindings {
        Bindings::PerPython if all => package.pythons.clone(),
        Bindings::AnyPython | Bindings::Pure => Vec::new(),
        Bindings::Abi3 if all || is_cpython(&build.python) => Vec::new(),
        _ if build.python.is_empty() => Vec::new(),
        _ => vec![build.python.clone()],
    };
    // Nix builds for the machine that it runs on.
    let Some(target) = build.target.or_else(|| native_target(build)) else { return Vec::new() };
    let runner = build.runner.clone().unwrap_or_else(|| runner(target).to_owned());
    vec![Row {
        target,
        smoke: if is_native(target, &runner) { "required" } else { "auto" },
        runner,
        compatibility: build.compatibility.clone(),
        pythons,
        flake_attr: build.flake_attr.clone(),
        args: build.args.join(" "),
    }]
}

/// Merges rows that differ only in their Pythons: one job builds all of their
/// wheels and compiles shared code once.
fn merged(rows: Vec<Row>, package: &Package) -> Vec<Row> {
    let mut merged: Vec<Row> = Vec::new();
    for mut row in rows {
        let pythons = std::mem::take(&mut row.pythons);
        let is_same = |other: &&mut Row| Row { pythons: Vec::new(), ..(**other).clone() } == row;
        match merged.iter_mut().find(is_same) {
            Some(other) => {
                // The wheel with the stable ABI, beside those for Pythons that do not support it.
                if other.pythons.is_empty() || pythons.is_empty() {
                    other.pythons.extend(pythons);
                    let base = base(&other.pythons, package);
                    other.pythons.splice(0..0, base);
                } else {
                    other.pythons.extend(pythons);
                }
                let mut seen = BTreeSet::new();
                other.pythons.retain(|python| seen.insert(python.clone()));
            }
            None => merged.push(Row { pythons, ..row }),
        }
    }
    merged
}

/// The Python that builds the wheel with the stable ABI beside other Pythons: the
/// version of one of them, which the project's dependencies also support.
fn base(others: &[String], package: &Package) -> Option<String> {
    let version = others.first()?.trim_start_matches("pypy").trim_end_matches('t').to_owned();
    Some(version).filter(|version| package.allows(version)).or_else(|| package.pythons.last().cloned())
}

fn native_target(build: &Build) -> Option<Target> {
    let label = build.runner.as_deref()?;
    super::platform::targets("", label, false).ok()?.first().copied()
}

fn new_rows(package: &Package, name: &str) -> Vec<Row> {
    let python = if package.bindings == Bindings::PerPython { super::names::ALL_PYTHONS } else { "" };
    let target = Target::parse(name);
    rows_of(package, &Build { target, python: python.to_owned(), ..Build::default() })
}

/// Each system builds its own wheel. The wheel for Intel Macs, which nixpkgs has
/// dropped, is built without Nix.
fn flake_rows(attr: &str) -> Vec<Row> {
    let row = |arch, system, attr: &str, runner: &str, smoke| Row {
        target: Target { arch, system },
        runner: runner.to_owned(),
        compatibility: String::new(),
        pythons: Vec::new(),
        flake_attr: attr.to_owned(),
        args: String::new(),
        smoke,
    };
    vec![
        row(Arch::X86_64, System::Gnu, attr, "ubuntu-latest", "required"),
        row(Arch::Aarch64, System::Gnu, attr, "ubuntu-24.04-arm", "required"),
        row(Arch::Aarch64, System::Macos, attr, "macos-15", "required"),
        row(Arch::X86_64, System::Macos, "", "macos-15", "auto"),
    ]
}
