//! Libraries of the store copied into the wheel with `graft`. The store is in a
//! temporary directory: only `/nix/store/` in a path matters.

use std::path::{Path, PathBuf};

use build_wheel::repair::{GraftScope, Options, WheelError, member};
use goblin::mach::MachO;

use crate::macho::{check_signature, zig};
use crate::support::*;

const INNER: &str = "int inner(void) { return 20; }";
const OUTER: &str = "int inner(void); int outer(void) { return 2 * inner() + 2; }";
const MAIN: &str = "int outer(void); int main(void) { return outer(); }";

/// `libouter.so.1`, which needs `libinner.so.1`, each in its own package, with symbol
/// versions like OpenSSL.
fn store(dir: &Path) -> (PathBuf, PathBuf) {
    let package = |name: &str| {
        let lib = dir.join(format!("nix/store/{}-{name}/lib", "0123456789abcdefghijklmnopqrstuv"));
        std::fs::create_dir_all(&lib).unwrap();
        lib
    };
    let (inner, outer) = (package("inner-1.0"), package("outer-1.0"));
    std::fs::write(dir.join("versions"), "SAMPLE_1 { global: inner; outer; local: *; };").unwrap();
    let versions = "-Wl,--version-script={}/versions -shared -fPIC";
    let flags = format!("{versions} -Wl,-soname,libinner.so.1");
    let library = compile(&CC, dir, "inner", INNER, &flags);
    std::fs::write(inner.join("libinner.so.1"), library).unwrap();
    let flags = format!(
        "{versions} -Wl,-soname,libouter.so.1 {}/libinner.so.1 -Wl,-rpath,{}",
        inner.display(),
        inner.display()
    );
    let library = compile(&CC, dir, "outer", OUTER, &flags);
    std::fs::write(outer.join("libouter.so.1.0.3"), library).unwrap();
    std::os::unix::fs::symlink("libouter.so.1.0.3", outer.join("libouter.so.1")).unwrap();
    (inner, outer)
}

fn grafted(wheel: &[u8]) -> Result<Repaired, WheelError> {
    repaired_with(WHEEL, wheel, &Options { graft: GraftScope::Store, ..Options::default() })
}

fn needing(dir: &Path, outer: &Path, name: &str, source: &str, more: &str) -> Vec<u8> {
    let flags =
        format!("{0}/libouter.so.1 -Wl,-rpath,{0} -Wl,--allow-shlib-undefined {more}", outer.display());
    compile(&CC, dir, name, source, &flags)
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn a_program_finds_its_libraries_where_pip_installs_it() {
    let dir = tempfile::tempdir().unwrap();
    let (inner, outer) = store(dir.path());
    let program = needing(dir.path(), &outer, "a", MAIN, "");
    let wheel = program_wheel(&program);
    let error = toolkit::error_report(&repaired(&wheel).unwrap_err());
    assert!(
        error.contains("`libouter.so.1`, which is not in the wheel") && error.contains("`graft`"),
        "{error}"
    );

    std::fs::write(dir.path().join(WHEEL), &wheel).unwrap();
    let mut command = build_wheel(dir.path());
    let shown = "sh -c 'sample; test $? = 42'";
    succeed(command.args([WHEEL, "--graft", "--smoke", "required", "--smoke-command", shown]));
    let report = report(dir.path());
    assert_eq!(report["smoke"]["result"], "passed");
    let changes = report["repaired"].to_string();
    for expected in ["copied from `", "is now `$ORIGIN/../libexec/sample.libs`", "is now `$ORIGIN`"] {
        assert!(changes.contains(expected), "{expected}: {changes}");
    }
    // The libraries come from the wheel: it also works without the store.
    std::fs::remove_dir_all(inner.parent().unwrap()).unwrap();
    std::fs::remove_dir_all(outer.parent().unwrap()).unwrap();
    let done = dir.path().join("dist").join(report["filename"].as_str().unwrap());
    let mut command = build_wheel(dir.path());
    succeed(command.arg(done).args(["--smoke", "required", "--smoke-command", shown]));
    assert!(report["filename"].as_str().unwrap().contains("manylinux_2_"), "{report}");

    let error = toolkit::error_report(&grafted(&wheel).unwrap_err());
    assert!(error.contains("`libouter.so.1`, which is not in the wheel"), "{error}");
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn a_module_finds_its_libraries() {
    let dir = tempfile::tempdir().unwrap();
    let (_, outer) = store(dir.path());
    let module = needing(
        dir.path(),
        &outer,
        "m",
        "int outer(void); int run(void) { return outer(); }",
        "-shared -fPIC",
    );
    let python = "import ctypes, os\nassert ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'native/m.so')).run() == 42\n";
    let files = [file("sample/__init__.py", python), file("sample/native/m.so", module)];
    std::fs::write(dir.path().join(WHEEL), zip(&members(&files))).unwrap();
    succeed(build_wheel(dir.path()).args([WHEEL, "--graft", "--smoke", "required"]));
    let report = report(dir.path());
    assert_eq!(report["smoke"]["result"], "passed");
    assert!(report["repaired"].to_string().contains("is now `$ORIGIN/../../sample.libs`"), "{report}");
    let wheel = std::fs::read(dir.path().join("dist").join(report["filename"].as_str().unwrap())).unwrap();
    let archive = pydist::zip::Archive::open(wheel.as_slice(), &pydist::zip::Limits::default()).unwrap();
    let libraries = archive.members.iter().filter(|member| member.name.starts_with("sample.libs/lib"));
    assert_eq!(libraries.count(), 2, "each once, under a name of its own");
    assert!(
        !archive.members.iter().any(|member| member.name.ends_with(".so.1")),
        "no name that others may have"
    );
}

#[test]
fn reports_libraries_that_cannot_be_grafted() {
    let dir = tempfile::tempdir().unwrap();
    let (_, outer) = store(dir.path());
    // No search path that could be replaced.
    let flags = format!("{0}/libouter.so.1 -Wl,--allow-shlib-undefined", outer.display());
    let program = compile(&CC, dir.path(), "a", MAIN, &flags);
    let error = toolkit::error_report(&grafted(&program_wheel(&program)).unwrap_err());
    assert!(error.contains("`libouter.so.1`, which is not in the wheel"), "{error}");
    // A text file instead of a library.
    let program = needing(dir.path(), &outer, "a", MAIN, "");
    let library = std::fs::read(outer.join("libouter.so.1.0.3")).unwrap();
    std::fs::write(outer.join("libouter.so.1.0.3"), "INPUT(libother.so)").unwrap();
    let error = toolkit::error_report(&grafted(&program_wheel(&program)).unwrap_err());
    assert!(error.contains("is neither an ELF nor a Mach-O file"), "{error}");
    std::fs::write(outer.join("libouter.so.1.0.3"), library).unwrap();
    // A link that leaves the store.
    std::fs::rename(outer.join("libouter.so.1.0.3"), dir.path().join("elsewhere")).unwrap();
    std::fs::remove_file(outer.join("libouter.so.1")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), outer.join("libouter.so.1")).unwrap();
    let error = toolkit::error_report(&grafted(&program_wheel(&program)).unwrap_err());
    assert!(error.contains("which is not in the Nix store"), "{error}");
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn a_mac_program_finds_its_libraries() {
    let dir = tempfile::tempdir().unwrap();
    let compiler = zig("aarch64-macos.13.0");
    let place = |name: &str| dir.path().join(format!("nix/store/0123456789abcdefghijklmnopqrstuv-{name}"));
    let (inner, outer) = (place("libinner.1.dylib"), place("libouter.1.dylib"));
    std::fs::create_dir_all(inner.parent().unwrap()).unwrap();
    let flags = |own: &Path| format!("-shared -Wl,-install_name,{} -Wl,-headerpad,0x200", own.display());
    let library = compile(&compiler, dir.path(), "inner", INNER, &flags(&inner));
    std::fs::write(&inner, library).unwrap();
    let library =
        compile(&compiler, dir.path(), "outer", OUTER, &format!("{} {}", flags(&outer), inner.display()));
    std::fs::write(&outer, library).unwrap();
    let program = compile(&compiler, dir.path(), "a", MAIN, &outer.display().to_string());
    let wheel = program_wheel(&program);
    assert!(repaired(&wheel).is_err());
    let done = grafted(&wheel).unwrap();

    let program = program_of(&done);
    let macho = MachO::parse(&program, 0).unwrap();
    check_signature(&program, &macho);
    let library = |macho: &MachO<'_>| {
        macho
            .libs
            .iter()
            .find(|path| path.starts_with("@loader_path/"))
            .map(|path| (*path).to_owned())
            .unwrap()
    };
    let path = library(&macho);
    let name = path.strip_prefix("@loader_path/../libexec/sample.libs/").unwrap();
    let outer = member(&done.bytes, &format!("sample-1.0.data/data/libexec/sample.libs/{name}")).unwrap();
    let macho = MachO::parse(&outer, 0).unwrap();
    check_signature(&outer, &macho);
    assert_eq!(macho.name, Some(format!("@rpath/{name}").as_str()));
    let path = library(&macho);
    let name = path.strip_prefix("@loader_path/").unwrap();
    let inner = member(&done.bytes, &format!("sample-1.0.data/data/libexec/sample.libs/{name}")).unwrap();
    check_signature(&inner, &MachO::parse(&inner, 0).unwrap());
}

/// A program that needs a library that only this machine has.
fn local(dir: &Path) -> Vec<u8> {
    // With room for the new search path.
    local_at(dir, "opt/a-directory-of-this-machine/lib")
}

fn local_at(dir: &Path, place: &str) -> Vec<u8> {
    let lib = dir.join(place);
    std::fs::create_dir_all(&lib).unwrap();
    let source = "int outer(void) { return 42; }";
    let library = compile(&CC, dir, "outer", source, "-shared -fPIC -Wl,-soname,libouter.so.1");
    std::fs::write(lib.join("libouter.so.1"), library).unwrap();
    let flags = format!("{0}/libouter.so.1 -Wl,-rpath,{0}", lib.display());
    compile(&CC, dir, "a", MAIN, &flags)
}

/// Also when installed with `pip install --target`.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn graft_all_copies_a_library_of_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let wheel = program_wheel(&local(dir.path()));
    std::fs::write(dir.path().join(WHEEL), &wheel).unwrap();
    let error = fail(build_wheel(dir.path()).args([WHEEL, "--graft", "store"]), 1);
    assert!(error.contains("`libouter.so.1`, which is not in the wheel"), "{error}");
    let shown = "sample; test $? = 42";
    succeed(build_wheel(dir.path()).args([
        WHEEL,
        "--graft",
        "all",
        "--smoke-command",
        shown,
        "--smoke",
        "required",
    ]));
    std::fs::remove_dir_all(dir.path().join("opt")).unwrap();

    let report = report(dir.path());
    let name = dir.path().join("dist").join(report["filename"].as_str().unwrap());
    let bytes = std::fs::read(&name).unwrap();
    let sbom = member(&bytes, "sample-1.0.dist-info/sboms/build-wheel.cyclonedx.json").unwrap();
    let sbom: serde_json::Value = serde_json::from_slice(&sbom).unwrap();
    let component = &sbom["components"][0];
    assert_eq!(
        (sbom["bomFormat"].as_str(), component["name"].as_str()),
        (Some("CycloneDX"), Some("libouter"))
    );
    let place = component["evidence"]["occurrences"][0]["location"].as_str().unwrap();
    assert!(place.ends_with(".so") && member(&bytes, place).is_some(), "{place}");

    let into = dir.path().join("into");
    let mut pip = testkit::tools::command("python");
    pip.args(["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target"]);
    succeed(pip.arg(&into).arg(&name));
    let output = std::process::Command::new(into.join("bin/sample")).output().unwrap();
    assert_eq!(output.status.code(), Some(42), "{output:?}");
}

/// If the search path is too short, patchelf makes room.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn makes_room_for_a_longer_search_path() {
    let dir = tempfile::tempdir().unwrap();
    let program = local_at(dir.path(), "l");
    std::fs::write(dir.path().join(WHEEL), program_wheel(&program)).unwrap();
    let shown = "sample; test $? = 42";
    succeed(build_wheel(dir.path()).args([
        WHEEL,
        "--graft",
        "all",
        "--smoke-command",
        shown,
        "--smoke",
        "required",
    ]));
    std::fs::remove_dir_all(dir.path().join("l")).unwrap();
    let done = dir.path().join("dist").join(report(dir.path())["filename"].as_str().unwrap());
    succeed(build_wheel(dir.path()).arg(done).args(["--smoke", "required", "--smoke-command", shown]));
}

#[test]
fn does_not_copy_an_excluded_library() {
    let dir = tempfile::tempdir().unwrap();
    let program = local(dir.path());
    let run = |exclude: &str| {
        let options =
            Options { graft: GraftScope::All, exclude: vec![exclude.to_owned()], ..Options::default() };
        repaired_with(WHEEL, &program_wheel(&program), &options)
    };
    for pattern in ["libouter.so.1", "libouter*", "lib?uter.so.[12]"] {
        let wheel = run(pattern).unwrap();
        assert!(
            !wheel.changes.iter().any(|change| change.what.contains("copied")),
            "{pattern}: {:?}",
            wheel.changes
        );
        assert_eq!(program_of(&wheel), program, "{pattern}");
    }
    assert!(run("libinner*").unwrap().changes.iter().any(|change| change.what.contains("copied")));
}

/// The wheel declares the libraries in `exclude`, so that verify-dist accepts these
/// and no others.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn declares_an_excluded_library() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join(WHEEL), program_wheel(&local(at))).unwrap();
    let build = |wheel: &Path, arguments: &[&str]| {
        let mut command = build_wheel(at);
        command.arg(wheel).args(arguments).args(["--smoke", "off"]);
        command
    };
    let wheel = Path::new(WHEEL);
    fail(&mut build(wheel, &[]), 1);
    fail(&mut build(wheel, &["--exclude", "libcuda* libinner.so.1"]), 1);
    succeed(&mut build(wheel, &["--exclude", "libcuda* libouter.so.1"]));
    let warnings = report(at)["warnings"].to_string();
    assert!(warnings.contains("libouter.so.1"), "{warnings}");
    let (errors, notes) = verified(at);
    assert_eq!(errors, Vec::<String>::new());
    assert!(
        notes.iter().any(|note| note.starts_with("LNX003") && note.contains("`libouter.so.1`")),
        "{notes:?}"
    );

    // A second repair keeps the declaration.
    let first = at.join("dist").join(report(at)["filename"].as_str().unwrap());
    let bytes = std::fs::read(&first).unwrap();
    std::fs::rename(at.join("dist"), at.join("first")).unwrap();
    let first = at.join("first").join(first.file_name().unwrap());
    succeed(&mut build(&first, &["--exclude", "libouter.so.1"]));
    assert_eq!(std::fs::read(at.join("dist").join(first.file_name().unwrap())).unwrap(), bytes);

    let error = fail(&mut build(wheel, &["--exclude", "lib["]), 2);
    assert!(error.contains("`lib[` is not a valid pattern"), "{error}");
}

/// Libraries excluded from a wheel for macOS are declared too.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn declares_an_excluded_library_of_macos() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let source = "extern int other(void); int main(void) { return other(); }";
    let library = "int other(void) { return 0; }";
    std::fs::create_dir(at.join("lib")).unwrap();
    let zig = crate::macho::zig("aarch64-macos.13.0");
    let name = at.join("lib/libother.1.dylib").display().to_string();
    let built = compile(
        &zig,
        at,
        "libother.1.dylib",
        library,
        "-shared -Wl,-install_name,/opt/other/lib/libother.1.dylib",
    );
    std::fs::write(&name, built).unwrap();
    let program = compile(&zig, at, "p", source, &name);
    let wheel = "sample-1.0-py3-none-macosx_13_0_arm64.whl";
    std::fs::write(at.join(wheel), program_wheel(&program)).unwrap();
    let error = fail(build_wheel(at).args([wheel, "--smoke", "off", "--exclude", "libanother*"]), 1);
    assert!(error.contains("/opt/other/lib/libother.1.dylib"), "{error}");
    succeed(build_wheel(at).args([wheel, "--smoke", "off", "--exclude", "libother*"]));
    let (errors, notes) = verified(at);
    assert_eq!(errors, Vec::<String>::new());
    assert!(
        notes.iter().any(|note| note.starts_with("MAC004") && note.contains("libother.1.dylib")),
        "{notes:?}"
    );
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn uses_zlib_and_the_cpp_library_of_macos() {
    let dir = tempfile::tempdir().unwrap();
    for (symbol, library, system) in [
        ("zlibVersion", "libz.1.3.1.dylib", "/usr/lib/libz.1.dylib"),
        ("_Znwm", "libc++.1.0.dylib", "/usr/lib/libc++.1.dylib"),
        ("__cxa_throw", "libc++abi.1.dylib", "/usr/lib/libc++abi.dylib"),
    ] {
        let broken = crate::macho::program(dir.path(), "aarch64-macos.13.0", symbol, library);
        let program = program_of(&repaired(&program_wheel(&broken)).unwrap());
        let macho = MachO::parse(&program, 0).unwrap();
        assert!(macho.libs.contains(&system), "{library}: {:?}", macho.libs);
    }
}
