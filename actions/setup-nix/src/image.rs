//! Packs large batches of store paths into squashfs images, which can be mounted instead of
//! unpacked.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Instant;

use pydist::digest::{Sha256Bytes, hex, sha256};
use serde::{Deserialize, Serialize};
use squashfs::{Owner, Writer};
use toolkit::{cores, parallel};

use crate::cache::{Cache, IMAGES, PART, open_regular, read_text};
use crate::nar::{self, Hashing, write};
use crate::narinfo::{NarInfo, PathInfo, image_url};

/// In bytes. Smaller batches are stored as NARs, which are unpacked quickly anyway.
pub(crate) const MIN_BATCH: u64 = 64 << 20;
/// Higher levels cost more time than they save.
const LEVEL: i32 = 6;
/// In bytes. Chunks are hashed in parallel.
const CHUNK: u64 = 4 << 20;
/// In bytes: what a small image may exceed its expected size by.
const SLACK: u64 = 1 << 20;

/// The size, owner and hashes of an image. The image's id is a hash of this, so a narinfo
/// that refers to the image authenticates all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageInfo {
    /// The owner of its files.
    pub(crate) uid: u32,
    /// The size of the image.
    bytes: u64,
    /// The NAR size of its paths.
    pub(crate) nar_bytes: u64,
    /// SHA-256 of each chunk of [`CHUNK`] bytes.
    chunks: Vec<String>,
}

impl ImageInfo {
    /// The file of an image's info, relative to the cache.
    pub(crate) fn url(id: &str) -> String {
        format!("{IMAGES}/{id}.json")
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads and validates the untrusted info of the image `id`.
    pub(crate) fn read(cache: &Cache, id: &str) -> Result<Self, String> {
        let text = read_text(&cache.dir.join(Self::url(id))).map_err(|error| error.to_string())?;
        let info: Self = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if hex(&sha256(info.text().as_bytes()))[..32] != *id {
            return Err("its list of hashes does not match its name".into());
        }
        Ok(info)
    }

    fn of(file: &File, uid: u32, nar_bytes: u64) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        let chunks = hash(file, bytes, None)?.iter().map(|digest| hex(digest)).collect();
        Ok(Self { uid, bytes, nar_bytes, chunks })
    }

    /// Checks what costs little, before anything is copied or hashed: the size and number of
    /// chunks of `file`, and that it has no holes. Holes would cost no space but time to hash;
    /// an image is compressed and has none.
    pub(crate) fn check_size(&self, file: &File) -> io::Result<()> {
        let meta = file.metadata()?;
        if meta.len() != self.bytes {
            return Err(invalid(&format!("the image has {} bytes, expected {}", meta.len(), self.bytes)));
        }
        if self.chunks.len() as u64 != self.bytes.div_ceil(CHUNK) {
            return Err(invalid("the image does not match its hashes"));
        }
        let max_bytes = self.nar_bytes.saturating_mul(2).saturating_add(SLACK);
        if self.bytes > max_bytes {
            return Err(invalid("the image is larger than its paths"));
        }
        let has_holes = |blocks: u64| blocks.saturating_mul(1024).saturating_add(SLACK) < self.bytes;
        // Some file systems count blocks only once they are written.
        if has_holes(meta.blocks()) {
            file.sync_all()?;
            if has_holes(file.metadata()?.blocks()) {
                return Err(invalid("the image has holes"));
            }
        }
        Ok(())
    }

    /// The size of the image.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Verifies all of `file`, with all cores. Fails after `deadline`.
    pub(crate) fn check(&self, file: &File, deadline: Instant) -> io::Result<()> {
        self.check_size(file)?;
        let found = hash(file, self.bytes, Some(deadline))?;
        let matches = found.iter().zip(&self.chunks).all(|(found, expected)| hex(found) == *expected);
        if matches { Ok(()) } else { Err(invalid("the image does not match its hashes")) }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Fails after `deadline`.
pub(crate) fn check_deadline(deadline: Instant) -> io::Result<()> {
    if Instant::now() > deadline {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "verifying the image took too long"));
    }
    Ok(())
}

fn hash(file: &File, bytes: u64, deadline: Option<Instant>) -> io::Result<Vec<Sha256Bytes>> {
    let count = usize::try_from(bytes.div_ceil(CHUNK)).map_err(io::Error::other)?;
    let digests = parallel(count, |n| {
        deadline.map_or(Ok(()), check_deadline)?;
        let start = n as u64 * CHUNK;
        let length = CHUNK.min(bytes - start);
        let mut hashing = Hashing::new(io::sink());
        let mut buffer = vec![0; 1 << 18];
        let mut done = 0;
        while done < length {
            let count = buffer.len().min(usize::try_from(length - done).unwrap_or(usize::MAX));
            file.read_exact_at(&mut buffer[..count], start + done)?;
            io::Write::write_all(&mut hashing, &buffer[..count])?;
            done += count as u64;
        }
        Ok(hashing.finish().1)
    });
    digests.into_iter().collect()
}

/// The info of each image of a cache, with the NAR size of its paths that are still in use.
#[derive(Debug, Default)]
pub(crate) struct Images(HashMap<String, (ImageInfo, u64)>);

impl Images {
    /// Reads the info of all images that `found` refers to.
    pub(crate) fn read(cache: &Cache, found: &[NarInfo]) -> Self {
        let mut used: HashMap<&str, u64> = HashMap::new();
        for narinfo in found {
            if let Some(id) = narinfo.image() {
                *used.entry(id).or_default() += narinfo.info.nar_size;
            }
        }
        let info = |(id, used): (&str, u64)| Some((id.to_owned(), (ImageInfo::read(cache, id).ok()?, used)));
        Self(used.into_iter().filter_map(info).collect())
    }

    /// Whether less than half of the image is in use.
    pub(crate) fn is_worn(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|(info, used)| used * 2 < info.nar_bytes)
    }

    /// The compressed size of `narinfo`'s part of its image.
    pub(crate) fn packed_size(&self, narinfo: &NarInfo) -> Option<u64> {
        let (info, _) = self.0.get(narinfo.image()?)?;
        Some(info.bytes.checked_mul(narinfo.info.nar_size)? / info.nar_bytes.max(1))
    }
}

/// Divides a batch into one part per core, because the kernel may read each image with a
/// single core.
pub(crate) fn divide(infos: Vec<PathInfo>) -> Vec<Vec<PathInfo>> {
    let total: u64 = infos.iter().map(|info| info.nar_size).sum();
    let count = usize::try_from(total / MIN_BATCH).unwrap_or(usize::MAX).clamp(1, cores());
    let mut parts: Vec<(u64, Vec<PathInfo>)> = vec![(0, Vec::new()); count];
    let mut infos = infos;
    infos.sort_by_key(|info| std::cmp::Reverse(info.nar_size));
    for info in infos {
        if let Some(least) = parts.iter_mut().min_by_key(|part| part.0) {
            least.0 += info.nar_size;
            least.1.push(info);
        }
    }
    parts.into_iter().map(|part| part.1).filter(|part| !part.is_empty()).collect()
}

/// The paths that were packed into an image, and those that failed, with the reason.
pub(crate) type PackedImage = (Vec<NarInfo>, Vec<(PathInfo, io::Error)>);

/// Packs `infos` into one image of `cache`. Fails with `Interrupted` on `stop`.
pub(crate) fn pack_image(
    cache: &Cache,
    infos: &[PathInfo],
    stop: &(dyn Fn() -> bool + Sync),
) -> io::Result<PackedImage> {
    let mut infos = infos.to_vec();
    infos.sort_by(|a, b| a.path.cmp(&b.path));
    let dir = cache.dir.join(IMAGES);
    let part = tempfile::Builder::new().prefix(PART).tempfile_in(&dir)?;
    let owner = Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
    let to = io::BufWriter::with_capacity(1 << 18, part);
    let mut writer = Writer::new(to, owner, LEVEL)?;
    let (mut packed, mut failed) = (Vec::new(), Vec::new());
    for info in infos {
        if stop() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match add(&mut writer, &info) {
            Ok(()) => packed.push(info),
            Err(error) => {
                writer.abandon(info.path.base().as_bytes());
                failed.push((info, error));
            }
        }
    }
    if packed.is_empty() {
        return Ok((Vec::new(), failed));
    }
    let (to, _) = writer.finish()?;
    let part = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    let nar_bytes = packed.iter().map(|info| info.nar_size).sum();
    let image_info = ImageInfo::of(part.as_file(), owner.uid, nar_bytes)?;
    let id = hex(&sha256(image_info.text().as_bytes()))[..32].to_owned();
    fs::set_permissions(part.path(), Permissions::from_mode(0o644))?;
    part.persist(cache.dir.join(image_url(&id))).map_err(|error| error.error)?;
    write_unsynced(&dir, &cache.dir.join(ImageInfo::url(&id)), image_info.text().as_bytes())?;
    let narinfo = |info| NarInfo { info, url: image_url(&id) };
    Ok((packed.into_iter().map(narinfo).collect(), failed))
}

/// Writes a file atomically but without syncing, because thousands of syncs take minutes.
/// Readers reject files that a crash of the machine left incomplete.
pub(crate) fn write_unsynced(dir: &Path, to: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = tempfile::Builder::new().prefix(PART).tempfile_in(dir)?;
    io::Write::write_all(&mut part, bytes)?;
    fs::set_permissions(part.path(), Permissions::from_mode(0o644))?;
    part.persist(to).map_err(|error| error.error)?;
    Ok(())
}

/// Adds a path to an image and compares it with what Nix registered.
fn add<W: io::Write + io::Seek>(writer: &mut Writer<W>, info: &PathInfo) -> io::Result<()> {
    let mut nar = Hashing::new(io::sink());
    write::start(&mut nar)?;
    node(writer, &mut nar, info.path.base().as_bytes(), &info.path.path())?;
    let (_, hash, size) = nar.finish();
    if (hash, size) == (info.nar_hash, info.nar_size) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "its content differs from what Nix registered"))
}

fn node<W: io::Write + io::Seek>(
    writer: &mut Writer<W>,
    nar: &mut Hashing<io::Sink>,
    name: &[u8],
    path: &Path,
) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        let target = fs::read_link(path)?;
        write::link(nar, target.as_os_str().as_bytes())?;
        writer.link(name, target.as_os_str().as_bytes())
    } else if meta.is_dir() {
        write::directory(nar)?;
        writer.directory(name)?;
        for name in nar::sorted_names(path)? {
            write::entry(nar, name.as_bytes())?;
            node(writer, nar, name.as_bytes(), &path.join(&name))?;
            write::end(nar)?;
        }
        writer.end()?;
        write::end(nar)
    } else if meta.is_file() {
        let executable = nar::executable(&meta);
        write::file(nar, executable, meta.len())?;
        let before = nar.size();
        writer.file(name, executable, Tee { from: File::open(path)?.take(meta.len()), to: nar })?;
        if nar.size() - before != meta.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write::end_file(nar, meta.len())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "neither a file, a directory nor a link"))
    }
}

struct Tee<'a, R> {
    from: R,
    to: &'a mut Hashing<io::Sink>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        io::Write::write_all(self.to, &buffer[..count])?;
        Ok(count)
    }
}

/// Opens the image `id` of `cache`.
pub(crate) fn open(cache: &Cache, id: &str) -> io::Result<File> {
    open_regular(&cache.dir.join(image_url(id)))
}

/// Groups narinfos by their image.
pub(crate) fn by_image<'a>(
    narinfos: impl Iterator<Item = &'a NarInfo>,
) -> BTreeMap<&'a str, Vec<&'a NarInfo>> {
    let mut images: BTreeMap<&str, Vec<&NarInfo>> = BTreeMap::new();
    for narinfo in narinfos {
        if let Some(id) = narinfo.image() {
            images.entry(id).or_default().push(narinfo);
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_implausible_image_is_rejected_before_it_is_hashed() {
        let sparse = tempfile::tempfile().unwrap();
        let bytes: u64 = 1 << 40;
        sparse.set_len(bytes).unwrap();
        let deadline = Instant::now() + std::time::Duration::from_secs(3600);
        let chunks = |count: u64| vec![String::new(); usize::try_from(count).unwrap()];
        let count = bytes.div_ceil(CHUNK);
        let info = |nar_bytes, count| ImageInfo { uid: 0, bytes, nar_bytes, chunks: chunks(count) };
        for (info, why) in [
            (ImageInfo { bytes: 1, ..info(bytes, count) }, "expected 1"),
            (info(bytes, 3), "does not match its hashes"),
            (info(1 << 30, count), "larger than its paths"),
            (info(bytes, count), "has holes"),
        ] {
            let error = info.check(&sparse, deadline).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let full = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut &full, &[1; 5000]).unwrap();
        let info = ImageInfo::of(&full, 0, 5000).unwrap();
        info.check(&full, deadline).unwrap();
        let past = Instant::now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let error = info.check(&full, past).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
