//! Programs and libraries in a wheel: told apart by their first bytes, edited,
//! and asked what they need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use binfmt::elf::ElfInfo as Facts;
use pydist::policy::{self, Excess, Linux};

use super::elf::{self, Elf, ElfError, tag};
use super::elf_edit::{self, Beside};
use super::graft::{GraftError, Grafts};
use super::macho::{self, MachoError};
use super::tags::Needs;
use super::{Edit, Options, in_store, macho_edit};
use crate::target::Arch;

/// Why a binary cannot be made portable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// The ELF file cannot be read or edited.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The Mach-O file cannot be read or edited.
    #[error(transparent)]
    Macho(#[from] MachoError),
    /// A library cannot be taken along.
    #[error(transparent)]
    Graft(#[from] GraftError),
    /// A second reader does not understand it.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// For a machine that no target has.
    #[error("it is for a machine that is none of the targets (ELF machine {0})")]
    Machine(u16),
    /// It needs a library of the store.
    #[error("it needs `{0}`, a library in the Nix store")]
    StoreLibrary(String),
    /// It needs a library that not every machine has.
    #[error("it needs `{0}`, which is not in the wheel and not on every machine")]
    Library(String),
    /// It uses a symbol of a library in a way that not every machine allows.
    #[error("it uses `{symbol}` of `{library}`, which differs from machine to machine")]
    Forbidden {
        /// The library.
        library: String,
        /// The symbol.
        symbol: String,
    },
    /// It needs a version that only the glibc at hand has.
    #[error("it uses `{version}` of `{library}`, which no other build of the library need have")]
    Private {
        /// The library.
        library: String,
        /// The version.
        version: String,
    },
    /// After the edit there is still a store path.
    #[error("the loader would still look at `{0}` in the Nix store")]
    Store(String),
}

impl BinaryError {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::StoreLibrary(_)
            | Self::Library(_)
            | Self::Macho(MachoError::StoreLibrary(_) | MachoError::Symbol { .. } | MachoError::Library(_)) => {
                "link it statically (for example by the crate's `vendored` or `static` feature, or `pkgsStatic`), remove the dependency, or set `graft` where the library is on this machine"
            }
            Self::Macho(MachoError::Signature(_)) => {
                "build the wheel unsigned, and sign it afterwards if it must be"
            }
            Self::Unreadable(_)
            | Self::Elf(ElfError::Outside(_) | ElfError::Invalid(_))
            | Self::Macho(MachoError::Outside(_) | MachoError::Invalid(_)) => "build the wheel again",
            Self::Elf(ElfError::NoRoom(_)) | Self::Store(_) | Self::Macho(MachoError::Store(_)) => {
                "build outside of Nix, or with patchelf in the derivation's `postFixup`"
            }
            Self::Graft(_) => {
                "build and repair on one machine, so that the store is there, or link it statically"
            }
            Self::Machine(_) => "build for one of the targets that `--help` names",
            Self::Forbidden { .. } => "link the library statically",
            Self::Private { .. } => "build with older system libraries (`linker: zig`, or an older system)",
        }
    }
}

/// A binary after its edit.
pub(super) struct Done {
    /// What it needs; none for an object file.
    pub(super) needs: Option<Needs>,
    pub(super) edit: Edit,
}

/// What an edit has to know of the wheel around the file.
pub(super) struct Wheel<'w> {
    pub(super) options: &'w Options,
    /// The base names of all members.
    pub(super) files: &'w mut BTreeSet<String>,
    /// Where libraries go that are taken along; `None`: they may not be.
    pub(super) grafts: &'w mut Option<Grafts>,
}

/// Edits `content` if it is a binary. `name` is the member's path.
pub(super) fn edit(content: &mut Vec<u8>, name: &str, wheel: Wheel<'_>) -> Result<Option<Done>, BinaryError> {
    if elf::is_elf(content) {
        return edit_elf(content, name, wheel).map(Some);
    }
    if macho::is_macho(content) {
        return macho_edit::edit(content, name, wheel).map(Some);
    }
    Ok(None)
}

/// Takes the Nix store out of an ELF file in place; gives what was changed.
pub fn edit_elf_in_place(data: &mut [u8], remove_rpaths: bool) -> Result<Vec<String>, BinaryError> {
    let elf = Elf::parse(data)?;
    Ok(elf_edit::edit(data, &elf, remove_rpaths, &Beside::default())?.changes)
}

/// The Mach-O file `data` without the Nix store, signed for what it is now;
/// `None` where nothing had to change. `identifier` is for a new signature.
pub fn edit_macho(data: &[u8], identifier: &str) -> Result<Option<Vec<u8>>, BinaryError> {
    let mut content = data.to_vec();
    let (options, files, grafts) = (&Options::default(), &mut BTreeSet::new(), &mut None);
    let done = macho_edit::edit(&mut content, identifier, Wheel { options, files, grafts })?;
    Ok((!done.edit.changes.is_empty()).then_some(content))
}

fn edit_elf(content: &mut Vec<u8>, name: &str, wheel: Wheel<'_>) -> Result<Done, BinaryError> {
    let elf = Elf::parse(content)?;
    let arch = elf.arch().ok_or(BinaryError::Machine(elf.machine))?;
    let beside = beside(content, &elf, name, wheel.files, wheel.grafts.as_mut())?;
    wheel.files.extend(beside.renamed.iter().map(|(_, new)| new.clone()));
    let edit = elf_edit::edit(content, &elf, wheel.options.remove_rpaths, &beside)?;
    // What counts is what a loader will read, by a reader other than ours.
    let facts =
        Facts::read(content.as_slice()).map_err(|error| BinaryError::Unreadable(error.to_string()))?;
    check_store(&facts)?;
    let after = if edit.changes.is_empty() { elf } else { Elf::parse(content)? };
    for tag in tag::STRINGS {
        no_store(after.strings_of(content, tag)?)?;
    }
    let needs = elf_needs(&facts, arch, wheel.files)?;
    Ok(Done { needs: Some(needs), edit })
}

/// The libraries that are neither in the wheel nor on every machine: taken
/// along from the store, where they may be.
fn beside(
    data: &[u8],
    elf: &Elf,
    name: &str,
    files: &BTreeSet<String>,
    mut grafts: Option<&mut Grafts>,
) -> Result<Beside, BinaryError> {
    let system = |library: &str| {
        policy::is_loader(library) || policy::linux().iter().any(|policy| policy.libraries.contains(library))
    };
    let mut found = Beside::default();
    for needed in elf.strings_of(data, tag::NEEDED)? {
        let file = needed.rsplit('/').next().unwrap_or_default();
        if system(file) || files.contains(file) {
            continue;
        }
        let path = match &mut grafts {
            Some(_) if in_store(&needed) => Some(PathBuf::from(&needed)),
            Some(_) => in_search_path(data, elf, file)?,
            None if in_store(&needed) => return Err(BinaryError::StoreLibrary(needed)),
            None => None,
        };
        if let (Some(path), Some(grafts)) = (path, &mut grafts) {
            let new = grafts.take(name, &path, file, needed.len())?;
            found.renamed.push((needed, new));
        }
    }
    let Some(grafts) = grafts else { return Ok(found) };
    if !found.renamed.is_empty() {
        found.search = Some(format!("$ORIGIN{}", grafts.way(name)));
    }
    // A library that is taken along is called as it is asked for.
    if let Some(new) = grafts.grafted_name(name) {
        let own = elf.strings_of(data, tag::SONAME)?.into_iter().filter(|old| new.len() <= old.len());
        found.renamed.extend(own.map(|old| (old, new.to_owned())));
    }
    Ok(found)
}

/// Where the loader would find a library by the store's search paths.
fn in_search_path(data: &[u8], elf: &Elf, file: &str) -> Result<Option<PathBuf>, ElfError> {
    let paths = [elf.strings_of(data, tag::RUNPATH)?, elf.strings_of(data, tag::RPATH)?].concat();
    let folders = paths.iter().flat_map(|path| path.split(':')).filter(|folder| in_store(folder));
    Ok(folders.map(|folder| Path::new(folder).join(file)).find(|path| path.is_file()))
}

/// No field that the loader reads may name the store.
fn check_store(facts: &Facts) -> Result<(), BinaryError> {
    let paths = facts.search_paths().chain(facts.interpreter()).chain(facts.soname());
    no_store(paths.map(str::to_owned).chain(facts.needed().map(str::to_owned)))
}

fn no_store(fields: impl IntoIterator<Item = String>) -> Result<(), BinaryError> {
    match fields.into_iter().find(|field| in_store(field)) {
        Some(field) => Err(BinaryError::Store(field)),
        None => Ok(()),
    }
}

/// What the manylinux and musllinux policies say of a file.
fn elf_needs(facts: &Facts, arch: Arch, bundled: &BTreeSet<String>) -> Result<Needs, BinaryError> {
    let musl =
        facts.interpreter().is_some_and(|path| path.contains("ld-musl")) || facts.needed().any(is_musl);
    if musl {
        let foreign = |library: &&str| !is_musl(library) && !bundled.contains(*library);
        return match facts.needed().find(foreign) {
            Some(library) => Err(BinaryError::Library(library.to_owned())),
            None => Ok(Needs::Musl(arch)),
        };
    }
    if facts.interpreter().is_none() && facts.needed().next().is_none() && facts.undefined.is_empty() {
        return Ok(Needs::AnyLinux(arch));
    }
    let mut glibc = (2, 0);
    for (library, all) in &facts.versions {
        for version in all {
            let Some(number) = version.strip_prefix("GLIBC_") else { continue };
            let private = || BinaryError::Private { library: library.clone(), version: version.clone() };
            glibc = glibc.max(glibc_version(number).ok_or_else(private)?);
        }
    }
    // The other libraries' versions, such as GLIBCXX_3.4.30, come with newer
    // systems, too: the first policy that grants them counts.
    let policies = || policy::linux().iter().filter(|policy| policy.family == "manylinux");
    let newer =
        |excess: &Excess| matches!(excess, Excess::Symbol(_, version) if !version.starts_with("GLIBC_"));
    let mut excess = BTreeSet::new();
    let mut granted = None;
    for (index, policy) in policies().enumerate() {
        excess = policy.excess(facts, arch.tag(), bundled);
        if !excess.iter().any(newer) {
            granted = Some(if index == 0 { (2, 0) } else { policy.version });
            break;
        }
    }
    let Some(granted) = granted else {
        let first = excess.into_iter().find(newer);
        let (library, version) = match first {
            Some(Excess::Symbol(library, version)) => (library, version),
            _ => (String::new(), String::new()),
        };
        return Err(BinaryError::Private { library, version });
    };
    let glibc = glibc.max(granted);
    if let Some(policy) = Linux::of("manylinux", glibc.max((2, 5))) {
        for excess in policy.excess(facts, arch.tag(), bundled) {
            match excess {
                Excess::Library(library) => return Err(BinaryError::Library(library)),
                Excess::Forbidden(library, symbol) => return Err(BinaryError::Forbidden { library, symbol }),
                Excess::Symbol(..) => {}
            }
        }
    }
    Ok(Needs::Glibc(arch, glibc))
}

/// musl is the C library and the loader in one file.
fn is_musl(library: &str) -> bool {
    library == "libc.so" || library.starts_with("libc.musl-") || library.starts_with("ld-musl-")
}

/// The glibc that a version of its symbols came with; `None` for those that
/// have no number, such as `PRIVATE`.
fn glibc_version(version: &str) -> Option<(u32, u32)> {
    // The marker of relative relocations (glibc 2.36).
    if version == "ABI_DT_RELR" {
        return Some((2, 36));
    }
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    numbers.next().flatten().zip(numbers.next().flatten())
}
