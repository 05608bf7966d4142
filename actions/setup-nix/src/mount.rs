//! Mounts images of the cache over the store: read-only, under an overlay whose writable
//! layer is the store itself. All of this requires root.
//!
//! A journal is written before anything is mounted, so that the next run can undo an
//! interrupted one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock};
use serde::{Deserialize, Serialize};
use squashfs::Image;
use toolkit::{Cmd, FileError, OutputMode, Ui, write_atomic};

use crate::cache::{open_regular, read_text};
use crate::error::Error;
use crate::image::{ImageInfo, check_deadline};
use crate::narinfo::{STORE, StorePath};
use crate::store::is_being_built;
use crate::tree;

/// The journal of what is mounted or about to be.
const JOURNAL: &str = "/nix/var/nix/setup-nix-mounted.json";
/// Locked while images are mounted and registered, or unmounted.
const LOCK: &str = "/nix/var/nix/setup-nix-mounted.lock";
/// Exists if the mounted paths are registered in Nix's database.
const REGISTERED: &str = "/nix/var/nix/setup-nix-mounted.registered";
/// Holds the images and their mount points; only root can enter it.
const BASE_DIR: &str = "/var/lib/setup-nix";
/// The overlay's work directory, which must be on the store's file system.
const WORK: &str = "/nix/.setup-nix-work";
/// The overlay's source in the kernel's list of mounts.
const SOURCE: &str = "setup-nix";
/// Each image needs a loop device.
const MAX_IMAGES: usize = 32;
/// In bytes: enough for the names of all paths that a cache can have.
pub(crate) const MAX_REQUEST: u64 = 64 << 20;
/// In bytes: the kernel accepts a page of options, and `mount` adds some.
const MAX_OPTIONS: usize = 4000;
/// Makes the kernel decompress with all cores. Kernels without the choice reject it (Linux,
/// `CONFIG_SQUASHFS_CHOICE_DECOMP_BY_MOUNT`).
const THREADS: &str = ",threads=multi";
const TIMEOUT: Duration = Duration::from_secs(60);
/// For verifying all images. Shorter than what the caller waits, because it cannot end a process
/// of root.
const CHECK_TIMEOUT: Duration = Duration::from_secs(240);

/// An image and the names of the paths to show from it.
#[derive(Debug, Serialize, Deserialize)]
pub struct WantedImage {
    pub(crate) file: PathBuf,
    pub(crate) id: String,
    pub(crate) info: ImageInfo,
    pub(crate) names: BTreeSet<String>,
}

/// The images to mount.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Request {
    pub(crate) images: Vec<WantedImage>,
}

/// The result of mounting.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Mounted {
    pub(crate) images: usize,
    /// Names of the paths that are now in the store.
    pub(crate) names: BTreeSet<String>,
    /// Why an image was skipped, if one was.
    pub(crate) rejected: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    /// The job's directory below [`BASE_DIR`].
    #[serde(rename = "place")]
    job_dir: PathBuf,
    names: BTreeSet<String>,
    /// The original owners of the image files, by their names in `job_dir`.
    owners: BTreeMap<String, (u32, u32)>,
    /// Sectors that had been read from the images' devices when they were mounted.
    sectors: u64,
}

/// The mounts of earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EarlierMounts {
    None,
    /// Images whose paths are registered.
    InUse,
    /// Leftovers of an interrupted run or a restart of the machine.
    Stale,
}

/// Looks for mounts of earlier runs.
pub(crate) fn earlier_mounts() -> EarlierMounts {
    if fs::symlink_metadata(JOURNAL).is_err() {
        return EarlierMounts::None;
    }
    if is_mounted() && Path::new(REGISTERED).exists() { EarlierMounts::InUse } else { EarlierMounts::Stale }
}

/// Keeps other jobs from mounting and unmounting until the returned file is dropped; waits for
/// them. Every user can lock it.
pub(crate) fn lock(ui: &Ui) -> Result<File, FileError> {
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = || -> io::Result<File> {
        let file = rustix::fs::open(LOCK, flags, Mode::from_raw_mode(0o644))?;
        // Whatever the umask of the user who has created it.
        let _ = fchmod(&file, Mode::from_raw_mode(0o644));
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            ui.info("waiting for another job, which mounts or unmounts images");
            flock(&file, FlockOperation::LockExclusive)?;
        }
        Ok(file.into())
    };
    open().map_err(FileError::new("lock", Path::new(LOCK)))
}

/// Records that the mounted paths are registered.
pub(crate) fn mark_registered() -> Result<(), FileError> {
    write_atomic(Path::new(REGISTERED), b"")
}

/// The mounted paths, according to the journal.
pub(crate) fn mounted_paths() -> BTreeSet<StorePath> {
    journal().map(|journal| journal.paths()).unwrap_or_default()
}

fn journal() -> Option<Journal> {
    let journal: Journal = serde_json::from_str(&read_text(Path::new(JOURNAL)).ok()?).ok()?;
    // Another user may have written the journal.
    (journal.job_dir.parent() == Some(Path::new(BASE_DIR)) && journal.job_dir.file_name().is_some())
        .then_some(journal)
}

impl Journal {
    fn write(&self) -> Result<(), FileError> {
        let text = serde_json::to_string(self).unwrap_or_default();
        write_atomic(Path::new(JOURNAL), text.as_bytes())?;
        let readable = fs::set_permissions(JOURNAL, Permissions::from_mode(0o644));
        readable.map_err(FileError::new("write", Path::new(JOURNAL)))
    }

    fn paths(&self) -> BTreeSet<StorePath> {
        self.names.iter().filter_map(|name| StorePath::from_base(name)).collect()
    }
}

/// Whether our overlay is mounted over the store.
fn is_mounted() -> bool {
    // proc_pid_mountinfo(5): `… mount-point options … - type source options`.
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let last = text.lines().rfind(|line| line.split(' ').nth(4) == Some(STORE));
    last.and_then(|line| line.split_once(" - ")).is_some_and(|(_, rest)| {
        let mut fields = rest.split(' ');
        fields.next() == Some("overlay") && fields.next() == Some(SOURCE)
    })
}

/// Percentage of the mounted images that the job has read so far.
pub(crate) fn percent_read() -> Option<u64> {
    let journal = journal()?;
    let (read, total) = sectors(&journal.job_dir)?;
    (read.saturating_sub(journal.sectors) * 100).checked_div(total)
}

/// Sectors read from the devices that are mounted in `job_dir`, and their total number
/// (Linux, `admin-guide/iostats.rst`).
fn sectors(job_dir: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (mut read, mut total) = (0, 0);
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if fields.len() < 5 || Path::new(fields[4]).parent() != Some(job_dir) {
            continue;
        }
        let number = |file: &str, column: usize| {
            let text = fs::read_to_string(format!("/sys/dev/block/{}/{file}", fields[2])).ok()?;
            text.split_whitespace().nth(column)?.parse::<u64>().ok()
        };
        read += number("stat", 2)?;
        total += number("size", 0)?;
    }
    Some((read, total))
}

/// A verified image.
struct Checked<'a> {
    wanted: &'a WantedImage,
    /// Its name in the job's directory.
    name: String,
    /// The names in its root directory.
    roots: Vec<Vec<u8>>,
}

/// Mounts the requested images; after an error nothing stays mounted.
pub(crate) fn mount(request: &Request, ui: &Ui) -> Result<Mounted, Error> {
    // First, because reading an image takes a while.
    if let Some(why) = obstacle() {
        return Err(Error::Mount(why.into()));
    }
    let job_dir = create_job_dir()?;
    let mut journal = Journal { job_dir, names: BTreeSet::new(), owners: BTreeMap::new(), sectors: 0 };
    journal.write()?;
    let mounted = mount_all(request, &mut journal, ui);
    if mounted.as_ref().map_or(true, |mounted| mounted.names.is_empty()) {
        unmount()?;
    }
    mounted
}

/// Why nothing can be mounted here, as far as can be determined without trying.
fn obstacle() -> Option<&'static str> {
    if !fs::symlink_metadata(STORE).is_ok_and(|meta| meta.is_dir()) {
        return Some("the store is not a directory");
    }
    if earlier_mounts() != EarlierMounts::None {
        return Some("images of an earlier job are still mounted");
    }
    // proc_pid_status(5), capabilities(7): CAP_SYS_ADMIN is bit 21.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = capabilities.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    if capabilities.is_some_and(|all| all & 1 << 21 == 0) {
        return Some("this container does not allow mounts");
    }
    is_overlay().then_some("the store is on an overlay, which cannot be the upper layer of another one")
}

#[cfg(target_os = "linux")]
fn is_overlay() -> bool {
    /// Linux, `include/uapi/linux/magic.h`.
    const OVERLAYFS: i64 = 0x794c_7630;
    rustix::fs::statfs(STORE).is_ok_and(|fs| i128::from(fs.f_type) == i128::from(OVERLAYFS))
}

#[cfg(not(target_os = "linux"))]
fn is_overlay() -> bool {
    false
}

/// Creates a directory that only root can enter.
fn create_job_dir() -> Result<PathBuf, FileError> {
    let base = Path::new(BASE_DIR);
    let make = || -> io::Result<PathBuf> {
        tree::create_private_dir(base)?;
        Ok(tempfile::Builder::new().prefix("job-").tempdir_in(base)?.keep())
    };
    make().map_err(FileError::new("create", base))
}

fn mount_all(request: &Request, journal: &mut Journal, ui: &Ui) -> Result<Mounted, Error> {
    let mut mounted = Mounted::default();
    let mut images: Vec<&WantedImage> = request.images.iter().collect();
    // If there are too many, the largest ones are mounted.
    images.sort_by_key(|image| std::cmp::Reverse(image.info.nar_bytes));
    let mut checked = Vec::new();
    let deadline = Instant::now() + CHECK_TIMEOUT;
    for (n, wanted) in images.into_iter().take(MAX_IMAGES).enumerate() {
        let name = format!("{n}.squashfs");
        match check(wanted, &name, journal, deadline) {
            Ok(roots) => checked.push(Checked { wanted, name, roots }),
            Err(error) => mounted.rejected = Some(format!("image {}: {error}", wanted.id)),
        }
    }
    let (shown, hidden) = select_names(&checked);
    if shown.is_empty() {
        return Ok(mounted);
    }
    journal.names.clone_from(&shown);
    journal.write()?;
    let mut layers: Vec<String> = Vec::new();
    let mut threads = THREADS;
    for (n, (image, hidden)) in checked.iter().zip(&hidden).enumerate() {
        let (point, mask) = (journal.job_dir.join(format!("{n}")), journal.job_dir.join(format!("{n}-mask")));
        fs::create_dir(&point).map_err(FileError::new("create", &point))?;
        let file = journal.job_dir.join(&image.name);
        let mount = |threads: &str| {
            let run = Cmd::new("mount").args(["-t", "squashfs", "-o"]);
            let run = run.arg(format!("loop,ro,nosuid,nodev{threads}"));
            let run = run.arg(file.display().to_string()).arg(point.display().to_string());
            run.run(ui, OutputMode::Quiet, TIMEOUT)
        };
        if threads.is_empty() || mount(threads).is_err() {
            threads = "";
            mount(threads)?;
        }
        if !hidden.is_empty() {
            fs::create_dir(&mask).map_err(FileError::new("create", &mask))?;
            for name in hidden {
                whiteout(&mask.join(OsStr::from_bytes(name))).map_err(FileError::new("write", &mask))?;
            }
            layers.push(mask.display().to_string());
        }
        layers.push(point.display().to_string());
    }
    journal.sectors = sectors(&journal.job_dir).map_or(0, |(read, _)| read);
    journal.write()?;
    tree::remove(Path::new(WORK)).map_err(FileError::new("remove", Path::new(WORK)))?;
    DirBuilder::new().mode(0o700).create(WORK).map_err(FileError::new("create", Path::new(WORK)))?;
    // With `redirect_dir`, an overlay over a single image keeps inode numbers.
    let options =
        format!("nosuid,nodev,redirect_dir=on,lowerdir={},upperdir={STORE},workdir={WORK}", layers.join(":"));
    if options.len() > MAX_OPTIONS {
        return Err(Error::Mount("too many images".into()));
    }
    let run = Cmd::new("mount").args(["-t", "overlay", "-o", &options, SOURCE, STORE]);
    // The new mount API of util-linux 2.39 truncates long options.
    run.env("LIBMOUNT_FORCE_MOUNT2", "always").run(ui, OutputMode::Quiet, TIMEOUT)?;
    mounted.images = checked.len();
    mounted.names = shown;
    Ok(mounted)
}

/// Makes an image inaccessible to other users and verifies it; returns the names in its
/// root directory.
fn check(
    wanted: &WantedImage,
    name: &str,
    journal: &mut Journal,
    deadline: Instant,
) -> io::Result<Vec<Vec<u8>>> {
    let to = journal.job_dir.join(name);
    let original = open_regular(&wanted.file)?;
    wanted.info.check_size(&original)?;
    if fs::hard_link(&wanted.file, &to).is_ok() {
        let meta = fs::symlink_metadata(&to)?;
        journal.owners.insert(name.to_owned(), (meta.uid(), meta.gid()));
        journal.write().map_err(io::Error::other)?;
    } else {
        // On another file system.
        copy(original, wanted.info.bytes(), &to, deadline)?;
    }
    let file = open_regular(&to)?;
    fchown(&file, Some(0), Some(0))?;
    // Readable, because `save` may have to copy it into a new layer.
    file.set_permissions(Permissions::from_mode(0o444))?;
    wanted.info.check(&file, deadline)?;
    let mut image = Image::open(&file)?;
    // The kernel's parser gets only images that our parser accepts.
    image.check()?;
    Ok(image.root()?.into_iter().map(|entry| entry.name).collect())
}

/// Copies at most `bytes` of `from`, which can grow meanwhile, to the new file `to`.
fn copy(from: File, bytes: u64, to: &Path, deadline: Instant) -> io::Result<()> {
    /// In bytes, between two looks at the clock.
    const PIECE: u64 = 64 << 20;
    let mut to = File::create_new(to)?;
    let mut from = from.take(bytes);
    while io::copy(&mut (&mut from).take(PIECE), &mut to)? > 0 {
        check_deadline(deadline)?;
    }
    Ok(())
}

/// Selects the names to show and, for each image, its names to hide. An overlay merges
/// directories of the same name, so no image may add to a path of the store or of another
/// image.
fn select_names(images: &[Checked<'_>]) -> (BTreeSet<String>, Vec<Vec<Vec<u8>>>) {
    let mut shown = BTreeSet::new();
    let mut seen: HashSet<&[u8]> = HashSet::new();
    let mut hidden = Vec::new();
    for image in images {
        let mut hide = Vec::new();
        for name in &image.roots {
            let text = std::str::from_utf8(name).ok().filter(|text| image.wanted.names.contains(*text));
            let path = text.and_then(StorePath::from_base);
            let free = |path: &StorePath| fs::symlink_metadata(path.path()).is_err() && !is_being_built(path);
            match path.filter(|path| !seen.contains(name.as_slice()) && free(path)) {
                Some(path) => {
                    shown.insert(path.base().to_owned());
                }
                None => hide.push(name.clone()),
            }
            seen.insert(name);
        }
        hidden.push(hide);
    }
    (shown, hidden)
}

/// Creates a whiteout: the overlay treats the name as removed (Linux,
/// `filesystems/overlayfs.rst`).
#[cfg(target_os = "linux")]
fn whiteout(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, mknodat};
    Ok(mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)?)
}

#[cfg(not(target_os = "linux"))]
fn whiteout(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Unmounts everything and removes the store's changes to the mounted paths, which must no
/// longer be registered.
pub(crate) fn unmount() -> Result<(), Error> {
    let Some(journal) = journal() else {
        tree::remove(Path::new(JOURNAL)).map_err(FileError::new("remove", Path::new(JOURNAL)))?;
        return Ok(());
    };
    let detach = |point: &Path| {
        // `-l` detaches busy mount points too. Not run through `Cmd`, which does nothing
        // after an interrupt.
        let mut command = Command::new("umount");
        let _ = command.arg("-l").arg(point).stdout(Stdio::null()).stderr(Stdio::null()).status();
    };
    if is_mounted() {
        detach(Path::new(STORE));
        if is_mounted() {
            return Err(Error::Mount(format!("cannot unmount `{STORE}`")));
        }
    }
    for path in journal.paths() {
        tree::remove(&path.path()).map_err(FileError::new("remove", &path.path()))?;
    }
    let list = |dir: &Path| -> Vec<OsString> {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
    };
    for name in list(&journal.job_dir) {
        let path = journal.job_dir.join(&name);
        if name.as_bytes().iter().all(u8::is_ascii_digit) {
            detach(&path);
        }
        let name = String::from_utf8_lossy(&name.into_vec()).into_owned();
        if let (Some((uid, gid)), Ok(file)) = (journal.owners.get(&name), open_regular(&path)) {
            let _ = fchown(&file, Some(*uid), Some(*gid));
            let _ = file.set_permissions(Permissions::from_mode(0o644));
        }
    }
    // If a mount point is still busy, removing it fails without damage, because the image
    // is mounted read-only; the directory then stays.
    for path in [journal.job_dir.as_path(), Path::new(WORK), Path::new(REGISTERED), Path::new(JOURNAL)] {
        tree::remove(path).map_err(FileError::new("remove", path))?;
    }
    Ok(())
}
