//! What a job uses of the store, seen otherwise than by access times: those are
//! not kept on every file system, and a derivation that only decides what is built
//! is never opened.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::narinfo::{STORE, StorePath};

/// Where each Nix process lists the paths that it works with.
#[cfg(target_os = "linux")]
const TEMPORARY_ROOTS: &str = "/nix/var/nix/temproots";
/// What must not be collected: profiles and results.
const ROOTS: [&str; 2] = ["/nix/var/nix/gcroots", "/nix/var/nix/profiles"];

/// Follows the temporary roots of every Nix process until the process ends; hands
/// each path to `found`. Processes that lived before are not seen.
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
    // A file is removed when its process ends: it stays readable through what is
    // opened when it is made.
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
        let gone = event.events().contains(inotify::ReadFlags::DELETE);
        if let Some(file) = files.get_mut(&path) {
            let mut bytes = Vec::new();
            let _ = file.read_to_end(&mut bytes);
            for name in bytes.split(|byte| *byte == 0) {
                std::str::from_utf8(name).ok().and_then(StorePath::from_full).iter().for_each(&found);
            }
        }
        if gone {
            files.remove(&path);
        }
    }
}

/// The store paths that roots lead to.
pub(crate) fn roots() -> BTreeSet<StorePath> {
    let mut found = BTreeSet::new();
    for folder in ROOTS {
        for entry in walkdir::WalkDir::new(folder).max_depth(8).into_iter().flatten() {
            let mut path = entry.into_path();
            // `auto` holds links to links such as `result`.
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

/// The store path that `path` lies in.
pub(crate) fn within_store(path: &Path) -> Option<StorePath> {
    let base = path.strip_prefix(STORE).ok()?.components().next()?;
    StorePath::from_base(base.as_os_str().to_str()?)
}
