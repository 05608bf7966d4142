//! DLLs that go into a wheel for Windows.
//!
//! A PE file has no search path. CPython loads extension modules with
//! `LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR` (since 3.8, bpo-36085), and Windows searches a
//! program's own directory first: in both cases, the directory of the binary. So each DLL
//! goes into the directory of every binary that imports it. A process has only one DLL of
//! a name, so each gets a name of its own where the new one can replace the old one in
//! all files that import it.
//!
//! A module finds `vcruntime140.dll` in the process of CPython, which brings it; a program
//! does not, so only programs get a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use binfmt::pe::{FileVersion, Import, PeInfo, Seal, rename_imports};
use pydist::digest;
use pydist::dll::DllOrigin;
use pydist::member_path::directory;
use pydist::zip::Content;

use super::binary_error::BinaryError;
use super::change::Change;
use super::dll_search::{DllLookup, DllSearch, FoundDll};
use super::graft::GraftError;
use super::layout::{Root, installed};
use super::surroundings::is_excluded;

/// A machine and the name of a DLL in lower case.
type DllKey = (u16, String);

/// A DLL of this machine that goes into the wheel.
struct Dll {
    /// As it is imported.
    name: String,
    found: FoundDll,
    /// What it imports of these DLLs itself.
    needed: Vec<DllKey>,
    /// Where it goes: the directory after the installation, and in the wheel.
    directories: BTreeMap<(Root, String), String>,
    /// Those of them where a program needs it.
    for_programs: BTreeSet<(Root, String)>,
    /// Why its name cannot be replaced.
    kept: Option<String>,
}

/// A DLL as it goes into the wheel.
pub(super) struct FinishedDll {
    pub(super) content: Content,
    /// What was edited in it.
    pub(super) changes: Vec<String>,
    /// The members that it becomes.
    pub(super) members: Vec<String>,
    pub(super) from: PathBuf,
    pub(super) version: Option<FileVersion>,
    /// Of the file on this machine.
    pub(super) hash: [u8; 32],
}

/// The DLLs that go into one wheel.
pub(super) struct DllGrafts<'w> {
    /// `<package>-<version>`.
    stem: &'w str,
    exclude: &'w [String],
    /// The names of the members, in lower case.
    present: BTreeSet<String>,
    search: DllSearch,
    dlls: BTreeMap<DllKey, Dll>,
    pub(super) warnings: Vec<Change>,
}

impl<'w> DllGrafts<'w> {
    pub(super) fn new(
        stem: &'w str,
        exclude: &'w [String],
        files: &BTreeSet<String>,
        search: DllSearch,
    ) -> Self {
        let present = files.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { stem, exclude, present, search, dlls: BTreeMap::new(), warnings: Vec::new() }
    }

    /// Finds the DLLs that `member` needs, and those that these need.
    pub(super) fn add(&mut self, member: &str, content: &Content) -> Result<(), BinaryError> {
        let Ok(Some(info)) = PeInfo::read(content) else { return Ok(()) };
        for key in self.resolve(member, content, &info, None)? {
            self.place(&key, member, info.is_dll);
        }
        Ok(())
    }

    /// The DLLs that `importer` imports and that go into the wheel.
    fn resolve(
        &mut self,
        importer: &str,
        content: &Content,
        info: &PeInfo,
        beside: Option<&Path>,
    ) -> Result<Vec<DllKey>, BinaryError> {
        let mut keys = Vec::new();
        let mut text = None;
        for import in &info.imports {
            let Some(key) = self.load(importer, info, import, beside)? else { continue };
            if text.is_none() {
                text = Some(content.to_vec().map_err(unreadable)?.to_ascii_lowercase());
            }
            let reason = kept_by(info, import, text.as_deref().unwrap_or_default());
            // This copy is also for modules, which have the DLL under its own name.
            let is_shared = info.is_dll && is_for_programs(&import.name);
            let reason = reason.or(is_shared.then_some("must also find Python's copy"));
            if let (Some(reason), Some(dll)) = (reason, self.dlls.get_mut(&key)) {
                dll.kept.get_or_insert(format!("`{importer}` {reason}"));
            }
            if import.is_delayed && info.is_dll {
                self.warnings.push(Change {
                    file: importer.to_owned(),
                    what: format!(
                        "loads `{}` when it first uses it, and Windows then searches only the program's directory and PATH: load the copy in the wheel before that, for example with `ctypes.CDLL`",
                        import.name
                    ),
                });
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// Finds an imported DLL; `None` if it does not go into the wheel.
    fn load(
        &mut self,
        importer: &str,
        info: &PeInfo,
        import: &Import,
        beside: Option<&Path>,
    ) -> Result<Option<DllKey>, BinaryError> {
        let name = import.name.to_ascii_lowercase();
        let origin = DllOrigin::of(&name);
        let is_python = origin == DllOrigin::Python || name.starts_with("libpython");
        // A DLL of this machine may be for a program.
        let is_module = info.is_dll && beside.is_none();
        if is_python
            || origin.is_provided(is_module)
            || self.present.contains(&name)
            || is_excluded(self.exclude, &import.name)
        {
            return Ok(None);
        }
        if origin == DllOrigin::Debug {
            let (name, importer) = (import.name.clone(), importer.to_owned());
            return Err(GraftError::DebugDll { name, importer }.into());
        }
        let key = (info.machine, name);
        if self.dlls.contains_key(&key) {
            return Ok(Some(key));
        }
        let mut found = match self.search.find(&import.name, info.machine, beside).map_err(unreadable)? {
            DllLookup::Found(found) => *found,
            DllLookup::System => return Ok(None),
            // The others are Windows' own, or on many machines, or may never be loaded.
            DllLookup::Missing(_) if info.is_dll && is_for_programs(&import.name) => return Ok(None),
            DllLookup::Missing(skipped) if origin != DllOrigin::Port || import.is_delayed => {
                let what = |reason| format!("imports `{}`, which is not copied: {reason}", import.name);
                let warn = |reason| Change { file: importer.to_owned(), what: what(reason) };
                self.warnings.extend(skipped.into_iter().map(warn));
                return Ok(None);
            }
            DllLookup::Missing(skipped) => {
                let (name, importer) = (import.name.clone(), importer.to_owned());
                return Err(GraftError::Dll { name, importer, skipped }.into());
            }
        };
        let (path, info) = (found.path.clone(), found.info.clone());
        let content = std::mem::replace(&mut found.content, Content::new(&self.search.scratch));
        let dll = Dll {
            name: import.name.clone(),
            found,
            needed: Vec::new(),
            directories: BTreeMap::new(),
            for_programs: BTreeSet::new(),
            kept: None,
        };
        // Before its own imports, which may lead back to it.
        self.dlls.insert(key.clone(), dll);
        let needed = self.resolve(&path.display().to_string(), &content, &info, path.parent())?;
        if let Some(dll) = self.dlls.get_mut(&key) {
            dll.needed = needed;
            dll.found.content = content;
        }
        Ok(Some(key))
    }

    /// Puts a DLL, and those that it needs, into the directory of `member`, which is a
    /// module or library or else a program.
    fn place(&mut self, key: &DllKey, member: &str, is_module: bool) {
        if is_module && is_for_programs(&key.1) {
            return;
        }
        let (root, path) = installed(self.stem, member);
        let place = (root, directory(&path).to_owned());
        let Some(dll) = self.dlls.get_mut(key) else { return };
        let is_new = !dll.directories.contains_key(&place);
        dll.directories.entry(place.clone()).or_insert_with(|| directory(member).to_owned());
        // For a module, what only programs need was not copied.
        let is_new_for_programs = !is_module && dll.for_programs.insert(place);
        if !is_new && !is_new_for_programs {
            return;
        }
        for needed in dll.needed.clone() {
            self.place(&needed, member, is_module);
        }
    }

    /// Replaces the names of the DLLs that a binary imports; returns what changed.
    pub(super) fn rename(&self, content: &mut Content) -> Result<Vec<String>, BinaryError> {
        let Ok(Some(info)) = PeInfo::read(&*content) else { return Ok(Vec::new()) };
        let new_name = |name: &str| {
            if info.is_dll && is_for_programs(name) {
                return None;
            }
            let dll = self.dlls.get(&(info.machine, name.to_ascii_lowercase()))?;
            self.new_name(dll).ok()
        };
        let renamed = rename_imports(content, &info, new_name)?;
        let what = |(old, new)| format!("the imported library `{old}` is now `{new}`");
        Ok(renamed.into_iter().map(what).collect())
    }

    /// The name of a DLL in the wheel; or why it stays.
    fn new_name(&self, dll: &Dll) -> Result<String, String> {
        if let Some(reason) = &dll.kept {
            return Err(reason.clone());
        }
        let package = self.stem.split('-').next().unwrap_or_default();
        let hash = digest::sha256(&[package.as_bytes(), &dll.found.hash].concat());
        unique_name(&dll.name, &hash).ok_or_else(|| "it is too short for a hash".to_owned())
    }

    /// The DLLs as they go into the wheel.
    pub(super) fn finish(&mut self) -> Result<Vec<FinishedDll>, BinaryError> {
        let mut finished = Vec::new();
        for dll in self.dlls.values().filter(|dll| !dll.directories.is_empty()) {
            let FoundDll { path, content, version, hash, .. } = &dll.found;
            let mut content = Content::copy(content, &self.search.scratch).map_err(unreadable)?;
            let changes = self.rename(&mut content)?;
            let name = self.new_name(dll);
            let file = name.as_ref().unwrap_or(&dll.name);
            let member = |directory: &String| match directory.as_str() {
                "" => file.clone(),
                directory => format!("{directory}/{file}"),
            };
            let members: Vec<String> = dll.directories.values().map(member).collect();
            if let Err(reason) = &name {
                let what = format!(
                    "keeps its name, because {reason}: if another package has loaded a `{}`, Windows uses that one",
                    dll.name
                );
                let warn = |member: &String| Change { file: member.clone(), what: what.clone() };
                self.warnings.extend(members.iter().map(warn));
            }
            let (from, version, hash) = (path.clone(), *version, *hash);
            finished.push(FinishedDll { content, changes, members, from, version, hash });
        }
        Ok(finished)
    }
}

/// Whether only programs get a copy of the DLL, because CPython brings it for modules.
fn is_for_programs(name: &str) -> bool {
    DllOrigin::of(name) == DllOrigin::PythonRuntime
}

fn unreadable(error: std::io::Error) -> BinaryError {
    BinaryError::Read(binfmt::binary::BinaryError::Io(error))
}

/// Why a name cannot be replaced in an importing binary whose bytes are `text`, in lower
/// case.
fn kept_by(info: &PeInfo, import: &Import, text: &[u8]) -> Option<&'static str> {
    match info.seal {
        Some(Seal::Signed) => return Some("is signed"),
        Some(Seal::Bound) => return Some("is bound to the DLLs that it imports"),
        None => {}
    }
    // The name elsewhere is probably for `LoadLibrary` or `GetModuleHandle`.
    let name = import.name.to_ascii_lowercase();
    let wide: Vec<u8> = name.bytes().flat_map(|byte| [byte, 0]).collect();
    let is_import = |at: usize| info.imports.iter().any(|import| import.range.contains(&(at as u64)));
    let is_part = |at: usize| at.checked_sub(1).is_some_and(|before| is_name(text[before]));
    let mut places = memchr::memmem::find_iter(text, name.as_bytes());
    let is_mentioned =
        places.any(|at| !is_import(at) && !is_part(at)) || memchr::memmem::find(text, &wide).is_some();
    is_mentioned.then_some("also mentions it outside its imports")
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_+.".contains(&byte)
}

/// A name as long as `name` that ends with a part of the hash; `None` if there is no room
/// for six digits.
fn unique_name(name: &str, hash: &[u8; 32]) -> Option<String> {
    const SHORTEST: usize = 6;
    let hash = digest::hex(hash);
    let stem = name.len().checked_sub(".dll".len())?;
    let digits = stem.min(8);
    let is_dll = name.is_ascii() && name[stem..].eq_ignore_ascii_case(".dll");
    (is_dll && digits >= SHORTEST).then(|| format!("{}{}.dll", &name[..stem - digits], &hash[..digits]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_length() {
        let hash = digest::sha256(b"x");
        let name = |name| unique_name(name, &hash);
        assert_eq!(name("libstdc++-6.dll").unwrap(), "lib2d711642.dll");
        assert_eq!(name("libgcc_s_seh-1.DLL").unwrap(), "libgcc2d711642.dll");
        assert_eq!(name("MSVCP140.dll").unwrap(), "2d711642.dll");
        assert_eq!(name("zlib12.dll").unwrap(), "2d7116.dll");
        assert_eq!((name("zlib1.dll"), name("library.drv"), name("dll")), (None, None, None));
    }
}
