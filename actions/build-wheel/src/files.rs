//! Copies files and checks that directories are writable.

use std::path::Path;

use toolkit::FileError;

/// Copies a file, or a directory with the entries that `is_wanted` accepts. Links
/// stay links.
pub(crate) fn copy_tree(
    from: &Path,
    to: &Path,
    is_wanted: &dyn Fn(&walkdir::DirEntry) -> bool,
) -> Result<(), FileError> {
    for entry in walkdir::WalkDir::new(from).into_iter().filter_entry(is_wanted) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(from).to_owned();
            FileError { action: "read", path, source: error.into() }
        })?;
        let path = entry.path();
        let place = match path.strip_prefix(from) {
            Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
            _ => to.to_owned(),
        };
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(&place).map_err(FileError::new("create", &place))?;
            continue;
        }
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(FileError::new("create", parent))?;
        }
        if entry.file_type().is_symlink() {
            toolkit::copy_link(path, &place)?;
        } else if entry.file_type().is_file() {
            std::fs::copy(path, &place).map_err(FileError::new("copy", path))?;
        }
    }
    Ok(())
}

/// Fails before a long build if `directory`, which need not exist, is not writable.
pub(crate) fn check_writable(directory: &Path) -> Result<(), FileError> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let failed = || FileError::new("write to", directory);
    let file = tempfile::tempfile_in(existing).map_err(failed())?;
    // The size of a small wheel.
    std::io::Write::write_all(&mut &file, &vec![0; 1 << 16]).map_err(failed())
}
