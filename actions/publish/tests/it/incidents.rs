//! PyPI's incidents, and accounts that may not upload: neither is blamed on the
//! password.

use testkit::refusals::REFUSALS;
use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::{Ran, Set};

/// A run whose uploads are all refused like this.
fn refused(status: u16, words: &'static str, args: &[&str]) -> Ran {
    let set = Set::htty();
    let behaviour = Behaviour { incident: Some((u32::MAX, status, words)), ..Behaviour::default() };
    let index = Warehouse::start(behaviour, None);
    let ran = set.publish(&index.url(), args);
    assert!(index.shelf().files.is_empty());
    ran
}

#[test]
fn an_incident_is_waited_for() {
    let incidents = REFUSALS.iter().filter(|recorded| recorded.meaning == "Incident");
    let cases: Vec<(u16, &str)> =
        incidents.flat_map(|recorded| [(recorded.status, recorded.words), (503, recorded.words)]).collect();
    assert!(cases.len() >= 6);
    for (status, words) in cases {
        let (set, behaviour) = (Set::htty(), Behaviour::default());
        let index = Warehouse::start(Behaviour { incident: Some((1, status, words)), ..behaviour }, None);
        let ran = set.publish(&index.url(), &[]).expect(0);
        ran.all("uploaded");
        assert!(ran.text.contains("retrying in"), "{words}: {}", ran.text);
        let ran = refused(status, words, &["--retry-for", "0"]).expect(3);
        assert!(ran.text.contains(words.split('.').next().unwrap()), "{}", ran.text);
        assert!(ran.text.contains("hint: ") && !ran.text.contains("`password`"), "{words}: {}", ran.text);
        if status == 403 {
            assert!(ran.text.contains("wait until it is open again"), "{words}: {}", ran.text);
        }
    }
}

/// Each recorded refusal ends the run with its own words and a hint for its
/// meaning.
#[test]
fn each_recorded_refusal_has_its_hint() {
    for recorded in REFUSALS.iter().filter(|recorded| !matches!(recorded.meaning, "Incident" | "Expired")) {
        let ran = refused(recorded.status, recorded.words, &["--retry-for", "0"]);
        let (case, hint) =
            (recorded.case, ran.text.lines().find(|line| line.contains("hint: ")).unwrap_or_default());
        assert!(matches!(ran.code, 1 | 4), "{case}: {} {}", ran.code, ran.text);
        let first: String = recorded.words.chars().take(30).collect();
        assert!(ran.text.contains(&first), "{case}: {}", ran.text);
        let words = match recorded.meaning {
            "Credentials" => "check `username` and `password`",
            "Project" => "not for this project",
            "Account" => "the account or organization may not upload",
            "NewProject" => "pending publisher",
            "Name" => "choose another one",
            "Exists" => "check `simple-url`",
            "Deleted" => "raise the version",
            "Size" => "`max-file-size`",
            "OldRelease" => "new version",
            "Attestations" => "`attestations: off`",
            _ => "fix the errors above",
        };
        assert!(hint.contains(words), "{case}: {}", ran.text);
    }
}
