//! Against a real pypiserver.

use std::fs;

use testkit::index::Peer;

use crate::support::{Set, damage};

fn stored(folder: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn a_release_is_published_once_in_order() {
    let (set, store) = (Set::htty(), tempfile::tempdir().unwrap());
    let peer = Peer::pypiserver(store.path());
    let ran = set.publish(&peer.url, &["--dry-run"]).expect(0);
    ran.all("absent");
    assert!(stored(store.path()).is_empty(), "a dry run sends nothing");

    let ran = set.publish(&peer.url, &[]).expect(0);
    ran.all("uploaded");
    assert_eq!(ran.report["result"], "published");
    let order: Vec<String> = ran.states().into_iter().map(|(name, _)| name).collect();
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

    let ran = set.publish(&peer.url, &[]).expect(0);
    ran.all("present");
    assert_eq!(ran.report["result"], "unchanged");
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn a_conflict_stops_all_before_the_first_byte() {
    let (set, store) = (Set::htty(), tempfile::tempdir().unwrap());
    let peer = Peer::pypiserver(store.path());
    fs::write(store.path().join("htty-0.3.0.tar.gz"), "other bytes").unwrap();
    let ran = set.publish(&peer.url, &[]).expect(1);
    assert!(
        ran.text.contains("nothing was sent")
            && ran.text.contains("htty-0.3.0.tar.gz: the index has it with"),
        "{}",
        ran.text
    );
    assert_eq!(stored(store.path()), ["htty-0.3.0.tar.gz"]);
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn what_the_manifest_does_not_bind_is_refused() {
    let (set, store) = (Set::htty(), tempfile::tempdir().unwrap());
    let peer = Peer::pypiserver(store.path());
    let wheel = set.dist().join("htty-0.3.0-py3-none-any.whl");
    fs::write(set.dist().join("extra-1.tar.gz"), fs::read(set.dist().join("htty-0.3.0.tar.gz")).unwrap())
        .unwrap();
    damage(&wheel);
    let ran = set.publish(&peer.url, &[]).expect(1);
    assert!(ran.text.contains("extra-1.tar.gz: there is no `extra-1/PKG-INFO` in it"), "{}", ran.text);
    fs::remove_file(set.dist().join("extra-1.tar.gz")).unwrap();
    set.add("extra-1.tar.gz", "", 1);
    let ran = set.publish(&peer.url, &[]).expect(1);
    assert!(ran.text.contains("extra-1.tar.gz: it is not in the manifest"), "{}", ran.text);
    assert!(ran.text.contains("htty-0.3.0-py3-none-any.whl: its sha256 is"), "{}", ran.text);
    assert!(stored(store.path()).is_empty());
}

#[test]
fn an_exchanged_manifest_is_refused() {
    let set = Set::htty();
    let ran = set.publish("http://127.0.0.1:9/", &["--manifest-sha256", &"0".repeat(64)]).expect(1);
    assert!(ran.text.contains("has the sha256") && ran.text.contains("replaced"), "{}", ran.text);
}

#[test]
fn bad_input_is_told() {
    let set = Set::empty();
    set.write_manifest();
    let ran = set.publish("http://127.0.0.1:9/", &[]).expect(1);
    assert!(ran.text.contains("no distribution"), "{}", ran.text);
    let ran = set.publish("http://127.0.0.1:9/", &["--dry-run=ture"]).expect(2);
    assert!(ran.text.contains("did you mean `true`"), "{}", ran.text);
    let set = Set::htty();
    fs::write(set.dist().join("htty-0.3.0-py3-none-any.whl"), b"PK\x03\x04 cut off").unwrap();
    let ran = set.publish("http://127.0.0.1:9/", &[]).expect(1);
    assert!(ran.text.contains("htty-0.3.0-py3-none-any.whl: not a ZIP archive, or cut off"), "{}", ran.text);
}
