//! Drops the least recently used paths from the cache directory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde::Serialize;
use toolkit::FileError;

use crate::cache::{Cache, IMAGES, PART, read_text};
use crate::database::Database;
use crate::error::Error;
use crate::image::ImageInfo;
use crate::in_use::roots;
use crate::last_used::{LastUsed, is_opened, keeps_access_times};
use crate::mount;
use crate::narinfo::{NarInfo, PathInfo, StorePath, set_name};
use crate::tree;

/// A path that a job built is dropped after this many saves that did not use it.
const MAX_IDLE_RUNS: usize = 2;

/// The result of pruning.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Pruned {
    /// The dropped store paths.
    pub dropped: Vec<String>,
    /// NAR size of the kept paths.
    pub bytes: u64,
    /// Compressed size of the kept paths.
    pub packed_bytes: u64,
    /// Number of kept paths.
    pub paths: usize,
    /// The name of the set of kept paths.
    pub set: String,
}

/// Records what this job used (`now` in Unix seconds) and drops the least recently used
/// paths until the others take at most `max_size` bytes in the store. A path counts as used
/// if one that refers to it is. Also removes files that no narinfo refers to.
pub(crate) fn prune(cache: &Cache, max_size: u64, now: u64) -> Result<Pruned, Error> {
    cache.create()?;
    let _lock = cache.lock()?;
    let (found, broken) = cache.read()?;
    for refused in broken.into_iter().filter(|refused| refused.broken) {
        remove(&cache.dir.join(refused.name))?;
    }
    let old = LastUsed::read(cache);
    // This run must be later than all before it, even if the clock of another machine was
    // ahead or the last run was within the same second.
    let now = old.last().map_or(now, |last| now.max(last.saturating_add(1)));
    // Without access times or a background packer, any path may be in use.
    let watched = cache.state.join(IN_USE).exists();
    let observed = keeps_access_times() || watched;
    let in_use_paths = paths_in_use(cache);
    // Mounted images have no access times.
    let mounted = mount::mounted_paths();
    // New, seen in use, or opened since the restore reset its access times.
    let read = |path: &StorePath| if mounted.contains(path) { !watched } else { was_opened(&path.path()) };
    let in_use = |path: &StorePath| !observed || in_use_paths.contains(path) || read(path);
    let time = |path: &StorePath| old.get(path).filter(|_| !in_use(path)).unwrap_or(now);
    let paths = found.iter().map(|narinfo| &narinfo.info.path);
    let mut used: BTreeMap<StorePath, u64> = paths.map(|path| (path.clone(), time(path))).collect();
    propagate_use(&found, &mut used);
    let mut order: Vec<&NarInfo> = found.iter().collect();
    order.sort_by_key(|narinfo| (used[&narinfo.info.path], std::cmp::Reverse(narinfo.info.nar_size)));
    let mut pruned =
        Pruned { bytes: order.iter().map(|narinfo| narinfo.info.nar_size).sum(), ..Pruned::default() };
    let referrers = referrers(&found);
    let mut dropped = HashSet::new();
    // Built here now, or by the earlier job that packed it.
    let built_here = Database::open(false).and_then(|database| database.built()).unwrap_or_default();
    let built = |path: &StorePath| built_here.contains(path) || old.was_built(path);
    let is_own = |narinfo: &&NarInfo| built(&narinfo.info.path) || has_no_other_source(&narinfo.info);
    for narinfo in found.iter().filter(|_| observed).filter(is_own) {
        // Most likely from an earlier commit: paths that are still built are seen in use.
        if old.idle_after(used[&narinfo.info.path], now) >= MAX_IDLE_RUNS {
            drop_with_referrers(narinfo, &referrers, &mut dropped, &mut pruned.bytes);
        }
    }
    for narinfo in order {
        if pruned.bytes <= max_size {
            break;
        }
        // Paths that refer to this one were not used more recently.
        drop_with_referrers(narinfo, &referrers, &mut dropped, &mut pruned.bytes);
    }
    let mut kept_files = BTreeSet::new();
    for narinfo in &found {
        let path = &narinfo.info.path;
        if dropped.contains(path) {
            remove(&cache.narinfo(path))?;
            pruned.dropped.push(path.base().to_owned());
        } else {
            kept_files.insert(narinfo.url.clone());
            kept_files.extend(narinfo.image().map(ImageInfo::url));
        }
    }
    used.retain(|path, _| !dropped.contains(path));
    LastUsed::write(cache, used.iter().map(|(path, time)| (path, *time, built(path))))?;
    pruned.packed_bytes = sweep(cache, &kept_files)?;
    pruned.paths = found.len() - pruned.dropped.len();
    let kept = found.iter().map(|narinfo| &narinfo.info).filter(|info| !dropped.contains(&info.path));
    pruned.set = set_name(kept);
    Ok(pruned)
}

/// The ends of the names of the files that setup-nix writes.
const OWN_ENDINGS: [&str; 3] = [".nar.zst", ".squashfs", ".json"];

/// Removes unreferenced and incomplete files; returns the size of the others.
fn sweep(cache: &Cache, kept: &BTreeSet<String>) -> Result<u64, FileError> {
    for entry in fs::read_dir(&cache.dir).map_err(FileError::new("read", &cache.dir))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PART) {
            remove(&entry.path())?;
        }
    }
    let mut bytes = 0;
    for name in ["nar", IMAGES] {
        let dir = cache.dir.join(name);
        for entry in fs::read_dir(&dir).map_err(FileError::new("read", &dir))?.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            // Others belong to entries of another program.
            let is_own = |ending: &&str| file.ends_with(*ending);
            if kept.contains(&format!("{name}/{file}")) {
                bytes += entry.metadata().map_or(0, |meta| meta.len());
            } else if file.starts_with(PART) || OWN_ENDINGS.iter().any(is_own) {
                remove(&entry.path())?;
            }
        }
    }
    Ok(bytes)
}

fn remove(path: &Path) -> Result<(), FileError> {
    tree::remove(path).map_err(FileError::new("remove", path))
}

/// Propagates times of use to references. The outputs of a derivation in use, and of its
/// inputs, count as used too, because they are part of what is being built.
fn propagate_use(found: &[NarInfo], used: &mut BTreeMap<StorePath, u64>) {
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
    // Latest first, so that each path is visited only once.
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

/// Whether no other cache can have provided it, even if it is unknown who built it.
fn has_no_other_source(info: &PathInfo) -> bool {
    info.path.is_derivation() || (info.signatures.is_empty() && info.ca.is_none())
}

/// The referrers of each path.
fn referrers(found: &[NarInfo]) -> HashMap<&StorePath, Vec<&NarInfo>> {
    let mut referrers: HashMap<&StorePath, Vec<&NarInfo>> = HashMap::new();
    for narinfo in found {
        for reference in &narinfo.info.references {
            referrers.entry(reference).or_default().push(narinfo);
        }
    }
    referrers
}

fn drop_with_referrers(
    narinfo: &NarInfo,
    referrers: &HashMap<&StorePath, Vec<&NarInfo>>,
    dropped: &mut HashSet<StorePath>,
    bytes: &mut u64,
) {
    let mut todo = vec![narinfo];
    while let Some(narinfo) = todo.pop() {
        if !dropped.insert(narinfo.info.path.clone()) {
            continue;
        }
        *bytes -= narinfo.info.nar_size;
        todo.extend(referrers.get(&narinfo.info.path).into_iter().flatten());
    }
}

/// The file to which the background packer writes the paths that it sees in use.
pub(crate) const IN_USE: &str = "seen";

fn paths_in_use(cache: &Cache) -> BTreeSet<StorePath> {
    let text = read_text(&cache.state.join(IN_USE)).unwrap_or_default();
    let mut paths = roots();
    paths.extend(text.lines().filter_map(StorePath::from_base));
    paths
}

/// Whether a file below `path` was opened since its access times were reset.
/// Directories are ignored: listing them here updates their access times.
fn was_opened(path: &Path) -> bool {
    let files = walkdir::WalkDir::new(path).into_iter().flatten().filter(|entry| !entry.file_type().is_dir());
    files.filter_map(|entry| entry.metadata().ok()).any(|meta| is_opened(&meta))
}
