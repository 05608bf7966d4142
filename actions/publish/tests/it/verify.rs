//! Waiting until the index lists the uploaded files.

use testkit::fault::{Fault, Proxy};
use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::Set;

/// Two packages, neither of which requires the other.
fn independent() -> Set {
    let set = Set::empty();
    set.add("one-1.0-py3-none-any.whl", "", 1000);
    set.add("two-1.0-py3-none-any.whl", "", 1000);
    set.write_manifest();
    set
}

/// One wait for all packages: each is sent before the wait starts.
#[test]
fn waits_for_independent_packages_together() {
    let (set, index) =
        (independent(), Warehouse::start(Behaviour { swallow: true, ..Behaviour::default() }, None));
    let result = set.publish(&index.url(), &["--verify-timeout", "1"]).expect(4);
    result.all("unverified");
    assert_eq!(index.shelf().uploads.len(), 2);
}

/// A package is not sent before a package that it requires is listed.
#[test]
fn waits_for_a_required_package_first() {
    let (set, index) =
        (Set::htty(), Warehouse::start(Behaviour { swallow: true, ..Behaviour::default() }, None));
    set.publish(&index.url(), &["--verify-timeout", "0"]).expect(4);
    assert!(index.shelf().uploads.iter().all(|(name, _)| name.starts_with("htty_core")));
}

/// The timeout also bounds a request that is never answered.
#[test]
fn keeps_to_the_verify_timeout() {
    let (set, index) = (independent(), Warehouse::start(Behaviour::default(), None));
    let proxy = Proxy::always(&index.url(), "GET /simple/", 2, Fault::Hang);
    let url = format!("{}legacy/", proxy.url());
    let result = set.publish(&url, &["--verify-timeout", "1"]).expect(4);
    result.all("unverified");
    assert!(result.text.contains("no complete response for 1 s"), "{}", result.text);
    set.publish(&index.url(), &[]).expect(0).all("present");
}

#[test]
fn fails_at_once_on_a_listed_file_with_another_hash() {
    let (set, index) = (independent(), Warehouse::start(Behaviour::default(), None));
    let page = format!(
        "{{\"meta\": {{\"api-version\": \"1.0\"}}, \"name\": \"one\", \"files\": [{{\"filename\": \
         \"one-1.0-py3-none-any.whl\", \"url\": \"/f\", \"hashes\": {{\"sha256\": \"{}\"}}}}]}}",
        "0".repeat(64)
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.pypi.simple.v1+json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{page}",
        page.len()
    );
    let proxy = Proxy::always(&index.url(), "GET /simple/one/", 1, Fault::Answer(answer.leak().as_bytes()));
    // Longer than a test may take: the run must not wait for it.
    let url = format!("{}legacy/", proxy.url());
    let result = set.publish(&url, &["--verify-timeout", "3600"]).expect(4);
    assert!(
        result.text.contains("one-1.0-py3-none-any.whl: the index has it with the SHA-256 0000"),
        "{}",
        result.text
    );
    assert!(!result.text.contains("two-1.0-py3-none-any.whl: "), "{}", result.text);
}
