//! Restores paths from the cache into the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, RefusedEntry};
use crate::choices::{CacheTrust, Restore};
use crate::database::Database;
use crate::error::Error;
use crate::estimate::{self, Estimate};
use crate::image::{self, ImageInfo};
use crate::mount::{Mounted, Request, WantedImage};
use crate::narinfo::{
    Content, Keys, NarInfo, PathInfo, STORE, StorePath, Trust, addressed_content, image_url,
};
use crate::store::{Staging, block_garbage_collection};
use crate::tree;
use crate::unpack::unpack_all;

/// The highest possible compression ratio of zstd: a block of 128 KiB of equal bytes takes
/// four bytes (RFC 8878, section 3.1.1.2).
const MAX_RATIO: u64 = 32 << 10;

/// Which paths may be restored.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The trusted keys.
    pub keys: &'a Keys,
    /// Whether paths need a signature.
    pub trust: CacheTrust,
    /// Whether all trusted paths are restored, or only those that are likely needed.
    pub restore: Restore,
}

/// Mounts images, running commands as root as needed.
pub type Mounter<'a> = &'a dyn Fn(&Request) -> Result<Mounted, Error>;

/// The result of a restore.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Restored {
    /// Number of restored paths.
    pub paths: usize,
    /// Their NAR size.
    pub bytes: u64,
    /// How many of them are in mounted images.
    #[serde(default)]
    pub mounted: usize,
    /// Number of mounted images.
    #[serde(default)]
    pub images: usize,
    /// Why images were not mounted although they should be.
    #[serde(default)]
    pub not_mounted: Option<String>,
    /// Number of paths that were already valid.
    pub present: usize,
    /// Paths that are better substituted on demand.
    #[serde(rename = "left")]
    pub substitutable: Option<Estimate>,
    /// Entries that were skipped.
    pub refused: Vec<RefusedEntry>,
}

/// Restores every trusted and complete path of `cache`, and finally registers all of them in
/// one transaction, with their signatures and content addresses. Skips paths that cannot be
/// restored and all that refer to them. Blocks garbage collection meanwhile. With `mount_images`,
/// images are mounted instead of unpacked.
pub fn restore(
    cache: &Cache,
    rules: Rules<'_>,
    mount_images: Option<Mounter<'_>>,
) -> Result<Restored, Error> {
    let (found, refused) = cache.read()?;
    let mut restored = Restored { refused, ..Restored::default() };
    if found.is_empty() {
        return Ok(restored);
    }
    let _lock = block_garbage_collection()?;
    let mut database = Database::open(true)?;
    let mut valid: HashSet<StorePath> = database.valid()?.into_keys().collect();
    let mut wanted = BTreeMap::new();
    for narinfo in found {
        if valid.contains(&narinfo.info.path) {
            restored.present += 1;
        } else if let Err(refused) = check_trust(&narinfo.info, rules) {
            restored.refused.push(refused);
        } else {
            wanted.insert(narinfo.info.path.clone(), narinfo);
        }
    }
    restored.refused.extend(remove_unresolved(&mut wanted, &valid));
    let mounted = match mount_images {
        Some(mount_images) => mount(cache, &wanted, mount_images, &mut restored),
        None => HashSet::new(),
    };
    restored.refused.extend(remove_too_large(&mut wanted, cache, &mounted));
    restored.refused.extend(remove_unresolved(&mut wanted, &valid));
    if rules.restore == Restore::Needed {
        restored.substitutable = estimate::skip_substitutable(&mut wanted, cache, rules.keys, &mounted);
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
    let complete: Vec<StorePath> = wanted.keys().cloned().collect();
    restored.refused.extend(remove_unresolved(&mut wanted, &valid));
    for path in complete.iter().chain(&mounted).filter(|path| !wanted.contains_key(*path)) {
        // They are complete, but refer to something that is missing.
        let _ = tree::remove(&path.path());
    }
    let rows: Vec<&PathInfo> = wanted.values().map(|narinfo| &narinfo.info).collect();
    if rows.is_empty() {
        return Ok(restored);
    }
    database.register(&rows)?;
    // Registering read the derivations; reset their access times.
    for row in rows.iter().filter(|row| row.path.is_derivation() && !mounted.contains(&row.path)) {
        let _ = tree::canonicalise(&row.path.path());
    }
    restored.paths = rows.len();
    restored.bytes = rows.iter().map(|row| row.nar_size).sum();
    restored.mounted = rows.iter().filter(|row| mounted.contains(&row.path)).count();
    Ok(restored)
}

/// Mounts the images that hold paths of `wanted`; returns the paths that are then in the
/// store. Damaged images are rejected. After any other failure, all paths are unpacked.
fn mount(
    cache: &Cache,
    wanted: &BTreeMap<StorePath, NarInfo>,
    mount_images: Mounter<'_>,
    restored: &mut Restored,
) -> HashSet<StorePath> {
    let uid = rustix::process::geteuid().as_raw();
    let mut request = Request::default();
    for (id, paths) in image::by_image(wanted.values()) {
        let names = paths.iter().map(|narinfo| narinfo.info.path.base().to_owned());
        match ImageInfo::read(cache, id) {
            // This user could not collect the garbage in another user's image.
            Ok(info) if info.uid != uid => {}
            Ok(info) => request.images.push(WantedImage {
                file: cache.dir.join(image_url(id)),
                id: id.to_owned(),
                info,
                names: names.collect(),
            }),
            // Unpacking verifies its paths one by one.
            Err(why) => restored.not_mounted = Some(why),
        }
    }
    if request.images.is_empty() {
        return HashSet::new();
    }
    match mount_images(&request) {
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

/// Checks whether a path may be restored, according to its metadata.
fn check_trust(info: &PathInfo, rules: Rules<'_>) -> Result<(), RefusedEntry> {
    let trust = rules.keys.verify(info);
    let broken = |why: &str| RefusedEntry::broken(info.path.base(), why);
    if trust == Trust::Forged {
        return Err(broken("the signature by a trusted key is invalid"));
    }
    let addressed = match addressed_content(info).map_err(|why| broken(&why))? {
        Some(Content::Nar(hash)) if hash != info.nar_hash => {
            return Err(broken("its content address does not match its NAR hash"));
        }
        other => other.is_some(),
    };
    if rules.trust == CacheTrust::Signed && trust != Trust::Signed && !addressed {
        return Err(RefusedEntry::new(
            info.path.base(),
            "it is not signed by a trusted key (`cache-trust: signed`)",
        ));
    }
    Ok(())
}

/// Removes paths from `wanted` that refer, directly or not, to a path that is neither in
/// `wanted` nor `valid`. Takes linear time, because reference chains can be long.
fn remove_unresolved(
    wanted: &mut BTreeMap<StorePath, NarInfo>,
    valid: &HashSet<StorePath>,
) -> Vec<RefusedEntry> {
    let mut referrers: HashMap<StorePath, Vec<StorePath>> = HashMap::new();
    let mut removed: Vec<(StorePath, StorePath)> = Vec::new();
    for (path, narinfo) in wanted.iter() {
        for reference in &narinfo.info.references {
            if wanted.contains_key(reference) {
                referrers.entry(reference.clone()).or_default().push(path.clone());
            } else if !valid.contains(reference) {
                removed.push((path.clone(), reference.clone()));
            }
        }
    }
    let mut refused = Vec::new();
    while let Some((path, missing)) = removed.pop() {
        if wanted.remove(&path).is_some() {
            let why = format!("it refers to {}, which is missing", missing.base());
            refused.push(RefusedEntry::new(path.base(), why));
            removed.extend(
                referrers.remove(&path).into_iter().flatten().map(|referrer| (referrer, path.clone())),
            );
        }
    }
    refused
}

/// Removes paths from `wanted` that cannot be as large as their narinfo claims, and the
/// largest ones if the disk space is insufficient: they would fill the disk before failing.
fn remove_too_large(
    wanted: &mut BTreeMap<StorePath, NarInfo>,
    cache: &Cache,
    mounted: &HashSet<StorePath>,
) -> Vec<RefusedEntry> {
    let mut refused = Vec::new();
    let mut free = rustix::fs::statvfs(STORE).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    let to_unpack = wanted.iter().filter(|(path, _)| !mounted.contains(*path));
    let mut order: Vec<(u64, StorePath)> =
        to_unpack.map(|(path, narinfo)| (narinfo.info.nar_size, path.clone())).collect();
    order.sort_unstable();
    for (size, path) in order {
        let file = fs::symlink_metadata(cache.dir.join(&wanted[&path].url)).map_or(0, |meta| meta.len());
        let why = if file > 0 && size / MAX_RATIO > file {
            RefusedEntry::broken(
                path.base(),
                format!("{file} compressed bytes cannot unpack to {size} bytes"),
            )
        } else if size > free {
            RefusedEntry::new(path.base(), "not enough disk space")
        } else {
            free -= size;
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

    /// Quadratic time would take hours here.
    #[test]
    fn drops_long_chains_in_linear_time() {
        let count = 200_000;
        let link = |n| {
            let info = PathInfo {
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
        assert_eq!(remove_unresolved(&mut wanted.clone(), &HashSet::from([path(count)])).len(), 0);
        let refused = remove_unresolved(&mut wanted, &HashSet::new());
        assert_eq!((refused.len(), wanted.len()), (count, 0));
        assert!(refused[0].why.contains(path(count).base()), "{}", refused[0].why);
    }
}
