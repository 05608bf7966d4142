//! The previous release, from real servers with JSON and with HTML.

use testkit::index::Peer;
use testkit::sample::macos;
use testkit::warehouse::{Behaviour, Warehouse};
use testkit::wheel::Wheel;

use crate::program::{dist_dir, verify};
use testkit::wheel::MachO;

fn old() -> Wheel {
    let mut old = macos(MachO::default());
    old.stem = "sample-0.9".into();
    old.metadata = old.metadata.replace("Version: 1.0\n", "Version: 0.9\n");
    old
}

/// A release without the wheel for macOS, compared with the one at `index`.
fn report_against(index: &str) -> String {
    let dir = dist_dir(&Wheel::sample("cp312-cp312-win_amd64"));
    let output = verify(dir.path()).args(["--previous", index]).assert().code(1);
    String::from_utf8_lossy(&output.get_output().stdout).into_owned()
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn reports_a_platform_that_is_missing() {
    let shelf = tempfile::tempdir().unwrap();
    let old = old();
    std::fs::write(shelf.path().join(old.filename()), old.bytes()).unwrap();
    let html = Peer::pypiserver(shelf.path());
    let json = Warehouse::start(Behaviour::default(), None);
    json.put(&old.filename(), "sample", &old.bytes());
    for root in [html.url.as_str(), json.url().trim_end_matches("legacy/")] {
        let index = format!("{root}simple/");
        let text = report_against(&index);
        assert!(text.contains("SET009") && text.contains("macosx arm64"), "{index}: {text}");
    }
}

/// Runs in a network namespace without a network, as the comparison shows.
#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn only_the_comparison_needs_a_network() {
    let index = Warehouse::start(Behaviour::default(), None);
    let old = old();
    index.put(&old.filename(), "sample", &old.bytes());
    let simple = index.url().replace("legacy/", "simple/");
    let dir = dist_dir(&testkit::sample::linux(testkit::wheel::Elf::default()));
    let run = |cut_off: bool, args: &[&str]| {
        let mut command = verify(dir.path());
        if cut_off {
            command = assert_cmd::Command::new("unshare");
            command.current_dir(dir.path()).args(["--map-root-user", "--net"]);
            command.arg(env!("CARGO_BIN_EXE_verify-dist"));
        }
        let output = command.args(["--format", "json"]).args(args).output().unwrap();
        (output.status.code(), output.stdout)
    };
    assert_eq!(run(true, &[]), run(false, &[]));
    let compare = ["--previous", simple.as_str()];
    assert_eq!((run(true, &compare).0, run(false, &compare).0), (Some(3), Some(1)));
}

#[test]
fn an_unreachable_index_gives_no_verdict() {
    let dir = dist_dir(&Wheel::sample("py3-none-any"));
    let port = testkit::index::free_port();
    let index = format!("http://127.0.0.1:{port}/simple/");
    let output = verify(dir.path()).args(["--previous", &index]).assert().code(3);
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(text.contains(&index) && text.contains("hint:"), "{text}");
    assert!(!dir.path().join("dist-manifest.json").exists(), "no verdict, no manifest");
    verify(dir.path()).args(["--previous", "http://index.example/simple"]).assert().code(2);
}
