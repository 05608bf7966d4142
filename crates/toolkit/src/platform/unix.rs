//! Linux and macOS.

use std::borrow::Cow;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, setrlimit};

use crate::FileError;

/// The name of a variable in [`Env`](crate::Env).
pub(crate) fn env_name(name: &str) -> Cow<'_, str> {
    Cow::Borrowed(name)
}

/// `path` as the value of an output of an action. On Windows it has `/`, because a shell would
/// read `\` as an escape.
pub fn output_path(path: &Path) -> String {
    path.display().to_string()
}

/// Starts `command` in its own process group.
pub(crate) fn prepare_group(command: &mut Command) {
    command.process_group(0);
}

/// The process group that `child` leads.
#[derive(Debug)]
pub(crate) struct KillHandle(Option<Pid>);

impl KillHandle {
    pub(crate) fn new(child: &Child) -> Self {
        Self(i32::try_from(child.id()).ok().and_then(Pid::from_raw))
    }

    /// Ends every process of the group.
    pub(crate) fn kill(&mut self) {
        if let Some(pid) = self.0 {
            // The group may have exited already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Protects the memory of this process: disables core dumps, and on Linux keeps other
/// processes of the same user from reading its memory and environment. Actions call this
/// before they read secrets. Does not protect children, and does nothing on Windows.
pub fn protect_memory() {
    // Best effort: the action works without it.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // The limit does not apply if the kernel pipes core dumps to a program.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Gives a temporary file the usual mode of new files, according to the umask.
pub(crate) fn set_file_mode(builder: &mut tempfile::Builder<'_, '_>) {
    builder.permissions(Permissions::from_mode(0o666));
}

/// Returns `directory` unchanged: only Windows has the limit of 260 characters.
pub(crate) fn extended_length(directory: &Path) -> &Path {
    directory
}

/// None: an open file can be replaced and removed.
pub(crate) const OPEN_FILE_ERRORS: [i32; 0] = [];

/// Whether file patterns ignore case.
pub const PATTERNS_IGNORE_CASE: bool = false;

/// Makes the file `path` executable. On Windows, that depends on its name.
pub fn make_executable(path: &Path) -> Result<(), FileError> {
    let mode = Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).map_err(FileError::new("make executable", path))
}

/// Makes `path` a symbolic link to `to`.
pub fn link(to: &Path, path: &Path) -> Result<(), FileError> {
    std::os::unix::fs::symlink(to, path).map_err(FileError::new("create", path))
}

/// Makes `to` the same symbolic link as `from`, or on Windows without the rights for links a copy
/// of what `from` leads to.
pub fn copy_link(from: &Path, to: &Path) -> Result<(), FileError> {
    link(&std::fs::read_link(from).map_err(FileError::new("read", from))?, to)
}
