//! The distributions that paths name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toolkit::FileError;

use crate::error::Error;

/// Archives that are no distribution of today.
const OTHER_ARCHIVES: [&str; 12] = [
    ".zip", ".tar.bz2", ".tar.xz", ".tar.zst", ".tbz", ".tgz", ".tar", ".tar.z", ".egg", ".exe", ".msi",
    ".rpm",
];

/// What the paths name.
pub(crate) struct Listing {
    pub(crate) files: Vec<PathBuf>,
    /// Names of other archives.
    pub(crate) others: Vec<String>,
}

impl Listing {
    /// The distributions in directories, and the files that are named.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let (mut files, mut others) = (Vec::new(), Vec::new());
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
                        others.push(name);
                    }
                }
            } else if path.exists() {
                files.push(path.clone());
            } else {
                return Err(Error::Missing(path.clone()));
            }
        }
        others.sort();
        files.sort();
        files.dedup();
        if files.is_empty() {
            let names: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
            return Err(Error::Nothing(names.join(", ")));
        }
        let mut names = BTreeSet::new();
        for file in &files {
            if !names.insert(name(file)) {
                return Err(Error::Twice(name(file)));
            }
        }
        Ok(Self { files, others })
    }
}
