//! Against a real pypiserver.

use std::fs;

use testkit::index::Peer;

use crate::support::{Set, damage};

fn stored(dir: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn publishes_a_release_once_and_in_order() {
    let (set, store) = (Set::htty(), tempfile::tempdir().unwrap());
    let peer = Peer::pypiserver(store.path());
    let result = set.publish(&peer.url, &["--dry-run"]).expect(0);
    result.all("absent");
    assert!(stored(store.path()).is_empty(), "a dry run sends nothing");

    let result = set.publish(&peer.url, &[]).expect(0);
    result.all("uploaded");
    assert_eq!(result.report["result"], "published");
    let order: Vec<String> = result.states().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        order,
        [
            "htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl",
            "htty_core-0.3.0.tar.gz",
            "htty-0.3.0-py3-none-any.whl",
            "htty-0.3.0.tar.gz"
        ]
    );
    for file in set.files() {
        let there = fs::read(store.path().join(file.file_name().unwrap())).unwrap();
        assert_eq!(there, fs::read(&file).unwrap(), "byte for byte");
    }

    let result = set.publish(&peer.url, &[]).expect(0);
    result.all("present");
    assert_eq!(result.report["result"], "unchanged");
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn a_conflict_stops_the_run_before_the_first_byte() {
    let (set, store) = (Set::htty(), tempfile::tempdir().unwrap());
    let peer = Peer::pypiserver(store.path());
    fs::write(store.path().join("htty-0.3.0.tar.gz"), "other bytes").unwrap();
    let result = set.publish(&peer.url, &[]).expect(1);
    assert!(
        result.text.contains("nothing was sent")
            && result.text.contains("htty-0.3.0.tar.gz: the index has it with"),
        "{}",
        result.text
    );
    assert_eq!(stored(store.path()), ["htty-0.3.0.tar.gz"]);
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn rejects_files_that_the_manifest_does_not_bind() {
    let (set, store) = (Set::htty(), tempfile::tempdir().unwrap());
    let peer = Peer::pypiserver(store.path());
    let wheel = set.dist().join("htty-0.3.0-py3-none-any.whl");
    fs::write(set.dist().join("extra-1.tar.gz"), fs::read(set.dist().join("htty-0.3.0.tar.gz")).unwrap())
        .unwrap();
    damage(&wheel);
    let result = set.publish(&peer.url, &[]).expect(1);
    assert!(result.text.contains("extra-1.tar.gz: there is no `extra-1/PKG-INFO` in it"), "{}", result.text);
    fs::remove_file(set.dist().join("extra-1.tar.gz")).unwrap();
    set.add("extra-1.tar.gz", "", 1);
    let result = set.publish(&peer.url, &[]).expect(1);
    assert!(result.text.contains("extra-1.tar.gz: it is not in the manifest"), "{}", result.text);
    assert!(result.text.contains("htty-0.3.0-py3-none-any.whl: its sha256 is"), "{}", result.text);
    assert!(stored(store.path()).is_empty());
}

#[test]
fn rejects_a_replaced_manifest() {
    let set = Set::htty();
    let result = set.publish("http://127.0.0.1:9/", &["--manifest-sha256", &"0".repeat(64)]).expect(1);
    assert!(result.text.contains("has the SHA-256") && result.text.contains("replaced"), "{}", result.text);
}

#[test]
fn reports_invalid_input() {
    let set = Set::empty();
    set.write_manifest();
    let result = set.publish("http://127.0.0.1:9/", &[]).expect(1);
    assert!(result.text.contains("no distribution"), "{}", result.text);
    let result = set.publish("http://127.0.0.1:9/", &["--dry-run=ture"]).expect(2);
    assert!(result.text.contains("did you mean `true`"), "{}", result.text);
    let set = Set::htty();
    fs::write(set.dist().join("htty-0.3.0-py3-none-any.whl"), b"PK\x03\x04 cut off").unwrap();
    let result = set.publish("http://127.0.0.1:9/", &[]).expect(1);
    assert!(
        result.text.contains("htty-0.3.0-py3-none-any.whl: not a ZIP archive, or cut off"),
        "{}",
        result.text
    );
}
