//! Programs and libraries in a wheel: told apart by their first bytes, edited,
//! and asked what they need.

use super::elf::{self, Elf, ElfError, tag};
use super::macho::{self, MachoError};
use super::tags::Needs;
use super::{Edit, Options, elf_edit, in_store};
use crate::target::Arch;

/// Libraries that every glibc distribution has (PEP 513 and PEP 600; the list
/// is auditwheel's).
const GLIBC_LIBRARIES: [&str; 27] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-riscv64-lp64d.so.1",
    "ld-linux-x86-64.so.2",
    "ld64.so.2",
    "libGL.so.1",
    "libICE.so.6",
    "libSM.so.6",
    "libX11.so.6",
    "libXext.so.6",
    "libXrender.so.1",
    "libanl.so.1",
    "libatomic.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libexpat.so.1",
    "libgcc_s.so.1",
    "libglib-2.0.so.0",
    "libgobject-2.0.so.0",
    "libgthread-2.0.so.0",
    "libm.so.6",
    "libmvec.so.1",
    "libnsl.so.1",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
];

/// Why a binary cannot be made portable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// The ELF file cannot be read or edited.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The Mach-O file cannot be read or edited.
    #[error(transparent)]
    Macho(#[from] MachoError),
    /// For a machine that no target has.
    #[error("it is for a machine that is none of the targets (ELF machine {0})")]
    Machine(u16),
    /// It needs a library of the store.
    #[error("it needs `{0}`, a library in the Nix store")]
    StoreLibrary(String),
    /// It needs a library that not every machine has.
    #[error("it needs `{0}`, which is not in the wheel and not on every machine")]
    Library(String),
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
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::StoreLibrary(_)
            | Self::Library(_)
            | Self::Macho(MachoError::StoreLibrary(_) | MachoError::Symbol { .. } | MachoError::Library(_)) => {
                "link it statically (for example by the crate's `vendored` or `static` feature, or `pkgsStatic`), or remove the dependency"
            }
            Self::Macho(MachoError::Signature(_)) => {
                "build the wheel unsigned, and sign it afterwards if it must be"
            }
            Self::Elf(ElfError::Outside(_) | ElfError::Invalid(_))
            | Self::Macho(MachoError::Outside(_) | MachoError::Invalid(_)) => "build the wheel again",
            Self::Elf(ElfError::NoRoom(_)) | Self::Store(_) | Self::Macho(MachoError::Store(_)) => {
                "build outside of Nix, or with patchelf in the derivation's `postFixup`"
            }
            Self::Machine(_) => "build for one of the targets that `--help` names",
            Self::Private { .. } => "do not use glibc's private symbols",
        };
        Some(hint.to_owned())
    }
}

/// A binary after its edit.
pub(super) struct Done {
    /// What it needs; none for an object file.
    pub(super) needs: Option<Needs>,
    pub(super) edit: Edit,
    /// The new content, where it changed.
    pub(super) content: Option<Vec<u8>>,
}

/// Edits `content` if it is a binary. `name` is the member's path, `files` are
/// the base names of all members of the wheel.
pub(super) fn edit(
    content: &[u8],
    name: &str,
    options: &Options,
    files: &[String],
) -> Result<Option<Done>, BinaryError> {
    if elf::is_elf(content) {
        return edit_elf(content, options, files).map(Some);
    }
    if macho::is_macho(content) {
        let file = name.rsplit('/').next().unwrap_or_default();
        let macho::Done { needs, edit, content } = macho::edit(content, file, files)?;
        return Ok(Some(Done { needs, edit, content }));
    }
    Ok(None)
}

/// Takes the Nix store out of an ELF file in place; gives what was changed.
pub fn edit_elf_in_place(data: &mut [u8], remove_rpaths: bool) -> Result<Vec<String>, BinaryError> {
    let elf = Elf::parse(data)?;
    Ok(elf_edit::edit(data, &elf, remove_rpaths)?.changes)
}

/// The Mach-O file `data` without the Nix store, signed for what it is now;
/// `None` where nothing had to change. `identifier` is for a new signature.
pub fn edit_macho(data: &[u8], identifier: &str) -> Result<Option<Vec<u8>>, BinaryError> {
    Ok(macho::edit(data, identifier, &[])?.content)
}

fn edit_elf(content: &[u8], options: &Options, files: &[String]) -> Result<Done, BinaryError> {
    let elf = Elf::parse(content)?;
    let arch = elf.arch().ok_or(BinaryError::Machine(elf.machine))?;
    for path in elf.strings_of(content, tag::NEEDED)?.into_iter().filter(|path| in_store(path)) {
        let library = path.rsplit('/').next().unwrap_or_default();
        let system = GLIBC_LIBRARIES.contains(&library) || is_musl(library);
        if !system && !files.iter().any(|file| file == library) {
            return Err(BinaryError::StoreLibrary(path));
        }
    }
    let mut new = content.to_vec();
    let edit = elf_edit::edit(&mut new, &elf, options.remove_rpaths)?;
    let changed = !edit.changes.is_empty();
    // What counts is what a loader will read.
    let after = if changed { Elf::parse(&new)? } else { elf };
    check_store(&new, &after)?;
    let needs = elf_needs(&new, &after, arch, files)?;
    Ok(Done { needs, edit, content: changed.then_some(new) })
}

/// No field that the loader reads may name the store.
fn check_store(data: &[u8], elf: &Elf) -> Result<(), BinaryError> {
    let mut fields: Vec<String> = elf.interpreter.iter().map(|found| found.path.clone()).collect();
    for tag in tag::STRINGS {
        fields.extend(elf.strings_of(data, tag)?);
    }
    match fields.into_iter().find(|field| in_store(field)) {
        Some(field) => Err(BinaryError::Store(field)),
        None => Ok(()),
    }
}

fn elf_needs(data: &[u8], elf: &Elf, arch: Arch, files: &[String]) -> Result<Option<Needs>, BinaryError> {
    let needed = elf.strings_of(data, tag::NEEDED)?;
    let interpreter = elf.interpreter.as_ref().map(|found| found.path.as_str());
    let musl = interpreter.is_some_and(|path| path.contains("ld-musl"))
        || needed.iter().any(|library| is_musl(library));
    for library in &needed {
        let system = if musl { is_musl(library) } else { GLIBC_LIBRARIES.contains(&library.as_str()) };
        if !system && !files.contains(library) {
            return Err(BinaryError::Library(library.clone()));
        }
    }
    if musl {
        return Ok(Some(Needs::Musl(arch)));
    }
    if interpreter.is_none() && needed.is_empty() && !elf.undefined {
        return Ok(Some(Needs::AnyLinux(arch)));
    }
    let mut glibc = (2, 0);
    for (library, version) in &elf.versions {
        match symbol_version(version) {
            Some(SymbolVersion::Glibc(version)) => glibc = glibc.max(version),
            Some(SymbolVersion::Private) => {
                let (library, version) = (library.clone(), version.clone());
                return Err(BinaryError::Private { library, version });
            }
            None => {}
        }
    }
    Ok(Some(Needs::Glibc(arch, glibc)))
}

/// musl is the C library and the loader in one file.
fn is_musl(library: &str) -> bool {
    library == "libc.so" || library.starts_with("libc.musl-") || library.starts_with("ld-musl-")
}

enum SymbolVersion {
    Glibc((u32, u32)),
    Private,
}

/// What a symbol version says of the glibc it needs. For GCC's libraries it
/// is the glibc of the manylinux policy that first allows it (auditwheel's
/// `manylinux-policy.json`).
fn symbol_version(name: &str) -> Option<SymbolVersion> {
    let (family, version) = name.split_once('_')?;
    match (family, version) {
        ("GLIBC", "PRIVATE") => return Some(SymbolVersion::Private),
        ("GLIBC", "ABI_DT_RELR") => return Some(SymbolVersion::Glibc((2, 36))),
        _ => {}
    }
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    let version =
        (numbers.next()??, numbers.next().flatten().unwrap_or(0), numbers.next().flatten().unwrap_or(0));
    let table: &[((u32, u32, u32), u32)] = match family {
        "GLIBC" => return Some(SymbolVersion::Glibc((version.0, version.1))),
        "GLIBCXX" => &[
            ((3, 4, 8), 5),
            ((3, 4, 13), 12),
            ((3, 4, 19), 17),
            ((3, 4, 22), 24),
            ((3, 4, 24), 27),
            ((3, 4, 25), 28),
            ((3, 4, 28), 31),
            ((3, 4, 29), 34),
            ((3, 4, 30), 35),
            ((3, 4, 32), 38),
            ((3, 4, 33), 39),
        ],
        "CXXABI" => &[
            ((1, 3, 1), 5),
            ((1, 3, 3), 12),
            ((1, 3, 7), 17),
            ((1, 3, 10), 24),
            ((1, 3, 11), 27),
            ((1, 3, 12), 31),
            ((1, 3, 13), 34),
            ((1, 3, 14), 38),
            ((1, 3, 15), 39),
        ],
        "GCC" => &[
            ((4, 2, 0), 5),
            ((4, 3, 0), 12),
            ((4, 8, 0), 17),
            ((7, 0, 0), 28),
            ((13, 0, 0), 38),
            ((14, 0, 0), 39),
        ],
        _ => return None,
    };
    let minor = table.iter().find(|(newest, _)| version <= *newest).map_or(u32::MAX, |(_, minor)| *minor);
    Some(SymbolVersion::Glibc((2, minor)))
}
