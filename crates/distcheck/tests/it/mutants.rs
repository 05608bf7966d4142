//! Each mutant has one defect, and exactly that is found.

use std::collections::BTreeSet;

use distcheck::{Set, Severity};
use testkit::sample::{file, linux, macos, program, pure, windows};
use testkit::wheel::{Elf, MachO, Member, Pe, Wheel};

use crate::kit::{assert_only, changed, found, one, scan_files, verdict};

#[test]
fn valid_wheels_have_no_findings() {
    let loader = Some("/lib64/ld-linux-x86-64.so.2".to_owned());
    for wheel in [
        pure(),
        linux(Elf::default()),
        program(Elf { interpreter: loader, ..Elf::default() }),
        macos(MachO::default()),
    ] {
        assert_eq!(one(&wheel), BTreeSet::new(), "{}", wheel.filename());
    }
}

#[test]
fn finds_defects_of_archives() {
    let record = |members: &mut Vec<Member>, from: &str, to: &str| {
        let record = members.last_mut().unwrap();
        let text = String::from_utf8(record.data.clone()).unwrap().replace(from, to);
        record.data = text.into_bytes();
    };
    let wheel = pure();
    assert_only(&changed(&wheel, |m| m[0].data = b"x = 2\n".to_vec()), "REC002", "content after RECORD");
    assert_only(&changed(&wheel, |m| record(m, ",6\n", ",7\n")), "REC003", "size in RECORD");
    assert_only(
        &changed(&wheel, |m| m.insert(0, Member::new("sample/more.py", ""))),
        "REC004",
        "not in RECORD",
    );
    let gone = changed(&wheel, |m| drop(m.remove(0)));
    assert_eq!(gone, BTreeSet::from(["CON004", "REC005"]), "not in the archive");
    assert_only(&changed(&wheel, |m| record(m, "sha256=", "md5=")), "REC007", "weak hash");
    assert_only(
        &changed(&wheel, |m| m[0].local_name = Some("sample/__init_x.py".into())),
        "ZIP002",
        "local name",
    );
    assert_only(&changed(&wheel, |m| m[0].comment = b"hello".to_vec()), "ZIP004", "comment");
    assert_only(&changed(&wheel, |m| m[0].crc32 = Some(1)), "ZIP011", "checksum");
    assert!(changed(&wheel, |m| m[0].method = 12).contains("ZIP005"), "method");
    assert!(changed(&wheel, |m| m[0].flags = 1).contains("ZIP005"), "encrypted");
    assert!(changed(&wheel, |m| m[0].flags = 8).contains("ZIP004"), "data descriptor");
    assert!(changed(&wheel, |m| m.push(m[0].clone())).contains("ZIP003"), "duplicate");
    for name in ["../evil.py", "/etc/evil.py", "a\\b.py", "C:evil.py", "a\n.py"] {
        let mut wheel = pure();
        wheel.members.push(Member::new(name, ""));
        assert!(one(&wheel).contains("ZIP006"), "{name}");
    }
    let mut link = pure();
    link.members.push(Member { mode: 0o120_777, ..Member::new("sample/link.py", "__init__.py") });
    assert!(one(&link).contains("ZIP007"));
    let mut case = pure();
    case.members.push(Member::new("sample/__INIT__.py", ""));
    assert_only(&one(&case), "ZIP008", "case");
}

#[test]
fn finds_bytes_around_the_archive() {
    let wheel = pure();
    let bytes = wheel.bytes();
    let after = [&bytes[..], b"trailing"].concat();
    assert!(found(&[(wheel.filename(), after)]).contains("ZIP002"));
    let before = [b"leading!", &bytes[..]].concat();
    assert!(!found(&[(wheel.filename(), before)]).is_empty());
}

#[test]
fn rejects_an_archive_cut_off_anywhere() {
    let wheel = linux(Elf::default());
    let bytes = wheel.bytes();
    for cut in (0..bytes.len()).step_by(37) {
        let found = found(&[(wheel.filename(), bytes[..cut].to_vec())]);
        assert!(found.contains("ZIP001"), "cut at {cut}: {found:?}");
    }
}

#[test]
fn finds_defects_of_names_and_tags() {
    let with = |change: fn(&mut Wheel)| {
        let mut wheel = linux(Elf::default());
        change(&mut wheel);
        one(&wheel)
    };
    let renamed = |name: &str| {
        let wheel = pure();
        found(&[(name.to_owned(), wheel.bytes())])
    };
    assert!(renamed("sample-1.1-py3-none-any.whl").contains("NAM003"));
    assert!(renamed("simple-1.0-py3-none-any.whl").contains("NAM002"));
    assert!(renamed("sample-1.0-any.whl").contains("NAM001"));
    assert!(renamed("sample-1.0-py2-none-any.whl").contains("TAG002"));
    assert!(renamed("sample-1.0-1-py3-none-any.whl").contains("TAG009"));
    assert!(with(|wheel| wheel.tag = "cp312-cp312-linux_x86_64".into()).contains("TAG001"));
    assert!(with(|wheel| wheel.tag = "py3-none-any".into()).contains("TAG004"));
    assert!(with(|wheel| wheel.tag = "cp311-cp311-manylinux_2_17_x86_64".into()).contains("ABI002"));
    assert!(with(|wheel| wheel.tag = "cp312-cp311-manylinux_2_17_x86_64".into()).contains("TAG008"));
    let purelib =
        "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: cp312-cp312-manylinux_2_17_x86_64\n";
    let mut wheel = linux(Elf::default());
    wheel.wheel = Some(purelib.into());
    assert_only(&one(&wheel), "TAG005", "purelib");
    wheel.wheel = Some(purelib.replace("true", "false").replace("Wheel-Version: 1.0\n", ""));
    assert_only(&one(&wheel), "TAG006", "no Wheel-Version");
}

#[test]
fn finds_defects_of_metadata() {
    let with = |from: &str, to: &str| {
        let mut wheel = pure();
        assert!(wheel.metadata.contains(from), "{from}");
        wheel.metadata = wheel.metadata.replace(from, to);
        one(&wheel)
    };
    for (from, to, rule) in [
        ("Name: sample\n", "", "MET001"),
        ("Metadata-Version: 2.4", "Metadata-Version: 9.9", "MET002"),
        ("Summary", "Classifier: Topic :: Nonsense\nSummary", "MET004"),
        ("Summary", "Requires-Dist: a @ https://example.org/a.whl\nSummary", "MET005"),
        ("Summary", "Requires-Dist: a >> 1\nSummary", "MET005"),
        (">=3.10", "3.10 or so", "MET006"),
        ("Summary", "Project-URL: home, example\nSummary", "MET007"),
        ("Summary", "Author-email: nobody\nSummary", "MET022"),
        ("A sample.", &"x".repeat(513), "MET008"),
        ("License-Expression: MIT", "License-Expression: MITT", "MET009"),
        ("Summary", "License: MIT\nSummary", "MET009"),
        ("Summary", "License-File: LICENSE\nSummary", "MET010"),
        ("Summary", "Dynamic: Name\nSummary", "MET011"),
        ("text/markdown", "text/html", "MET012"),
        ("Metadata-Version: 2.4", "Metadata-Version: 2.1", "MET013"),
        ("Summary: A sample.\n", "", "MET016"),
        ("Summary", "Version: 1.0\nSummary", "MET018"),
    ] {
        assert_only(&with(from, to), rule, to);
    }
    let mut local = pure();
    local.metadata = local.metadata.replace("Version: 1.0\n", "Version: 1.0+local\n");
    assert!(one(&local).contains("NAM006"));
    let mut entry = pure();
    entry.members.push(Member::new(
        "sample-1.0.dist-info/entry_points.txt",
        "[console_scripts]\nx = sample.gone:main\n",
    ));
    assert_only(&one(&entry), "MET014", "entry point");
}

#[test]
fn finds_defects_of_binaries() {
    let store = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-glibc-2.40/lib";
    let elf = |change: fn(&mut Elf)| {
        let mut elf = Elf::default();
        change(&mut elf);
        elf
    };
    assert_only(&one(&linux(Elf { runpath: Some(store.into()), ..Elf::default() })), "NIX001", "RUNPATH");
    let interpreter = Some(format!("{store}/ld-linux-x86-64.so.2"));
    assert_only(&one(&program(Elf { interpreter, ..Elf::default() })), "NIX001", "interpreter");
    assert_only(
        &one(&macos(MachO { dylibs: vec![format!("{store}/libiconv.2.dylib")], ..MachO::default() })),
        "NIX002",
        "dylib",
    );
    let mut text = pure();
    text.members.push(Member::new("sample/config.py", format!("PATH = '{store}'\n")));
    assert_only(&one(&text), "NIX004", "text");
    text.members[1] = Member::new("sample-1.0.data/scripts/tool", format!("#!{store}/bin/sh\n")).executable();
    assert!(one(&text).contains("NIX003"));

    assert_only(&one(&linux(elf(|elf| elf.machine = 183))), "LNX001", "machine");
    assert_only(
        &one(&linux(elf(|elf| elf.version = Some(("libc.so.6".into(), "GLIBC_2.34".into()))))),
        "LNX002",
        "glibc",
    );
    assert_only(&one(&linux(elf(|elf| elf.needed.push("libssl.so.3".into())))), "LNX003", "library");
    assert_only(&one(&linux(elf(|elf| elf.exec_stack = true))), "LNX005", "stack");
    assert_only(
        &one(&linux(elf(|elf| elf.runpath = Some("/home/user/build".into())))),
        "LNX006",
        "build directory",
    );
    assert_only(
        &one(&program(elf(|elf| elf.interpreter = Some("/opt/ld.so".into())))),
        "LNX007",
        "interpreter",
    );
    assert!(one(&linux(elf(|elf| elf.needed = vec!["libc.musl-x86_64.so.1".into()]))).contains("LNX008"));
    let mut cut = linux(Elf::default());
    cut.members[1].data.truncate(80);
    assert_only(&one(&cut), "LNX010", "cut off");

    let mut abi3 = Wheel::sample("cp39-abi3-manylinux_2_17_x86_64");
    let module = |symbol: &str| Elf { undefined: Some(symbol.into()), ..Elf::default() }.bytes();
    abi3.members.push(Member::new("sample/core.abi3.so", module("PyLong_FromLong")));
    assert_eq!(one(&abi3), BTreeSet::new());
    for symbol in ["_PyLong_AsByteArray", "PyModule_AddType"] {
        abi3.members[1].data = module(symbol);
        assert_only(&one(&abi3), "ABI001", symbol);
    }

    assert_only(&one(&macos(MachO { cpu: 0x0100_0007, ..MachO::default() })), "MAC001", "architecture");
    assert_only(&one(&macos(MachO { minimum: (14, 0), ..MachO::default() })), "MAC002", "minimum");
    assert_only(&one(&macos(MachO { signed: false, ..MachO::default() })), "MAC003", "signature");
    assert_only(
        &one(&macos(MachO { dylibs: vec!["/opt/homebrew/lib/libx.dylib".into()], ..MachO::default() })),
        "MAC004",
        "library",
    );

    assert_only(&one(&macos(MachO { subtype: 2, ..MachO::default() })), "MAC001", "arm64e alone");

    let mut mode = program(Elf { interpreter: Some("/lib64/ld-linux-x86-64.so.2".into()), ..Elf::default() });
    mode.members[1].mode = 0o100_644;
    assert_only(&one(&mode), "CON006", "mode");
}

#[test]
fn finds_missing_module_initializers() {
    let mac = |name: &str| {
        let mut wheel = Wheel::sample("cp312-cp312-macosx_11_0_arm64");
        let module = MachO { file_type: 8, exported: Some(name.into()), ..MachO::default() };
        wheel.members.push(Member::new("sample/core.cpython-312-darwin.so", module.bytes()));
        wheel
    };
    assert_eq!(one(&mac("PyInit_core")), BTreeSet::new());
    assert_only(&one(&mac("PyInit_other")), "ABI004", "macOS, another name");
    assert_only(&one(&mac("start")), "ABI004", "macOS, none");
    let dll = |exports: Vec<String>| windows(&Pe { exports, ..Pe::default() });
    assert_eq!(one(&dll(vec!["a".into(), "PyInit_core".into()])), BTreeSet::new());
    assert_only(&one(&dll(vec!["PyInit_other".into()])), "ABI004", "Windows, another name");
    assert_only(&one(&dll(Vec::new())), "ABI004", "Windows, none");
}

/// The library `libx` at a path, and a module that loads it.
#[test]
fn resolves_macos_library_paths() {
    const AT: &str = "sample/.dylibs/libx.dylib";
    let found = |at: &str, dylib: &str, rpaths: &[&str]| {
        let mut wheel = Wheel::sample("cp312-cp312-macosx_11_0_arm64");
        let library = MachO { file_type: 6, ..MachO::default() };
        wheel.members.push(Member::new(at, library.bytes()));
        let module = MachO {
            file_type: 8,
            exported: Some("PyInit_core".into()),
            dylibs: vec![dylib.into()],
            rpaths: rpaths.iter().map(|path| (*path).to_owned()).collect(),
            ..MachO::default()
        };
        wheel.members.push(Member::new("sample/core.cpython-312-darwin.so", module.bytes()));
        let dists = scan_files(&[file(&wheel)]);
        let findings = verdict(&Set { dists: &dists, ..Set::default() }).findings;
        findings.into_iter().map(|finding| (finding.rule, finding.severity)).collect::<Vec<_>>()
    };
    for (at, dylib, rpaths) in [
        (AT, "@loader_path/.dylibs/libx.dylib", &[][..]),
        (AT, "@loader_path/../sample/./.dylibs/libx.dylib", &[]),
        ("sample-1.0.data/platlib/sample/.dylibs/libx.dylib", "@loader_path/.dylibs/libx.dylib", &[]),
        (AT, "@rpath/libx.dylib", &["@loader_path/lib", "@loader_path/.dylibs"]),
        (AT, "@executable_path/../lib/libx.dylib", &[]),
    ] {
        assert_eq!(found(at, dylib, rpaths), [], "{dylib}");
    }
    for (dylib, rpaths, severity) in [
        ("@loader_path/libx.dylib", &[][..], Severity::Error),
        ("@loader_path/gone/libx.dylib", &[], Severity::Error),
        ("/opt/homebrew/lib/libx.dylib", &[], Severity::Error),
        ("@rpath/libx.dylib", &["@loader_path/lib"], Severity::Warning),
        ("@rpath/libx.dylib", &[], Severity::Warning),
        ("@loader_path/../other/liby.dylib", &[], Severity::Warning),
        ("@loader_path/../../liby.dylib", &[], Severity::Warning),
    ] {
        assert_eq!(found(AT, dylib, rpaths), [("MAC004", severity)], "{dylib} {rpaths:?}");
    }
}

/// Files that issue reports wrongly called defective.
#[test]
fn accepts_wheels_that_work() {
    let errors = |files: &[(String, Vec<u8>)]| {
        let dists = scan_files(files);
        let findings = verdict(&Set { dists: &dists, ..Set::default() }).findings;
        let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
        errors.map(|finding| format!("{}: {}", finding.rule, finding.message)).collect::<Vec<_>>()
    };
    let with = |mut wheel: Wheel, members: Vec<Member>| {
        wheel.members.extend(members);
        file(&wheel)
    };
    let elf = || Elf::default().bytes();
    let pe = || Pe::default().bytes();
    let purelib = |mut wheel: Wheel| {
        let lines = format!("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {}\n", wheel.tag);
        wheel.wheel = Some(lines);
        wheel
    };
    let runpath = Elf {
        runpath: Some("$ORIGIN/../sibling.libs".into()),
        needed: vec!["libc.so.6".into(), "libsibling-1234.so.1".into()],
        ..Elf::default()
    };
    let numbered = ("sample-1.0-1-py3-none-any.whl".to_owned(), {
        let mut wheel = pure();
        wheel.wheel = Some("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nBuild: 1\nTag: py3-none-any\n".into());
        wheel.bytes()
    });
    for (what, file) in [
        (
            "binaries for all systems in a wheel for any",
            with(
                pure(),
                vec![
                    Member::new("sample/bin/linux", elf()).executable(),
                    Member::new("sample/bin/windows.exe", pe()),
                    Member::new("sample/bin/macos", MachO::default().bytes()).executable(),
                ],
            ),
        ),
        ("test data", with(pure(), vec![Member::new("sample/tests/data/hello.so", elf())])),
        ("a purelib wheel for a platform", file(&purelib(linux(Elf::default())))),
        ("a library of a sibling by RUNPATH", file(&linux(runpath))),
        (
            "an .npmrc without a token",
            with(pure(), vec![Member::new("sample/.npmrc", "registry=https://r.example\n")]),
        ),
        ("a build number", numbered),
    ] {
        assert_eq!(errors(&[file]), Vec::<String>::new(), "{what}");
    }
    // manylinux_2_32 is a separate policy: symbols new in 2.32 are allowed.
    let mut newer = linux(Elf { version: Some(("libc.so.6".into(), "GLIBC_2.32".into())), ..Elf::default() });
    newer.tag = "cp312-cp312-manylinux_2_32_x86_64".into();
    assert_eq!(errors(&[file(&newer)]), Vec::<String>::new());
    newer.tag = "cp312-cp312-manylinux_2_31_x86_64".into();
    assert!(errors(&[file(&newer)]).iter().any(|error| error.starts_with("LNX002")));
}

/// A binary for another system is a warning, unless the wheel loads it.
#[test]
fn rates_binaries_for_other_systems() {
    let arm = |defined: &str| {
        let store = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-glibc-2.40/lib";
        let defined = Some(defined.to_owned());
        Elf { machine: 183, runpath: Some(store.into()), defined, exec_stack: true, ..Elf::default() }.bytes()
    };
    let phone = MachO { platform: 2, dylibs: vec!["/opt/x.dylib".into()], ..MachO::default() }.bytes();
    let needing = Elf { needed: vec!["libc.so.6".into(), "libarm.so".into()], ..Elf::default() };
    let own = || linux(Elf::default());
    let (warning, error) = (Severity::Warning, Severity::Error);
    for (mut wheel, member, bytes, rule, expected) in [
        (own(), "sample/tests/data/arm", arm("x"), "LNX001", warning),
        (own(), "sample/native/libarm.so", arm("x"), "LNX001", warning),
        (own(), "sample/other.cpython-312-aarch64-linux-gnu.so", arm("PyInit_other"), "LNX001", warning),
        (own(), "sample/phone.dylib", phone.clone(), "MAC001", warning),
        (macos(MachO::default()), "sample/phone.dylib", phone, "MAC006", warning),
        (macos(MachO::default()), "sample/arm", arm("x"), "LNX001", warning),
        // Imported by Python, installed on PATH, or loaded by the wheel's own files.
        (own(), "sample/other.abi3.so", arm("PyInit_other"), "LNX001", error),
        (own(), "sample/other.cpython-312-x86_64-linux-gnu.so", arm("PyInit_other"), "LNX001", error),
        (own(), "sample-1.0.data/scripts/arm", arm("x"), "LNX001", error),
        (linux(needing), "sample/libarm.so", arm("x"), "LNX001", error),
        // The only binary of the wheel.
        (Wheel::sample("cp312-cp312-manylinux_2_17_x86_64"), "sample/arm", arm("x"), "LNX001", error),
    ] {
        wheel.members.push(Member::new(member, bytes).executable());
        let dists = scan_files(&[file(&wheel)]);
        let findings = verdict(&Set { dists: &dists, ..Set::default() }).findings;
        let worst = findings.iter().map(|finding| finding.severity).max();
        let of_rule = findings.iter().find(|finding| finding.rule == rule);
        assert_eq!(of_rule.map(|finding| finding.severity), Some(expected), "{member}: {findings:#?}");
        assert_eq!(worst, Some(expected), "{member}: {findings:#?}");
    }
}

/// A library is a note if an SBOM declares it as external.
#[test]
fn rates_declared_external_libraries_as_notes() {
    let bill = |name: &str, more: &str| {
        format!(
            r#"{{"bomFormat": "CycloneDX", "specVersion": "1.7",
            "components": [{{"type": "library", "name": "{name}"{more}}}]}}"#
        )
    };
    let external = r#", "isExternal": true"#;
    for (path, text, expected) in [
        ("sboms/build-wheel.cyclonedx.json", bill("libssl.so.3", external), Severity::Note),
        ("sboms/own.cdx.json", bill("libssl.so.3", external), Severity::Note),
        ("sboms/own.cdx.json", bill("libssl.so.3", ""), Severity::Error),
        ("sboms/own.cdx.json", bill("libcrypto.so.3", external), Severity::Error),
        ("own.cdx.json", bill("libssl.so.3", external), Severity::Error),
        ("sboms/own.cdx.json", "[".to_owned(), Severity::Error),
    ] {
        let needed = vec!["libc.so.6".into(), "libssl.so.3".into()];
        let mut wheel = linux(Elf { needed, ..Elf::default() });
        wheel.members.push(Member::new(format!("sample-1.0.dist-info/{path}"), text.as_bytes()));
        let dists = scan_files(&[file(&wheel)]);
        let findings = verdict(&Set { dists: &dists, ..Set::default() }).findings;
        let library = findings.iter().find(|finding| finding.rule == "LNX003").unwrap();
        assert_eq!(library.severity, expected, "{path}: {text}: {findings:#?}");
    }
}
