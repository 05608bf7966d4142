//! Splits the cache for the cache service: at most eight immutable layers, each an entry of
//! the service, and a small index of them that changes. A commit that changes little
//! uploads little.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pydist::digest::{hex, sha256};
use toolkit::{Env, FileError, write_atomic};

use crate::cache::{Cache, IMAGES, RefusedEntry, TARBALLS, read_narinfo, read_text};
use crate::estimate::PERCENT_READ;
use crate::image::{self, ImageInfo, Images};
use crate::layer_index::{self, Index, Layer, MAX_LAYERS, PLAIN_NAME_LEN, is_digits, name};
use crate::narinfo::{NarInfo, image_url};
use crate::{nar, tree};

/// The index in its entry of the service.
const INDEX: &str = "index.json";
/// The index of the layers that this machine has, in the job's directory: two jobs with one cache
/// directory can restore different indexes.
const LOCAL_INDEX: &str = "layers.json";
/// Files of the cache that are saved with the index.
const INDEX_FILES: [&str; 4] = ["last-used", "restore-rate", PERCENT_READ, "nix-cache-info"];

/// What the cache service should save.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Staged {
    /// The id of the new layer, if there are new paths.
    pub(crate) layer: Option<String>,
    /// A digest of the set of layers and paths.
    pub(crate) name: String,
    /// Whether the set differs from the restored one.
    pub(crate) changed: bool,
    /// Paths that are in no layer, because their image cannot be read.
    pub(crate) unreadable: Vec<String>,
}

/// The directory that the nested cache steps restore into and save from. It is in the
/// workspace, the only directory whose path the cache service sees identically on every
/// runner, in every container and for every user.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    path: PathBuf,
}

impl Exchange {
    /// Must match `action.yml`.
    const NAME: &str = ".setup-nix";

    /// The directory of this job; `None` outside of a workflow.
    pub(crate) fn from_env(env: &Env) -> Option<Self> {
        env.get("GITHUB_ACTIONS")?;
        let workspace = env.get("GITHUB_WORKSPACE").filter(|path| !path.is_empty())?;
        Some(Self { path: Path::new(workspace).join(Self::NAME) })
    }

    /// The ids of the restored index's layers that `cache` lacks.
    pub(crate) fn missing(&self, cache: &Cache) -> Vec<String> {
        let index = self.directory("index").and_then(|from| Index::read(&from.join(INDEX)));
        let index = index.unwrap_or_default();
        let is_missing = |layer: &&Layer| !has_layer(cache, layer);
        index.layers.iter().filter(is_missing).map(|layer| layer.id.clone()).collect()
    }

    /// Moves what the service restored into `cache`. This does not imply trust. Incomplete
    /// layers are removed from the local index.
    pub(crate) fn adopt(&self, cache: &Cache) -> Result<(), FileError> {
        let local_index = cache.state.join(LOCAL_INDEX);
        tree::remove(&local_index).map_err(FileError::new("remove", &local_index))?;
        if let Some(from) = self.directory("index")
            && let Some(mut index) = Index::read(&from.join(INDEX))
        {
            let mut restored = BTreeSet::new();
            for layer in &index.layers {
                if let Some(from) = self.directory(&layer.id) {
                    restored.insert(layer.id.clone());
                    move_layer(cache, layer, &from);
                }
            }
            let (complete, incomplete): (Vec<_>, Vec<_>) =
                index.layers.into_iter().partition(|layer| has_layer(cache, layer));
            index.layers = complete;
            // A layer that the service no longer has can be saved under the same id again.
            index.damaged =
                incomplete.into_iter().map(|layer| layer.id).filter(|id| restored.contains(id)).collect();
            for name in INDEX_FILES {
                if read_text(&from.join(name)).is_ok() {
                    let _ = move_file(&from.join(name), &cache.dir.join(name));
                }
            }
            index.write(&local_index)?;
        }
        self.remove()
    }

    /// The subdirectory `name`, unless it or the exchange is a link, which could point anywhere.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        let path = self.path.join(name);
        (is_dir(&self.path) && is_dir(&path)).then_some(path)
    }

    /// Prepares the index, and a new layer with the paths that no other layer has, for the
    /// nested cache steps. Layers that are mostly unused, and the smallest ones if there are
    /// too many, are merged into the new layer.
    pub(crate) fn stage(&self, cache: &Cache, found: &[NarInfo]) -> Result<Staged, FileError> {
        self.remove()?;
        let local_index = cache.state.join(LOCAL_INDEX);
        let before = Index::read(&local_index).unwrap_or_default();
        let mut unsaved: BTreeMap<String, &NarInfo> =
            found.iter().map(|narinfo| (name(narinfo), narinfo)).collect();
        let images = Images::read(cache, found);
        let size = |narinfo: &NarInfo| {
            let file = || fs::symlink_metadata(cache.dir.join(&narinfo.url)).map_or(0, |meta| meta.len());
            images.packed_size(narinfo).unwrap_or_else(file)
        };
        let mut tarball = newest_tarball(cache);
        let mut kept: Vec<Layer> = Vec::new();
        for mut layer in before.layers.clone() {
            layer.paths.retain(|name| unsaved.contains_key(name));
            let own_tarball = tarball.is_some() && layer.tarball == tarball;
            let used_bytes: u64 = layer.paths.iter().map(|name| size(unsaved[name])).sum();
            // The next job packs the remaining paths of a mostly unused image again.
            let in_worn_image = |name: &String| unsaved[name].image().is_some_and(|id| images.is_worn(id));
            let worth_keeping = used_bytes * 2 >= layer.bytes || layer.paths.iter().any(in_worn_image);
            if own_tarball || (!layer.paths.is_empty() && worth_keeping) {
                unsaved.retain(|name, _| !layer.paths.contains(name));
                kept.push(layer);
            }
        }
        let by_name: BTreeMap<String, &NarInfo> =
            found.iter().map(|narinfo| (name(narinfo), narinfo)).collect();
        if kept.iter().any(|layer| tarball.is_some() && layer.tarball == tarball) {
            tarball = None;
        }
        while kept.len() + usize::from(!unsaved.is_empty() || tarball.is_some()) > MAX_LAYERS {
            // Avoid layers with images: they are large, and owned by root once mounted.
            let cost =
                |layer: &Layer| (layer.paths.iter().any(|name| name.len() > PLAIN_NAME_LEN), layer.bytes);
            let smallest = (0..kept.len()).min_by_key(|n| cost(&kept[*n])).unwrap_or(0);
            let layer = kept.remove(smallest);
            unsaved.extend(
                layer.paths.into_iter().filter_map(|name| Some((name.clone(), *by_name.get(&name)?))),
            );
            tarball = tarball.or_else(|| layer.tarball.filter(|hash| has_tarball(cache, hash)));
        }
        let unreadable = remove_unreadable(cache, &mut unsaved);
        let mut staged = Staged { unreadable, ..Staged::default() };
        if !unsaved.is_empty() || tarball.is_some() {
            let layer = self.create_layer(cache, &unsaved, tarball, &before.damaged)?;
            staged.layer = Some(layer.id.clone());
            kept.push(layer);
        }
        let index = Index::new(kept);
        staged.changed = index.layers != before.layers && !index.layers.is_empty();
        let text = serde_json::to_string(&index).unwrap_or_default();
        hex(&sha256(text.as_bytes()))[..16].clone_into(&mut staged.name);
        let to = self.path.join("index");
        index.write(&to.join(INDEX))?;
        index.write(&local_index)?;
        for name in INDEX_FILES {
            if let Ok(text) = read_text(&cache.dir.join(name)) {
                write_atomic(&to.join(name), text.as_bytes())?;
            }
        }
        Ok(staged)
    }

    /// Creates a layer of `paths`, with hard links to the cache's files.
    fn create_layer(
        &self,
        cache: &Cache,
        paths: &BTreeMap<String, &NarInfo>,
        tarball: Option<String>,
        damaged: &[String],
    ) -> Result<Layer, FileError> {
        // The id covers the whole narinfo, because another machine can have built the same
        // content with another deriver.
        let narinfos = paths.values().map(|narinfo| narinfo.to_text(([0; 32], 0)));
        let others = tarball.iter().chain(damaged).map(|name| format!("{name}\n"));
        let text: String = narinfos.chain(others).collect();
        let id = hex(&sha256(text.as_bytes()))[..32].to_owned();
        let to = self.path.join(&id);
        let mut bytes = 0;
        let mut link = |name: &Path| {
            bytes += link_or_copy(&cache.dir.join(name), &to.join(name))?;
            Ok(())
        };
        let mut make = || -> io::Result<()> {
            fs::create_dir_all(to.join("nar"))?;
            fs::create_dir_all(to.join(TARBALLS))?;
            fs::create_dir_all(to.join(IMAGES))?;
            for id in image::by_image(paths.values().copied()).keys() {
                link(Path::new(&image_url(id)))?;
                link(Path::new(&ImageInfo::url(id)))?;
            }
            for narinfo in paths.values() {
                if narinfo.image().is_none() {
                    link(Path::new(&narinfo.url))?;
                }
                link(Path::new(&format!("{}.narinfo", narinfo.info.path.digits())))?;
            }
            tarball.iter().try_for_each(|hash| link(&Path::new(TARBALLS).join(hash)))
        };
        make().map_err(FileError::new("write", &to))?;
        let manifest = manifest(&to).map_err(FileError::new("read", &to))?;
        Ok(Layer { id, bytes, tarball, manifest, paths: paths.keys().cloned().collect() })
    }

    /// Removes the directory.
    pub(crate) fn remove(&self) -> Result<(), FileError> {
        tree::remove(&self.path).map_err(FileError::new("remove", &self.path))
    }
}

/// Removes paths whose image cannot be read, and returns their names.
fn remove_unreadable(cache: &Cache, paths: &mut BTreeMap<String, &NarInfo>) -> Vec<String> {
    let mut removed = Vec::new();
    paths.retain(|_, narinfo| {
        let readable = narinfo.image().is_none_or(|id| image::open(cache, id).is_ok());
        removed.extend((!readable).then(|| narinfo.info.path.base().to_owned()));
        readable
    });
    removed
}

/// Moves the files of `layer` from the directory `from` into `cache`. Does nothing if its
/// narinfo files do not match the manifest.
fn move_layer(cache: &Cache, layer: &Layer, from: &Path) {
    if !manifest(from).is_ok_and(|found| found == layer.manifest) {
        return;
    }
    if is_dir(&from.join(IMAGES)) {
        let ids: BTreeSet<&str> =
            layer.paths.iter().filter_map(|name| name.get(PLAIN_NAME_LEN + 1..)).collect();
        for file in ids.iter().flat_map(|id| [image_url(id), ImageInfo::url(id)]) {
            // If the image is missing, its paths are skipped below.
            let _ = move_file(&from.join(&file), &cache.dir.join(&file));
        }
    }
    if is_dir(&from.join("nar")) {
        for name in &layer.paths {
            let file = format!("{}.narinfo", &name[..32]);
            let to = cache.dir.join(&file);
            let Some(narinfo) = read(&from.join(&file)).filter(|found| layer_index::name(found) == *name)
            else {
                continue;
            };
            // The archive first: without a narinfo it is ignored.
            let present = match narinfo.image() {
                Some(_) => has_archive(cache, &narinfo),
                None => move_file(&from.join(&narinfo.url), &cache.dir.join(&narinfo.url)).is_ok(),
            };
            if present {
                let _ = move_file(&from.join(&file), &to);
            }
        }
    }
    if let Some(hash) = &layer.tarball
        && is_dir(&from.join(TARBALLS))
    {
        let _ = move_file(&from.join(TARBALLS).join(hash), &cache.dir.join(TARBALLS).join(hash));
    }
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// SHA-256 over the names and contents of all narinfo files in `dir`, sorted by name.
fn manifest(dir: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "narinfo") {
            names.push(name);
        }
    }
    names.sort_unstable();
    let mut hashing = nar::Hashing::new(io::sink());
    for name in names {
        let text = read_narinfo(&dir.join(&name))?;
        io::Write::write_all(&mut hashing, format!("{} {}\n{text}", name.display(), text.len()).as_bytes())?;
    }
    Ok(hex(&hashing.finish().1))
}

/// Marks the layers that contain broken entries as damaged.
pub(crate) fn mark_damaged(cache: &Cache, refused: &[RefusedEntry]) -> Result<(), FileError> {
    let local_index = cache.state.join(LOCAL_INDEX);
    let Some(mut index) = Index::read(&local_index) else { return Ok(()) };
    let broken: BTreeSet<&str> =
        refused.iter().filter(|one| one.broken).filter_map(|one| one.name.get(..32)).collect();
    let has_broken = |layer: &Layer| layer.paths.iter().any(|name| broken.contains(&name[..32]));
    let (damaged, intact): (Vec<_>, Vec<_>) = index.layers.into_iter().partition(has_broken);
    if damaged.is_empty() {
        return Ok(());
    }
    index.layers = intact;
    index.damaged.extend(damaged.into_iter().map(|layer| layer.id));
    index.write(&local_index)
}

fn read(file: &Path) -> Option<NarInfo> {
    NarInfo::parse(&read_narinfo(file).ok()?).ok()
}

/// Whether `cache` has all files of `layer`.
fn has_layer(cache: &Cache, layer: &Layer) -> bool {
    let has = |name: &String| {
        let narinfo = read(&cache.dir.join(&name[..32]).with_extension("narinfo"));
        narinfo.is_some_and(|found| layer_index::name(&found) == *name && has_archive(cache, &found))
    };
    layer.paths.iter().all(has) && layer.tarball.as_ref().is_none_or(|hash| has_tarball(cache, hash))
}

/// Whether `cache` has the Nix tarball `hash`. A restored archive can have put a link in place of
/// the directory.
fn has_tarball(cache: &Cache, hash: &str) -> bool {
    let dir = cache.dir.join(TARBALLS);
    is_dir(&dir) && is_file(&dir.join(hash))
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

/// Whether `cache` has the NAR of `narinfo`, or its image with the hashes.
fn has_archive(cache: &Cache, narinfo: &NarInfo) -> bool {
    is_file(&cache.dir.join(&narinfo.url))
        && narinfo.image().is_none_or(|id| is_file(&cache.dir.join(ImageInfo::url(id))))
}

/// The hash of the most recently used Nix tarball in the cache, if any.
fn newest_tarball(cache: &Cache) -> Option<String> {
    let dir = cache.dir.join(TARBALLS);
    let entries = fs::read_dir(&dir).ok().filter(|_| is_dir(&dir))?.flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let time = |entry: &fs::DirEntry| entry.metadata().and_then(|meta| meta.modified()).ok();
    let named = files.map(|entry| (time(&entry), entry.file_name().to_string_lossy().into_owned()));
    named.filter(|(_, name)| is_digits(name, 64)).max().map(|(_, name)| name)
}

/// Moves a regular file into a directory that is not a link, copying it to another file system
/// if needed.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    if !is_file(from) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected a regular file"));
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
        if !is_dir(parent) {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "expected a directory, found a link to one",
            ));
        }
    }
    if fs::rename(from, to).is_ok() {
        return Ok(());
    }
    tree::remove(to)?;
    fs::copy(from, to)?;
    fs::remove_file(from)
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<u64> {
    if !is_file(from) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected a regular file"));
    }
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
    }
    Ok(fs::symlink_metadata(to)?.len())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::narinfo::{PathInfo, StorePath};

    #[test]
    fn does_not_follow_a_linked_tarball_directory() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(&dir.path().join("cache"), &dir.path().join("state"));
        cache.create().unwrap();
        let (victim, from) = (dir.path().join("victim"), dir.path().join("layer"));
        let (old, new) = ("1".repeat(64), "2".repeat(64));
        fs::create_dir_all(from.join(TARBALLS)).unwrap();
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join(&old), "").unwrap();
        fs::write(from.join(TARBALLS).join(&new), "").unwrap();
        symlink(&victim, cache.dir.join(TARBALLS)).unwrap();
        let manifest = manifest(&from).unwrap();
        let layer = |tarball: &String| Layer {
            id: "1".repeat(32),
            bytes: 0,
            tarball: Some(tarball.clone()),
            manifest: manifest.clone(),
            paths: BTreeSet::new(),
        };
        assert_eq!(newest_tarball(&cache), None);
        assert!(!has_layer(&cache, &layer(&old)));
        move_layer(&cache, &layer(&new), &from);
        assert!(!victim.join(&new).exists());
        // A link in place of the tarball is not one either.
        fs::remove_file(cache.dir.join(TARBALLS)).unwrap();
        fs::create_dir(cache.dir.join(TARBALLS)).unwrap();
        symlink(victim.join(&old), cache.dir.join(TARBALLS).join(&old)).unwrap();
        assert_eq!(newest_tarball(&cache), None);
        assert!(!has_layer(&cache, &layer(&old)));
        move_layer(&cache, &layer(&new), &from);
        assert!(has_layer(&cache, &layer(&new)));
    }

    #[test]
    fn two_jobs_with_one_cache_directory_have_their_own_index() {
        let dir = tempfile::tempdir().unwrap();
        let job = |name: &str| {
            let cache = Cache::new(&dir.path().join("cache"), &dir.path().join(name));
            cache.create().unwrap();
            (cache, Exchange { path: dir.path().join(format!("{name}-workspace")) })
        };
        let ((first, first_exchange), (second, second_exchange)) = (job("first"), job("second"));
        let tarball = first.dir.join(TARBALLS).join("1".repeat(64));
        fs::create_dir_all(first.dir.join(TARBALLS)).unwrap();
        fs::write(&tarball, "").unwrap();
        assert!(first_exchange.stage(&first, &[]).unwrap().changed);
        fs::remove_file(&tarball).unwrap();
        second_exchange.stage(&second, &[]).unwrap();
        second_exchange.adopt(&second).unwrap();
        fs::write(&tarball, "").unwrap();
        assert!(!first_exchange.stage(&first, &[]).unwrap().changed, "its layer is already saved");
    }

    #[test]
    fn reports_paths_whose_image_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(&dir.path().join("cache"), &dir.path().join("state"));
        cache.create().unwrap();
        let exchange = Exchange { path: dir.path().join(Exchange::NAME) };
        let narinfo = NarInfo {
            info: PathInfo {
                path: StorePath::from_base(&format!("{}-x", "1".repeat(32))).unwrap(),
                nar_hash: [0; 32],
                nar_size: 1,
                deriver: None,
                references: Vec::new(),
                signatures: Vec::new(),
                ca: None,
            },
            url: image_url(&"1".repeat(32)),
        };
        let staged = exchange.stage(&cache, std::slice::from_ref(&narinfo)).unwrap();
        assert_eq!(staged.unreadable, [narinfo.info.path.base()]);
        assert_eq!(staged.layer, None);
    }
}
