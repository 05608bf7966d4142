//! `build-wheel init`: the workflows of various projects are linted and kept up to
//! date, and the templates for other projects are its output.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{fail, names, succeed, write};

pub(crate) const PIN: &str = "0123456789abcdef0123456789abcdef01234567";
/// A port on which nothing listens.
pub(crate) const NO_INDEX: &str = "http://127.0.0.1:9/simple/";
pub(crate) const WORKFLOW: &str = ".github/workflows/release.yml";

/// Runs the program in a project's directory.
pub(crate) fn init(project: &Path, arguments: &[&str]) -> Command {
    let mut command = testkit::tools::scrubbed(env!("CARGO_BIN_EXE_build-wheel"));
    command.current_dir(project).arg("init").args(arguments);
    if !arguments.contains(&"--repository") {
        command.args(["--repository", "owner/actions"]);
    }
    // The names are taken on PyPI.
    command.args(["--index", NO_INDEX]);
    command
}

/// A copy of a project in `tests/fixtures/init`.
pub(crate) fn fixture(name: &str) -> tempfile::TempDir {
    let from = fixtures().join(name);
    let dir = tempfile::tempdir().unwrap();
    for entry in walk(&from) {
        let to = dir.path().join(entry.strip_prefix(&from).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&entry, to).unwrap();
    }
    dir
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/init")
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

/// Asserts that actionlint and pedantic zizmor find nothing.
pub(crate) fn lint(project: &Path) {
    let workflow = project.join(WORKFLOW);
    succeed(testkit::tools::command("actionlint").arg("-shellcheck=").arg(&workflow));
    let mut zizmor = testkit::tools::command("zizmor");
    zizmor.args(["--persona", "pedantic", "--offline", "--no-progress"]).arg(&workflow);
    succeed(zizmor.env_remove("GITHUB_ACTIONS"));
}

/// The matrices of the generated workflow, one row per line.
pub(crate) fn rows(project: &Path) -> String {
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

/// The complete translation of other workflows, with what is not translated.
#[test]
fn translates_other_workflows_and_drops_nothing() {
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
        // A second run, without the first file, writes the same.
        std::fs::remove_file(at.join("workflow.yml")).unwrap();
        succeed(&mut init(at, &["--check"]));
        succeed(&mut init(at, &["--pin", PIN]));
        assert_eq!(std::fs::read_to_string(at.join(WORKFLOW)).unwrap(), text, "{name}");
    }
}

#[test]
fn a_project_without_a_workflow_gets_one() {
    for (name, expected) in [
        ("plain", &["aarch64-unknown-linux-musl", "interpreters: |\n            3.10\n            3.11\n", "release-requirements.txt"][..]),
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
    // The platforms of an existing workflow.
    let project = fixture("generated");
    let workflows = project.path().join(".github/workflows");
    std::fs::create_dir_all(&workflows).unwrap();
    std::fs::rename(project.path().join("workflow.yml"), workflows.join("CI.yml")).unwrap();
    succeed(&mut init(project.path(), &["--pin", PIN]));
    let text = rows(project.path());
    assert!(text.contains("armv7-unknown-linux-gnueabihf") && !text.contains("i686"), "{text}");
}

#[test]
fn keeps_what_the_user_adds() {
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

    // A bot raises pins: `--check` ignores that, and newer pins stay.
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
fn pins_the_newest_release() {
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

    // Without a connection, pins stay; new ones are forty zeros, with one warning.
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

/// Line endings, a byte order mark, the end of the file and a link are kept.
#[test]
fn keeps_the_text_format_of_a_file() {
    let project = fixture("plain");
    let at = project.path();
    let path = at.join(WORKFLOW);
    succeed(&mut init(at, &["--pin", PIN]));
    let text = std::fs::read_to_string(&path).unwrap();
    let crlf = text.replace('\n', "\r\n");
    for form in [crlf.clone(), format!("\u{feff}{text}"), text.trim_end().to_owned(), format!("{text}\n")] {
        std::fs::write(&path, &form).unwrap();
        succeed(&mut init(at, &["--check"]));
        succeed(&mut init(at, &["--pin", PIN]));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), form);
    }
    std::fs::write(&path, crlf.replace("timeout-minutes: 15", "timeout-minutes: 99")).unwrap();
    succeed(&mut init(at, &["--pin", PIN]));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), crlf);

    let elsewhere = at.join("shared.yml");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    succeed(&mut init(at, &["--platforms", "x86_64-apple-darwin", "--pin", PIN]));
    assert!(path.is_symlink());
    assert!(std::fs::read_to_string(&elsewhere).unwrap().contains("x86_64-apple-darwin"));
    std::fs::remove_file(&elsewhere).unwrap();
    succeed(&mut init(at, &["--pin", PIN]));
    assert!(path.is_symlink() && elsewhere.is_file());
    std::fs::remove_file(&path).unwrap();

    let twice = format!("{text}{text}");
    std::fs::write(&path, &twice).unwrap();
    assert!(fail(&mut init(at, &[]), 1).contains("more than once"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), twice);
}

#[test]
fn jobs_have_unique_names() {
    let project = tempfile::tempdir().unwrap();
    let at = project.path();
    let plain = |name: &str| std::fs::read_to_string(fixtures().join("plain").join(name)).unwrap();
    for directory in ["verify", "wheels", "a/x", "b/x", "3d"] {
        let name = format!("name = \"p-{}\"", directory.replace('/', "-"));
        let pyproject = plain("pyproject.toml").replace("name = \"plain\"", &name);
        let (manifest, crate_) = (format!("{directory}/pyproject.toml"), format!("{directory}/Cargo.toml"));
        write(at, &[(&manifest, &pyproject), (&crate_, &plain("Cargo.toml"))]);
    }
    succeed(&mut init(at, &["--pin", PIN]));
    lint(at);
    succeed(&mut init(at, &["--check"]));
}

/// The user's own job, which builds what this command cannot.
#[test]
fn a_job_below_the_block_joins_the_set() {
    let project = fixture("plain");
    let at = project.path();
    let path = at.join(WORKFLOW);
    succeed(&mut init(at, &["--pin", PIN]));
    let text = std::fs::read_to_string(&path).unwrap();
    let own = "  windows:
    name: Wheel for Windows
    runs-on: windows-latest
    timeout-minutes: 60
    permissions:
      contents: read # for the checkout
    steps:
      - uses: actions/upload-artifact@0123456789abcdef0123456789abcdef01234567 # v1.0.0
        with:
          name: dist-plain-win_amd64
          path: dist
  announce:
    name: Announce
    needs: publish
    runs-on: ubuntu-latest
    timeout-minutes: 60
    permissions: {}
    steps:
      - uses: actions/upload-artifact@0123456789abcdef0123456789abcdef01234567 # v1.0.0
        with:
          name: dist-notes
          path: notes
  lint:
    name: Lint
    runs-on: ubuntu-latest
    timeout-minutes: 60
    permissions: {}
    steps:
      - run: make
";
    std::fs::write(&path, format!("{text}{own}")).unwrap();
    fail(&mut init(at, &["--check"]), 1);
    succeed(&mut init(at, &["--pin", PIN]));
    lint(at);
    let new = std::fs::read_to_string(&path).unwrap();
    assert_eq!(new, format!("{text}{own}").replace("needs: [wheels, sdist]", "needs: [wheels, sdist, windows]"));
    succeed(&mut init(at, &["--check"]));
    // Without the job, nothing waits for it.
    std::fs::write(&path, new.replace(own, "")).unwrap();
    succeed(&mut init(at, &["--pin", PIN]));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

/// A pattern that matches no tag of the project would never trigger a release.
#[test]
fn follows_the_tags_of_the_repository() {
    let versions: Vec<String> = (0..12).map(|minor| format!("v0.{minor}.0")).collect();
    let with_old_name: Vec<&str> =
        std::iter::once("python-v0.0.1").chain(versions.iter().map(String::as_str)).collect();
    for (tags, expected) in [
        (&[][..], "[\"v[0-9]*\"]"),
        (&["v0.1.0", "0.2.0", "rust-v0.3.0"], "[\"[0-9]*\"]"),
        (&["py-0.1.0", "v0.2.0"], "[\"py-[0-9]*\"]"),
        (&["Plain-v0.1.0", "py-0.3.0"], "[\"Plain-v[0-9]*\"]"),
        (&["rust-v0.1.0", "nightly"], "[\"v[0-9]*\"]"),
        (&with_old_name, "[\"v[0-9]*\"]"),
    ] {
        let project = fixture("plain");
        let at = project.path();
        let git = |arguments: &[&str], day: usize| {
            let mut command = Command::new("git");
            command.current_dir(at).args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(arguments);
            succeed(command.env("GIT_COMMITTER_DATE", format!("2026-01-{day:02}T00:00:00Z")));
        };
        git(&["init", "--quiet"], 1);
        git(&["commit", "--quiet", "--allow-empty", "-m", "first"], 1);
        for (day, tag) in tags.iter().enumerate() {
            git(&["commit", "--quiet", "--allow-empty", "-m", tag], day + 1);
            git(&["tag", tag], day + 1);
        }
        succeed(&mut init(at, &["--pin", PIN]));
        lint(at);
        let text = std::fs::read_to_string(at.join(WORKFLOW)).unwrap();
        assert!(text.contains(&format!("    tags: {expected}\n")), "{tags:?}: {text}");
        // From then on, the workflow has the pattern.
        git(&["tag", "v9.0.0"], 20);
        succeed(&mut init(at, &["--check"]));
    }
}

/// A package template is not a package.
#[test]
fn skips_an_invalid_package_with_a_warning() {
    let project = fixture("bindings-directory");
    let at = project.path();
    let maturin = "[build-system]\nbuild-backend = 'maturin'\nrequires = []\n[project]\n";
    write(at, &[
        ("a/pyproject.toml", &format!("{maturin}name = 'p-{{{{ suffix }}}}'\n")),
        ("a/Cargo.toml", "[package]\nname = 'a'\n"),
        ("b/pyproject.toml", &format!("{maturin}name = 'b'\n")),
        ("c/pyproject.toml", "{% if x %}\n"),
    ]);
    let output = init(at, &["--pin", PIN]).output().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{shown}");
    for expected in [
        "`./a/pyproject.toml`: expected a project name",
        "`./b/Cargo.toml` does not exist",
        "`./c/pyproject.toml` is not valid TOML",
    ] {
        assert!(shown.contains(&format!("warning: skipped an invalid package: {expected}")), "{shown}");
    }
    lint(at);
    succeed(&mut init(at, &["--check"]));
}

#[test]
fn warns_about_a_directory_below_the_repository_root() {
    let project = fixture("bindings-directory");
    let at = project.path();
    write(at, &[(".git/HEAD", "ref: refs/heads/main\n")]);
    let output = init(at, &["bindings/python", "--pin", PIN]).output().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains("warning: `bindings/python` is not the root of its repository"), "{shown}");
    let output = init(at, &["--pin", PIN]).output().unwrap();
    assert!(!String::from_utf8(output.stderr).unwrap().contains("warning"));
}

#[test]
fn invalid_input_is_an_error_and_loses_nothing() {
    let project = fixture("plain");
    let at = project.path();
    write(at, &[(WORKFLOW, "name: mine\n"), ("no.yml", "a: ["), ("other.yml", "jobs: {}"), ("empty/x", ""), ("crateless/pyproject.toml", "[build-system]\nbuild-backend = 'maturin'"), ("odd/Cargo.toml", "[package]"), ("virtual/Cargo.toml", "[workspace]"), ("virtual/pyproject.toml", "[build-system]\nbuild-backend = 'maturin'"), ("odd/pyproject.toml", "[build-system]\nbuild-backend = 'maturin'\n[project]\nname = \"a\\n- b\"")]);
    for (arguments, code, expected) in [
        (&[][..], 1, "exists and was not written by this command"),
        (&["--workflow", "new.yml", "--from-maturin-action", "none.yml"], 3, "`none.yml`"),
        (&["--workflow", "new.yml", "--from-maturin-action", "no.yml"], 2, "`no.yml` is not valid YAML"),
        (&["--workflow", "new.yml", "--from-maturin-action", "other.yml"], 2, "no step with maturin-action, `maturin build` or cibuildwheel"),
        (&["--pin", "main"], 2, "`--pin`: expected a commit of 40 hexadecimal digits, found `main`"),
        (&["--repository", "here"], 2, "`--repository`: expected `OWNER/NAME`, found `here`"),
        (&["empty"], 2, "no package to release below `empty`"),
        (&["crateless"], 2, "`crateless/Cargo.toml` does not exist"),
        (&["--workflow", "../new.yml"], 2, "`--workflow`: expected a path below PROJECT"),
        (&["--workflow", "/new.yml"], 2, "`--workflow`: expected a path below PROJECT"),
        (&["virtual"], 2, "`virtual/Cargo.toml` has no `[package]`"),
        (&["odd"], 2, "`odd/pyproject.toml`: expected a project name"),
    ] {
        let error = fail(&mut init(at, arguments), code);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert_eq!(std::fs::read_to_string(at.join(WORKFLOW)).unwrap(), "name: mine\n");
    assert!(!at.join("new.yml").exists());
}

#[test]
fn the_help_lists_the_options() {
    let help = succeed(testkit::tools::scrubbed(env!("CARGO_BIN_EXE_build-wheel")).args(["init", "--help"]));
    insta::assert_snapshot!(help);
}

/// The templates for other projects are the output of this command.
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
