//! From the cache folder into the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;

use serde::{Deserialize, Serialize};

use crate::choices::{CacheTrust, Restore};
use crate::database::Database;
use crate::error::Error;
use crate::estimate::{self, Estimate};
use crate::folder::{Cache, Refused};
use crate::image::{self, ImageInfo};
use crate::mount::{Mounted, Request, WantedImage};
use crate::narinfo::{Content, Info, Keys, NarInfo, STORE, StorePath, Trust, content, image_url};
use crate::store::{Staging, hold_garbage_collection};
use crate::tree;
use crate::unpack::unpack_all;

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

/// Mounts images; the commands that need root are its own.
pub type Mounter<'a> = &'a dyn Fn(&Request) -> Result<Mounted, Error>;

/// What a restore did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Restored {
    /// Put in place and registered.
    pub paths: usize,
    /// Their size as Nix counts it.
    pub bytes: u64,
    /// Of those, the ones that are read from mounted images.
    #[serde(default)]
    pub mounted: usize,
    /// How many images are mounted.
    #[serde(default)]
    pub images: usize,
    /// Why no image is mounted, where one was to be.
    #[serde(default)]
    pub not_mounted: Option<String>,
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
/// collected meanwhile. With `ask_to_mount`, images are mounted instead of unpacked.
pub fn restore(
    cache: &Cache,
    rules: Rules<'_>,
    ask_to_mount: Option<Mounter<'_>>,
) -> Result<Restored, Error> {
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
    restored.refused.extend(close(&mut wanted, &valid));
    let mounted = ask_to_mount.map_or_else(HashSet::new, |ask| mount(cache, &wanted, ask, &mut restored));
    restored.refused.extend(bound(&mut wanted, cache, &mounted));
    restored.refused.extend(close(&mut wanted, &valid));
    if rules.restore == Restore::Needed {
        restored.left = estimate::leave(&mut wanted, cache, rules.keys, &mounted);
    }

    let staging = Staging::new()?;
    for (path, failure) in unpack_all(cache, &staging, &wanted, &mounted, &mut database) {
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
    for path in whole.iter().chain(&mounted).filter(|path| !wanted.contains_key(*path)) {
        // Complete, yet nothing may refer to what is missing.
        let _ = tree::remove(&path.path());
    }
    let rows: Vec<&Info> = wanted.values().map(|narinfo| &narinfo.info).collect();
    if rows.is_empty() {
        return Ok(restored);
    }
    database.register(&rows)?;
    // These were just read; that is no use of theirs.
    for row in rows.iter().filter(|row| row.path.is_derivation() && !mounted.contains(&row.path)) {
        let _ = tree::canonicalise(&row.path.path());
    }
    restored.paths = rows.len();
    restored.bytes = rows.iter().map(|row| row.nar_size).sum();
    restored.mounted = rows.iter().filter(|row| mounted.contains(&row.path)).count();
    Ok(restored)
}

/// Mounts the images that hold paths of `wanted`; gives the paths that are then there. A
/// damaged image is rejected; what else fails leaves all to be unpacked.
fn mount(
    cache: &Cache,
    wanted: &BTreeMap<StorePath, NarInfo>,
    ask: Mounter<'_>,
    restored: &mut Restored,
) -> HashSet<StorePath> {
    let own = rustix::process::geteuid().as_raw();
    let mut request = Request::default();
    for (id, paths) in image::by_image(wanted.values()) {
        let names = paths.iter().map(|narinfo| narinfo.info.path.base().to_owned());
        match ImageInfo::read(cache, id) {
            // Another user could not collect its paths.
            Ok(about) if about.uid != own => {}
            Ok(about) => request.images.push(WantedImage {
                file: cache.folder.join(image_url(id)),
                id: id.to_owned(),
                about,
                names: names.collect(),
            }),
            // Whether its paths are whole is seen when they are unpacked.
            Err(why) => restored.not_mounted = Some(why),
        }
    }
    if request.images.is_empty() {
        return HashSet::new();
    }
    match ask(&request) {
        Ok(mounted) => {
            restored.images = mounted.images;
            restored.not_mounted = mounted.rejected.or(restored.not_mounted.take());
            mounted.names.iter().filter_map(|name| StorePath::from_base(name)).collect()
        }
        Err(error) => {
            restored.not_mounted = Some(toolkit::error_chain(&error));
            HashSet::new()
        }
    }
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
fn bound(
    wanted: &mut BTreeMap<StorePath, NarInfo>,
    cache: &Cache,
    mounted: &HashSet<StorePath>,
) -> Vec<Refused> {
    let mut refused = Vec::new();
    let mut room = rustix::fs::statvfs(STORE).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let rest = wanted.iter().filter(|(path, _)| !mounted.contains(*path));
    let mut order: Vec<(u64, StorePath)> =
        rest.map(|(path, narinfo)| (narinfo.info.nar_size, path.clone())).collect();
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
