//! Trusted publishing: identity in, token out.

use testkit::oidc::Oidc;
use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::Set;

#[test]
fn exchanges_an_identity_for_a_token() {
    let (set, oidc) = (Set::htty(), Oidc::start(2));
    let index =
        Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
    let result = set.publish_trusted(&index.url(), &oidc, &[]).expect(0);
    result.all("uploaded");
    assert_eq!(oidc.issued().audiences(), ["127.0.0.1"], "one token for both packages");
    assert!(!result.text.contains("pypi-minted"));
}

#[test]
fn mints_an_expired_token_again_once() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour { expired: 1, ..Behaviour::default() }, Some(oidc.issued()))
        .with_projects(&["htty", "htty-core"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0).all("uploaded");
    assert_eq!(oidc.issued().audiences().len(), 2, "a JWT is good for one exchange");
}

#[test]
fn replaces_a_token_that_is_about_to_expire() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour { life: Some(299), ..Behaviour::default() }, Some(oidc.issued()))
        .with_projects(&["htty", "htty-core"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0).all("uploaded");
    // One at first and one for each file, each for a fresh identity.
    assert_eq!((index.minted(), oidc.issued().audiences().len()), (5, 5));
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour { life: Some(600), ..Behaviour::default() }, Some(oidc.issued()))
        .with_projects(&["htty", "htty-core"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0);
    assert_eq!(index.minted(), 1);
}

#[test]
fn does_not_retry_a_project_outside_the_tokens_scope() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let reason = "The user isn't allowed to upload to project 'htty'.";
    let rejects = Some(("htty-0.3.0-py3-none-any.whl", 403, reason));
    let index = Warehouse::start(Behaviour { rejects, ..Behaviour::default() }, Some(oidc.issued()))
        .with_projects(&["htty", "htty-core"]);
    let result = set.publish_trusted(&index.url(), &oidc, &[]).expect(4);
    assert!(
        result.text.contains(reason) && result.text.contains("the token is valid, but not for this project"),
        "{}",
        result.text
    );
    assert_eq!(index.shelf().uploads.iter().filter(|(_, status)| *status == 403).count(), 1);
    assert_eq!(index.minted(), 1);
}

#[test]
fn shows_the_claims_of_a_rejected_identity() {
    for (code, advice) in [
        ("invalid-publisher", "none of their trusted publishers matches"),
        ("not-enabled", "has disabled trusted publishing"),
        ("invalid-pending-publisher", "exists already"),
    ] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let behaviour = Behaviour { refuses: Some(code), ..Behaviour::default() };
        let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        let result = set.publish_trusted(&index.url(), &oidc, &[]).expect(1);
        assert!(result.text.contains(code) && result.text.contains(advice), "{}", result.text);
        assert!(
            result.text.contains("workflow_ref: octo/htty/.github/workflows/release.yml"),
            "{}",
            result.text
        );
        assert!(!result.text.contains("eyJ"), "{}", result.text);
        assert_eq!(oidc.issued().audiences().len(), 1, "final: not tried again");
    }
}

#[test]
fn reports_a_project_that_would_be_created() {
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty"]);
    let result = set.publish_trusted(&index.url(), &oidc, &["--dry-run", "auth"]).expect(0);
    assert!(result.text.contains("`htty-core` does not exist on"), "{}", result.text);
    assert_eq!((index.minted(), index.shelf().uploads.len()), (1, 0));
}

#[test]
fn never_requests_a_token_for_another_audience() {
    for audience in ["pypi", "testpypi", "sigstore", "sts.amazonaws.com"] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let behaviour = Behaviour { audience: Some(audience.to_owned()), ..Behaviour::default() };
        let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        let result = set.publish_trusted(&index.url(), &oidc, &[]).expect(1);
        assert!(result.text.contains(&format!("audience `{audience}`")), "{}", result.text);
        assert!(oidc.issued().audiences().is_empty(), "no identity was issued");
    }
}

#[test]
fn dry_run_has_three_levels() {
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
fn reports_a_missing_identity() {
    let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
    let mut command = set.command();
    command.args(["--index", &index.url(), "--allow-insecure-loopback"]);
    let result = set.run(command).expect(2);
    assert!(result.text.contains("permissions: id-token: write"), "{}", result.text);
    let oidc = Oidc::start(0);
    let result = set.publish_trusted(&index.url(), &oidc, &[]).expect(2);
    assert!(result.text.contains("does not offer trusted publishing"), "{}", result.text);
}

/// Warehouse answers 400 to the second one when the first is uploaded.
#[test]
fn rejects_two_new_projects_before_the_first_byte() {
    for args in [&[][..], &["--dry-run", "auth"]] {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let index = Warehouse::start(Behaviour::default(), Some(oidc.issued()));
        let result = set.publish_trusted(&index.url(), &oidc, args).expect(1);
        assert!(result.text.contains("`htty` and `htty-core` do not exist"), "{}", result.text);
        assert!(result.text.contains("register a pending publisher for `htty`"), "{}", result.text);
        assert_eq!((index.minted(), index.shelf().uploads.len()), (0, 0), "a token would create a project");
    }
    let (set, oidc) = (Set::htty(), Oidc::start(0));
    let index = Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty"]);
    set.publish_trusted(&index.url(), &oidc, &[]).expect(0).all("uploaded");
}

#[test]
fn distinguishes_a_missing_publisher_from_a_missing_project() {
    for (known, words) in
        [(&["htty", "htty-core"][..], "the projects exist"), (&["htty"], "`htty-core` is not on the index")]
    {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let behaviour = Behaviour { refuses: Some("invalid-publisher"), ..Behaviour::default() };
        let index = Warehouse::start(behaviour, Some(oidc.issued())).with_projects(known);
        let result = set.publish_trusted(&index.url(), &oidc, &["--dry-run", "auth"]).expect(1);
        assert!(result.text.contains(words), "{}", result.text);
        assert!(
            result.text.contains("trusted publisher") || result.text.contains("pending publisher"),
            "{}",
            result.text
        );
    }
}
