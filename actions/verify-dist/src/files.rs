//! The distributions that paths name.

use std::collections::BTreeSet;
use std::path::PathBuf;

use toolkit::FileError;

use crate::error::Error;

/// The distributions in folders, and the files that are named.
pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
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
