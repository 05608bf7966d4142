//! The store on this machine: its programs, its database, its staging folder.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use toolkit::{Cmd, FileError, OutputMode, Ui};

use crate::error::Error;
use crate::info::{Info, STORE, StorePath, parse_rows, print_rows};
use crate::nar;

/// For commands that only ask or register.
const LIMIT: Duration = Duration::from_secs(600);
/// Beside the paths, so that a rename puts one in place; Nix counts it as
/// garbage if we are killed.
const STAGING: &str = ".setup-nix";

/// The programs of one Nix.
pub struct Store<'a> {
    /// The folder of `nix` and `nix-store`.
    pub bin: PathBuf,
    /// `NIX_USER_CONF_FILES` for them.
    pub conf: PathBuf,
    /// Where their output goes.
    pub ui: &'a Ui,
}

impl Store<'_> {
    /// A command for the program `name`, with `nix-command` switched on.
    fn cmd(&self, name: &str) -> Cmd {
        Cmd::new(self.bin.join(name).display().to_string())
            .env("NIX_USER_CONF_FILES", self.conf.display().to_string())
    }

    /// All registered paths, without signatures.
    pub fn rows(&self) -> Result<Vec<Info>, Error> {
        let done = self.cmd("nix-store").arg("--dump-db").run(self.ui, OutputMode::Quiet, LIMIT)?;
        parse_rows(&done.stdout).map_err(|what| Error::Plan {
            message: format!("cannot read what `nix-store --dump-db` prints: {what}"),
            hint: "report this with the version of Nix".into(),
        })
    }

    /// Adds signatures and content addresses to `rows`, as far as this Nix
    /// tells them.
    pub fn sign(&self, rows: &mut [Info]) {
        let Ok(known) = self.path_info() else { return };
        for row in rows {
            let Some(value) = known.get(&row.path) else { continue };
            let texts = value["signatures"].as_array().into_iter().flatten();
            row.signatures = texts.filter_map(|text| text.as_str().map(str::to_owned)).collect();
            row.ca = value["ca"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        }
    }

    /// A list in old versions of Nix, an object by path in newer ones.
    fn path_info(&self) -> Result<HashMap<StorePath, serde_json::Value>, Error> {
        let cmd = self.nix(["path-info", "--all", "--json"]);
        let done = cmd.run(self.ui, OutputMode::Quiet, LIMIT)?;
        let value: serde_json::Value = serde_json::from_str(&done.stdout).unwrap_or_default();
        let path = |text: &str| StorePath::from_full(text).or_else(|| StorePath::from_base(text));
        Ok(match value {
            serde_json::Value::Array(list) => {
                list.into_iter().filter_map(|item| Some((path(item["path"].as_str()?)?, item))).collect()
            }
            serde_json::Value::Object(map) => {
                map.into_iter().filter_map(|(name, item)| Some((path(&name)?, item))).collect()
            }
            _ => HashMap::new(),
        })
    }

    fn nix<const N: usize>(&self, args: [&str; N]) -> Cmd {
        self.cmd("nix").args(["--extra-experimental-features", "nix-command"]).args(args)
    }

    /// Registers `rows` in one transaction.
    pub fn register(&self, rows: &[&Info]) -> Result<(), Error> {
        let cmd = self.cmd("nix-store").arg("--load-db").stdin(print_rows(rows.iter().copied()));
        cmd.run(self.ui, OutputMode::Quiet, LIMIT)?;
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
        nar::remove(&folder).map_err(FileError::new("clear", &folder))?;
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
        let _ = nar::remove(&self.folder);
    }
}

/// Locks `path` for as long as the file lives; waits for whoever has it.
pub fn lock(path: &Path) -> Result<File, FileError> {
    let open = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = open.map_err(FileError::new("create", path))?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| FileError::new("lock", path)(error.into()))?;
    Ok(file)
}

/// Puts the complete, unregistered `from` where the store has `path`; what is
/// there and not registered goes.
pub fn place(from: &Path, path: &StorePath) -> io::Result<()> {
    let to = path.path();
    nar::remove(&to)?;
    nar::rename(from, &to)
}
