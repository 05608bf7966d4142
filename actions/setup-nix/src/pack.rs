//! New store paths into the cache directory.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use pydist::digest::Sha256Bytes;
use serde::Serialize;
use toolkit::{FileError, parallel};

use crate::database::{Database, Registered};
use crate::error::Error;
use crate::folder::{Cache, IMAGES, PART, Refused, read_narinfo};
use crate::image::{self, Images};
use crate::nar::{self, Hashing};
use crate::narinfo::{Info, NarInfo, StorePath};
use crate::nix32;
use crate::seen::within_store;

/// While a job runs, batches larger than the first are not packed before they have grown
/// to the second, or the job ends: many small ones would never become an image.
const WAITS: std::ops::Range<u64> = 16 << 20..256 << 20;
/// Beyond this level the time grows faster than the gain.
const LEVEL: i32 = 3;

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
