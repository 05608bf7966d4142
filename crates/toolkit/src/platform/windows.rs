//! Windows.

use std::os::windows::io::AsRawHandle as _;
use std::os::windows::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use win32job::{ExtendedLimitInfo, Job};

use crate::FileError;

/// `CREATE_NEW_PROCESS_GROUP`: only this process receives Ctrl-C, and ends its children.
const NEW_PROCESS_GROUP: u32 = 0x0200;

/// The name of a variable in [`Env`](crate::Env). Windows ignores the case (`Path`).
pub(crate) fn env_name(name: String) -> String {
    name.to_ascii_uppercase()
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
        limits.limit_kill_on_job_close();
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

/// Renames a temporary file to `path`, replacing an existing file. Retries while another
/// program, such as a virus scanner, reads the old file.
pub(crate) fn persist(mut file: tempfile::NamedTempFile, path: &Path) -> std::io::Result<()> {
    let mut pause = Duration::from_millis(10);
    loop {
        let error = match file.persist(path) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let is_open = error.error.kind() == std::io::ErrorKind::PermissionDenied && !path.is_dir();
        if !is_open || pause > Duration::from_secs(1) {
            return Err(error.error);
        }
        std::thread::sleep(pause);
        pause *= 2;
        file = error.file;
    }
}

/// Does nothing: the name makes a file executable.
pub fn make_executable(_path: &Path) -> Result<(), FileError> {
    Ok(())
}

/// Makes `path` a symbolic link to `to`, or a copy of a file without Developer Mode or
/// administrator's rights, which Windows requires for links.
pub fn link(to: &Path, path: &Path) -> Result<(), FileError> {
    let target = path.parent().map_or_else(|| to.to_owned(), |parent| parent.join(to));
    let made = if target.is_dir() {
        std::os::windows::fs::symlink_dir(to, path)
    } else {
        std::os::windows::fs::symlink_file(to, path).or_else(|_| std::fs::copy(&target, path).map(drop))
    };
    made.map_err(FileError::new("create", path))
}
