//! Failures and attacks of an index, in each phase of a run. Each run exits with
//! the right code and a hint, leaks no secret, leaves a report, and loses nothing:
//! the next run against a working index completes it, and no file is stored twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::fault::{Fault, Proxy};
use testkit::oidc::Oidc;
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::{RunOutput, Set};

/// The requests that fail.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The pages read before anything is sent.
    Probe,
    /// Every upload.
    Upload,
    /// Every upload except the first.
    Later,
    /// The pages read after an upload.
    Verify,
    /// The audience of trusted publishing.
    Audience,
    /// The exchange of an identity for a token.
    Mint,
}

impl Phase {
    fn requests(self) -> (&'static str, u64) {
        match self {
            Self::Probe => ("GET /simple/", 0),
            Self::Upload => ("POST /legacy/", 0),
            Self::Later => ("POST /legacy/", 1),
            // After one request for each of the two projects.
            Self::Verify => ("GET /simple/", 2),
            Self::Audience => ("GET /_/oidc/audience", 0),
            Self::Mint => ("POST /_/oidc/mint-token", 0),
        }
    }

    fn is_trusted(self) -> bool {
        matches!(self, Self::Audience | Self::Mint)
    }
}

/// An answer that closes the connection.
fn answer(head: &str, body: &str) -> Fault {
    let text = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}");
    Fault::Answer(text.leak().as_bytes())
}

fn status(status: u16) -> Fault {
    answer(&format!("{status} Fault\r\nContent-Length: 0"), "")
}

fn typed(kind: &str, body: &str) -> Fault {
    answer(&format!("200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len()), body)
}

const SIMPLE: &str = "application/vnd.pypi.simple.v1+json";

fn page(body: &str) -> Fault {
    typed(SIMPLE, body)
}

/// A page of `htty`, the first requested project, with one file.
fn listed(file: &str) -> Fault {
    page(&format!("{{\"meta\": {{\"api-version\": \"1.0\"}}, \"name\": \"htty\", \"files\": [{file}]}}"))
}

fn raw(bytes: &str) -> Fault {
    Fault::Answer(bytes.to_owned().leak().as_bytes())
}

struct Mode {
    phase: Phase,
    what: &'static str,
    fault: Fault,
    code: i32,
    /// Text of the message or its hint.
    words: &'static str,
}

fn mode(phase: Phase, what: &'static str, fault: Fault, code: i32, words: &'static str) -> Mode {
    Mode { phase, what, fault, code, words }
}

fn probe(what: &'static str, fault: Fault, words: &'static str) -> Mode {
    mode(Phase::Probe, what, fault, 3, words)
}

fn statuses() -> Vec<Mode> {
    vec![
        probe("400", status(400), "check `index` and `simple-url`"),
        probe("401", status(401), "the index does not allow this user to read"),
        probe("403", status(403), "the index does not allow this user to read"),
        probe("405", status(405), "answered 405"),
        probe("418", status(418), "answered 418"),
        probe(
            "429",
            answer("429 Slow\r\nRetry-After: 86400\r\nContent-Length: 0", ""),
            "asks to wait 86400 s",
        ),
        probe("500", status(500), "answered 500"),
        probe(
            "502 with a page",
            answer("502 Bad\r\nContent-Type: text/html", "<h1>Bad gateway</h1>"),
            "Bad gateway",
        ),
        probe("503", status(503), "safe to rerun"),
        probe("504", status(504), "answered 504"),
    ]
}

fn pages() -> Vec<Mode> {
    let endless = format!("{{\"name\": \"{}", "x".repeat(2 << 20));
    let deep = format!("{{\"x\": {}", "[".repeat(500));
    vec![
        probe("204", answer("204 No Content", ""), "expected a Simple API page"),
        probe("an empty answer", page(""), "expected a Simple API page"),
        probe(
            "a login elsewhere",
            answer("302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0", ""),
            "may be a login",
        ),
        probe("a redirect to nowhere", answer("302 Found\r\nContent-Length: 0", ""), "answered 302"),
        probe(
            "a redirect in a circle",
            answer("302 Found\r\nLocation: /simple/htty/\r\nContent-Length: 0", ""),
            "which is not followed",
        ),
        probe(
            "a redirect to a file",
            answer("302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0", ""),
            "which is not followed",
        ),
        probe(
            "a login form",
            typed("text/html", "<html><form><input name=user></form></html>"),
            "a form or a script",
        ),
        probe(
            "an application",
            typed("text/html", "<html><script src=app.js></script></html>"),
            "a form or a script",
        ),
        probe(
            "other links",
            typed("text/html", "<html><a href=/about>About</a></html>"),
            "none to a distribution",
        ),
        probe("plain text", typed("text/plain", "it works"), "not HTML"),
        probe("a list", page("[]"), "expected a Simple API page"),
        probe("null", page("null"), "expected a Simple API page"),
        probe("a number", page("7"), "expected a Simple API page"),
        probe("not JSON", page("{\"name\": "), "expected a Simple API page"),
        probe("JSON and more", page("{\"name\": \"htty\", \"files\": []} {}"), "expected a Simple API page"),
        probe("another project", page("{\"name\": \"other\", \"files\": []}"), "the page of `other`"),
        probe(
            "version 2",
            page("{\"meta\": {\"api-version\": \"2.0\"}, \"name\": \"htty\", \"files\": []}"),
            "version 2.0",
        ),
        probe("no files", page("{\"name\": \"htty\"}"), "no field `files`"),
        probe(
            "files in an object",
            page("{\"name\": \"htty\", \"files\": {}}"),
            "expected a Simple API page",
        ),
        probe("a file without a name", listed("{\"url\": \"/f\"}"), "missing field `filename`"),
        probe("a file without a URL", listed("{\"filename\": \"a\"}"), "missing field `url`"),
        probe("an invalid URL", listed("{\"filename\": \"a\", \"url\": \"http://[\"}"), "http://["),
        probe(
            "a size below zero",
            listed("{\"filename\": \"a\", \"url\": \"/f\", \"size\": -1}"),
            "expected u64",
        ),
        probe(
            "a list as the reason for a yank",
            listed("{\"filename\": \"a\", \"url\": \"/f\", \"yanked\": [1]}"),
            "a boolean or a string",
        ),
        probe("a name without end", page(endless.leak()), "a token longer than"),
        probe("nested without end", page(deep.leak()), "nested deeper"),
    ]
}

fn connections() -> Vec<Mode> {
    vec![
        probe(
            "compressed, unasked",
            answer("200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip", "\u{1f}\u{8b}\u{8}"),
            "expected a Simple API page",
        ),
        probe(
            "a body cut off",
            answer(
                &format!("200 OK\r\nContent-Type: {SIMPLE}\r\nContent-Length: 900"),
                "{\"name\": \"htty\", \"files\": []}",
            ),
            "the connection failed",
        ),
        probe(
            "a chunk cut off",
            answer(
                &format!("200 OK\r\nContent-Type: {SIMPLE}\r\nTransfer-Encoding: chunked"),
                "ff\r\n{\"name\"",
            ),
            "the connection failed",
        ),
        probe(
            "chunks that are none",
            answer(&format!("200 OK\r\nContent-Type: {SIMPLE}\r\nTransfer-Encoding: chunked"), "zz\r\n"),
            "the connection failed",
        ),
        probe("a head cut off", raw("HTTP/1.1 200 OK\r\nContent-"), "the connection failed"),
        probe("not HTTP", raw("SSH-2.0-OpenSSH_9.2\r\n"), "the connection failed"),
        probe("no answer", Fault::LostAnswer, "the connection failed"),
        probe("a reset", Fault::Reset, "the connection failed"),
    ]
}

fn uploads() -> Vec<Mode> {
    let upload = |what, fault, code, words| mode(Phase::Upload, what, fault, code, words);
    let later = |what, fault, words| mode(Phase::Later, what, fault, 4, words);
    let secret = format!("400 Bad\r\nContent-Type: text/plain\r\nX-Echo: {TOKEN}");
    let long = "words ".repeat(40_000);
    vec![
        upload("400", status(400), 1, "fix the errors above"),
        upload("400 with the token", answer(&secret, TOKEN), 1, "***"),
        upload(
            "400 without end of words",
            answer("400 Bad\r\nContent-Type: text/plain", &long),
            1,
            "words …",
        ),
        upload(
            "400 with control characters",
            answer("400 Bad\r\nContent-Type: text/plain", "a\u{1b}[2Jb"),
            1,
            "a[2Jb",
        ),
        upload("401", status(401), 1, "check `username` and `password`"),
        upload("403", status(403), 1, "check `username` and `password`"),
        upload("404", status(404), 1, "answered 404"),
        upload("405", status(405), 1, "answered 405"),
        upload("409", status(409), 4, "check `simple-url`"),
        upload("410", status(410), 1, "answered 410"),
        upload("411", status(411), 1, "answered 411"),
        upload("413", status(413), 1, "`max-file-size`"),
        upload("415", status(415), 1, "answered 415"),
        upload("422", status(422), 1, "answered 422"),
        upload("408", status(408), 3, "rerun"),
        upload(
            "429",
            answer("429 Slow\r\nRetry-After: 86400\r\nContent-Length: 0", ""),
            3,
            "asks to wait 86400 s",
        ),
        upload("500", status(500), 3, "rerun"),
        upload("502", status(502), 3, "rerun"),
        upload("503", status(503), 3, "rerun"),
        upload("520", status(520), 3, "rerun"),
        upload(
            "301",
            answer("301 Moved\r\nLocation: https://other.example/legacy/\r\nContent-Length: 0", ""),
            1,
            "set `index` to it",
        ),
        upload(
            "303",
            answer("303 See\r\nLocation: /login\r\nContent-Length: 0", ""),
            1,
            "which is not followed",
        ),
        upload(
            "307",
            answer("307 Temporary\r\nLocation: https://other.example/\r\nContent-Length: 0", ""),
            1,
            "which is not followed",
        ),
        upload(
            "308",
            answer("308 Permanent\r\nLocation: /legacy/\r\nContent-Length: 0", ""),
            1,
            "which is not followed",
        ),
        upload("a redirect to nowhere", status(302), 1, "answered 302"),
        upload("200, and nothing stored", status(200), 4, "did not list it within"),
        upload("200 with a login form", typed("text/html", "<form>"), 4, "did not list it within"),
        upload("not HTTP", raw("hello\r\n"), 3, "the connection failed"),
        upload("a head cut off", raw("HTTP/1.1 4"), 3, "the connection failed"),
        upload("a reset", Fault::Reset, 3, "the connection failed"),
        upload("no answer for too long", Fault::Hang, 3, "no answer for 1 s"),
        upload(
            "a trickle",
            Fault::Trickle(b"HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\n\r\n"),
            3,
            "no answer for 1 s",
        ),
        later("400", status(400), "only part of the release is on"),
        later("403", status(403), "check `username` and `password`"),
        later("413", status(413), "`max-file-size`"),
        later("500", status(500), "files already uploaded are skipped"),
        later("503", status(503), "files already uploaded are skipped"),
        later("a reset", Fault::Reset, "only part of the release is on"),
        later("no answer for too long", Fault::Hang, "no answer for 1 s"),
        later("200, and nothing stored", status(200), "did not list it within"),
    ]
}

fn verification_and_tokens() -> Vec<Mode> {
    let verify = |what, fault, words| mode(Phase::Verify, what, fault, 4, words);
    let audience = |what, fault, code, words| mode(Phase::Audience, what, fault, code, words);
    let mint = |what, fault, code, words| mode(Phase::Mint, what, fault, code, words);
    let json = |body: &str| typed("application/json", body);
    vec![
        verify("404", status(404), "did not list it within"),
        verify("500", status(500), "answered 500"),
        verify("a login form", typed("text/html", "<form>"), "a form or a script"),
        verify(
            "a body cut off",
            answer("200 OK\r\nContent-Type: application/json\r\nContent-Length: 900", "{"),
            "the connection failed",
        ),
        verify("no answer", Fault::LostAnswer, "the connection failed"),
        audience("404", status(404), 2, "does not offer trusted publishing"),
        audience(
            "disabled",
            answer(
                "403 Forbidden\r\nContent-Type: application/json",
                "{\"message\": \"Trusted publishing functionality not enabled\"}",
            ),
            3,
            "temporarily disabled trusted publishing",
        ),
        audience("500", status(500), 3, "cannot ask the index for its OIDC audience"),
        audience(
            "a redirect",
            answer("302 Found\r\nLocation: https://other.example/\r\nContent-Length: 0", ""),
            3,
            "which is not followed",
        ),
        audience("not JSON", json("{"), 3, "expected an audience"),
        audience("a number", json("{\"audience\": 7}"), 3, "expected an audience"),
        audience("PyPI's", json("{\"audience\": \"pypi\"}"), 1, "audience `pypi`"),
        audience("sigstore's", json("{\"audience\": \"Sigstore\"}"), 1, "audience `Sigstore`"),
        audience("another's", json("{\"audience\": \"cloud.example\"}"), 1, "`oidc-audience`"),
        mint(
            "422",
            answer(
                "422 No\r\nContent-Type: application/json",
                "{\"errors\": [{\"code\": \"invalid-publisher\", \"description\": \"x\"}]}",
            ),
            1,
            "none of their trusted publishers matches",
        ),
        mint(
            "new projects switched off",
            answer(
                "422 No\r\nContent-Type: application/json",
                "{\"errors\": [{\"code\": \"invalid-payload\", \"description\": \"New project registration temporarily disabled.\"}]}",
            ),
            3,
            "accepts no new projects for now",
        ),
        mint("403", status(403), 1, "the index rejected the OIDC token"),
        mint("500", status(500), 3, "hint: rerun"),
        mint("not JSON", json("<html>"), 3, "expected a minted token"),
        mint("no token", json("{\"success\": true}"), 3, "expected a minted token"),
        mint("an empty token", json("{\"success\": true, \"token\": \"\"}"), 3, "an answer without one"),
        mint(
            "a token of two lines",
            json("{\"success\": true, \"token\": \"pypi-a\\nb\"}"),
            3,
            "a token with invalid characters",
        ),
        mint(
            "a redirect",
            answer("307 Temporary\r\nLocation: https://other.example/\r\nContent-Length: 0", ""),
            3,
            "which is not followed",
        ),
    ]
}

fn run(set: &Set, url: &str, oidc: Option<&Oidc>) -> RunOutput {
    let mut command = set.command();
    command.args(["--index", url, "--allow-insecure-loopback", "--retry-for", "0", "--timeout", "1"]);
    command.args(["--verify-timeout", "0", "--concurrency", "1"]).env("HOME", set.dir.path());
    match oidc {
        Some(oidc) => command.envs(oidc.env()),
        None => command.env("INPUT_PASSWORD", TOKEN),
    };
    set.run(command)
}

fn check(mode: &Mode) {
    let set = Set::htty();
    let oidc = mode.phase.is_trusted().then(|| Oidc::start(0));
    let issued = oidc.as_ref().map(Oidc::issued);
    let index = Warehouse::start(Behaviour::default(), issued).with_projects(&["htty", "htty-core"]);
    let (prefix, passing) = mode.phase.requests();
    let proxy = Proxy::always(&index.url(), prefix, passing, mode.fault);
    let result = run(&set, &format!("{}legacy/", proxy.url()), oidc.as_ref());
    let when = format!("{:?}: {}", mode.phase, mode.what);
    assert_eq!(result.code, mode.code, "{when}: {}", result.text);
    assert!(result.text.contains(mode.words), "{when}: {}", result.text);
    assert!(result.text.contains("hint: "), "{when}: {}", result.text);
    assert!(!result.text.contains(TOKEN) && !result.text.contains('\u{1b}'), "{when}: {}", result.text);
    let expected = if mode.code == 4 { "partial" } else { "failed" };
    assert_eq!(result.report["result"], expected, "{when}: {}", result.report);
    // The report matches the index, and no file of the package that requires it
    // was sent.
    let stored: Vec<String> = index.shelf().files.keys().cloned().collect();
    assert!(stored.iter().all(|name| name.starts_with("htty_core")), "{when}: {stored:?}");
    for (name, state) in result.states_or_none() {
        let is_there = matches!(state.as_str(), "uploaded" | "present");
        assert!(!is_there || stored.contains(&name), "{when}: {name} {state}");
    }
    let result = run(&set, &index.url(), oidc.as_ref());
    assert_eq!(result.code, 0, "{when}, the next run: {}", result.text);
    let shelf = index.shelf();
    assert_eq!((shelf.files.len(), shelf.order.len()), (4, 4), "{when}");
    let accepted = shelf.uploads.iter().filter(|(_, status)| *status == 200).count();
    assert_eq!(accepted, 4, "sent twice, {when}: {:?}", shelf.uploads);
}

/// Two at a time, because each run mostly waits.
fn check_all(modes: &[Mode]) {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(mode) = modes.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if std::panic::catch_unwind(|| check(mode)).is_err() {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner(), 0, "modes failed, each with a message of its own");
}

#[test]
fn failures_before_the_first_byte() {
    for modes in [statuses(), pages(), connections()] {
        check_all(&modes);
    }
}

#[test]
fn failures_while_files_are_sent() {
    check_all(&uploads());
}

#[test]
fn failures_after_uploads_and_while_minting_tokens() {
    check_all(&verification_and_tokens());
}

#[test]
fn covers_enough_failures() {
    let all = [statuses(), pages(), connections(), uploads(), verification_and_tokens()];
    let count: usize = all.iter().map(Vec::len).sum();
    assert!(count >= 100, "{count}");
}
