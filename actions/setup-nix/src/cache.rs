//! The cache folder: a standard binary cache (narinfo files and zstd NARs)
//! that any Nix can read.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pydist::digest::sha256_reader;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use toolkit::{FileError, write_atomic};

use crate::error::Error;
use crate::estimate::{self, Estimate};
use crate::info::{Content, Info, Keys, NarInfo, STORE, StorePath, Trust, content};
use crate::nar;
use crate::store::{Staging, Store, place};

/// Compressed with more than 8 MiB of history, a NAR is none of ours and could
/// take any amount of memory.
const WINDOW: u32 = 23;

/// The longest narinfo: thousands of references, hundreds of signatures.
const TEXT: u64 = 1 << 20;

/// The folder and its neighbour for what is not part of it.
#[derive(Debug, Clone)]
pub struct Cache {
    /// The binary cache.
    pub folder: PathBuf,
}

impl Cache {
    /// At `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder beside it: locks, logs, unfinished files. It is never saved.
    pub fn state(&self) -> PathBuf {
        self.folder.with_extension("state")
    }

    /// Makes both folders and `nix-cache-info`.
    pub fn create(&self) -> Result<(), FileError> {
        for folder in [self.folder.clone(), self.folder.join("nar"), self.state()] {
            fs::create_dir_all(&folder).map_err(FileError::new("create", &folder))?;
            // A link that an archive put there would lead what is removed here
            // to another folder.
            let meta = fs::symlink_metadata(&folder).map_err(FileError::new("read", &folder))?;
            if !meta.is_dir() {
                let error =
                    io::Error::new(io::ErrorKind::NotADirectory, "expected a folder, found a link to one");
                return Err(FileError::new("use", &folder)(error));
            }
        }
        let info = self.folder.join("nix-cache-info");
        if info.exists() {
            return Ok(());
        }
        write_atomic(&info, b"StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 50\n")
    }

    /// Where `path`'s narinfo is.
    pub fn narinfo(&self, path: &StorePath) -> PathBuf {
        self.folder.join(path.digits()).with_extension("narinfo")
    }

    /// Removes what is broken, so that it is packed anew.
    pub(crate) fn forget(&self, refused: &[Refused]) {
        for one in refused.iter().filter(|one| one.broken) {
            let file = match StorePath::from_base(&one.name) {
                Some(path) => self.narinfo(&path),
                None => self.folder.join(&one.name),
            };
            let _ = fs::remove_file(file);
        }
    }

    /// All that reads well, and what does not.
    pub fn read(&self) -> Result<(Vec<NarInfo>, Vec<Refused>), FileError> {
        let (mut found, mut refused) = (Vec::new(), Vec::new());
        let about = read_text(&self.folder.join("nix-cache-info")).unwrap_or_default();
        if let Some(other) = about.lines().find_map(|line| line.strip_prefix("StoreDir:"))
            && other.trim() != STORE
        {
            let why = format!("expected a cache of {STORE}, found one of {}", other.trim());
            refused.push(Refused::new("nix-cache-info", why));
            return Ok((found, refused));
        }
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((found, refused)),
            entries => entries.map_err(FileError::new("read", &self.folder))?,
        };
        for entry in entries.flatten() {
            let file = entry.path();
            if file.extension().is_none_or(|extension| extension != "narinfo") {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let parsed = read_text(&file).map_err(|error| error.to_string());
            match parsed.and_then(|text| NarInfo::parse(&text)) {
                Ok(narinfo) if name == format!("{}.narinfo", narinfo.info.path.digits()) => {
                    found.push(narinfo);
                }
                Ok(narinfo) => {
                    refused.push(Refused::broken(name, format!("it is about {}", narinfo.info.path.full())));
                }
                Err(why) => refused.push(Refused::broken(name, why)),
            }
        }
        found.sort_by(|a, b| a.info.path.cmp(&b.info.path));
        Ok((found, refused))
    }
}

/// Opens what must be a regular file: a pipe would never end, a link could lead
/// anywhere.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "expected a regular file"))
}

/// The text of a small file.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = io::Read::take(open_regular(path)?, TEXT + 1);
    if io::Read::read_to_string(&mut { file }, &mut text)? as u64 > TEXT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {TEXT} bytes")));
    }
    Ok(text)
}

/// Something in the cache that was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Store path or file name.
    pub name: String,
    /// Why.
    pub why: String,
    /// Whether nobody can use it: it is damaged, or lies.
    pub broken: bool,
}

impl Refused {
    pub(crate) fn new(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), why: why.into(), broken: false }
    }

    pub(crate) fn broken(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { broken: true, ..Self::new(name, why) }
    }
}

/// What may be restored.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Keys that are trusted.
    pub keys: &'a Keys,
    /// Only what one of them signed, or what is content-addressed.
    pub signed_only: bool,
    /// Also what is better substituted.
    pub everything: bool,
}

/// What a restore did.
#[derive(Debug, Default, Serialize)]
pub struct Restored {
    /// Put in place and registered.
    pub paths: usize,
    /// Their size as Nix counts it.
    pub bytes: u64,
    /// Valid before.
    pub present: usize,
    /// Left to be substituted.
    pub left: Option<Estimate>,
    /// Left out.
    pub refused: Vec<Refused>,
}

/// Puts every path of `cache` that can be trusted and is whole into the store;
/// registers them last, all at once. What cannot be restored is left out, with
/// all that refers to it.
pub fn restore(cache: &Cache, store: &Store<'_>, rules: Rules<'_>) -> Result<Restored, Error> {
    let (found, refused) = cache.read()?;
    let mut restored = Restored { refused, ..Restored::default() };
    if found.is_empty() {
        return Ok(restored);
    }
    let valid: HashSet<StorePath> = store.rows()?.into_iter().map(|row| row.path).collect();
    let mut wanted = BTreeMap::new();
    for narinfo in found {
        if valid.contains(&narinfo.info.path) {
            restored.present += 1;
        } else if let Err(refused) = trusted(&narinfo.info, rules) {
            restored.refused.push(refused);
        } else {
            wanted.insert(narinfo.info.path.clone(), narinfo);
        }
    }
    restored.refused.extend(close(&mut wanted, &valid));
    if !rules.everything {
        restored.left = estimate::leave(&mut wanted, cache, rules.keys);
    }

    let staging = Staging::new()?;
    let failed = unpack_all(cache, &staging, &wanted);
    for (path, refused) in failed {
        wanted.remove(&path);
        restored.refused.push(refused);
    }
    let whole: Vec<StorePath> = wanted.keys().cloned().collect();
    restored.refused.extend(close(&mut wanted, &valid));
    for path in whole.iter().filter(|path| !wanted.contains_key(*path)) {
        // Complete, yet nothing may refer to what is missing.
        let _ = nar::remove(&path.path());
    }
    let rows: Vec<&Info> = wanted.values().map(|narinfo| &narinfo.info).collect();
    if rows.is_empty() {
        return Ok(restored);
    }
    store.register(&rows)?;
    // Nix has just read these; that is no use of theirs.
    for row in rows.iter().filter(|row| row.path.is_derivation()) {
        let _ = nar::canonicalise(&row.path.path());
    }
    restored.paths = rows.len();
    restored.bytes = rows.iter().map(|row| row.nar_size).sum();
    Ok(restored)
}

/// Whether what the narinfo says may enter the store.
fn trusted(info: &Info, rules: Rules<'_>) -> Result<(), Refused> {
    let trust = rules.keys.judge(info);
    let lie = |why: &str| Refused::broken(info.path.base(), why);
    if trust == Trust::Forged {
        return Err(lie("a signature in the name of a trusted key does not hold"));
    }
    let addressed = match content(info).map_err(|why| lie(&why))? {
        Some(Content::Nar(hash)) if hash != info.nar_hash => {
            return Err(lie("its content address is of another content"));
        }
        other => other.is_some(),
    };
    if rules.signed_only && trust != Trust::Signed && !addressed {
        return Err(Refused::new(info.path.base(), "no trusted key signed it (`cache-trust: signed`)"));
    }
    Ok(())
}

/// Removes from `wanted` what refers to a path that is neither there nor
/// `valid`, until nothing does.
fn close(wanted: &mut BTreeMap<StorePath, NarInfo>, valid: &HashSet<StorePath>) -> Vec<Refused> {
    let mut refused = Vec::new();
    loop {
        let lacks = |narinfo: &NarInfo| {
            let known = |path: &&StorePath| !valid.contains(*path) && !wanted.contains_key(*path);
            narinfo.info.references.iter().find(known).cloned()
        };
        let gone: Vec<(StorePath, StorePath)> =
            wanted.iter().filter_map(|(path, narinfo)| Some((path.clone(), lacks(narinfo)?))).collect();
        if gone.is_empty() {
            return refused;
        }
        for (path, missing) in gone {
            wanted.remove(&path);
            let why = format!("it refers to {}, which is missing", missing.base());
            refused.push(Refused::new(path.base(), why));
        }
    }
}

/// Unpacks all of `wanted` with every core, the largest first; gives those
/// that failed, and why.
fn unpack_all(
    cache: &Cache,
    staging: &Staging,
    wanted: &BTreeMap<StorePath, NarInfo>,
) -> Vec<(StorePath, Refused)> {
    let mut queue: Vec<&NarInfo> = wanted.values().collect();
    queue.sort_by_key(|narinfo| std::cmp::Reverse(narinfo.info.nar_size));
    let failed = Mutex::new(Vec::new());
    let full = AtomicBool::new(false);
    parallel(queue.len(), |n| {
        let narinfo = queue[n];
        let path = &narinfo.info.path;
        let result = if full.load(Ordering::Relaxed) {
            Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full"))
        } else {
            unpack_one(cache, staging, narinfo)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", narinfo.url)))
        };
        if let Err(error) = result {
            use io::ErrorKind::{InvalidData, NotFound, Other, StorageFull, UnexpectedEof};
            full.fetch_or(error.kind() == StorageFull, Ordering::Relaxed);
            // The decoder's own errors are of kind `Other`.
            let broken = matches!(error.kind(), InvalidData | NotFound | Other | UnexpectedEof);
            let refused = Refused { broken, ..Refused::new(path.base(), error.to_string()) };
            // Frees its space at once.
            let _ = nar::remove(&staging.path().join(path.base()));
            failed.lock().unwrap_or_else(PoisonError::into_inner).push((path.clone(), refused));
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn unpack_one(cache: &Cache, staging: &Staging, narinfo: &NarInfo) -> io::Result<()> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let info = &narinfo.info;
    let to = staging.path().join(info.path.base());
    let file = open_regular(&cache.folder.join(&narinfo.url))?;
    // One byte more than promised is enough to know that it is too long.
    let mut decoder = zstd::Decoder::new(file)?;
    decoder.window_log_max(WINDOW)?;
    let decoder = io::Read::take(decoder, info.nar_size + 1);
    let (hash, size) = nar::unpack(decoder, &to)?;
    if (hash, size) != (info.nar_hash, info.nar_size) {
        return Err(wrong("its NAR has not the hash that its narinfo promises"));
    }
    if let Ok(Some(Content::File(expected))) = content(info) {
        let found = fs::symlink_metadata(&to)?.is_file().then(|| File::open(&to).and_then(sha256_reader));
        if found.transpose()?.is_none_or(|(found, _)| found != expected) {
            return Err(wrong("its content address is of another content"));
        }
        nar::canonicalise(&to)?;
    }
    place(&to, &info.path)
}

/// Runs `work` on 0..count with every core.
pub(crate) fn parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(count);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    work(n);
                }
            });
        }
    });
}
