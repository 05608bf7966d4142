//! Packs new store paths into the cache directory.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use pydist::digest::Sha256Bytes;
use serde::Serialize;
use toolkit::{FileError, parallel};

use crate::cache::{Cache, IMAGES, PART, RefusedEntry, read_narinfo};
use crate::database::{DATABASE_DIR, Database, Registered};
use crate::error::Error;
use crate::image::{self, Images};
use crate::in_use::within_store;
use crate::nar::{self, Hashing};
use crate::narinfo::{NarInfo, PathInfo, StorePath};
use crate::nix32;

/// While a job runs, batches of these sizes wait until they have grown or the job ends,
/// because many small batches would never become an image.
const DEFERRED_BATCH: std::ops::Range<u64> = 16 << 20..256 << 20;
/// Higher levels cost more time than they save.
const LEVEL: i32 = 3;

/// The result of one packing pass.
#[derive(Debug, Default, Serialize)]
pub struct Packed {
    /// Paths added.
    pub paths: usize,
    /// Their size as Nix counts it.
    pub bytes: u64,
    /// Names of the added paths with their sizes, unordered.
    pub names: Vec<(String, u64)>,
    /// Paths that were already in the cache.
    pub present: usize,
    /// Paths that were not packed, and why.
    pub refused: Vec<RefusedEntry>,
    /// The id of the last registration that this pass looked at.
    #[serde(skip)]
    pub last: i64,
}

/// Adds every path registered after `since` that `cache` lacks, except those that only Nix
/// itself needs: they are in its tarball. Passes exclude each other; `stop` ends a pass
/// between two paths. With `defer`, a batch that may still grow is left to a later pass.
pub fn pack(
    cache: &Cache,
    bin: &Path,
    since: i64,
    defer: bool,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Packed, Error> {
    cache.create()?;
    let _lock = cache.lock()?;
    let database = Database::open(false)?;
    let mut registered = database.after(since)?;
    if since > 0 && !is_closed(cache, &registered) {
        // The new paths refer to some that were left to Nix's tarball so far.
        registered = database.after(0)?;
    }
    let mut packed = Packed { last: registered.last().map_or(since, |row| row.id), ..Packed::default() };
    let rows: Vec<PathInfo> = registered.into_iter().map(|row| row.info).collect();
    let only_nix = needed_only_by_nix(&rows, &nix_paths(bin));
    // Paths of images that are mostly unused are packed again, once per job.
    let images = if since == 0 { Images::read(cache, &cache.read()?.0) } else { Images::default() };
    let mut new: Vec<PathInfo> = Vec::new();
    for row in rows {
        if only_nix.contains(&row.path) {
            continue;
        }
        if is_packed(cache, &row, &images) {
            packed.present += 1;
        } else {
            new.push(row);
        }
    }
    if new.is_empty() {
        return Ok(packed);
    }
    let bytes: u64 = new.iter().map(|row| row.nar_size).sum();
    if defer && DEFERRED_BATCH.contains(&bytes) {
        return Ok(Packed { last: since, ..packed });
    }
    // Only Linux can mount images.
    if bytes >= image::MIN_BATCH && cfg!(target_os = "linux") {
        pack_images(cache, new, &mut packed, stop)?;
    } else {
        pack_nars(cache, new, &mut packed, stop);
    }
    Ok(packed)
}

impl Packed {
    fn add(&mut self, info: &PathInfo) {
        self.paths += 1;
        self.bytes += info.nar_size;
        self.names.push((info.path.base().to_owned(), info.nar_size));
    }

    fn refuse(&mut self, info: &PathInfo, error: &io::Error) {
        self.refused.push(RefusedEntry::new(info.path.base(), error.to_string()));
    }
}

fn pack_nars(cache: &Cache, mut new: Vec<PathInfo>, packed: &mut Packed, stop: &(dyn Fn() -> bool + Sync)) {
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

/// Writes one image per core, then the narinfo files of its paths.
fn pack_images(
    cache: &Cache,
    new: Vec<PathInfo>,
    packed: &mut Packed,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), Error> {
    let parts = image::divide(new);
    for result in parallel(parts.len(), |n| image::pack_image(cache, &parts[n], stop)) {
        let (narinfos, failed) = match result {
            Ok(image) => image,
            Err(_) if stop() => continue,
            Err(error) => return Err(FileError::new("write", &cache.dir.join(IMAGES))(error).into()),
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

/// Whether all references of `rows` are among them or in the cache.
fn is_closed(cache: &Cache, rows: &[Registered]) -> bool {
    let new: HashSet<&StorePath> = rows.iter().map(|row| &row.info.path).collect();
    let mut references = rows.iter().flat_map(|row| &row.info.references);
    references.all(|path| new.contains(path) || cache.narinfo(path).exists())
}

/// Whether the cache has `row` with the same content: another machine can have built an
/// unsigned path with different content.
fn is_packed(cache: &Cache, row: &PathInfo, images: &Images) -> bool {
    let text = read_narinfo(&cache.narinfo(&row.path)).unwrap_or_default();
    NarInfo::parse(&text).is_ok_and(|found| {
        !found.image().is_some_and(|id| images.is_worn(id))
            && fs::symlink_metadata(cache.dir.join(&found.url)).is_ok_and(|meta| meta.is_file())
            && found.info.path == row.path
            && found.info.nar_hash == row.nar_hash
    })
}

/// Writes the NAR first, then its narinfo: a NAR without a narinfo is ignored.
fn pack_one(cache: &Cache, info: &PathInfo) -> io::Result<()> {
    // In the final directory, which can be a separate volume; `prune` removes what a
    // killed run leaves there.
    let part = tempfile::Builder::new().prefix(PART).tempfile_in(cache.dir.join("nar"))?;
    let mut encoder = zstd::Encoder::new(Hashing::new(part), LEVEL)?;
    encoder.set_pledged_src_size(Some(info.nar_size))?;
    encoder.include_checksum(true)?;
    let (encoder, hash, size) = nar::dump(&info.path.path(), encoder)?;
    if (hash, size) != (info.nar_hash, info.nar_size) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its content differs from what Nix registered",
        ));
    }
    let (part, file_hash, file_size) = encoder.finish()?.finish();
    let url = format!("nar/{}.nar.zst", nix32::encode(&info.nar_hash));
    fs::set_permissions(part.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    part.persist(cache.dir.join(&url)).map_err(|error| error.error)?;
    write_narinfo(cache, &NarInfo { info: info.clone(), url }, (file_hash, file_size))
}

fn write_narinfo(cache: &Cache, narinfo: &NarInfo, file: (Sha256Bytes, u64)) -> io::Result<()> {
    image::write_unsynced(&cache.dir, &cache.narinfo(&narinfo.info.path), narinfo.to_text(file).as_bytes())
}

/// The store paths of the Nix in use.
fn nix_paths(bin: &Path) -> Vec<StorePath> {
    let real = fs::canonicalize(bin.join("nix-store")).ok();
    [real, Some(bin.to_owned())].iter().flatten().filter_map(|path| within_store(path)).collect()
}

/// The part of the closure of `nix` that nothing else refers to.
fn needed_only_by_nix(rows: &[PathInfo], nix: &[StorePath]) -> HashSet<StorePath> {
    let nix_closure = closure(rows, nix);
    let others: Vec<StorePath> =
        rows.iter().map(|row| &row.path).filter(|path| !nix_closure.contains(path)).cloned().collect();
    let shared = closure(rows, &others);
    nix_closure.difference(&shared).cloned().collect()
}

fn closure(rows: &[PathInfo], roots: &[StorePath]) -> HashSet<StorePath> {
    let by_path: HashMap<&StorePath, &PathInfo> = rows.iter().map(|row| (&row.path, row)).collect();
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

/// The file that tells the background packer to stop.
pub fn stop_file(cache: &Cache) -> std::path::PathBuf {
    cache.state.join("stop")
}

/// Modification times and sizes of the database files: a cheap check for new paths.
pub fn database_stamp() -> Vec<(i64, i64, u64)> {
    let dir = Path::new(DATABASE_DIR);
    let files = ["db.sqlite", "db.sqlite-wal"].map(|name| dir.join(name));
    let stamp = |meta: fs::Metadata| (meta.mtime(), meta.mtime_nsec(), meta.len());
    files.iter().filter_map(|file| Some(stamp(File::open(file).ok()?.metadata().ok()?))).collect()
}
