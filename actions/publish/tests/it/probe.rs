//! Errors found before the first byte is sent.

use std::fs;

use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::Set;

fn start(behaviour: Behaviour) -> Warehouse {
    Warehouse::start(behaviour, None)
}

/// An index that has the set's `htty_core-0.3.0.tar.gz`.
fn with_one(set: &Set, behaviour: Behaviour) -> Warehouse {
    let index = start(behaviour);
    let bytes = fs::read(set.dist().join("htty_core-0.3.0.tar.gz")).unwrap();
    index.put("htty_core-0.3.0.tar.gz", "htty-core", &bytes);
    index
}

#[test]
fn reports_an_old_release_before_the_first_byte() {
    let set = Set::htty();
    let index = with_one(&set, Behaviour::default());
    let age = |days: u64| {
        let mut shelf = index.shelf();
        let stored = shelf.files.get_mut("htty_core-0.3.0.tar.gz").unwrap();
        stored.uploaded -= std::time::Duration::from_secs(days * 24 * 3600);
    };
    age(13);
    set.publish(&index.url(), &["--dry-run"]).expect(0);
    age(2);
    for args in [&["--dry-run"][..], &[]] {
        let result = set.publish(&index.url(), args).expect(1);
        let wheel = "htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl: the release is from";
        assert!(
            result.text.contains(wheel) && result.text.contains("no new files after 14 days"),
            "{}",
            result.text
        );
        assert!(
            result.text.contains("nothing was sent")
                && result.text.contains("publish these as a new version"),
            "{}",
            result.text
        );
        assert!(!result.text.contains("htty-0.3.0.tar.gz:"), "a new release is open");
    }
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn a_complete_old_release_is_not_an_error() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    set.publish(&index.url(), &[]).expect(0);
    for stored in index.shelf().files.values_mut() {
        stored.uploaded -= std::time::Duration::from_secs(100 * 24 * 3600);
    }
    set.publish(&index.url(), &[]).expect(0).all("present");
}

#[test]
fn rejects_files_for_an_archived_project() {
    let set = Set::htty();
    let index = with_one(&set, Behaviour { status: Some("archived"), ..Behaviour::default() });
    let result = set.publish(&index.url(), &[]).expect(1);
    assert!(result.text.contains("the project is archived"), "{}", result.text);
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn reports_conflicts_file_by_file() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    index.put("htty-0.3.0.tar.gz", "htty", b"other bytes");
    let result = set.publish(&index.url(), &[]).expect(1);
    assert!(result.text.contains("nothing was sent: 1 file cannot be published"), "{}", result.text);
    assert_eq!(result.report["result"], "failed");
    for file in result.report["files"].as_array().unwrap() {
        let conflict = file["filename"] == "htty-0.3.0.tar.gz";
        assert_eq!(file["state"], if conflict { "conflict" } else { "skipped" });
        let message = file["message"].as_str().unwrap();
        assert!(
            message.contains(if conflict { "the index has it with the SHA-256" } else { "not sent" }),
            "{message}"
        );
    }
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn reports_yanked_files() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    set.publish(&index.url(), &[]).expect(0);
    index.shelf().files.get_mut("htty-0.3.0.tar.gz").unwrap().yanked = true;
    let result = set.publish(&index.url(), &[]).expect(0);
    assert!(
        result.text.contains("already has `htty-0.3.0.tar.gz`, and lists it as yanked"),
        "{}",
        result.text
    );
}

#[test]
fn works_with_an_html_only_index() {
    for hashes in [true, false] {
        let (set, index) = (Set::htty(), start(Behaviour { html: Some(hashes), ..Behaviour::default() }));
        set.publish(&index.url(), &[]).expect(0).all("uploaded");
        set.publish(&index.url(), &[]).expect(0).all("present");
        set.add("htty-0.3.0.tar.gz", "Requires-Dist: htty-core==0.3.0\nSummary: other\n", 3000);
        set.write_manifest();
        let result = set.publish(&index.url(), &[]).expect(1);
        assert!(
            result.text.contains("htty-0.3.0.tar.gz: the index has it with"),
            "hashes {hashes}: {}",
            result.text
        );
        assert_eq!(index.shelf().uploads.len(), 4);
    }
}

#[test]
fn rejects_a_release_that_lacks_a_file_of_the_manifest() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    fs::remove_file(set.dist().join("htty-0.3.0.tar.gz")).unwrap();
    fs::write(set.dist().join("stray.zip"), b"PK").unwrap();
    let result = set.publish(&index.url(), &[]).expect(1);
    assert!(
        result.text.contains("htty-0.3.0.tar.gz: it is in the manifest, but missing here"),
        "{}",
        result.text
    );
    assert!(
        result.text.contains("not distributions: `") && result.text.contains("stray.zip"),
        "{}",
        result.text
    );
    // A whole package may be published alone.
    fs::remove_file(set.dist().join("htty-0.3.0-py3-none-any.whl")).unwrap();
    let result = set.publish(&index.url(), &[]).expect(0);
    assert!(result.text.contains("packages that are not published now: htty-0.3.0"), "{}", result.text);
    assert_eq!(index.shelf().files.len(), 2);
}

#[test]
fn an_unwritable_report_stops_the_run() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    fs::create_dir(set.report_path()).unwrap();
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("INPUT_PASSWORD", TOKEN);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("cannot write `") && text.contains("publish-report.json"), "{text}");
    assert!(index.shelf().uploads.is_empty());
}

/// PEP 792, and PEP 592 for a release: each has its own hint, none only "raise the
/// version".
#[test]
fn a_closed_project_or_release_has_its_own_hint() {
    for (status, hint) in [
        ("archived", "un-archive the project"),
        ("quarantined", "administrators have quarantined the project"),
    ] {
        let set = Set::htty();
        let index = with_one(&set, Behaviour { status: Some(status), ..Behaviour::default() });
        for args in [&["--dry-run"][..], &[]] {
            let result = set.publish(&index.url(), args).expect(1);
            assert!(result.text.contains(&format!("the project is {status}")), "{}", result.text);
            assert!(
                result.text.contains(hint) && result.text.contains("nothing was sent"),
                "{}",
                result.text
            );
        }
        assert!(index.shelf().uploads.is_empty());
    }
    for status in ["active", "deprecated"] {
        let set = Set::htty();
        let index = with_one(&set, Behaviour { status: Some(status), ..Behaviour::default() });
        set.publish(&index.url(), &[]).expect(0);
    }
    let set = Set::htty();
    let index = with_one(&set, Behaviour::default());
    index.shelf().files.get_mut("htty_core-0.3.0.tar.gz").unwrap().yanked = true;
    let result = set.publish(&index.url(), &[]).expect(1);
    assert!(result.text.contains("the release 0.3.0 is yanked"), "{}", result.text);
    assert!(result.text.contains("un-yank the release on the index first"), "{}", result.text);
    assert!(index.shelf().uploads.is_empty());
}

/// PyPI's default limit, unless the project has a larger file or the input sets
/// another one.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn applies_the_projects_size_limit() {
    let set = Set::empty();
    set.add("big-1.0-py3-none-any.whl", "", 101 << 20);
    set.write_manifest();
    let index = start(Behaviour::default());
    let result = set.publish(&index.url(), &["--dry-run"]).expect(0);
    assert!(!result.text.contains("the limit is"), "another index has its own limit: {}", result.text);
    let result = set.publish(&index.url(), &["--dry-run", "--max-file-size", "100"]).expect(1);
    assert!(result.text.contains("it has 102 MiB, the limit is 100 MiB"), "{}", result.text);
    assert!(
        result.text.contains("`max-file-size`") && result.text.contains("higher limit"),
        "{}",
        result.text
    );
    set.publish(&index.url(), &["--max-file-size", "200"]).expect(0).all("uploaded");
}

/// The summary has the reason and the report exists, however early the run ended.
#[test]
fn the_summary_has_the_reason_of_a_failure() {
    for (token, args, words) in [
        ("wrong", &[][..], "Invalid or non-existent authentication information"),
        (TOKEN, &["--max-file-size", "1", "--package-order", "htty"], "does not name `htty-core`"),
        (TOKEN, &["--simple-url", "http://127.0.0.1:9/simple/"], "cannot list `htty`"),
    ] {
        let (set, index) = (Set::htty(), start(Behaviour::default()));
        let summary = set.dir.path().join("summary");
        let mut command = set.command();
        command.args(["--index", &index.url(), "--allow-insecure-loopback", "--retry-for", "0"]).args(args);
        command.env("INPUT_PASSWORD", token).env("GITHUB_ACTIONS", "true");
        command.env("GITHUB_STEP_SUMMARY", &summary).env("GITHUB_OUTPUT", set.dir.path().join("output"));
        let result = set.run(command);
        assert_ne!(result.code, 0, "{}", result.text);
        let summary = fs::read_to_string(summary).unwrap();
        assert!(summary.contains(words) && summary.contains("hint: "), "{summary}");
        assert_eq!(result.report["result"], "failed");
    }
}
