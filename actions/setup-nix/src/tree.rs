//! Gives files the store's permissions and times, and moves and removes read-only
//! directories.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// The times of files in the store: modified at 1. The access time is before that, so that
/// `relatime` records the first access.
pub(crate) const TIMES: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: 1, tv_nsec: 0 },
};

/// Sets the times of `path` to the store's.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    Ok(utimensat(CWD, path, &TIMES, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Gives everything below `path` the store's permissions and times.
pub fn canonicalise(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(path)? {
            canonicalise(&entry?.path())?;
        }
    }
    if !meta.is_symlink() {
        let execute = if meta.is_dir() { 0o111 } else { meta.permissions().mode() & 0o100 };
        let mode = if execute == 0 { 0o444 } else { 0o555 };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    touch(path)
}

/// Removes `path` recursively, including read-only directories. A missing `path` is not an
/// error.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(meta) if !meta.is_dir() => return fs::remove_file(path),
        Ok(_) => {}
    }
    for entry in walkdir::WalkDir::new(path) {
        let entry = entry?;
        if entry.file_type().is_dir() {
            fs::set_permissions(entry.path(), Permissions::from_mode(0o755))?;
        }
    }
    fs::remove_dir_all(path)
}

/// Renames a file or a read-only directory. Moving a directory requires write permission on
/// it, because its `..` changes.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let is_dir = fs::symlink_metadata(from)?.is_dir();
    if is_dir {
        fs::set_permissions(from, Permissions::from_mode(0o755))?;
    }
    fs::rename(from, to)?;
    if is_dir {
        fs::set_permissions(to, Permissions::from_mode(0o555))?;
        touch(to)?;
    }
    Ok(())
}
