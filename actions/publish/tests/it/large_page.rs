//! Projects with tens of thousands of files.

use std::process::Command;

use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::{Set, peak};

/// Above 16 MiB as JSON.
const FILES: usize = 60_000;

fn command(set: &Set, index: &Warehouse) -> Command {
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("INPUT_PASSWORD", TOKEN);
    command
}

/// The page is read as it arrives; data of other files is not kept.
#[test]
fn reads_a_page_of_any_size_in_little_memory() {
    for html in [None, Some(true)] {
        let publish = |padding| {
            let set = Set::empty();
            set.add("vast-1.0-py3-none-any.whl", "", 1000);
            set.write_manifest();
            let behaviour = Behaviour { padding, html, ..Behaviour::default() };
            let index = Warehouse::start(behaviour, None).with_projects(&["vast"]);
            let (result, peak) = peak(&set, command(&set, &index));
            result.expect(0).all("uploaded");
            set.run(command(&set, &index)).expect(0).all("present");
            assert_eq!(index.shelf().uploads.len(), 1);
            peak
        };
        let (small, large) = (publish(1), publish(FILES));
        // The page itself is larger than 16 MiB.
        assert!(large < small + (6 << 20), "{small} bytes with a small page, {large} with a large one");
    }
}
