//! A run leaves no secret behind, whatever the index answers.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use testkit::oidc::{Oidc, REQUEST_TOKEN};
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::Set;

/// Everything that a run has written: both streams and all files.
fn traces(set: &Set, text: &str) -> String {
    let mut all = text.to_owned();
    for entry in std::fs::read_dir(set.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            all += &String::from_utf8_lossy(&std::fs::read(path).unwrap());
        }
    }
    // The command that masks a secret must contain it.
    all.lines().filter(|line| !line.starts_with("::add-mask::")).collect::<Vec<_>>().join("\n")
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// The index rejects the token and echoes it, plain and as received.
    #[test]
    fn hides_an_echoed_token(token in "[!-~][ -~]{6,58}[!-~]", runner in any::<bool>()) {
        let (set, index) = (Set::htty(), Warehouse::start(Behaviour { echo: true, ..Behaviour::default() }, None));
        let mut command = set.command();
        command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("INPUT_PASSWORD", &token);
        if runner {
            command.env("GITHUB_ACTIONS", "true");
            command.env("GITHUB_OUTPUT", set.dir.path().join("output"));
            command.env("GITHUB_STEP_SUMMARY", set.dir.path().join("summary"));
        }
        let result = set.run(command).expect(1);
        let all = traces(&set, &result.text);
        let header = BASE64_STANDARD.encode(format!("__token__:{token}"));
        let folded = token.split_whitespace().collect::<Vec<_>>().join(" ");
        for form in [token.clone(), folded, header, percent(&token), BASE64_STANDARD.encode(&token)] {
            prop_assert!(!all.contains(&form), "{form} in {all}");
        }
    }
}

/// A waiting process has no secret in its arguments, and a crash would leave none.
#[test]
#[cfg(target_os = "linux")]
fn a_running_process_shows_no_token() {
    use std::os::unix::fs::MetadataExt as _;
    use std::process::Stdio;

    use testkit::fault::{Fault, Point, Proxy};

    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let proxy = Proxy::start(&index.url(), &[(0, Fault::Stop(Point::Head))]);
    let url = format!("{}legacy/", proxy.url());
    let mut command = set.command();
    command.args(["--index", &url, "--allow-insecure-loopback"]).env("INPUT_PASSWORD", TOKEN);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    proxy.wait_for_stop();
    let proc = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
    let (arguments, limits) = (proc("cmdline"), proc("limits"));
    let children = proc(&format!("task/{}/children", child.id()));
    // These files of an undumpable process belong to root.
    let owner = std::fs::metadata(format!("/proc/{}/mem", child.id())).unwrap().uid();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!arguments.contains(TOKEN), "{arguments}");
    assert!(!traces(&set, "").contains(TOKEN));
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert_eq!((owner, children.as_str()), (0, ""));
}

/// Cutting the message before masking would leave half a token.
#[test]
fn hides_a_whole_token_at_the_end_of_a_message() {
    for before in [280, 290, 297] {
        let reason = format!("{} {TOKEN}", "x".repeat(before));
        let rejects = Some(("htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl", 400, &*reason.leak()));
        let set = Set::htty();
        let index = Warehouse::start(Behaviour { rejects, ..Behaviour::default() }, None);
        let result = set.publish(&index.url(), &[]).expect(1);
        let all = traces(&set, &result.text);
        assert!(all.contains("xxx") && !all.contains("pypi-"), "{all}");
    }
}

#[test]
fn neither_identity_nor_minted_token_leaves_a_trace() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    // The page is stale, so that the upload itself has the conflict.
    let behaviour = Behaviour { cached: 100, echo: true, ..Behaviour::default() };
    let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    set.publish_trusted(&index.url(), &oidc, &["--dry-run"]).expect(0);
    index.put("htty_core-0.3.0.tar.gz", "htty-core", b"other");
    let result = set.publish_trusted(&index.url(), &oidc, &["--verify-timeout", "1"]);
    assert_ne!(result.code, 0, "{}", result.text);
    let all = traces(&set, &result.text);
    for secret in ["pypi-minted", REQUEST_TOKEN, "eyJ"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}
