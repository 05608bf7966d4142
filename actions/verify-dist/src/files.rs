//! Finds the distributions in `paths`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use distcheck::{is_file_pattern, matching_files};
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
    /// Lists the distributions in directories, the named files, and those that match patterns.
    /// An existing path is never a pattern.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let (mut files, mut other_archives) = (Vec::new(), Vec::new());
        let mut listed = Vec::new();
        for path in paths {
            if path.is_dir() {
                for entry in std::fs::read_dir(path).map_err(FileError::new("read", path))? {
                    listed.push(entry.map_err(FileError::new("read", path))?.path());
                }
            } else if path.exists() {
                files.push(path.clone());
            } else {
                let pattern = path.to_str().filter(|text| is_file_pattern(text));
                let matched = matching_files(pattern.ok_or_else(|| Error::Missing(path.clone()))?)?;
                if matched.is_empty() {
                    return Err(Error::NoMatch(path.clone()));
                }
                listed.extend(matched);
            }
        }
        for file in listed.into_iter().filter(|file| file.is_file()) {
            let name = name(&file);
            if name.ends_with(".whl") || name.ends_with(".tar.gz") {
                files.push(file);
            } else if is_archive(&name) {
                other_archives.push(name);
            }
        }
        other_archives.sort();
        other_archives.dedup();
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

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    OTHER_ARCHIVES.iter().chain(&[".whl", ".tar.gz"]).any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_selects_files_like_their_directory() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a-1.whl", "a-1.tar.gz", "a-1.zip", "notes.txt"] {
            std::fs::write(directory.path().join(name), b"").unwrap();
        }
        let read = |patterns: &[&str]| {
            let paths: Vec<_> = patterns.iter().map(|pattern| directory.path().join(pattern)).collect();
            let found = FoundFiles::read(&paths)?;
            let names: Vec<_> = found.files.iter().map(|path| name(path)).collect();
            Ok::<_, Error>((names.join(" "), found.other_archives.join(" ")))
        };
        assert_eq!(read(&["*.whl"]).unwrap(), ("a-1.whl".into(), String::new()));
        assert_eq!(read(&["*", "a-1.whl"]).unwrap(), ("a-1.tar.gz a-1.whl".into(), "a-1.zip".into()));
        assert!(matches!(read(&["*.egg"]), Err(Error::NoMatch(_))));
        assert!(matches!(read(&["*.txt"]), Err(Error::Nothing(_))));
        assert!(matches!(read(&["*[.whl"]), Err(Error::Pattern(_))));
    }
}
