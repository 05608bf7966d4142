//! Against a fake Warehouse, PyPI's own software.

use std::fs;

use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::Set;

fn start(behaviour: Behaviour) -> Warehouse {
    Warehouse::start(behaviour, None)
}

#[test]
fn uploads_required_packages_first_and_wheels_before_the_sdist() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let result = set.publish(&index.url(), &[]).expect(0);
    result.all("uploaded");
    let order = index.shelf().order.clone();
    assert_eq!(
        order,
        [
            "htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl",
            "htty_core-0.3.0.tar.gz",
            "htty-0.3.0-py3-none-any.whl",
            "htty-0.3.0.tar.gz"
        ]
    );
    let shelf = index.shelf();
    let fields = &shelf.files["htty-0.3.0.tar.gz"].fields;
    let field = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str());
    assert_eq!(field("filetype"), Some("sdist"));
    assert_eq!(field("pyversion"), Some("source"));
    assert_eq!(field("requires_dist"), Some("htty-core==0.3.0"));
    assert_eq!(field("blake2_256_digest").map(str::len), Some(64));
}

#[test]
fn a_second_run_sends_only_missing_files() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let first = set.dist().join("htty_core-0.3.0.tar.gz");
    index.put("htty_core-0.3.0.tar.gz", "htty-core", &fs::read(first).unwrap());
    let result = set.publish(&index.url(), &[]).expect(0);
    assert!(result.states().contains(&("htty_core-0.3.0.tar.gz".into(), "present".into())));
    assert_eq!(index.shelf().uploads.len(), 3);
    set.publish(&index.url(), &[]).expect(0).all("present");
    assert_eq!(index.shelf().uploads.len(), 3);
}

#[test]
fn the_same_bytes_under_another_name_are_a_conflict() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let bytes = fs::read(set.dist().join("htty-0.3.0.tar.gz")).unwrap();
    index.put("htty-0.2.0.tar.gz", "htty", &bytes);
    let result = set.publish(&index.url(), &[]).expect(1);
    assert!(result.text.contains("the index has the same bytes as `htty-0.2.0.tar.gz`"), "{}", result.text);
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn tolerates_a_stale_page() {
    let (set, index) = (Set::htty(), start(Behaviour { cached: 3, ..Behaviour::default() }));
    set.publish(&index.url(), &[]).expect(0).all("uploaded");
    assert!(index.shelf().uploads.iter().all(|(_, status)| *status == 200));
}

#[test]
fn reports_a_file_that_is_accepted_but_not_listed() {
    let (set, index) = (Set::htty(), start(Behaviour { swallow: true, ..Behaviour::default() }));
    let result = set.publish(&index.url(), &["--verify-timeout", "1"]).expect(4);
    assert!(result.text.contains("did not list it within 1 s"), "{}", result.text);
    let (states, core) = (result.states(), "htty_core");
    assert!(states.iter().filter(|(name, _)| name.starts_with(core)).all(|(_, state)| state == "unverified"));
    assert!(states.iter().filter(|(name, _)| !name.starts_with(core)).all(|(_, state)| state == "skipped"));
}

/// Sends all core metadata up to version 2.5 with Warehouse's field names, and each
/// value of a repeated field in its own field.
#[test]
fn the_form_has_all_metadata() {
    let (set, index) = (Set::empty(), start(Behaviour::default()));
    let metadata = "\
Summary: A summary
Author-email: A <a@example.org>
License-Expression: MIT
License-File: LICENSE
License-File: NOTICE
Classifier: Topic :: Terminals
Classifier: Typing :: Typed
Project-URL: Home, https://a.example
Keywords: a,b
Platform: any
Platform: other
Requires-Dist: b>=1
Requires-Dist: c; extra == 'x'
Provides-Extra: x
Requires-Python: >=3.10
Dynamic: Version
Import-Name: full
Import-Name: full.part; private
Import-Namespace: space
Description-Content-Type: text/markdown

# Grüße
";
    set.add_with("2.5", "full-1.0-py2.py3-none-any.whl", metadata, 10);
    set.write_manifest();
    set.publish(&index.url(), &[]).expect(0);
    let shelf = index.shelf();
    let stored = &shelf.files["full-1.0-py2.py3-none-any.whl"];
    let all = |name: &str| {
        let named = stored.fields.iter().filter(|field| field.0 == name);
        named.map(|field| field.1.as_str()).collect::<Vec<_>>()
    };
    for (name, values) in [
        (":action", &["file_upload"][..]),
        ("protocol_version", &["1"]),
        ("filetype", &["bdist_wheel"]),
        ("pyversion", &["py2.py3"]),
        ("metadata_version", &["2.5"]),
        ("name", &["full"]),
        ("version", &["1.0"]),
        ("summary", &["A summary"]),
        ("description", &["# Grüße\n\n"]),
        ("description_content_type", &["text/markdown"]),
        ("author_email", &["A <a@example.org>"]),
        ("license_expression", &["MIT"]),
        ("license_file", &["LICENSE", "NOTICE"]),
        ("classifiers", &["Topic :: Terminals", "Typing :: Typed"]),
        ("project_urls", &["Home, https://a.example"]),
        ("keywords", &["a,b"]),
        ("platform", &["any", "other"]),
        ("requires_dist", &["b>=1", "c; extra == 'x'"]),
        ("provides_extra", &["x"]),
        ("requires_python", &[">=3.10"]),
        ("dynamic", &["Version"]),
        ("import_name", &["full", "full.part; private"]),
        ("import_namespace", &["space"]),
        ("md5_digest", &[]),
        ("attestations", &[]),
    ] {
        assert_eq!(all(name), values, "{name}");
    }
    assert_eq!(all("sha256_digest"), [&stored.sha256]);
}

/// Each permanent answer ends the run at once, with the index's message.
#[test]
fn does_not_retry_a_permanent_answer() {
    for (status, reason) in [
        (400, "Invalid value for classifiers. Error: Classifier 'x' is not a valid classifier."),
        (403, "Project is not yours"),
        (404, "Gone"),
        (413, "File too large. Limit for project is 100 MB."),
        (422, "Unprocessable"),
    ] {
        let rejects = Some(("htty-0.3.0-py3-none-any.whl", status, reason));
        let (set, index) = (Set::htty(), start(Behaviour { rejects, ..Behaviour::default() }));
        let result = set.publish(&index.url(), &[]).expect(4);
        assert!(result.text.contains(&format!("{status} {reason}")), "{}", result.text);
        assert!(result.text.contains("hint: "), "{}", result.text);
        assert_eq!(result.report["result"], "partial");
        let shelf = index.shelf();
        assert_eq!(shelf.uploads.iter().filter(|upload| upload.1 == status).count(), 1);
        assert_eq!(shelf.files.len(), 2, "the source of the package waits for its wheel");
        let skipped = &result.report["files"][3];
        assert_eq!(skipped["state"], "skipped");
        assert!(skipped["message"].as_str().unwrap().contains("py3-none-any.whl failed first"), "{skipped}");
    }
}

#[test]
fn outputs_and_summary_list_each_file() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let (output, summary) = (set.dir.path().join("output"), set.dir.path().join("summary"));
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("INPUT_PASSWORD", TOKEN);
    command.env("GITHUB_ACTIONS", "true");
    command.env("GITHUB_OUTPUT", &output).env("GITHUB_STEP_SUMMARY", &summary);
    set.run(command).expect(0);
    let (output, summary) = (fs::read_to_string(output).unwrap(), fs::read_to_string(summary).unwrap());
    for name in ["result", "uploaded", "files", "requirements", "report-path", "release-url"] {
        assert!(output.contains(&format!("{name}<<end-")), "{output}");
    }
    for (name, stored) in &index.shelf().files {
        assert!(output.contains(&format!("/files/{name}\"")), "its URL: {output}");
        assert!(output.contains(&format!("--hash=sha256:{}", stored.sha256)), "{output}");
        assert!(summary.contains(name) && summary.contains(&stored.sha256), "{summary}");
    }
    assert!(output.contains("htty-core==0.3.0 --hash="), "{output}");
}

#[test]
fn does_not_follow_a_redirect() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let result = set.publish(
        index.url().trim_end_matches('/'),
        &["--simple-url", &index.url().replace("legacy", "simple")],
    );
    let result = result.expect(1);
    assert!(result.text.contains("308") && result.text.contains("a redirect to"), "{}", result.text);
    assert!(result.text.contains("set `index` to it"), "{}", result.text);
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn a_wrong_token_publishes_nothing() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("INPUT_PASSWORD", "pypi-wrong");
    let result = set.run(command).expect(1);
    assert!(
        result.text.contains("nothing was published on") && result.text.contains("403"),
        "{}",
        result.text
    );
    assert_eq!(result.report["result"], "failed");
}

#[test]
fn creates_a_new_release_with_one_file() {
    for _ in 0..50 {
        let (set, index) = (Set::empty(), start(Behaviour::default()));
        for number in 0..8 {
            set.add(&format!("many-1.0-{number}-py3-none-any.whl"), "", 2000);
        }
        set.write_manifest();
        set.publish(&index.url(), &["--concurrency", "4"]).expect(0).all("uploaded");
        let uploads = index.shelf().uploads.clone();
        assert!(uploads.iter().all(|(_, status)| *status == 200), "{uploads:?}");
        assert_eq!(uploads.len(), 8);
    }
}
