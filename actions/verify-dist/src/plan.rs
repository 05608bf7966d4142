//! Which files are checked, against which rules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use distcheck::rules;
use serde::Serialize;
use toolkit::FileError;

use crate::config::Config;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::previous::simple;

/// What a run would do; `--dry-run` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) rules: Vec<&'static str>,
    pub(crate) manifest: PathBuf,
    pub(crate) matrix: Vec<String>,
    pub(crate) expect_sdist: Vec<String>,
    pub(crate) tag: Option<String>,
    /// The Simple API to compare with.
    pub(crate) previous: Option<String>,
}

impl Plan {
    pub(crate) fn new(inputs: &Inputs, config: &Config) -> Result<Self, Error> {
        let files = files(&inputs.paths)?;
        let beside = || {
            let folder = inputs.paths.iter().find(|path| path.is_dir());
            let parent = folder.or(inputs.paths.first()).and_then(|path| path.parent());
            parent.unwrap_or(Path::new("")).join("dist-manifest.json")
        };
        let either = |given: &[String], other: &[String]| {
            if given.is_empty() { other.to_vec() } else { given.to_vec() }
        };
        Ok(Self {
            files,
            rules: rules::all().filter(|rule| config.selection().selects(rule)).map(|rule| rule.id).collect(),
            manifest: inputs.manifest.clone().unwrap_or_else(beside),
            matrix: either(&inputs.matrix, &config.matrix),
            expect_sdist: either(&inputs.expect_sdist, &config.expect_sdist),
            tag: inputs.tag.clone(),
            previous: inputs.previous.as_deref().map(simple).transpose()?.map(String::from),
        })
    }
}

/// The distributions in folders, and the files that are named.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(FileError::new("read", path))?;
            for entry in entries {
                let file = entry.map_err(FileError::new("read", path))?.path();
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if file.is_file() && (name.ends_with(".whl") || name.ends_with(".tar.gz")) {
                    files.push(file);
                }
            }
        } else if path.exists() {
            files.push(path.clone());
        } else {
            return Err(Error::Missing(path.clone()));
        }
    }
    files.sort();
    files.dedup();
    if files.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        return Err(Error::Nothing(names.join(", ")));
    }
    let mut names = BTreeSet::new();
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !names.insert(name.clone()) {
            return Err(Error::Twice(name));
        }
    }
    Ok(files)
}
