//! Repairs Mach-O files built with zig. Signatures are checked page by page, and the
//! structure with a third-party parser.

use goblin::mach::{Mach, MachO, load_command::CommandVariant};
use sha2::{Digest as _, Sha256};

use crate::support::*;

pub(crate) fn zig(target: &str) -> [&str; 4] {
    ["python-zig", "cc", "-target", target]
}

/// A program that needs libiconv from the store and searches there.
pub(crate) fn program(dir: &std::path::Path, target: &str, symbol: &str, library: &str) -> Vec<u8> {
    let name = format!("-shared -Wl,-install_name,{STORE}-lib/lib/{library}");
    compile(&zig(target), dir, "lib.dylib", &format!("int {symbol}(void) {{ return 0; }}"), &name);
    let source = format!("int {symbol}(void); int main(void) {{ return {symbol}(); }}");
    let flags = format!("{{}}/lib.dylib -Wl,-rpath,{STORE}-x/lib -Wl,-rpath,@loader_path/../lib");
    compile(&zig(target), dir, "program", &source, &flags)
}

/// Checks every page of the file against its code directory (`cs_blobs.h`), with an
/// independent parser. Returns identifier and flags.
pub(crate) fn check_signature(data: &[u8], macho: &MachO<'_>) -> (String, u32) {
    let place = macho.load_commands.iter().find_map(|command| match command.command {
        CommandVariant::CodeSignature(found) => Some(found),
        _ => None,
    });
    let place = place.expect("there is a signature");
    let (start, size) = (place.dataoff as usize, place.datasize as usize);
    let signature = &data[start..start + size];
    let word = |at: usize| u32::from_be_bytes(signature[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(word(0), 0xfade_0cc0);
    let directories =
        (0..word(8)).map(|index| word(12 + 8 * index + 4)).filter(|at| word(*at) == 0xfade_0c02);
    let mut found = None;
    for at in directories {
        let (hashes, identifier, pages, limit) = (word(at + 16), word(at + 20), word(at + 28), word(at + 32));
        assert_eq!((signature[at + 36], signature[at + 37]), (32, 2), "SHA-256");
        assert_eq!(limit, start, "everything before the signature is covered");
        let chunks: Vec<&[u8]> = data[..limit].chunks(1 << signature[at + 39]).collect();
        assert_eq!(chunks.len(), pages);
        for (index, chunk) in chunks.into_iter().enumerate() {
            let slot = at + hashes + index * 32;
            assert_eq!(Sha256::digest(chunk)[..], signature[slot..slot + 32], "page {index}");
        }
        let name = &signature[at + identifier..];
        let end = name.iter().position(|byte| *byte == 0).unwrap();
        let flags = u32::try_from(word(at + 12)).unwrap();
        found = Some((String::from_utf8(name[..end].to_vec()).unwrap(), flags));
    }
    found.expect("there is a code directory")
}

fn thin(data: &[u8]) -> MachO<'_> {
    MachO::parse(data, 0).unwrap()
}

#[test]
fn removes_libraries_and_search_paths_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    for (target, tag) in
        [("aarch64-macos.13.0", "macosx_13_0_arm64"), ("x86_64-macos.13.0", "macosx_13_0_x86_64")]
    {
        let broken = program(dir.path(), target, "iconv_close", "libiconv.2.dylib");
        let before = thin(&broken);
        assert!(before.libs.iter().any(|library| library.contains("/nix/store/")));
        let wheel = repaired(&program_wheel(&broken)).unwrap();
        assert_eq!(wheel.name.tags.platform, [tag]);
        let fixed = program_of(&wheel);
        let after = thin(&fixed);
        let libraries: Vec<&str> = after.libs[1..].to_vec();
        assert!(libraries.contains(&"/usr/lib/libiconv.2.dylib"), "{libraries:?}");
        assert!(libraries.iter().all(|library| library.starts_with("/usr/lib/")), "{libraries:?}");
        assert_eq!(after.rpaths, ["@loader_path/../lib"]);
        assert_eq!(fixed.len(), broken.len());
        if target.starts_with("aarch64") {
            assert_eq!(
                check_signature(&fixed, &after),
                check_signature(&broken, &before),
                "identifier and flags"
            );
        }
    }
}

#[test]
fn rejects_imports_that_macos_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let broken = program(dir.path(), "aarch64-macos.13.0", "libiconv_open", "libiconv.2.dylib");
    let error = toolkit::error_report(&repaired(&program_wheel(&broken)).unwrap_err());
    assert!(error.contains("`_libiconv_open`") && error.contains("/usr/lib/libiconv.2.dylib"), "{error}");
    let broken = program(dir.path(), "aarch64-macos.13.0", "SSL_new", "libssl.3.dylib");
    let error = toolkit::error_report(&repaired(&program_wheel(&broken)).unwrap_err());
    assert!(error.contains("lib/libssl.3.dylib`, a library in the Nix store"), "{error}");
}

/// Removes the signature, like `codesign --remove-signature`.
fn unsigned(data: &[u8]) -> Vec<u8> {
    let macho = thin(data);
    let (index, place) = macho
        .load_commands
        .iter()
        .enumerate()
        .find_map(|(index, command)| match command.command {
            CommandVariant::CodeSignature(found) => Some((index, found)),
            _ => None,
        })
        .unwrap();
    assert_eq!(index + 1, macho.load_commands.len(), "the signature is the last command");
    let at = macho.load_commands[index].offset;
    let linkedit = macho.load_commands.iter().find_map(|command| match command.command {
        CommandVariant::Segment64(segment) if segment.name().ok() == Some("__LINKEDIT") => {
            Some((command.offset, segment))
        }
        _ => None,
    });
    let (segment_at, segment) = linkedit.unwrap();
    let mut out = data[..place.dataoff as usize].to_vec();
    out[at..at + 16].fill(0);
    let count = u32::try_from(index).unwrap();
    out[16..20].copy_from_slice(&count.to_le_bytes());
    let size = macho.header.sizeofcmds - 16;
    out[20..24].copy_from_slice(&size.to_le_bytes());
    let linked = u64::from(place.dataoff) - segment.fileoff;
    out[segment_at + 48..segment_at + 56].copy_from_slice(&linked.to_le_bytes());
    out
}

#[test]
fn signs_an_unsigned_arm64_program() {
    let dir = tempfile::tempdir().unwrap();
    let sound = compile(&zig("aarch64-macos.13.0"), dir.path(), "a", "int main(void) { return 0; }", "");
    let wheel = repaired(&program_wheel(&unsigned(&sound))).unwrap();
    let signed = program_of(&wheel);
    let (identifier, flags) = check_signature(&signed, &thin(&signed));
    assert_eq!((identifier.as_str(), flags), ("sample", 2), "ad hoc");
    assert!(wheel.changes[0].what.contains("signed ad hoc"));
}

/// Joins thin files to a fat one, each at a multiple of 16 KiB.
pub(crate) fn fat(slices: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, u8::try_from(slices.len()).unwrap()];
    let mut place = 0x4000;
    let mut body = Vec::new();
    for slice in slices {
        out.extend([slice[7], slice[6], slice[5], slice[4], slice[11], slice[10], slice[9], slice[8]]);
        for word in [place, slice.len(), 14] {
            out.extend(u32::try_from(word).unwrap().to_be_bytes());
        }
        body.push((place, *slice));
        place = (place + slice.len()).next_multiple_of(0x4000);
    }
    for (place, slice) in body {
        out.resize(place, 0);
        out.extend(slice);
    }
    out
}

#[test]
fn repairs_both_slices_of_a_fat_file() {
    let dir = tempfile::tempdir().unwrap();
    let arm = program(dir.path(), "aarch64-macos.13.0", "iconv_close", "libiconv.2.dylib");
    let intel = program(dir.path(), "x86_64-macos.13.0", "iconv_close", "libiconv.2.dylib");
    let arm = unsigned(&arm);
    let wheel = repaired(&program_wheel(&fat(&[&intel, &arm]))).unwrap();
    assert_eq!(wheel.name.tags.platform, ["macosx_13_0_universal2"]);
    let fixed = program_of(&wheel);
    let Mach::Fat(slices) = Mach::parse(&fixed).unwrap() else { panic!("it is still fat") };
    for (index, arch) in slices.iter_arches().enumerate() {
        let arch = arch.unwrap();
        let slice = &fixed[arch.offset as usize..][..arch.size as usize];
        let macho = thin(slice);
        assert!(macho.libs.iter().chain(&macho.rpaths).all(|path| !path.contains("/nix/store/")));
        if index == 1 {
            check_signature(slice, &macho);
        }
    }
}

/// A slice that macOS does not load is cleaned, but its architecture and macOS version
/// do not affect the tag.
#[test]
fn a_slice_that_is_not_loaded_does_not_affect_the_tag() {
    const OBJECT: u8 = 1;
    let dir = tempfile::tempdir().unwrap();
    let intel = program(dir.path(), "x86_64-macos.12.0", "iconv_close", "libiconv.2.dylib");
    let mut arm = program(dir.path(), "aarch64-macos.14.0", "iconv_close", "libiconv.2.dylib");
    arm[12] = OBJECT;
    let wheel = repaired(&program_wheel(&fat(&[&intel, &arm]))).unwrap();
    assert_eq!(wheel.name.tags.platform, ["macosx_12_0_x86_64"]);
    assert_eq!(crate::corpus::store_path(&wheel.bytes), None);
}

/// Cuts off files and changes single bytes; every `step`th of both.
fn damage(step: usize) {
    let dir = tempfile::tempdir().unwrap();
    let broken = program(dir.path(), "aarch64-macos.13.0", "iconv_close", "libiconv.2.dylib");
    for end in (0..broken.len()).step_by(997 * step) {
        let _ = repaired(&program_wheel(&broken[..end]));
    }
    let changes = (0..0x600).flat_map(|at| [0, 0x7f, 0xff].map(|value| (at, value)));
    for (at, value) in changes.step_by(step) {
        let mut damaged = broken.clone();
        damaged[at] = value;
        let _ = repaired(&program_wheel(&damaged));
    }
}

#[test]
fn cut_and_damaged_files_do_not_crash() {
    damage(5);
}

#[test]
#[ignore = "soak: 5,000 repairs"]
fn files_with_any_damaged_byte_do_not_crash() {
    damage(1);
}
