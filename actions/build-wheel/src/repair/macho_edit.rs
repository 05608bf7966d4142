//! Takes the Nix store out of Mach-O load commands, in place. Store paths only
//! become shorter, so nothing moves; the signature is brought up to date
//! afterwards.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use super::binary::{BinaryError, Done, Wheel};
use super::graft::Grafts;
use super::macho::{HEADER, Macho, MachoError, lc, path_of, set_u32, slices, u32_le};
use super::tags::Needs;
use super::{Edit, codesign, in_store};

/// `MH_EXECUTE`, `MH_DYLIB` and `MH_BUNDLE`: the files that are loaded. Others are
/// cleaned like them, but need no signature and bind the wheel to no macOS.
const EXECUTE: u32 = 2;
const DYLIB: u32 = 6;
const BUNDLE: u32 = 8;

/// A library of macOS that takes the place of a copy in the store.
struct SystemLibrary {
    /// How names of the copies begin.
    names: &'static str,
    path: &'static str,
    /// The symbols that it surely has; none: nixpkgs has only a stub of it, so
    /// whatever was linked came from the real one.
    symbols: Option<&'static [&'static str]>,
}

const SYSTEM_LIBRARIES: [SystemLibrary; 5] = [
    SystemLibrary { names: "libSystem.", path: "/usr/lib/libSystem.B.dylib", symbols: None },
    SystemLibrary { names: "libobjc.", path: "/usr/lib/libobjc.A.dylib", symbols: None },
    SystemLibrary { names: "libresolv.", path: "/usr/lib/libresolv.9.dylib", symbols: None },
    SystemLibrary {
        names: "libiconv.",
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
        names: "libcharset.",
        path: "/usr/lib/libcharset.1.dylib",
        symbols: Some(&["_locale_charset"]),
    },
];

/// Edits the member `name`, whose file name becomes its identifier where it
/// must be signed anew.
pub(super) fn edit(content: &mut Vec<u8>, name: &str, wheel: Wheel<'_>) -> Result<Done, BinaryError> {
    let mut edit = Edit::default();
    let mut archs = Vec::new();
    let mut version = None;
    let mut parts = Vec::new();
    let slices = slices(content)?;
    for (range, _) in &slices {
        let mut new = content[range.clone()].to_vec();
        let macho = Macho::parse(&new)?;
        let loaded = matches!(macho.file_type, EXECUTE | DYLIB | BUNDLE);
        let notes = edit_commands(&mut new, &macho, name, wheel.files, wheel.grafts.as_mut())?;
        let edited = !notes.is_empty();
        let after = Macho::parse(&new)?;
        if edited && after.signature(&new)?.is_some() {
            codesign::renew(&mut new, &after, 0..HEADER + macho.commands_size)?;
        } else if loaded && after.arch == "arm64" && after.signature(&new)?.is_none() {
            let identifier = name.rsplit('/').next().unwrap_or_default();
            new = codesign::sign(&new, &after, identifier)?;
            edit.changes.push("signed ad hoc: an arm64 binary does not start without".into());
        }
        let after = Macho::parse(&new)?;
        after.check(&new, wheel.files)?;
        for note in notes {
            if !edit.changes.contains(&note) {
                edit.changes.push(note);
            }
        }
        archs.extend(loaded.then_some(macho.arch));
        // Apple silicon begins with macOS 11, whatever its slice says.
        let says = macho.arch != "arm64" || slices.len() == 1 || macho.minimum > (11, 0);
        if loaded && says {
            version = version.max(Some(macho.minimum));
        }
        parts.push(new);
    }
    archs.sort_unstable();
    if !edit.changes.is_empty() {
        let thin = slices.len() == 1 && slices[0].0.start == 0;
        *content = if thin { parts.swap_remove(0) } else { fat(content, &slices, &parts) };
    }
    // An object file says nothing of where the wheel runs.
    let needs = (!archs.is_empty()).then(|| Needs::Macos(archs, version.unwrap_or((11, 0))));
    Ok(Done { needs, edit })
}

/// The fat file with new slices: each where it was, or after the one before
/// it where that has grown.
fn fat(data: &[u8], slices: &[(Range<usize>, u32)], parts: &[Vec<u8>]) -> Vec<u8> {
    let wide = data[3] == 0xbf;
    let size = if wide { 32 } else { 20 };
    let mut out = data[..8 + size * slices.len()].to_vec();
    for (index, ((range, align), part)) in slices.iter().zip(parts).enumerate() {
        let start = range.start.max(out.len().next_multiple_of(1 << align));
        out.resize(start, 0);
        out.extend(part);
        let at = 8 + index * size;
        // Offset and length: words of 8 bytes or of 4, big-endian.
        for (place, value) in [(0, start), (1, part.len())] {
            let value = value as u64;
            if wide {
                out[at + 8 + place * 8..at + 16 + place * 8].copy_from_slice(&value.to_be_bytes());
            } else {
                let narrow = u32::try_from(value).unwrap_or(u32::MAX);
                out[at + 8 + place * 4..at + 12 + place * 4].copy_from_slice(&narrow.to_be_bytes());
            }
        }
    }
    out
}

/// Edits the load commands; gives what was changed.
fn edit_commands(
    data: &mut [u8],
    macho: &Macho,
    name: &str,
    files: &mut BTreeSet<String>,
    mut grafts: Option<&mut Grafts>,
) -> Result<Vec<String>, BinaryError> {
    let mut notes = Vec::new();
    let mut removed = Vec::new();
    let mut ordinal = 0;
    for (kind, command) in &macho.commands {
        let library = lc::LIBRARIES.contains(kind);
        ordinal += usize::from(library);
        let Some(old) = path_of(data, *kind, command)?.filter(|path| in_store(path)) else { continue };
        let file = old.rsplit('/').next().unwrap_or_default();
        let start = command.start + u32_le(data, command.start + 8, "a path in a load command")? as usize;
        // The path ends with a NUL.
        let room = command.end - start - 1;
        let new = match *kind {
            lc::RPATH => {
                notes.push(format!("the search path `{old}` removed"));
                removed.push(command.clone());
                continue;
            }
            lc::LOAD_DYLINKER => "/usr/lib/dyld".to_owned(),
            lc::ID_DYLIB => {
                let grafted = grafts.as_ref().and_then(|grafts| grafts.grafted_name(name));
                format!("@rpath/{}", grafted.unwrap_or(file))
            }
            _ if library => match (system_library(data, macho, ordinal, &old, file), &mut grafts) {
                (Ok(path), _) => path.to_owned(),
                (Err(MachoError::StoreLibrary(_) | MachoError::Symbol { .. }), Some(grafts)) => {
                    let way = format!("@loader_path{}/", grafts.way(name));
                    let new = grafts.take(name, Path::new(&old), file, room.saturating_sub(way.len()))?;
                    files.insert(new.clone());
                    way + &new
                }
                (Err(error), _) => return Err(error.into()),
            },
            _ => continue,
        };
        if new.len() > room {
            return Err(MachoError::Store(old).into());
        }
        data[start..command.end].fill(0);
        data[start..start + new.len()].copy_from_slice(new.as_bytes());
        notes.push(format!("`{old}` is now `{new}`"));
    }
    let mut end = HEADER + macho.commands_size;
    for command in removed.iter().rev() {
        data.copy_within(command.end..end, command.start);
        data[end - command.len()..end].fill(0);
        end -= command.len();
    }
    if !removed.is_empty() {
        let count = macho.commands.len() - removed.len();
        set_u32(data, 16, u32::try_from(count).unwrap_or_default());
        set_u32(data, 20, u32::try_from(end - HEADER).unwrap_or_default());
    }
    Ok(notes)
}

/// The library of macOS in the place of the one at `old`.
fn system_library(
    data: &[u8],
    macho: &Macho,
    ordinal: usize,
    old: &str,
    file: &str,
) -> Result<&'static str, MachoError> {
    let found = SYSTEM_LIBRARIES.iter().find(|library| file.starts_with(library.names));
    let found = found.ok_or_else(|| MachoError::StoreLibrary(old.to_owned()))?;
    if let Some(symbols) = found.symbols {
        let missing =
            macho.imports(data, ordinal)?.into_iter().find(|symbol| !symbols.contains(&symbol.as_str()));
        if let Some(symbol) = missing {
            return Err(MachoError::Symbol { library: old.to_owned(), system: found.path, symbol });
        }
    }
    Ok(found.path)
}
