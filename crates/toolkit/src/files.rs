//! Atomic writes.

use std::io::Write as _;
use std::path::Path;

use crate::FileError;
use crate::platform::{persist, set_file_mode};

/// Writes `bytes` to a temporary file beside `path`, then renames it there.
/// Missing parent directories are created. Readers never see half a file, even after
/// a power failure.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    atomic(path, |file| {
        file.write_all(bytes)?;
        file.sync_all()
    })
}

/// Like [`write_atomic`], but does not wait for the disk, which can take longer than
/// everything else: for files that can be created again.
pub fn write_atomic_unsynced(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    atomic(path, |file| file.write_all(bytes))
}

/// Copies the file `from` to a temporary file beside `to`, then renames it there. Does
/// not wait for the disk, which takes longer than the copy.
pub fn copy_atomic(from: &Path, to: &Path) -> Result<(), FileError> {
    let mut source = std::fs::File::open(from).map_err(FileError::new("read", from))?;
    atomic(to, |file| std::io::copy(&mut source, file).map(drop))
}

fn atomic(
    path: &Path,
    write_content: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> Result<(), FileError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(FileError::new("create", parent))?;
    let write = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".tmp-");
        set_file_mode(&mut builder);
        let mut file = builder.tempfile_in(parent)?;
        write_content(file.as_file_mut())?;
        persist(file, path)
    };
    write().map_err(FileError::new("write", path))
}

/// `2 * bytes` random hexadecimal digits from the operating system.
///
/// # Panics
/// If the operating system has no randomness.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).expect("the operating system provides random bytes");
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        write_atomic(&path, b"old").unwrap();
        // A directory cannot be replaced by a file: the rename fails.
        let blocked = directory.path().join("blocked");
        std::fs::create_dir(&blocked).unwrap();
        let error = write_atomic(&blocked, b"new").unwrap_err();
        assert!(error.to_string().contains("blocked"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "no temporary file is left");
    }
}
