//! Mach-O files: removes store paths from the load commands in place, then
//! updates the signature.

use std::collections::BTreeMap;
use std::path::Path;

use binfmt::binary::EditError;
use binfmt::macho::{CommandChange, MachOInfo, SignatureState, Slice, apply, check, lc, renew, sign};
use pydist::member_path::file_name;
use pydist::policy;
use pydist::store::mentions_store;
use pydist::zip::Content;

use super::binary_error::BinaryError;
use super::change::Edit;
use super::surroundings::Surroundings;
use super::tags::Needs;

/// A macOS library that replaces a copy in the store.
struct SystemLibrary {
    /// The prefix of the copies' names.
    prefix: &'static str,
    path: &'static str,
    /// The symbols that it is known to have; `None` if nixpkgs has only a stub of
    /// it, so that everything linked is from the real library.
    symbols: Option<&'static [&'static str]>,
}

const SYSTEM_LIBRARIES: [SystemLibrary; 8] = [
    SystemLibrary { prefix: "libSystem.", path: "/usr/lib/libSystem.B.dylib", symbols: None },
    SystemLibrary { prefix: "libobjc.", path: "/usr/lib/libobjc.A.dylib", symbols: None },
    SystemLibrary { prefix: "libresolv.", path: "/usr/lib/libresolv.9.dylib", symbols: None },
    // The symbols' inline namespace is the ABI version; nixpkgs links with the SDK's.
    SystemLibrary { prefix: "libc++.", path: "/usr/lib/libc++.1.dylib", symbols: None },
    SystemLibrary { prefix: "libc++abi.", path: "/usr/lib/libc++abi.dylib", symbols: None },
    SystemLibrary { prefix: "libz.", path: "/usr/lib/libz.1.dylib", symbols: Some(&ZLIB) },
    SystemLibrary {
        prefix: "libiconv.",
        path: "/usr/lib/libiconv.2.dylib",
        symbols: Some(&[
            "__libiconv_version",
            "_iconv",
            "_iconv_canonicalize",
            "_iconv_close",
            "_iconv_open",
            "_iconvctl",
            "_iconvlist",
        ]),
    },
    SystemLibrary {
        prefix: "libcharset.",
        path: "/usr/lib/libcharset.1.dylib",
        symbols: Some(&["_locale_charset"]),
    },
];

/// The functions of zlib 1.2.12, which macOS 13 has. Older versions have fewer,
/// but lack none that common programs use.
const ZLIB: [&str; 81] = [
    "_adler32",
    "_adler32_combine",
    "_adler32_z",
    "_compress",
    "_compress2",
    "_compressBound",
    "_crc32",
    "_crc32_combine",
    "_crc32_combine_gen",
    "_crc32_combine_op",
    "_crc32_z",
    "_deflate",
    "_deflateBound",
    "_deflateCopy",
    "_deflateEnd",
    "_deflateGetDictionary",
    "_deflateInit2_",
    "_deflateInit_",
    "_deflateParams",
    "_deflatePending",
    "_deflatePrime",
    "_deflateReset",
    "_deflateResetKeep",
    "_deflateSetDictionary",
    "_deflateSetHeader",
    "_deflateTune",
    "_get_crc_table",
    "_gzbuffer",
    "_gzclearerr",
    "_gzclose",
    "_gzclose_r",
    "_gzclose_w",
    "_gzdirect",
    "_gzdopen",
    "_gzeof",
    "_gzerror",
    "_gzflush",
    "_gzfread",
    "_gzfwrite",
    "_gzgetc",
    "_gzgetc_",
    "_gzgets",
    "_gzoffset",
    "_gzopen",
    "_gzprintf",
    "_gzputc",
    "_gzputs",
    "_gzread",
    "_gzrewind",
    "_gzseek",
    "_gzsetparams",
    "_gztell",
    "_gzungetc",
    "_gzvprintf",
    "_gzwrite",
    "_inflate",
    "_inflateBack",
    "_inflateBackEnd",
    "_inflateBackInit_",
    "_inflateCodesUsed",
    "_inflateCopy",
    "_inflateEnd",
    "_inflateGetDictionary",
    "_inflateGetHeader",
    "_inflateInit2_",
    "_inflateInit_",
    "_inflateMark",
    "_inflatePrime",
    "_inflateReset",
    "_inflateReset2",
    "_inflateResetKeep",
    "_inflateSetDictionary",
    "_inflateSync",
    "_inflateSyncPoint",
    "_inflateUndermine",
    "_inflateValidate",
    "_uncompress",
    "_uncompress2",
    "_zError",
    "_zlibCompileFlags",
    "_zlibVersion",
];

/// A Mach-O file after its edit.
pub(super) struct EditedMachO {
    /// The file after the edit.
    pub(super) info: MachOInfo,
    /// Its system requirements; `None` for an object file.
    pub(super) needs: Option<Needs>,
    pub(super) edit: Edit,
}

/// Edits the member `name`. Its file name becomes the identifier of a new
/// signature.
pub(super) fn edit(
    content: &mut Content,
    name: &str,
    wheel: &mut Surroundings<'_>,
) -> Result<EditedMachO, BinaryError> {
    let mut edit = Edit::default();
    let mut info = MachOInfo::read(content)?;
    for index in 0..info.slices.len() {
        if !info.slices[index].is_64 && info.slices[index].is_loaded() {
            return Err(BinaryError::Machine(format!("32-bit {}", info.slices[index].arch)));
        }
        let (changes, notes) = plan_commands(content, &info.slices[index], name, wheel)?;
        if !changes.is_empty() {
            let end = info.slices[index].commands_end();
            apply(content, &info.slices[index], &changes)?;
            info = MachOInfo::read(content)?;
            if info.slices[index].signature.is_some() {
                let edited = 0..end - info.slices[index].range.start;
                renew(content, &info.slices[index], edited)?;
            }
        }
        for note in notes {
            if !edit.changes.contains(&note) {
                edit.changes.push(note);
            }
        }
        info = update_signature(content, info, index, name, &mut edit)?;
    }
    for slice in &info.slices {
        check_paths(slice, wheel)?;
    }
    let needs = needs(&info)?;
    Ok(EditedMachO { info, needs, edit })
}

/// Renews a signature that does not match, and signs unsigned arm64 files ad
/// hoc, since Apple silicon does not run them without a signature.
fn update_signature(
    content: &mut Content,
    info: MachOInfo,
    index: usize,
    name: &str,
    edit: &mut Edit,
) -> Result<MachOInfo, BinaryError> {
    let slice = &info.slices[index];
    if !slice.is_loaded() {
        return Ok(info);
    }
    match check(content, slice) {
        Ok(SignatureState::Missing) if slice.arch == "arm64" => {
            sign(content, &info, index, file_name(name))?;
            edit.changes.push("signed ad hoc: an arm64 binary does not start without a signature".into());
        }
        Ok(SignatureState::Mismatch) => {
            renew(content, slice, 0..slice.range.end - slice.range.start)?;
            edit.changes.push("the code signature did not match the file and was renewed".into());
        }
        Ok(SignatureState::Missing | SignatureState::Valid) => return Ok(info),
        Err(error) => return Err(error.into()),
    }
    let info = MachOInfo::read(content)?;
    if check(content, &info.slices[index])? != SignatureState::Valid {
        return Err(EditError::Signature("it does not match the file").into());
    }
    Ok(info)
}

/// Plans the changes to the load commands, and describes them.
fn plan_commands(
    content: &Content,
    slice: &Slice,
    name: &str,
    wheel: &mut Surroundings<'_>,
) -> Result<(BTreeMap<usize, CommandChange>, Vec<String>), BinaryError> {
    let (mut changes, mut notes) = (BTreeMap::new(), Vec::new());
    let mut ordinal = 0;
    for (index, command) in slice.commands.iter().enumerate() {
        let is_library = lc::LIBRARIES.contains(&command.kind);
        ordinal += usize::from(is_library);
        let is_replaced = |path: &str| {
            let is_all = wheel.grafts.as_ref().is_some_and(super::graft::Grafts::is_all);
            let is_local = is_all && is_library && path.starts_with('/') && !policy::is_macos_library(path);
            mentions_store(path) || is_local && !wheel.is_excluded(file_name(path))
        };
        let Some(path) = command.path.as_ref().filter(|path| is_replaced(&path.text)) else { continue };
        let (old, file) = (&path.text, file_name(&path.text));
        // One byte is the path's NUL.
        let room = usize::try_from(path.range.end - path.range.start).unwrap_or_default().saturating_sub(1);
        let new = match command.kind {
            lc::RPATH => {
                notes.push(format!("the search path `{old}` removed"));
                changes.insert(index, CommandChange::Remove);
                continue;
            }
            lc::LOAD_DYLINKER => "/usr/lib/dyld".to_owned(),
            lc::ID_DYLIB => {
                let grafted = wheel.grafts.as_ref().and_then(|grafts| grafts.grafted_name(name));
                format!("@rpath/{}", grafted.unwrap_or(file))
            }
            _ if is_library => match (system_library(content, slice, ordinal, old), wheel.grafts.as_mut()) {
                (Ok(path), _) => path.to_owned(),
                (Err(BinaryError::StoreLibrary(_) | BinaryError::Symbol { .. }), Some(grafts)) => {
                    let prefix = format!("@loader_path{}/", grafts.relative_libs(name));
                    let new = grafts.graft(name, Path::new(old), file, room.saturating_sub(prefix.len()))?;
                    wheel.files.insert(new.clone());
                    prefix + &new
                }
                (Err(error), _) => return Err(error),
            },
            _ => continue,
        };
        if new.len() > room {
            return Err(BinaryError::Store(old.clone()));
        }
        notes.push(format!("`{old}` is now `{new}`"));
        changes.insert(index, CommandChange::Path(new));
    }
    Ok((changes, notes))
}

/// The macOS library that replaces the one at `old`.
fn system_library(
    content: &Content,
    slice: &Slice,
    ordinal: usize,
    old: &str,
) -> Result<&'static str, BinaryError> {
    let found = SYSTEM_LIBRARIES.iter().find(|library| file_name(old).starts_with(library.prefix));
    let found = found.ok_or_else(|| BinaryError::StoreLibrary(old.to_owned()))?;
    let Some(symbols) = found.symbols else { return Ok(found.path) };
    let imports = slice.imports(content, ordinal)?;
    // Without two-level namespaces, the symbols of this library are unknown.
    let imports = imports.ok_or_else(|| BinaryError::StoreLibrary(old.to_owned()))?;
    match imports.into_iter().find(|symbol| !symbols.contains(&symbol.as_str())) {
        Some(symbol) => Err(BinaryError::Symbol { library: old.to_owned(), system: found.path, symbol }),
        None => Ok(found.path),
    }
}

/// Checks that no store path is left, and that every library can be found.
fn check_paths(slice: &Slice, wheel: &Surroundings<'_>) -> Result<(), BinaryError> {
    for command in &slice.commands {
        let Some(path) = command.path.as_ref().map(|path| path.text.as_str()) else { continue };
        if mentions_store(path) {
            return Err(BinaryError::Store(path.to_owned()));
        }
        let is_bundled = !path.starts_with('/') && wheel.files.contains(file_name(path))
            || wheel.is_excluded(file_name(path));
        if lc::LIBRARIES.contains(&command.kind) && !policy::is_macos_library(path) && !is_bundled {
            return Err(BinaryError::Library(path.to_owned()));
        }
    }
    Ok(())
}

fn needs(info: &MachOInfo) -> Result<Option<Needs>, BinaryError> {
    let (mut archs, mut version) = (Vec::new(), None);
    // Beside arm64, an arm64e slice is for system programs; Python does not load it.
    let has_arm64 = info.slices.iter().any(|slice| slice.arch == "arm64");
    let is_extra = |arch: &str| has_arm64 && arch == "arm64e";
    for slice in info.slices.iter().filter(|slice| slice.is_loaded() && !is_extra(slice.arch)) {
        if !["arm64", "x86_64"].contains(&slice.arch) {
            return Err(BinaryError::Machine(slice.arch.to_owned()));
        }
        // 1 is macOS; 6 is Catalyst, which zippered files have as well.
        if let Some(platform) = slice.platform.filter(|platform| ![1, 6].contains(platform)) {
            return Err(BinaryError::Platform(platform));
        }
        archs.push(slice.arch);
        let oldest = if slice.arch == "arm64" { (11, 0) } else { (10, 9) };
        let minimum = slice.min_macos.unwrap_or(oldest);
        // Apple silicon requires macOS 11, whatever its slice declares.
        if slice.arch != "arm64" || info.slices.len() == 1 || minimum > (11, 0) {
            version = version.max(Some(minimum));
        }
    }
    archs.sort_unstable();
    archs.dedup();
    // Object files do not limit where the wheel runs.
    Ok((!archs.is_empty()).then(|| Needs::Macos(archs, version.unwrap_or((11, 0)))))
}
