//! ELF files: removes store paths from everything that the loader reads, and
//! determines system requirements with the manylinux and musllinux policies.

mod loader;
mod needs;

use std::path::{Path, PathBuf};

use std::collections::BTreeSet;

use binfmt::elf::{Changes, ElfInfo, Interpreter, Kind, PT_LOAD, Segment, apply, tag};
use binfmt::source::WriteAt;
use pydist::libc::{Libc, is_musl};
use pydist::member_path::{directory, file_name};
use pydist::policy;
use pydist::store::{is_nix_path, mentions_store};
use pydist::target::Arch;

use loader::{is_standard, loader};
use needs::{has_relr, needs};

use super::binary_error::BinaryError;
use super::change::Edit;
use super::graft::Grafts;
use super::surroundings::Surroundings;
use super::tags::Needs;

/// An ELF file after its edit.
pub(super) struct EditedElf {
    /// The file after the edit.
    pub(super) info: ElfInfo,
    /// Its system requirements; `None` for an object file.
    pub(super) needs: Option<Needs>,
    pub(super) edit: Edit,
}

/// Edits the member `name`.
pub(super) fn edit<S: WriteAt + ?Sized>(
    content: &mut S,
    name: &str,
    wheel: &mut Surroundings<'_>,
) -> Result<EditedElf, BinaryError> {
    let elf = ElfInfo::read(&*content)?;
    let mut edit = Edit::default();
    if !matches!(elf.kind, Kind::Executable | Kind::Library) {
        check_store(&elf)?;
        return Ok(EditedElf { info: elf, needs: None, edit });
    }
    let found = || elf.arch().map_or_else(|| format!("ELF machine {}", elf.machine), str::to_owned);
    let arch = elf.arch().and_then(Arch::from_tag).ok_or_else(|| BinaryError::Machine(found()))?;
    let is_unterminated =
        |found: &&Interpreter| found.path.len() as u64 >= found.range.end - found.range.start;
    if let Some(found) = elf.interpreters.iter().find(is_unterminated) {
        let offset = found.range.start;
        return Err(binfmt::binary::BinaryError::Damaged { what: "the interpreter's path", offset }.into());
    }
    let bundled = graft_libraries(&elf, name, wheel)?;
    let libc = Libc::of(&elf, &BTreeSet::new());
    let mut changes = Changes { interpreter: interpreter(&elf, arch, libc)?, ..Changes::default() };
    if let Some(new) = &changes.interpreter {
        edit.changes
            .push(format!("the interpreter `{}` is now `{new}`", elf.interpreter().unwrap_or_default()));
    }
    change_strings(&elf, wheel.remove_rpaths, &bundled, &mut changes, &mut edit)?;
    if !changes.is_empty() && !apply(content, &elf, &changes)? {
        edit.warnings
            .push("removed strings stay in the file, because its number of symbols is unknown".into());
    }
    let info = if changes.is_empty() { elf } else { ElfInfo::read(&*content)? };
    check(&info, arch, libc)?;
    if has_relr(&info) && libc == Some(Libc::Musl) {
        // Alpine links its own libraries so, and auditwheel copies them into most wheels.
        if !directory(name).ends_with(".libs") {
            return Err(BinaryError::MuslRelr);
        }
        edit.warnings.push(BinaryError::MuslRelr.to_string());
    }
    let mut present = wheel.files.clone();
    present.extend(info.needed().filter(|library| wheel.is_excluded(file_name(library))).map(str::to_owned));
    let needs = needs(&info, arch, libc, &present)?;
    Ok(EditedElf { info, needs: Some(needs), edit })
}

/// The file's search path, if a library from outside the store must be grafted
/// and the path has no room for the libraries' directory.
pub(super) fn search_path_without_room(
    elf: &ElfInfo,
    name: &str,
    wheel: &Surroundings<'_>,
) -> Option<String> {
    let grafts = wheel.grafts.as_ref().filter(|grafts| grafts.is_all())?;
    let is_grafted = |library: &str| {
        let is_known = policy::is_loader(library)
            || policy::linux().iter().any(|policy| policy.libraries.contains(library))
            || is_musl(library);
        !is_known
            && !wheel.files.contains(library)
            && !wheel.is_excluded(library)
            && in_search_path(elf, library, true).is_some()
    };
    if !elf.needed().any(is_grafted) {
        return None;
    }
    let path = search_entry(elf).ok().and_then(|index| elf.dynamic[index].text.clone()).unwrap_or_default();
    let is_kept = |path: &str| !path.starts_with('/') && !is_in_working_directory(path);
    let kept: usize = path.split(':').filter(|path| is_kept(path)).map(|path| path.len() + 1).sum();
    (path.len() < kept + "$ORIGIN".len() + grafts.relative_libs(name).len()).then_some(path)
}

/// The interpreter that the file should have, if it has a different one.
fn interpreter(elf: &ElfInfo, arch: Arch, libc: Option<Libc>) -> Result<Option<String>, BinaryError> {
    let Some(found) = elf.interpreter() else { return Ok(None) };
    let Some(expected) = libc.and_then(|libc| loader(arch, libc)) else {
        let expected = policy::glibc_loader(arch.tag()).unwrap_or_default().to_owned();
        return Err(BinaryError::Interpreter { found: found.to_owned(), expected });
    };
    Ok((!is_standard(found, &expected, arch)).then_some(expected))
}

/// Plans the changes to the strings of the dynamic section.
fn change_strings(
    elf: &ElfInfo,
    remove_absolute: bool,
    bundled: &Bundled,
    changes: &mut Changes,
    edit: &mut Edit,
) -> Result<(), BinaryError> {
    let search_in = bundled.search.as_ref().map(|search| Ok((search_entry(elf)?, search)));
    let search_in = search_in.transpose().map_err(binfmt::binary::EditError::NoRoom)?;
    for (index, entry) in elf.dynamic.iter().enumerate() {
        let Some(old) = &entry.text else { continue };
        let new = match entry.tag {
            tag::RPATH | tag::RUNPATH => {
                let is_removed = |path: &str| {
                    // Libraries found through it are in the wheel now.
                    let is_grafted = bundled.is_all && bundled.search.is_some();
                    is_in_working_directory(path)
                        || is_in_store(path)
                        || (remove_absolute || is_grafted) && path.starts_with('/')
                };
                let mut kept: Vec<&str> = old.split(':').filter(|path| !is_removed(path)).collect();
                for path in kept.iter().filter(|path| path.starts_with('/')) {
                    edit.warnings.push(format!("the search path `{path}` exists on few machines"));
                }
                kept.extend(
                    search_in.filter(|(position, _)| *position == index).map(|(_, path)| path.as_str()),
                );
                kept.join(":")
            }
            tag::NEEDED | tag::SONAME => bundled.library_name(old),
            _ => continue,
        };
        if new == *old {
            continue;
        }
        let field = match entry.tag {
            tag::NEEDED => "the needed library",
            tag::SONAME => "the library's name",
            tag::RPATH => "RPATH",
            _ => "RUNPATH",
        };
        if new.is_empty() {
            edit.changes.push(format!("{field} `{old}` removed"));
            changes.strings.insert(index, None);
        } else {
            edit.changes.push(format!("{field} `{old}` is now `{new}`"));
            changes.strings.insert(index, Some(new));
        }
    }
    Ok(())
}

/// Whether the loader looks for a search path in the process's working directory, where anyone
/// may have put a library.
fn is_in_working_directory(path: &str) -> bool {
    !["/", "$ORIGIN", "${ORIGIN}"].iter().any(|start| path.starts_with(start))
}

/// Whether a search path is in the store, or in a profile, which links to it.
fn is_in_store(path: &str) -> bool {
    mentions_store(path) || is_nix_path(path)
}

/// The entry to add a search path to: RUNPATH if there is one, since it
/// overrides RPATH.
fn search_entry(elf: &ElfInfo) -> Result<usize, String> {
    let find = |tag: u64| elf.dynamic.iter().position(|entry| entry.tag == tag);
    find(tag::RUNPATH).or_else(|| find(tag::RPATH)).ok_or_else(|| "it has no RUNPATH or RPATH".to_owned())
}

/// Libraries that the loader must find in the wheel instead of in the store.
#[derive(Debug, Clone, Default)]
struct Bundled {
    /// Old and new names of the libraries.
    renamed: Vec<(String, String)>,
    /// The search path to find them.
    search: Option<String>,
    /// Whether libraries outside the store are grafted, too.
    is_all: bool,
}

impl Bundled {
    /// The new value of a NEEDED or SONAME entry.
    fn library_name(&self, old: &str) -> String {
        let renamed = self.renamed.iter().find(|(name, _)| name == old);
        let kept = if mentions_store(old) { file_name(old) } else { old };
        renamed.map_or_else(|| kept.to_owned(), |(_, new)| new.clone())
    }
}

/// Grafts the libraries that are neither in the wheel nor on every machine, if
/// grafting is enabled.
fn graft_libraries(elf: &ElfInfo, name: &str, wheel: &mut Surroundings<'_>) -> Result<Bundled, BinaryError> {
    let is_system = |library: &str| {
        policy::is_loader(library) || policy::linux().iter().any(|policy| policy.libraries.contains(library))
    };
    let mut bundled =
        Bundled { is_all: wheel.grafts.as_ref().is_some_and(Grafts::is_all), ..Bundled::default() };
    for needed in elf.needed() {
        let file = file_name(needed);
        if is_system(file) || is_musl(file) || wheel.files.contains(file) || wheel.is_excluded(file) {
            continue;
        }
        let Some(grafts) = wheel.grafts.as_mut() else {
            if mentions_store(needed) {
                return Err(BinaryError::StoreLibrary(needed.to_owned()));
            }
            continue;
        };
        let path = if mentions_store(needed) {
            Some(PathBuf::from(needed))
        } else {
            in_search_path(elf, file, grafts.is_all())
        };
        if let Some(path) = path {
            let new = grafts.graft(name, &path, file, needed.len())?;
            bundled.renamed.push((needed.to_owned(), new));
        }
    }
    wheel.files.extend(bundled.renamed.iter().map(|(_, new)| new.clone()));
    let Some(grafts) = &wheel.grafts else { return Ok(bundled) };
    if !bundled.renamed.is_empty() {
        bundled.search = Some(format!("$ORIGIN{}", grafts.relative_libs(name)));
    }
    rename_soname(elf, name, grafts, &mut bundled);
    Ok(bundled)
}

/// Sets the SONAME of a grafted library to its new name if there is room. The
/// loader finds the library by its file name anyway.
fn rename_soname(elf: &ElfInfo, name: &str, grafts: &Grafts, bundled: &mut Bundled) {
    if let Some(new) = grafts.grafted_name(name) {
        let soname = elf.soname().into_iter().filter(|old| new.len() <= old.len());
        bundled.renamed.extend(soname.map(|old| (old.to_owned(), new.to_owned())));
    }
}

/// Where the loader would find a library: in search paths in the store, and with
/// `all` also in every absolute search path and in this machine's library
/// directories.
fn in_search_path(elf: &ElfInfo, file: &str, all: bool) -> Option<PathBuf> {
    let paths =
        elf.runpath().chain(elf.rpath()).filter(|path| is_in_store(path) || all && path.starts_with('/'));
    let mut paths = paths.map(PathBuf::from).collect::<Vec<_>>();
    if let Some(arch) = elf.arch().filter(|_| all) {
        let multiarch = format!("{arch}-linux-gnu");
        for root in ["/usr/local/lib", "/usr/lib", "/lib"] {
            paths.extend([Path::new(root).join(&multiarch), PathBuf::from(format!("{root}64")), root.into()]);
        }
    }
    let is_match = |path: &PathBuf| {
        let library = std::fs::File::open(path).ok().filter(|_| path.is_file());
        // Skip a library of the same name for another architecture.
        library.is_some_and(|library| {
            mentions_store(&path.to_string_lossy())
                || ElfInfo::read(&library).is_ok_and(|found| found.arch() == elf.arch())
        })
    };
    paths.into_iter().map(|directory| directory.join(file)).find(is_match)
}

/// Rejects store paths in the fields that a loader reads.
fn check_store(elf: &ElfInfo) -> Result<(), BinaryError> {
    let strings = elf.dynamic.iter().filter_map(|entry| entry.text.as_deref());
    let interpreters = elf.interpreters.iter().map(|found| found.path.as_str());
    match strings.chain(interpreters).find(|text| mentions_store(text)) {
        Some(path) => Err(BinaryError::Store(path.to_owned())),
        None => Ok(()),
    }
}

/// Rejects files that a loader would reject or that still name the store.
fn check(elf: &ElfInfo, arch: Arch, libc: Option<Libc>) -> Result<(), BinaryError> {
    check_store(elf)?;
    if elf.interpreters.len() > 1 {
        return Err(BinaryError::Rejected("it has more than one PT_INTERP"));
    }
    let is_loaded_by_glibc = elf.kind == Kind::Library && libc != Some(Libc::Musl);
    let mut loads = elf.segments.iter().filter(|segment| segment.kind == PT_LOAD);
    if loads.any(|segment| is_misaligned(segment, is_loaded_by_glibc)) {
        return Err(BinaryError::Rejected("a PT_LOAD segment is misaligned"));
    }
    let has_relr = has_relr(elf);
    let requires_relr = elf.versions.values().any(|versions| versions.contains("GLIBC_ABI_DT_RELR"));
    if has_relr && !requires_relr && libc == Some(Libc::Glibc) && elf.needed().next().is_some() {
        return Err(BinaryError::Rejected("it has DT_RELR, but does not need GLIBC_ABI_DT_RELR"));
    }
    if let Some(found) = elf.interpreter().map(str::to_owned) {
        let expected = libc.and_then(|libc| loader(arch, libc)).unwrap_or_default();
        if !is_standard(&found, &expected, arch) {
            return Err(BinaryError::Interpreter { found, expected });
        }
    }
    Ok(())
}

/// Whether a segment cannot be mapped: the offset in the file and the address must be at the
/// same place of a page. glibc's loader before 2.35 also rejects an alignment that is not a
/// multiple of the page size, and compares the places by the alignment (`dl-load.c`), whether
/// the segment has content in the file or not. The kernel, which loads programs, and musl do
/// not read the alignment.
fn is_misaligned(segment: &Segment, is_loaded_by_glibc: bool) -> bool {
    const PAGE: u64 = 4096;
    let distance = segment.offset.wrapping_sub(segment.address);
    if !is_loaded_by_glibc {
        return segment.size > 0 && !distance.is_multiple_of(PAGE);
    }
    // glibc's mask, which has all bits for the alignment 0.
    let mask = segment.align.wrapping_sub(1);
    !segment.align.is_multiple_of(PAGE) || distance & mask != 0 || !distance.is_multiple_of(PAGE)
}
