//! Where the DLLs of this machine are: on PATH, where Windows searches, and where MinGW
//! keeps those of its runtime.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use binfmt::pe::PeInfo;
use pydist::digest;
use pydist::policy::DllOrigin;
use pydist::zip::Content;

use super::store::in_store;

/// The directory of Windows' own libraries is the one that has this library.
const LIBRARY_OF_WINDOWS: &str = "ntdll.dll";

/// A DLL of this machine.
pub(super) struct FoundDll {
    pub(super) path: PathBuf,
    pub(super) content: Content,
    pub(super) info: PeInfo,
    pub(super) hash: [u8; 32],
}

/// The result of a search.
pub(super) enum DllLookup {
    Found(Box<FoundDll>),
    /// Windows has it.
    System,
    /// It is in no directory; or the reason why each file of this name was skipped.
    Missing(Vec<String>),
}

/// Finds DLLs. A directory is read once.
pub(super) struct DllSearch {
    /// Whether DLLs outside the Nix store are taken, too.
    is_all: bool,
    path: Vec<PathBuf>,
    /// The directories of MinGW's compiler for a machine.
    mingw: HashMap<u16, Vec<PathBuf>>,
    /// The DLLs in a directory, by their names in lower case.
    listed: HashMap<PathBuf, BTreeMap<String, PathBuf>>,
    pub(super) scratch: PathBuf,
}

impl DllSearch {
    pub(super) fn new(is_all: bool, scratch: &Path) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self {
            is_all,
            path: std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect(),
            mingw: HashMap::new(),
            listed: HashMap::new(),
            scratch: scratch.to_owned(),
        }
    }

    /// Finds the DLL `name` for `machine`: in the directory `beside`, on PATH, and in the
    /// directories of MinGW.
    pub(super) fn find(
        &mut self,
        name: &str,
        machine: u16,
        beside: Option<&Path>,
    ) -> std::io::Result<DllLookup> {
        let name = name.to_ascii_lowercase();
        let mingw = self.mingw.entry(machine).or_insert_with(|| mingw_directories(machine)).clone();
        let beside = beside.map(Path::to_owned);
        let directories: Vec<PathBuf> = beside.into_iter().chain(self.path.clone()).chain(mingw).collect();
        let mut candidates = Vec::new();
        for directory in directories {
            let dlls = self.listed.entry(directory).or_insert_with_key(|directory| list(directory));
            let Some(path) = dlls.get(&name) else { continue };
            if dlls.contains_key(LIBRARY_OF_WINDOWS) && DllOrigin::of(&name) == DllOrigin::Unknown {
                return Ok(DllLookup::System);
            }
            candidates.push(path.clone());
        }
        let mut skipped = Vec::new();
        for path in candidates {
            match self.read(&path, machine)? {
                Ok(found) => return Ok(DllLookup::Found(Box::new(found))),
                Err(reason) => skipped.push(format!("`{}` {reason}", path.display())),
            }
        }
        skipped.dedup();
        Ok(DllLookup::Missing(skipped))
    }

    /// Reads a DLL, unless it is unsuitable; then returns why.
    fn read(&self, path: &Path, machine: u16) -> std::io::Result<Result<FoundDll, String>> {
        let path = path.canonicalize()?;
        if !self.is_all && !in_store(&path.to_string_lossy()) {
            return Ok(Err("is not in the Nix store".to_owned()));
        }
        let file = File::open(&path)?;
        let Ok(Some(info)) = PeInfo::read(&file) else { return Ok(Err("is not a PE file".to_owned())) };
        if info.machine != machine {
            let found = info.arch().map_or_else(|| format!("machine {:#x}", info.machine), str::to_owned);
            return Ok(Err(format!("is for {found}")));
        }
        let content = Content::copy(&file, &self.scratch)?;
        let (hash, _) = digest::sha256_reader(&file)?;
        Ok(Ok(FoundDll { path: without_verbatim(path), content, info, hash }))
    }
}

/// The path as programs of Windows write it, without `\\?\`.
fn without_verbatim(path: PathBuf) -> PathBuf {
    dunce::simplified(&path).to_owned()
}

/// The DLLs in a directory; none if it cannot be read.
fn list(directory: &Path) -> BTreeMap<String, PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let dll = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        (name.ends_with(".dll") && path.is_file()).then_some((name, path))
    };
    entries.filter_map(|entry| dll(entry.path())).collect()
}

/// Where the MinGW compiler for `machine` has its libraries, if it is on PATH. Some
/// distributions put the DLLs into `bin` beside `lib`.
fn mingw_directories(machine: u16) -> Vec<PathBuf> {
    let prefix = match machine {
        0x8664 => "x86_64",
        0x014c => "i686",
        0xaa64 => "aarch64",
        _ => return Vec::new(),
    };
    let search_dirs = |compiler: &str| {
        let mut command = Command::new(format!("{prefix}-w64-mingw32-{compiler}"));
        let output =
            command.arg("-print-search-dirs").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.lines().find_map(|line| line.strip_prefix("libraries: =")).map(str::to_owned)
    };
    let listed = ["gcc", "clang"].into_iter().find_map(search_dirs).unwrap_or_default();
    std::env::split_paths(&listed).flat_map(|directory| [directory.join("../bin"), directory]).collect()
}
