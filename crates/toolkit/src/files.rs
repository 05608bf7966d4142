//! Atomic writes, and changes of files that other programs may have open.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::FileError;
use crate::platform::{OPEN_FILE_ERRORS, extended_length, set_file_mode};

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
    atomic(to, |file| io::copy(&mut source, file).map(drop))
}

/// Reads a text in UTF-8. UTF-16, which `>` of Windows PowerShell 5 writes, is an error that says so.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let read = || {
        let bytes = std::fs::read(path)?;
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is UTF-16; save it as UTF-8"));
        }
        let text = String::from_utf8(bytes);
        text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8; save it as UTF-8"))
    };
    read().map_err(FileError::new("read", path))
}

/// Renames the file `from` to `to`. On Windows, retries while another program, such as a virus
/// scanner, has one of them open.
pub fn rename_file(from: &Path, to: &Path) -> io::Result<()> {
    retry(&OPEN_FILE_ERRORS, to, || std::fs::rename(from, to))
}

/// Removes the file `path`. On Windows, retries while another program has it open.
pub fn remove_file(path: &Path) -> io::Result<()> {
    retry(&OPEN_FILE_ERRORS, path, || std::fs::remove_file(path))
}

fn atomic(
    path: &Path,
    write_content: impl FnOnce(&mut std::fs::File) -> io::Result<()>,
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
        let mut file = builder.tempfile_in(extended_length(parent))?;
        write_content(file.as_file_mut())?;
        persist(file, path)
    };
    write().map_err(FileError::new("write", path))
}

/// Renames a temporary file to `path`, replacing an existing file.
fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    let to = path.parent().zip(path.file_name()).map(|(parent, name)| extended_length(parent).join(name));
    let to = to.unwrap_or_else(|| path.to_owned());
    let mut file = Some(file);
    retry(&OPEN_FILE_ERRORS, path, || match file.take().map(|file| file.persist(&to)) {
        Some(Err(error)) => {
            file = Some(error.file);
            Err(error.error)
        }
        Some(Ok(_)) | None => Ok(()),
    })
}

/// Repeats `action`, which replaces or removes the file `path`, while it fails with one of
/// `errors`, for about a second.
fn retry<T>(errors: &[i32], path: &Path, mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut pause = Duration::from_millis(10);
    loop {
        let error = match action() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let is_open = error.raw_os_error().is_some_and(|code| errors.contains(&code));
        // A directory in the way is no open file, but Windows reports the same error.
        if !is_open || path.is_dir() || pause > Duration::from_secs(1) {
            return Err(error);
        }
        std::thread::sleep(pause);
        pause *= 2;
    }
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

    #[test]
    fn an_error_tells_that_a_text_is_utf_16() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pyproject.toml");
        std::fs::write(&path, "[a]").unwrap();
        assert_eq!(read_text(&path).unwrap(), "[a]");
        std::fs::write(&path, b"\xff\xfe[\0a\0]\0").unwrap();
        assert_eq!(read_text(&path).unwrap_err().source.to_string(), "it is UTF-16; save it as UTF-8");
        std::fs::write(&path, b"\xe9").unwrap();
        assert_eq!(read_text(&path).unwrap_err().source.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_path_may_be_longer_than_260_characters() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("d".repeat(200)).join("e".repeat(200)).join("report.json");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn errors_of_open_files_are_retried() {
        for code in [5, 32, 33] {
            let mut attempts = 0;
            let result = retry(&[5, 32, 33], Path::new("report.json"), || {
                attempts += 1;
                if attempts < 3 { Err(io::Error::from_raw_os_error(code)) } else { Ok(attempts) }
            });
            assert_eq!(result.unwrap(), 3, "{code}");
        }
    }

    #[test]
    fn other_errors_are_not_retried() {
        let directory = tempfile::tempdir().unwrap();
        let mut attempts = 0;
        let mut fail = |path: &Path, code| {
            retry(&[5, 32, 33], path, || {
                attempts += 1;
                Err::<(), _>(io::Error::from_raw_os_error(code))
            })
        };
        fail(Path::new("report.json"), 2).unwrap_err();
        fail(directory.path(), 5).unwrap_err();
        assert_eq!(attempts, 2);
    }

    #[test]
    fn renames_and_removes_files() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        std::fs::write(&old, b"x").unwrap();
        rename_file(&old, &new).unwrap();
        assert_eq!(rename_file(&old, &new).unwrap_err().kind(), io::ErrorKind::NotFound);
        remove_file(&new).unwrap();
        assert!(!new.exists());
    }
}
