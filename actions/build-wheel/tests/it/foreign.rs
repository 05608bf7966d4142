//! Binaries for a platform other than the wheel's are reported, not rejected.

use std::path::Path;

use testkit::wheel::Elf;

use crate::support::*;

/// A wheel of these members with `tag` in its file name.
fn run(dir: &Path, tag: &str, files: &[File], arguments: &[&str]) -> std::process::Command {
    let name = format!("sample-1.0-{tag}.whl");
    std::fs::write(dir.join(&name), zip(&members(files))).unwrap();
    let mut command = build_wheel(dir);
    command.arg(name).args(arguments);
    command
}

/// The repaired wheel's file name and warnings.
fn name_and_warnings(dir: &Path) -> (String, String) {
    let report = report(dir);
    (report["filename"].as_str().unwrap().to_owned(), report["warnings"].to_string())
}

#[test]
fn reports_test_data_for_other_platforms() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let own = compile(&CC, at, "a", HELLO, &nix_flags("ld-linux-x86-64.so.2"));
    let arm = compile(&["aarch64-linux-gnu-gcc"], at, "b", HELLO, &nix_flags("ld-linux-aarch64.so.1"));
    let mac = compile(&crate::macho::zig("aarch64-macos.13.0"), at, "c", "int main(void) { return 0; }", "");
    let mut mips = Elf { machine: 8, ..Elf::default() }.bytes();
    mips[18] = 8;
    // An ELF header without anything after it, as in fuzzing corpora.
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
    let (name, warnings) = name_and_warnings(at);
    assert!(name.contains("-manylinux_2_") && name.ends_with("_x86_64.whl"), "{name}");
    for expected in ["Linux on aarch64, unlike the wheel", "is for macOS, unlike the wheel", "is for ELF machine 8"] {
        assert!(warnings.contains(expected), "{expected}: {warnings}");
    }
    assert_eq!(verified(at).0, Vec::<String>::new(), "verify-dist accepts it, too");
    let wheel = std::fs::read(at.join("dist").join(&name)).unwrap();
    assert_eq!(build_wheel::repair::member(&wheel, "sample/tests/data/arm").unwrap(), arm, "nothing is repaired");
    let report = report(at)["repaired"].to_string();
    assert!(report.contains("data/scripts/sample"), "its own program is: {report}");

    // Without a target, the tag determines the platform, if a binary matches it.
    let other = [
        file("sample-1.0.data/scripts/sample", &arm),
        file("sample/tests/data/intel", compile(&CC, at, "a", HELLO, "")),
    ];
    succeed(&mut run(at, "py3-none-linux_aarch64", &other, &["--smoke", "off"]));
    assert!(name_and_warnings(at).0.ends_with("_aarch64.whl"), "{}", name_and_warnings(at).0);
    assert_eq!(verified(at).0, Vec::<String>::new());
    // An installed program is not test data.
    let error = fail(&mut run(at, "py3-none-linux_aarch64", &files, &["--smoke", "off"]), 1);
    assert!(error.contains("LNX001 `sample-1.0.data/scripts/sample`"), "{error}");
    let damaged = [files[4].clone(), file("sample/tests/data/cut", cut)];
    fail(&mut run(at, "py3-none-linux_x86_64", &damaged, &["--smoke", "off"]), 1);
}

/// Beside a valid program, a module that Python would fail to import.
#[test]
fn rejects_foreign_binaries_that_the_wheel_loads() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
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
            assert!(name_and_warnings(at).1.contains(member), "{}", name_and_warnings(at).1);
        } else {
            let error = fail(&mut command, 1);
            assert!(error.contains("LNX001") && error.contains(member), "{error}");
        }
    }
}

#[test]
fn a_platform_without_rules_keeps_its_tag() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    // Like one for Android: its loader, and a library that other Linux systems lack.
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
        let (name, warnings) = name_and_warnings(at);
        assert_eq!(name, format!("sample-1.0-{tag}.whl"));
        assert!(warnings.contains("which build-wheel cannot repair"), "{warnings}");
    }
    // One that needs a repair is rejected.
    let broken = android(&format!("-Wl,-rpath,{STORE}-x/lib"));
    let files = [file("sample/__init__.py", ""), file("sample/native.so", broken)];
    let error = fail(&mut run(at, "cp313-cp313-android_21_arm64_v8a", &files, &["--smoke", "off"]), 1);
    assert!(error.contains("cannot be repaired") && error.contains(STORE), "{error}");
}

#[test]
fn reports_a_library_for_ios_beside_one_for_macos() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let mac = crate::macho::program(at, "aarch64-macos.13.0", "iconv_close", "libiconv.2.dylib");
    let mut phone = mac.clone();
    // LC_BUILD_VERSION of iOS.
    let is_command =
        |at: &[u8]| at[..4] == [0x32, 0, 0, 0] && [[24, 0, 0, 0], [32, 0, 0, 0]].iter().any(|size| at[4..] == *size);
    let place = phone.windows(8).position(is_command).unwrap();
    phone[place + 8] = 2;
    let files = [file("sample-1.0.data/scripts/sample", mac), file("sample/tests/phone.dylib", phone)];
    succeed(&mut run(at, "py3-none-macosx_11_0_arm64", &files, &["--smoke", "off"]));
    let (name, warnings) = name_and_warnings(at);
    assert_eq!(name, "sample-1.0-py3-none-macosx_13_0_arm64.whl");
    assert!(warnings.contains("an Apple platform other than macOS (platform 2)"), "{warnings}");
    assert_eq!(verified(at).0, Vec::<String>::new());
}

/// A wheel for every platform with libraries for several.
#[test]
fn accepts_libraries_for_several_platforms() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let source = "int answer(void) { return 42; }";
    let intel = compile(&CC, at, "x.so", source, "-shared -fPIC -nostdlib");
    let arm = compile(&["aarch64-linux-gnu-gcc"], at, "y.so", source, "-shared -fPIC -nostdlib");
    let files =
        [file("sample/__init__.py", ""), file("sample/x.so", intel), file("sample/y.so", arm)];
    succeed(&mut run(at, "py3-none-any", &files, &["--smoke", "off"]));
    assert_eq!(name_and_warnings(at).0, "sample-1.0-py3-none-any.whl");
}
