//! Runs the build and finds what it made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toolkit::{Cmd, FileError, OutputMode, ProcessError, Ui};

use crate::error::Error;
use crate::inputs::Backend;
use crate::plan::{Plan, STAGING};

/// GitHub ends a job after six hours.
const BUILD_LIMIT: Duration = Duration::from_secs(6 * 3600);

/// What a build made: the file's name, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Built {
    /// The file's name; in a Nix store the file itself has a hash before it.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// Runs the planned build, which writes to the folder `staging`.
pub(crate) fn build(plan: &Plan, staging: &Path, ui: &Ui) -> Result<Built, Error> {
    let Some(cmd) = &plan.build else { return Ok(present(&plan.project)) };
    let cmd = stage(cmd, staging);
    let done = cmd.run(ui, OutputMode::Shown, BUILD_LIMIT).map_err(|error| match error {
        ProcessError::Failed { command, status, stderr, .. } => {
            Error::BuildFailed { command, status, stderr, hint: plan.build_hint.clone() }
        }
        error => Error::Build(error),
    })?;
    let kind = kind(plan.backend);
    if cmd.program == "nix" {
        let outputs = nix_outputs(&done.stdout)?;
        return exactly_one(
            kind,
            &outputs,
            format!("in the output of `{}`", cmd.args.last().map_or("", String::as_str)),
            "point `flake-attr` at a derivation that installs the distribution (nixpkgs: the output `dist`)",
        );
    }
    let hint = "look at what the build printed";
    exactly_one(kind, &[staging.to_owned()], "from the build".into(), hint)
}

/// The suffix of what the backend makes.
pub(crate) fn kind(backend: Backend) -> &'static str {
    if backend == Backend::Sdist { ".tar.gz" } else { ".whl" }
}

/// Puts the folder in the place of its stand-in.
pub(crate) fn stage(cmd: &Cmd, staging: &Path) -> Cmd {
    let folder = staging.display().to_string();
    let args = cmd.args.iter().map(|arg| arg.replace(STAGING, &folder)).collect();
    Cmd { args, ..cmd.clone() }
}

fn present(wheel: &Path) -> Built {
    let name = wheel.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Built { name, path: wheel.to_owned() }
}

#[derive(Deserialize)]
struct NixBuilt {
    outputs: std::collections::BTreeMap<String, PathBuf>,
}

fn nix_outputs(json: &str) -> Result<Vec<PathBuf>, Error> {
    let built: Vec<NixBuilt> = serde_json::from_str(json).map_err(Error::NixOutput)?;
    Ok(built.into_iter().flat_map(|built| built.outputs.into_values()).collect())
}

/// The one file with this suffix in these places, each a file or a folder.
fn exactly_one(
    suffix: &'static str,
    places: &[PathBuf],
    place: String,
    hint: &'static str,
) -> Result<Built, Error> {
    let mut found = Vec::new();
    for root in places {
        for entry in walkdir::WalkDir::new(root).max_depth(3).sort_by_file_name() {
            let entry = entry.map_err(|error| FileError {
                action: "read",
                path: root.clone(),
                source: error.into_io_error().unwrap_or_else(|| std::io::ErrorKind::Other.into()),
            })?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(suffix) && entry.path().is_file() {
                let name = if entry.depth() == 0 { without_store_hash(&name) } else { name };
                found.push(Built { name, path: entry.into_path() });
            }
        }
    }
    if found.len() == 1 {
        return Ok(found.remove(0));
    }
    let found = found.into_iter().map(|built| built.name).collect();
    Err(Error::Built { kind: suffix, place, found, hint })
}

/// `/nix/store/<32 characters>-<name>` (an output that is the file itself).
fn without_store_hash(name: &str) -> String {
    match name.split_once('-') {
        Some((hash, name)) if hash.len() == 32 => name.to_owned(),
        _ => name.to_owned(),
    }
}
