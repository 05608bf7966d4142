//! From the cache folder into the store.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use pydist::digest::sha256_reader;
use serde::{Deserialize, Serialize};

use crate::database::Database;
use crate::error::Error;
use crate::estimate::{self, Estimate};
use crate::folder::{Cache, Refused, open_regular};
use crate::info::{Content, Info, Keys, NarInfo, StorePath, Trust, content};
use crate::nar;
use crate::parallel::parallel;
use crate::store::{Staging, hold_garbage_collection, place};

/// Compressed with more than 8 MiB of history, a NAR is none of ours and could
/// take any amount of memory.
const WINDOW: u32 = 23;

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
    let valid: HashSet<StorePath> = database.valid()?.into_keys().collect();
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
            use io::ErrorKind::{InvalidData, Other, StorageFull, UnexpectedEof};
            full.fetch_or(error.kind() == StorageFull, Ordering::Relaxed);
            // The decoder's own errors are of kind `Other`. What fails on the
            // store's side says nothing about the cache.
            let broken = matches!(error.kind(), InvalidData | Other | UnexpectedEof);
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
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::InvalidData, error),
        _ => error,
    };
    let file = open_regular(&cache.folder.join(&narinfo.url)).map_err(missing)?;
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
