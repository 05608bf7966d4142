//! Files below a store path: the store's permissions and times, and what moves and
//! removes read-only directories.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// What the store gives every file: modified at 1. The access time lies before
/// that, so that the first use shows even under `relatime`.
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

/// Removes `path` and all below it, read-only folders too; nothing there is
/// fine.
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

/// Moves a read-only folder, which takes write permission on it (it holds its
/// own `..`) unless one is root.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let folder = fs::symlink_metadata(from)?.is_dir();
    if folder {
        fs::set_permissions(from, Permissions::from_mode(0o755))?;
    }
    fs::rename(from, to)?;
    if folder {
        fs::set_permissions(to, Permissions::from_mode(0o555))?;
        touch(to)?;
    }
    Ok(())
}
