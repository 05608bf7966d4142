//! Valid wheels for systems other than Linux, macOS and Windows, and other valid
//! files of popular projects that a rule could mistake for defective.

use distcheck::{Set, Severity};
use testkit::sample::{add, file, linux, pure, sdist, targz, windows};
use testkit::wheel::{Elf, MachO, Member, Pe, Wheel};

use crate::kit::{scan_files, verdict};

type File = (String, Vec<u8>);

/// The findings that are errors or warnings.
fn findings(file: &File) -> Vec<(&'static str, Severity)> {
    let dists = scan_files(std::slice::from_ref(file));
    let findings = verdict(&Set { dists: &dists, ..Set::default() }).findings;
    let serious = findings.into_iter().filter(|finding| finding.severity != Severity::Note);
    serious.map(|finding| (finding.rule, finding.severity)).collect()
}

fn wheel(tag: &str, name: &str, content: impl Into<Vec<u8>>) -> Wheel {
    let mut wheel = Wheel::sample(tag);
    wheel.members.push(Member::new(name, content));
    wheel
}

/// The first bytes of a WebAssembly module.
const WASM: &[u8] = b"\0asm\x01\0\0\0";

#[test]
fn modules_for_pyodide_may_be_webassembly() {
    let tag = "cp314-cp314-pyemscripten_2026_0_wasm32";
    let module = "sample/core.cpython-314-wasm32-emscripten.so";
    assert_eq!(findings(&file(&wheel(tag, module, WASM))), []);
    // As data, it is for every system.
    assert_eq!(findings(&file(&wheel("py3-none-any", "sample/tool.wasm", WASM))), []);
    let elsewhere =
        wheel("cp312-cp312-manylinux_2_17_x86_64", "sample/core.cpython-312-x86_64-linux-gnu.so", WASM);
    assert_eq!(findings(&file(&elsewhere)), [("LNX010", Severity::Error)]);
}

#[test]
fn modules_for_ios_may_be_unsigned_and_load_the_apps_python() {
    let module = MachO {
        file_type: 6,
        signed: false,
        exported: Some("PyInit_core".into()),
        dylibs: vec!["@rpath/Python.framework/Python".into(), "/usr/lib/libSystem.B.dylib".into()],
        ..MachO::default()
    };
    let name = "sample/core.cpython-313-iphoneos.so";
    let ios = wheel("cp313-cp313-ios_13_0_arm64_iphoneos", name, module.bytes());
    assert_eq!(findings(&file(&ios)), []);
    let name = "sample/core.cpython-313-darwin.so";
    let mac = wheel("cp313-cp313-macosx_11_0_arm64", name, module.bytes());
    assert_eq!(findings(&file(&mac)), [("MAC003", Severity::Error)]);
}

#[test]
fn modules_for_android_may_link_with_libpython() {
    let module = Elf {
        machine: 183,
        defined: Some("PyInit_core".into()),
        needed: vec!["libpython3.14.so".into(), "libc.so".into()],
        version: None,
        ..Elf::default()
    };
    let name = "sample/core.cpython-314-aarch64-linux-android.so";
    let android = wheel("cp314-cp314-android_24_arm64_v8a", name, module.bytes());
    assert_eq!(findings(&file(&android)), []);
}

#[test]
fn modules_for_pypy_may_load_its_library_and_use_cffi() {
    let dll = Pe {
        imports: vec![("libpypy3.11-c.dll".into(), vec!["PyPyModule_Create2".into()])],
        exports: vec!["PyInit_core".into()],
        ..Pe::default()
    };
    let name = "sample/core.pypy311-pp73-win_amd64.pyd";
    assert_eq!(findings(&file(&wheel("pp311-pypy311_pp73-win_amd64", name, dll.bytes()))), []);
    let module = Elf { defined: Some("_cffi_pypyinit_core".into()), ..Elf::default() };
    let name = "sample/core.pypy311-pp73-x86_64-linux-gnu.so";
    let cffi = wheel("pp311-pypy311_pp73-manylinux_2_17_x86_64", name, module.bytes());
    assert_eq!(findings(&file(&cffi)), []);
    assert!(
        findings(&file(&windows(&Pe {
            imports: vec![("libgcc_s_seh-1.dll".into(), Vec::new())],
            exports: vec!["PyInit_core".into()],
            ..Pe::default()
        })))
        .contains(&("WIN004", Severity::Warning))
    );
}

#[test]
fn a_package_that_is_an_extension_module_has_its_own_initializer() {
    let package = |symbol: &str| {
        let module = Elf { defined: Some(symbol.into()), ..Elf::default() };
        let name = "sample/core/__init__.cpython-312-x86_64-linux-gnu.so";
        findings(&file(&wheel("cp312-cp312-manylinux_2_17_x86_64", name, module.bytes())))
    };
    assert_eq!(package("PyInit_core"), []);
    assert_eq!(package("PyInit___init__"), [("ABI004", Severity::Error)]);
}

/// As memray's, which a debugger loads.
#[test]
fn accepts_a_library_named_like_a_module() {
    let library = |symbol: &str| {
        let mut wheel = linux(Elf { defined: Some("PyInit_core".into()), ..Elf::default() });
        let library = Elf { defined: Some(symbol.into()), ..Elf::default() }.bytes();
        wheel.members.last_mut().unwrap().name = "sample/core.cpython-314t-x86_64-linux-gnu.so".into();
        wheel.members.push(Member::new("sample/_inject.abi3.so", library));
        wheel.tag = "cp314-cp314t-manylinux_2_17_x86_64".into();
        findings(&file(&wheel))
    };
    assert_eq!(library("inject"), [("ABI004", Severity::Warning)]);
    assert_eq!(library("PyInit__inject"), [("ABI002", Severity::Error)]);
}

#[test]
fn finds_duplicate_members_and_store_paths_in_source_distributions() {
    let library = Elf {
        runpath: Some("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-glibc-2.40/lib".into()),
        ..Elf::default()
    }
    .bytes();
    let errors =
        |file: File| findings(&file).into_iter().filter(|(_, severity)| *severity == Severity::Error);
    // Test data of patchelf.
    let tests = sdist(|archive| add(archive, "sample-1.0/tests/endianness/libtest.so", &library));
    assert_eq!(errors(tests).collect::<Vec<_>>(), []);
    let loose = sdist(|archive| add(archive, "sample-1.0/lib/x.so", &library));
    assert_eq!(errors(loose).collect::<Vec<_>>(), [("SDI007", Severity::Error)]);
    let twice = |second: &'static [u8]| {
        sdist(move |archive| {
            add(archive, "sample-1.0/LICENSE.txt", b"text");
            add(archive, "sample-1.0/LICENSE.txt", second);
        })
    };
    assert_eq!(findings(&twice(b"text")), [("SDI008", Severity::Warning)]);
    assert_eq!(findings(&twice(b"other")), [("SDI008", Severity::Error)]);
}

/// PyPI takes each directory of the first list, if PKG-INFO is in it.
#[test]
fn checks_top_level_directories_of_source_distributions() {
    let metadata = pure().metadata;
    let archive = |directories: &[&str]| {
        let bytes = targz(|archive| {
            for directory in directories {
                add(archive, &format!("{directory}/PKG-INFO"), metadata.as_bytes());
                add(archive, &format!("{directory}/setup.py"), b"");
            }
        });
        findings(&("sample-1.0.tar.gz".into(), bytes))
    };
    for directory in ["sample-v1.0", "Sample-1.0", "sample-1.0.0", "sample", "sample_1.0-final"] {
        assert_eq!(archive(&[directory]), [("SDI001", Severity::Warning)], "{directory}");
    }
    assert_eq!(archive(&["sample-1.0"]), []);
    for directories in [&["sample-1.0", "other"][..], &["./sample-1.0"]] {
        assert!(archive(directories).contains(&("SDI001", Severity::Error)), "{directories:?}");
    }
}
