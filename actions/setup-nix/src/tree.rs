//! Gives files the store's permissions and times, and moves and removes read-only
//! directories.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Timespec, Timestamps, chmodat, fchmod, fstat, openat,
    renameat, statat, unlinkat, utimensat,
};
use rustix::io::Errno;

/// The times of files in the store: modified at 1. The access time is before that, so that
/// `relatime` records the first access.
pub(crate) const TIMES: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: 1, tv_nsec: 0 },
};

/// Creates the directory `dir`, or makes sure that it is one that only this user can write to.
pub(crate) fn create_private_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let meta = fs::symlink_metadata(dir)?;
    if meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "expected a directory of this user that nobody else can write to",
    ))
}

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
/// error. Works by descriptors, because a hostile tree can have paths that are longer than the
/// kernel accepts.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(meta) if !meta.is_dir() => return fs::remove_file(path),
        Ok(_) => {}
    }
    let root = open_to_remove(CWD, path)?;
    let mut moved = 0;
    empty(&root, &root, 0, &mut moved)?;
    // Directories that were nested too deeply are now directly in `path`.
    while moved > 0 {
        moved = 0;
        empty(&root, &root, 0, &mut moved)?;
    }
    fs::remove_dir(path)
}

/// Each level needs an open file.
const MAX_OPEN: usize = 128;

/// Opens a directory after making it writable and readable.
fn open_to_remove(parent: impl AsFd, name: impl rustix::path::Arg + Copy) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match openat(&parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(&parent, name, Mode::RWXU, AtFlags::empty())?;
            openat(&parent, name, flags, Mode::empty())?
        }
        dir => dir?,
    };
    fchmod(&dir, Mode::RWXU)?;
    Ok(dir)
}

/// Removes the entries of `dir`, which is `depth` levels below `root`. Moves directories that
/// are nested too deeply to `root` and counts them.
fn empty(root: &OwnedFd, dir: &OwnedFd, depth: usize, moved: &mut usize) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let is_dir = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode).is_dir()
            }
            kind => kind.is_dir(),
        };
        entries.push((name.to_owned(), is_dir));
    }
    for (name, is_dir) in &entries {
        let name = name.as_c_str();
        if !is_dir {
            unlinkat(dir, name, AtFlags::empty())?;
            continue;
        }
        let child = open_to_remove(dir, name)?;
        if depth == MAX_OPEN {
            let id = fstat(&child)?.st_ino;
            renameat(dir, name, root, format!(".deep-{id}"))?;
            *moved += 1;
            continue;
        }
        empty(root, &child, depth + 1, moved)?;
        unlinkat(dir, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_directory_belongs_to_this_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let private = dir.path().join("private");
        create_private_dir(&private).unwrap();
        assert_eq!(fs::metadata(&private).unwrap().mode() & 0o777, 0o700);
        create_private_dir(&private).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&private, &link).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&private, Permissions::from_mode(0o770)).unwrap();
        for path in [private, link, file] {
            let error = create_private_dir(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{}: {error}", path.display());
        }
    }

    #[test]
    fn removes_trees_with_paths_that_are_too_long_for_the_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep");
        fs::create_dir(&path).unwrap();
        let name = "a".repeat(250);
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut last = openat(CWD, &path, flags, Mode::empty()).unwrap();
        for _ in 0..600 {
            rustix::fs::mkdirat(&last, &*name, Mode::RWXU).unwrap();
            let next = openat(&last, &*name, flags, Mode::empty()).unwrap();
            rustix::fs::symlinkat("/", &last, "link").unwrap();
            fchmod(&last, Mode::RUSR | Mode::XUSR).unwrap();
            last = next;
        }
        remove(&path).unwrap();
        assert!(!path.exists());
        remove(&path).unwrap();
    }
}
