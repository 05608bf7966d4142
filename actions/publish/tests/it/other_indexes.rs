//! Indexes that forward or hide projects, wrong URLs, and PyPI's incidents.

use std::net::TcpListener;

use pydist::name::ProjectName;
use testkit::oidc::Oidc;
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::Set;

fn start(behaviour: Behaviour) -> Warehouse {
    Warehouse::start(behaviour, None)
}

/// GitLab's default, and pypiserver's fallback.
#[test]
fn a_redirect_to_another_index_means_a_missing_project() {
    let forwards = Some("https://other.example/simple/");
    let (set, index) = (Set::htty(), start(Behaviour { forwards, ..Behaviour::default() }));
    let result = set.publish(&index.url(), &[]).expect(0);
    result.all("uploaded");
    assert!(result.text.contains("which forwards to https://other.example/simple/htty/"), "{}", result.text);
    set.publish(&index.url(), &[]).expect(0).all("present");
}

/// A private project looks missing to users who may not read it.
#[test]
fn sends_the_password_with_the_first_request() {
    let (set, index) = (Set::htty(), start(Behaviour { private: true, ..Behaviour::default() }));
    index.put("htty-0.3.0.tar.gz", "htty", b"other bytes");
    let result = set.publish(&index.url(), &[]).expect(1);
    assert!(result.text.contains("htty-0.3.0.tar.gz: the index has it with the SHA-256"), "{}", result.text);
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn a_simple_api_on_another_host_has_its_own_password() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let other = start(Behaviour { private: true, ..Behaviour::default() });
    other.put("htty-0.3.0.tar.gz", "htty", b"other bytes");
    let simple = other.url().replace("legacy", "simple");
    let run = |password: Option<&str>| {
        let mut command = set.command();
        command.args([
            "--index",
            &index.url(),
            "--simple-url",
            &simple,
            "--allow-insecure-loopback",
            "--dry-run",
        ]);
        command.env("INPUT_PASSWORD", TOKEN);
        command.envs(password.map(|password| ("INPUT_SIMPLE_PASSWORD", password)));
        set.run(command)
    };
    // The upload password is not sent there.
    run(None).expect(0).all("absent");
    let result = run(Some(TOKEN)).expect(1);
    assert!(result.text.contains("htty-0.3.0.tar.gz: the index has it with the SHA-256"), "{}", result.text);
}

#[test]
fn names_a_wrong_simple_url() {
    let (set, index) = (Set::htty(), start(Behaviour { other_simple: true, ..Behaviour::default() }));
    index.put("htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl", "htty-core", b"other bytes");
    let result = set.publish(&index.url(), &[]).expect(4);
    assert!(result.text.contains("the upload API says that it exists"), "{}", result.text);
    assert!(
        result.text.contains("does not list it") && result.text.contains("hint: check `simple-url`"),
        "{}",
        result.text
    );
    assert!(!result.text.contains("nothing was published"), "{}", result.text);
}

#[test]
fn waits_for_an_incident_and_does_not_blame_the_password() {
    let (set, index) = (
        Set::htty(),
        start(Behaviour {
            incident: Some((2, 403, "Read-only mode: Uploads are temporarily disabled.")),
            ..Behaviour::default()
        }),
    );
    set.publish(&index.url(), &[]).expect(0).all("uploaded");
    let (set, index) = (
        Set::htty(),
        start(Behaviour {
            incident: Some((1000, 403, "Read-only mode: Uploads are temporarily disabled.")),
            ..Behaviour::default()
        }),
    );
    let result = set.publish(&index.url(), &["--retry-for", "1"]).expect(3);
    assert!(
        result.text.contains("Read-only mode") && result.text.contains("wait until it enables them again"),
        "{}",
        result.text
    );
    assert!(!result.text.contains("`password`"), "{}", result.text);
}

#[test]
fn does_not_use_a_proxy_for_loopback() {
    let (set, index) = (Set::htty(), start(Behaviour::default()));
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("INPUT_PASSWORD", TOKEN);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"] {
        command.env(name, &address);
    }
    set.run(command).expect(0).all("uploaded");
    assert_eq!(proxy.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn names_a_proxy_that_fails() {
    let set = Set::htty();
    let mut command = set.command();
    command.args(["--index", "https://index.invalid/legacy/", "--dry-run"]).env("INPUT_PASSWORD", TOKEN);
    command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("INPUT_RETRY_FOR", "0");
    let result = set.run(command).expect(3);
    assert!(result.text.contains("check the network and HTTPS_PROXY"), "{}", result.text);
}

#[test]
fn reads_a_password_from_a_file_standard_input_or_netrc() {
    for source in ["file", ".netrc", "_netrc", "pypirc"] {
        let (set, index) = (Set::htty(), start(Behaviour::default()));
        let mut command = set.command();
        command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("HOME", set.dir.path());
        let write = |name: &str, text: String| {
            let path = set.dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        match source {
            "file" => {
                command.arg("--password-file").arg(write("token", format!("{TOKEN}\n")));
            }
            ".netrc" => drop(write(source, format!("machine 127.0.0.1 login __token__ password {TOKEN}"))),
            // As on Windows, with the byte order mark of PowerShell.
            "_netrc" => {
                let text = format!("\u{feff}machine 127.0.0.1\r\nlogin __token__\r\npassword {TOKEN}\r\n");
                drop(write(source, text));
            }
            _ => {
                let text =
                    format!("[here]\nrepository = {}\nusername = __token__\npassword = {TOKEN}", index.url());
                drop(write(".pypirc", text));
            }
        }
        set.run(command).expect(0).all("uploaded");
    }
}

/// PyPI's administrators have switched attestations off; the files are valid.
#[test]
fn does_not_wait_for_attestations_that_are_switched_off() {
    use testkit::sigstore::Sigstore;

    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let sigstore = Sigstore::start(oidc.issued(), 0);
    let behaviour = Behaviour { no_attestations: true, ..Behaviour::default() };
    let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.dir.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let result = set.publish_trusted(&index.url(), &oidc, &args).expect(1);
    result.all("uploaded");
    assert!(result.text.contains("without the attestations that were sent"), "{}", result.text);
}

/// Other indexes' answers to a file that they have, while the given Simple API
/// does not list it: the hint blames the URL, not the password.
#[test]
fn classifies_recorded_answers_of_other_indexes() {
    for recorded in testkit::refusals::OTHERS {
        let answer = Some((recorded.status, recorded.body.0, recorded.body.1));
        let (set, index) = (Set::htty(), start(Behaviour { answer, ..Behaviour::default() }));
        let result = set.publish(&index.url(), &["--retry-for", "0"]).expect(4);
        let name = recorded.index;
        assert!(result.text.contains(recorded.words), "{name}: {}", result.text);
        assert!(result.text.contains("the upload API says that it exists"), "{name}: {}", result.text);
        assert!(result.text.contains("hint: check `simple-url`"), "{name}: {}", result.text);
        assert!(!result.text.contains("`password`"), "{name}: {}", result.text);
    }
}

/// The table in the README: the inputs accept each URL, and without a `simple-url`
/// the Simple API is the index's own.
#[test]
fn accepts_the_urls_in_the_readme() {
    let readme = include_str!("../../README.md");
    let start = readme.find("| index | `index` | `simple-url` |").unwrap();
    let rows = readme[start..].lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut seen = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let address = |cell: &str| {
            let text = cell.trim_matches('`').replace("<host>", "index.example");
            text.replace("<other host>", "other.example").replace(['<', '>'], "").replace(' ', "-")
        };
        let (upload, simple) = (address(cells[1]), address(cells[2]));
        let given = Some(simple.as_str()).filter(|simple| !simple.is_empty());
        let index = index::Index::parse(&upload, given, false).unwrap();
        let page = index.project(&ProjectName::new("htty")).to_string();
        assert!(page.ends_with("simple/htty/"), "{row}: {page}");
        assert!(given.is_some() || page.starts_with(upload.trim_end_matches('/')), "{row}: {page}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
}
