//! Runs the build and finds its distributions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pydist::filename::DistName;
use serde::Deserialize;
use toolkit::{Cmd, FileError, OutputMode, ProcessError, Ui};

use crate::choices::Backend;
use crate::error::Error;
use crate::plan::{Plan, STAGING};

/// GitHub stops a job after six hours.
const BUILD_LIMIT: Duration = Duration::from_secs(6 * 3600);

/// How deep the output of a derivation is searched.
const DEPTH: usize = 16;

/// A distribution that the build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuiltFile {
    /// The file name, without the hash that a file in the Nix store has.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// Runs the planned build, which writes to the directory `staging`. Returns the
/// wheels by name, followed by the source distribution.
pub(crate) fn build(plan: &Plan, staging: &Path, ui: &Ui) -> Result<Vec<BuiltFile>, Error> {
    let Some(cmd) = &plan.build else { return Ok(vec![existing_wheel(&plan.project)]) };
    let run = |cmd: &Cmd| {
        let result = stage(cmd, staging).run(ui, OutputMode::Shown, BUILD_LIMIT);
        result.map_err(|error| match error {
            ProcessError::Failed { command, status, stderr, .. } => {
                Error::BuildFailed { command, status, stderr, hint: plan.build_hint.clone() }
            }
            error => Error::Build(error),
        })
    };
    let done = run(cmd)?;
    if let Some(cmd) = &plan.build_sdist {
        run(cmd)?;
    }
    if cmd.program == "nix" {
        let outputs = nix_outputs(&done.stdout)?;
        let place = format!("in the output of `{}`", cmd.args.last().map_or("", String::as_str));
        let hint =
            "point `flake-attr` at a derivation that installs the distribution (nixpkgs: the output `dist`)";
        return collect(plan, &outputs, &place, hint);
    }
    collect(plan, &[staging.to_owned()], "from the build", "check the output of the build")
}

/// The file suffix of the backend's distributions.
pub(crate) fn suffix(backend: Backend) -> &'static str {
    if backend == Backend::Sdist { ".tar.gz" } else { ".whl" }
}

/// Replaces the placeholder with the staging directory.
pub(crate) fn stage(cmd: &Cmd, staging: &Path) -> Cmd {
    let dir = staging.display().to_string();
    let args = cmd.args.iter().map(|arg| arg.replace(STAGING, &dir)).collect();
    Cmd { args, ..cmd.clone() }
}

fn existing_wheel(wheel: &Path) -> BuiltFile {
    let name = wheel.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    BuiltFile { name, path: wheel.to_owned() }
}

#[derive(Deserialize)]
struct NixBuildOutput {
    outputs: std::collections::BTreeMap<String, PathBuf>,
}

fn nix_outputs(json: &str) -> Result<Vec<PathBuf>, Error> {
    let built: Vec<NixBuildOutput> = serde_json::from_str(json).map_err(Error::NixOutput)?;
    Ok(built.into_iter().flat_map(|built| built.outputs.into_values()).collect())
}

/// Collects the distributions in these files and directories: one source
/// distribution, or the wheels of one package and version, with a source
/// distribution if requested.
fn collect(
    plan: &Plan,
    places: &[PathBuf],
    place: &str,
    hint: &'static str,
) -> Result<Vec<BuiltFile>, Error> {
    let main = suffix(plan.backend);
    let mut found = files(places, main)?;
    let fail = |kind, found: Vec<BuiltFile>| {
        let found = found.into_iter().map(|built| built.name).collect();
        Err(Error::BuildOutput { kind, place: place.to_owned(), found, hint })
    };
    if main == ".tar.gz" && found.len() != 1 {
        return fail("exactly one .tar.gz", found);
    }
    let project = |built: &BuiltFile| {
        let name = built.name.parse::<DistName>().ok()?;
        Some((name.project(), name.version().to_owned()))
    };
    let is_same = |built: &BuiltFile| project(built).is_some() && project(built) == project(&found[0]);
    if found.is_empty() || found.len() > 1 && !found.iter().all(is_same) {
        return fail("the wheels of one package and version", found);
    }
    if plan.sdist {
        let sdists = files(places, ".tar.gz")?;
        if sdists.len() != 1 {
            return fail("exactly one .tar.gz beside the wheels", sdists);
        }
        found.extend(sdists);
    }
    Ok(found)
}

/// The files with this suffix, by name. Only the highest level with such files
/// counts, because deeper ones may belong to an installed package. Links are
/// followed, each file once.
fn files(places: &[PathBuf], suffix: &str) -> Result<Vec<BuiltFile>, Error> {
    let mut found: Vec<(usize, PathBuf, BuiltFile)> = Vec::new();
    for root in places {
        for entry in walkdir::WalkDir::new(root).follow_links(true).max_depth(DEPTH).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                // A link to a parent directory, or a broken link.
                Err(error) if error.loop_ancestor().is_some() || error.depth() > 0 && is_missing(&error) => {
                    continue;
                }
                Err(error) => {
                    let path = error.path().unwrap_or(root).to_owned();
                    return Err(FileError { action: "read", path, source: error.into() }.into());
                }
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(suffix) && entry.file_type().is_file() {
                let real = entry.path().canonicalize().unwrap_or_else(|_| entry.path().to_owned());
                let name = if entry.depth() == 0 { without_store_hash(&name) } else { name };
                if !found.iter().any(|(_, path, built)| *path == real && built.name == name) {
                    found.push((entry.depth(), real, BuiltFile { name, path: entry.into_path() }));
                }
            }
        }
    }
    let top = found.iter().map(|(depth, ..)| *depth).min().unwrap_or_default();
    let mut nearest: Vec<BuiltFile> =
        found.into_iter().filter(|(depth, ..)| *depth == top).map(|(.., built)| built).collect();
    nearest.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nearest)
}

fn is_missing(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// The name in `/nix/store/<32 characters>-<name>`, for an output that is a file.
fn without_store_hash(name: &str) -> String {
    match name.split_once('-') {
        Some((hash, name)) if hash.len() == 32 => name.to_owned(),
        _ => name.to_owned(),
    }
}
