//! PyPI's incidents, and accounts that may not upload: the hints do not blame the
//! password.

use testkit::refusals::REFUSALS;
use testkit::warehouse::{Behaviour, Warehouse};

use crate::support::{RunOutput, Set};

/// A run whose uploads are all rejected with this answer.
fn refused(status: u16, words: &'static str, args: &[&str]) -> RunOutput {
    let set = Set::htty();
    let behaviour = Behaviour { incident: Some((u32::MAX, status, words)), ..Behaviour::default() };
    let index = Warehouse::start(behaviour, None);
    let result = set.publish(&index.url(), args);
    assert!(index.shelf().files.is_empty());
    result
}

#[test]
fn waits_for_the_end_of_an_incident() {
    let incidents = REFUSALS.iter().filter(|recorded| recorded.meaning == "Incident");
    let cases: Vec<(u16, &str)> =
        incidents.flat_map(|recorded| [(recorded.status, recorded.words), (503, recorded.words)]).collect();
    assert!(cases.len() >= 6);
    for (status, words) in cases {
        let (set, behaviour) = (Set::htty(), Behaviour::default());
        let index = Warehouse::start(Behaviour { incident: Some((1, status, words)), ..behaviour }, None);
        let result = set.publish(&index.url(), &[]).expect(0);
        result.all("uploaded");
        assert!(result.text.contains("retrying in"), "{words}: {}", result.text);
        let result = refused(status, words, &["--retry-for", "0"]).expect(3);
        assert!(result.text.contains(words.split('.').next().unwrap()), "{}", result.text);
        assert!(
            result.text.contains("hint: ") && !result.text.contains("`password`"),
            "{words}: {}",
            result.text
        );
        if status == 403 {
            assert!(result.text.contains("wait until it enables them again"), "{words}: {}", result.text);
        }
    }
}

/// Each recorded refusal ends the run with the index's text and a hint for its
/// meaning.
#[test]
fn each_recorded_refusal_has_its_hint() {
    for recorded in REFUSALS.iter().filter(|recorded| !matches!(recorded.meaning, "Incident" | "Expired")) {
        let result = refused(recorded.status, recorded.words, &["--retry-for", "0"]);
        let (case, hint) =
            (recorded.case, result.text.lines().find(|line| line.contains("hint: ")).unwrap_or_default());
        assert!(matches!(result.code, 1 | 4), "{case}: {} {}", result.code, result.text);
        let first: String = recorded.words.chars().take(30).collect();
        assert!(result.text.contains(&first), "{case}: {}", result.text);
        let words = match recorded.meaning {
            "Credentials" => "check `username` and `password`",
            "Project" => "not for this project",
            "Account" => "the account or organization is not allowed to upload",
            "NewProject" => "pending publisher",
            "Name" => "choose another one",
            "Exists" => "check `simple-url`",
            "Deleted" => "publish a new version",
            "Size" => "`max-file-size`",
            "OldRelease" => "new version",
            "Attestations" => "`attestations: off`",
            _ => "fix the errors above",
        };
        assert!(hint.contains(words), "{case}: {}", result.text);
    }
}
