//! `build-wheel init`: writes a project's release workflow and keeps it up to date.

mod bindings;
mod block;
mod build;
mod build_wheel_step;
mod cibuildwheel;
mod constants;
mod error;
mod expression;
mod matrix;
mod maturin_action;
mod names;
mod options;
mod own_jobs;
mod pins;
mod platform;
mod project;
mod published;
mod release;
mod render;
mod source;
mod steps;
mod tags;
mod translate;
mod wheel_job;
mod workflow;
mod yaml;

use std::path::{Path, PathBuf};

use toolkit::{Command, Env, Exit, FileError, Input, InputKind, Invocation, Ui, write_atomic};

pub(crate) use self::error::InitError;
use self::names::{CARRIED_REQUIREMENTS, REQUIREMENTS, WORKFLOW};
use self::options::Options;
use self::pins::Pins;
use self::project::Project;
use self::release::Release;

/// The command on the command line.
pub(crate) const COMMAND: Command = Command::new(
    "init",
    "Write the project's release workflow, or update its generated part.",
)
.positional()
.positional_about("The root directory of the repository.")
.inputs(&["flake-attr"])
.options(&[
    Input::new("workflow", InputKind::Path, "Write to PATH, below PROJECT.").or(WORKFLOW),
    Input::new(
        "from-maturin-action",
        InputKind::Path,
        "Translate an existing workflow that uses maturin-action, `maturin build` or cibuildwheel. What has no counterpart is listed, on the terminal and in the new workflow.",
    ),
    Input::new(
        "platforms",
        InputKind::Text,
        "Build only for these, separated by commas: Rust targets, or platform tags such as `manylinux_2_28_aarch64`. By default those of the generated workflow; for a new one, those of the index and of the existing workflow, otherwise the nine common ones.",
    ),
    Input::new(
        "index",
        InputKind::Text,
        "The index that has the project's files: `pypi`, `testpypi` or the URL of a Simple API. It is queried only for a new workflow, for at most ten seconds.",
    )
    .or("pypi"),
    Input::new("offline", InputKind::Flag, "Query neither the index nor `git ls-remote`.").or("false"),
    Input::new("dry-run", InputKind::Flag, "Write nothing; print the difference.").or("false"),
    Input::new("check", InputKind::Flag, "Write nothing; exit with 1 if the workflow is not up to date. Pins do not count.").or("false"),
    Input::new("pin", InputKind::Text, "Pin the actions to this commit. By default the newest tag `v…`, found by `git ls-remote`."),
    Input::new("repository", InputKind::Text, "The repository of the actions, as OWNER/NAME."),
]);

/// Runs the command.
pub(crate) fn run(invocation: &Invocation, ui: &Ui) -> Result<Exit, InitError> {
    let options = Options::read(invocation)?;
    let project = Project::find(&options.root, options.flake_attr.as_deref())?;
    let (format, old) = block::TextFormat::of(&read(&options.workflow)?);
    let block = block::find(&options.workflow, &old)?;
    if block.is_none() && !old.trim().is_empty() {
        return Err(InitError::Foreign(options.workflow));
    }
    let translation = source::translation(&options, &project, block, &invocation.env, ui)?;
    let is_tagged = translation.as_ref().is_some_and(|found| !found.tags.is_empty());
    let tags = if is_tagged { Vec::new() } else { tags::of_repository(&project, ui) };
    let mut release = Release::new(&project, translation, tags);
    release.own_jobs = own_jobs::jobs_with_files(&old, block.unwrap_or_default());
    report(&project, &release, ui);
    let pins = pins(&options, block, &invocation.env, ui);
    let text = render::render(&release, &pins);
    let mut files =
        vec![(options.workflow.clone(), old.clone(), block::replace(&options.workflow, &old, &text)?)];
    if project.requirements.is_none() {
        let path = options.root.join(REQUIREMENTS);
        files.push((path.clone(), read(&path)?, CARRIED_REQUIREMENTS.to_owned()));
    }
    // Ignore changes that editors make at the end of a file.
    files.retain(|(_, old, new)| old.trim_end() != new.trim_end());
    finish(&options, &files, &format, ui)
}

/// Shows, compares or writes the files.
fn finish(
    options: &Options,
    files: &[(PathBuf, String, String)],
    format: &block::TextFormat,
    ui: &Ui,
) -> Result<Exit, InitError> {
    let Some((first, ..)) = files.first() else {
        ui.info(format!("`{}` is up to date", options.workflow.display()));
        return Ok(Exit::Done);
    };
    if options.is_dry_run || options.is_check {
        for (path, old, new) in files {
            ui.report(block::diff(path, old, new).trim_end());
        }
        return if options.is_check { Err(InitError::Outdated(first.clone())) } else { Ok(Exit::Done) };
    }
    for (path, _, new) in files {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(FileError::new("create", parent))?;
        }
        let new = if *path == options.workflow { format.apply(new) } else { new.clone() };
        write_atomic(&resolve_links(path), new.as_bytes())?;
        ui.info(format!("wrote `{}`", path.display()));
    }
    if let Some(above) = repository_above(&options.root) {
        ui.warning(format!(
            "`{}` is not the root of its repository: GitHub runs workflows of `{}` alone\nhint: run `build-wheel init {}`",
            options.root.display(),
            above.join(".github/workflows").display(),
            above.display(),
        ));
    }
    Ok(Exit::Done)
}

/// The target of a link, which need not exist.
fn resolve_links(path: &Path) -> PathBuf {
    if let Ok(found) = std::fs::canonicalize(path) {
        return found;
    }
    match std::fs::read_link(path) {
        Ok(to) => path.parent().map_or_else(|| to.clone(), |parent| parent.join(&to)),
        Err(_) => path.to_owned(),
    }
}

/// The root of the git repository of a directory.
fn repository_above(directory: &Path) -> Option<PathBuf> {
    let directory = std::fs::canonicalize(directory).ok()?;
    let root = directory.ancestors().find(|path| path.join(".git").exists())?;
    (root != directory).then(|| root.to_owned())
}

/// The pins of all actions. Warns once if one cannot be determined.
fn pins(options: &Options, block: Option<&str>, env: &Env, ui: &Ui) -> Pins {
    let repository = options.repository.clone().unwrap_or_else(|| "OWNER/REPOSITORY".to_owned());
    let mut pins = Pins::built_in(&repository);
    if let Some(sha) = &options.pin {
        pins.own = Some(pins::Pin { sha: sha.clone(), version: format!("v{}", env!("CARGO_PKG_VERSION")) });
    } else if !options.is_check {
        let newest = match &options.repository {
            _ if options.is_offline => Err("`--offline` is set".to_owned()),
            Some(repository) => pins::newest(repository, env, ui),
            None => Err("`--repository OWNER/NAME` is not given".to_owned()),
        };
        match newest {
            Ok(pin) => pins.own = Some(pin),
            Err(error) => {
                pins.keep(block.unwrap_or_default(), options.is_check);
                if pins.own.is_none() {
                    ui.warning(format!(
                        "cannot find the newest release of the actions; they are pinned to forty zeros: {error}\nhint: set `--repository OWNER/NAME`, with a connection, or `--pin SHA`"
                    ));
                }
            }
        }
    }
    pins.keep(block.unwrap_or_default(), options.is_check);
    pins
}

/// Reports the packages, and what is not translated.
fn report(project: &Project, release: &Release, ui: &Ui) {
    for package in &project.packages {
        ui.info(format!(
            "package `{}` in `{}`: {}",
            package.name,
            package.directory,
            package.bindings.describe()
        ));
    }
    for error in &project.errors {
        ui.warning(format!("skipped an invalid package: {error}"));
    }
    for note in &release.notes {
        ui.warning(format!("not translated: {note}"));
    }
    if release.notes.iter().any(|note| note.contains(names::NO_JOB)) {
        ui.info(names::KEEP_JOBS);
    }
}

fn read(path: &Path) -> Result<String, InitError> {
    if !path.exists() {
        return Ok(String::new());
    }
    Ok(std::fs::read_to_string(path).map_err(FileError::new("read", path))?)
}
