//! The store on this machine: Nix's programs, locks, and the staging directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use toolkit::{Cmd, FileError, OutputMode, Ui};

use crate::error::Error;
use crate::narinfo::{STORE, StorePath};
use crate::tree;

/// For queries and registrations.
const TIMEOUT: Duration = Duration::from_secs(600);
/// For copies to other stores.
const COPY_TIMEOUT: Duration = Duration::from_secs(3600);
/// Nix locks this exclusively while it collects garbage; a shared lock keeps it from doing
/// so (Nix, `src/libstore/gc.cc`).
const GC_LOCK: &str = "/nix/var/nix/gc.lock";
/// Nix's state directory.
pub(crate) const STATE: &str = "/nix/var/nix";
/// The nix.conf of the daemon that this action starts.
pub(crate) const DAEMON_CONF: &str = "/nix/var/nix/setup-nix.conf";
/// In the store, so that a rename moves a path into place; Nix treats it as garbage if we
/// are killed.
const STAGING: &str = ".setup-nix";

/// The programs of one Nix.
pub struct Store<'a> {
    /// The directory of `nix` and `nix-store`.
    pub bin: PathBuf,
    /// The `NIX_USER_CONF_FILES` of the programs.
    pub conf: PathBuf,
    /// Where the output of the programs goes.
    pub ui: &'a Ui,
}

impl Store<'_> {
    fn cmd(&self, name: &str) -> Cmd {
        Cmd::new(self.bin.join(name).display().to_string())
            .env("NIX_USER_CONF_FILES", self.conf.display().to_string())
    }

    fn nix<const N: usize>(&self, args: [&str; N]) -> Cmd {
        self.cmd("nix").args(["--extra-experimental-features", "nix-command"]).args(args)
    }

    /// Creates the database if it does not exist.
    pub fn init(&self) -> Result<(), Error> {
        self.cmd("nix-store").arg("--init").run(self.ui, OutputMode::Quiet, TIMEOUT)?;
        Ok(())
    }

    /// Copies `paths` and their closure to the store at `url`.
    pub fn copy(&self, url: &str, paths: &[StorePath]) -> Result<(), Error> {
        for chunk in paths.chunks(500) {
            let cmd = self.nix(["copy", "--to", url]).args(chunk.iter().map(StorePath::full));
            cmd.run(self.ui, OutputMode::Shown, COPY_TIMEOUT)?;
        }
        Ok(())
    }

    /// The version that `nix` reports.
    pub fn version(&self) -> Result<String, Error> {
        let output = self.cmd("nix").arg("--version").run(self.ui, OutputMode::Quiet, TIMEOUT)?;
        Ok(output.stdout.split_whitespace().last().unwrap_or_default().to_owned())
    }

    /// Fails if Nix cannot open the store.
    pub fn check(&self) -> Result<(), Error> {
        self.nix(["store", "ping"]).run(self.ui, OutputMode::Quiet, TIMEOUT)?;
        Ok(())
    }

    /// The effective settings, as Nix prints them.
    pub fn settings(&self) -> serde_json::Value {
        let show = |command: &[&str]| {
            self.nix([]).args(command.iter().copied()).run(self.ui, OutputMode::Quiet, TIMEOUT)
        };
        // Older versions of Nix only have `show-config`.
        let output = show(&["config", "show", "--json"]).or_else(|_| show(&["show-config", "--json"]));
        output.ok().and_then(|output| serde_json::from_str(&output.stdout).ok()).unwrap_or_default()
    }
}

/// A directory in the store for incomplete paths. Removed on drop; after a kill, the next
/// run removes it.
pub struct Staging {
    dir: PathBuf,
    _lock: File,
}

impl Staging {
    /// Creates the staging directory; waits until no other run uses it.
    pub fn new() -> Result<Self, FileError> {
        let store = Path::new(STORE);
        fs::create_dir_all(store).map_err(FileError::new("create", store))?;
        // Nix's own lock files in the store have this form.
        let lock = lock(&store.join(format!("{STAGING}.lock")))?;
        let dir = store.join(STAGING);
        if tree::remove(&dir).is_ok() {
            fs::create_dir(&dir).map_err(FileError::new("create", &dir))?;
            return Ok(Self { dir, _lock: lock });
        }
        // What cannot be removed must not disable every later restore.
        let fresh = tempfile::Builder::new().prefix(&format!("{STAGING}-")).tempdir_in(store);
        let dir = fresh.map_err(FileError::new("create", &dir))?.keep();
        Ok(Self { dir, _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The next run or Nix's garbage collection removes what is left.
        let _ = tree::remove(&self.dir);
    }
}

/// Locks `path` exclusively until the returned file is dropped; waits for other locks.
pub fn lock(path: &Path) -> Result<File, FileError> {
    lock_as(path, FlockOperation::LockExclusive)
}

/// Blocks garbage collection until the returned file is dropped; waits for a running one.
pub fn block_garbage_collection() -> Result<File, FileError> {
    lock_as(Path::new(GC_LOCK), FlockOperation::LockShared)
}

fn lock_as(path: &Path, operation: FlockOperation) -> Result<File, FileError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(open.map_err(|error| FileError::new("create", path)(error.into()))?);
    flock(&file, operation).map_err(|error| FileError::new("lock", path)(error.into()))?;
    Ok(file)
}

/// Whether a Nix process is building or substituting `path`: it then holds a lock beside it
/// (Nix, `src/libstore/pathlocks.cc`).
pub fn is_being_built(path: &StorePath) -> bool {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(format!("{}.lock", path.full()), flags, Mode::empty());
    file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// Moves `from` to the unregistered store path `path`, replacing leftovers.
pub fn move_into_store(from: &Path, path: &StorePath) -> io::Result<()> {
    let to = path.path();
    tree::remove(&to)?;
    tree::rename(from, &to)
}
