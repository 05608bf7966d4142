//! Windows.

use std::borrow::Cow;
use std::os::windows::fs::FileTypeExt as _;
use std::os::windows::io::AsRawHandle as _;
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use win32job::{ExtendedLimitInfo, Job};

use super::copy::{copy_directory, copy_target};
use crate::FileError;

/// `CREATE_NEW_PROCESS_GROUP`: only this process receives Ctrl-C, and ends its children.
const NEW_PROCESS_GROUP: u32 = 0x0200;

/// The name of a variable in [`Env`](crate::Env). Windows ignores the case (`Path`).
pub(crate) fn env_name(name: &str) -> Cow<'_, str> {
    Cow::Owned(name.to_ascii_uppercase())
}

/// `path` as the value of an output of an action, with `/`: a shell would read `\` as an escape.
pub fn output_path(path: &Path) -> String {
    path.display().to_string().replace('\\', "/")
}

/// Keeps `command` from receiving the console's Ctrl-C.
pub(crate) fn prepare_group(command: &mut Command) {
    command.creation_flags(NEW_PROCESS_GROUP);
}

/// The job object of `child`. It ends its processes when its last handle is closed, even if
/// this process crashes.
pub(crate) struct KillHandle(Option<Job>);

impl KillHandle {
    /// If the job cannot be created, only the child itself can be ended. Processes that the
    /// child starts before this call are not in the job.
    pub(crate) fn new(child: &Child) -> Self {
        let mut limits = ExtendedLimitInfo::new();
        // A server that asks to leave the job survives, like one on Unix that leaves its group.
        limits.limit_kill_on_job_close().limit_breakaway_ok();
        let job = Job::create_with_limit_info(&limits).ok();
        Self(job.filter(|job| job.assign_process(child.as_raw_handle() as isize).is_ok()))
    }

    /// Ends every process of the job.
    pub(crate) fn kill(&mut self) {
        self.0 = None;
    }
}

/// Does nothing: Windows writes core dumps only if the administrator configures them, and a
/// user's processes can always read each other's memory.
pub fn protect_memory() {}

/// Does nothing: a new file inherits its access rights from its directory.
pub(crate) fn set_file_mode(_builder: &mut tempfile::Builder<'_, '_>) {}

/// `directory` as an extended-length path (`\\?\C:\…`), for functions that `std` does not extend;
/// unchanged if it cannot be canonicalized.
pub(crate) fn extended_length(directory: &Path) -> PathBuf {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned())
}

/// What replacing or removing a file fails with while another program has it open:
/// `ERROR_ACCESS_DENIED`, `ERROR_SHARING_VIOLATION` and `ERROR_LOCK_VIOLATION`.
pub(crate) const OPEN_FILE_ERRORS: [i32; 3] = [5, 32, 33];

/// Whether file patterns ignore case.
pub const PATTERNS_IGNORE_CASE: bool = true;

/// Does nothing: the name makes a file executable.
pub fn make_executable(_path: &Path) -> Result<(), FileError> {
    Ok(())
}

/// Makes `path` a symbolic link to `to`, or a copy without Developer Mode or administrator's
/// rights, which Windows requires for links.
pub fn link(to: &Path, path: &Path) -> Result<(), FileError> {
    // A link whose target has `/` leads nowhere.
    let to = &to.components().collect::<std::path::PathBuf>();
    let target = path.parent().map_or_else(|| to.to_owned(), |parent| parent.join(to));
    let made = if target.is_dir() {
        std::os::windows::fs::symlink_dir(to, path).or_else(|_| copy_directory(&target, path))
    } else {
        std::os::windows::fs::symlink_file(to, path).or_else(|_| std::fs::copy(&target, path).map(drop))
    };
    made.map_err(FileError::new("create", path))
}

/// Makes `to` the same symbolic link as `from`, or a copy of what `from` leads to without the
/// rights for links. The kind of the link is that of `from`: its target may not exist beside `to`
/// yet.
pub fn copy_link(from: &Path, to: &Path) -> Result<(), FileError> {
    let read = || Ok((std::fs::symlink_metadata(from)?, std::fs::read_link(from)?));
    let (metadata, target) = read().map_err(FileError::new("read", from))?;
    let is_dir = metadata.file_type().is_symlink_dir();
    let made = if is_dir {
        std::os::windows::fs::symlink_dir(target, to)
    } else {
        std::os::windows::fs::symlink_file(target, to)
    };
    made.or_else(|_| copy_target(from, to, is_dir)).map_err(FileError::new("create", to))
}

#[cfg(test)]
mod tests {
    use std::os::windows::fs::OpenOptionsExt as _;

    use super::*;

    #[test]
    fn removing_an_open_file_fails_with_a_known_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        let _open = std::fs::File::options().write(true).create(true).share_mode(0).open(&path).unwrap();
        let error = std::fs::remove_file(&path).unwrap_err();
        assert!(OPEN_FILE_ERRORS.contains(&error.raw_os_error().unwrap()), "{error}");
    }
}
