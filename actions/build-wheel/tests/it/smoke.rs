//! The smoke test: what it finds, and what it reports if it cannot run something.

use std::path::Path;

use pydist::record::{self, Entry};

use crate::support::*;

/// A wheel of `sample` 1.0 with these files, additional METADATA lines, and entry
/// points.
pub(crate) fn wheel(files: &[File], metadata: &str, entry_points: &str) -> Vec<u8> {
    let mut all = files.to_vec();
    let head = "Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n";
    all.push(file("sample-1.0.dist-info/METADATA", format!("{head}{metadata}")));
    all.push(file(
        "sample-1.0.dist-info/WHEEL",
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n",
    ));
    if !entry_points.is_empty() {
        all.push(file("sample-1.0.dist-info/entry_points.txt", entry_points));
    }
    let entries = all.iter().map(|file| Entry::of(&file.name, &file.content));
    let entries: Vec<_> = entries.chain([Entry::unhashed("sample-1.0.dist-info/RECORD")]).collect();
    all.push(file("sample-1.0.dist-info/RECORD", record::write(&entries)));
    zip(&all)
}

/// Runs build-wheel on the wheel. Returns the smoke test result and the report's text,
/// or the error.
pub(crate) fn smoke(dir: &Path, wheel: &[u8], arguments: &[&str]) -> Result<(String, String), String> {
    smoke_named(dir, WHEEL, wheel, arguments)
}

/// Like [`smoke`], for a wheel with this file name.
pub(crate) fn smoke_named(
    dir: &Path,
    name: &str,
    wheel: &[u8],
    arguments: &[&str],
) -> Result<(String, String), String> {
    std::fs::write(dir.join(name), wheel).unwrap();
    let output = build_wheel(dir).arg(name).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        assert_eq!(output.status.code(), Some(1), "{error}");
        return Err(error);
    }
    let report = report(dir)["smoke"].clone();
    Ok((report["result"].as_str().unwrap().to_owned(), format!("{report}\n{error}")))
}

/// A program for this machine.
pub(crate) fn program(dir: &Path, source: &str, flags: &str) -> Vec<u8> {
    compile(&CC, dir, "program", source, flags)
}

#[test]
fn starts_programs_in_packages() {
    let dir = tempfile::tempdir().unwrap();
    let package = file("sample/__init__.py", "");
    let run = |source: &str| {
        // Some tools drop modes; the repair restores this one.
        let mut bundled = file("sample/_bundled/ht", program(dir.path(), source, ""));
        bundled.mode = 0o100_644;
        smoke(dir.path(), &wheel(&[package.clone(), bundled], "", ""), &["--smoke", "required"])
    };
    let (result, report) = run(HELLO).unwrap();
    assert!(result == "passed" && report.contains("sample/_bundled/ht --version"), "{report}");
    let (result, report) = run("int main(void) { return 2; }").unwrap();
    assert!(result == "passed" && report.contains("started, then ended with"), "{report}");
    let (result, report) = run("int main(void) { return 255; }").unwrap();
    assert!(result == "passed" && report.contains("exit status: 255"), "{report}");
    for (source, expected) in [
        ("#include <stdlib.h>\nint main(void) { abort(); }", "signal: 6"),
        ("int main(void) { return 127; }", "exit status: 127"),
        (
            "#include <stdio.h>\nint main(void) { fputs(\"error while loading shared libraries: x\", stderr); return 1; }",
            "error while loading shared libraries",
        ),
    ] {
        let error = run(source).unwrap_err();
        assert!(error.contains("does not work") && error.contains(expected), "{error}");
    }
}

/// It has no interpreter, like a library, but no loader can load it.
#[test]
fn starts_a_static_position_independent_program() {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path(), HELLO, "-static-pie");
    for (member, started) in
        [("sample/_bundled/ht", "sample/_bundled/ht --version"), ("sample-1.0.data/scripts/ht", "bin/ht --version")]
    {
        let mut bundled = file(member, &program);
        bundled.mode = 0o100_644;
        let files = [file("sample/__init__.py", ""), bundled];
        let (result, report) = smoke(dir.path(), &wheel(&files, "", ""), &["--smoke", "required"]).unwrap();
        assert!(result == "passed" && report.contains(started), "{report}");
    }
}

/// A shell reports the signal that ended its last command as an exit code.
#[test]
fn a_script_whose_program_crashes_does_not_work() {
    let dir = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\nsh -c 'kill -SEGV $$'\nexit $?\n";
    let files = [file("sample/__init__.py", ""), file("sample-1.0.data/scripts/ht", script)];
    let error = smoke(dir.path(), &wheel(&files, "", ""), &[]).unwrap_err();
    assert!(error.contains("does not work") && error.contains("exit status: 139"), "{error}");
}

#[test]
fn an_import_that_ends_python_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    for code in ["0", "3"] {
        let files = [
            file("sample/__init__.py", ""),
            file("stops.py", format!("import os\nos._exit({code})\n")),
            file("zlast.py", "1 / 0\n"),
        ];
        let error = smoke(dir.path(), &wheel(&files, "", ""), &[]).unwrap_err();
        assert!(error.contains("does not work") && error.contains("`import stops`"), "{error}");
        assert!(error.contains(&format!("Python ended with exit status: {code}")), "{error}");
    }
}

#[test]
fn loads_every_extension_module() {
    let dir = tempfile::tempdir().unwrap();
    let package = file("sample/__init__.py", "");
    let module =
        |source: &str| file("sample/native.abi3.so", program(dir.path(), source, "-shared -fPIC"));
    // Its library is missing: nothing imports it, but it is found anyway.
    let broken = module("int nowhere(void); void *PyInit_native(void) { nowhere(); return 0; }");
    let error = smoke(dir.path(), &wheel(&[package.clone(), broken], "", ""), &[]).unwrap_err();
    assert!(error.contains("nowhere") && error.contains("does not work"), "{error}");
    let none = module("int answer(void) { return 42; }");
    let error = smoke(dir.path(), &wheel(&[package.clone(), none], "", ""), &["--smoke", "required"]);
    let (result, report) = error.unwrap();
    assert!(result == "passed" && report.contains("load sample/native.abi3.so"), "{report}");
    // Such a wheel has a file for each Python; this Python imports neither.
    let foreign = |version: &str| {
        let module = program(dir.path(), "int answer(void) { return 42; }", "-shared -fPIC");
        file(&format!("sample/other.cpython-{version}m-x86_64-linux-gnu.so"), module)
    };
    let modules = [package, foreign("36"), foreign("37")];
    let (result, report) = smoke(dir.path(), &wheel(&modules, "", ""), &[]).unwrap();
    assert!(result == "partial" && report.contains("it is for another Python"), "{report}");
}

#[test]
fn a_missing_requirement_makes_it_partial() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let files = [file("sample/__init__.py", "import needed\n")];
    let requiring = wheel(&files, "Requires-Dist: needed\n", "");
    let (result, report) = smoke(at, &requiring, &[]).unwrap();
    assert!(result == "partial" && report.contains("`needed` is not installed"), "{report}");
    assert!(report.contains("smoke test: partial"), "a warning says so: {report}");
    let error = smoke(at, &requiring, &["--smoke", "required"]).unwrap_err();
    assert!(error.contains("`partial`") && error.contains("`needed`"), "{error}");
    // A wheel that does not declare the requirement is broken.
    let error = smoke(at, &wheel(&files, "", ""), &[]).unwrap_err();
    assert!(error.contains("No module named 'needed'"), "{error}");

    let wheels = at.join("wheels");
    std::fs::create_dir(&wheels).unwrap();
    let needed = testkit::wheel::Wheel {
        stem: "needed-1.0".into(),
        metadata: "Metadata-Version: 2.1\nName: needed\nVersion: 1.0\n".into(),
        members: vec![testkit::wheel::Member::new("needed.py", "")],
        ..testkit::wheel::Wheel::sample("py3-none-any")
    };
    std::fs::write(wheels.join(needed.filename()), needed.bytes()).unwrap();
    for requires in ["wheel", "needed==1.0"] {
        let arguments = ["--test-requires", requires, "--test-index", "wheels", "--smoke", "required"];
        let (result, report) = smoke(at, &requiring, &arguments).unwrap();
        assert_eq!(result, "passed", "{requires}: {report}");
    }
}

/// Linux limits one argument to 128 KiB, Windows a command line to 32 KiB.
#[test]
fn imports_more_modules_than_a_command_line_holds() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(200);
    let files: Vec<File> = (0..700).map(|number| file(&format!("{long}{number}.py"), "")).collect();
    let (result, report) = smoke(dir.path(), &wheel(&files, "", ""), &["--smoke", "required"]).unwrap();
    assert!(result == "passed" && report.contains(&format!("import {long}699")), "{result}");
}

#[test]
fn resolves_every_entry_point() {
    let dir = tempfile::tempdir().unwrap();
    let files = [file("sample/__init__.py", "def main():\n    pass\n")];
    let run = |points: &str| smoke(dir.path(), &wheel(&files, "", points), &[]);
    let (result, report) = run("[console_scripts]\nsample = sample:main\n").unwrap();
    assert!(result == "passed" && report.contains("entry point console_scripts: sample"), "{report}");
    let error = run("[console_scripts]\nsample = sample:absent\n").unwrap_err();
    assert!(error.contains("absent"), "{error}");
    let (result, report) = run("[pytest11]\nsample = sample.plugin_of_absent_host\n").unwrap_or_else(|error| ("failed".to_owned(), error));
    assert_eq!(result, "failed", "a module of the wheel itself is missing: {report}");
}

#[test]
fn runs_commands_in_a_shell_beside_the_test_sources() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    write(at, &[("tests/test_it.py", "import sample\nassert sample.x == 1\n")]);
    let files = [file("sample/__init__.py", "x = 1\n")];
    let command = "for test in tests/test_*.py; do python $test || exit; done && test -n \"$HOME\"";
    let arguments = ["--test-sources", "tests", "--smoke-command", command, "--smoke", "required"];
    let (result, report) = smoke(at, &wheel(&files, "", ""), &arguments).unwrap();
    assert_eq!(result, "passed", "{report}");
    let files = [file("sample/__init__.py", "x = 2\n")];
    let error = smoke(at, &wheel(&files, "", ""), &arguments).unwrap_err();
    assert!(error.contains("AssertionError"), "{error}");
}

#[test]
fn commands_share_one_shell() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    write(at, &[("tests/test_it.py", "import sample\n")]);
    let sample = wheel(&[file("sample/__init__.py", "")], "", "");
    let run = |commands: &str| {
        let arguments = ["--test-sources", "tests", "--smoke-command", commands, "--smoke", "required"];
        smoke(at, &sample, &arguments)
    };
    let (result, report) =
        run("cd tests\nfor name in a b\ndo\n  seen=$seen$name\ndone\ntest $seen = ab\npython test_it.py").unwrap();
    assert_eq!(result, "passed", "{report}");
    // The exit code of a single line is its own.
    assert_eq!(run("python absent.py; test $? = 2").unwrap().0, "passed");
    // A failure is not hidden by a later command that succeeds.
    let error = run("cd tests\npython absent.py\ntrue").unwrap_err();
    assert!(error.contains("does not work") && error.contains("absent.py"), "{error}");
}

/// A test suite may run for longer than this program's own checks.
#[test]
#[ignore = "soak: waits for more than a minute"]
fn commands_may_run_for_longer_than_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let sample = wheel(&[file("sample/__init__.py", "")], "", "");
    let (result, report) = smoke(dir.path(), &sample, &["--smoke-command", "sleep 62"]).unwrap();
    assert_eq!(result, "passed", "{report}");
}

/// The build would fail too: the error shows that it was not started.
#[test]
fn missing_sources_and_a_missing_python_are_reported_before_the_build() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    project(at);
    write(at, &[("src/main.rs", "nonsense\n"), ("bin/maturin", "#!/bin/sh\nexit 9\n"), ("bin/cargo", "")]);
    for name in ["maturin", "cargo"] {
        toolkit::make_executable(&at.join("bin").join(name)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = build_wheel(at);
        command.env("PATH", at.join("bin")).env("HOME", at).env("PYENV_ROOT", at.join("pyenv"));
        command.env("RUNNER_TOOL_CACHE", at.join("tools")).args(["--linker", "native"]).args(arguments);
        command.output().unwrap()
    };
    let output = run(&["--test-sources", "tests/absent"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("tests/absent") && !error.contains("the build failed"), "{error}");
    assert_eq!(output.status.code(), Some(3), "{error}");
    let output = run(&["--smoke", "required"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("`smoke: required`, but the result is `skipped`: no Python"), "{error}");
    assert_eq!(output.status.code(), Some(1), "{error}");
    let output = run(&[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the build failed"));
}

#[test]
fn does_not_test_a_wheel_with_another_python() {
    let dir = tempfile::tempdir().unwrap();
    let module = program(dir.path(), "int answer(void) { return 42; }", "-shared -fPIC");
    let files = [file("sample/native.cpython-34m-x86_64-linux-gnu.so", module)];
    let name = "sample-1.0-cp34-cp34m-linux_x86_64.whl";
    std::fs::write(dir.path().join(name), wheel(&files, "", "")).unwrap();
    succeed(build_wheel(dir.path()).arg(name));
    let report = report(dir.path());
    assert_eq!(report["smoke"]["result"], "skipped");
    assert_eq!(report["smoke"]["reason"], "no Python 3.4 on this machine");
    fail(build_wheel(dir.path()).args([name, "--smoke", "required"]), 1);
}

/// The check script runs on every Python that a wheel may support.
#[test]
fn reports_import_errors_on_older_pythons() {
    let dir = tempfile::tempdir().unwrap();
    let [sound, broken] = ["", "1 / 0\n"].map(|text| {
        let files = [file("sample/__init__.py", format!("def main():\n    pass\n{text}"))];
        wheel(&files, "", "[console_scripts]\nsample = sample:main\n")
    });
    let home = std::env::var("HOME").unwrap();
    let root = std::env::var("PYENV_ROOT").unwrap_or(format!("{home}/.pyenv"));
    let mut pythons = vec![testkit::tools::path("python")];
    for entry in std::fs::read_dir(Path::new(&root).join("versions")).into_iter().flatten() {
        let python = entry.unwrap().path().join("bin/python3");
        pythons.extend(Some(python).filter(|python| python.is_file()));
    }
    for python in pythons {
        let python = python.to_str().unwrap();
        let (result, text) = smoke(dir.path(), &sound, &["--python", python]).unwrap();
        let is_old = text.contains("this Python has no importlib.metadata");
        assert_eq!(result, if is_old { "partial" } else { "passed" }, "{python}: {text}");
        let error = smoke(dir.path(), &broken, &["--python", python]).unwrap_err();
        assert!(error.contains("ZeroDivisionError"), "{python}: {error}");
    }
}
