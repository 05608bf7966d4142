//! `cargo xtask bench publish`: compares the cost of publishing with that of its
//! peers, in one run on one machine. Needs `cargo xtask setup-test-tools`. Exits
//! with 1 if a limit is missed.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "../tests/it/support.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use all of it")]
mod support;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use support::Set;
use testkit::fault::{Fault, Proxy};
use testkit::index::{DEVPI_PASSWORD, Peer};
use testkit::tools;
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

/// Runs per measurement; the median is reported.
const RUNS: usize = 5;
/// devpi takes some seconds to start.
const DEVPI_RUNS: usize = 3;
/// A tool that takes longer over four small files has failed.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Files of a release, and bytes of each.
const FILES: usize = 8;
const SIZE: usize = 10 << 20;

/// A running index and its URLs.
struct Target {
    /// Keeps the index running.
    _keeps: Box<dyn std::any::Any>,
    index: String,
    simple: String,
    user: &'static str,
    password: &'static str,
}

fn pypiserver() -> Target {
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let peer = Peer::pypiserver(dir.path());
    let (index, simple) = (peer.url.clone(), format!("{}simple/", peer.url));
    Target { _keeps: Box::new((peer, dir)), index, simple, user: "any", password: "any-password" }
}

fn devpi() -> Target {
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let peer = Peer::devpi(dir.path());
    let (index, simple) = (format!("{}root/dev/", peer.url), format!("{}root/dev/+simple/", peer.url));
    Target { _keeps: Box::new((peer, dir)), index, simple, user: "root", password: DEVPI_PASSWORD }
}

fn warehouse() -> Target {
    let index = Warehouse::start(Behaviour::default(), None);
    let url = index.url();
    Target { _keeps: Box::new(index), ..at(&url.replace("legacy/", "")) }
}

/// A fake Warehouse whose root is `url`.
fn at(url: &str) -> Target {
    let (index, simple) = (format!("{url}legacy/"), format!("{url}simple/"));
    Target { _keeps: Box::new(()), index, simple, user: "__token__", password: TOKEN }
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
    command.env("UV_KEYRING_PROVIDER", "disabled");
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

/// A table in Markdown, and whether a bar was missed.
#[derive(Default)]
struct Table {
    missed: bool,
}

impl Table {
    fn row(&mut self, what: &str, ours: &str, peers: &[String], bar: &str, kept: bool) {
        self.missed |= !kept;
        let verdict = if kept { "kept" } else { "**missed**" };
        println!("| {what} | {ours} | {} | {bar} | {verdict} |", peers.join(" | "));
    }
}

fn uploads(table: &mut Table, set: &Set) {
    let kinds = [
        ("pypiserver", RUNS, pypiserver as fn() -> Target),
        ("devpi", DEVPI_RUNS, devpi),
        ("fake Warehouse", RUNS, warehouse),
    ];
    for (name, runs, start) in kinds {
        let (mut first, mut second, mut by_uv, mut by_twine) = (vec![], vec![], vec![], vec![]);
        for _ in 0..runs {
            let target = start();
            first.push(time(ours(set, &target)));
            second.push(time(ours(set, &target)));
            drop(target);
            by_uv.push(time(uv(set, &start())));
            by_twine.push(time(twine(set, &start())));
        }
        let (first, second) = (median(first), median(second));
        let (by_uv, by_twine) = (median(by_uv), median(by_twine));
        let ratio = |peer: Duration| {
            format!("{:.0} ms ({:.2}×)", millis(peer), peer.as_secs_f64() / first.as_secs_f64())
        };
        let what = format!("{FILES} × 10 MiB to {name}");
        let bar = "≤ uv, < twine";
        let kept = first <= by_uv && first < by_twine;
        table.row(&what, &format!("{:.0} ms", millis(first)), &[ratio(by_uv), ratio(by_twine)], bar, kept);
        let kept = second < Duration::from_secs(2);
        let none = ["–".to_owned(), "–".to_owned()];
        table.row("the same again", &format!("{:.0} ms", millis(second)), &none, "< 2000 ms", kept);
    }
}

/// Startup time, binary size, memory.
fn costs(table: &mut Table) {
    let starts = |tool: fn() -> Command| {
        let times = (0..RUNS).map(|_| {
            let mut command = tool();
            command.arg("--version");
            time(command)
        });
        median(times.collect())
    };
    let start = starts(|| tools::scrubbed(support::program()));
    let peers = [starts(|| tools::command("uv")), starts(|| tools::command("twine"))];
    let peers = peers.map(|time| format!("{:.0} ms", millis(time)));
    let kept = start <= Duration::from_millis(50);
    table.row("start (`--version`)", &format!("{:.0} ms", millis(start)), &peers, "≤ 50 ms", kept);
    let size = |path: &std::path::Path| std::fs::metadata(path).map(|data| data.len()).unwrap_or_default();
    let mib = |bytes: u64| format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20);
    let own = size(&support::program());
    let peers = [mib(size(&tools::path("uv"))), "–".to_owned()];
    table.row("program", &mib(own), &peers, "≤ 10 MB", own <= 10_000_000);
    let set = Set::empty();
    for number in 0..4 {
        set.add(&format!("large-1.0-{number}-py3-none-any.whl"), "", 95 << 20);
    }
    set.write_manifest();
    let (_, peak) = support::peak(&set, ours(&set, &warehouse()));
    let none = ["–".to_owned(), "–".to_owned()];
    let what = "memory, 4 × 95 MiB, 4 at a time";
    table.row(what, &mib(peak), &none, "≤ 12 MB", (1..=12_000_000).contains(&peak));
}

/// How each tool handles failures of networks and servers.
fn faults(table: &mut Table) {
    let rows: [(&str, Option<Fault>, Behaviour, bool); 7] = [
        ("one 503", Some(Fault::Status(503, None)), Behaviour::default(), true),
        ("429 with Retry-After: 1", Some(Fault::Status(429, Some(1))), Behaviour::default(), true),
        ("reset in the body", Some(Fault::Reset), Behaviour::default(), true),
        ("stored, answer lost", Some(Fault::LostAnswer), Behaviour::default(), true),
        ("one hang", Some(Fault::Hang), Behaviour::default(), true),
        ("200, but not there", None, Behaviour { swallow: true, ..Behaviour::default() }, false),
        ("other bytes under the name", None, Behaviour::default(), false),
    ];
    for (what, fault, behaviour, recovers) in rows {
        let run = |tool: fn(&Set, &Target) -> Command| {
            let set = Set::htty();
            let index = Warehouse::start(behaviour.clone(), None);
            if !recovers && fault.is_none() && !behaviour.swallow {
                index.put("htty-0.3.0.tar.gz", "htty", b"other bytes");
            }
            let proxy =
                Proxy::start(&index.url(), &fault.map(|fault| (1, fault)).into_iter().collect::<Vec<_>>());
            let target = at(&proxy.url());
            let ended = ends(tool(&set, &target));
            let there = index.shelf().order.len();
            (ended, there, proxy.uploads())
        };
        let ours = run(|set, target| {
            let mut command = ours(set, target);
            command.args(["--timeout", "5", "--verify-timeout", "3"]);
            command
        });
        let tell = |(code, there, sent): (Option<i32>, usize, u64)| match code {
            None => format!("> {} s", TIMEOUT.as_secs()),
            Some(code) => format!("exit {code}, {there} of 4 on the index, {sent} sent"),
        };
        let kept = match ours.0 {
            Some(0) => recovers && ours.1 == 4,
            Some(_) => !recovers,
            None => false,
        };
        let peers = [tell(run(uv)), tell(run(twine))];
        let bar = if recovers { "complete, exit 0" } else { "not 0" };
        table.row(what, &tell(ours), &peers, bar, kept);
    }
}

/// The exit code, unless it takes longer than the limit.
fn ends(mut command: Command) -> Option<i32> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        if let Some(status) = child.try_wait().expect("the child can be asked") {
            return Some(status.code().unwrap_or(-1));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may have exited just now.
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn main() -> ExitCode {
    let mut table = Table::default();
    println!("| | publish | uv publish | twine | bar | |\n|---|---|---|---|---|---|");
    let set = Set::empty();
    for number in 0..FILES {
        set.add(&format!("bench-1.0-{number}-py3-none-any.whl"), "", SIZE);
    }
    set.write_manifest();
    uploads(&mut table, &set);
    costs(&mut table);
    println!(
        "\n| fault at the second upload | publish | uv publish | twine | bar | |\n|---|---|---|---|---|---|"
    );
    faults(&mut table);
    ExitCode::from(u8::from(table.missed))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
