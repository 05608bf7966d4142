//! What the dynamic loaders do with a wheel's libraries: how they map and relocate them, and
//! where they find them.

use testkit::wheel::MachO;

use crate::support::*;

fn error(files: &[File]) -> Option<String> {
    repaired(&zip(&members(files))).err().map(|error| toolkit::error_report(&error))
}

/// The file with this alignment of its segments; `distance` is added to their file offsets,
/// if they have no content.
fn aligned(elf: &[u8], align: u64, distance: u64) -> Vec<u8> {
    let mut elf = elf.to_vec();
    let word = |elf: &[u8], at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap());
    let (headers, count) = (usize::try_from(word(&elf, 32)).unwrap(), usize::from(elf[56]));
    for at in (0..count).map(|index| headers + 56 * index) {
        if elf[at..at + 4] == [1, 0, 0, 0] {
            elf[at + 48..at + 56].copy_from_slice(&align.to_le_bytes());
        }
        // PT_GNU_STACK becomes a segment without content in the file.
        if distance > 0 && elf[at..at + 4] == 0x6474_e551_u32.to_le_bytes() {
            elf[at..at + 4].copy_from_slice(&[1, 0, 0, 0]);
            for (field, value) in [(8, distance), (16, 0x80_0000), (40, 0x1000), (48, align)] {
                elf[at + field..at + field + 8].copy_from_slice(&u64::to_le_bytes(value));
            }
        }
    }
    elf
}

/// glibc before 2.35 has "ELF load command alignment not page-aligned".
#[test]
fn rejects_libraries_that_glibc_does_not_map() {
    let dir = tempfile::tempdir().unwrap();
    let source = "int a = 1; int f(void) { return a; }";
    let library = compile(&CC, dir.path(), "a.so", source, "-shared -fPIC");
    for (align, distance, is_accepted) in [
        (0x1000, 0, true),
        (1, 0, false),
        (16, 0, false),
        (5000, 0, false),
        (0x1000, 0x1000, true),
        (0x1000, 0x123, false),
    ] {
        let error = error(&[file("sample/a.so", aligned(&library, align, distance))]);
        assert_eq!(error.is_none(), is_accepted, "{align}, {distance}: {error:?}");
        assert!(error.is_none_or(|error| error.contains("a PT_LOAD segment is misaligned")));
    }
}

/// The kernel maps programs, and does not read the alignment.
#[test]
fn accepts_programs_that_the_kernel_maps() {
    let dir = tempfile::tempdir().unwrap();
    for flags in ["", "-static"] {
        let program = compile(&CC, dir.path(), "a", HELLO, flags);
        for (align, distance) in [(1, 0), (16, 0), (5000, 0), (0x1000, 0x123)] {
            let program = aligned(&program, align, distance);
            assert!(execute(dir.path(), &program, &[]).unwrap().status.success());
            let error = error(&[file("sample-1.0.data/scripts/sample", program)]);
            assert_eq!(error, None, "{flags}, {align}, {distance}");
        }
    }
}

const POINTERS: &str =
    "static const char *const a[] = {\"x\", \"y\", \"z\"}; const char *const *volatile p = a;";
const RELR: &str = "-Wl,-z,pack-relative-relocs";

/// musl before 1.2.4, which `musllinux_1_2` includes, does not relocate such a file.
#[test]
fn rejects_compact_relocations_for_musl() {
    let dir = tempfile::tempdir().unwrap();
    let name = "-shared -fPIC -nostdlib -Wl,-soname,libc.musl-x86_64.so.1";
    compile(&CC, dir.path(), "libc.so", "int puts(const char *a) { return !a; }", name);
    for (flags, is_accepted) in [(RELR, false), ("-Wl,-z,nopack-relative-relocs", true)] {
        let flags = format!("-shared -fPIC -nostdlib -Wl,--no-as-needed {{}}/libc.so {flags}");
        let library = compile(&CC, dir.path(), "a.so", POINTERS, &flags);
        // One that auditwheel copied from the system is accepted, with a warning.
        let wheel = repaired(&zip(&members(&[file("sample.libs/a.so", &library)]))).unwrap();
        let is_warned = wheel.warnings.iter().any(|warning| warning.what.contains("it has DT_RELR"));
        assert_eq!(is_warned, !is_accepted);
        let error = error(&[file("sample/a.so", library)]);
        assert_eq!(error.is_none(), is_accepted, "{error:?}");
        assert!(error.is_none_or(|error| error.contains("hint: link with `-Wl,-z,nopack-relative-relocs`")));
    }
}

#[test]
fn a_library_with_compact_relocations_needs_glibc_2_36() {
    let dir = tempfile::tempdir().unwrap();
    let flags = format!("-shared -fPIC -nostdlib {RELR}");
    let library = compile(&CC, dir.path(), "a.so", POINTERS, &flags);
    let wheel = repaired(&zip(&members(&[file("sample/a.so", library)]))).unwrap();
    assert_eq!(wheel.floor.as_ref().unwrap().to_string(), "glibc 2.36");
    assert!(!wheel.name.to_string().contains("musllinux"), "{}", wheel.name);
    // It relocates itself.
    let source = format!("{POINTERS} int main(void) {{ return p[0][0] != 'x'; }}");
    let program = compile(&CC, dir.path(), "a", &source, &format!("-static-pie {RELR}"));
    assert!(execute(dir.path(), &program, &[]).unwrap().status.success());
    let name = repaired(&program_wheel(&program)).unwrap().name.to_string();
    assert!(name.contains("musllinux_1_1"), "{name}");
}

/// Search paths of a program, of a library that it needs, and of one that this needs.
#[test]
fn libraries_are_found_as_the_loader_finds_them() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let new = "-Wl,--enable-new-dtags -Wl,-rpath,";
    let old = "-Wl,--disable-new-dtags -Wl,-rpath,";
    let inner = "-shared -fPIC -nostdlib -Wl,-soname,libinner.so";
    let inner = compile(&CC, at, "libinner.so", "int inner(void) { return 1; }", inner);
    for (program, library, needs_both, runs) in [
        // RUNPATH is only for the file's own libraries.
        (format!("{new}$ORIGIN/../lib"), String::new(), false, false),
        (format!("{new}$ORIGIN/../lib"), format!("{new}$ORIGIN"), false, true),
        // RPATH is also for those of its libraries, unless they have a RUNPATH.
        (format!("{old}$ORIGIN/../lib"), String::new(), false, true),
        (format!("{old}$ORIGIN/../lib"), format!("{new}$ORIGIN/other"), false, false),
        (format!("{old}$ORIGIN/../lib"), format!("{old}$ORIGIN/other"), false, true),
        // The program has loaded it before.
        (format!("{new}$ORIGIN/../lib"), String::new(), true, true),
    ] {
        let flags = format!("-shared -fPIC -nostdlib -Wl,-soname,libouter.so {{}}/libinner.so {library}");
        let outer = "int inner(void); int outer(void) { return inner(); }";
        let outer = compile(&CC, at, "libouter.so", outer, &flags);
        let both = if needs_both { "-Wl,--no-as-needed {}/libinner.so" } else { "" };
        let flags = format!("{{}}/libouter.so {both} -Wl,--allow-shlib-undefined {program}");
        let source = "int outer(void); int main(void) { return outer() - 1; }";
        let main = compile(&CC, at, "main", source, &flags);
        let files = [
            file("sample/bin/main", &main),
            file("sample/lib/libouter.so", &outer),
            file("sample/lib/libinner.so", &inner),
        ];
        for file in &files {
            let path = at.join(&file.name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &file.content).unwrap();
        }
        let bin = at.join("sample/bin");
        assert_eq!(execute(&bin, &main, &[]).unwrap().status.success(), runs, "{program}, {library}");
        let error_of = error(&files);
        assert_eq!(error_of.is_none(), runs, "{program}, {library}: {error_of:?}");
        assert!(error_of.is_none_or(|error| error.contains("`libinner.so`, which is in the wheel, but")));
        // A directory of the wheel may have the name of a Python.
        let files = files.map(|mut file| {
            file.name = file.name.replace("sample/", "sample/python3.11/");
            file
        });
        assert_eq!(error(&files).is_none(), runs, "{program}, {library}");
    }
}

/// The search path of a module that does not need the library, and of one that loads it.
#[test]
fn only_modules_that_load_a_library_help_others() {
    let dir = tempfile::tempdir().unwrap();
    let own = "-shared -fPIC -nostdlib -Wl,-soname,libown.so";
    let own = compile(&CC, dir.path(), "libown.so", "int own(void) { return 1; }", own);
    let module = |flags: &str| {
        let flags = format!("-shared -fPIC -nostdlib -Wl,--no-as-needed {flags}");
        compile(&CC, dir.path(), "a.so", "int a;", &flags)
    };
    let path = "-Wl,-rpath,$ORIGIN/../sample.libs";
    for (other, is_accepted) in [(path.to_owned(), false), (format!("{{}}/libown.so {path}"), true)] {
        let files = [
            file("sample/a.abi3.so", module("{}/libown.so")),
            file("other/a.abi3.so", module(&other)),
            file("sample.libs/libown.so", &own),
        ];
        let error = error(&files);
        assert_eq!(error.is_none(), is_accepted, "{other}: {error:?}");
    }
}

/// The same on macOS, where LC_RPATH is inherited.
#[test]
fn macos_looks_through_the_search_paths_of_what_loads_a_library() {
    let macho = |file_type: u32, dylibs: &[&str], rpaths: &[&str]| {
        let all = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
        MachO {
            file_type,
            dylibs: all(dylibs),
            rpaths: all(rpaths),
            cpu: 0x0100_0007,
            signed: false,
            ..MachO::default()
        }
        .bytes()
    };
    let (inner, outer) = ("@rpath/libinner.dylib", "@loader_path/../lib/libouter.dylib");
    for (module, library, other, is_accepted) in [
        (vec![], vec![], vec![], false),
        (vec!["@loader_path/../other"], vec![], vec![], false),
        (vec![], vec!["@loader_path"], vec![], true),
        (vec!["@loader_path/../lib"], vec![], vec![], true),
        // The path of a binary that does not load it.
        (vec![], vec![], vec!["@loader_path/../lib"], false),
    ] {
        let files = [
            file("sample/a/a.abi3.so", macho(8, &[outer], &module)),
            file("sample/b/b.abi3.so", macho(8, &[], &other)),
            file("sample/lib/libouter.dylib", macho(6, &[inner], &library)),
            file("sample/lib/libinner.dylib", macho(6, &[], &[])),
        ];
        let error = error(&files);
        assert_eq!(error.is_none(), is_accepted, "{module:?}, {library:?}, {other:?}: {error:?}");
        let reason = "`@rpath/libinner.dylib`, which is in the wheel, but";
        assert!(error.as_ref().is_none_or(|error| error.contains(reason)), "{error:?}");
    }
}

/// A path without @rpath must exist, whatever another binary has loaded.
#[test]
fn a_library_that_another_binary_finds_is_not_at_every_path() {
    let macho = |library: &str| {
        let dylibs = vec![library.to_owned()];
        MachO { file_type: 8, dylibs, cpu: 0x0100_0007, signed: false, ..MachO::default() }.bytes()
    };
    for (library, is_accepted) in [("@rpath/libown.dylib", true), ("@loader_path/wrong/libown.dylib", false)]
    {
        let files = [
            file("sample/a/a.abi3.so", macho("@loader_path/../lib/libown.dylib")),
            file("sample/b/b.abi3.so", macho(library)),
            file("sample/lib/libown.dylib", macho("/usr/lib/libSystem.B.dylib")),
        ];
        let error = error(&files);
        assert_eq!(error.is_none(), is_accepted, "{library}: {error:?}");
    }
}

/// Anyone may put a library into the working directory, and only machines with Nix have profiles.
#[test]
fn removes_search_paths_outside_the_wheel() {
    let dir = tempfile::tempdir().unwrap();
    for (path, expected) in [
        ("lib", vec![]),
        ("../lib:$ORIGIN", vec!["$ORIGIN"]),
        (".:$ORIGIN/..", vec!["$ORIGIN/.."]),
        ("/nix/var/nix/profiles/default/lib:${ORIGIN}/a", vec!["${ORIGIN}/a"]),
        ("/gnu/store/abc-x/lib", vec![]),
    ] {
        let flags = format!("-shared -fPIC -Wl,-rpath,{path}");
        let library = compile(&CC, dir.path(), "a.so", "int a;", &flags);
        let wheel = repaired(&zip(&members(&[file("sample/a.so", library)]))).unwrap();
        let library = build_wheel::repair::member(&wheel.bytes, "sample/a.so").unwrap();
        let info = binfmt::elf::ElfInfo::read(library.as_slice()).unwrap();
        assert_eq!(info.search_paths().collect::<Vec<_>>(), expected, "{path}");
    }
}
