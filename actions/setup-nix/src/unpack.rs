//! Unpacks cached paths into the store. Each is compared with its NAR hash on the way, and
//! moved into the store once it is complete.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pydist::digest::{Sha256Bytes, sha256_reader};
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, futimens, mkdirat, openat, symlinkat, utimensat};
use squashfs::{Entry, Image, Inode};
use toolkit::parallel;

use crate::cache::{Cache, RefusedEntry, open_regular};
use crate::database::Database;
use crate::image;
use crate::limits::{PathUse, Space};
use crate::nar::{self, Hashing, write};
use crate::narinfo::{Content, NarInfo, PathInfo, StorePath, addressed_content};
use crate::store::{Staging, is_being_built, move_into_store};
use crate::tree::{self, TIMES};

/// 8 MiB of history. Our own NARs need less; more could use any amount of memory.
const MAX_WINDOW_LOG: u32 = 23;
/// NAR size of the paths of an image that a core unpacks together, so that small ones share
/// decompressed blocks.
const GROUP_SIZE: u64 = 8 << 20;

/// Paths of one image, with their entries in it.
type Group<'a> = (&'a File, Vec<(&'a NarInfo, Entry)>);

/// A unit of work for a core.
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

/// Unpacks all of `wanted` except `mounted` with all cores, largest first. Returns the paths
/// that failed, with the reason, and without one those that became valid meanwhile.
pub(crate) fn unpack_all(
    cache: &Cache,
    staging: &Staging,
    wanted: &BTreeMap<StorePath, NarInfo>,
    mounted: &HashSet<StorePath>,
    database: &mut Database,
    space: &Space,
) -> Vec<Failure> {
    let to_unpack = || wanted.values().filter(|narinfo| !mounted.contains(&narinfo.info.path));
    let mut failed = Vec::new();
    let images = image::by_image(to_unpack());
    let mut files = Vec::new();
    for (id, paths) in &images {
        let opened = image::open(cache, id).map_err(missing_is_invalid).and_then(|file| {
            let entries = Image::open(&file)?.root()?;
            Ok((file, entries))
        });
        match opened {
            Ok((file, entries)) => files.push((file, entries, paths)),
            Err(error) => failed.extend(paths.iter().map(|narinfo| failure(narinfo, &error))),
        }
    }
    let mut tasks: Vec<Task<'_>> = to_unpack().filter(|one| one.image().is_none()).map(Task::Nar).collect();
    for (file, entries, paths) in &files {
        let entries: HashMap<&[u8], &Entry> =
            entries.iter().map(|entry| (entry.name.as_slice(), entry)).collect();
        let mut group = Vec::new();
        let mut size = 0;
        for narinfo in *paths {
            let Some(entry) = entries.get(narinfo.info.path.base().as_bytes()) else {
                let error = io::Error::new(io::ErrorKind::InvalidData, "it is missing from its image");
                failed.push(failure(narinfo, &error));
                continue;
            };
            group.push((*narinfo, (*entry).clone()));
            size += narinfo.info.nar_size;
            if size >= GROUP_SIZE {
                tasks.push(Task::Image((file, std::mem::take(&mut group))));
                size = 0;
            }
        }
        tasks.push(Task::Image((file, group)));
    }
    tasks.sort_by_key(|task| std::cmp::Reverse(task.size()));
    failed.extend(run(cache, staging, &tasks, database, space));
    failed
}

fn run<'a>(
    cache: &Cache,
    staging: &Staging,
    tasks: &[Task<'a>],
    database: &mut Database,
    space: &Space,
) -> Vec<Failure> {
    let (database, failed) = (Mutex::new(database), Mutex::default());
    let run = Run { cache, staging, database, space, failed, no_space: Mutex::default() };
    parallel(tasks.len(), |n| run.task(&tasks[n], false));
    // What failed while another path held the space may fit now; the smallest first, because
    // a single large path must not keep the others out.
    let mut again: Vec<Task<'a>> = std::mem::take(&mut *locked(&run.no_space));
    again.sort_by_key(Task::size);
    for task in &again {
        run.task(task, true);
    }
    run.failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A path that was not placed, and why; without a reason if it became valid meanwhile.
type Failure = (StorePath, Option<RefusedEntry>);

struct Run<'a, 'r> {
    cache: &'r Cache,
    staging: &'r Staging,
    database: Mutex<&'r mut Database>,
    space: &'r Space,
    failed: Mutex<Vec<Failure>>,
    /// What did not fit on the disk.
    no_space: Mutex<Vec<Task<'a>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Run<'a, '_> {
    /// Runs `task`. Paths that do not fit are recorded in `no_space`, or if this is the
    /// `last` try, in `failed`.
    fn task(&self, task: &Task<'a>, last: bool) {
        match task {
            Task::Nar(narinfo) => {
                if !self.one(narinfo, last, |to, path_use| from_nar(self.cache, narinfo, to, path_use)) {
                    locked(&self.no_space).push(Task::Nar(narinfo));
                }
            }
            Task::Image((file, paths)) => {
                // So that files are created with the store's permissions.
                rustix::process::umask(Mode::WGRP | Mode::WOTH);
                let mut image = Image::open(*file);
                for (narinfo, entry) in paths {
                    let done = self.one(narinfo, last, |to, path_use| match &mut image {
                        Ok(image) => from_image(image, entry, &narinfo.info, to, path_use),
                        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                    });
                    if !done {
                        locked(&self.no_space).push(Task::Image((file, vec![(narinfo, entry.clone())])));
                    }
                }
            }
        }
    }

    /// Unpacks a path with `unpack` and moves it into the store. Returns false if it should be
    /// tried again.
    fn one(
        &self,
        narinfo: &NarInfo,
        last: bool,
        unpack: impl FnOnce(&Path, &mut PathUse<'_>) -> io::Result<(Sha256Bytes, u64)>,
    ) -> bool {
        let path = &narinfo.info.path;
        let to = self.staging.path().join(path.base());
        let mut path_use = PathUse::new(self.space);
        // A block for its row of the database.
        let placed = path_use
            .take(1)
            .and_then(|()| unpack(&to, &mut path_use))
            .and_then(|found| compare(found, &narinfo.info, &to))
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", narinfo.url)))
            .and_then(|()| self.place(&to, path));
        let failure = match placed {
            Ok(true) => {
                path_use.keep();
                return true;
            }
            Ok(false) => Some((path.clone(), None)),
            Err(error) if error.kind() == io::ErrorKind::StorageFull && !last => None,
            Err(error) => Some(failure(narinfo, &error)),
        };
        // Frees the disk space immediately.
        let _ = tree::remove(&to);
        drop(path_use);
        let done = failure.is_some();
        locked(&self.failed).extend(failure);
        done
    }

    /// Moves `from` into the store, unless another process has built or substituted `path`
    /// meanwhile.
    fn place(&self, from: &Path, path: &StorePath) -> io::Result<bool> {
        if is_being_built(path) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a Nix process is building it"));
        }
        let is_valid = || {
            let valid = locked(&self.database).is_valid(path);
            valid.map_err(|error| io::Error::new(io::ErrorKind::ResourceBusy, error))
        };
        let absent = fs::symlink_metadata(path.path()).is_err() || !is_valid()?;
        if absent {
            move_into_store(from, path)?;
        }
        Ok(absent)
    }
}

/// Classifies an error: only those of reading the cache mark the entry as broken. Errors of
/// the zstd decoder have the kind `Other`.
fn failure(narinfo: &NarInfo, error: &io::Error) -> Failure {
    use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
    let broken = matches!(error.kind(), InvalidData | Other | UnexpectedEof);
    let path = &narinfo.info.path;
    (path.clone(), Some(RefusedEntry { broken, ..RefusedEntry::new(path.base(), error.to_string()) }))
}

/// Treats a missing file as invalid data, that is, as a broken entry.
fn missing_is_invalid(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::InvalidData, error),
        _ => error,
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Compares what was unpacked to `to` with its metadata.
fn compare(found: (Sha256Bytes, u64), info: &PathInfo, to: &Path) -> io::Result<()> {
    if found != (info.nar_hash, info.nar_size) {
        return Err(invalid("its NAR does not match the hash in its narinfo"));
    }
    if let Ok(Some(Content::File(expected))) = addressed_content(info) {
        let meta = fs::symlink_metadata(to)?;
        if nar::executable(&meta) {
            return Err(invalid("it is executable, which its content address does not allow"));
        }
        let found = meta.is_file().then(|| File::open(to).and_then(sha256_reader));
        if found.transpose()?.is_none_or(|(found, _)| found != expected) {
            return Err(invalid("its content does not match its content address"));
        }
        tree::canonicalise(to)?;
    }
    Ok(())
}

fn from_nar(
    cache: &Cache,
    narinfo: &NarInfo,
    to: &Path,
    path_use: &mut PathUse<'_>,
) -> io::Result<(Sha256Bytes, u64)> {
    let size = narinfo.info.nar_size;
    let file = open_regular(&cache.dir.join(&narinfo.url)).map_err(missing_is_invalid)?;
    // A byte more than expected is enough to detect that it is too long.
    let mut decoder = zstd::Decoder::new(file)?;
    decoder.window_log_max(MAX_WINDOW_LOG)?;
    nar::unpack(io::Read::take(decoder, size + 1), size, to, path_use)
}

/// Unpacks the `entry` of an image to `to`, which must not exist; returns the digest and size
/// of its NAR.
fn from_image(
    image: &mut Image<'_, File>,
    entry: &Entry,
    info: &PathInfo,
    to: &Path,
    path_use: &mut PathUse<'_>,
) -> io::Result<(Sha256Bytes, u64)> {
    let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = rustix::fs::open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    image.max_file_size = info.nar_size;
    let mut copy = Copy { image, nar: Hashing::new(io::sink()), max_size: info.nar_size, path_use };
    write::start(&mut copy.nar)?;
    copy.node(parent.as_fd(), name, entry)?;
    let (_, digest, size) = copy.nar.finish();
    Ok((digest, size))
}

/// Copies from an image to files, and hashes the corresponding NAR on the way.
struct Copy<'i, 'f, 'u, 's> {
    image: &'i mut Image<'f, File>,
    nar: Hashing<io::Sink>,
    max_size: u64,
    path_use: &'u mut PathUse<'s>,
}

impl Copy<'_, '_, '_, '_> {
    fn node(&mut self, parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry) -> io::Result<()> {
        match self.image.inode(entry)? {
            Inode::Link(target) => {
                write::link(&mut self.nar, &target)?;
                self.check_size()?;
                self.path_use.take(1)?;
                symlinkat(OsStr::from_bytes(&target), parent, name)?;
                Ok(utimensat(parent, name, &TIMES, AtFlags::SYMLINK_NOFOLLOW)?)
            }
            Inode::Directory(directory) => {
                write::directory(&mut self.nar)?;
                self.check_size()?;
                self.path_use.take(1)?;
                mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let dir = openat(parent, name, flags, Mode::empty())?;
                for entry in self.image.list(&directory)? {
                    write::entry(&mut self.nar, &entry.name)?;
                    self.path_use.enter(&entry.name)?;
                    self.node(dir.as_fd(), OsStr::from_bytes(&entry.name), &entry)?;
                    self.path_use.leave(&entry.name);
                    write::end(&mut self.nar)?;
                }
                fchmod(&dir, Mode::from_raw_mode(0o555))?;
                futimens(&dir, &TIMES)?;
                write::end(&mut self.nar)
            }
            Inode::File(file) => {
                write::file(&mut self.nar, file.executable, file.size)?;
                self.check_size()?;
                self.path_use.take(file.size)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(if file.executable { 0o555 } else { 0o444 });
                let mut to = File::from(openat(parent, name, flags, mode)?);
                let nar = &mut self.nar;
                self.image.content(&file, |piece| {
                    nar.write_all(piece)?;
                    to.write_all(piece)
                })?;
                futimens(&to, &TIMES)?;
                write::end_file(&mut self.nar, file.size)
            }
        }
    }

    /// Limits the whole unpacking, because everything adds to the NAR.
    fn check_size(&self) -> io::Result<()> {
        if self.nar.size() > self.max_size {
            return Err(invalid("its NAR is longer than the size in its narinfo"));
        }
        Ok(())
    }
}
