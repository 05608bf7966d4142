//! `build-wheel init`: the sources of a new workflow's platforms.

use std::path::Path;

use testkit::warehouse::{Behaviour, Warehouse};

use crate::init::{NO_INDEX, PIN, WORKFLOW, fixture, init, lint, rows};
use crate::support::{fail, succeed, write};

/// An index with the files of `plain`.
fn index_with(files: &[&str]) -> Warehouse {
    let index = Warehouse::start(Behaviour::default(), None);
    for file in files {
        index.put(file, "plain", b"");
    }
    index
}

/// The Simple API for an upload URL.
fn simple(index: &Warehouse) -> String {
    index.url().replace("/legacy/", "/simple/")
}

/// Runs the program with this index. Returns its output.
fn init_asking(project: &Path, index: &str, arguments: &[&str]) -> String {
    let mut command = testkit::tools::scrubbed(env!("CARGO_BIN_EXE_build-wheel"));
    command.current_dir(project).args(["init", "--repository", "owner/actions", "--pin", PIN, "--index", index]);
    let output = command.args(arguments).output().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{shown}");
    lint(project);
    shown
}

#[test]
fn takes_platforms_floors_and_pythons_of_the_published_wheels() {
    let linux = "manylinux_2_17_x86_64.manylinux2014_x86_64";
    let index = index_with(&[
        "plain-0.9.0-cp312-cp312-manylinux_2_5_i686.whl",
        &format!("plain-1.2.0-cp312-cp312-{linux}.whl"),
        &format!("plain-1.2.0-cp313-cp313-{linux}.whl"),
        &format!("plain-1.2.0-cp314-cp314t-{linux}.whl"),
        "plain-1.2.0-pp311-pypy311_pp73-macosx_11_0_arm64.whl",
        "plain-1.2.0-cp313-cp313-win_amd64.whl",
        "plain-1.2.0-cp313-cp313-android_24_arm64_v8a.whl",
        "plain-1.2.0.tar.gz",
        "plain-2.0.0rc1-cp313-cp313-musllinux_1_2_x86_64.whl",
    ]);
    let project = fixture("plain");
    let at = project.path();
    let shown = init_asking(at, &simple(&index), &[]);
    assert!(shown.contains("platforms: as in the files of `plain 1.2.0` on http"), "{shown}");
    assert!(shown.contains("warning: not translated: the files of `plain 1.2.0`"), "{shown}");
    insta::assert_snapshot!("init-published", rows(at));
    // From then on, the workflow decides, whatever the index has.
    let text = std::fs::read_to_string(at.join(WORKFLOW)).unwrap();
    assert!(text.contains(" for android_24_arm64_v8a: `build-wheel init` writes no job for them\n"), "{text}");
    assert!(!init_asking(at, "https://index.invalid/simple/", &[]).contains("index.invalid"));
    assert_eq!(std::fs::read_to_string(at.join(WORKFLOW)).unwrap(), text);
    succeed(&mut init(at, &["--check"]));
}

#[test]
fn a_workflow_and_the_published_wheels_complete_each_other() {
    let index = index_with(&[
        "plain-1.0-cp313-cp313-manylinux_2_28_x86_64.whl",
        "plain-1.0-cp313-cp313-manylinux_2_31_riscv64.whl",
    ]);
    let project = fixture("plain");
    let at = project.path();
    let workflow = "on: push\njobs:\n  linux:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix:\n        target: [x86_64, aarch64]\n    steps:\n      - uses: PyO3/maturin-action@v1\n        with:\n          target: ${{ matrix.target }}\n          args: --find-interpreter --features fast\n";
    write(at, &[(".github/workflows/CI.yml", workflow)]);
    let shown = init_asking(at, &simple(&index), &[]);
    assert!(shown.contains("on http") && shown.contains(" and in `.github/workflows/CI.yml`"), "{shown}");
    insta::assert_snapshot!("init-completed", rows(at));
}

#[test]
fn a_workflow_without_pythons_gets_the_published_ones() {
    let index = Warehouse::start(Behaviour::default(), None);
    for tags in ["cp311-abi3-manylinux_2_28_x86_64", "cp314-cp314t-manylinux_2_28_x86_64"] {
        index.put(&format!("sieve-1.0-{tags}.whl"), "sieve", b"");
    }
    let project = fixture("composite-action");
    let arguments = ["--from-maturin-action", "workflow.yml"];
    init_asking(project.path(), &simple(&index), &arguments);
    let text = rows(project.path());
    // One job builds the free-threaded wheel and the one with the stable ABI.
    let both = "            interpreters: |\n              3.14\n              3.14t";
    assert_eq!(text.matches(both).count(), 1, "{text}");
    assert_eq!(text.matches("interpreters: \"\"").count(), 2, "{text}");
}

/// The interpreter only builds the wheel with the stable ABI.
#[test]
fn the_interpreter_of_a_stable_abi_wheel_does_not_exclude_free_threaded_ones() {
    let index = Warehouse::start(Behaviour::default(), None);
    for tags in ["cp311-abi3-manylinux_2_28_x86_64", "cp314-cp314t-manylinux_2_28_x86_64"] {
        index.put(&format!("sieve-1.0-{tags}.whl"), "sieve", b"");
    }
    let project = fixture("composite-action");
    let at = project.path();
    let step = |args: &str| format!("on: push\njobs:\n  linux:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: PyO3/maturin-action@v1\n        with:\n          args: --release {args}\n");
    for (args, free_threaded) in [("-i 3.11", 1), ("-i python3.12 --features x", 1), ("-i pypy3.11", 0), ("-i 3.13t", 0)] {
        write(at, &[("workflow.yml", &step(args))]);
        init_asking(at, &simple(&index), &["--from-maturin-action", "workflow.yml"]);
        let text = std::fs::read_to_string(at.join(WORKFLOW)).unwrap();
        let both = "          interpreters: |\n            3.14\n            3.14t\n";
        assert_eq!(text.matches(both).count(), free_threaded, "{args}: {text}");
        // The job that builds both uploads both.
        assert_eq!(text.contains("build.outputs.paths }}"), free_threaded > 0, "{args}: {text}");
        assert!(!text.contains("job-index"), "{text}");
    }
}

#[test]
fn prefers_the_workflow_that_releases() {
    let project = fixture("several-workflows");
    let at = project.path();
    let shown = init_asking(at, NO_INDEX, &["--offline"]);
    let places = "`.github/workflows/core.yml` and `.github/workflows/extra.yml`";
    assert!(shown.contains(&format!("platforms: as in {places} (`--offline`)\n")), "{shown}");
    insta::assert_snapshot!("init-several-workflows", rows(at));
}

#[test]
fn an_index_without_an_answer_is_not_an_error() {
    let empty = index_with(&[]);
    // It accepts connections but never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/simple/", silent.local_addr().map(|at| (at, Box::leak(Box::new(silent)))).unwrap().0);
    let refused = format!("http://127.0.0.1:{}/simple/", testkit::index::free_port());
    for (index, expected) in [
        (simple(&empty), "no such project"),
        (refused, "Connection refused"),
        (silent, "no answer within 10 s"),
    ] {
        let project = fixture("plain");
        let shown = init_asking(project.path(), &index, &[]);
        let line = shown.lines().find(|line| line.contains("no files of `plain` on http")).expect(&shown);
        assert!(line.contains("platforms: the nine common ones") && line.contains(expected), "{line}");
        assert!(rows(project.path()).contains("armv7-unknown-linux-gnueabihf"));
    }
    let project = fixture("generated");
    let workflows = project.path().join(".github/workflows");
    std::fs::create_dir_all(&workflows).unwrap();
    std::fs::rename(project.path().join("workflow.yml"), workflows.join("CI.yml")).unwrap();
    let shown = init_asking(project.path(), &simple(&empty), &[]);
    assert!(
        shown.contains("platforms: as in `.github/workflows/CI.yml`; no files of `typeset`"),
        "{shown}"
    );
}

#[test]
fn platforms_can_be_given() {
    let project = fixture("plain");
    let at = project.path();
    let index = "https://index.invalid/simple/";
    let shown = init_asking(at, index, &["--platforms", "manylinux_2_28_x86_64, aarch64-apple-darwin"]);
    assert!(!shown.contains("index.invalid"), "{shown}");
    let first = rows(at);
    insta::assert_snapshot!("init-platforms", first);
    // Later, kept platforms keep their settings, and a new one gets those of the first.
    let path = at.join(WORKFLOW);
    let text = std::fs::read_to_string(&path).unwrap();
    let edited = text.replace("          smoke: required\n", "          smoke: required\n          smoke-command: |\n            python -c \"import plain\"\n");
    std::fs::write(&path, edited).unwrap();
    init_asking(at, index, &["--platforms", "x86_64-unknown-linux-gnu,musllinux_1_2_aarch64"]);
    insta::assert_snapshot!("init-platforms-changed", rows(at));
    for (found, code) in [("android_24_x86_64", 2), ("x86_64", 2), (",", 2), ("macosx_11_0_universal2", 2)] {
        let error = fail(&mut init(at, &["--platforms", found]), code);
        assert!(error.contains("`--platforms`: expected Rust targets or platform tags"), "{error}");
    }
    let other = fixture("plain");
    let mut command = testkit::tools::scrubbed(env!("CARGO_BIN_EXE_build-wheel"));
    let error = fail(command.current_dir(other.path()).args(["init", "--index", "http://index.example/"]), 2);
    assert!(error.contains("`--index`: expected `pypi`, `testpypi` or the HTTPS URL"), "{error}");
}

/// `smoke: required` there needs a Python for the wheel's architecture.
#[test]
fn a_32_bit_python_is_set_up_for_32_bit_windows() {
    let generated = |name: &str, platforms: &str| {
        let project = fixture(name);
        init_asking(project.path(), "https://index.invalid/simple/", &["--platforms", platforms]);
        succeed(&mut init(project.path(), &["--check"]));
        std::fs::read_to_string(project.path().join(WORKFLOW)).unwrap()
    };
    let both = "x86_64-unknown-linux-gnu,i686-pc-windows-msvc";
    let is_x86 = "startsWith(matrix.target, 'i686-pc-windows')";
    let of_row = format!("          architecture: ${{{{ {is_x86} && 'x86' || '' }}}}\n");
    let text = generated("plain", both);
    assert!(text.contains(&of_row) && text.contains("smoke: required") && !text.contains("        if: start"), "{text}");
    let text = generated("plain", "i686-pc-windows-msvc");
    assert!(text.contains("          architecture: x86\n") && text.contains("smoke: required"), "{text}");
    // Its wheels are for every Python.
    let text = generated("program", both);
    let step = format!("        if: {is_x86}\n        with:\n          python-version: \"3.14\"\n{of_row}");
    assert!(text.contains(&step), "{text}");
    for (name, platforms) in [("plain", "x86_64-pc-windows-msvc"), ("program", "aarch64-pc-windows-msvc")] {
        let text = generated(name, platforms);
        assert!(!text.contains("architecture:") && text.contains("smoke: required"), "{text}");
    }
}
