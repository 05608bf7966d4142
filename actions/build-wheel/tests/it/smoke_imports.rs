//! What the smoke test imports and loads, and which errors it reports.

use std::path::Path;

use crate::smoke::{program, smoke, smoke_named, wheel};
use crate::support::*;

/// The part of Python's interface that these modules use.
const PYTHON: &str = "void *PyModule_Create2(void *, int); void PyErr_SetString(void *, const char *); \
    extern void *PyExc_RuntimeError, *PyExc_ImportError; \
    static struct { struct { long n; void *type; void *init; long index; void *copy; } base; \
    const char *name, *doc; long size; void *rest[6]; } module = {{1}, \"native\", 0, -1};";

/// A module of every Python 3, whose initialization is `body`.
fn module(dir: &Path, body: &str) -> Vec<u8> {
    let source = format!("{PYTHON}\nvoid nowhere(void);\nvoid *PyInit_native(void) {{ {body} }}\n");
    program(dir, &source, "-shared -fPIC")
}

const SOUND: &str = "return PyModule_Create2(&module, 1013);";
const BROKEN: &str = "nowhere(); return 0;";

#[test]
fn a_module_whose_initialization_fails_does_not_work() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let package = file("sample/__init__.py", "");
    let sound = wheel(&[package.clone(), file("sample/native.abi3.so", module(at, SOUND))], "", "");
    let (result, report) = smoke(at, &sound, &["--smoke", "required"]).unwrap();
    assert!(result == "passed" && report.contains("import sample.native"), "{report}");
    for exception in ["RuntimeError", "ImportError"] {
        let body = format!("PyErr_SetString(PyExc_{exception}, \"it never works\"); return 0;");
        let broken = file("sample/native.abi3.so", module(at, &body));
        let error = smoke(at, &wheel(&[package.clone(), broken], "", ""), &[]).unwrap_err();
        assert!(error.contains("it never works"), "{exception}: {error}");
    }
    // Nothing else imports the package of the module.
    let files = [
        package,
        file("sample/sub/__init__.py", "raise RuntimeError('the package is broken')\n"),
        file("sample/sub/native.abi3.so", module(at, SOUND)),
    ];
    let error = smoke(at, &wheel(&files, "", ""), &[]).unwrap_err();
    assert!(error.contains("the package is broken"), "{error}");
    // Only a requirement that is not installed here is an excuse.
    let files = [
        file("sample/__init__.py", ""),
        file("sample/sub/__init__.py", "import needed\n"),
        file("sample/sub/native.abi3.so", module(at, SOUND)),
    ];
    let (result, report) = smoke(at, &wheel(&files, "Requires-Dist: needed\n", ""), &[]).unwrap();
    assert!(result == "partial" && report.contains("`needed` is not installed"), "{report}");
    let error = smoke(at, &wheel(&files, "", ""), &[]).unwrap_err();
    assert!(error.contains("No module named 'needed'"), "{error}");
}

#[test]
fn what_a_wheel_says_about_a_missing_requirement_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let own_error = "try:\n    import needed\nexcept ImportError:\n    raise ImportError('get needed') from None\n";
    let numpys = "PyErr_SetString(PyExc_ImportError, \"needed._core.multiarray failed to import\"); return 0;";
    for files in [
        vec![file("sample/__init__.py", own_error)],
        vec![file("sample/__init__.py", ""), file("sample/native.abi3.so", module(at, numpys))],
    ] {
        let (result, report) = smoke(at, &wheel(&files, "Requires-Dist: needed\n", ""), &[]).unwrap();
        assert!(result == "partial" && report.contains("`needed` is not installed"), "{report}");
        assert!(smoke(at, &wheel(&files, "", ""), &[]).is_err());
    }
    let exits = "import sys\ntry:\n    import needed\nexcept ImportError:\n    sys.exit(5)\n";
    let files = [file("sample/__init__.py", exits)];
    assert_eq!(smoke(at, &wheel(&files, "Requires-Dist: needed\n", ""), &[]).unwrap().0, "partial");
    // An error that only follows from it is the wheel's own.
    let follows = "try:\n    import needed\nexcept ImportError:\n    raise ValueError('bad')\n";
    let files = [file("sample/__init__.py", follows)];
    assert!(smoke(at, &wheel(&files, "Requires-Dist: needed\n", ""), &[]).unwrap_err().contains("bad"));
}

/// Such as debugpy's copy of pydevd, whose directory it adds to `sys.path`.
#[test]
fn a_module_in_a_directory_that_is_no_package_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let body = "PyErr_SetString(PyExc_ImportError, \"No module named 'helper'\"); return 0;";
    let files = [
        file("sample/__init__.py", ""),
        file("sample/_vendored/tool/native.abi3.so", module(dir.path(), body)),
    ];
    let (result, report) = smoke(dir.path(), &wheel(&files, "", ""), &["--smoke", "required"]).unwrap();
    assert!(result == "passed" && report.contains("load sample/_vendored/tool/native"), "{report}");
}

/// As fsspec and others read them.
#[test]
fn a_plugin_may_name_an_object_without_a_colon() {
    let dir = tempfile::tempdir().unwrap();
    let files = [file("sample/__init__.py", "class System: pass\n")];
    let run = |name: &str| {
        let points = format!("[fsspec.specs]\nx = sample.{name}\n");
        smoke(dir.path(), &wheel(&files, "", &points), &["--smoke", "required"])
    };
    assert_eq!(run("System").unwrap().0, "passed");
    assert!(run("Absent").unwrap_err().contains("sample.Absent"));
}

/// Python imports only one of several files of the same name.
#[test]
fn a_module_that_python_does_not_import_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let replaces = "import sys, types\nsys.modules['sample.native'] = types.ModuleType('native')\n";
    for (init, other) in
        [("", file("sample/native/__init__.py", "")), (replaces, file("sample/other.py", ""))]
    {
        let files = |body: &str| {
            let module = file("sample/native.abi3.so", module(at, body));
            wheel(&[file("sample/__init__.py", init), other.clone(), module], "", "")
        };
        let error = smoke(at, &files(BROKEN), &[]).unwrap_err();
        assert!(error.contains("nowhere"), "{error}");
        let (result, report) = smoke(at, &files(SOUND), &["--smoke", "required"]).unwrap();
        assert!(result == "passed" && report.contains("load sample/native.abi3.so"), "{report}");
    }
}

#[test]
fn modules_in_data_and_in_directories_of_libraries_are_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for member in ["sample-1.0.data/data/lib/sample/native.abi3.so", "sample/my.libs/native.abi3.so"] {
        let files =
            |body: &str| wheel(&[file("sample/__init__.py", ""), file(member, module(at, body))], "", "");
        let error = smoke(at, &files(BROKEN), &[]).unwrap_err();
        assert!(error.contains("nowhere"), "{member}: {error}");
        let (result, report) = smoke(at, &files(SOUND), &["--smoke", "required"]).unwrap();
        assert!(result == "passed" && report.contains("native.abi3.so"), "{member}: {report}");
    }
    // A compiler reads it, Python does not.
    let files =
        [file("sample/__init__.py", ""), file("sample-1.0.data/headers/native.abi3.so", module(at, BROKEN))];
    let (result, report) = smoke(at, &wheel(&files, "", ""), &["--smoke", "required"]).unwrap();
    assert!(result == "passed" && !report.contains("native.abi3.so"), "{report}");
}

#[test]
fn a_library_beside_the_packages_is_no_module() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let library = program(at, "int answer(void) { return 42; }", "-shared -fPIC");
    let files = [file("sample/__init__.py", ""), file("libtop.so", library)];
    let (result, report) = smoke(at, &wheel(&files, "", ""), &["--smoke", "required"]).unwrap();
    assert!(result == "passed" && report.contains("load libtop.so"), "{report}");
    let files = [file("native.abi3.so", module(at, SOUND))];
    let (result, report) = smoke(at, &wheel(&files, "", ""), &["--smoke", "required"]).unwrap();
    assert!(result == "passed" && report.contains("import native"), "{report}");
}

/// A package may contain such paths, for example as templates.
#[test]
fn only_the_wheels_own_data_directory_is_installed_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut hook = file("sample/template.data/scripts/hook", "not a script\n");
    hook.mode = 0o100_644;
    let files = [file("sample/__init__.py", ""), hook];
    let (result, report) = smoke(dir.path(), &wheel(&files, "", ""), &["--smoke", "required"]).unwrap();
    assert!(result == "passed" && !report.contains("hook"), "{report}");
}

/// Builds a library and something that needs it, and then removes the library.
fn needing_library(dir: &Path, source: &str, flags: &str) -> Vec<u8> {
    let library = program(dir, "int outer(void) { return 1; }", "-shared -fPIC -Wl,-soname,libouter.so");
    std::fs::write(dir.join("libouter.so"), library).unwrap();
    program(dir, source, &format!("{flags} -Wl,--no-as-needed -L{{}} -louter"))
}

#[test]
fn a_library_that_others_provide_makes_it_partial() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let source = format!("{PYTHON}\nvoid *PyInit_native(void) {{ {SOUND} }}\n");
    let module = file("sample/native.abi3.so", needing_library(at, &source, "-shared -fPIC"));
    let tool = file("sample/bin/tool", needing_library(at, HELLO, ""));
    for binary in [module, tool] {
        let files = wheel(&[file("sample/__init__.py", ""), binary], "", "");
        let (result, report) = smoke(at, &files, &["--exclude", "libouter.so"]).unwrap();
        assert!(result == "partial" && report.contains("libouter.so"), "{report}");
    }
}

#[test]
fn an_own_module_that_is_missing_is_no_requirement() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let run = |files: &[File], metadata: &str, points: &str| smoke(at, &wheel(files, metadata, points), &[]);
    let requires = "Requires-Dist: needed\n";
    // `ns` is a namespace package, which other distributions share.
    let files = |text: &str| [file("ns/own/__init__.py", text), file("ns/own/cli.py", "def main(): pass\n")];
    let points = "[console_scripts]\nx = ns.own.cli:main\n";
    let error = run(&files("import ns.own.absent\n"), requires, points).unwrap_err();
    assert!(error.contains("ns.own.absent"), "{error}");
    let (result, report) = run(&files("import ns.other\n"), requires, points).unwrap();
    assert!(result == "partial" && report.contains("`ns.other` is not installed"), "{report}");
    let error = run(&files(""), "", "[plugins]\nx = ns.own.absent:x\n").unwrap_err();
    assert!(error.contains("ns.own.absent"), "{error}");
    // What a module has handled is not the reason of a later error.
    let text = "try:\n    import needed\nexcept ImportError:\n    raise ValueError('broken')\n";
    let error = run(&[file("sample/__init__.py", text)], requires, "").unwrap_err();
    assert!(error.contains("broken"), "{error}");
    let text =
        "try:\n    import needed\nexcept ImportError as error:\n    raise ValueError('broken') from error\n";
    assert_eq!(run(&[file("sample/__init__.py", text)], requires, "").unwrap().0, "partial");
}

#[test]
fn a_requirement_for_another_machine_is_no_excuse() {
    let dir = tempfile::tempdir().unwrap();
    let files = [file("sample/__init__.py", "import needed\n")];
    for marker in ["sys_platform == 'win32'", "python_version < '3'"] {
        let requires = format!("Requires-Dist: needed; {marker}\n");
        let error = smoke(dir.path(), &wheel(&files, &requires, ""), &[]).unwrap_err();
        assert!(error.contains("No module named 'needed'"), "{marker}: {error}");
    }
    let requires = "Requires-Dist: needed; sys_platform == 'linux'\n";
    assert_eq!(smoke(dir.path(), &wheel(&files, requires, ""), &[]).unwrap().0, "partial");
}

/// Python prints the error and goes on.
#[test]
fn a_broken_path_file_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let files = [file("sample/__init__.py", ""), file("sample.pth", "import absent_module\n")];
    let error = smoke(dir.path(), &wheel(&files, "", ""), &[]).unwrap_err();
    assert!(error.contains("absent_module") && error.contains("does not work"), "{error}");
    let (result, report) = smoke(dir.path(), &wheel(&files, "Requires-Dist: absent\n", ""), &[]).unwrap();
    assert!(result == "partial" && report.contains("`absent_module` is not installed"), "{report}");
}

/// The newest Pythons of pyenv, as (version, path).
fn pyenv() -> Vec<(String, std::path::PathBuf)> {
    let home = std::env::var("HOME").unwrap();
    let root = std::env::var("PYENV_ROOT").unwrap_or(format!("{home}/.pyenv"));
    let entries = std::fs::read_dir(Path::new(&root).join("versions")).into_iter().flatten();
    let pythons = entries.map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), entry.path().join("bin/python3"))
    });
    pythons.filter(|(version, python)| version.starts_with("3.") && python.is_file()).collect()
}

#[test]
fn chooses_a_python_that_the_metadata_allows() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let name = "sample-1.0-py3-none-any.whl";
    let files = [file("sample/__init__.py", "")];
    let (result, report) = smoke_named(at, name, &wheel(&files, "Requires-Python: <3\n", ""), &[]).unwrap();
    assert!(result == "skipped" && report.contains("`Requires-Python: <3` allows"), "{report}");
    for (version, _) in pyenv() {
        let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
        if minor != 9 {
            continue;
        }
        let text = format!("import sys\nassert sys.version_info[:2] == (3, {minor})\n");
        let files = [file("sample/__init__.py", text)];
        let requires = format!("Requires-Python: ==3.{minor}.*\n");
        let (result, report) = smoke_named(at, name, &wheel(&files, &requires, ""), &[]).unwrap();
        assert_eq!(result, "passed", "{version}: {report}");
    }
}

/// Neither `py39` nor `cp39-abi3` is for Python 3.9 only.
#[test]
fn a_later_python_accepts_a_wheel_for_several() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    // Older than what build-wheel runs with.
    let old = pyenv().into_iter().find(|(version, _)| version.starts_with("3.8.")).map(|(_, python)| python);
    let Some(old) = old else { return };
    for (name, member) in [
        ("sample-1.0-py39-none-any.whl", file("sample/data", "")),
        ("sample-1.0-cp39-abi3-linux_x86_64.whl", file("sample/native.abi3.so", module(at, SOUND))),
    ] {
        let files = [file("sample/__init__.py", "import sys\nassert sys.version_info >= (3, 9)\n"), member];
        let arguments = ["--python", old.to_str().unwrap()];
        let (result, report) = smoke_named(at, name, &wheel(&files, "", ""), &arguments).unwrap();
        assert_eq!(result, "passed", "{name}: {report}");
    }
}

/// Before 22.3, pip had no option for another environment.
#[test]
fn installs_with_an_old_pip() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let old = pyenv().into_iter().find(|(version, _)| version.starts_with("3.7."));
    let Some((_, python)) = old else { return };
    let text = "import importlib.util\nassert importlib.util.find_spec('setuptools') is None\n";
    std::fs::write(at.join(WHEEL), wheel(&[file("sample/__init__.py", text)], "", "")).unwrap();
    let mut command = build_wheel(at);
    // Without uv.
    command.env("PATH", "/usr/bin:/bin").args([WHEEL, "--smoke", "required", "--python"]).arg(python);
    succeed(&mut command);
    assert_eq!(report(at)["smoke"]["result"], "passed");
}
