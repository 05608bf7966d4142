//! Proxies and private certificate authorities.

use std::path::PathBuf;
use std::process::Command;

use testkit::network::{ConnectProxy, Tls};
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::Set;

/// An index behind TLS, and the certificate file of its authority.
fn index(set: &Set) -> (Warehouse, Tls, PathBuf) {
    let index = Warehouse::start(Behaviour::default(), None);
    let tls = Tls::start(&index.url(), &["localhost", "index.test"]);
    let path = set.dir.path().join("authority.pem");
    std::fs::write(&path, tls.authority()).unwrap();
    (index, tls, path)
}

fn command(set: &Set, url: &str) -> Command {
    let mut command = set.command();
    command
        .args(["--index", url])
        .env("INPUT_PASSWORD", TOKEN)
        .env("INPUT_RETRY_FOR", "6")
        .env_remove("SSL_CERT_DIR");
    command
}

#[test]
fn ssl_cert_file_adds_a_private_authority() {
    let set = Set::htty();
    let (index, tls, authority) = index(&set);
    let url = format!("https://localhost:{}/legacy/", tls.port());
    // Without it, the error names it, and the run does not retry for minutes.
    let result = set.run(command(&set, &url)).expect(3);
    assert!(result.text.contains("the server's certificate is not trusted"), "{}", result.text);
    assert!(
        result.text.contains("set SSL_CERT_FILE") && !result.text.contains("retrying"),
        "{}",
        result.text
    );
    assert!(index.shelf().uploads.is_empty());
    let mut trusting = command(&set, &url);
    trusting.env("SSL_CERT_FILE", &authority);
    set.run(trusting).expect(0).all("uploaded");
    assert_eq!(index.shelf().files.len(), 4);
}

#[test]
fn rejects_a_certificate_for_another_host() {
    let set = Set::htty();
    let (index, tls, authority) = index(&set);
    let url = format!("https://127.0.0.1:{}/legacy/", tls.port());
    let mut command = command(&set, &url);
    command.env("SSL_CERT_FILE", authority);
    let result = set.run(command).expect(3);
    assert!(result.text.contains("the server's certificate is not trusted"), "{}", result.text);
    assert!(index.shelf().uploads.is_empty());
}

/// All forms of the variables, in upper and lower case.
#[test]
fn uses_a_proxy() {
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let set = Set::htty();
        let (index, tls, authority) = index(&set);
        let proxy = ConnectProxy::start(&tls.port());
        let mut command = command(&set, "https://index.test/legacy/");
        command.env("SSL_CERT_FILE", authority).env(variable, proxy.url());
        set.run(command).expect(0).all("uploaded");
        assert_eq!(index.shelf().files.len(), 4, "{variable}");
        let asked = proxy.asked();
        assert!(
            !asked.is_empty() && asked.iter().all(|asked| asked == "CONNECT index.test:443"),
            "{asked:?}"
        );
    }
}

#[test]
fn no_proxy_excludes_hosts_from_the_proxy() {
    for variable in ["NO_PROXY", "no_proxy"] {
        for hosts in ["index.test", "other.test,index.test", ".test", "*"] {
            let set = Set::htty();
            let (_index, tls, authority) = index(&set);
            let proxy = ConnectProxy::start(&tls.port());
            let mut command = command(&set, "https://index.test/legacy/");
            command.env("SSL_CERT_FILE", authority).env("HTTPS_PROXY", proxy.url()).env(variable, hosts);
            command.args(["--retry-for", "0"]);
            // Only the proxy can resolve the host.
            let result = set.run(command).expect(3);
            assert!(result.text.contains("https://index.test/simple/"), "{hosts}: {}", result.text);
            assert_eq!(proxy.asked(), Vec::<String>::new(), "{variable}={hosts}");
        }
    }
}

/// An HTTP proxy is not used for an https URL.
#[test]
fn http_proxy_applies_only_to_http() {
    let set = Set::htty();
    let (_index, tls, authority) = index(&set);
    let proxy = ConnectProxy::start(&tls.port());
    let mut command = command(&set, "https://index.test/legacy/");
    command.env("SSL_CERT_FILE", authority).env("HTTP_PROXY", proxy.url()).args(["--retry-for", "0"]);
    set.run(command).expect(3);
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

/// A host name with a label longer than DNS allows.
#[test]
fn does_not_retry_a_host_that_does_not_exist() {
    let set = Set::htty();
    let result = set.run(command(&set, &format!("https://{}.invalid/legacy/", "a".repeat(70)))).expect(3);
    assert!(result.text.contains("the host name does not resolve"), "{}", result.text);
    assert!(
        result.text.contains("check the host name") && !result.text.contains("retrying"),
        "{}",
        result.text
    );
}
