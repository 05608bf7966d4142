//! Finds the distributions in `paths`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toolkit::FileError;

use crate::error::Error;

/// Suffixes of archives that indexes no longer accept.
const OTHER_ARCHIVES: [&str; 12] = [
    ".zip", ".tar.bz2", ".tar.xz", ".tar.zst", ".tbz", ".tgz", ".tar", ".tar.z", ".egg", ".exe", ".msi",
    ".rpm",
];

/// The files found in `paths`.
pub(crate) struct FoundFiles {
    pub(crate) files: Vec<PathBuf>,
    /// Names of archives that are not distributions.
    pub(crate) other_archives: Vec<String>,
}

impl FoundFiles {
    /// Lists the distributions in directories, and the named files.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let (mut files, mut other_archives) = (Vec::new(), Vec::new());
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in paths {
            if path.is_dir() {
                let entries = std::fs::read_dir(path).map_err(FileError::new("read", path))?;
                for entry in entries {
                    let file = entry.map_err(FileError::new("read", path))?.path();
                    let name = name(&file);
                    let lower = name.to_ascii_lowercase();
                    if !file.is_file() {
                        continue;
                    }
                    if name.ends_with(".whl") || name.ends_with(".tar.gz") {
                        files.push(file);
                    } else if OTHER_ARCHIVES
                        .iter()
                        .chain(&[".whl", ".tar.gz"])
                        .any(|end| lower.ends_with(end))
                    {
                        other_archives.push(name);
                    }
                }
            } else if path.exists() {
                files.push(path.clone());
            } else {
                return Err(Error::Missing(path.clone()));
            }
        }
        other_archives.sort();
        files.sort();
        files.dedup();
        if files.is_empty() {
            let names: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
            return Err(Error::Nothing(names.join(", ")));
        }
        let mut names = BTreeSet::new();
        for file in &files {
            if !names.insert(name(file)) {
                return Err(Error::DuplicateFile(name(file)));
            }
        }
        Ok(Self { files, other_archives })
    }
}
