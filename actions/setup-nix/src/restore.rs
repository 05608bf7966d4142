//! From the cache folder into the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use pydist::digest::sha256_reader;
use serde::{Deserialize, Serialize};

use crate::choices::{CacheTrust, Restore};
use crate::database::Database;
use crate::error::Error;
use crate::estimate::{self, Estimate};
use crate::folder::{Cache, Refused, open_regular};
use crate::info::{Content, Info, Keys, NarInfo, STORE, StorePath, Trust, content};
use crate::nar;
use crate::parallel::parallel;
use crate::store::{Staging, hold_garbage_collection, is_being_made, place};

/// Compressed with more than 8 MiB of history, a NAR is none of ours and could
/// take any amount of memory.
const WINDOW: u32 = 23;
/// The most that a byte of zstd unpacks to: a block of 128 KiB of one byte takes four
/// (RFC 8878, section 3.1.1.2).
const RATIO: u64 = 32 << 10;

/// What may be restored.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Keys that are trusted.
    pub keys: &'a Keys,
    /// What they must have signed.
    pub trust: CacheTrust,
    /// Which of the trusted paths.
    pub restore: Restore,
}

/// What a restore did.
#[derive(Debug, Default, Serialize, Deserialize)]
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
/// registers them last, all at once, with their signatures and content addresses.
/// What cannot be restored is left out, with all that refers to it. No garbage is
/// collected meanwhile.
pub fn restore(cache: &Cache, rules: Rules<'_>) -> Result<Restored, Error> {
    let (found, refused) = cache.read()?;
    let mut restored = Restored { refused, ..Restored::default() };
    if found.is_empty() {
        return Ok(restored);
    }
    let _held = hold_garbage_collection()?;
    let mut database = Database::open(true)?;
    let mut valid: HashSet<StorePath> = database.valid()?.into_keys().collect();
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
    restored.refused.extend(bound(&mut wanted, cache));
    restored.refused.extend(close(&mut wanted, &valid));
    if rules.restore == Restore::Needed {
        restored.left = estimate::leave(&mut wanted, cache, rules.keys);
    }

    let staging = Staging::new()?;
    for (path, failure) in unpack_all(cache, &staging, &wanted, &mut database) {
        wanted.remove(&path);
        if let Some(refused) = failure {
            restored.refused.push(refused);
        } else {
            restored.present += 1;
            valid.insert(path);
        }
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
    database.register(&rows)?;
    // These were just read; that is no use of theirs.
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
    if rules.trust == CacheTrust::Signed && trust != Trust::Signed && !addressed {
        return Err(Refused::new(info.path.base(), "no trusted key signed it (`cache-trust: signed`)"));
    }
    Ok(())
}

/// Removes from `wanted` what refers to a path that is neither there nor
/// `valid`, until nothing does. Linear, for a cache can hold a chain of any length.
fn close(wanted: &mut BTreeMap<StorePath, NarInfo>, valid: &HashSet<StorePath>) -> Vec<Refused> {
    let mut users: HashMap<StorePath, Vec<StorePath>> = HashMap::new();
    let mut gone: Vec<(StorePath, StorePath)> = Vec::new();
    for (path, narinfo) in wanted.iter() {
        for reference in &narinfo.info.references {
            if wanted.contains_key(reference) {
                users.entry(reference.clone()).or_default().push(path.clone());
            } else if !valid.contains(reference) {
                gone.push((path.clone(), reference.clone()));
            }
        }
    }
    let mut refused = Vec::new();
    while let Some((path, missing)) = gone.pop() {
        if wanted.remove(&path).is_some() {
            let why = format!("it refers to {}, which is missing", missing.base());
            refused.push(Refused::new(path.base(), why));
            gone.extend(users.remove(&path).into_iter().flatten().map(|user| (user, path.clone())));
        }
    }
    refused
}

/// Removes from `wanted` what cannot be as large as it promises, and the largest paths
/// that the disk has no room for: they would fill it before they fail.
fn bound(wanted: &mut BTreeMap<StorePath, NarInfo>, cache: &Cache) -> Vec<Refused> {
    let mut refused = Vec::new();
    let mut room = rustix::fs::statvfs(STORE).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let mut order: Vec<(u64, StorePath)> =
        wanted.iter().map(|(path, narinfo)| (narinfo.info.nar_size, path.clone())).collect();
    order.sort_unstable();
    for (size, path) in order {
        let file = fs::symlink_metadata(cache.folder.join(&wanted[&path].url)).map_or(0, |meta| meta.len());
        let why = if file > 0 && size / RATIO > file {
            Refused::broken(path.base(), format!("{file} compressed bytes cannot be a NAR of {size}"))
        } else if size > room {
            Refused::new(path.base(), "the disk has no room for it")
        } else {
            room -= size;
            continue;
        };
        refused.push(why);
        wanted.remove(&path);
    }
    refused
}

/// Unpacks all of `wanted` with every core, the largest first; gives those
/// that failed, and why, and with no reason those that became valid meanwhile.
fn unpack_all(
    cache: &Cache,
    staging: &Staging,
    wanted: &BTreeMap<StorePath, NarInfo>,
    database: &mut Database,
) -> Vec<(StorePath, Option<Refused>)> {
    let database = Mutex::new(database);
    let valid = |path: &StorePath| {
        let database = database.lock().unwrap_or_else(PoisonError::into_inner);
        database.is_valid(path).map_err(|error| io::Error::new(io::ErrorKind::ResourceBusy, error))
    };
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
        // Another process may have built or substituted it since.
        let result = result.and_then(|from| {
            if is_being_made(path) {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a Nix process makes it now"));
            }
            let place_it = fs::symlink_metadata(path.path()).is_err() || !valid(path)?;
            if place_it {
                place(&from, path)?;
            }
            Ok(place_it)
        });
        if let Ok(false) = result {
            failed.lock().unwrap_or_else(PoisonError::into_inner).push((path.clone(), None));
        }
        if let Err(error) = result {
            use io::ErrorKind::{InvalidData, Other, StorageFull, UnexpectedEof};
            full.fetch_or(error.kind() == StorageFull, Ordering::Relaxed);
            // The decoder's own errors are of kind `Other`. What fails on the
            // store's side says nothing about the cache.
            let broken = matches!(error.kind(), InvalidData | Other | UnexpectedEof);
            let refused = Refused { broken, ..Refused::new(path.base(), error.to_string()) };
            // Frees its space at once.
            let _ = nar::remove(&staging.path().join(path.base()));
            failed.lock().unwrap_or_else(PoisonError::into_inner).push((path.clone(), Some(refused)));
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Unpacks one and compares it; gives where it is.
fn unpack_one(cache: &Cache, staging: &Staging, narinfo: &NarInfo) -> io::Result<PathBuf> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let info = &narinfo.info;
    let to = staging.path().join(info.path.base());
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::InvalidData, error),
        _ => error,
    };
    let file = open_regular(&cache.folder.join(&narinfo.url)).map_err(missing)?;
    // One byte more than promised is enough to know that it is too long.
    let mut decoder = zstd::Decoder::new(file)?;
    decoder.window_log_max(WINDOW)?;
    let decoder = io::Read::take(decoder, info.nar_size + 1);
    let (hash, size) = nar::unpack(decoder, info.nar_size, &to)?;
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
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(n: usize) -> StorePath {
        StorePath::from_base(&format!("{n:032}-x")).unwrap()
    }

    /// A chain whose last link is missing: to look at all of it again for each link
    /// would take hours.
    #[test]
    fn a_chain_of_any_length_is_left_out_in_linear_time() {
        let count = 200_000;
        let link = |n| {
            let info = Info {
                path: path(n),
                nar_hash: [0; 32],
                nar_size: 1,
                deriver: None,
                references: vec![path(n), path(n + 1)],
                signatures: Vec::new(),
                ca: None,
            };
            (path(n), NarInfo { info, url: "nar/x.nar.zst".into() })
        };
        let mut wanted: BTreeMap<_, _> = (0..count).map(link).collect();
        assert_eq!(close(&mut wanted.clone(), &HashSet::from([path(count)])).len(), 0);
        let refused = close(&mut wanted, &HashSet::new());
        assert_eq!((refused.len(), wanted.len()), (count, 0));
        assert!(refused[0].why.contains(path(count).base()), "{}", refused[0].why);
    }
}
