//! Runs repaired ELF files, which must fail before the repair.

use binfmt::elf::ElfInfo;
use testkit::wheel::Elf;

use crate::support::*;

fn facts(program: &[u8]) -> ElfInfo {
    ElfInfo::read(program).unwrap()
}

#[test]
fn a_repaired_program_of_nix_runs() {
    let dir = tempfile::tempdir().unwrap();
    let broken = compile(&CC, dir.path(), "a", HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    let error = execute(dir.path(), &broken, &[]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "the loader does not exist");

    let wheel = repaired(&program_wheel(&broken)).unwrap();
    let program = program_of(&wheel);
    let output = execute(dir.path(), &program, &[]).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello 1\n");

    let facts = facts(&program);
    assert_eq!(facts.interpreter(), Some("/lib64/ld-linux-x86-64.so.2"));
    assert_eq!(facts.search_paths().count(), 0);
    assert!(!program.windows(11).any(|window| window == b"/nix/store/"), "freed strings are scrubbed");
    assert_eq!(wheel.changes.len(), 2, "{:?}", wheel.changes);
    assert!(wheel.name.tags.platform[0].starts_with("manylinux_2_"), "{}", wheel.name);
}

#[test]
fn keeps_relative_search_paths() {
    let dir = tempfile::tempdir().unwrap();
    let library = "int answer(void) { return 42; }";
    compile(&CC, dir.path(), "libanswer.so", library, "-shared -fPIC -Wl,-soname,libanswer.so");
    let source = "int answer(void); int main(void) { return answer(); }";
    for order in [
        format!("{STORE}-x/lib:$ORIGIN"),
        format!("$ORIGIN:{STORE}-x/lib"),
        format!("{STORE}-x/lib:$ORIGIN:{STORE}-y/lib"),
    ] {
        let flags = format!("-L{{}} -lanswer -Wl,-rpath,{order}");
        let broken = compile(&CC, dir.path(), "a", source, &flags);
        let library = std::fs::read(dir.path().join("libanswer.so")).unwrap();
        let files = [
            file("sample-1.0.data/scripts/sample", &broken),
            file("sample-1.0.data/scripts/libanswer.so", library),
        ];
        let wheel = repaired(&zip(&members(&files))).unwrap();
        let program = program_of(&wheel);
        assert_eq!(facts(&program).runpath().collect::<Vec<_>>(), ["$ORIGIN"], "{order}");
        let output = execute(dir.path(), &program, &[]).unwrap();
        assert_eq!(output.status.code(), Some(42), "{order}");
    }
}

/// GNU ld shares `lib` with the end of `…-gcc/lib`: zeroing the path would erase the
/// symbol's name.
#[test]
fn keeps_a_shared_tail_of_a_string() {
    let dir = tempfile::tempdir().unwrap();
    let library = "int lib(void) { return 7; }";
    let flags = format!("-shared -fPIC -s -Wl,-rpath,{STORE}-gcc/lib -Wl,--hash-style=both");
    let broken = compile(&CC, dir.path(), "libtail.so", library, &flags);
    assert_eq!(memchr::memmem::find(&broken, b"\0lib\0"), None, "the linker shares the tail");
    let wheel = repaired(&zip(&members(&[file("sample/libtail.so", &broken)]))).unwrap();
    let library = build_wheel::repair::member(&wheel.bytes, "sample/libtail.so").unwrap();
    assert!(facts(&library).runpath().next().is_none());
    assert!(!library.windows(11).any(|window| window == b"/nix/store/"));

    std::fs::write(dir.path().join("libtail.so"), library).unwrap();
    let source = "int lib(void); int main(void) { return lib(); }";
    let program = compile(&CC, dir.path(), "a", source, "-L{} -ltail -Wl,-rpath,{}");
    assert_eq!(execute(dir.path(), &program, &[]).unwrap().status.code(), Some(7));
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn repairs_files_written_by_patchelf() {
    let dir = tempfile::tempdir().unwrap();
    compile(&CC, dir.path(), "a", HELLO, "");
    let path = dir.path().join("a");
    let mut patchelf = testkit::tools::command("patchelf");
    patchelf.args(["--set-interpreter", &format!("{STORE}-glibc/lib/ld-linux-x86-64.so.2")]);
    succeed(patchelf.args(["--set-rpath", &format!("{STORE}-glibc/lib")]).arg(&path));
    let broken = std::fs::read(&path).unwrap();
    assert!(execute(dir.path(), &broken, &[]).is_err());
    let program = program_of(&repaired(&program_wheel(&broken)).unwrap());
    let output = execute(dir.path(), &program, &[]).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello 1\n");
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn a_repaired_foreign_program_runs_under_qemu() {
    let dir = tempfile::tempdir().unwrap();
    let gcc = ["aarch64-linux-gnu-gcc"];
    let broken = compile(&gcc, dir.path(), "a", HELLO, &nix_flags("ld-linux-aarch64.so.1"));
    let qemu = ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"];
    let output = execute(dir.path(), &broken, &qemu).unwrap();
    assert!(!output.status.success());
    let wheel = repaired(&program_wheel(&broken)).unwrap();
    assert!(wheel.name.to_string().ends_with("_aarch64.whl"), "{}", wheel.name);
    let output = execute(dir.path(), &program_of(&wheel), &qemu).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello 1\n");
}

#[test]
fn a_binary_without_store_paths_stays_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let sound = compile(&CC, dir.path(), "a", HELLO, "");
    let wheel = repaired(&program_wheel(&sound)).unwrap();
    assert!(wheel.changes.is_empty());
    assert_eq!(program_of(&wheel), sound);
    let again =
        repaired_with(&wheel.name.to_string(), &wheel.bytes, &build_wheel::repair::Options::default());
    assert_eq!(again.unwrap().bytes, wheel.bytes, "a second repair changes nothing");
}

/// A binary cut off anywhere neither causes a crash nor passes with a store path.
#[test]
fn cut_binaries_are_rejected_or_clean() {
    let dir = tempfile::tempdir().unwrap();
    let broken = compile(&CC, dir.path(), "a", HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    for end in (0..broken.len()).step_by(97) {
        if let Ok(wheel) = repaired(&program_wheel(&broken[..end])) {
            let program = program_of(&wheel);
            if let Ok(facts) = ElfInfo::read(program.as_slice()) {
                let paths = facts.search_paths().chain(facts.interpreter());
                assert_eq!(paths.filter(|path| path.contains("/nix/store")).count(), 0, "cut at {end}");
            }
        }
    }
}

/// Changes single bytes of the headers and the dynamic section; every `step`th change.
fn damage(step: usize) {
    let dir = tempfile::tempdir().unwrap();
    let broken = compile(&CC, dir.path(), "a", HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    let dynamic = broken.len().min(0x3000);
    let places = (0..0x400).chain((0x400..dynamic).step_by(13));
    let changes = places.flat_map(|at| [0, 0x7f, 0xff].map(|value| (at, value)));
    for (at, value) in changes.step_by(step) {
        let mut damaged = broken.clone();
        damaged[at] = value;
        let _ = repaired(&program_wheel(&damaged));
    }
}

#[test]
fn damaged_binaries_do_not_crash() {
    damage(5);
}

#[test]
#[ignore = "soak: 5,000 repairs"]
fn binaries_with_any_damaged_byte_do_not_crash() {
    damage(1);
}

/// As text, the byte would become three and extend past the table.
#[test]
fn rejects_a_search_path_that_is_not_utf8() {
    let dir = tempfile::tempdir().unwrap();
    let mut broken = compile(&CC, dir.path(), "a", HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    let path = memchr::memmem::find(&broken, format!("{STORE}-gcc").as_bytes());
    let path = path.expect("the search path is in the file");
    broken[path + STORE.len() + 1..][..3].fill(0xff);
    let Err(error) = repaired(&program_wheel(&broken)) else { panic!("it is not refused") };
    let said = toolkit::error_report(&error);
    assert!(said.contains("is not UTF-8") && said.contains("sample"), "{said}");
}

/// The tag is the oldest policy that allows the C++ library's symbols, whatever
/// policies the architecture has.
#[test]
fn the_tag_allows_the_cpp_librarys_symbols() {
    for (machine, arch) in [(62, "x86_64"), (183, "aarch64"), (21, "ppc64le")] {
        for (version, tag) in [
            ("GLIBCXX_3.4.19", "manylinux_2_17"),
            ("GLIBCXX_3.4.21", "manylinux_2_24"),
            ("CXXABI_1.3.9", "manylinux_2_24"),
        ] {
            let library = "libstdc++.so.6".to_owned();
            let elf = Elf {
                machine,
                needed: vec![library.clone(), "libc.so.6".to_owned()],
                version: Some((library, version.to_owned())),
                ..Elf::default()
            };
            let wheel = zip(&members(&[file("sample/native.so", elf.bytes())]));
            let name = repaired(&wheel).unwrap().name.to_string();
            assert!(name.contains(&format!("-{tag}_{arch}.")), "{arch}, {version}: {name}");
        }
    }
}

/// Systems with musl have zlib, like those with glibc.
#[test]
fn accepts_libraries_of_every_musl_system() {
    let repaired = |library: &str| {
        let needed = vec!["libc.musl-x86_64.so.1".to_owned(), library.to_owned()];
        let elf = Elf { needed, version: None, ..Elf::default() };
        repaired(&zip(&members(&[file("sample/native.so", elf.bytes())])))
    };
    assert!(repaired("libz.so.1").unwrap().name.to_string().contains("-musllinux_1_2_x86_64."));
    let error = toolkit::error_report(&repaired("libgomp.so.1").unwrap_err());
    assert!(error.contains("it needs `libgomp.so.1`"), "{error}");
}

/// A repair would set the tags of one platform, and the others would be lost.
#[test]
fn a_wheel_for_several_platforms_keeps_all_its_tags_or_is_rejected() {
    let elf = |machine| Elf { machine, ..Elf::default() }.bytes();
    let mac = testkit::wheel::MachO { file_type: 6, ..testkit::wheel::MachO::default() }.bytes();
    let files =
        [file("sample/intel.so", elf(62)), file("sample/arm.so", elf(183)), file("sample/mac.dylib", mac)];
    let linux = "manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_17_aarch64";
    for (tags, files, expected) in [
        (linux, &files[..2], Ok(())),
        (linux, &files[..1], Err("it has no binary for Linux on aarch64")),
        ("manylinux_2_17_x86_64.macosx_11_0_arm64", &files[..], Ok(())),
        ("manylinux_2_17_x86_64.macosx_11_0_arm64", &files[..2], Err("it has no binary for macOS")),
        ("linux_x86_64.macosx_11_0_arm64", &files[..], Err("`linux_x86_64` must be replaced")),
    ] {
        let name = format!("sample-1.0-py3-none-{tags}.whl");
        let wheel = repaired_with(&name, &zip(&members(files)), &build_wheel::repair::Options::default());
        match (wheel, expected) {
            (Ok(wheel), Ok(())) => {
                assert_eq!(wheel.name.to_string(), name);
                assert!(wheel.warnings.iter().any(|warning| warning.what.contains("it is only checked")));
            }
            (Err(error), Err(reason)) => {
                let error = toolkit::error_report(&error);
                assert!(error.contains(reason) && error.contains(tags), "{error}");
            }
            (wheel, _) => panic!("{tags}: {:?}", wheel.map(|wheel| wheel.wheel.name.to_string())),
        }
    }
    // A store path in them stays.
    let broken = Elf { runpath: Some(format!("{STORE}-x/lib")), ..Elf::default() }.bytes();
    let wheel = zip(&members(&[file("sample/intel.so", broken), files[1].clone()]));
    let name = format!("sample-1.0-py3-none-{linux}.whl");
    repaired_with(&name, &wheel, &build_wheel::repair::Options::default()).unwrap_err();
}
