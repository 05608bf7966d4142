//! New store paths into the cache directory, and the least recently used out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use pydist::digest::{Sha256Bytes, hex, sha256};
use serde::Serialize;
use toolkit::FileError;

use crate::database::{Database, Registered};
use crate::error::Error;
use crate::folder::{Cache, IMAGES, PART, Refused, read_narinfo, read_text};
use crate::image::{self, ImageInfo, Images};
use crate::info::{Info, NarInfo, StorePath};
use crate::mount;
use crate::nar::{self, Hashing};
use crate::nix32;
use crate::parallel::parallel;
use crate::seen::{roots, within_store};
use crate::used::{Used, keeps_access_times};

/// While a job runs, batches larger than the first are not packed before they have grown
/// to the second, or the job ends: many small ones would never become an image.
const WAITS: std::ops::Range<u64> = 16 << 20..256 << 20;
/// Beyond this level the time grows faster than the gain.
const LEVEL: i32 = 3;

/// After how many jobs that saved something without using it, a build is dropped.
const IDLE: usize = 2;

/// What a pass packed.
#[derive(Debug, Default, Serialize)]
pub struct Packed {
    /// Paths added.
    pub paths: usize,
    /// Their size as Nix counts it.
    pub bytes: u64,
    /// Each with its size, in no order.
    pub names: Vec<(String, u64)>,
    /// Paths that were there already.
    pub present: usize,
    /// Not packed, and why.
    pub refused: Vec<Refused>,
    /// The last registration that was looked at.
    #[serde(skip)]
    pub last: i64,
}

/// Adds every path registered after `since` that `cache` lacks, apart from those
/// that only Nix itself needs: they come with its tarball. One pass at a time;
/// `stop` ends it between two paths. With `waits`, a batch that may still grow is left
/// to a later pass.
pub fn pack(
    cache: &Cache,
    bin: &Path,
    since: i64,
    waits: bool,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Packed, Error> {
    cache.create()?;
    let _lock = cache.lock()?;
    let database = Database::open(false)?;
    let mut registered = database.after(since)?;
    if since > 0 && !is_closed(cache, &registered) {
        // They refer to what was left to Nix's tarball so far.
        registered = database.after(0)?;
    }
    let mut packed = Packed { last: registered.last().map_or(since, |row| row.id), ..Packed::default() };
    let rows: Vec<Info> = registered.into_iter().map(|row| row.info).collect();
    let own = only_of_nix(&rows, &nix_paths(bin));
    // Images of which less than half is in use are left behind, once for each job.
    let images = if since == 0 { Images::read(cache, &cache.read()?.0) } else { Images::default() };
    let mut new: Vec<Info> = Vec::new();
    for row in rows {
        if own.contains(&row.path) {
            continue;
        }
        if packed_already(cache, &row, &images) {
            packed.present += 1;
        } else {
            new.push(row);
        }
    }
    if new.is_empty() {
        return Ok(packed);
    }
    let bytes: u64 = new.iter().map(|row| row.nar_size).sum();
    if waits && WAITS.contains(&bytes) {
        return Ok(Packed { last: since, ..packed });
    }
    // Images can be mounted on Linux alone.
    if bytes >= image::WORTH && cfg!(target_os = "linux") {
        pack_images(cache, new, &mut packed, stop)?;
    } else {
        pack_nars(cache, new, &mut packed, stop);
    }
    Ok(packed)
}

impl Packed {
    fn add(&mut self, info: &Info) {
        self.paths += 1;
        self.bytes += info.nar_size;
        self.names.push((info.path.base().to_owned(), info.nar_size));
    }

    fn refuse(&mut self, info: &Info, error: &io::Error) {
        self.refused.push(Refused::new(info.path.base(), error.to_string()));
    }
}

fn pack_nars(cache: &Cache, mut new: Vec<Info>, packed: &mut Packed, stop: &(dyn Fn() -> bool + Sync)) {
    new.sort_by_key(|row| std::cmp::Reverse(row.nar_size));
    let done = Mutex::new(packed);
    parallel(new.len(), |n| {
        if stop() {
            return;
        }
        let result = pack_one(cache, &new[n]);
        let mut packed = done.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => packed.add(&new[n]),
            Err(error) => packed.refuse(&new[n], &error),
        }
    });
}

/// An image for every core, then the narinfos that make its paths count.
fn pack_images(
    cache: &Cache,
    new: Vec<Info>,
    packed: &mut Packed,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), Error> {
    let parts = image::divide(new);
    for made in parallel(parts.len(), |n| image::make(cache, &parts[n], stop)) {
        let (narinfos, failed) = match made {
            Ok(made) => made,
            Err(_) if stop() => continue,
            Err(error) => return Err(FileError::new("write", &cache.folder.join(IMAGES))(error).into()),
        };
        for (info, error) in &failed {
            packed.refuse(info, error);
        }
        for narinfo in narinfos {
            match write_narinfo(cache, &narinfo, ([0; 32], 0)) {
                Ok(()) => packed.add(&narinfo.info),
                Err(error) => packed.refuse(&narinfo.info, &error),
            }
        }
    }
    Ok(())
}

/// Whether all that `rows` refer to is among them or in the cache.
fn is_closed(cache: &Cache, rows: &[Registered]) -> bool {
    let new: HashSet<&StorePath> = rows.iter().map(|row| &row.info.path).collect();
    let mut references = rows.iter().flat_map(|row| &row.info.references);
    references.all(|path| new.contains(path) || cache.narinfo(path).exists())
}

/// Whether the cache has `row` with this content: an unsigned path can have been
/// built with another one elsewhere.
fn packed_already(cache: &Cache, row: &Info, images: &Images) -> bool {
    let text = read_narinfo(&cache.narinfo(&row.path)).unwrap_or_default();
    NarInfo::parse(&text).is_ok_and(|found| {
        let there = !found.image().is_some_and(|id| images.is_worn(id));
        let there =
            there && fs::symlink_metadata(cache.folder.join(&found.url)).is_ok_and(|meta| meta.is_file());
        there && found.info.path == row.path && found.info.nar_hash == row.nar_hash
    })
}

/// The NAR first, then the narinfo that makes it count.
fn pack_one(cache: &Cache, info: &Info) -> io::Result<()> {
    // Where it will be, for a folder can be a volume of its own; what a killed
    // run leaves there is removed with the next bound.
    let part = tempfile::Builder::new().prefix(PART).tempfile_in(cache.folder.join("nar"))?;
    let mut encoder = zstd::Encoder::new(Hashing::new(part), LEVEL)?;
    encoder.set_pledged_src_size(Some(info.nar_size))?;
    encoder.include_checksum(true)?;
    let (encoder, hash, size) = nar::dump(&info.path.path(), encoder)?;
    if (hash, size) != (info.nar_hash, info.nar_size) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its content is not what Nix registered"));
    }
    let (part, file_hash, file_size) = encoder.finish()?.finish();
    let url = format!("nar/{}.nar.zst", nix32::encode(&info.nar_hash));
    fs::set_permissions(part.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    part.persist(cache.folder.join(&url)).map_err(|error| error.error)?;
    write_narinfo(cache, &NarInfo { info: info.clone(), url }, (file_hash, file_size))
}

fn write_narinfo(cache: &Cache, narinfo: &NarInfo, file: (Sha256Bytes, u64)) -> io::Result<()> {
    image::write(&cache.folder, &cache.narinfo(&narinfo.info.path), narinfo.print(file).as_bytes())
}

/// The store path that the Nix in use lives in, where it lives in one.
fn nix_paths(bin: &Path) -> Vec<StorePath> {
    let real = fs::canonicalize(bin.join("nix-store")).ok();
    [real, Some(bin.to_owned())].iter().flatten().filter_map(|path| within_store(path)).collect()
}

/// What the closure of `nix` holds and nothing else refers to.
fn only_of_nix(rows: &[Info], nix: &[StorePath]) -> HashSet<StorePath> {
    let own = closure(rows, nix);
    let others: Vec<StorePath> =
        rows.iter().map(|row| &row.path).filter(|path| !own.contains(path)).cloned().collect();
    let shared = closure(rows, &others);
    own.difference(&shared).cloned().collect()
}

fn closure(rows: &[Info], roots: &[StorePath]) -> HashSet<StorePath> {
    let by_path: HashMap<&StorePath, &Info> = rows.iter().map(|row| (&row.path, row)).collect();
    let mut seen = HashSet::new();
    let mut todo: Vec<&StorePath> = roots.iter().collect();
    while let Some(path) = todo.pop() {
        if seen.insert(path.clone())
            && let Some(row) = by_path.get(path)
        {
            todo.extend(&row.references);
        }
    }
    seen
}

/// What the bound dropped.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
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
pub fn prune(cache: &Cache, max_size: u64, now: u64) -> Result<Pruned, Error> {
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
    nar::remove(path).map_err(FileError::new("remove", path))
}

/// Names a set of paths and their content: the same set, the same name.
pub(crate) fn set_name<'a>(infos: impl Iterator<Item = &'a Info>) -> String {
    let text: String = infos.map(|info| format!("{} {}\n", info.path.base(), hex(&info.nar_hash))).collect();
    hex(&sha256(text.as_bytes()))[..16].to_owned()
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
pub const SEEN: &str = "seen";

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

/// The file by which the background packer is asked to end.
pub fn stop_file(cache: &Cache) -> std::path::PathBuf {
    cache.state.join("stop")
}

/// The database's last change, to see cheaply whether there can be new paths.
pub fn database_stamp() -> Vec<(i64, i64, u64)> {
    let folder = Path::new("/nix/var/nix/db");
    let files = ["db.sqlite", "db.sqlite-wal"].map(|name| folder.join(name));
    let stamp = |meta: fs::Metadata| (meta.mtime(), meta.mtime_nsec(), meta.len());
    files.iter().filter_map(|file| Some(stamp(File::open(file).ok()?.metadata().ok()?))).collect()
}
