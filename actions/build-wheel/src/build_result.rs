//! A built distribution, checked and repaired, in a temporary file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use pydist::digest;
use pydist::filename::DistName;
use toolkit::FileError;

use crate::backend::BuiltFile;
use crate::error::Error;
use crate::plan::Plan;
use crate::repair::{self, Change, Contents, Floor, Options};
use crate::sdist;

/// A distribution before it goes to the output directory.
#[derive(Debug)]
pub(crate) struct BuildResult {
    /// Its name.
    pub name: DistName,
    /// Its temporary path.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// The digest of the file.
    pub sha256: [u8; 32],
    /// The oldest system that it runs on.
    pub floor: Option<Floor>,
    /// The repairs.
    pub changes: Vec<Change>,
    /// The warnings.
    pub warnings: Vec<Change>,
    /// What it installs.
    pub contents: Contents,
    /// The members that are for another platform than the wheel.
    pub foreign: BTreeSet<String>,
}

impl BuildResult {
    /// `<package>-<version>` of a wheel, as in its members' names.
    pub(crate) fn stem(&self) -> String {
        let wheel = self.name.wheel();
        wheel.map(|wheel| format!("{}-{}", wheel.name, wheel.version)).unwrap_or_default()
    }
}

/// Checks and repairs a built file. Writes the result to the directory `to`.
pub(crate) fn finish(plan: &Plan, built: &BuiltFile, to: &Path) -> Result<BuildResult, Error> {
    std::fs::create_dir_all(to).map_err(FileError::new("create", to))?;
    if built.name.ends_with(".tar.gz") {
        return finish_sdist(built, to);
    }
    let options = Options {
        target: plan.target.clone(),
        compatibility: plan.compatibility,
        epoch: plan.source_date_epoch,
        remove_rpaths: plan.remove_rpaths,
        graft: plan.graft,
        exclude: plan.exclude.clone(),
        scratch: to.to_owned(),
    };
    let source = File::open(&built.path).map_err(FileError::new("read", &built.path))?;
    let draft = to.join("draft.whl");
    let mut out = BufWriter::new(File::create(&draft).map_err(FileError::new("create", &draft))?);
    let repaired = repair::repair(&built.name, &source, &options, &mut out)
        .map_err(|source| Error::Wheel { file: built.path.display().to_string(), source })?;
    out.flush().map_err(FileError::new("write", &draft))?;
    let path = to.join(repaired.name.to_string());
    if path.exists() {
        let source = std::io::ErrorKind::AlreadyExists.into();
        return Err(FileError { action: "create", path, source }.into());
    }
    toolkit::rename_file(&draft, &path).map_err(FileError::new("create", &path))?;
    Ok(BuildResult {
        name: DistName::Wheel(repaired.name),
        path,
        size: repaired.size,
        sha256: repaired.sha256,
        floor: repaired.floor,
        changes: repaired.changes,
        warnings: repaired.warnings,
        contents: repaired.contents,
        foreign: repaired.foreign,
    })
}

fn finish_sdist(built: &BuiltFile, to: &Path) -> Result<BuildResult, Error> {
    let file = File::open(&built.path).map_err(FileError::new("read", &built.path))?;
    let name = sdist::check(&built.name, &file)?;
    let path = to.join(name.to_string());
    std::fs::copy(&built.path, &path).map_err(FileError::new("copy", &built.path))?;
    let file = File::open(&path).map_err(FileError::new("read", &path))?;
    let (sha256, size) = digest::sha256_reader(&file).map_err(FileError::new("read", &path))?;
    Ok(BuildResult {
        name,
        path,
        size,
        sha256,
        floor: None,
        changes: Vec::new(),
        warnings: Vec::new(),
        contents: Contents::default(),
        foreign: BTreeSet::new(),
    })
}
