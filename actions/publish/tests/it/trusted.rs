//! Trusted publishing: identity in, token out.

use testkit::oidc::Oidc;
use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::Set;

#[test]
fn an_identity_is_exchanged_for_a_token() {
    let (set, oidc) = (Set::htty(), Oidc::start(2));
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let ran = set.publish_trusted(&index.url(), &oidc, &[]).expect(0);
    ran.all("uploaded");
    assert_eq!(oidc.issued().audiences(), ["127.0.0.1"], "one token for both packages");
    assert!(!ran.text.contains("pypi-minted"));
}

#[test]
fn a_token_that_expires_is_minted_again_once() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour { expired: 1, ..Behaviour::default() }, Some(oidc.issued()))
        .with_projects(&["htty", "htty-core"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0).all("uploaded");
    assert_eq!(oidc.issued().audiences().len(), 2, "a JWT is good for one exchange");
}

#[test]
fn a_token_that_is_almost_over_is_replaced() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour { life: Some(299), ..Behaviour::default() }, Some(oidc.issued()))
        .with_projects(&["htty", "htty-core"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0).all("uploaded");
    // One to begin with, and one for each file, each for a fresh identity.
    assert_eq!((index.minted(), oidc.issued().audiences().len()), (5, 5));
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour { life: Some(600), ..Behaviour::default() }, Some(oidc.issued()))
        .with_projects(&["htty", "htty-core"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0);
    assert_eq!(index.minted(), 1);
}

#[test]
fn a_project_that_the_token_is_not_for_is_not_tried_again() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let reason = "The user isn't allowed to upload to project 'htty'.";
    let rejects = Some(("htty-0.3.0-py3-none-any.whl", 403, reason));
    let index = Warehouse::start(Behaviour { rejects, ..Behaviour::default() }, Some(oidc.issued()))
        .with_projects(&["htty", "htty-core"]);
    let ran = set.publish_trusted(&index.url(), &oidc, &[]).expect(4);
    assert!(
        ran.text.contains(reason) && ran.text.contains("the token is valid, but not for this project"),
        "{}",
        ran.text
    );
    assert_eq!(index.shelf().uploads.iter().filter(|(_, status)| *status == 403).count(), 1);
    assert_eq!(index.minted(), 1);
}

#[test]
fn a_refused_identity_is_shown_as_the_index_saw_it() {
    for (code, advice) in [
        ("invalid-publisher", "no trusted publisher of theirs matches"),
        ("not-enabled", "has switched trusted publishing off"),
        ("invalid-pending-publisher", "exists already"),
    ] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let behaviour = Behaviour { refuses: Some(code), ..Behaviour::default() };
        let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        let ran = set.publish_trusted(&index.url(), &oidc, &[]).expect(1);
        assert!(ran.text.contains(code) && ran.text.contains(advice), "{}", ran.text);
        assert!(ran.text.contains("workflow_ref: octo/htty/.github/workflows/release.yml"), "{}", ran.text);
        assert!(!ran.text.contains("eyJ"), "{}", ran.text);
        assert_eq!(oidc.issued().audiences().len(), 1, "final: not tried again");
    }
}

#[test]
fn a_project_that_would_be_made_is_told() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty"]);
    let ran = set.publish_trusted(&index.url(), &oidc, &["--dry-run", "auth"]).expect(0);
    assert!(ran.text.contains("`htty-core` does not exist on"), "{}", ran.text);
    assert_eq!((index.minted(), index.shelf().uploads.len()), (1, 0));
}

#[test]
fn a_token_for_others_is_never_asked_for() {
    for audience in ["pypi", "testpypi", "sigstore", "sts.amazonaws.com"] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let behaviour = Behaviour { audience: Some(audience.to_owned()), ..Behaviour::default() };
        let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        let ran = set.publish_trusted(&index.url(), &oidc, &[]).expect(1);
        assert!(ran.text.contains(&format!("audience `{audience}`")), "{}", ran.text);
        assert!(oidc.issued().audiences().is_empty(), "no identity was issued");
    }
}

#[test]
fn the_dry_run_goes_as_deep_as_it_is_told() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    set.publish_trusted("http://127.0.0.1:9/", &oidc, &["--dry-run", "offline"]).expect(0).all("unknown");
    set.publish_trusted(&index.url(), &oidc, &["--dry-run", "probe"]).expect(0).all("absent");
    assert!(oidc.issued().audiences().is_empty());
    set.publish_trusted(&index.url(), &oidc, &["--dry-run", "auth"]).expect(0);
    assert_eq!(oidc.issued().audiences(), ["127.0.0.1"]);
    assert!(index.shelf().uploads.is_empty());
}

#[test]
fn without_an_identity_it_says_what_is_missing() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]);
    let ran = set.run(command).expect(2);
    assert!(ran.text.contains("permissions: id-token: write"), "{}", ran.text);
    let oidc = Oidc::start(0);
    let ran = set.publish_trusted(&index.url(), &oidc, &[]).expect(2);
    assert!(ran.text.contains("does not offer trusted publishing"), "{}", ran.text);
}

/// Warehouse answers the second one with 400, when the first is up.
#[test]
fn two_new_projects_are_refused_before_the_first_byte() {
    for args in [&[][..], &["--dry-run", "auth"]] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let index = Warehouse::start(Behaviour::default(), Some(oidc.issued()));
        let ran = set.publish_trusted(&index.url(), &oidc, args).expect(1);
        assert!(ran.text.contains("`htty` and `htty-core` do not exist"), "{}", ran.text);
        assert!(ran.text.contains("register a pending publisher for `htty`"), "{}", ran.text);
        assert_eq!((index.minted(), index.shelf().uploads.len()), (0, 0), "a token would create a project");
    }
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0).all("uploaded");
}

#[test]
fn a_missing_publisher_differs_from_a_missing_project() {
    for (known, words) in
        [(&["htty", "htty-core"][..], "the projects exist"), (&["htty"], "`htty-core` is not on the index")]
    {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let behaviour = Behaviour { refuses: Some("invalid-publisher"), ..Behaviour::default() };
        let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(known);
        let ran = set.publish_trusted(&index.url(), &oidc, &["--dry-run", "auth"]).expect(1);
        assert!(ran.text.contains(words), "{}", ran.text);
        assert!(
            ran.text.contains("trusted publisher") || ran.text.contains("pending publisher"),
            "{}",
            ran.text
        );
    }
}
