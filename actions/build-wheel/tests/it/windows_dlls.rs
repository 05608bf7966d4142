//! DLLs in wheels for Windows: built by MinGW, started by Wine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use binfmt::pe::{PeInfo, rename_imports};
use goblin::pe::PE;
use serde_json::Value;
use testkit::wheel::Pe;

use crate::support::*;

const NAME: &str = "sample-1.0-py3-none-win_amd64.whl";

const PROGRAM: &str = r#"
#include <iostream>
#include <stdexcept>
#include <thread>
int main() {
    std::thread thread([] {
        try {
            throw std::runtime_error("an error");
        } catch (const std::exception &error) {
            std::cout << "caught " << error.what() << std::endl;
        }
    });
    thread.join();
}
"#;

const MODULE: &str = r#"
#include <string>
#include <thread>
static std::string text;
extern "C" __declspec(dllexport) const char *answer() {
    std::thread([] { text = "answer " + std::to_string(42); }).join();
    return text.c_str();
}
extern "C" __declspec(dllexport) void *PyInit_core() { return nullptr; }
"#;

/// Loads a module with the flags that CPython uses (Python/dynload_win.c).
const HOST: &str = r#"
#include <stdio.h>
#include <windows.h>
int main(int count, char **arguments) {
    HMODULE module = LoadLibraryExA(arguments[count - 1], NULL,
                                    LOAD_LIBRARY_SEARCH_DEFAULT_DIRS | LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR);
    if (!module) return 3;
    printf("%s\n", ((const char *(*)(void))GetProcAddress(module, "answer"))());
    return 0;
}
"#;

/// Compiles for Windows with MinGW.
fn mingw(dir: &Path, compiler: &str, output: &str, source: &str, arguments: &[&str]) -> Vec<u8> {
    let input = dir.join(format!("{output}.{}", if compiler == "g++" { "cpp" } else { "c" }));
    std::fs::write(&input, source).unwrap();
    let path = dir.join(output);
    let mut command = Command::new(format!("x86_64-w64-mingw32-{compiler}"));
    succeed(command.arg(&input).args(arguments).arg("-o").arg(&path));
    std::fs::read(path).unwrap()
}

fn wine(program: &Path, argument: &str) -> Output {
    let wine = testkit::tools::dir().join("wine/bin/wine");
    assert!(wine.is_file(), "run `cargo xtask setup-test-tools`");
    Command::new(wine).arg(program).arg(argument).output().unwrap()
}

/// Writes a wheel with these files; gives the command that repairs it, with `directory`
/// first on PATH.
fn repair(at: &Path, files: &[File], directory: &str, arguments: &[&str]) -> Command {
    std::fs::write(at.join(NAME), zip(&members(files))).unwrap();
    repair_again(at, &at.join(NAME), directory, arguments)
}

fn repair_again(at: &Path, wheel: &Path, directory: &str, arguments: &[&str]) -> Command {
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths([at.join(directory)].into_iter().chain(std::env::split_paths(&path)));
    let mut command = build_wheel(at);
    command.arg(wheel).args(["--smoke", "off"]).args(arguments).env("PATH", path.unwrap());
    command
}

/// Unpacks the repaired wheel as an installer would, and gives its files.
fn unpack(at: &Path, to: &str) -> (PathBuf, Vec<String>) {
    let wheel = std::fs::read(at.join("dist").join(NAME)).unwrap();
    let archive = pydist::zip::Archive::open(wheel.as_slice(), &pydist::zip::Limits::default()).unwrap();
    let to = at.join(to);
    for member in &archive.members {
        let name = member.name.replace("sample-1.0.data/scripts", "Scripts");
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, build_wheel::repair::member(&wheel, &member.name).unwrap()).unwrap();
    }
    (to, archive.members.into_iter().map(|member| member.name).collect())
}

/// The names of the DLLs among the members in a directory.
fn dlls<'m>(members: &'m [String], directory: &str) -> Vec<&'m str> {
    let names = members.iter().filter_map(|name| name.strip_prefix(directory)?.strip_prefix('/'));
    names.filter(|name| !name.contains('/') && name.ends_with(".dll")).collect()
}

/// What a file imports, as goblin and objdump read it.
fn imports(file: &Path) -> Vec<String> {
    let bytes = std::fs::read(file).unwrap();
    let mut found: Vec<String> = PE::parse(&bytes).unwrap().libraries.into_iter().map(Into::into).collect();
    let mut objdump = Command::new("x86_64-w64-mingw32-objdump");
    let text = succeed(objdump.arg("-p").arg(file));
    let mut listed: Vec<String> =
        text.lines().filter_map(|line| line.trim().strip_prefix("DLL Name: ")).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    listed.sort();
    assert_eq!(found, listed);
    found
}

/// A library or module that imports these DLLs.
fn pe(imports: &[&str]) -> Pe {
    let imports = imports.iter().map(|name| ((*name).to_owned(), vec!["f".to_owned()])).collect();
    Pe { imports, ..Pe::default() }
}

/// Writes DLLs for other files to import.
fn library(at: &Path, path: &str, pe: &Pe) {
    let path = at.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, pe.bytes()).unwrap();
}

fn texts(report: &Value, key: &str) -> Vec<String> {
    let entries = report[key].as_array().unwrap().iter();
    entries
        .map(|entry| format!("{} {}", entry["file"].as_str().unwrap(), entry["what"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_program_and_a_module_find_their_dlls() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let program = mingw(at, "g++", "program.exe", PROGRAM, &["-O1"]);
    let module = mingw(at, "g++", "core.pyd", MODULE, &["-O1", "-shared"]);
    mingw(at, "gcc", "host.exe", HOST, &[]);
    let files = [
        file("sample/__init__.py", ""),
        file("sample/core.pyd", &module),
        file("sample-1.0.data/scripts/sample.exe", &program),
    ];

    // Without the repair, neither starts.
    succeed(&mut repair(at, &files, "none", &[]));
    let (root, before) = unpack(at, "before");
    assert!(before.iter().all(|name| !name.ends_with(".dll")), "{before:?}");
    let output = wine(&root.join("Scripts/sample.exe"), "");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let output = wine(&at.join("host.exe"), &windows_path(&root.join("sample/core.pyd")));
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b""[..]), "{output:?}");

    succeed(&mut repair(at, &files, "none", &["--graft", "all"]));
    let (root, after) = unpack(at, "after");
    for (directory, member) in [("Scripts", "sample.exe"), ("sample", "core.pyd")] {
        let archived = directory.replace("Scripts", "sample-1.0.data/scripts");
        let present = dlls(&after, &archived);
        assert_eq!(present.len(), 3, "libstdc++, libgcc, libwinpthread: {present:?}");
        for file in present.iter().copied().chain([member]) {
            for import in imports(&root.join(directory).join(file)) {
                let is_system = ["KERNEL32.dll", "msvcrt.dll"].contains(&import.as_str());
                assert!(is_system || present.contains(&import.as_str()), "{file} imports {import}");
                assert!(!import.contains('-'), "no name that another package may have: {import}");
            }
        }
    }
    let output = wine(&root.join("Scripts/sample.exe"), "");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), "caught an error");
    let output = wine(&at.join("host.exe"), &windows_path(&root.join("sample/core.pyd")));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), "answer 42");

    let repairs = texts(&report(at), "repaired");
    let copied: Vec<&String> = repairs.iter().filter(|what| what.contains("copied from `/usr/")).collect();
    assert_eq!(copied.len(), 6, "{repairs:?}");
    assert!(
        repairs.iter().any(|what| {
            what.starts_with("sample/core.pyd the imported library `libstdc++-6.dll` is now `lib")
        }),
        "{repairs:?}"
    );
    let warnings = report(at)["warnings"].to_string();
    assert!(!warnings.contains("WIN00"), "{warnings}");
    assert_eq!(verified(at).0, Vec::<String>::new());
    let bill = std::fs::read(root.join("sample-1.0.dist-info/sboms/build-wheel.cyclonedx.json")).unwrap();
    let bill: Value = serde_json::from_slice(&bill).unwrap();
    let components = bill["components"].as_array().unwrap();
    let is_listed = |name: &str| {
        components.iter().any(|component| {
            let place = component["evidence"]["occurrences"][0]["location"].as_str().unwrap();
            component["name"] == name && after.iter().any(|member| member == place)
        })
    };
    assert!(components.len() == 6 && is_listed("libstdc++-6") && is_listed("libwinpthread-1"), "{bill}");

    // Repaired once more, it stays as it is.
    let bytes = std::fs::read(at.join("dist").join(NAME)).unwrap();
    std::fs::rename(at.join("dist").join(NAME), at.join(NAME)).unwrap();
    succeed(&mut repair_again(at, &at.join(NAME), "none", &["--graft", "all"]));
    assert_eq!(std::fs::read(at.join("dist").join(NAME)).unwrap(), bytes);
}

fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

/// The linker's checksum is the oracle.
#[test]
fn the_checksum_is_the_linkers() {
    let dir = tempfile::tempdir().unwrap();
    let original = mingw(dir.path(), "g++", "program.exe", PROGRAM, &[]);
    let info = PeInfo::read(original.as_slice()).unwrap().unwrap();
    let mut edited = original.clone();
    let other = |name: &str| name.starts_with("libstdc++").then(|| "other.dll".to_owned());
    let renamed = rename_imports(&mut edited, &info, other).unwrap();
    assert_eq!(renamed, [("libstdc++-6.dll".to_owned(), "other.dll".to_owned())]);
    assert!(PE::parse(&edited).unwrap().libraries.contains(&"other.dll"));
    assert_ne!(checksum(&edited), checksum(&original));
    // Back again, it must be what the linker wrote.
    let now = PeInfo::read(edited.as_slice()).unwrap().unwrap();
    assert!(rename_imports(&mut edited, &now, |name| (name == "other.dll").then(|| "longer-name.dll".into())).is_err());
    let index = info.imports.iter().position(|import| import.name.starts_with("libstdc++")).unwrap();
    let mut back = info.clone();
    back.imports[index].name = "other.dll".to_owned();
    let original_name = |name: &str| (name == "other.dll").then(|| "libstdc++-6.dll".to_owned());
    rename_imports(&mut edited, &back, original_name).unwrap();
    assert!(edited == original);
}

fn checksum(pe: &[u8]) -> u32 {
    PE::parse(pe).unwrap().header.optional_header.unwrap().windows_fields.check_sum
}

#[test]
fn a_dll_is_copied_for_each_directory_that_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    // A cycle, a name in another case, and one that could be Windows' own.
    library(at, "lib/libfirst.dll", &pe(&["LIBSECOND.dll", "KERNEL32.dll"]));
    library(at, "lib/libsecond.dll", &pe(&["libfirst.dll", "engine.dll"]));
    library(at, "lib/Engine.DLL", &pe(&["KERNEL32.dll"]));
    library(at, "lib/libown.dll", &pe(&[]));
    let files = [
        file("sample/a/one.pyd", pe(&["libfirst.dll", "libown.dll"]).bytes()),
        file("sample/b/two.pyd", pe(&["libSecond.dll"]).bytes()),
        file("sample-1.0.data/platlib/sample/a/three.pyd", pe(&["engine.dll"]).bytes()),
        file("sample/libown.dll", pe(&[]).bytes()),
    ];
    succeed(&mut repair(at, &files, "lib", &["--graft", "all"]));
    let (root, members) = unpack(at, "after");
    let (a, b) = (dlls(&members, "sample/a"), dlls(&members, "sample/b"));
    assert_eq!((a.len(), &a), (3, &b), "the same three, each once");
    assert!(dlls(&members, "sample-1.0.data/platlib/sample/a").is_empty(), "it is the same directory");
    assert_eq!(dlls(&members, "sample"), ["libown.dll"], "the wheel's own is left alone");
    for directory in ["sample/a", "sample/b"] {
        for dll in &a {
            let bytes = std::fs::read(root.join(directory).join(dll)).unwrap();
            for import in PE::parse(&bytes).unwrap().libraries {
                assert!(import == "KERNEL32.dll" || a.contains(&import), "{dll} imports {import}");
            }
        }
    }
    let one = std::fs::read(root.join("sample/a/one.pyd")).unwrap();
    assert!(PE::parse(&one).unwrap().libraries.contains(&"libown.dll"));
    assert_eq!(verified(at).0, Vec::<String>::new());

    // Two packages do not share a name.
    let renamed = files.clone().map(|file| File { name: file.name.replace("sample", "simple"), ..file });
    let other = at.join("simple-1.0-py3-none-win_amd64.whl");
    let renamed: Vec<File> = members_of("simple", &renamed);
    std::fs::write(&other, zip(&renamed)).unwrap();
    succeed(&mut repair_again(at, &other, "lib", &["--graft", "all"]));
    let wheel = std::fs::read(at.join("dist").join(other.file_name().unwrap())).unwrap();
    assert!(a.iter().all(|dll| build_wheel::repair::member(&wheel, &format!("simple/a/{dll}")).is_none()));
    assert!(report(at)["repaired"].to_string().contains("simple/a/"));
}

/// [`members`] of another distribution.
fn members_of(name: &str, files: &[File]) -> Vec<File> {
    let files: Vec<File> = files.to_vec();
    let all = members(&files).into_iter().filter(|file| !file.name.ends_with("/RECORD"));
    let mut all: Vec<File> = all
        .map(|file| File {
            name: file.name.replace("sample-1.0.dist-info", &format!("{name}-1.0.dist-info")),
            content: if file.name.ends_with("/METADATA") {
                String::from_utf8(file.content).unwrap().replace("sample", name).into_bytes()
            } else {
                file.content
            },
            ..file
        })
        .collect();
    let record = format!("{name}-1.0.dist-info/RECORD");
    let entries = all.iter().map(|file| pydist::record::Entry::of(&file.name, &file.content));
    let entries: Vec<_> = entries.chain([pydist::record::Entry::unhashed(&record)]).collect();
    all.push(file(&record, pydist::record::write(&entries)));
    all
}

#[test]
fn a_dll_must_be_found_and_for_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let files = [file("sample/core.pyd", pe(&["libneeded-1.dll"]).bytes())];
    let graft = ["--graft", "all"];
    let error = fail(&mut repair(at, &files, "lib", &graft), 1);
    let expected = "cannot find `libneeded-1.dll`, which `sample/core.pyd` imports";
    for expected in [expected, "hint: put the directory of the DLL on PATH", "in `exclude`"] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(names(&at.join("dist")).is_empty());
    // Without `graft`, another package may bring it.
    succeed(&mut repair(at, &files, "lib", &[]));

    library(at, "lib/libneeded-1.dll", &Pe { machine: 0x014c, ..pe(&[]) });
    let error = fail(&mut repair(at, &files, "lib", &graft), 1);
    assert!(error.contains("libneeded-1.dll` is for x86"), "{error}");
    std::fs::write(at.join("lib/libneeded-1.dll"), "no library").unwrap();
    let error = fail(&mut repair(at, &files, "lib", &graft), 1);
    assert!(error.contains("libneeded-1.dll` is not a PE file"), "{error}");
    // What a DLL imports is needed as well.
    library(at, "lib/libneeded-1.dll", &pe(&["libinner-1.dll"]));
    let error = fail(&mut repair(at, &files, "lib", &graft), 1);
    assert!(error.contains("cannot find `libinner-1.dll`, which `") && error.contains("libneeded-1.dll` imports"), "{error}");

    // The user's machine has it: declared, not copied; in any case.
    succeed(&mut repair(at, &files, "lib", &["--graft", "all", "--exclude", "LibNeeded*"]));
    let (_, members) = unpack(at, "excluded");
    assert!(dlls(&members, "sample").is_empty(), "{members:?}");
    let (errors, notes) = verified(at);
    assert_eq!(errors, Vec::<String>::new());
    assert!(notes.iter().any(|note| note.starts_with("WIN004") && note.contains("`libneeded-1.dll`")), "{notes:?}");

    // From the store only, where that is asked for.
    library(at, "lib/libneeded-1.dll", &pe(&[]));
    let error = fail(&mut repair(at, &files, "lib", &["--graft"]), 1);
    assert!(error.contains("libneeded-1.dll` is not in the Nix store"), "{error}");
    let store = "nix/store/0123456789abcdefghijklmnopqrstuv-needed-1.0/bin";
    library(at, &format!("{store}/libneeded-1.dll"), &pe(&[]));
    succeed(&mut repair(at, &files, store, &["--graft"]));
    assert_eq!(dlls(&unpack(at, "store").1, "sample").len(), 1);
}

#[test]
fn what_windows_has_is_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for name in ["ntdll.dll", "shiny.dll", "msvcp140.dll", "python3.dll", "api-ms-win-crt-heap-l1-1-0.dll"] {
        library(at, &format!("System32/{name}"), &pe(&[]));
    }
    let imported = ["ntdll.dll", "SHINY.dll", "MSVCP140.dll", "python3.dll", "api-ms-win-crt-heap-l1-1-0.dll"];
    let files = [file("sample/core.pyd", pe(&imported).bytes())];
    succeed(&mut repair(at, &files, "System32", &["--graft", "all"]));
    let (root, members) = unpack(at, "after");
    assert_eq!(dlls(&members, "sample").len(), 1, "Visual C++'s runtime: {members:?}");
    let module = std::fs::read(root.join("sample/core.pyd")).unwrap();
    let libraries = PE::parse(&module).unwrap().libraries;
    assert_eq!(libraries.iter().filter(|name| !imported.contains(name)).count(), 1, "{libraries:?}");
    assert!(!libraries.contains(&"MSVCP140.dll"));
}

#[test]
fn only_programs_get_the_runtime_that_python_ships() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    library(at, "lib/vcruntime140.dll", &pe(&["KERNEL32.dll"]));
    let program = Pe { is_dll: false, ..pe(&["VCRUNTIME140.dll"]) };
    let script = "sample-1.0.data/scripts";
    let files = [
        file("sample/core.pyd", pe(&["VCRUNTIME140.dll", "python3.dll"]).bytes()),
        file(&format!("{script}/tool.exe"), program.bytes()),
    ];
    succeed(&mut repair(at, &files, "lib", &["--graft", "all"]));
    let (root, members) = unpack(at, "after");
    assert!(dlls(&members, "sample").is_empty(), "{members:?}");
    assert_eq!(std::fs::read(root.join("sample/core.pyd")).unwrap(), files[0].content);
    let [copy] = dlls(&members, script)[..] else { panic!("{members:?}") };
    assert!(copy.starts_with("VCRU") && !copy.eq_ignore_ascii_case("vcruntime140.dll"), "{copy}");
    let tool = std::fs::read(root.join("Scripts/tool.exe")).unwrap();
    assert_eq!(PE::parse(&tool).unwrap().libraries, [copy]);
    assert_eq!(verified(at).0, Vec::<String>::new());
    let warnings = report(at)["warnings"].to_string();
    assert!(!warnings.contains("WIN004"), "{warnings}");

    // A DLL that both use keeps the name that Python's has.
    library(at, "lib/libshared-1.dll", &pe(&["vcruntime140.dll"]));
    let files = [
        file("sample/core.pyd", pe(&["libshared-1.dll"]).bytes()),
        file(&format!("{script}/tool.exe"), Pe { is_dll: false, ..pe(&["libshared-1.dll"]) }.bytes()),
    ];
    succeed(&mut repair(at, &files, "lib", &["--graft", "all"]));
    let (_, members) = unpack(at, "shared");
    assert_eq!(dlls(&members, "sample").len(), 1, "{members:?}");
    let copies = dlls(&members, script);
    assert!(copies.len() == 2 && copies.contains(&"vcruntime140.dll"), "{members:?}");
    // Also if the module beside the program comes first.
    let beside = [file("sample/core.pyd", pe(&["libshared-1.dll"]).bytes()), file("sample/tool.exe", Pe {
        is_dll: false, ..pe(&["libshared-1.dll"]) }.bytes())];
    succeed(&mut repair(at, &beside, "lib", &["--graft", "all"]));
    let (_, members) = unpack(at, "beside");
    let copies = dlls(&members, "sample");
    assert!(copies.len() == 2 && copies.contains(&"vcruntime140.dll"), "{members:?}");
    // Without it on this machine, modules do not miss it.
    std::fs::remove_file(at.join("lib/vcruntime140.dll")).unwrap();
    succeed(&mut repair(at, &files[..1], "lib", &["--graft", "all"]));
    let warnings = report(at)["warnings"].to_string();
    assert!(!warnings.contains("vcruntime140"), "{warnings}");
}

#[test]
fn a_debug_build_is_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    library(at, "lib/msvcp140d.dll", &pe(&[]));
    let files = [file("sample/core.pyd", pe(&["MSVCP140D.dll"]).bytes())];
    let error = fail(&mut repair(at, &files, "lib", &["--graft", "all"]), 1);
    for expected in [
        "`sample/core.pyd` imports the debug DLL `MSVCP140D.dll`, which exists only on development machines",
        "hint: build in release mode",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(names(&at.join("dist")).is_empty());
}

#[test]
fn the_runtime_of_the_compiler_or_else_the_newest_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let version = |number| Pe { version: Some([14, number, 1, 0]), ..pe(&[]) };
    library(at, "old/msvcp140.dll", &version(29));
    library(at, "new/msvcp140.dll", &version(44));
    library(at, "none/msvcp140.dll", &pe(&[]));
    // Only the runtime: the order of PATH decides about others.
    library(at, "old/libother-1.dll", &version(29));
    library(at, "new/libother-1.dll", &version(44));
    library(at, "redist/x64/Microsoft.VC143.CRT/msvcp140.dll", &version(38));
    library(at, "redist/arm64/Microsoft.VC143.CRT/msvcp140.dll", &version(38));
    let files = [file("sample/core.pyd", pe(&["MSVCP140.dll", "libother-1.dll"]).bytes())];
    let path = ["none", "old", "new"].map(|directory| at.join(directory).display().to_string()).join(":");
    let copied = |redistributables: Option<&str>| {
        let mut command = repair(at, &files, "none", &["--graft", "all"]);
        command.env("PATH", &path).env_remove("VCToolsRedistDir");
        if let Some(directory) = redistributables {
            command.env("VCToolsRedistDir", at.join(directory));
        }
        succeed(&mut command);
        let repaired = texts(&report(at), "repaired");
        let mut copied: Vec<String> = repaired
            .iter()
            .filter_map(|text| Some(text.split_once(" copied from ")?.1.replace(&at.display().to_string(), "")))
            .collect();
        copied.sort();
        copied
    };
    let other = "`/old/libother-1.dll`, version 14.29.1.0";
    assert_eq!(copied(None), ["`/new/msvcp140.dll`, version 14.44.1.0", other]);
    assert_eq!(copied(Some("elsewhere")), ["`/new/msvcp140.dll`, version 14.44.1.0", other]);
    let compilers = "`/redist/x64/Microsoft.VC143.CRT/msvcp140.dll`, version 14.38.1.0";
    assert_eq!(copied(Some("redist")), [other, compilers]);
}

#[test]
fn a_name_that_cannot_be_replaced_stays() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    library(at, "lib/zlib1.dll", &pe(&[]));
    library(at, "lib/libneeded-1.dll", &pe(&[]));
    let mut signed = pe(&["libneeded-1.dll"]).bytes();
    // The entry of the certificate table: signature, COFF header, optional header.
    let entry = 64 + 24 + 112 + 4 * 8;
    signed[entry] = 1;
    let mentions = Pe { exports: vec!["libneeded-1.dll".into()], ..pe(&["libneeded-1.dll"]) };
    for (module, dll, reason) in [
        (pe(&["zlib1.dll"]).bytes(), "zlib1.dll", "because it is too short for a hash"),
        (signed, "libneeded-1.dll", "because `sample/core.pyd` is signed"),
        (mentions.bytes(), "libneeded-1.dll", "because `sample/core.pyd` also mentions it outside its imports"),
    ] {
        // A second importer uses the same name.
        let files = [file("sample/core.pyd", &module), file("sample/more.pyd", pe(&[dll]).bytes())];
        succeed(&mut repair(at, &files, "lib", &["--graft", "all"]));
        let (root, members) = unpack(at, "after");
        assert_eq!(dlls(&members, "sample"), [dll]);
        assert_eq!(std::fs::read(root.join("sample/core.pyd")).unwrap(), module);
        let warnings = texts(&report(at), "warnings");
        let expected = format!("sample/{dll} keeps its name, {reason}");
        assert!(warnings.iter().any(|warning| warning.starts_with(&expected)), "{expected}: {warnings:?}");
    }
}

/// Windows loads it from the program's directory when it is first used.
#[test]
fn a_delay_loaded_dll_is_found_by_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::create_dir(at.join("lib")).unwrap();
    let late = "__declspec(dllexport) int late(void) { return 42; }";
    let library = mingw(at, "gcc", "liblate-1.dll", late, &["-shared"]);
    std::fs::write(at.join("lib/liblate-1.dll"), library).unwrap();
    std::fs::remove_file(at.join("liblate-1.dll")).unwrap();
    std::fs::write(at.join("late.def"), "LIBRARY liblate-1.dll\nEXPORTS\nlate\n").unwrap();
    let mut dlltool = Command::new("x86_64-w64-mingw32-dlltool");
    dlltool.current_dir(at).args(["-d", "late.def", "-D", "liblate-1.dll", "-y", "delayed.a"]);
    succeed(&mut dlltool);
    let delayed = at.join("delayed.a").display().to_string();
    let source = "#include <stdio.h>\nint late(void); int main(void) { printf(\"late %d\\n\", late()); return 0; }";
    let program = mingw(at, "gcc", "program.exe", source, &[&delayed]);
    let source = "int late(void); __declspec(dllexport) int now(void) { return late(); }";
    let module = mingw(at, "gcc", "core.pyd", source, &[&delayed, "-shared"]);
    let (program, module) = (with_delay_table(program), with_delay_table(module));
    let info = PeInfo::read(program.as_slice()).unwrap().unwrap();
    assert!(info.imports.iter().any(|dll| dll.is_delayed && dll.name == "liblate-1.dll"), "{info:?}");

    let files = [file("sample-1.0.data/scripts/sample.exe", &program), file("sample/core.pyd", &module)];
    succeed(&mut repair(at, &files, "lib", &["--graft", "all"]));
    let (root, members) = unpack(at, "after");
    assert_eq!((dlls(&members, "sample").len(), dlls(&members, "sample-1.0.data/scripts").len()), (1, 1));
    let output = wine(&root.join("Scripts/sample.exe"), "");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), "late 42");
    let warnings = texts(&report(at), "warnings");
    let expected = "sample/core.pyd loads `liblate-1.dll` when it first uses it";
    assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{warnings:?}");
    assert!(!warnings.iter().any(|warning| warning.contains("scripts/sample.exe loads")), "{warnings:?}");
    // It may never be loaded: no error where it is missing.
    std::fs::remove_dir_all(at.join("lib")).unwrap();
    succeed(&mut repair(at, &files, "lib", &["--graft", "all"]));
    let warnings = texts(&report(at), "warnings");
    assert!(warnings.iter().any(|warning| warning.contains("it needs `liblate-1.dll` (WIN004)")), "{warnings:?}");
}

/// GNU ld makes the descriptor of a DLL that is loaded late, without the directory entry
/// that other linkers write: it gets one here, which leads to a copy of the descriptor in
/// the unused end of a section. The loading code uses the descriptor itself; both lead to
/// one name.
fn with_delay_table(mut pe: Vec<u8>) -> Vec<u8> {
    const ENTRY: usize = 13;
    let parsed = PE::parse(&pe).unwrap();
    let sections: Vec<[usize; 4]> = parsed
        .sections
        .iter()
        .map(|section| {
            let numbers = [
                section.virtual_address,
                section.virtual_size,
                section.size_of_raw_data,
                section.pointer_to_raw_data,
            ];
            numbers.map(|number| usize::try_from(number).unwrap())
        })
        .collect();
    let header = usize::try_from(parsed.header.dos_header.pe_pointer).unwrap();
    let name = memchr::memmem::find(&pe, b"liblate-1.dll").unwrap();
    let address = |offset: usize| {
        let found = sections.iter().find(|[_, _, size, start]| (*start..start + size).contains(&offset));
        let [address, _, _, start] = found.unwrap();
        u32::try_from(offset - start + address).unwrap()
    };
    // Attributes (RVAs), and the name.
    let start = [1u32.to_le_bytes(), address(name).to_le_bytes()].concat();
    let descriptor = memchr::memmem::find(&pe, &start).unwrap();
    let descriptor = pe[descriptor..descriptor + 32].to_vec();
    let free = sections.iter().find(|[_, used, size, _]| *used > 0 && used + 64 <= *size).unwrap();
    let free = free[3] + free[2] - 64;
    let entry = header + 24 + 112 + ENTRY * 8;
    pe[entry..entry + 4].copy_from_slice(&address(free).to_le_bytes());
    pe[entry + 4..entry + 8].copy_from_slice(&64u32.to_le_bytes());
    pe[free..free + 32].copy_from_slice(&descriptor);
    pe
}
