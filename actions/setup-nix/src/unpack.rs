//! Cached paths into the store: each compared with its NAR hash on the way, and put in
//! place once it is complete.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pydist::digest::{Sha256Bytes, sha256_reader};
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, futimens, mkdirat, openat, symlinkat, utimensat};
use squashfs::{Entry, Image, Inode};
use toolkit::parallel;

use crate::database::Database;
use crate::folder::{Cache, Refused, open_regular};
use crate::image;
use crate::nar::{self, DEPTH, Hashing, string};
use crate::narinfo::{Content, Info, NarInfo, StorePath, content};
use crate::store::{Staging, is_being_made, place};
use crate::tree::{self, TIMES};

/// Compressed with more than 8 MiB of history, a NAR is none of ours and could
/// take any amount of memory.
const WINDOW: u32 = 23;
/// Paths of one image that a core unpacks together, by the size of their NARs: small
/// ones share what is decompressed.
const TOGETHER: u64 = 8 << 20;

/// Those of one image, with where it has them.
type Group<'a> = (&'a File, Vec<(&'a NarInfo, Entry)>);

/// What one core does at a time.
enum Task<'a> {
    Nar(&'a NarInfo),
    Image(Group<'a>),
}

impl Task<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Nar(narinfo) => narinfo.info.nar_size,
            Self::Image((_, paths)) => paths.iter().map(|(narinfo, _)| narinfo.info.nar_size).sum(),
        }
    }
}

/// Unpacks all of `wanted` but `mounted` with every core, the largest first; gives those
/// that failed, and why, and with no reason those that became valid meanwhile.
pub(crate) fn unpack_all(
    cache: &Cache,
    staging: &Staging,
    wanted: &BTreeMap<StorePath, NarInfo>,
    mounted: &HashSet<StorePath>,
    database: &mut Database,
) -> Vec<(StorePath, Option<Refused>)> {
    let rest = || wanted.values().filter(|narinfo| !mounted.contains(&narinfo.info.path));
    let mut failed = Vec::new();
    let images = image::by_image(rest());
    let mut files = Vec::new();
    for (id, paths) in &images {
        let opened = image::open(cache, id).map_err(missing).and_then(|file| {
            let entries = Image::open(&file)?.root()?;
            Ok((file, entries))
        });
        match opened {
            Ok((file, entries)) => files.push((file, entries, paths)),
            Err(error) => failed.extend(paths.iter().map(|narinfo| failure(narinfo, &error))),
        }
    }
    let mut tasks: Vec<Task<'_>> = rest().filter(|one| one.image().is_none()).map(Task::Nar).collect();
    for (file, entries, paths) in &files {
        let entries: HashMap<&[u8], &Entry> =
            entries.iter().map(|entry| (entry.name.as_slice(), entry)).collect();
        let mut group = Vec::new();
        let mut size = 0;
        for narinfo in *paths {
            let Some(entry) = entries.get(narinfo.info.path.base().as_bytes()) else {
                let error = io::Error::new(io::ErrorKind::InvalidData, "its image does not have it");
                failed.push(failure(narinfo, &error));
                continue;
            };
            group.push((*narinfo, (*entry).clone()));
            size += narinfo.info.nar_size;
            if size >= TOGETHER {
                tasks.push(Task::Image((file, std::mem::take(&mut group))));
                size = 0;
            }
        }
        tasks.push(Task::Image((file, group)));
    }
    tasks.sort_by_key(|task| std::cmp::Reverse(task.size()));
    failed.extend(run(cache, staging, &tasks, database));
    failed
}

fn run(
    cache: &Cache,
    staging: &Staging,
    tasks: &[Task<'_>],
    database: &mut Database,
) -> Vec<(StorePath, Option<Refused>)> {
    let database = Mutex::new(database);
    let valid = |path: &StorePath| {
        let database = database.lock().unwrap_or_else(PoisonError::into_inner);
        database.is_valid(path).map_err(|error| io::Error::new(io::ErrorKind::ResourceBusy, error))
    };
    let failed = Mutex::new(Vec::new());
    let full = AtomicBool::new(false);
    let one = |narinfo: &NarInfo, unpack: &mut dyn FnMut(&Path) -> io::Result<(Sha256Bytes, u64)>| {
        let path = &narinfo.info.path;
        let to = staging.path().join(path.base());
        let unpacked = if full.load(Ordering::Relaxed) {
            Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full"))
        } else {
            unpack(&to)
                .and_then(|found| compare(found, &narinfo.info, &to))
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", narinfo.url)))
        };
        // Another process may have built or substituted it since.
        let result = unpacked.and_then(|()| {
            if is_being_made(path) {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a Nix process makes it now"));
            }
            let place_it = fs::symlink_metadata(path.path()).is_err() || !valid(path)?;
            if place_it {
                place(&to, path)?;
            }
            Ok(place_it)
        });
        let failure = match result {
            Ok(true) => return,
            Ok(false) => (path.clone(), None),
            Err(error) => {
                full.fetch_or(error.kind() == io::ErrorKind::StorageFull, Ordering::Relaxed);
                failure(narinfo, &error)
            }
        };
        // Frees its space at once.
        let _ = tree::remove(&to);
        failed.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    };
    parallel(tasks.len(), |n| match &tasks[n] {
        Task::Nar(narinfo) => one(narinfo, &mut |to| from_nar(cache, narinfo, to)),
        Task::Image((file, paths)) => {
            // Files then have the store's permissions from their creation.
            rustix::process::umask(Mode::WGRP | Mode::WOTH);
            let mut image = Image::open(*file);
            for (narinfo, entry) in paths {
                one(narinfo, &mut |to| match &mut image {
                    Ok(image) => from_image(image, entry, &narinfo.info, to),
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                });
            }
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What fails on the store's side says nothing about the cache. The decoder's own errors
/// are of kind `Other`.
fn failure(narinfo: &NarInfo, error: &io::Error) -> (StorePath, Option<Refused>) {
    use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
    let broken = matches!(error.kind(), InvalidData | Other | UnexpectedEof);
    let path = &narinfo.info.path;
    (path.clone(), Some(Refused { broken, ..Refused::new(path.base(), error.to_string()) }))
}

fn missing(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::InvalidData, error),
        _ => error,
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Compares what was unpacked at `to` with what is known of it.
fn compare(found: (Sha256Bytes, u64), info: &Info, to: &Path) -> io::Result<()> {
    if found != (info.nar_hash, info.nar_size) {
        return Err(wrong("its NAR has not the hash that its narinfo promises"));
    }
    if let Ok(Some(Content::File(expected))) = content(info) {
        let found = fs::symlink_metadata(to)?.is_file().then(|| File::open(to).and_then(sha256_reader));
        if found.transpose()?.is_none_or(|(found, _)| found != expected) {
            return Err(wrong("its content address is of another content"));
        }
        tree::canonicalise(to)?;
    }
    Ok(())
}

fn from_nar(cache: &Cache, narinfo: &NarInfo, to: &Path) -> io::Result<(Sha256Bytes, u64)> {
    let size = narinfo.info.nar_size;
    let file = open_regular(&cache.folder.join(&narinfo.url)).map_err(missing)?;
    // One byte more than promised is enough to know that it is too long.
    let mut decoder = zstd::Decoder::new(file)?;
    decoder.window_log_max(WINDOW)?;
    nar::unpack(io::Read::take(decoder, size + 1), size, to)
}

/// Unpacks the `entry` of an image to `to`, which must not exist; gives digest and size
/// of its NAR.
fn from_image(
    image: &mut Image<'_, File>,
    entry: &Entry,
    info: &Info,
    to: &Path,
) -> io::Result<(Sha256Bytes, u64)> {
    let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = rustix::fs::open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    image.largest = info.nar_size;
    let mut copy = Copy { image, nar: Hashing::new(io::sink()), most: info.nar_size };
    copy.words(&[b"nix-archive-1"])?;
    copy.node(parent.as_fd(), name, entry, 0)?;
    let (_, digest, size) = copy.nar.finish();
    Ok((digest, size))
}

/// From an image to files, by way of a NAR that is hashed and not kept.
struct Copy<'i, 'f> {
    image: &'i mut Image<'f, File>,
    nar: Hashing<io::Sink>,
    most: u64,
}

impl Copy<'_, '_> {
    fn words(&mut self, words: &[&[u8]]) -> io::Result<()> {
        words.iter().try_for_each(|word| string(&mut self.nar, word))?;
        // What costs time and room costs bytes of the NAR.
        if self.nar.size() > self.most {
            return Err(wrong("its NAR is longer than its narinfo promises"));
        }
        Ok(())
    }

    fn node(&mut self, within: BorrowedFd<'_>, name: &OsStr, entry: &Entry, depth: usize) -> io::Result<()> {
        if depth > DEPTH {
            return Err(wrong("malformed image: nested too deeply"));
        }
        self.words(&[b"(", b"type"])?;
        match self.image.inode(entry)? {
            Inode::Link(target) => {
                self.words(&[b"symlink", b"target", &target])?;
                symlinkat(OsStr::from_bytes(&target), within, name)?;
                utimensat(within, name, &TIMES, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Inode::Directory(directory) => {
                self.words(&[b"directory"])?;
                mkdirat(within, name, Mode::from_raw_mode(0o755))?;
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = openat(within, name, flags, Mode::empty())?;
                for entry in self.image.list(&directory)? {
                    self.words(&[b"entry", b"(", b"name", &entry.name, b"node"])?;
                    self.node(folder.as_fd(), OsStr::from_bytes(&entry.name), &entry, depth + 1)?;
                    self.words(&[b")"])?;
                }
                fchmod(&folder, Mode::from_raw_mode(0o555))?;
                futimens(&folder, &TIMES)?;
            }
            Inode::File(file) => {
                self.words(&[b"regular"])?;
                if file.executable {
                    self.words(&[b"executable", b""])?;
                }
                self.words(&[b"contents"])?;
                self.nar.write_all(&file.size.to_le_bytes())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(if file.executable { 0o555 } else { 0o444 });
                let mut to = File::from(openat(within, name, flags, mode)?);
                let nar = &mut self.nar;
                self.image.content(&file, |piece| {
                    nar.write_all(piece)?;
                    to.write_all(piece)
                })?;
                self.nar.write_all(&[0; 8][..(8 - (file.size % 8) as usize) % 8])?;
                futimens(&to, &TIMES)?;
            }
        }
        self.words(&[b")"])
    }
}
