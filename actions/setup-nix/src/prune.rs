//! The least recently used paths out of the cache directory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::Serialize;
use toolkit::FileError;

use crate::error::Error;
use crate::folder::{Cache, IMAGES, PART, read_text};
use crate::image::ImageInfo;
use crate::mount;
use crate::narinfo::{Info, NarInfo, StorePath, set_name};
use crate::seen::roots;
use crate::tree;
use crate::used::{Used, keeps_access_times};

/// After how many jobs that saved something without using it, a build is dropped.
const IDLE: usize = 2;

/// What the bound dropped.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Pruned {
    /// Store paths dropped.
    pub dropped: Vec<String>,
    /// What stays, as Nix counts it.
    pub bytes: u64,
    /// What stays, compressed.
    pub packed_bytes: u64,
    /// What stays.
    pub paths: usize,
    /// Names the set of paths that stay.
    pub set: String,
}

/// Notes what this job used (`now` in Unix seconds) and drops the least
/// recently used paths until the rest measures at most `max_size` bytes in the
/// store. A path counts as used whenever one that refers to it does. Files
/// that no narinfo names go too.
pub(crate) fn prune(cache: &Cache, max_size: u64, now: u64) -> Result<Pruned, Error> {
    cache.create()?;
    let _lock = cache.lock()?;
    let (found, broken) = cache.read()?;
    for refused in broken {
        remove(&cache.folder.join(refused.name))?;
    }
    let old = Used::read(cache);
    // This run is later than those before, whatever the clock says: it counts
    // whole seconds, and another machine's may be ahead.
    let now = old.last().map_or(now, |last| now.max(last.saturating_add(1)));
    let seen = seen_in_use(cache);
    // Without access times, and with nobody who looked, all may be in use.
    let watched = cache.state.join(SEEN).exists();
    let observed = keeps_access_times() || watched;
    // A mounted image keeps no access times.
    let mounted = mount::names();
    let mut used: BTreeMap<StorePath, u64> = BTreeMap::new();
    for narinfo in &found {
        let path = &narinfo.info.path;
        let before = old.get(path);
        // New here, seen in use, or opened since the restore set its times back.
        let read = || if mounted.contains(path) { !watched } else { touched(&path.path()) };
        let in_use = before.is_none() || seen.contains(path) || !observed || read();
        let time = if in_use { now } else { before.unwrap_or_default() };
        used.insert(path.clone(), time);
    }
    hand_down(&found, &mut used);
    let mut order: Vec<&NarInfo> = found.iter().collect();
    order.sort_by_key(|narinfo| (used[&narinfo.info.path], std::cmp::Reverse(narinfo.info.nar_size)));
    let mut pruned =
        Pruned { bytes: order.iter().map(|narinfo| narinfo.info.nar_size).sum(), ..Pruned::default() };
    let users = users(&found);
    let mut gone = HashSet::new();
    for narinfo in found.iter().filter(|narinfo| observed && is_own_build(&narinfo.info)) {
        // Of a commit before, most likely; what is still built is seen in use.
        if old.idle_after(used[&narinfo.info.path], now) >= IDLE {
            drop_with_users(narinfo, &users, &mut gone, &mut pruned.bytes);
        }
    }
    for narinfo in order {
        if pruned.bytes <= max_size {
            break;
        }
        // Whoever refers to it is no more recently used, so it loses nothing.
        drop_with_users(narinfo, &users, &mut gone, &mut pruned.bytes);
    }
    let mut kept_files = BTreeSet::new();
    for narinfo in &found {
        let path = &narinfo.info.path;
        if gone.contains(path) {
            remove(&cache.narinfo(path))?;
            pruned.dropped.push(path.base().to_owned());
        } else {
            kept_files.insert(narinfo.url.clone());
            kept_files.extend(narinfo.image().map(ImageInfo::url));
        }
    }
    Used::write(
        cache,
        used.iter().filter(|(path, _)| !gone.contains(path)).map(|(path, time)| (path, *time)),
    )?;
    pruned.packed_bytes = sweep(cache, &kept_files)?;
    pruned.paths = found.len() - pruned.dropped.len();
    let kept = found.iter().map(|narinfo| &narinfo.info).filter(|info| !gone.contains(&info.path));
    pruned.set = set_name(kept);
    Ok(pruned)
}

/// Removes the files of no path, and what was cut off; tells the size of the others.
fn sweep(cache: &Cache, kept: &BTreeSet<String>) -> Result<u64, FileError> {
    for entry in fs::read_dir(&cache.folder).map_err(FileError::new("read", &cache.folder))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PART) {
            remove(&entry.path())?;
        }
    }
    let mut bytes = 0;
    for name in ["nar", IMAGES] {
        let folder = cache.folder.join(name);
        for entry in fs::read_dir(&folder).map_err(FileError::new("read", &folder))?.flatten() {
            if kept.contains(&format!("{name}/{}", entry.file_name().to_string_lossy())) {
                bytes += entry.metadata().map_or(0, |meta| meta.len());
            } else {
                remove(&entry.path())?;
            }
        }
    }
    Ok(bytes)
}

fn remove(path: &Path) -> Result<(), FileError> {
    tree::remove(path).map_err(FileError::new("remove", path))
}

/// What refers to a path uses it too. A derivation in use is part of what is being
/// built, so its outputs, and those of what it is built from, are in use.
fn hand_down(found: &[NarInfo], used: &mut BTreeMap<StorePath, u64>) {
    let by_path: HashMap<&StorePath, &NarInfo> =
        found.iter().map(|narinfo| (&narinfo.info.path, narinfo)).collect();
    let mut outputs: HashMap<&StorePath, Vec<&StorePath>> = HashMap::new();
    for narinfo in found {
        if let Some(deriver) = &narinfo.info.deriver {
            outputs.entry(deriver).or_default().push(&narinfo.info.path);
        }
    }
    let mut order: Vec<(u64, StorePath)> = used.iter().map(|(path, time)| (*time, path.clone())).collect();
    order.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    // The latest first: whoever comes to a path first has its time, and nobody has to
    // come again.
    let mut known: HashSet<&StorePath> = HashSet::new();
    for (time, path) in &order {
        let mut todo = vec![path];
        while let Some(path) = todo.pop() {
            if !known.insert(path) {
                continue;
            }
            if let Some(narinfo) = by_path.get(path) {
                used.insert(path.clone(), *time);
                todo.extend(&narinfo.info.references);
                todo.extend(outputs.get(path).into_iter().flatten().copied());
            }
        }
    }
}

/// Whether it was built by a job, and comes from no other cache.
fn is_own_build(info: &Info) -> bool {
    info.path.is_derivation() || (info.signatures.is_empty() && info.ca.is_none())
}

/// By path, what refers to it.
fn users(found: &[NarInfo]) -> HashMap<&StorePath, Vec<&NarInfo>> {
    let mut users: HashMap<&StorePath, Vec<&NarInfo>> = HashMap::new();
    for narinfo in found {
        for reference in &narinfo.info.references {
            users.entry(reference).or_default().push(narinfo);
        }
    }
    users
}

fn drop_with_users(
    narinfo: &NarInfo,
    users: &HashMap<&StorePath, Vec<&NarInfo>>,
    gone: &mut HashSet<StorePath>,
    bytes: &mut u64,
) {
    let mut todo = vec![narinfo];
    while let Some(narinfo) = todo.pop() {
        if !gone.insert(narinfo.info.path.clone()) {
            continue;
        }
        *bytes -= narinfo.info.nar_size;
        todo.extend(users.get(&narinfo.info.path).into_iter().flatten());
    }
}

/// The file in which the background packer notes the paths that it sees in use.
pub(crate) const SEEN: &str = "seen";

fn seen_in_use(cache: &Cache) -> BTreeSet<StorePath> {
    let text = read_text(&cache.state.join(SEEN)).unwrap_or_default();
    let mut seen = roots();
    seen.extend(text.lines().filter_map(StorePath::from_base));
    seen
}

/// Whether a file below `path` was opened since its times were set back.
/// Folders are not asked: looking at them counts as a use.
fn touched(path: &Path) -> bool {
    let files = walkdir::WalkDir::new(path).into_iter().flatten().filter(|entry| !entry.file_type().is_dir());
    files.filter_map(|entry| entry.metadata().ok()).any(|meta| meta.atime() > 1)
}
