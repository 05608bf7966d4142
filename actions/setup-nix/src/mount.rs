//! Images of the cache over the store: mounted read-only, under an overlay whose
//! writable layer is the store itself. All of this takes root.
//!
//! A journal names what is mounted before it is, so that whatever is interrupted, the
//! next run can take it back.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use squashfs::Image;
use toolkit::{Cmd, FileError, OutputMode, Ui, write_atomic};

use crate::error::Error;
use crate::folder::{open_regular, read_text};
use crate::image::ImageInfo;
use crate::narinfo::{STORE, StorePath};
use crate::store::is_being_made;
use crate::tree;

/// What is mounted, or about to be; and the mark that its paths are registered.
const JOURNAL: &str = "/nix/var/nix/setup-nix-mounted.json";
const REGISTERED: &str = "/nix/var/nix/setup-nix-mounted.registered";
/// Where images and their mount points are, out of every other user's reach.
const PLACES: &str = "/var/lib/setup-nix";
/// The overlay's own directory; on the store's file system, as it must be.
const WORK: &str = "/nix/.setup-nix-work";
/// Names the overlay in the kernel's list of mounts.
const SOURCE: &str = "setup-nix";
/// The most images: each takes a loop device.
const MOST: usize = 32;
/// The longest request: the names of all paths that a cache can have.
pub(crate) const REQUEST: u64 = 64 << 20;
/// The longest options that the kernel takes, a page, less what is not ours.
const OPTIONS: usize = 4000;
/// Decompresses with every core. Kernels that cannot choose reject it (Linux,
/// `CONFIG_SQUASHFS_CHOICE_DECOMP_BY_MOUNT`).
const THREADS: &str = ",threads=multi";
/// The longest that a mount takes.
const LIMIT: Duration = Duration::from_secs(60);

/// An image, and the paths of it that are wanted.
#[derive(Debug, Serialize, Deserialize)]
pub struct WantedImage {
    pub(crate) file: PathBuf,
    pub(crate) id: String,
    pub(crate) about: ImageInfo,
    pub(crate) names: BTreeSet<String>,
}

/// What is to be mounted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Request {
    pub(crate) images: Vec<WantedImage>,
}

/// What was mounted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Mounted {
    pub(crate) images: usize,
    /// The paths that are now in the store.
    pub(crate) names: BTreeSet<String>,
    /// Why an image was left out, if one was.
    pub(crate) rejected: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    place: PathBuf,
    names: BTreeSet<String>,
    /// The owners that image files had, by their names in `place`.
    owners: BTreeMap<String, (u32, u32)>,
    /// What had been read from the images' devices when they were mounted, in sectors.
    sectors: u64,
}

/// What earlier runs left mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// Images whose paths are registered.
    InUse,
    /// What an interrupted run, or a restart of the machine, left.
    Remains,
}

/// Looks for what earlier runs left.
pub(crate) fn left() -> Left {
    if fs::symlink_metadata(JOURNAL).is_err() {
        return Left::Nothing;
    }
    if is_mounted() && Path::new(REGISTERED).exists() { Left::InUse } else { Left::Remains }
}

/// Notes that the paths of what is mounted are registered.
pub(crate) fn mark_registered() -> Result<(), FileError> {
    write_atomic(Path::new(REGISTERED), b"")
}

/// The paths that were mounted; those of the journal.
pub(crate) fn names() -> BTreeSet<StorePath> {
    journal().map(|journal| journal.paths()).unwrap_or_default()
}

fn journal() -> Option<Journal> {
    let journal: Journal = serde_json::from_str(&read_text(Path::new(JOURNAL)).ok()?).ok()?;
    // The directory that it is in may be another user's.
    (journal.place.parent() == Some(Path::new(PLACES)) && journal.place.file_name().is_some())
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

/// Whether the store is under an overlay of ours.
fn is_mounted() -> bool {
    // proc_pid_mountinfo(5): `… mount-point options … - type source options`.
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let last = text.lines().rfind(|line| line.split(' ').nth(4) == Some(STORE));
    last.and_then(|line| line.split_once(" - ")).is_some_and(|(_, rest)| {
        let mut words = rest.split(' ');
        words.next() == Some("overlay") && words.next() == Some(SOURCE)
    })
}

/// How much of the mounted images the job has read so far, in percent.
pub(crate) fn percent_read() -> Option<u64> {
    let journal = journal()?;
    let (read, all) = sectors(&journal.place)?;
    (read.saturating_sub(journal.sectors) * 100).checked_div(all)
}

/// The sectors that were read from the devices that are mounted in `place`, and those that
/// they have (Linux, `admin-guide/iostats.rst`).
fn sectors(place: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (mut read, mut all) = (0, 0);
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words.len() < 5 || Path::new(words[4]).parent() != Some(place) {
            continue;
        }
        let number = |file: &str, at: usize| {
            let text = fs::read_to_string(format!("/sys/dev/block/{}/{file}", words[2])).ok()?;
            text.split_whitespace().nth(at)?.parse::<u64>().ok()
        };
        read += number("stat", 2)?;
        all += number("size", 0)?;
    }
    Some((read, all))
}

/// An image that was checked.
struct Checked<'a> {
    wanted: &'a WantedImage,
    /// Its name in the place.
    name: String,
    roots: Vec<Vec<u8>>,
}

/// Mounts what `request` asks for; on an error nothing stays.
pub(crate) fn mount(request: &Request, ui: &Ui) -> Result<Mounted, Error> {
    // Before an image is read, which takes a while.
    if let Some(why) = obstacle() {
        return Err(Error::Mount(why.into()));
    }
    let place = place()?;
    let mut journal = Journal { place, names: BTreeSet::new(), owners: BTreeMap::new(), sectors: 0 };
    journal.write()?;
    let mounted = mount_all(request, &mut journal, ui);
    if mounted.as_ref().map_or(true, |mounted| mounted.names.is_empty()) {
        unmount()?;
    }
    mounted
}

/// Why nothing can be mounted here, as far as it is seen without trying.
fn obstacle() -> Option<&'static str> {
    if !fs::symlink_metadata(STORE).is_ok_and(|meta| meta.is_dir()) {
        return Some("the store is not a directory");
    }
    if left() != Left::Nothing {
        return Some("images of an earlier job are mounted");
    }
    // proc_pid_status(5), capabilities(7): CAP_SYS_ADMIN is the 21st.
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

/// A new directory that only root can enter.
fn place() -> Result<PathBuf, FileError> {
    let base = Path::new(PLACES);
    let make = || -> io::Result<PathBuf> {
        match DirBuilder::new().mode(0o700).create(base) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let meta = fs::symlink_metadata(base)?;
        if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
            return Err(io::Error::other("expected a directory of root's that nobody else can write to"));
        }
        Ok(tempfile::Builder::new().prefix("job-").tempdir_in(base)?.keep())
    };
    make().map_err(FileError::new("create", base))
}

fn mount_all(request: &Request, journal: &mut Journal, ui: &Ui) -> Result<Mounted, Error> {
    let mut mounted = Mounted::default();
    let mut images: Vec<&WantedImage> = request.images.iter().collect();
    // The largest ones first, where there are too many.
    images.sort_by_key(|image| std::cmp::Reverse(image.about.nar_bytes));
    let mut checked = Vec::new();
    for (n, wanted) in images.into_iter().take(MOST).enumerate() {
        let name = format!("{n}.squashfs");
        match check(wanted, &name, journal) {
            Ok(roots) => checked.push(Checked { wanted, name, roots }),
            Err(error) => mounted.rejected = Some(format!("image {}: {error}", wanted.id)),
        }
    }
    let (shown, hidden) = choose(&checked);
    if shown.is_empty() {
        return Ok(mounted);
    }
    journal.names.clone_from(&shown);
    journal.write()?;
    let mut layers: Vec<String> = Vec::new();
    let mut threads = THREADS;
    for (n, (image, hidden)) in checked.iter().zip(&hidden).enumerate() {
        let (point, mask) = (journal.place.join(format!("{n}")), journal.place.join(format!("{n}-mask")));
        fs::create_dir(&point).map_err(FileError::new("create", &point))?;
        let file = journal.place.join(&image.name);
        let mount = |threads: &str| {
            let run = Cmd::new("mount").args(["-t", "squashfs", "-o"]);
            let run = run.arg(format!("loop,ro,nosuid,nodev{threads}"));
            let run = run.arg(file.display().to_string()).arg(point.display().to_string());
            run.run(ui, OutputMode::Quiet, LIMIT)
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
    journal.sectors = sectors(&journal.place).map_or(0, |(read, _)| read);
    journal.write()?;
    tree::remove(Path::new(WORK)).map_err(FileError::new("remove", Path::new(WORK)))?;
    DirBuilder::new().mode(0o700).create(WORK).map_err(FileError::new("create", Path::new(WORK)))?;
    // With redirected directories, an overlay over one image keeps the numbers of inodes.
    let options =
        format!("nosuid,nodev,redirect_dir=on,lowerdir={},upperdir={STORE},workdir={WORK}", layers.join(":"));
    if options.len() > OPTIONS {
        return Err(Error::Mount("too many images".into()));
    }
    let run = Cmd::new("mount").args(["-t", "overlay", "-o", &options, SOURCE, STORE]);
    // Its new way of mounting cuts long options off (util-linux 2.39).
    run.env("LIBMOUNT_FORCE_MOUNT2", "always").run(ui, OutputMode::Quiet, LIMIT)?;
    mounted.images = checked.len();
    mounted.names = shown;
    Ok(mounted)
}

/// Takes an image out of other users' reach and reads all of it; gives the names of its
/// root.
fn check(wanted: &WantedImage, name: &str, journal: &mut Journal) -> io::Result<Vec<Vec<u8>>> {
    let to = journal.place.join(name);
    if fs::hard_link(&wanted.file, &to).is_ok() {
        let meta = fs::symlink_metadata(&to)?;
        journal.owners.insert(name.to_owned(), (meta.uid(), meta.gid()));
        journal.write().map_err(io::Error::other)?;
    } else {
        // On another file system.
        io::copy(&mut open_regular(&wanted.file)?, &mut File::create_new(&to)?)?;
    }
    let file = open_regular(&to)?;
    fchown(&file, Some(0), Some(0))?;
    file.set_permissions(Permissions::from_mode(0o400))?;
    wanted.about.check(&file)?;
    let mut image = Image::open(&file)?;
    // The kernel reads only what was read here without harm.
    image.check()?;
    Ok(image.root()?.into_iter().map(|entry| entry.name).collect())
}

/// Which names are shown, and for each image which of its own are hidden. An overlay
/// merges directories of one name: nothing may add to what the store has, nor one image
/// to another.
fn choose(images: &[Checked<'_>]) -> (BTreeSet<String>, Vec<Vec<Vec<u8>>>) {
    let mut shown = BTreeSet::new();
    let mut seen: HashSet<&[u8]> = HashSet::new();
    let mut hidden = Vec::new();
    for image in images {
        let mut others = Vec::new();
        for name in &image.roots {
            let text = std::str::from_utf8(name).ok().filter(|text| image.wanted.names.contains(*text));
            let path = text.and_then(StorePath::from_base);
            let free = |path: &StorePath| fs::symlink_metadata(path.path()).is_err() && !is_being_made(path);
            match path.filter(|path| !seen.contains(name.as_slice()) && free(path)) {
                Some(path) => {
                    shown.insert(path.base().to_owned());
                }
                None => others.push(name.clone()),
            }
            seen.insert(name);
        }
        hidden.push(others);
    }
    (shown, hidden)
}

/// Makes what an overlay takes for "removed" (Linux, `filesystems/overlayfs.rst`).
#[cfg(target_os = "linux")]
fn whiteout(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    Ok(mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)?)
}

#[cfg(not(target_os = "linux"))]
fn whiteout(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Takes back what is mounted, with all that the store has of its paths. They must not be
/// registered any more.
pub(crate) fn unmount() -> Result<(), Error> {
    let Some(journal) = journal() else {
        tree::remove(Path::new(JOURNAL)).map_err(FileError::new("remove", Path::new(JOURNAL)))?;
        return Ok(());
    };
    let detach = |point: &Path| {
        // Also where a process still works in it. Started directly: after an interrupt,
        // too.
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
    let read = |place: &Path| -> Vec<OsString> {
        fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
    };
    for name in read(&journal.place) {
        let path = journal.place.join(&name);
        if name.as_bytes().iter().all(u8::is_ascii_digit) {
            detach(&path);
        }
        let name = String::from_utf8_lossy(&name.into_vec()).into_owned();
        if let (Some((uid, gid)), Ok(file)) = (journal.owners.get(&name), open_regular(&path)) {
            let _ = fchown(&file, Some(*uid), Some(*gid));
            let _ = file.set_permissions(Permissions::from_mode(0o644));
        }
    }
    // A mount point that is still in use would be emptied of what is mounted: read-only,
    // so nothing is lost; the directory then stays.
    for path in [journal.place.as_path(), Path::new(WORK), Path::new(REGISTERED), Path::new(JOURNAL)] {
        tree::remove(path).map_err(FileError::new("remove", path))?;
    }
    Ok(())
}
