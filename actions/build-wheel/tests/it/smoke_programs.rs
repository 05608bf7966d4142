//! Which programs and scripts the smoke test starts, and when they count as started.

use crate::smoke::{program, smoke, smoke_named, wheel};
use crate::support::*;

const ANY: &str = "sample-1.0-py3-none-any.whl";

/// An ELF file that the kernel refuses to execute: the name of its loader is too long.
fn refused(program: &[u8]) -> Vec<u8> {
    let mut bytes = program.to_vec();
    let word = |at: usize, bytes: &[u8]| {
        usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
    };
    let table = word(32, &bytes);
    let count = usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
    let header =
        (0..count).map(|index| table + index * 56).find(|at| bytes[*at..*at + 4] == [3, 0, 0, 0]).unwrap();
    let (start, size) = (word(header + 8, &bytes), word(header + 32, &bytes));
    let mut loader = bytes[start..start + size].to_vec();
    loader.resize(5000, 0);
    let end = u64::try_from(bytes.len()).unwrap();
    for (at, value) in [(8, end), (32, 5000), (40, 5000)] {
        bytes[header + at..header + at + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes.extend(loader);
    bytes
}

/// Shells, and `env`, execute such a file as a script.
#[test]
fn a_program_that_the_kernel_refuses_does_not_work() {
    let dir = tempfile::tempdir().unwrap();
    let bad = refused(&program(dir.path(), HELLO, ""));
    for member in ["sample/bin/tool", "sample-1.0.data/scripts/tool"] {
        let files = [file("sample/__init__.py", ""), file(member, &bad)];
        let error = smoke(dir.path(), &wheel(&files, "", ""), &[]).unwrap_err();
        assert!(error.contains("cannot execute") && error.contains("Exec format error"), "{error}");
    }
}

/// Python ignores a signal whose default action programs expect.
#[test]
fn programs_start_with_the_usual_signals() {
    let dir = tempfile::tempdir().unwrap();
    let source =
        "#include <signal.h>\nint main(void) { return signal(SIGPIPE, SIG_DFL) == SIG_DFL ? 0 : 126; }";
    let files = [file("sample/__init__.py", ""), file("sample/tool", program(dir.path(), source, ""))];
    let (result, report) = smoke(dir.path(), &wheel(&files, "", ""), &["--smoke", "required"]).unwrap();
    assert!(result == "passed" && report.contains("sample/tool --version\",\"outcome\":\"ok\""), "{report}");
}

#[test]
fn what_only_windows_starts_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let package = file("sample/__init__.py", "");
    let mut launcher = file("sample/launcher.exe", testkit::wheel::Pe { is_dll: false, ..Default::default() }.bytes());
    launcher.mode = 0o100_644;
    let files = [package.clone(), launcher];
    let (result, report) = smoke(dir.path(), &wheel(&files, "", ""), &[]).unwrap();
    assert!(result == "passed" && report.contains("not run: it is for Windows"), "{report}");
    assert!(!report.contains("made executable"), "{report}");
    let files = [package, file("sample-1.0.data/scripts/tool.bat", "@echo off\r\n")];
    let (result, report) =
        smoke_named(dir.path(), ANY, &wheel(&files, "", ""), &["--smoke", "required"]).unwrap();
    assert!(result == "passed" && report.contains("not run: it is a batch file of Windows"), "{report}");
}

/// ARM's number in place of that of x86-64.
fn for_arm(program: &[u8]) -> Vec<u8> {
    let mut bytes = program.to_vec();
    bytes[18] = 183;
    bytes
}

#[test]
fn of_programs_for_several_platforms_the_own_ones_are_started() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let sound = program(at, HELLO, "");
    let files = |own: &[u8]| {
        let foreign = file("sample/bin/arm", for_arm(&program(at, HELLO, "-static")));
        wheel(&[file("sample/__init__.py", ""), file("sample/bin/own", own), foreign], "", "")
    };
    let names = [ANY, WHEEL];
    // Nobody runs the other one if the wheel is for x86-64 only.
    for (name, expected) in names.into_iter().zip(["partial", "passed"]) {
        let (result, report) = smoke_named(at, name, &files(&sound), &[]).unwrap();
        assert_eq!(result, expected, "{name}: {report}");
        assert!(report.contains("not run: it is for Linux on aarch64"), "{report}");
        assert!(report.contains("sample/bin/own --version"), "{report}");
    }
    let crashing = program(at, "#include <stdlib.h>\nint main(void) { abort(); }", "");
    for name in names {
        let error = smoke_named(at, name, &files(&crashing), &[]).unwrap_err();
        assert!(error.contains("signal: 6"), "{name}: {error}");
    }
}

#[test]
fn scripts_in_packages_are_started() {
    let dir = tempfile::tempdir().unwrap();
    let run = |member: &str, text: &str, mode: u32| {
        let mut script = file(member, text);
        script.mode = mode;
        smoke(dir.path(), &wheel(&[file("sample/__init__.py", ""), script], "", ""), &[])
    };
    for member in ["sample/bin/run", "sample-1.0.data/data/bin/run"] {
        let (result, report) = run(member, "#!/bin/sh\necho 1\n", 0o100_755).unwrap();
        assert!(result == "passed" && report.contains("bin/run --version"), "{report}");
        let error = run(member, "#!/bin/sh\nabsent-program\n", 0o100_755).unwrap_err();
        assert!(error.contains("bin/run --version"), "{error}");
        let (result, report) = run(member, "#!/absent/interpreter\n", 0o100_755).unwrap();
        assert!(
            result == "partial"
                && report.contains("its interpreter `/absent/interpreter` is not on this machine"),
            "{report}"
        );
        let (result, report) = run(member, "#!/usr/bin/env absent-interpreter\n", 0o100_755).unwrap();
        assert!(
            result == "partial" && report.contains("there is no `absent-interpreter` on PATH"),
            "{report}"
        );
        // Nobody starts a file that is not executable, or that is no script.
        assert_eq!(run(member, "#!/absent/interpreter\n", 0o100_644).unwrap().0, "passed");
        assert_eq!(run(member, "text\n", 0o100_755).unwrap().0, "passed");
    }
}

#[test]
fn a_script_that_lacks_a_part_of_the_wheel_does_not_work() {
    let dir = tempfile::tempdir().unwrap();
    let run = |script: &str, metadata: &str| {
        let script = file("sample-1.0.data/scripts/tool", format!("#!python\n{script}"));
        smoke(dir.path(), &wheel(&[file("sample/__init__.py", ""), script], metadata, ""), &[])
    };
    let error = run("import ctypes\nctypes.CDLL('/absent/liba.so.1')\n", "").unwrap_err();
    assert!(error.contains("cannot open shared object file"), "{error}");
    let requires = "Requires-Dist: needed\n";
    for metadata in ["", requires] {
        let error = run("import sample.absent\n", metadata).unwrap_err();
        assert!(error.contains("No module named 'sample.absent'"), "{error}");
    }
    assert_eq!(run("import needed\n", requires).unwrap().0, "partial");
}

#[test]
fn a_program_that_only_warns_has_started() {
    let dir = tempfile::tempdir().unwrap();
    let package = file("sample/__init__.py", "");
    let warning = "#!/bin/sh\necho 'dlerror: libx.so.1: cannot open shared object file: No such file' >&2\n\
        echo 'unknown option' >&2\nexit 2\n";
    let mut hidden = file("sample/tool.py", "#!/usr/bin/env python3\nimport sample.util\n");
    hidden.mode = 0o100_755;
    for files in [
        vec![package.clone(), file("sample-1.0.data/scripts/tool", warning)],
        // Its own directory comes first, and `sample.py` there hides the package.
        vec![package.clone(), hidden, file("sample/sample.py", ""), file("sample/util.py", "")],
    ] {
        let result = smoke(dir.path(), &wheel(&files, "", ""), &["--smoke", "required"]);
        assert_eq!(result.map(|(result, _)| result), Ok("passed".to_owned()));
    }
}

#[test]
fn a_command_is_a_script_of_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let sample = wheel(&[file("sample/__init__.py", "")], "", "");
    let run =
        |commands: &str| smoke(dir.path(), &sample, &["--smoke-command", commands, "--smoke", "required"]);
    // Python needs the indentation, and the text has an empty line.
    let script = "python - <<'END'\nif True:\n    text = '''a\n\n  b'''\nassert text == 'a\\n\\n  b', text\nEND\ntest \"$(printf '%s' 'a\\b \"c\"')\" = 'a\\b \"c\"'";
    let (result, report) = run(script).unwrap();
    assert_eq!(result, "passed", "{report}");
    let (result, report) = run("test -x \"$VIRTUAL_ENV/bin/python\"").unwrap();
    assert_eq!(result, "passed", "{report}");
}
