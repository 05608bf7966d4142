//! Where the DLLs of this machine are: on PATH, where Windows searches, and where Visual C++
//! and MinGW keep those of their runtime.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use binfmt::pe::{FileVersion, PeInfo, file_version};
use pydist::digest;
use pydist::dll::DllOrigin;
use pydist::store::mentions_store;
use pydist::zip::Content;

/// The directory of Windows' own libraries is the one that has this library.
const LIBRARY_OF_WINDOWS: &str = "ntdll.dll";

/// A DLL of this machine.
pub(super) struct FoundDll {
    pub(super) path: PathBuf,
    pub(super) content: Content,
    pub(super) info: PeInfo,
    pub(super) version: Option<FileVersion>,
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
    /// `VCToolsRedistDir`: the redistributable DLLs of one Visual C++ version: the directory of one version.
    redistributables: Option<PathBuf>,
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
            // Set by the developer command prompt (`vcvarsall.bat`).
            redistributables: std::env::var_os("VCToolsRedistDir").map(PathBuf::from),
            mingw: HashMap::new(),
            listed: HashMap::new(),
            scratch: scratch.to_owned(),
        }
    }

    /// Finds the DLL `name` for `machine`: in the directory `beside`, on PATH, and in the
    /// directories of MinGW. The runtime of Visual C++ is compatible with older versions of
    /// itself only, so its DLLs are those of the installed compiler or else the newest.
    pub(super) fn find(
        &mut self,
        name: &str,
        machine: u16,
        beside: Option<&Path>,
    ) -> std::io::Result<DllLookup> {
        let name = name.to_ascii_lowercase();
        let mingw = self.mingw.entry(machine).or_insert_with(|| mingw_directories(machine)).clone();
        let is_runtime =
            matches!(DllOrigin::of(&name), DllOrigin::Redistributable | DllOrigin::PythonRuntime);
        let redistributables = self.redistributables.as_deref().filter(|_| is_runtime);
        let redistributables = redistributables.map(|at| redistributable_directories(at, machine));
        let directories: Vec<PathBuf> = redistributables
            .into_iter()
            .flatten()
            .chain(beside.map(Path::to_owned))
            .chain(self.path.clone())
            .chain(mingw)
            .collect();
        let mut candidates = Vec::new();
        for directory in directories {
            let dlls = self.listed.entry(directory).or_insert_with_key(|directory| list(directory));
            let Some(path) = dlls.get(&name) else { continue };
            if dlls.contains_key(LIBRARY_OF_WINDOWS) && DllOrigin::of(&name) == DllOrigin::Unknown {
                return Ok(DllLookup::System);
            }
            candidates.push(path.clone());
        }
        if is_runtime {
            let version = |path: &PathBuf| File::open(path).ok().and_then(|file| file_version(&file));
            let is_from_compiler = |path: &PathBuf| {
                self.redistributables.as_ref().is_some_and(|directory| path.starts_with(directory))
            };
            candidates.sort_by_cached_key(|path| Reverse((is_from_compiler(path), version(path))));
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
        if !self.is_all && !mentions_store(&path.to_string_lossy()) {
            return Ok(Err("is not in the Nix store".to_owned()));
        }
        let file = File::open(&path)?;
        let Ok(Some(info)) = PeInfo::read(&file) else { return Ok(Err("is not a PE file".to_owned())) };
        if info.machine != machine || info.is_arm64ec {
            let found = info.arch().map_or_else(|| format!("machine {:#x}", info.machine), str::to_owned);
            return Ok(Err(format!("is for {found}")));
        }
        let content = Content::copy(&file, &self.scratch)?;
        // On Windows, the reads above have moved the position in the file.
        let (hash, _) = digest::sha256_reader(File::open(&path)?)?;
        let version = file_version(&file);
        Ok(Ok(FoundDll { path: without_verbatim(path), content, info, version, hash }))
    }
}

/// The path as programs of Windows write it, without `\\?\`.
fn without_verbatim(path: PathBuf) -> PathBuf {
    dunce::simplified(&path).to_owned()
}

/// The directories in `VCToolsRedistDir` with the DLLs for `machine`:
/// `x64\Microsoft.VC143.CRT`, `x64\Microsoft.VC143.OpenMP` …
fn redistributable_directories(at: &Path, machine: u16) -> Vec<PathBuf> {
    let arch = match machine {
        0x8664 => "x64",
        0x014c => "x86",
        0xaa64 => "arm64",
        _ => return Vec::new(),
    };
    let entries = std::fs::read_dir(at.join(arch)).into_iter().flatten().flatten();
    let mut directories: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    directories.sort();
    directories
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
