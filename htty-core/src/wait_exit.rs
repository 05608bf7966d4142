//! `ht wait-exit FILE`: waits until a file is removed.

use std::io;
use std::path::Path;

/// Returns as soon as `path` (a file, pipe or directory) does not exist.
pub(crate) fn wait(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let changes = Changes::new(parent.unwrap_or(Path::new(".")))?;
    while std::fs::symlink_metadata(path).is_ok() {
        changes.wait()?;
    }
    Ok(())
}

/// Watches a directory for removed names (inotify(7)).
#[cfg(target_os = "linux")]
struct Changes(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Changes {
    fn new(dir: &Path) -> io::Result<Self> {
        use rustix::fs::inotify;
        let queue = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        match inotify::add_watch(&queue, dir, inotify::WatchFlags::DELETE | inotify::WatchFlags::MOVED_FROM) {
            // Without its directory, the file does not exist either.
            Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(Self(queue)),
            Err(error) => Err(error.into()),
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut events = [0; 4096];
        match rustix::io::read(&self.0, &mut events[..]) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct Changes;

#[cfg(not(target_os = "linux"))]
impl Changes {
    fn new(_: &Path) -> io::Result<Self> {
        Ok(Self)
    }

    /// Polls.
    fn wait(&self) -> io::Result<()> {
        std::thread::sleep(std::time::Duration::from_millis(50));
        Ok(())
    }
}
