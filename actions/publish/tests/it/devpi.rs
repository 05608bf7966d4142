//! Against a real devpi-server, whose volatile index would overwrite a file.

use testkit::index::{DEVPI_PASSWORD, Peer};

use crate::support::{Ran, Set};

fn publish(set: &Set, peer: &Peer) -> Ran {
    let (index, simple) = (format!("{}root/dev/", peer.url), format!("{}root/dev/+simple/", peer.url));
    let mut command = set.command();
    command.args([
        "--index",
        &index,
        "--simple-url",
        &simple,
        "--allow-insecure-loopback",
        "--username",
        "root",
    ]);
    command.env("INPUT_PASSWORD", DEVPI_PASSWORD).env("INPUT_VERIFY_TIMEOUT", "20");
    set.run(command)
}

#[test]
fn a_release_is_published_once_and_never_overwritten() {
    let (set, folder) = (Set::htty(), tempfile::tempdir().unwrap());
    let peer = Peer::devpi(folder.path());
    publish(&set, &peer).expect(0).all("uploaded");
    publish(&set, &peer).expect(0).all("present");
    set.add("htty-0.3.0.tar.gz", "Requires-Dist: htty-core==0.3.0\nSummary: other\n", 3000);
    set.write_manifest();
    let ran = publish(&set, &peer).expect(1);
    assert!(ran.text.contains("htty-0.3.0.tar.gz: the index has it with the sha256"), "{}", ran.text);
}
