//! The current releases of the project, from a given workflow, this command's own
//! block, the files on the index, or another workflow of the repository.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pydist::target::{Arch, System, Target};
use toolkit::{Env, Ui};

use super::bindings::Bindings;
use super::build::{Build, Translation};
use super::error::InitError;
use super::names::{ALL_PYTHONS, NO_JOB, NOTES};
use super::options::Options;
use super::platform::Platform;
use super::project::{Package, Project};
use super::published::{PublishedRelease, query};
use super::release::{is_cpython, owner};
use super::translate;
use super::workflow::Workflow;

/// The current releases; `None` if nothing is known.
pub(super) fn translation(
    options: &Options,
    project: &Project,
    block: Option<&str>,
    env: &Env,
    ui: &Ui,
) -> Result<Option<Translation>, InitError> {
    let (known, place) = workflow(options, project, block)?;
    if !options.platforms.is_empty() {
        return Ok(Some(chosen(options, project, known)));
    }
    // It lists its platforms.
    let is_own = block.is_some() && options.from.is_none();
    if is_own && known.is_some() {
        return Ok(known);
    }
    if options.is_offline {
        ui.info(format!("platforms: {} (`--offline`)", described(place.as_deref(), project)));
        return Ok(known);
    }
    published(options, project, known, place.as_deref(), env, ui)
}

/// The builds of a workflow of the repository, and which workflow.
fn workflow(
    options: &Options,
    project: &Project,
    block: Option<&str>,
) -> Result<(Option<Translation>, Option<String>), InitError> {
    let settings = settings(project);
    if let Some(from) = &options.from {
        let workflow = Workflow::read(from)?;
        let found = translate::translate(&workflow, &settings)?;
        return Ok((Some(found), Some(format!("`{}`", from.display()))));
    }
    if let Some(block) = block {
        let workflow = Workflow::parse(&options.workflow, block)?;
        let mut own = translate::translate_own(&workflow);
        if let Some(own) = &mut own {
            let mut lines = block.lines().skip_while(|line| *line != format!("# {NOTES}"));
            lines.next();
            lines.map_while(|line| line.strip_prefix("# - ")).for_each(|line| own.note(line));
        }
        return Ok((own, Some(format!("`{}`", options.workflow.display()))));
    }
    let directory = options.root.join(".github/workflows");
    let Ok(entries) = std::fs::read_dir(&directory) else { return Ok((None, None)) };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|suffix| suffix == "yml" || suffix == "yaml"));
    paths.sort();
    // Ignore workflows that cannot be parsed.
    let read = |path: PathBuf| {
        let workflow = Workflow::read(&path).ok()?;
        let found = translate::translate(&workflow, &settings).ok()?;
        Some((path.strip_prefix(".").map(PathBuf::from).unwrap_or(path), found))
    };
    let found: Vec<(PathBuf, Translation)> = paths.into_iter().filter_map(read).collect();
    Ok(merged(project, found))
}

/// The workflow that publishes, or else one for tags, or else the one with the most
/// platforms. Adds the packages that only other workflows build.
fn merged(
    project: &Project,
    mut found: Vec<(PathBuf, Translation)>,
) -> (Option<Translation>, Option<String>) {
    let platforms = |found: &Translation| {
        found.builds.iter().filter_map(|build| build.target).collect::<BTreeSet<Target>>().len()
    };
    found.sort_by_key(|(_, found)| {
        std::cmp::Reverse((found.publishes, !found.tags.is_empty(), platforms(found)))
    });
    let mut found = found.into_iter();
    let Some((path, mut out)) = found.next() else { return (None, None) };
    let mut place = format!("`{}`", path.display());
    out.clear_notes();
    for (path, other) in found {
        let has = |index: usize| out.builds.iter().any(|build| owner(project, build) == Some(index));
        let new: Vec<usize> = (0..project.packages.len()).filter(|index| !has(*index)).collect();
        let is_new = |build: &Build| owner(project, build).is_some_and(|index| new.contains(&index));
        let builds: Vec<Build> = other.builds.into_iter().filter(is_new).collect();
        if !builds.is_empty() {
            place = format!("{place} and `{}`", path.display());
            out.builds.extend(builds);
        }
    }
    (Some(out), Some(place))
}

/// The `pyproject.toml` with `[tool.cibuildwheel]`.
fn settings(project: &Project) -> toml::Table {
    let has = |table: &&toml::Table| table.get("tool").is_some_and(|tool| tool.get("cibuildwheel").is_some());
    let mut tables = project.packages.iter().map(|package| &package.pyproject);
    tables.find(has).cloned().unwrap_or_default()
}

/// The source of the platforms without an index, for messages.
fn described(workflow: Option<&str>, project: &Project) -> String {
    match (workflow, &project.flake_attr) {
        (Some(place), _) => format!("as in {place}"),
        (None, Some(_)) => "those that Nix builds for".to_owned(),
        (None, None) => "the nine common ones".to_owned(),
    }
}

/// The packages with wheels for specific platforms.
fn native(project: &Project) -> impl Iterator<Item = (usize, &Package)> {
    let packages = project.packages.iter().enumerate();
    packages.filter(|(index, package)| {
        package.bindings != Bindings::Pure || flake_attr(project, *index).is_some()
    })
}

/// The attribute of the flake that builds a package's wheel.
fn flake_attr(project: &Project, index: usize) -> Option<&str> {
    project.flake_attr.as_deref().filter(|_| project.native().count() <= 1 && index == 0)
}

/// A build of a package for a target, with Nix if possible.
fn build(project: &Project, index: usize, target: Option<Target>) -> Build {
    let package = &project.packages[index];
    let mut build = Build { target, directory: Some(package.directory.clone()), ..Build::default() };
    let Some(target) = target else { return Build { backend: "sdist".to_owned(), ..build } };
    let by_nix = matches!(
        (target.system, target.arch),
        (System::Gnu, Arch::X86_64 | Arch::Aarch64) | (System::Macos, Arch::Aarch64)
    );
    if let Some(attr) = flake_attr(project, index).filter(|_| by_nix) {
        "nix".clone_into(&mut build.backend);
        attr.clone_into(&mut build.flake_attr);
    }
    build
}

/// Adds the source distribution of a package, once.
fn add_sdist(project: &Project, index: usize, out: &mut Translation) {
    let is_there = |build: &Build| build.target.is_none() && owner(project, build) == Some(index);
    if !out.builds.iter().any(is_there) && !out.uv.contains(&project.packages[index].name) {
        out.builds.push(build(project, index, None));
    }
}

/// Applies `--platforms`, if given.
fn chosen(options: &Options, project: &Project, known: Option<Translation>) -> Translation {
    let is_new = known.is_none();
    let mut out = known.unwrap_or_default();
    let before = std::mem::take(&mut out.builds);
    let (wheels, others): (Vec<Build>, Vec<Build>) =
        before.into_iter().partition(|build| build.backend != "sdist");
    for (index, package) in native(project) {
        let own: Vec<&Build> = wheels.iter().filter(|build| owner(project, build) == Some(index)).collect();
        for Platform { target, compatibility } in &options.platforms {
            let same: Vec<&&Build> = own.iter().filter(|build| build.target == Some(*target)).collect();
            let mut builds: Vec<Build> = same.iter().map(|build| (**build).clone()).collect();
            if same.is_empty() {
                builds = like_first(&own, build(project, index, Some(*target)), package);
            }
            for mut build in builds {
                if !compatibility.is_empty() {
                    compatibility.clone_into(&mut build.compatibility);
                }
                out.builds.push(build);
            }
        }
    }
    out.builds.extend(others);
    if is_new {
        (0..project.packages.len()).for_each(|index| add_sdist(project, index, &mut out));
    }
    out
}

/// A new build for each Python of a package's first target, with the same tests and
/// options.
fn like_first(own: &[&Build], new: Build, package: &Package) -> Vec<Build> {
    let Some(first) = own.first() else {
        let python = if package.bindings == Bindings::PerPython { ALL_PYTHONS } else { "" };
        return vec![Build { python: python.to_owned(), ..new }];
    };
    let same = own.iter().filter(|build| build.target == first.target);
    same.map(|build| Build { python: build.python.clone(), ..with_settings(&new, build) }).collect()
}

/// A build with the options and tests of another.
fn with_settings(new: &Build, of: &Build) -> Build {
    Build {
        args: of.args.clone(),
        smoke_commands: of.smoke_commands.clone(),
        test_requires: of.test_requires.clone(),
        test_sources: of.test_sources.clone(),
        ..new.clone()
    }
}

/// Adds the published wheels of each package.
fn published(
    options: &Options,
    project: &Project,
    known: Option<Translation>,
    place: Option<&str>,
    env: &Env,
    ui: &Ui,
) -> Result<Option<Translation>, InitError> {
    let simple = index::simple_api(&options.index, true).map_err(|_| InitError::Option {
        option: "index",
        expected: "`pypi`, `testpypi` or the HTTPS URL of a Simple API",
        found: options.index.clone(),
    })?;
    let shown = match options.index.as_str() {
        "pypi" => "PyPI",
        "testpypi" => "TestPyPI",
        other => other,
    };
    let packages: Vec<(usize, &Package)> = native(project).collect();
    let names: Vec<&str> = packages.iter().map(|(_, package)| package.name.as_str()).collect();
    let (is_new, is_named) = (known.is_none(), options.from.is_some());
    let mut out = known.unwrap_or_default();
    let mut is_known = !is_new;
    for ((index, package), found) in packages.iter().zip(query(&simple, &names, env, ui)) {
        match found {
            Ok(found) => {
                let files = format!("the files of `{} {}` on {shown}", package.name, found.version);
                let and = place.map(|place| format!(" and in {place}")).unwrap_or_default();
                ui.info(format!("platforms: as in {files}{and}"));
                is_known = true;
                add_published(project, *index, &found, &mut out);
                if !found.unsupported.is_empty() && !is_named {
                    out.note(format!("{files} for {}: {NO_JOB} them", found.unsupported.join(", ")));
                }
            }
            Err(error) => {
                let described = described(place, project);
                ui.info(format!(
                    "platforms: {described}; no files of `{}` on {shown}: {error}",
                    package.name
                ));
            }
        }
    }
    if place.is_some() && !is_named {
        ui.info("`--from-maturin-action FILE` also lists what has no counterpart in such a workflow");
    }
    // Without a workflow, add source distributions unless a release has none.
    if is_new && is_known {
        let others = (0..project.packages.len())
            .filter(|index| !out.builds.iter().any(|build| owner(project, build) == Some(*index)));
        others.collect::<Vec<_>>().into_iter().for_each(|index| add_sdist(project, index, &mut out));
    }
    Ok(is_known.then_some(out))
}

/// Adds the published wheels of a package that no known workflow builds, or else the
/// floors and Pythons that the workflow does not set.
fn add_published(project: &Project, index: usize, found: &PublishedRelease, out: &mut Translation) {
    let package = &project.packages[index];
    let is_own = |build: &Build| build.backend != "sdist" && owner(project, build) == Some(index);
    let before = std::mem::take(&mut out.builds);
    let first = before.iter().find(|build| is_own(build)).cloned();
    let targets: BTreeSet<Target> =
        before.iter().filter(|build| is_own(build)).filter_map(|build| build.target).collect();
    let named: BTreeSet<Target> = before
        .iter()
        .filter(|build| is_own(build) && names_python(build, package))
        .filter_map(|build| build.target)
        .collect();
    for build in before {
        let is_named = build.target.is_some_and(|target| named.contains(&target));
        if is_own(&build) {
            out.builds.extend(completed(build, is_named, package, found));
        } else {
            out.builds.push(build);
        }
    }
    let is_abi3 = found.wheels.iter().any(|wheel| wheel.is_abi3);
    if is_abi3 && package.bindings == Bindings::PerPython {
        out.note(format!(
            "the wheels of `{} {}` are of the stable ABI, which its manifests do not turn on: add the feature to `maturin-args`",
            package.name, found.version
        ));
    }
    for wheel in &found.wheels {
        if targets.contains(&wheel.platform.target) || !package.allows(&wheel.python) {
            continue;
        }
        let mut new = build(project, index, Some(wheel.platform.target));
        if let Some(first) = &first {
            new = with_settings(&new, first);
        }
        // The libraries that Nix links against depend on nixpkgs.
        if new.flake_attr.is_empty() {
            wheel.platform.compatibility.clone_into(&mut new.compatibility);
        }
        let is_for_all = wheel.python.is_empty() && package.bindings == Bindings::PerPython;
        new.python = if is_for_all { ALL_PYTHONS.to_owned() } else { wheel.python.clone() };
        if !out.builds.contains(&new) {
            out.builds.push(new);
        }
    }
    if found.has_sdist {
        add_sdist(project, index, out);
    }
}

/// Whether a build names the Pythons of its wheels. The CPython that builds a wheel
/// with the stable ABI does not count.
fn names_python(build: &Build, package: &Package) -> bool {
    let is_any = package.bindings == Bindings::Abi3 && is_cpython(&build.python);
    !is_any && !["", ALL_PYTHONS].contains(&build.python.as_str())
}

/// Completes a workflow's build with the floor and the Pythons of the published
/// wheels, if it leaves them to its tools; `is_named` if it names Pythons.
fn completed(build: Build, is_named: bool, package: &Package, found: &PublishedRelease) -> Vec<Build> {
    let same = || found.wheels.iter().filter(|wheel| Some(wheel.platform.target) == build.target);
    let mut pythons: Vec<&str> = Vec::new();
    for wheel in same().filter(|wheel| package.allows(&wheel.python)) {
        if !pythons.contains(&wheel.python.as_str()) {
            pythons.push(&wheel.python);
        }
    }
    let is_open = matches!(package.bindings, Bindings::PerPython | Bindings::Abi3) && !is_named;
    if !is_open || pythons.is_empty() || pythons == [""] {
        pythons = vec![&build.python];
    } else if package.bindings == Bindings::PerPython {
        // The wheel with the stable ABI is built for each Python.
        pythons.retain(|python| !python.is_empty());
    }
    let floor = |python: &str| {
        let of_python = same().find(|wheel| python == ALL_PYTHONS || wheel.python == python);
        of_python.or_else(|| same().next()).map(|wheel| wheel.platform.compatibility.clone())
    };
    let with = |python: &str| {
        let mut build = Build { python: python.to_owned(), ..build.clone() };
        if build.compatibility.is_empty() && build.flake_attr.is_empty() {
            build.compatibility = floor(python).unwrap_or_default();
        }
        build
    };
    pythons.into_iter().map(with).collect()
}
