//! Against a fake of PyPI's own software.

use std::fs;

use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::Set;

fn start(behaviour: Behaviour) -> Warehouse {
    Warehouse::start(behaviour, None)
}

#[test]
fn required_packages_come_first_and_wheels_before_the_source() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let ran = set.publish(&index.url(), &[]).expect(0);
    ran.all("uploaded");
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
fn a_second_run_sends_only_what_is_absent() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let first = set.dist().join("htty_core-0.3.0.tar.gz");
    index.put("htty_core-0.3.0.tar.gz", "htty-core", &fs::read(first).unwrap());
    let ran = set.publish(&index.url(), &[]).expect(0);
    assert!(ran.states().contains(&("htty_core-0.3.0.tar.gz".into(), "present".into())));
    assert_eq!(index.shelf().uploads.len(), 3);
    set.publish(&index.url(), &[]).expect(0).all("present");
    assert_eq!(index.shelf().uploads.len(), 3);
}

#[test]
fn the_same_bytes_under_another_name_are_a_conflict() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let bytes = fs::read(set.dist().join("htty-0.3.0.tar.gz")).unwrap();
    index.put("htty-0.2.0.tar.gz", "htty", &bytes);
    let ran = set.publish(&index.url(), &[]).expect(1);
    assert!(ran.text.contains("there the same bytes are called `htty-0.2.0.tar.gz`"), "{}", ran.text);
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn a_stale_page_is_no_harm() {
    let (set, index) = (Set::htty(), start(Behaviour { cached: 3, ..Behaviour::default() }));
    set.publish(&index.url(), &[]).expect(0).all("uploaded");
    assert!(index.shelf().uploads.iter().all(|(_, status)| *status == 200));
}

#[test]
fn taken_but_not_listed_is_told() {
    let (set, index) = (Set::htty(), start(Behaviour { swallow: true, ..Behaviour::default() }));
    let ran = set.publish(&index.url(), &["--verify-timeout", "1"]).expect(4);
    assert!(ran.text.contains("took it, but does not list it within 1 s"), "{}", ran.text);
    let (states, core) = (ran.states(), "htty_core");
    assert!(states.iter().filter(|(name, _)| name.starts_with(core)).all(|(_, state)| state == "unverified"));
    assert!(states.iter().filter(|(name, _)| !name.starts_with(core)).all(|(_, state)| state == "skipped"));
}

#[test]
fn a_redirect_is_not_followed() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let ran = set.publish(
        index.url().trim_end_matches('/'),
        &["--simple-url", &index.url().replace("legacy", "simple")],
    );
    let ran = ran.expect(1);
    assert!(ran.text.contains("308") && ran.text.contains("a redirect to"), "{}", ran.text);
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn a_wrong_token_publishes_nothing() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("INPUT_PASSWORD", "pypi-wrong");
    let ran = set.run(command).expect(1);
    assert!(ran.text.contains("nothing is published on") && ran.text.contains("403"), "{}", ran.text);
    assert_eq!(ran.report["result"], "failed");
}

#[test]
fn a_new_release_is_made_by_one_file() {
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
