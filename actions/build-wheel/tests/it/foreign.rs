//! Binaries that are for another platform than the wheel: reported, and not
//! refused.

use std::path::Path;

use testkit::wheel::Elf;

use crate::support::*;

/// A wheel of these members whose file name says `tag`.
fn run(folder: &Path, tag: &str, files: &[File], arguments: &[&str]) -> std::process::Command {
    let name = format!("sample-1.0-{tag}.whl");
    std::fs::write(folder.join(&name), zip(&members(files))).unwrap();
    let mut command = build_wheel(folder);
    command.arg(name).args(arguments);
    command
}

/// The repaired wheel's file name and warnings.
fn told(folder: &Path) -> (String, String) {
    let report = report(folder);
    (report["filename"].as_str().unwrap().to_owned(), report["warnings"].to_string())
}

#[test]
fn test_data_for_other_platforms_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let own = compile(&CC, at, "a", HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    let arm = compile(&["aarch64-linux-gnu-gcc"], at, "b", HELLO, &nix_flags("ld-linux-aarch64.so.1"));
    let mac = compile(&crate::macho::zig("aarch64-macos.13.0"), at, "c", "int main(void) { return 0; }", "");
    let mut mips = Elf { machine: 8, ..Elf::default() }.bytes();
    mips[18] = 8;
    // An ELF header that nothing follows, as fuzzers keep them.
    let cut = own[..64].to_vec();
    let files = [
        file("sample-1.0.data/scripts/sample", own),
        file("sample/tests/data/arm", &arm),
        file("sample/tests/data/mac", mac),
        file("sample/tests/data/mips", mips),
        file("sample/__init__.py", ""),
    ];
    let arguments = ["--smoke", "required", "--target", "x86_64"];
    succeed(&mut run(at, "py3-none-linux_x86_64", &files, &arguments));
    let (name, warnings) = told(at);
    assert!(name.contains("-manylinux_2_") && name.ends_with("_x86_64.whl"), "{name}");
    for expected in ["Linux on aarch64, other than the wheel", "is for macOS, other than", "is for ELF machine 8"] {
        assert!(warnings.contains(expected), "{expected}: {warnings}");
    }
    assert_eq!(verified(at).0, Vec::<String>::new(), "verify-dist accepts it, too");
    let wheel = std::fs::read(at.join("dist").join(&name)).unwrap();
    assert_eq!(build_wheel::repair::member(&wheel, "sample/tests/data/arm").unwrap(), arm, "nothing is repaired");
    let report = report(at)["repaired"].to_string();
    assert!(report.contains("data/scripts/sample"), "its own program is: {report}");

    // Without a target the tag says what the wheel is for, if a binary is for that.
    let other = [
        file("sample-1.0.data/scripts/sample", &arm),
        file("sample/tests/data/intel", compile(&CC, at, "a", HELLO, "")),
    ];
    succeed(&mut run(at, "py3-none-linux_aarch64", &other, &["--smoke", "off"]));
    assert!(told(at).0.ends_with("_aarch64.whl"), "{}", told(at).0);
    assert_eq!(verified(at).0, Vec::<String>::new());
    // A program that is installed is no test data.
    let error = fail(&mut run(at, "py3-none-linux_aarch64", &files, &["--smoke", "off"]), 1);
    assert!(error.contains("LNX001 `sample-1.0.data/scripts/sample`"), "{error}");
    let damaged = [files[4].clone(), file("sample/tests/data/cut", cut)];
    fail(&mut run(at, "py3-none-linux_x86_64", &damaged, &["--smoke", "off"]), 1);
}

/// Beside a sound program, a module that Python would import and cannot.
#[test]
fn what_the_wheel_itself_loads_is_no_test_data() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let own = compile(&CC, at, "a", HELLO, "");
    let source = "int PyInit_native(void) { return 0; }";
    let arm = compile(&["aarch64-linux-gnu-gcc"], at, "b", source, "-shared -fPIC -nostdlib");
    for (member, is_accepted) in
        [("sample/native.abi3.so", false), ("sample/arm/libnative.so.1", true), ("sample/native.so", false)]
    {
        let files = [
            file("sample-1.0.data/scripts/sample", &own),
            file("sample/__init__.py", ""),
            file(member, &arm),
        ];
        let mut command = run(at, "py3-none-linux_x86_64", &files, &["--smoke", "off"]);
        if is_accepted {
            succeed(&mut command);
            assert_eq!(verified(at).0, Vec::<String>::new());
            assert!(told(at).1.contains(member), "{}", told(at).1);
        } else {
            let error = fail(&mut command, 1);
            assert!(error.contains("LNX001") && error.contains(member), "{error}");
        }
    }
}

#[test]
fn a_platform_without_rules_keeps_its_tag() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // As one for Android: its loader, and a library that is not on other Linux systems.
    let android = |path: &str| {
        let source = "int answer(void) { return 42; }";
        let flags = format!("-shared -fPIC -nostdlib {path}");
        compile(&["aarch64-linux-gnu-gcc"], at, "m", source, &flags)
    };
    let files = [file("sample/__init__.py", ""), file("sample/native.so", android(""))];
    for (tag, target) in [
        ("cp313-cp313-android_21_arm64_v8a", "aarch64-linux-android"),
        ("cp313-cp313-ios_13_0_arm64_iphoneos", ""),
        ("cp313-cp313-pyemscripten_2026_0_wasm32", ""),
    ] {
        let mut arguments = vec!["--smoke", "off"];
        arguments.extend(if target.is_empty() { vec![] } else { vec!["--target", target] });
        succeed(&mut run(at, tag, &files, &arguments));
        let (name, warnings) = told(at);
        assert_eq!(name, format!("sample-1.0-{tag}.whl"));
        assert!(warnings.contains("there are no rules"), "{warnings}");
    }
    // One that needs a repair is refused: nobody knows how.
    let broken = android(&format!("-Wl,-rpath,{STORE}-x/lib"));
    let files = [file("sample/__init__.py", ""), file("sample/native.so", broken)];
    let error = fail(&mut run(at, "cp313-cp313-android_21_arm64_v8a", &files, &["--smoke", "off"]), 1);
    assert!(error.contains("there are no rules to repair") && error.contains(STORE), "{error}");
}

#[test]
fn a_library_for_phones_beside_one_for_macs_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mac = crate::macho::program(at, "aarch64-macos.13.0", "iconv_close", "libiconv.2.dylib");
    let mut phone = mac.clone();
    // LC_BUILD_VERSION of iOS.
    let is_command =
        |at: &[u8]| at[..4] == [0x32, 0, 0, 0] && [[24, 0, 0, 0], [32, 0, 0, 0]].iter().any(|size| at[4..] == *size);
    let place = phone.windows(8).position(is_command).unwrap();
    phone[place + 8] = 2;
    let files = [file("sample-1.0.data/scripts/sample", mac), file("sample/tests/phone.dylib", phone)];
    succeed(&mut run(at, "py3-none-macosx_11_0_arm64", &files, &["--smoke", "off"]));
    let (name, warnings) = told(at);
    assert_eq!(name, "sample-1.0-py3-none-macosx_13_0_arm64.whl");
    assert!(warnings.contains("another of Apple's systems than macOS (platform 2)"), "{warnings}");
    assert_eq!(verified(at).0, Vec::<String>::new());
}

/// Where a wheel for every platform brings a library for several.
#[test]
fn libraries_of_several_platforms_are_no_reason_to_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let source = "int answer(void) { return 42; }";
    let intel = compile(&CC, at, "x.so", source, "-shared -fPIC -nostdlib");
    let arm = compile(&["aarch64-linux-gnu-gcc"], at, "y.so", source, "-shared -fPIC -nostdlib");
    let files =
        [file("sample/__init__.py", ""), file("sample/x.so", intel), file("sample/y.so", arm)];
    succeed(&mut run(at, "py3-none-any", &files, &["--smoke", "off"]));
    assert_eq!(told(at).0, "sample-1.0-py3-none-any.whl");
}
