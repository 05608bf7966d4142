//! Proxies, and authorities of one's own.

use std::path::PathBuf;
use std::process::Command;

use testkit::network::{ConnectProxy, Tls};
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::Set;

/// An index behind TLS, and the file with its authority's certificate.
fn index(set: &Set) -> (Warehouse, Tls, PathBuf) {
    let index = Warehouse::start(Behaviour::default(), None);
    let tls = Tls::start(&index.url(), &["localhost", "index.test"]);
    let path = set.folder.path().join("authority.pem");
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
fn an_authority_of_ones_own_is_trusted_by_ssl_cert_file() {
    let set = Set::htty();
    let (index, tls, authority) = index(&set);
    let url = format!("https://localhost:{}/legacy/", tls.port());
    // Without it: named, and not tried for minutes.
    let ran = set.run(command(&set, &url)).expect(3);
    assert!(ran.text.contains("the server's certificate is not trusted"), "{}", ran.text);
    assert!(ran.text.contains("set SSL_CERT_FILE") && !ran.text.contains("retrying"), "{}", ran.text);
    assert!(index.shelf().uploads.is_empty());
    let mut trusting = command(&set, &url);
    trusting.env("SSL_CERT_FILE", &authority);
    set.run(trusting).expect(0).all("uploaded");
    assert_eq!(index.shelf().files.len(), 4);
}

#[test]
fn a_certificate_for_another_host_is_not_trusted() {
    let set = Set::htty();
    let (index, tls, authority) = index(&set);
    let url = format!("https://127.0.0.1:{}/legacy/", tls.port());
    let mut command = command(&set, &url);
    command.env("SSL_CERT_FILE", authority);
    let ran = set.run(command).expect(3);
    assert!(ran.text.contains("the server's certificate is not trusted"), "{}", ran.text);
    assert!(index.shelf().uploads.is_empty());
}

/// Each form of the variables, in upper and in lower case.
#[test]
fn a_proxy_is_used() {
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
fn no_proxy_names_hosts_that_are_asked_directly() {
    for variable in ["NO_PROXY", "no_proxy"] {
        for hosts in ["index.test", "other.test,index.test", ".test", "*"] {
            let set = Set::htty();
            let (_index, tls, authority) = index(&set);
            let proxy = ConnectProxy::start(&tls.port());
            let mut command = command(&set, "https://index.test/legacy/");
            command.env("SSL_CERT_FILE", authority).env("HTTPS_PROXY", proxy.url()).env(variable, hosts);
            command.args(["--retry-for", "0"]);
            // The host exists for the proxy alone.
            let ran = set.run(command).expect(3);
            assert!(ran.text.contains("https://index.test/simple/"), "{hosts}: {}", ran.text);
            assert_eq!(proxy.asked(), Vec::<String>::new(), "{variable}={hosts}");
        }
    }
}

/// A proxy for HTTP is not asked for an https URL.
#[test]
fn http_proxy_is_for_http() {
    let set = Set::htty();
    let (_index, tls, authority) = index(&set);
    let proxy = ConnectProxy::start(&tls.port());
    let mut command = command(&set, "https://index.test/legacy/");
    command.env("SSL_CERT_FILE", authority).env("HTTP_PROXY", proxy.url()).args(["--retry-for", "0"]);
    set.run(command).expect(3);
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

/// A name with a token longer than a name server may be asked for.
#[test]
fn a_host_that_does_not_exist_is_not_tried_for_minutes() {
    let set = Set::htty();
    let ran = set.run(command(&set, &format!("https://{}.invalid/legacy/", "a".repeat(70)))).expect(3);
    assert!(ran.text.contains("the host name does not resolve"), "{}", ran.text);
    assert!(ran.text.contains("check the host name") && !ran.text.contains("retrying"), "{}", ran.text);
}
