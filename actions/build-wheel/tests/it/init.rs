//! `build-wheel init`: the workflows of projects of many shapes, linted, kept
//! up to date, and what the templates for other projects are.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::{fail, names, succeed, write};

const PIN: &str = "0123456789abcdef0123456789abcdef01234567";
/// Nothing listens there.
const NO_INDEX: &str = "http://127.0.0.1:9/simple/";
const WORKFLOW: &str = ".github/workflows/release.yml";

/// The program, in a project's directory.
fn init(project: &Path, arguments: &[&str]) -> Command {
    let mut command = testkit::tools::scrubbed(env!("CARGO_BIN_EXE_build-wheel"));
    command.current_dir(project).arg("init").args(arguments);
    if !arguments.contains(&"--repository") {
        command.args(["--repository", "owner/actions"]);
    }
    // The names are somebody else's on PyPI.
    command.args(["--index", NO_INDEX]);
    command
}

/// A copy of a project in `tests/fixtures/init`.
fn fixture(name: &str) -> tempfile::TempDir {
    let from = fixtures().join(name);
    let folder = tempfile::tempdir().unwrap();
    for entry in walk(&from) {
        let to = folder.path().join(entry.strip_prefix(&from).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&entry, to).unwrap();
    }
    folder
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/init")
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

/// actionlint and zizmor, pedantic, find nothing.
fn lint(project: &Path) {
    let workflow = project.join(WORKFLOW);
    succeed(testkit::tools::command("actionlint").arg("-shellcheck=").arg(&workflow));
    let mut zizmor = testkit::tools::command("zizmor");
    zizmor.args(["--persona", "pedantic", "--offline", "--no-progress"]).arg(&workflow);
    succeed(zizmor.env_remove("GITHUB_ACTIONS"));
}

/// The matrices of the generated workflow, a row on each line.
fn rows(project: &Path) -> String {
    let text = std::fs::read_to_string(project.join(WORKFLOW)).unwrap();
    let mut out = Vec::new();
    let mut is_matrix = false;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if line.trim() == "matrix:" {
            is_matrix = true;
        } else if is_matrix && indent <= 6 {
            is_matrix = false;
        }
        let shows = ["project: ", "maturin-args", "smoke-command", "test-requires", "expect-sdist", "tags: "];
        let is_job = indent == 2 && line.trim_end().ends_with(':');
        let is_input = shows.iter().any(|name| line.trim_start().starts_with(name));
        let is_item = indent == 12 && !line.contains(": ");
        if is_matrix && indent > 6 || is_job || is_input || is_item {
            out.push(line.trim_end().to_owned());
        }
    }
    out.join("\n")
}

/// Everything that a workflow of others becomes, and what is not translated.
#[test]
fn workflows_of_others_are_translated_and_nothing_is_dropped() {
    let projects = names(&fixtures());
    let with_workflow: Vec<&String> =
        projects.iter().filter(|name| fixtures().join(name).join("workflow.yml").is_file()).collect();
    assert!(with_workflow.len() >= 14, "{with_workflow:?}");
    for name in with_workflow {
        let project = fixture(name);
        let at = project.path();
        let arguments = ["--from-maturin-action", "workflow.yml", "--pin", PIN];
        let output = init(at, &arguments).output().unwrap();
        let shown = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{name}: {shown}");
        lint(at);
        let text = std::fs::read_to_string(at.join(WORKFLOW)).unwrap();
        let notes: Vec<&str> =
            shown.lines().filter_map(|line| line.split_once("not translated: ").map(|(_, note)| note)).collect();
        for note in &notes {
            assert!(text.contains(&format!("# - {note}\n")), "{name}: {note} is not in the workflow");
        }
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("init-{name}"), format!("{}\n\n{}", rows(at), notes.join("\n")));
        });
        // What was written is what a second run writes, without the first file.
        std::fs::remove_file(at.join("workflow.yml")).unwrap();
        succeed(&mut init(at, &["--check"]));
        succeed(&mut init(at, &["--pin", PIN]));
        assert_eq!(std::fs::read_to_string(at.join(WORKFLOW)).unwrap(), text, "{name}");
    }
}

#[test]
fn a_project_without_a_workflow_gets_one() {
    for (name, expected) in [
        ("plain", &["aarch64-unknown-linux-musl", "python: [\"3.10\"", "release-requirements.txt"][..]),
        ("flake", &["actions/setup-nix@", "flake-attr: ${{ matrix.backend == 'nix' && 'terminal-wheel' || '' }}"]),
    ] {
        let project = fixture(name);
        succeed(&mut init(project.path(), &["--pin", PIN]));
        lint(project.path());
        let text = std::fs::read_to_string(project.path().join(WORKFLOW)).unwrap();
        for part in expected {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let requirements = project.path().join(".github/release-requirements.txt");
        assert!(std::fs::read_to_string(requirements).unwrap().contains("maturin=="));
        succeed(&mut init(project.path(), &["--check"]));
    }
    // The platforms of a workflow that is there.
    let project = fixture("generated");
    let workflows = project.path().join(".github/workflows");
    std::fs::create_dir_all(&workflows).unwrap();
    std::fs::rename(project.path().join("workflow.yml"), workflows.join("CI.yml")).unwrap();
    succeed(&mut init(project.path(), &["--pin", PIN]));
    let text = rows(project.path());
    assert!(text.contains("armv7-unknown-linux-gnueabihf") && !text.contains("i686"), "{text}");
}

/// The files of `plain` on an index of the test.
fn index_with(files: &[&str]) -> Warehouse {
    let index = Warehouse::start(Behaviour::default(), None);
    for file in files {
        index.put(file, "plain", b"");
    }
    index
}

/// Of the URL for uploads.
fn simple(index: &Warehouse) -> String {
    index.url().replace("/legacy/", "/simple/")
}

/// The program, which may ask this index; what it says.
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
fn platforms_floors_and_pythons_are_those_of_the_published_wheels() {
    let linux = "manylinux_2_17_x86_64.manylinux2014_x86_64";
    let index = index_with(&[
        "plain-0.9.0-cp312-cp312-manylinux_2_5_i686.whl",
        &format!("plain-1.2.0-cp312-cp312-{linux}.whl"),
        &format!("plain-1.2.0-cp313-cp313-{linux}.whl"),
        &format!("plain-1.2.0-cp314-cp314t-{linux}.whl"),
        "plain-1.2.0-pp311-pypy311_pp73-macosx_11_0_arm64.whl",
        "plain-1.2.0-cp313-cp313-win_amd64.whl",
        "plain-1.2.0.tar.gz",
        "plain-2.0.0rc1-cp313-cp313-musllinux_1_2_x86_64.whl",
    ]);
    let project = fixture("plain");
    let at = project.path();
    let shown = init_asking(at, &simple(&index), &[]);
    assert!(shown.contains("platforms: as in the files of `plain 1.2.0` on http"), "{shown}");
    assert!(shown.contains("warning: not translated: the files of `plain 1.2.0`"), "{shown}");
    insta::assert_snapshot!("init-published", rows(at));
    // From then on the workflow says it, whatever the index has.
    let text = std::fs::read_to_string(at.join(WORKFLOW)).unwrap();
    assert!(text.contains(" for win_amd64: no target of build-wheel\n"), "{text}");
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
fn a_workflow_that_names_no_python_gets_those_that_are_published() {
    let index = Warehouse::start(Behaviour::default(), None);
    for tags in ["cp311-abi3-manylinux_2_28_x86_64", "cp314-cp314t-manylinux_2_28_x86_64"] {
        index.put(&format!("sieve-1.0-{tags}.whl"), "sieve", b"");
    }
    let project = fixture("composite-action");
    let arguments = ["--from-maturin-action", "workflow.yml"];
    init_asking(project.path(), &simple(&index), &arguments);
    let text = rows(project.path());
    assert_eq!(text.matches("python: \"3.14t\"").count(), 1, "{text}");
    assert_eq!(text.matches("python: \"\"").count(), 3, "{text}");
}

#[test]
fn of_several_workflows_the_one_that_releases_counts_first() {
    let project = fixture("several-workflows");
    let at = project.path();
    let shown = init_asking(at, NO_INDEX, &["--offline"]);
    let places = "`.github/workflows/core.yml` and `.github/workflows/extra.yml`";
    assert!(shown.contains(&format!("platforms: as in {places} (`--offline`)\n")), "{shown}");
    insta::assert_snapshot!("init-several-workflows", rows(at));
}

#[test]
fn an_index_that_does_not_help_costs_nothing() {
    let empty = index_with(&[]);
    // It accepts connections and never answers.
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
        assert!(line.contains("platforms: the eight common ones") && line.contains(expected), "{line}");
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
fn platforms_can_be_named() {
    let project = fixture("plain");
    let at = project.path();
    let index = "https://index.invalid/simple/";
    let shown = init_asking(at, index, &["--platforms", "manylinux_2_28_x86_64, aarch64-apple-darwin"]);
    assert!(!shown.contains("index.invalid"), "{shown}");
    let first = rows(at);
    insta::assert_snapshot!("init-platforms", first);
    // Later, what is kept keeps its settings, and a new one gets those of the first.
    let path = at.join(WORKFLOW);
    let text = std::fs::read_to_string(&path).unwrap();
    let edited = text.replace("          smoke: required\n", "          smoke: required\n          smoke-command: |\n            python -c \"import plain\"\n");
    std::fs::write(&path, edited).unwrap();
    init_asking(at, index, &["--platforms", "x86_64-unknown-linux-gnu,musllinux_1_2_aarch64"]);
    insta::assert_snapshot!("init-platforms-changed", rows(at));
    for (found, code) in [("win_amd64", 2), ("x86_64", 2), (",", 2), ("macosx_11_0_universal2", 2)] {
        let error = fail(&mut init(at, &["--platforms", found]), code);
        assert!(error.contains("`--platforms`: expected Rust targets or platform tags"), "{error}");
    }
    let other = fixture("plain");
    let mut command = testkit::tools::scrubbed(env!("CARGO_BIN_EXE_build-wheel"));
    let error = fail(command.current_dir(other.path()).args(["init", "--index", "http://index.example/"]), 2);
    assert!(error.contains("`--index`: expected `pypi`, `testpypi` or the HTTPS URL"), "{error}");
}

#[test]
fn what_the_user_adds_stays() {
    let project = fixture("plain");
    let at = project.path();
    let path = at.join(WORKFLOW);
    succeed(&mut init(at, &["--pin", PIN]));
    let first = std::fs::read_to_string(&path).unwrap();
    let job = "\n  notify:\n    runs-on: ubuntu-latest\n    steps: []\n";
    let mine = format!("# Our release.\n{}{job}", first.replace("timeout-minutes: 15", "timeout-minutes: 99"));
    std::fs::write(&path, &mine).unwrap();

    let output = init(at, &["--check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let diff = String::from_utf8(succeed(&mut init(at, &["--dry-run", "--pin", PIN])).into_bytes()).unwrap();
    assert!(diff.contains("-    timeout-minutes: 99\n+    timeout-minutes: 15\n"), "{diff}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), mine, "neither writes");
    succeed(&mut init(at, &["--pin", PIN]));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("# Our release.\n{first}{job}"));

    // A bot raises pins: nothing that `--check` minds, and a newer one stays.
    let now = std::fs::read_to_string(&path).unwrap();
    let raised = now.lines().map(|line| match line.split_once("actions/checkout@") {
        Some((before, _)) => format!("{before}actions/checkout@{} # v99.0.0\n", "f".repeat(40)),
        None => format!("{line}\n"),
    });
    let raised: String = raised.collect();
    std::fs::write(&path, &raised).unwrap();
    succeed(&mut init(at, &["--check"]));
    succeed(&mut init(at, &["--pin", PIN]));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), raised);
}

#[test]
fn the_newest_release_is_pinned() {
    let project = fixture("plain");
    let server = tempfile::tempdir().unwrap();
    let repository = server.path().join("owner/actions");
    std::fs::create_dir_all(&repository).unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(&repository).args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(arguments);
        succeed(&mut command).trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["commit", "--quiet", "--allow-empty", "-m", "one"]);
    git(&["tag", "v0.9.0"]);
    git(&["commit", "--quiet", "--allow-empty", "-m", "two"]);
    git(&["tag", "-a", "-m", "two", "v0.10.0"]);
    git(&["tag", "src-v1.0.0"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let url = format!("file://{}", server.path().display());
    succeed(init(project.path(), &[]).env("GITHUB_SERVER_URL", &url));
    let text = std::fs::read_to_string(project.path().join(WORKFLOW)).unwrap();
    assert!(text.contains(&format!("owner/actions/actions/publish@{commit} # v0.10.0\n")), "{text}");

    // Without a connection: what is pinned stays; forty zeros and one warning.
    let offline = |project: &Path| {
        let output = init(project, &[]).env("GITHUB_SERVER_URL", "file:///nowhere").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!offline(project.path()).contains("warning"));
    assert_eq!(std::fs::read_to_string(project.path().join(WORKFLOW)).unwrap(), text);
    let other = fixture("plain");
    let shown = offline(other.path());
    assert_eq!(shown.matches("forty zeros").count(), 1, "{shown}");
    let text = std::fs::read_to_string(other.path().join(WORKFLOW)).unwrap();
    assert!(text.contains(&format!("owner/actions/actions/build-wheel@{}", "0".repeat(40))));
}

#[test]
fn bad_input_is_an_error_and_loses_nothing() {
    let project = fixture("plain");
    let at = project.path();
    write(at, &[(WORKFLOW, "name: mine\n"), ("no.yml", "a: ["), ("other.yml", "jobs: {}"), ("empty/x", "")]);
    for (arguments, code, expected) in [
        (&[][..], 1, "exists and was not written by this command"),
        (&["--workflow", "new.yml", "--from-maturin-action", "none.yml"], 3, "`none.yml`"),
        (&["--workflow", "new.yml", "--from-maturin-action", "no.yml"], 2, "`no.yml` is not valid YAML"),
        (&["--workflow", "new.yml", "--from-maturin-action", "other.yml"], 2, "no step with maturin-action or cibuildwheel"),
        (&["--pin", "main"], 2, "`--pin`: expected a commit of 40 hexadecimal digits, found `main`"),
        (&["--repository", "here"], 2, "`--repository`: expected `OWNER/NAME`, found `here`"),
        (&["empty"], 2, "no package to release below `empty`"),
    ] {
        let error = fail(&mut init(at, arguments), code);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert_eq!(std::fs::read_to_string(at.join(WORKFLOW)).unwrap(), "name: mine\n");
    assert!(!at.join("new.yml").exists());
}

#[test]
fn the_help_names_what_the_command_takes() {
    let help = succeed(testkit::tools::scrubbed(env!("CARGO_BIN_EXE_build-wheel")).args(["init", "--help"]));
    insta::assert_snapshot!(help);
}

/// The templates for other projects are what this command writes.
#[test]
fn the_templates_are_its_output() {
    let consumers = testkit::tools::workspace().join("tests/consumers");
    for name in ["bin-wheel", "mixed", "pyo3-abi3", "several-packages", "uv-workspace"] {
        let mut command = testkit::tools::scrubbed(env!("CARGO_BIN_EXE_build-wheel"));
        command.args(["init", "--repository", "OWNER/REPOSITORY", "--check"]).arg(consumers.join(name));
        succeed(&mut command);
        lint(&consumers.join(name));
        let text: Value = serde_saphyr::from_str(&std::fs::read_to_string(consumers.join(name).join(WORKFLOW)).unwrap()).unwrap();
        assert!(text["jobs"]["publish"].is_object());
    }
}
