//! What goes to the cache service: the folder's paths in at most eight immutable
//! layers, an entry each, and an index of them, which is small and changes. A
//! commit that changes little uploads little.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pydist::digest::{hex, sha256};
use toolkit::{Env, FileError, write_atomic};

use crate::estimate::PERCENT_READ;
use crate::folder::{Cache, IMAGES, Refused, read_narinfo, read_text};
use crate::image::{self, ImageInfo, Images};
use crate::layer_index::{self, Index, LAYERS, Layer, PLAIN, is_digits, name};
use crate::narinfo::{NarInfo, image_url};
use crate::{nar, tree};

/// The index, in the directory of its entry; and what of it this machine has, in
/// the cache's folder.
const INDEX: &str = "index.json";
const KNOWN: &str = "layers.json";
/// Beside the index in its entry.
const BESIDE: [&str; 4] = ["last-used", "restore-rate", PERCENT_READ, "nix-cache-info"];
/// Nix's tarballs, in the cache's folder and in layers.
pub(crate) const TARBALLS: &str = "tarball";

/// What a save hands to the cache service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Staged {
    /// The new layer, where there is something new.
    pub(crate) layer: Option<String>,
    /// Names this set of layers and paths.
    pub(crate) name: String,
    /// Whether there is another set of layers or paths than before.
    pub(crate) changed: bool,
}

/// The directory that the nested steps fill and read. It lies in the workspace:
/// that is the one place whose path is the same for the cache service on every
/// runner, in every container and for every user.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    path: PathBuf,
}

impl Exchange {
    /// Its name, as `action.yml` has it.
    const NAME: &str = ".setup-nix";

    /// That of this job; none outside of a workflow.
    pub(crate) fn of(env: &Env) -> Option<Self> {
        env.get("GITHUB_ACTIONS")?;
        let workspace = env.get("GITHUB_WORKSPACE").filter(|path| !path.is_empty())?;
        Some(Self { path: Path::new(workspace).join(Self::NAME) })
    }

    /// The layers of the restored index that `cache` lacks.
    pub(crate) fn missing(&self, cache: &Cache) -> Vec<String> {
        let index = self.directory("index").and_then(|from| Index::read(&from.join(INDEX)));
        let index = index.unwrap_or_default();
        let lacks = |layer: &&Layer| !is_whole(cache, layer);
        index.layers.iter().filter(lacks).map(|layer| layer.id.clone()).collect()
    }

    /// Moves what the service restored into `cache`. Nothing of it is trusted by
    /// this; a layer that is not whole stays out of the list of those that are.
    pub(crate) fn adopt(&self, cache: &Cache) -> Result<(), FileError> {
        let known = cache.folder.join(KNOWN);
        tree::remove(&known).map_err(FileError::new("remove", &known))?;
        if let Some(from) = self.directory("index")
            && let Some(mut index) = Index::read(&from.join(INDEX))
        {
            let mut came = BTreeSet::new();
            for layer in &index.layers {
                if let Some(from) = self.directory(&layer.id) {
                    came.insert(layer.id.clone());
                    take(cache, layer, &from);
                }
            }
            let (whole, parts): (Vec<_>, Vec<_>) =
                index.layers.into_iter().partition(|layer| is_whole(cache, layer));
            index.layers = whole;
            // One that the service does not have can be saved under its id again.
            index.damaged = parts.into_iter().map(|layer| layer.id).filter(|id| came.contains(id)).collect();
            for name in BESIDE {
                if read_text(&from.join(name)).is_ok() {
                    let _ = carry(&from.join(name), &cache.folder.join(name));
                }
            }
            index.write(&known)?;
        }
        self.remove()
    }

    /// What lies there under `name`, if neither is a link: that could lead anywhere.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        let path = self.path.join(name);
        (is_real(&self.path) && is_real(&path)).then_some(path)
    }

    /// Puts the index, and a layer of what no other one holds, where the nested
    /// steps save them from. Layers of which less than half is left, and the
    /// smallest ones beyond eight, become part of the new one.
    pub(crate) fn stage(&self, cache: &Cache, found: &[NarInfo]) -> Result<Staged, FileError> {
        self.remove()?;
        let known = cache.folder.join(KNOWN);
        let before = Index::read(&known).unwrap_or_default();
        let mut rest: BTreeMap<String, &NarInfo> =
            found.iter().map(|narinfo| (name(narinfo), narinfo)).collect();
        let images = Images::read(cache, found);
        let size = |narinfo: &NarInfo| {
            let file = || fs::symlink_metadata(cache.folder.join(&narinfo.url)).map_or(0, |meta| meta.len());
            images.share(narinfo).unwrap_or_else(file)
        };
        let mut tarball = newest_tarball(cache);
        let mut kept: Vec<Layer> = Vec::new();
        for mut layer in before.layers.clone() {
            layer.paths.retain(|name| rest.contains_key(name));
            let own_tarball = tarball.is_some() && layer.tarball == tarball;
            let left: u64 = layer.paths.iter().map(|name| size(rest[name])).sum();
            // What is left of a worn image is packed anew by the next job.
            let worn = |name: &String| rest[name].image().is_some_and(|id| images.is_worn(id));
            let enough = left * 2 >= layer.bytes || layer.paths.iter().any(worn);
            if own_tarball || (!layer.paths.is_empty() && enough) {
                rest.retain(|name, _| !layer.paths.contains(name));
                kept.push(layer);
            }
        }
        let by_name: BTreeMap<String, &NarInfo> =
            found.iter().map(|narinfo| (name(narinfo), narinfo)).collect();
        if kept.iter().any(|layer| tarball.is_some() && layer.tarball == tarball) {
            tarball = None;
        }
        while kept.len() + usize::from(!rest.is_empty() || tarball.is_some()) > LAYERS {
            // Images are large, and root's once they were mounted.
            let cost = |layer: &Layer| (layer.paths.iter().any(|name| name.len() > PLAIN), layer.bytes);
            let smallest = (0..kept.len()).min_by_key(|n| cost(&kept[*n])).unwrap_or(0);
            let layer = kept.remove(smallest);
            rest.extend(
                layer.paths.into_iter().filter_map(|name| Some((name.clone(), *by_name.get(&name)?))),
            );
            tarball = tarball
                .or_else(|| layer.tarball.filter(|hash| cache.folder.join(TARBALLS).join(hash).is_file()));
        }
        rest.retain(|_, narinfo| narinfo.image().is_none_or(|id| image::open(cache, id).is_ok()));
        let mut staged = Staged::default();
        if !rest.is_empty() || tarball.is_some() {
            let layer = self.make(cache, &rest, tarball, &before.damaged)?;
            staged.layer = Some(layer.id.clone());
            kept.push(layer);
        }
        let index = Index::of(kept);
        staged.changed = index.layers != before.layers && !index.layers.is_empty();
        let text = serde_json::to_string(&index).unwrap_or_default();
        hex(&sha256(text.as_bytes()))[..16].clone_into(&mut staged.name);
        let to = self.path.join("index");
        index.write(&to.join(INDEX))?;
        index.write(&known)?;
        for name in BESIDE {
            if let Ok(text) = read_text(&cache.folder.join(name)) {
                write_atomic(&to.join(name), text.as_bytes())?;
            }
        }
        Ok(staged)
    }

    /// A layer of `paths`, by links to the cache's files.
    fn make(
        &self,
        cache: &Cache,
        paths: &BTreeMap<String, &NarInfo>,
        tarball: Option<String>,
        damaged: &[String],
    ) -> Result<Layer, FileError> {
        // Another machine can have built the same content with another deriver.
        let narinfos = paths.values().map(|narinfo| narinfo.print(([0; 32], 0)));
        let others = tarball.iter().chain(damaged).map(|name| format!("{name}\n"));
        let text: String = narinfos.chain(others).collect();
        let id = hex(&sha256(text.as_bytes()))[..32].to_owned();
        let to = self.path.join(&id);
        let mut bytes = 0;
        let mut link = |name: &Path| {
            bytes += link_or_copy(&cache.folder.join(name), &to.join(name))?;
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

    /// Takes the directory away.
    pub(crate) fn remove(&self) -> Result<(), FileError> {
        tree::remove(&self.path).map_err(FileError::new("remove", &self.path))
    }
}

/// Moves what `layer` has from its directory `from` into `cache`; nothing, if one of its
/// narinfo files is missing or is not as it was sent.
fn take(cache: &Cache, layer: &Layer, from: &Path) {
    if !manifest(from).is_ok_and(|found| found == layer.manifest) {
        return;
    }
    if is_real(&from.join(IMAGES)) {
        let ids: BTreeSet<&str> = layer.paths.iter().filter_map(|name| name.get(PLAIN + 1..)).collect();
        for file in ids.iter().flat_map(|id| [image_url(id), ImageInfo::url(id)]) {
            // Its paths are left out below where it did not come.
            let _ = carry(&from.join(&file), &cache.folder.join(&file));
        }
    }
    if is_real(&from.join("nar")) {
        for name in &layer.paths {
            let file = format!("{}.narinfo", &name[..32]);
            let to = cache.folder.join(&file);
            let Some(narinfo) = read(&from.join(&file)).filter(|found| layer_index::name(found) == *name)
            else {
                continue;
            };
            // The archive first, then what makes it count.
            let there = match narinfo.image() {
                Some(_) => has_archive(cache, &narinfo),
                None => carry(&from.join(&narinfo.url), &cache.folder.join(&narinfo.url)).is_ok(),
            };
            if there {
                let _ = carry(&from.join(&file), &to);
            }
        }
    }
    if let Some(hash) = &layer.tarball
        && is_real(&from.join(TARBALLS))
    {
        let _ = carry(&from.join(TARBALLS).join(hash), &cache.folder.join(TARBALLS).join(hash));
    }
}

fn is_real(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// SHA-256 over the names and texts of all narinfo files in `folder`, in the order of the
/// names.
fn manifest(folder: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "narinfo") {
            names.push(name);
        }
    }
    names.sort_unstable();
    let mut hashing = nar::Hashing::new(io::sink());
    for name in names {
        let text = read_narinfo(&folder.join(&name))?;
        io::Write::write_all(&mut hashing, format!("{} {}\n{text}", name.display(), text.len()).as_bytes())?;
    }
    Ok(hex(&hashing.finish().1))
}

/// Notes that what `refused` names is damaged in the layers that hold it.
pub(crate) fn forget(cache: &Cache, refused: &[Refused]) -> Result<(), FileError> {
    let known = cache.folder.join(KNOWN);
    let Some(mut index) = Index::read(&known) else { return Ok(()) };
    let broken: BTreeSet<&str> =
        refused.iter().filter(|one| one.broken).filter_map(|one| one.name.get(..32)).collect();
    let holds = |layer: &Layer| layer.paths.iter().any(|name| broken.contains(&name[..32]));
    let (damaged, sound): (Vec<_>, Vec<_>) = index.layers.into_iter().partition(holds);
    if damaged.is_empty() {
        return Ok(());
    }
    index.layers = sound;
    index.damaged.extend(damaged.into_iter().map(|layer| layer.id));
    index.write(&known)
}

fn read(file: &Path) -> Option<NarInfo> {
    NarInfo::parse(&read_narinfo(file).ok()?).ok()
}

/// Whether `cache` has all of `layer`.
fn is_whole(cache: &Cache, layer: &Layer) -> bool {
    let has = |name: &String| {
        let narinfo = read(&cache.folder.join(&name[..32]).with_extension("narinfo"));
        narinfo.is_some_and(|found| layer_index::name(&found) == *name && has_archive(cache, &found))
    };
    layer.paths.iter().all(has)
        && layer.tarball.as_ref().is_none_or(|hash| is_file(&cache.folder.join(TARBALLS).join(hash)))
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

/// Whether `cache` has the NAR of `narinfo`, or the image and its hashes.
fn has_archive(cache: &Cache, narinfo: &NarInfo) -> bool {
    is_file(&cache.folder.join(&narinfo.url))
        && narinfo.image().is_none_or(|id| is_file(&cache.folder.join(ImageInfo::url(id))))
}

/// The tarball that this machine's Nix came from.
fn newest_tarball(cache: &Cache) -> Option<String> {
    let entries = fs::read_dir(cache.folder.join(TARBALLS)).ok()?.flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    files.map(|entry| entry.file_name().to_string_lossy().into_owned()).find(|name| is_digits(name, 64))
}

/// Moves a regular file; over file systems by a copy.
fn carry(from: &Path, to: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(from)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected a regular file"));
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::rename(from, to).is_ok() {
        return Ok(());
    }
    tree::remove(to)?;
    fs::copy(from, to)?;
    fs::remove_file(from)
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<u64> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
    }
    Ok(fs::symlink_metadata(to)?.len())
}
