//! Wheels for Windows, built with MinGW; their programs run under Wine.

use std::path::Path;
use std::process::Command;

use testkit::wheel::Pe;

use crate::support::*;

const TARGET: &str = "x86_64-pc-windows-gnu";

/// A build for Windows, with the standard library of the tests' compiler.
fn for_windows(dir: &Path) -> Command {
    let rustc = testkit::tools::dir().join("rust-cross/bin/rustc");
    assert!(rustc.is_file(), "run `cargo xtask setup-test-tools`");
    let mut command = build_wheel(dir);
    command.env("RUSTC", rustc).args(["--target", TARGET]);
    command
}

/// Runs a program of a wheel. Returns its output.
fn start(dir: &Path, program: &[u8], arguments: &[&str]) -> String {
    let path = dir.join("program.exe");
    std::fs::write(&path, program).unwrap();
    let wine = testkit::tools::dir().join("wine/bin/wine");
    assert!(wine.is_file(), "run `cargo xtask setup-test-tools`");
    let output = Command::new(wine).arg(path).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_program_is_built_tagged_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    project(at);
    succeed(&mut for_windows(at));
    let report = report(at);
    assert_eq!(report["filename"], "sample-1.0.0-py3-none-win_amd64.whl");
    assert_eq!(report["plan"]["target"], "x86_64-pc-windows-gnu");
    assert_eq!(report["plan"]["linker"], "gcc");
    assert_eq!(report["floor"], serde_json::Value::Null);
    assert_eq!(report["smoke"]["result"], "skipped", "nothing here can run it, and nothing says it did");
    assert!(!report["warnings"].to_string().contains("WIN"), "it needs libraries of Windows alone");
    let wheel = std::fs::read(at.join("dist/sample-1.0.0-py3-none-win_amd64.whl")).unwrap();
    let program = build_wheel::repair::member(&wheel, "sample-1.0.0.data/scripts/sample.exe").unwrap();
    assert_eq!(start(at, &program, &["a", "b"]).trim_end(), "hello 3");
    let error = fail(for_windows(at).args(["--smoke", "required", "--out-dir", "tried"]), 1);
    assert!(error.contains("skipped") && error.contains("another system"), "{error}");
}

/// MinGW's linker would write the time of the build, or that of the commit.
#[test]
fn a_program_has_no_build_timestamp() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    project(at);
    succeed(for_windows(at).args(["--verify-reproducible", "--source-date-epoch", "1700000000"]));
    assert_eq!(report(at)["reproducible"], true);
    let wheel = std::fs::read(at.join("dist/sample-1.0.0-py3-none-win_amd64.whl")).unwrap();
    let program = build_wheel::repair::member(&wheel, "sample-1.0.0.data/scripts/sample.exe").unwrap();
    // `e_lfanew`, then `TimeDateStamp` of the file header.
    let number = |at: usize| u32::from_le_bytes(program[at..at + 4].try_into().unwrap());
    let header = number(0x3c) as usize;
    assert_eq!((&program[header..header + 4], number(header + 8)), (&b"PE\0\0"[..], 0));
}

/// PyO3 generates Python's import library, so Python for Windows is not needed.
#[test]
fn builds_and_checks_a_module_with_the_stable_abi() {
    let dir = tempfile::tempdir().unwrap();
    let project = testkit::tools::workspace().join("tests/consumers/pyo3-abi3");
    for file in ["Cargo.toml", "Cargo.lock", "pyproject.toml", "src/lib.rs", "README.md", "LICENSE"] {
        let text = std::fs::read_to_string(project.join(file)).unwrap();
        write(dir.path(), &[(file, &text)]);
    }
    succeed(&mut for_windows(dir.path()));
    let report = report(dir.path());
    let name = "sample_abi3-0.1.0-cp310-abi3-win_amd64.whl";
    assert_eq!((&report["filename"], &report["floor"]), (&name.into(), &serde_json::Value::Null));
    let wheel = std::fs::read(dir.path().join("dist").join(name)).unwrap();
    let module = build_wheel::repair::member(&wheel, "sample_abi3/sample_abi3.pyd")
        .or_else(|| build_wheel::repair::member(&wheel, "sample_abi3.pyd"))
        .unwrap();
    let pe = binfmt::pe::PeInfo::read(module.as_slice()).unwrap().unwrap();
    assert_eq!((pe.arch(), pe.is_dll), (Some("amd64"), true));
    let python: Vec<&str> = pe.imports.iter().map(|import| import.name.as_str()).collect();
    let python: Vec<&&str> = python.iter().filter(|name| name.to_lowercase().starts_with("python")).collect();
    assert_eq!(python, [&"python3.dll"], "the stable ABI, and no version's own library");
}

/// A member of a wheel from another build.
fn wheel(dir: &Path, tag: &str, pe: &Pe) -> Command {
    let name = format!("sample-1.0-{tag}.whl");
    let files = [file("sample/__init__.py", ""), file("sample/core.pyd", pe.bytes())];
    std::fs::write(dir.join(&name), zip(&members(&files))).unwrap();
    let mut command = build_wheel(dir);
    command.args([name.as_str(), "--smoke", "off"]);
    command
}

#[test]
fn compares_binaries_with_tag_and_target() {
    let dir = tempfile::tempdir().unwrap();
    let imports = |library: &str| Pe { imports: vec![(library.into(), vec!["f".into()])], ..Pe::default() };
    for (tag, pe, target, expected) in [
        ("cp312-cp312-win_amd64", Pe { machine: 0x014c, ..Pe::default() }, "", "WIN001"),
        ("cp312-cp312-win_amd64", imports("VCRUNTIME140D.dll"), "", "WIN002"),
        ("cp310-abi3-win_amd64", imports("python311.dll"), "", "WIN003"),
        ("cp310-abi3-win_amd64", Pe::default(), "aarch64-pc-windows-msvc", "the target is `aarch64-pc-windows-msvc`"),
    ] {
        let mut command = wheel(dir.path(), tag, &pe);
        if !target.is_empty() {
            command.args(["--target", target]);
        }
        let error = fail(&mut command, 1);
        assert!(error.contains(expected), "{expected}: {error}");
    }
    // Such a library may come from another package.
    succeed(&mut wheel(dir.path(), "cp310-abi3-win_amd64", &imports("libstdc++-6.dll")));
    let warnings = report(dir.path())["warnings"].to_string();
    for expected in ["it needs `libstdc++-6.dll` (WIN004)", "hint: set `graft`", "in `exclude`"] {
        assert!(warnings.contains(expected), "{expected}: {warnings}");
    }
}
