//! `cargo bench -p publish`: what publishing costs, beside its peers, in one
//! run on one machine. Needs `cargo xtask setup-test-tools`. Ends with 1 where
//! a bar is missed.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "../tests/it/support.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use all of it")]
mod support;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use support::Set;
use testkit::index::{DEVPI_PASSWORD, Peer};
use testkit::tools;

/// How often each thing is measured; the median counts.
const RUNS: usize = 5;
/// Files of a release, and bytes of each.
const FILES: usize = 8;
const SIZE: usize = 10 << 20;

/// An index that is running, and how it is addressed.
struct Target {
    _folder: tempfile::TempDir,
    _peer: Peer,
    index: String,
    simple: String,
    user: &'static str,
    password: &'static str,
}

fn pypiserver() -> Target {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let peer = Peer::pypiserver(folder.path());
    let (index, simple) = (peer.url.clone(), format!("{}simple/", peer.url));
    Target { _folder: folder, _peer: peer, index, simple, user: "any", password: "any-password" }
}

fn devpi() -> Target {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let peer = Peer::devpi(folder.path());
    let (index, simple) = (format!("{}root/dev/", peer.url), format!("{}root/dev/+simple/", peer.url));
    Target { _folder: folder, _peer: peer, index, simple, user: "root", password: DEVPI_PASSWORD }
}

fn time(mut command: Command) -> Duration {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let output = command.output().expect("the program starts");
    let took = start.elapsed();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    took
}

fn ours(set: &Set, target: &Target) -> Command {
    let mut command = set.command();
    command.args(["--index", &target.index, "--simple-url", &target.simple, "--username", target.user]);
    command.arg("--allow-insecure-loopback").env("INPUT_PASSWORD", target.password);
    command
}

fn uv(set: &Set, target: &Target) -> Command {
    let mut command = tools::command("uv");
    command.args(["publish", "--no-config", "--trusted-publishing", "never", "--publish-url", &target.index]);
    command.args(["--username", target.user]).env("UV_PUBLISH_PASSWORD", target.password).args(set.files());
    command
}

fn twine(set: &Set, target: &Target) -> Command {
    let mut command = tools::command("twine");
    command.args([
        "upload",
        "--non-interactive",
        "--disable-progress-bar",
        "--repository-url",
        &target.index,
    ]);
    command.args(["--username", target.user]).env("TWINE_PASSWORD", target.password).args(set.files());
    command
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() -> ExitCode {
    let set = Set::empty();
    for number in 0..FILES {
        set.add(&format!("bench-1.0-{number}-py3-none-any.whl"), "", SIZE);
    }
    set.write_manifest();
    let mut missed = false;
    let mut say = |what: &str, ours: Duration, bar: Duration, peers: &str| {
        let late = if ours > bar { "  MISSED" } else { "" };
        missed |= ours > bar;
        println!("{what:<34} {:>8.0} ms  bar {:>8.0} ms  {peers}{late}", millis(ours), millis(bar));
    };
    for (name, start) in [("pypiserver", pypiserver as fn() -> Target), ("devpi", devpi)] {
        let (mut first, mut second, mut by_uv, mut by_twine) = (vec![], vec![], vec![], vec![]);
        for _ in 0..RUNS {
            let target = start();
            first.push(time(ours(&set, &target)));
            second.push(time(ours(&set, &target)));
            by_uv.push(time(uv(&set, &start())));
            by_twine.push(time(twine(&set, &start())));
        }
        let (by_uv, by_twine) = (median(by_uv), median(by_twine));
        let peers = format!("uv {:.0} ms, twine {:.0} ms", millis(by_uv), millis(by_twine));
        say(&format!("{name}: {FILES} x 10 MB"), median(first), by_uv.min(by_twine), &peers);
        say(&format!("{name}: the same again"), median(second), Duration::from_secs(2), "");
    }
    let start = (0..RUNS).map(|_| {
        let mut command = set.command();
        command.arg("--version");
        time(command)
    });
    say("start", median(start.collect()), Duration::from_millis(50), "");
    ExitCode::from(u8::from(missed))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
