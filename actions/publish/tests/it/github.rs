//! The GitHub Release.

use testkit::github::{GitHub, TOKEN};
use testkit::warehouse::{Behaviour, TOKEN as INDEX_TOKEN, Warehouse};

use crate::support::{RunOutput, Set};

fn release(set: &Set, github: &GitHub, args: &[&str]) -> RunOutput {
    let mut command = set.command();
    command.args(["--allow-insecure-loopback"]).args(args);
    if !args.contains(&"--github-release") {
        command.args(["--github-release", "only"]);
    }
    command.env("INPUT_RETRY_FOR", "6").env("INPUT_GITHUB_TOKEN", TOKEN).envs(github.env());
    set.run(command)
}

#[test]
fn drafts_fills_and_publishes_a_release_once() {
    let (set, github) = (Set::htty(), GitHub::start());
    let changelog = set.dir.path().join("CHANGELOG.md");
    std::fs::write(&changelog, "# Changes\n\n## 0.3.0\n\n- new\n\n## 0.2.30\n\n- old\n").unwrap();
    let args = ["--changelog", changelog.to_str().unwrap()];
    let result = release(&set, &github, &args).expect(0);
    assert!(!result.text.contains(TOKEN));
    {
        let repository = github.repository();
        let [release] = repository.releases.as_slice() else { panic!("{:?}", repository.releases) };
        assert!(!release.draft && !release.prerelease);
        assert_eq!((release.tag.as_str(), release.body.as_str()), ("v0.3.0", "- new"));
        let mut names: Vec<&str> = release.assets.keys().map(String::as_str).collect();
        names.retain(|name| !name.contains("htty"));
        assert_eq!(names, ["SHA256SUMS", "dist-manifest.json"]);
        for file in set.files() {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert_eq!(release.assets[name].1, std::fs::read(&file).unwrap(), "{name}");
        }
        assert_eq!(repository.sent, 6);
    }
    release(&set, &github, &args).expect(0);
    let repository = github.repository();
    assert_eq!((repository.sent, repository.releases.len()), (6, 1), "a second run sends nothing");
}

#[test]
fn completes_an_interrupted_draft() {
    let (set, github) = (Set::htty(), GitHub::start());
    release(&set, &github, &[]).expect(0);
    {
        // As left by a killed run: a draft, one asset cut off, one missing.
        let mut repository = github.repository();
        let release = &mut repository.releases[0];
        release.draft = true;
        release.assets.get_mut("htty-0.3.0.tar.gz").unwrap().1.truncate(10);
        release.starters.insert("htty_core-0.3.0.tar.gz".to_owned());
        release.assets.remove("SHA256SUMS");
        repository.sent = 0;
        repository.broken = 2;
    }
    release(&set, &github, &[]).expect(0);
    let repository = github.repository();
    assert_eq!((repository.releases.len(), repository.sent), (1, 3));
    let release = &repository.releases[0];
    assert!(!release.draft && release.starters.is_empty());
    assert_eq!(
        release.assets["htty-0.3.0.tar.gz"].1,
        std::fs::read(set.dist().join("htty-0.3.0.tar.gz")).unwrap()
    );
}

#[test]
fn compares_a_published_release_and_never_changes_it() {
    let (set, github) = (Set::htty(), GitHub::start());
    release(&set, &github, &[]).expect(0);
    github.repository().releases[0].immutable = true;
    release(&set, &github, &[]).expect(0);
    set.add("htty-0.3.0.tar.gz", "Requires-Dist: htty-core==0.3.0\nSummary: other\n", 3000);
    set.write_manifest();
    let before = github.repository().releases.clone();
    let result = release(&set, &github, &[]);
    assert!(result.code == 1 && result.text.contains("already"), "{}: {}", result.code, result.text);
    assert_eq!(format!("{:?}", github.repository().releases), format!("{before:?}"));
}

#[test]
fn releases_only_after_the_index_has_everything() {
    let (set, github) = (Set::htty(), GitHub::start());
    let index = Warehouse::start(Behaviour::default(), None);
    let url = index.url();
    let run = |token: &str| {
        let mut command = set.command();
        command.args(["--allow-insecure-loopback", "--index", &url, "--github-release", "after"]);
        command.env("INPUT_GITHUB_TOKEN", TOKEN).env("INPUT_PASSWORD", token).envs(github.env());
        command.env("INPUT_RETRY_FOR", "6");
        set.run(command)
    };
    run("wrong").expect(1);
    assert!(github.repository().releases.is_empty());
    github.repository().broken = 1000;
    let result = run(INDEX_TOKEN).expect(4);
    assert!(result.text.contains("GitHub Release is not complete"), "{}", result.text);
    github.repository().broken = 0;
    let result = run(INDEX_TOKEN).expect(0);
    assert_eq!(result.report["result"], "unchanged");
    assert!(result.report["release"].as_str().unwrap().ends_with("/octo/htty/releases/tag/v0.3.0"));
}

/// A conflict that would fail after the uploads fails before them.
#[test]
fn a_conflicting_release_stops_the_run_before_the_first_byte() {
    let (set, github) = (Set::htty(), GitHub::start());
    release(&set, &github, &[]).expect(0);
    set.add("htty-0.3.0.tar.gz", "Requires-Dist: htty-core==0.3.0\nSummary: other\n", 3000);
    set.write_manifest();
    let index = Warehouse::start(Behaviour::default(), None);
    for (dry, code) in [("true", 1), ("false", 1)] {
        let mut command = set.command();
        command.args(["--allow-insecure-loopback", "--index", &index.url(), "--github-release", "after"]);
        command.env("INPUT_GITHUB_TOKEN", TOKEN).env("INPUT_PASSWORD", INDEX_TOKEN).envs(github.env());
        let result = set.run({
            command.env("INPUT_DRY_RUN", dry);
            command
        });
        let result = result.expect(code);
        assert!(
            result.text.contains("already has another") && result.text.contains("nothing was sent"),
            "{}",
            result.text
        );
    }
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn missing_release_inputs_stop_the_run_before_the_first_byte() {
    let (set, github) = (Set::htty(), GitHub::start());
    let index = Warehouse::start(Behaviour::default(), None);
    let changelog = set.dir.path().join("CHANGELOG.md");
    std::fs::write(&changelog, "# Changes\n\n## 0.2.30\n\n- old\n").unwrap();
    let mut command = set.command();
    command.args(["--allow-insecure-loopback", "--index", &index.url(), "--github-release", "after"]);
    command.args(["--changelog", changelog.to_str().unwrap()]);
    command.env("INPUT_GITHUB_TOKEN", TOKEN).env("INPUT_PASSWORD", INDEX_TOKEN).envs(github.env());
    let result = set.run(command).expect(2);
    assert!(result.text.contains("no heading that names 0.3.0"), "{}", result.text);
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn waits_for_a_rate_limit() {
    let (set, github) = (Set::htty(), GitHub::start());
    github.repository().limited = 1;
    let result = release(&set, &github, &["--tag", "v9.9"]).expect(0);
    assert!(result.text.contains("secondary rate limit; retrying in"), "{}", result.text);
    assert!(result.text.contains("the tag `v9.9` does not name a version"), "{}", result.text);
}

#[test]
fn a_tag_may_have_a_prefix() {
    let set = Set::htty();
    let warning = "does not name a version in this release";
    for tag in ["v0.3.0", "htty-v0.3.0", "htty@0.3.0", "htty/v0.3.0", "v0.3"] {
        let github = GitHub::start();
        let result = release(&set, &github, &["--tag", tag]).expect(0);
        assert!(!result.text.contains(warning), "{tag}: {}", result.text);
        assert_eq!(github.repository().releases[0].tag, tag);
    }
    let github = GitHub::start();
    // It contains the version but is not the version.
    let result = release(&set, &github, &["--tag", "v10.3.0"]).expect(0);
    assert!(result.text.contains(warning), "{}", result.text);
    let args = ["--tag", "v0.3.0", "--tag-prefix", "htty-v"];
    let result = release(&set, &GitHub::start(), &args).expect(2);
    assert!(
        result.text.contains("the tag `v0.3.0` does not begin with the prefix `htty-v`"),
        "{}",
        result.text
    );
}

#[test]
fn reports_a_release_that_fails() {
    let (set, github) = (Set::htty(), GitHub::start());
    let mut command = set.command();
    command.args(["--allow-insecure-loopback", "--github-release", "only"]);
    command.env("INPUT_GITHUB_TOKEN", "ghs_wrong").envs(github.env());
    let result = set.run(command).expect(1);
    assert!(
        result.text.contains("answered 401") && result.text.contains("check `github-token`"),
        "{}",
        result.text
    );
    assert_eq!(result.report["result"], "failed");
    assert!(!result.text.contains("ghs_wrong"), "{}", result.text);
}

#[test]
fn a_dry_run_lists_the_assets() {
    let (set, github) = (Set::htty(), GitHub::start());
    let result = release(&set, &github, &["--dry-run"]).expect(0);
    assert!(result.text.contains("SHA256SUMS"), "{}", result.text);
    assert!(github.repository().releases.is_empty());
}

/// GitHub Enterprise Server, and assets older than digests.
#[test]
fn downloads_assets_without_a_digest_without_the_token() {
    let (set, github) = (Set::htty(), GitHub::start());
    github.repository().no_digest = true;
    release(&set, &github, &[]).expect(0);
    release(&set, &github, &[]).expect(0);
    assert_eq!(github.repository().sent, 6, "the bytes are the same");
    let same_size = |bytes: &mut Vec<u8>| bytes[0] ^= 1;
    same_size(&mut github.repository().releases[0].assets.get_mut("htty-0.3.0.tar.gz").unwrap().1);
    let result = release(&set, &github, &[]).expect(1);
    assert!(result.text.contains("already has another `htty-0.3.0.tar.gz`"), "{}", result.text);
}

#[test]
fn uploads_a_cut_off_asset_of_a_published_release_again() {
    let (set, github) = (Set::htty(), GitHub::start());
    release(&set, &github, &[]).expect(0);
    github.repository().releases[0].starters.insert("htty-0.3.0.tar.gz".to_owned());
    release(&set, &github, &[]).expect(0);
    let repository = github.repository();
    assert!(repository.releases[0].starters.is_empty() && repository.sent == 7);
}

#[test]
fn two_runs_at_once_leave_one_draft() {
    let (set, github) = (Set::htty(), GitHub::start());
    github.repository().rival = true;
    release(&set, &github, &[]).expect(0);
    let repository = github.repository();
    let [release] = repository.releases.as_slice() else { panic!("{:?}", repository.releases) };
    assert!(!release.draft && release.assets.len() == 6);
}

#[test]
fn adds_extra_assets_and_generated_notes_to_a_draft() {
    let (set, github) = (Set::htty(), GitHub::start());
    std::fs::write(set.dir.path().join("tool-x86_64.tar.xz"), b"binary").unwrap();
    let extra = set.dir.path().join("tool-*.tar.xz");
    let args = ["--extra-assets", extra.to_str().unwrap(), "--generate-notes", "--draft"];
    release(&set, &github, &args).expect(0);
    let repository = github.repository();
    let release = &repository.releases[0];
    assert!(release.draft && release.body.contains("What's Changed"));
    assert_eq!(release.assets["tool-x86_64.tar.xz"].1, b"binary");
    let sums = String::from_utf8(release.assets["SHA256SUMS"].1.clone()).unwrap();
    assert!(sums.contains("  tool-x86_64.tar.xz"), "{sums}");
}

#[test]
fn passes_on_title_target_and_latest() {
    for (args, name, target, latest) in [
        (&[][..], "v0.3.0", "main", None),
        (&["--make-latest", "false"], "v0.3.0", "main", Some("false")),
        (&["--make-latest", "legacy"], "v0.3.0", "main", Some("legacy")),
        (
            &["--name", "Third", "--target", "release-branch", "--make-latest", "true"],
            "Third",
            "release-branch",
            Some("true"),
        ),
    ] {
        let (set, github) = (Set::htty(), GitHub::start());
        release(&set, &github, args).expect(0);
        let repository = github.repository();
        let release = &repository.releases[0];
        assert_eq!((release.name.as_str(), release.target.as_str()), (name, target), "{args:?}");
        assert_eq!(release.make_latest.as_deref(), latest, "{args:?}");
    }
}

/// The notes are those of the tag's version, not of the largest version string.
#[test]
fn takes_the_notes_of_the_tags_version() {
    let (set, github) = (Set::empty(), GitHub::start());
    for version in ["0.9", "0.10", "0.10rc1"] {
        set.add(&format!("many-{version}.tar.gz"), "", 100);
    }
    set.write_manifest();
    let changelog = set.dir.path().join("CHANGELOG.md");
    std::fs::write(&changelog, "# Changes\n\n## 0.10\n\n- ten\n\n## 0.10rc1\n\n- c\n\n## 0.9\n\n- nine\n")
        .unwrap();
    for (tag, notes) in [("v0.9", "- nine"), ("v0.10", "- ten"), ("v0.10.0", "- ten"), ("other", "- ten")] {
        let args = ["--changelog", changelog.to_str().unwrap(), "--tag", tag];
        release(&set, &github, &args).expect(0);
        assert_eq!(github.repository().releases.last().unwrap().body, notes, "{tag}");
    }
}
