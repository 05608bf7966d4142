//! Waiting until the index lists what was sent.

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

/// One wait for all of them: each was sent before the first was waited for.
#[test]
fn packages_are_waited_for_together() {
    let (set, index) =
        (independent(), Warehouse::start(Behaviour { swallow: true, ..Behaviour::default() }, None));
    let ran = set.publish(&index.url(), &["--verify-timeout", "1"]).expect(4);
    ran.all("unverified");
    assert_eq!(index.shelf().uploads.len(), 2);
}

/// A package that requires another one is not sent before that is listed.
#[test]
fn order_goes_before_speed() {
    let (set, index) =
        (Set::htty(), Warehouse::start(Behaviour { swallow: true, ..Behaviour::default() }, None));
    set.publish(&index.url(), &["--verify-timeout", "0"]).expect(4);
    assert!(index.shelf().uploads.iter().all(|(name, _)| name.starts_with("htty_core")));
}

/// The page does not answer at all: the time for verifying bounds that, too.
#[test]
fn the_time_for_verifying_is_kept_to() {
    let (set, index) = (independent(), Warehouse::start(Behaviour::default(), None));
    let proxy = Proxy::always(&index.url(), "GET /simple/", 2, Fault::Hang);
    let url = format!("{}legacy/", proxy.url());
    let ran = set.publish(&url, &["--verify-timeout", "1"]).expect(4);
    ran.all("unverified");
    assert!(ran.text.contains("no complete response for 1 s"), "{}", ran.text);
    set.publish(&index.url(), &[]).expect(0).all("present");
}

#[test]
fn what_is_listed_with_another_hash_is_an_error_at_once() {
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
    // Longer than a test may take: it must not be waited for.
    let url = format!("{}legacy/", proxy.url());
    let ran = set.publish(&url, &["--verify-timeout", "3600"]).expect(4);
    assert!(
        ran.text.contains("one-1.0-py3-none-any.whl: the index has it with the sha256 0000"),
        "{}",
        ran.text
    );
    assert!(!ran.text.contains("two-1.0-py3-none-any.whl: "), "{}", ran.text);
}
