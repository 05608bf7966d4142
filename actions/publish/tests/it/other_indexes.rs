//! Indexes that forward, hide, or are addressed wrongly, and PyPI's incidents.

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
fn a_redirect_to_another_index_means_not_here() {
    let forwards = Some("https://other.example/simple/");
    let (set, index) = (Set::htty(), start(Behaviour { forwards, ..Behaviour::default() }));
    let ran = set.publish(&index.url(), &[]).expect(0);
    ran.all("uploaded");
    assert!(ran.text.contains("which forwards to https://other.example/simple/htty/"), "{}", ran.text);
    set.publish(&index.url(), &[]).expect(0).all("present");
}

/// To whoever may not read, a private project does not exist.
#[test]
fn the_password_is_sent_with_the_first_request() {
    let (set, index) = (Set::htty(), start(Behaviour { private: true, ..Behaviour::default() }));
    index.put("htty-0.3.0.tar.gz", "htty", b"other bytes");
    let ran = set.publish(&index.url(), &[]).expect(1);
    assert!(ran.text.contains("htty-0.3.0.tar.gz: the index has it with the sha256"), "{}", ran.text);
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn a_simple_api_on_another_host_has_a_password_of_its_own() {
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
    // The upload's password does not go there.
    run(None).expect(0).all("absent");
    let ran = run(Some(TOKEN)).expect(1);
    assert!(ran.text.contains("htty-0.3.0.tar.gz: the index has it with the sha256"), "{}", ran.text);
}

#[test]
fn a_wrong_simple_url_is_named() {
    let (set, index) = (Set::htty(), start(Behaviour { other_simple: true, ..Behaviour::default() }));
    index.put("htty_core-0.3.0-py3-none-manylinux_2_17_x86_64.whl", "htty-core", b"other bytes");
    let ran = set.publish(&index.url(), &[]).expect(4);
    assert!(ran.text.contains("the upload API says that it exists"), "{}", ran.text);
    assert!(
        ran.text.contains("does not list it") && ran.text.contains("hint: check `simple-url`"),
        "{}",
        ran.text
    );
    assert!(!ran.text.contains("nothing was published"), "{}", ran.text);
}

#[test]
fn an_incident_is_waited_for_and_never_blamed_on_the_password() {
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
    let ran = set.publish(&index.url(), &["--retry-for", "1"]).expect(3);
    assert!(
        ran.text.contains("Read-only mode") && ran.text.contains("wait until it is open again"),
        "{}",
        ran.text
    );
    assert!(!ran.text.contains("`password`"), "{}", ran.text);
}

#[test]
fn nothing_goes_to_this_machine_through_a_proxy() {
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
fn a_proxy_is_used_and_named_when_it_fails() {
    let set = Set::htty();
    let mut command = set.command();
    command.args(["--index", "https://index.invalid/legacy/", "--dry-run"]).env("INPUT_PASSWORD", TOKEN);
    command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("INPUT_RETRY_FOR", "0");
    let ran = set.run(command).expect(3);
    assert!(ran.text.contains("check the network and HTTPS_PROXY"), "{}", ran.text);
}

#[test]
fn a_password_comes_from_a_file_standard_input_or_netrc() {
    for source in ["file", "netrc", "pypirc"] {
        let (set, index) = (Set::htty(), start(Behaviour::default()));
        let mut command = set.command();
        command.args(["--index", &index.url(), "--allow-insecure-loopback"]).env("HOME", set.folder.path());
        let write = |name: &str, text: String| {
            let path = set.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        match source {
            "file" => {
                command.arg("--password-file").arg(write("token", format!("{TOKEN}\n")));
            }
            "netrc" => drop(write(".netrc", format!("machine 127.0.0.1 login __token__ password {TOKEN}"))),
            _ => {
                let text =
                    format!("[here]\nrepository = {}\nusername = __token__\npassword = {TOKEN}", index.url());
                drop(write(".pypirc", text));
            }
        }
        set.run(command).expect(0).all("uploaded");
    }
}

/// PyPI's administrators have switched attestations off: the files are right.
#[test]
fn an_index_without_attestations_is_not_waited_for() {
    use testkit::sigstore::Sigstore;

    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let sigstore = Sigstore::start(oidc.issued(), 0);
    let behaviour = Behaviour { no_attestations: true, ..Behaviour::default() };
    let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let config = set.folder.path().join("trust-config.json");
    std::fs::write(&config, sigstore.trust_config().to_string()).unwrap();
    let args = ["--attestations", "required", "--trust-config", config.to_str().unwrap()];
    let ran = set.publish_trusted(&index.url(), &oidc, &args).expect(1);
    ran.all("uploaded");
    assert!(ran.text.contains("without the attestations that were sent"), "{}", ran.text);
}

/// What other indexes answer to a file that they have, while the Simple API that
/// was given does not list it: the address is wrong, and no password is.
#[test]
fn recorded_answers_of_other_indexes_are_understood() {
    for recorded in testkit::refusals::OTHERS {
        let answer = Some((recorded.status, recorded.body.0, recorded.body.1));
        let (set, index) = (Set::htty(), start(Behaviour { answer, ..Behaviour::default() }));
        let ran = set.publish(&index.url(), &["--retry-for", "0"]).expect(4);
        let name = recorded.index;
        assert!(ran.text.contains(recorded.words), "{name}: {}", ran.text);
        assert!(ran.text.contains("the upload API says that it exists"), "{name}: {}", ran.text);
        assert!(ran.text.contains("hint: check `simple-url`"), "{name}: {}", ran.text);
        assert!(!ran.text.contains("`password`"), "{name}: {}", ran.text);
    }
}

/// The table in the README: each address is one that the inputs accept, and
/// where no `simple-url` is given, the Simple API is the index's own.
#[test]
fn the_addresses_in_the_readme_are_accepted() {
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
