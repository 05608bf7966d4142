//! Malicious and broken indexes: each run ends soon, with the reason.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use testkit::fault::{Fault, Proxy};
use testkit::github::{GitHub, TOKEN as GITHUB_TOKEN};
use testkit::oidc::Oidc;
use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::{RunOutput, Set};

/// A run whose first `count` requests fail with `fault`; nothing may be sent.
fn refused(count: usize, fault: Fault) -> RunOutput {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let faults: Vec<_> = (0..count).map(|number| (number, fault)).collect();
    let proxy = Proxy::before(&[&index.url()], &faults);
    let result = set.publish(&format!("{}legacy/", proxy.url()), &[]);
    assert_ne!(result.code, 0, "{}", result.text);
    assert!(index.shelf().uploads.is_empty(), "{}", result.text);
    result
}

#[test]
fn malformed_pages_stop_the_run() {
    const JSON: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.pypi.simple.v1+json\r\n\
                        Connection: close\r\n\r\n";
    for (answer, why) in [
        (
            concat!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n",
                "<html><body>please <a href=/login>log in</a></body></html>"
            )
            .to_owned(),
            "none to a distribution",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nall is well".to_owned(),
            "not HTML",
        ),
        (
            format!("{JSON}{{\"meta\": {{\"api-version\": \"2.0\"}}, \"name\": \"htty\", \"files\": []}}"),
            "version 2.0",
        ),
        (format!("{JSON}{{\"name\": \"other\", \"files\": []}}"), "the page of `other`"),
        (format!("{JSON}{{\"name\": \"htty\", \"fi"), "expected a Simple API page"),
        // An unrequested gzip bomb is not unpacked.
        (
            format!(
                "{}Content-Encoding: gzip\r\n\r\n\u{1f}\u{8b}",
                JSON.trim_end_matches("\r\n").to_owned() + "\r\n"
            ),
            "expected a Simple API page",
        ),
    ] {
        let result = refused(1, Fault::Early(answer.leak().as_bytes()));
        assert_eq!(result.code, 3, "{}", result.text);
        assert!(result.text.contains(why), "{why}: {}", result.text);
        assert!(result.text.contains("hint: "), "{}", result.text);
    }
}

/// A login page on another host is not an answer about the project.
#[test]
fn does_not_follow_a_redirect_to_another_host() {
    let trap = Warehouse::start(Behaviour::default(), None);
    let to = format!("HTTP/1.1 303 See Other\r\nLocation: {}\r\nConnection: close\r\n\r\n", trap.url());
    let result = refused(1, Fault::Early(to.leak().as_bytes()));
    assert!(
        result.text.contains("which is not followed") && result.text.contains("may be a login"),
        "{}",
        result.text
    );
}

/// A page of any size is read, but no part of one may exceed the memory limit.
#[test]
fn cuts_off_an_endless_answer() {
    // The loopback interface delivers 16 MiB in less than a second.
    let head: Vec<u8> = [
        &b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"name\": \""[..],
        &vec![b'x'; 17 << 20],
    ]
    .concat();
    let result = refused(1, Fault::Early(head.leak()));
    assert!(result.text.contains("a token longer than 1048576 bytes"), "{}", result.text);
}

/// Also for an upload's answer, byte by byte.
#[test]
fn gives_up_on_a_trickling_answer() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n{\"code\": \"";
    let faults = [(0, Fault::Trickle(head)), (1, Fault::Trickle(head))];
    let proxy = Proxy::start(&index.url(), &faults);
    let start = Instant::now();
    let result = set.publish(&format!("{}legacy/", proxy.url()), &["--timeout", "1"]).expect(3);
    assert!(result.text.contains("no answer for 1 s"), "{}", result.text);
    assert!(start.elapsed() < Duration::from_secs(60), "two tries and a look, not more");
}

/// The answer arrives before the whole file was sent.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn reports_a_refusal_during_the_upload() {
    let (set, index) = (Set::empty(), Warehouse::start(Behaviour::default(), None));
    set.add("big-1-py3-none-any.whl", "", 8_000_000);
    set.write_manifest();
    let answer =
        b"HTTP/1.1 413 Payload Too Large\r\nContent-Type: application/json\r\nContent-Length: 46\r\n\
                   Connection: close\r\n\r\n{\"message\": \"far\", \"code\": \"413 far too large\"}";
    let faults: Vec<_> = (0..9).map(|number| (number, Fault::Early(answer))).collect();
    let proxy = Proxy::start(&index.url(), &faults);
    let result = set.publish(&format!("{}legacy/", proxy.url()), &[]).expect(1);
    assert!(result.text.contains("413 far too large"), "{}", result.text);
    assert!(index.shelf().files.is_empty());
}

#[test]
fn an_invalid_token_ends_the_run() {
    for (answer, code, why) in [
        ("{\"token\": \"\"}", 3, "an answer without one"),
        ("{\"success\": false, \"token\": \"pypi-zzz\"}", 3, "an answer without one"),
        ("{\"token\": \"pypi-a\\nb\"}", 3, "a token with invalid characters"),
        ("{\"token\": null}", 3, "expected a minted token"),
        ("{", 3, "expected a minted token"),
    ] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let index =
            Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        let text =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{answer}");
        // Two pages, the audience, then the token.
        let proxy = Proxy::before(&[&index.url()], &[(3, Fault::Early(text.leak().as_bytes()))]);
        let result = set.publish_trusted(&format!("{}legacy/", proxy.url()), &oidc, &[]).expect(code);
        assert!(
            result.text.contains(why) && result.text.contains("hint: rerun"),
            "{answer}: {}",
            result.text
        );
        assert!(!result.text.contains("pypi-zzz"), "{}", result.text);
        assert!(index.shelf().uploads.is_empty());
    }
}

#[test]
fn offline_makes_no_connection() {
    let set = Set::htty();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let root = format!("http://{}/", listener.local_addr().unwrap());
    let mut command = set.command();
    command.args(["--index", &root, "--allow-insecure-loopback", "--dry-run", "offline"]);
    command.args(["--attestations", "required", "--github-release", "after", "--tag", "v0.3.0"]);
    command.env("ACTIONS_ID_TOKEN_REQUEST_URL", &root).env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "token");
    command.env("GITHUB_API_URL", root.trim_end_matches('/')).env("GITHUB_REPOSITORY", "octo/htty");
    command.env("INPUT_GITHUB_TOKEN", GITHUB_TOKEN);
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env(name, &root);
    }
    let result = set.run(command).expect(0);
    result.all("unknown");
    assert!(result.text.contains("SHA256SUMS"), "{}", result.text);
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "no connection was made");
}

/// GitHub's API redirects to other hosts.
#[test]
fn sends_the_token_only_to_github() {
    let (set, github) = (Set::htty(), GitHub::start());
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let place = trap.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{place}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let proxy = Proxy::before(&[&github.url()], &[(0, Fault::Early(answer.leak().as_bytes()))]);
    let mut command = set.command();
    command.args(["--allow-insecure-loopback", "--github-release", "only"]);
    command.env("INPUT_GITHUB_TOKEN", GITHUB_TOKEN).envs(github.env());
    command.env("GITHUB_API_URL", proxy.url().trim_end_matches('/'));
    let result = set.run(command);
    assert_ne!(result.code, 0, "{}", result.text);
    assert!(trap.accept().is_err(), "the redirect was followed");
    assert!(!result.text.contains(GITHUB_TOKEN));
}
