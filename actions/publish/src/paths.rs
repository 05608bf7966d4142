//! Finds the files in `paths`: distributions and their attestations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use distcheck::{is_file_pattern, matching_files};
use toolkit::FileError;

use crate::error::Error;

/// The files found in `paths`.
#[derive(Debug, Default)]
pub(crate) struct FoundFiles {
    /// Distributions.
    pub(crate) dists: Vec<PathBuf>,
    /// Attestations beside them (`….attestation`).
    pub(crate) attestations: Vec<PathBuf>,
    /// Other files in the directories.
    pub(crate) others: Vec<PathBuf>,
}

/// Finds named files, files in directories, and files that match patterns. An
/// existing path is never a pattern.
pub(crate) fn find_files(paths: &[String]) -> Result<FoundFiles, Error> {
    let (mut named, mut listed) = (BTreeSet::new(), BTreeSet::new());
    for text in paths {
        let path = PathBuf::from(text);
        if path.is_dir() {
            listed.extend(files_in(&path)?);
        } else if path.exists() || !is_file_pattern(text) {
            named.insert(path);
        } else {
            listed.extend(matching_files(text)?);
        }
    }
    let mut found = FoundFiles::default();
    for path in named.iter().chain(listed.difference(&named)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".whl") || name.ends_with(".tar.gz") {
            found.dists.push(path.clone());
        } else if name.ends_with(".attestation") {
            found.attestations.push(path.clone());
        } else if named.contains(path) {
            // Inspecting it reports the name as an error.
            found.dists.push(path.clone());
        } else {
            found.others.push(path.clone());
        }
    }
    found.dists.sort();
    if found.dists.is_empty() {
        return Err(Error::Nothing(paths.iter().map(PathBuf::from).collect()));
    }
    Ok(found)
}

/// Files that match a path or pattern, for assets of any kind.
pub(crate) fn any_files(paths: &[String]) -> Result<Vec<PathBuf>, Error> {
    let mut files = BTreeSet::new();
    for text in paths {
        let path = PathBuf::from(text);
        if path.is_dir() {
            files.extend(files_in(&path)?.into_iter().filter(|path| path.is_file()));
        } else if path.exists() || !is_file_pattern(text) {
            files.insert(path);
        } else {
            let matched = matching_files(text)?;
            if matched.is_empty() {
                return Err(Error::ReleaseInput(format!("input `extra-assets`: no file matches `{text}`")));
            }
            files.extend(matched);
        }
    }
    Ok(files.into_iter().collect())
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(FileError::new("read", directory))? {
        files.push(entry.map_err(FileError::new("read", directory))?.path());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_files_directories_and_patterns() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["dist/a-1.whl", "dist/a-1.whl.publish.attestation", "dist/notes.txt", "x/y/b-1.tar.gz"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let names = |paths: &[String]| {
            let found = find_files(paths).unwrap();
            let count = [found.dists.len(), found.attestations.len(), found.others.len()];
            (found.dists, count)
        };
        assert_eq!(names(&[at("dist")]).1, [1, 1, 1]);
        assert_eq!(names(&[at("dist/*.whl"), at("dist/a-1.whl")]).0, [PathBuf::from(at("dist/a-1.whl"))]);
        assert_eq!(names(&[at("**/*.tar.gz")]).0, [PathBuf::from(at("x/y/b-1.tar.gz"))]);
        assert_eq!(names(&[at("?/y/*.{whl,tar.gz}")]).1, [1, 0, 0]);
        assert!(matches!(find_files(&[at("dist/*.zip")]), Err(Error::Nothing(_))));
        assert!(matches!(find_files(&[at("dist/*[.whl")]), Err(Error::Pattern(_))));
    }
}
