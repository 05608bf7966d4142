//! Failing networks and servers, and interrupted runs.

use testkit::fault::{Fault, Point, Proxy};
use testkit::tools;
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::Set;

fn url(proxy: &Proxy) -> String {
    format!("{}legacy/", proxy.url())
}

/// Asserts that a run whose second upload fails with `fault` completes, and that
/// no file is stored twice.
fn recovers(fault: Fault) {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let proxy = Proxy::start(&index.url(), &[(1, fault)]);
    let result = set.publish(&url(&proxy), &["--timeout", "2"]).expect(0);
    result.all("uploaded");
    let mut order = index.shelf().order.clone();
    assert_eq!(order.len(), 4);
    order.dedup();
    assert_eq!(order.len(), 4);
}

#[test]
fn recovers_from_one_503() {
    recovers(Fault::Status(503, None));
}

#[test]
fn waits_as_long_as_a_429_asks() {
    recovers(Fault::Status(429, Some(1)));
}

#[test]
fn recovers_from_a_reset_in_the_body() {
    recovers(Fault::Reset);
}

#[test]
fn recovers_from_a_lost_answer() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let proxy = Proxy::start(&index.url(), &[(1, Fault::LostAnswer)]);
    set.publish(&url(&proxy), &[]).expect(0).all("uploaded");
    assert_eq!(proxy.uploads(), 4, "what was stored is not sent again");
}

#[test]
fn recovers_from_a_hang() {
    recovers(Fault::Hang);
}

#[test]
fn gives_up_on_a_server_that_never_recovers() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let faults: Vec<_> = (1..40).map(|number| (number, Fault::Status(503, Some(0)))).collect();
    let proxy = Proxy::start(&index.url(), &faults);
    let result = set.publish(&url(&proxy), &[]).expect(4);
    assert!(result.text.contains("only part of the release is on"), "{}", result.text);
    assert!(result.text.contains("hint: rerun: files already uploaded are skipped"), "{}", result.text);
    assert_eq!(result.report["result"], "partial");
    assert_eq!(index.shelf().files.len(), 1, "nothing of the dependent package");
    set.publish(&index.url(), &[]).expect(0);
    assert_eq!(index.shelf().files.len(), 4);
}

#[test]
fn rejects_an_excessive_retry_after() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let proxy = Proxy::start(&index.url(), &[(0, Fault::Status(429, Some(86_400)))]);
    set.publish(&url(&proxy), &[]).expect(3);
    assert_eq!(proxy.uploads(), 1);
}

#[test]
fn a_complete_release_sends_no_body() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    set.publish(&index.url(), &[]).expect(0);
    let proxy = Proxy::start(&index.url(), &[]);
    set.publish(&url(&proxy), &[]).expect(0).all("present");
    assert_eq!((proxy.uploads(), proxy.body_bytes()), (0, 0));
}

#[test]
fn does_not_publish_a_file_that_changes_during_the_run() {
    let (set, index) = (Set::empty(), Warehouse::start(Behaviour::default(), None));
    set.add("big-1-py3-none-any.whl", "", 100);
    set.add("big-1.tar.gz", "", 4_000_000);
    set.write_manifest();
    // The first answer is delayed until the second file was replaced.
    let proxy = Proxy::start(&index.url(), &[(0, Fault::Stop(Point::Answer))]);
    let mut command = set.command();
    command.args([
        "--index",
        &url(&proxy),
        "--allow-insecure-loopback",
        "--timeout",
        "1",
        "--verify-timeout",
        "2",
    ]);
    command.env("INPUT_PASSWORD", TOKEN);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    proxy.wait_for_stop();
    let path = set.dist().join("big-1.tar.gz");
    crate::support::damage(&path);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("big-1.tar.gz: the file changed while it was being published"), "{text}");
    assert!(text.contains("hint: "), "{text}");
    assert_eq!(index.shelf().files.len(), 1);
    assert_eq!(proxy.uploads(), 2, "the changed file is not sent again and again");
}

/// Ctrl-C during the upload: the run reports it, and the report has the state of
/// each file.
#[test]
fn an_interrupted_run_writes_its_report() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let proxy = Proxy::start(&index.url(), &[(1, Fault::Stop(Point::Head))]);
    let mut command = set.command();
    command.args(["--index", &url(&proxy), "--allow-insecure-loopback"]).env("INPUT_PASSWORD", TOKEN);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    proxy.wait_for_stop();
    let killed = tools::scrubbed("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(set.report_path()).unwrap()).unwrap();
    assert_eq!(report["result"], "partial");
}
