//! Files that match a pattern such as `dist/*.whl`, which cmd and PowerShell do not expand.

use std::io::ErrorKind;
use std::path::{Path, PathBuf, is_separator};

use globset::GlobBuilder;
use toolkit::{FileError, PATTERNS_IGNORE_CASE};

use crate::pattern::PatternError;

/// The special characters of patterns.
const SPECIAL: [char; 4] = ['*', '?', '[', '{'];
/// Those that are not usual in the names of files.
const UNUSUAL: [char; 3] = ['*', '?', '{'];

/// Why the files that match a pattern cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum FilePatternError {
    /// The pattern is invalid.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A directory cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Whether `text` is a pattern. The path of an existing file can look like one.
pub fn is_file_pattern(text: &str) -> bool {
    text[verbatim(text)..].contains(UNUSUAL)
}

/// The length of the prefix of an extended-length path on Windows, whose `?` is no wildcard.
fn verbatim(text: &str) -> usize {
    const PREFIX: &str = r"\\?\";
    if text.starts_with(PREFIX) { PREFIX.len() } else { 0 }
}

/// The length of the directories before the first special character.
fn fixed_length(pattern: &str) -> usize {
    let start = verbatim(pattern);
    let end = pattern[start..].find(SPECIAL).map_or(pattern.len(), |end| start + end);
    pattern[..end].rfind(is_separator).map_or(0, |end| end + 1)
}

/// The files that match `pattern`, sorted. `*` and `?` match within one directory, `**` matches
/// any directories. Like a shell's, it matches names that begin with a dot only where it has a
/// dot. On Windows, the separator may be `\`, and case is ignored.
pub fn matching_files(pattern: &str) -> Result<Vec<PathBuf>, FilePatternError> {
    matching(pattern, PATTERNS_IGNORE_CASE)
}

fn matching(pattern: &str, ignores_case: bool) -> Result<Vec<PathBuf>, FilePatternError> {
    let mut glob = GlobBuilder::new(without_dot(pattern));
    let glob = glob.literal_separator(true).case_insensitive(ignores_case).build();
    let matcher = glob.map_err(|error| PatternError::new(pattern, &error))?.compile_matcher();
    // Search only below the fixed prefix.
    let fixed = fixed_length(pattern);
    let root = if fixed == 0 { "." } else { &pattern[..fixed] };
    let varying = &pattern[fixed..];
    let depth = if varying.contains("**") { usize::MAX } else { varying.matches(is_separator).count() };
    let shows_hidden = varying.split(is_separator).any(|part| part.starts_with('.'));
    let mut files = Vec::new();
    let mut directories = vec![(PathBuf::from(root), 0)];
    while let Some((directory, level)) = directories.pop() {
        if !directory.is_dir() {
            continue;
        }
        for path in entries(&directory, level)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') && !shows_hidden {
                continue;
            }
            let path = path.strip_prefix(".").map_or_else(|_| path.clone(), Path::to_owned);
            if path.is_dir() && !path.is_symlink() {
                directories.extend(Some((path, level + 1)).filter(|_| level < depth));
            } else if matcher.is_match(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// `pattern` without `./` at its start, on Windows also without `.\`.
fn without_dot(mut pattern: &str) -> &str {
    while let Some(rest) = pattern.strip_prefix('.').and_then(|rest| rest.strip_prefix(is_separator)) {
        pattern = rest;
    }
    pattern
}

/// The paths in a directory; none if it is another user's, below the first level.
fn entries(directory: &Path, level: usize) -> Result<Vec<PathBuf>, FileError> {
    let error = || FileError::new("read", directory);
    let entries = match std::fs::read_dir(directory) {
        Err(denied) if level > 0 && denied.kind() == ErrorKind::PermissionDenied => return Ok(Vec::new()),
        entries => entries.map_err(error())?,
    };
    entries.map(|entry| Ok(entry.map_err(error())?.path())).collect()
}

#[cfg(test)]
mod tests {
    use std::path::MAIN_SEPARATOR;

    use super::*;

    fn files() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "dist/a-1.WHL",
            "dist/b-1.whl",
            "dist/c.txt",
            "x/y/b-1.tar.gz",
            ".venv/pip-1.tar.gz",
            "x/.hidden-1.whl",
        ] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        directory
    }

    #[test]
    fn wildcards_match_in_file_and_directory_names() {
        let directory = files();
        let names = |pattern: &str, ignores_case| {
            let pattern = directory.path().join(pattern);
            let files = matching(pattern.to_str().unwrap(), ignores_case).unwrap();
            let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            files.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names("dist/*.whl", false), ["b-1.whl"]);
        assert_eq!(names("dist/*.whl", true), ["a-1.WHL", "b-1.whl"]);
        assert_eq!(names("DIST*/*.whl", false), [""; 0]);
        assert_eq!(names("**/*.tar.gz", false), ["b-1.tar.gz"]);
        assert_eq!(names("*/*.tar.gz", false), [""; 0], "it is deeper");
        assert_eq!(names(".venv/*", false), ["pip-1.tar.gz"]);
        assert_eq!(names("x/.*.whl", false), [".hidden-1.whl"]);
        assert_eq!(names("?/y/*.{whl,tar.gz}", false), ["b-1.tar.gz"]);
        assert_eq!(names("dist/*.zip", true), [""; 0]);
        assert_eq!(names("gone/*", true), [""; 0]);
    }

    #[test]
    fn a_pattern_may_start_with_the_current_directory() {
        // Tests run in the directory of the package.
        for start in [String::new(), "./".into(), "././".into(), format!(".{MAIN_SEPARATOR}")] {
            let found = matching_files(&format!("{start}Cargo.t*")).unwrap();
            let nested = format!("{start}src{MAIN_SEPARATOR}file_pat*.rs");
            let path = Path::new("src").join("file_pattern.rs");
            assert_eq!(matching_files(&nested).unwrap(), [path], "{nested}");
            assert_eq!(found, [Path::new("Cargo.toml")], "{start}");
        }
    }

    #[test]
    fn an_extended_length_path_is_no_pattern() {
        assert!(!is_file_pattern(r"\\?\C:\dist\a-1.whl"));
        assert!(is_file_pattern(r"\\?\C:\dist\*.whl") && is_file_pattern(r"\\server\?.whl"));
        assert_eq!(fixed_length(r"\\?\C:/dist/*.whl"), r"\\?\C:/dist/".len());
        assert_eq!(fixed_length("dist/?/*.whl"), "dist/".len());
        assert_eq!(fixed_length("*.whl"), 0);
    }

    #[test]
    fn an_invalid_pattern_is_an_error() {
        let error = matching_files("dist/[.whl").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`dist/[.whl` is not a valid pattern: unclosed character class; missing ']'"
        );
        assert!(is_file_pattern("dist/*") && !is_file_pattern("dist/a-1.whl"));
        assert!(!is_file_pattern("dist/a[1].whl"), "a file that does not exist");
    }
}
