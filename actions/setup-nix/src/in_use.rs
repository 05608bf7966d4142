//! Which store paths are in use, according to Nix's roots. Access times are not enough:
//! some file systems do not keep them, and a derivation can be in use without being opened.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::narinfo::{STORE, StorePath};

/// Where each Nix process lists the paths that it uses.
#[cfg(target_os = "linux")]
const TEMPORARY_ROOTS: &str = "/nix/var/nix/temproots";
/// Where links protect paths from garbage collection.
const ROOTS: [&str; 2] = ["/nix/var/nix/gcroots", "/nix/var/nix/profiles"];

/// Watches the temporary roots of all Nix processes forever and passes each path to `found`.
/// Does not see processes that started earlier.
#[cfg(target_os = "linux")]
pub(crate) fn follow(found: impl Fn(&StorePath)) -> std::io::Result<()> {
    use std::fs::File;
    use std::io::Read as _;
    use std::mem::MaybeUninit;

    use rustix::fs::inotify;

    fs::create_dir_all(TEMPORARY_ROOTS)?;
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    let flags = inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY | inotify::WatchFlags::DELETE;
    inotify::add_watch(&watch, TEMPORARY_ROOTS, flags)?;
    // Files are opened as soon as they are created, because a process removes its file when
    // it exits.
    let mut files: HashMap<PathBuf, File> = HashMap::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    loop {
        let event = events.next()?;
        let Some(name) = event.file_name() else { continue };
        let path = Path::new(TEMPORARY_ROOTS).join(name.to_string_lossy().as_ref());
        if !files.contains_key(&path)
            && let Ok(file) = File::open(&path)
        {
            files.insert(path.clone(), file);
        }
        let deleted = event.events().contains(inotify::ReadFlags::DELETE);
        if let Some(file) = files.get_mut(&path) {
            let mut bytes = Vec::new();
            let _ = file.read_to_end(&mut bytes);
            for name in bytes.split(|byte| *byte == 0) {
                std::str::from_utf8(name).ok().and_then(StorePath::from_full).iter().for_each(&found);
            }
        }
        if deleted {
            files.remove(&path);
        }
    }
}

/// The store paths that garbage collection roots point to.
pub(crate) fn roots() -> BTreeSet<StorePath> {
    let mut found = BTreeSet::new();
    for dir in ROOTS {
        for entry in walkdir::WalkDir::new(dir).max_depth(8).into_iter().flatten() {
            let mut path = entry.into_path();
            // `auto` contains links to links such as `result`.
            for _ in 0..8 {
                let Ok(target) = fs::read_link(&path) else { break };
                path = path.parent().unwrap_or(Path::new("/")).join(target);
                if let Some(inside) = within_store(&path) {
                    found.insert(inside);
                    break;
                }
            }
        }
    }
    found
}

/// The store path that contains `path`.
pub(crate) fn within_store(path: &Path) -> Option<StorePath> {
    let base = path.strip_prefix(STORE).ok()?.components().next()?;
    StorePath::from_base(base.as_os_str().to_str()?)
}
