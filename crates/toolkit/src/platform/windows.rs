//! Windows.

use std::os::windows::io::AsRawHandle as _;
use std::os::windows::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use win32job::{ExtendedLimitInfo, Job};

use crate::FileError;

/// `CREATE_NEW_PROCESS_GROUP`: Ctrl-C reaches this process alone, which then ends
/// its children.
const NEW_PROCESS_GROUP: u32 = 0x0200;

/// The name of a variable as [`Env`](crate::Env) has it: Windows ignores the case (`Path`).
pub(crate) fn env_name(name: String) -> String {
    name.to_ascii_uppercase()
}

/// Keeps the console's Ctrl-C from `command`.
pub(crate) fn prepare_group(command: &mut Command) {
    command.creation_flags(NEW_PROCESS_GROUP);
}

/// The job object of `child`. It ends its processes when its last handle is closed,
/// thus also when this process dies.
pub(crate) struct KillHandle(Option<Job>);

impl KillHandle {
    /// Where the system grants no job, nothing but the child itself can be ended.
    /// What the child starts within the microseconds before this is not in the job.
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

/// Nothing: Windows writes no core dumps unless the administrator configures it, and
/// a user's processes can always read each other's memory.
pub fn protect_memory() {}

/// Nothing: a new file inherits its access rights from its directory.
pub(crate) fn set_file_mode(_builder: &mut tempfile::Builder<'_, '_>) {}

/// Renames a temporary file to `path`, in the place of what is there. That fails as
/// long as another program, such as a virus scanner, reads the old file.
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

/// Nothing: the name of a program says that it is one.
pub fn make_executable(_path: &Path) -> Result<(), FileError> {
    Ok(())
}

/// Makes `path` what `to` is, by a symbolic link. Without Developer Mode or
/// administrator's rights Windows has none, and a copy of a file replaces it.
pub fn link(to: &Path, path: &Path) -> Result<(), FileError> {
    let target = path.parent().map_or_else(|| to.to_owned(), |parent| parent.join(to));
    let made = if target.is_dir() {
        std::os::windows::fs::symlink_dir(to, path)
    } else {
        std::os::windows::fs::symlink_file(to, path).or_else(|_| std::fs::copy(&target, path).map(drop))
    };
    made.map_err(FileError::new("create", path))
}
