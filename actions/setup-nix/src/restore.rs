//! Restores paths from the cache into the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, RefusedEntry};
use crate::choices::{CacheTrust, Restore};
use crate::database::{Database, DatabaseError};
use crate::error::Error;
use crate::estimate::{self, Estimate};
use crate::image::{self, ImageInfo};
use crate::limits::Space;
use crate::mount::{Mounted, Request, WantedImage};
use crate::narinfo::{
    AddressError, Content, Keys, NarInfo, PathInfo, StorePath, Trust, addressed_content, image_url,
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
    restored.refused.extend(remove_cycles(&mut wanted));
    restored.refused.extend(remove_unresolved(&mut wanted, &valid));
    let mounted = match mount_images {
        Some(mount_images) => mount(cache, &wanted, mount_images, &mut restored),
        None => HashSet::new(),
    };
    let space = Space::of_store();
    restored.refused.extend(remove_too_large(&mut wanted, cache, &mounted, &space));
    restored.refused.extend(remove_unresolved(&mut wanted, &valid));
    if rules.restore == Restore::Needed {
        restored.substitutable = estimate::skip_substitutable(&mut wanted, cache, rules.keys, &mounted);
    }

    let staging = Staging::new()?;
    for (path, failure) in unpack_all(cache, &staging, &wanted, &mounted, &mut database, &space) {
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
    let rows: Vec<&PathInfo> = sort(&wanted).0.into_iter().map(|path| &wanted[path].info).collect();
    if rows.is_empty() {
        return Ok(restored);
    }
    register(&mut database, &rows, &mounted)?;
    // Registering read the derivations; reset their access times.
    for row in rows.iter().filter(|row| row.path.is_derivation() && !mounted.contains(&row.path)) {
        let _ = tree::canonicalise(&row.path.path());
    }
    restored.paths = rows.len();
    restored.bytes = rows.iter().map(|row| row.nar_size).sum();
    restored.mounted = rows.iter().filter(|row| mounted.contains(&row.path)).count();
    Ok(restored)
}

/// Registers `rows`, or else removes what was placed: without their registrations, the paths
/// would only take up space.
fn register(
    database: &mut Database,
    rows: &[&PathInfo],
    mounted: &HashSet<StorePath>,
) -> Result<(), DatabaseError> {
    let Err(error) = database.register(rows) else { return Ok(()) };
    for row in rows.iter().filter(|row| !mounted.contains(&row.path)) {
        // Another process may have registered it.
        if database.is_valid(&row.path).is_ok_and(|valid| !valid) {
            let _ = tree::remove(&row.path.path());
        }
    }
    Err(error)
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
    let addressed = match addressed_content(info) {
        Err(AddressError::Invalid(why)) => return Err(broken(&why)),
        Err(AddressError::Unsupported(why)) => return Err(RefusedEntry::new(info.path.base(), why)),
        Ok(Some(Content::Nar(hash))) if hash != info.nar_hash => {
            return Err(broken("its content address does not match its NAR hash"));
        }
        Ok(content) => content.is_some(),
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

/// Sorts the paths of `wanted` so that each follows those that it refers to. Also returns the
/// paths that cannot be sorted: those of cycles, and all that refer to them.
fn sort(wanted: &BTreeMap<StorePath, NarInfo>) -> (Vec<&StorePath>, HashSet<&StorePath>) {
    let mut missing: HashMap<&StorePath, usize> = HashMap::new();
    let mut referrers: HashMap<&StorePath, Vec<&StorePath>> = HashMap::new();
    for (path, narinfo) in wanted {
        // Each once, and paths may refer to themselves.
        let references: HashSet<&StorePath> =
            narinfo.info.references.iter().filter(|one| *one != path && wanted.contains_key(*one)).collect();
        missing.insert(path, references.len());
        for reference in references {
            referrers.entry(reference).or_default().push(path);
        }
    }
    let mut sorted: Vec<&StorePath> = wanted.keys().filter(|path| missing[*path] == 0).collect();
    let mut next = 0;
    while let Some(path) = sorted.get(next) {
        for referrer in referrers.remove(path).into_iter().flatten() {
            if let Some(count) = missing.get_mut(referrer) {
                *count -= 1;
                sorted.extend((*count == 0).then_some(referrer));
            }
        }
        next += 1;
    }
    let cyclic = missing.into_iter().filter(|(_, count)| *count > 0).map(|(path, _)| path).collect();
    (sorted, cyclic)
}

/// Removes paths from `wanted` that refer to each other in a cycle: Nix never makes them, and
/// cannot collect garbage once they are registered. Paths that only refer to them are left.
fn remove_cycles(wanted: &mut BTreeMap<StorePath, NarInfo>) -> Vec<RefusedEntry> {
    let (_, mut cyclic) = sort(wanted);
    // How many of the others refer to each; those that none does are not in a cycle.
    let mut referrers: HashMap<&StorePath, usize> = HashMap::new();
    let references = |path: &StorePath| -> HashSet<&StorePath> {
        wanted[path].info.references.iter().filter(|one| *one != path).collect()
    };
    for reference in cyclic.iter().flat_map(|path| references(path)) {
        *referrers.entry(reference).or_default() += 1;
    }
    let mut todo: Vec<&StorePath> =
        cyclic.iter().copied().filter(|path| !referrers.contains_key(path)).collect();
    while let Some(path) = todo.pop() {
        cyclic.remove(path);
        for reference in references(path) {
            if let Some(count) = referrers.get_mut(reference) {
                *count -= 1;
                todo.extend((*count == 0 && cyclic.contains(reference)).then_some(reference));
            }
        }
    }
    let cyclic: Vec<StorePath> = cyclic.into_iter().cloned().collect();
    let remove = |path: StorePath| {
        wanted.remove(&path);
        RefusedEntry::broken(path.base(), "its references form a cycle")
    };
    cyclic.into_iter().map(remove).collect()
}

/// Removes paths from `wanted` that cannot be as large as their narinfo claims, and the
/// largest ones if the disk space is insufficient: they would fill the disk before failing.
fn remove_too_large(
    wanted: &mut BTreeMap<StorePath, NarInfo>,
    cache: &Cache,
    mounted: &HashSet<StorePath>,
    space: &Space,
) -> Vec<RefusedEntry> {
    let mut refused = Vec::new();
    // Only content: how many blocks its files need is counted while they are unpacked.
    let mut free = space.bytes();
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

    fn wanted(references: &[&[usize]]) -> BTreeMap<StorePath, NarInfo> {
        let narinfo = |(n, references): (usize, &&[usize])| {
            let info = PathInfo {
                path: path(n),
                nar_hash: [0; 32],
                nar_size: 1,
                deriver: None,
                references: references.iter().map(|n| path(*n)).collect(),
                signatures: Vec::new(),
                ca: None,
            };
            (path(n), NarInfo { info, url: "nar/x.nar.zst".into() })
        };
        references.iter().enumerate().map(narinfo).collect()
    }

    #[test]
    fn rejects_reference_cycles_but_not_self_references() {
        // 0 and 1 refer to each other, 2 to itself and 0, 3 to itself, 4 to 3 and 3 again.
        let mut paths = wanted(&[&[1], &[0, 5], &[2, 0], &[3], &[3, 3], &[]]);
        let mut refused: Vec<String> = remove_cycles(&mut paths).into_iter().map(|one| one.name).collect();
        refused.sort();
        assert_eq!(refused, [path(0).base(), path(1).base()]);
        let refused = remove_unresolved(&mut paths, &HashSet::new());
        assert_eq!((refused.len(), refused[0].name.as_str()), (1, path(2).base()));
        let (sorted, cyclic) = sort(&paths);
        assert!(cyclic.is_empty() && sorted.len() == 3);
        let at = |n: usize| sorted.iter().position(|one| **one == path(n)).unwrap();
        assert!(at(3) < at(4));
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
        assert_eq!(remove_cycles(&mut wanted).len(), 0);
        assert_eq!(remove_unresolved(&mut wanted.clone(), &HashSet::from([path(count)])).len(), 0);
        let refused = remove_unresolved(&mut wanted, &HashSet::new());
        assert_eq!((refused.len(), wanted.len()), (count, 0));
        assert!(refused[0].why.contains(path(count).base()), "{}", refused[0].why);
    }
}
