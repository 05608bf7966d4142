//! The store on this machine: its programs, its database, its staging folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use toolkit::{Cmd, FileError, OutputMode, Ui};

use crate::error::Error;
use crate::narinfo::{STORE, StorePath};
use crate::tree;

/// For commands that only ask or register.
const LIMIT: Duration = Duration::from_secs(600);
/// For copies to other stores.
const COPY: Duration = Duration::from_secs(3600);
/// Held exclusively while garbage is collected, shared by whoever must not lose
/// paths meanwhile (Nix, `src/libstore/gc.cc`).
const GC_LOCK: &str = "/nix/var/nix/gc.lock";
/// Where Nix keeps what it knows of the store.
pub(crate) const STATE: &str = "/nix/var/nix";
/// Beside the paths, so that a rename puts one in place; Nix counts it as
/// garbage if we are killed.
const STAGING: &str = ".setup-nix";

/// The programs of one Nix.
pub struct Store<'a> {
    /// The folder of `nix` and `nix-store`.
    pub bin: PathBuf,
    /// `NIX_USER_CONF_FILES` for them.
    pub conf: PathBuf,
    /// Starts them.
    pub ui: &'a Ui,
}

impl Store<'_> {
    /// A command for the program `name`, with `nix-command` switched on.
    fn cmd(&self, name: &str) -> Cmd {
        Cmd::new(self.bin.join(name).display().to_string())
            .env("NIX_USER_CONF_FILES", self.conf.display().to_string())
    }

    fn nix<const N: usize>(&self, args: [&str; N]) -> Cmd {
        self.cmd("nix").args(["--extra-experimental-features", "nix-command"]).args(args)
    }

    /// Makes the database, where there is none.
    pub fn init(&self) -> Result<(), Error> {
        self.cmd("nix-store").arg("--init").run(self.ui, OutputMode::Quiet, LIMIT)?;
        Ok(())
    }

    /// Copies `paths` and what they refer to into the store at `url`.
    pub fn copy(&self, url: &str, paths: &[StorePath]) -> Result<(), Error> {
        for some in paths.chunks(500) {
            let cmd = self.nix(["copy", "--to", url]).args(some.iter().map(StorePath::full));
            cmd.run(self.ui, OutputMode::Shown, COPY)?;
        }
        Ok(())
    }

    /// The version that `nix` tells.
    pub fn version(&self) -> Result<String, Error> {
        let done = self.cmd("nix").arg("--version").run(self.ui, OutputMode::Quiet, LIMIT)?;
        Ok(done.stdout.split_whitespace().last().unwrap_or_default().to_owned())
    }

    /// Whether the store answers.
    pub fn check(&self) -> Result<(), Error> {
        self.nix(["store", "ping"]).run(self.ui, OutputMode::Quiet, LIMIT)?;
        Ok(())
    }

    /// The settings in effect, as Nix tells them.
    pub fn settings(&self) -> serde_json::Value {
        let new = self.nix(["config", "show", "--json"]).run(self.ui, OutputMode::Quiet, LIMIT);
        let done =
            new.or_else(|_| self.nix(["show-config", "--json"]).run(self.ui, OutputMode::Quiet, LIMIT));
        done.ok().and_then(|done| serde_json::from_str(&done.stdout).ok()).unwrap_or_default()
    }
}

/// A folder in the store for what is not complete yet; emptied when it goes,
/// and when the next one comes after a kill.
pub struct Staging {
    folder: PathBuf,
    _lock: File,
}

impl Staging {
    /// Takes the store's staging folder; waits for another run's.
    pub fn new() -> Result<Self, FileError> {
        let store = Path::new(STORE);
        fs::create_dir_all(store).map_err(FileError::new("create", store))?;
        // Nix keeps lock files of this form beside its paths.
        let lock = lock(&store.join(format!("{STAGING}.lock")))?;
        let folder = store.join(STAGING);
        tree::remove(&folder).map_err(FileError::new("clear", &folder))?;
        fs::create_dir(&folder).map_err(FileError::new("create", &folder))?;
        Ok(Self { folder, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays is removed by the next run, or by Nix as garbage.
        let _ = tree::remove(&self.folder);
    }
}

/// Locks `path` for as long as the file lives; waits for whoever has it.
pub fn lock(path: &Path) -> Result<File, FileError> {
    lock_as(path, FlockOperation::LockExclusive)
}

/// Keeps garbage from being collected for as long as the file lives; waits for a
/// collection that runs.
pub fn hold_garbage_collection() -> Result<File, FileError> {
    lock_as(Path::new(GC_LOCK), FlockOperation::LockShared)
}

fn lock_as(path: &Path, operation: FlockOperation) -> Result<File, FileError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(open.map_err(|error| FileError::new("create", path)(error.into()))?);
    flock(&file, operation).map_err(|error| FileError::new("lock", path)(error.into()))?;
    Ok(file)
}

/// Whether a Nix process builds or substitutes `path` now: it then holds a lock beside it
/// (Nix, `src/libstore/pathlocks.cc`).
pub fn is_being_made(path: &StorePath) -> bool {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(format!("{}.lock", path.full()), flags, Mode::empty());
    file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// Puts the complete, unregistered `from` where the store has `path`; what is
/// there and not registered goes.
pub fn place(from: &Path, path: &StorePath) -> io::Result<()> {
    let to = path.path();
    tree::remove(&to)?;
    tree::rename(from, &to)
}
