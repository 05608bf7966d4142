//! Against a real devpi-server, whose volatile index would overwrite a file.

use testkit::index::{DEVPI_PASSWORD, Peer};

use crate::support::{RunOutput, Set};

fn publish(set: &Set, peer: &Peer) -> RunOutput {
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
fn publishes_a_release_once_and_never_overwrites_it() {
    let (set, dir) = (Set::htty(), tempfile::tempdir().unwrap());
    let peer = Peer::devpi(dir.path());
    publish(&set, &peer).expect(0).all("uploaded");
    publish(&set, &peer).expect(0).all("present");
    set.add("htty-0.3.0.tar.gz", "Requires-Dist: htty-core==0.3.0\nSummary: other\n", 3000);
    set.write_manifest();
    let result = publish(&set, &peer).expect(1);
    assert!(result.text.contains("htty-0.3.0.tar.gz: the index has it with the SHA-256"), "{}", result.text);
}
