//! The files of a release, taken together.

use distcheck::{Set, Severity};
use testkit::sample::{file, linux, pure};
use testkit::wheel::{Elf, Wheel};

use crate::kit::{facts, found, verdict};

#[test]
fn a_pin_must_be_exact_and_of_this_release() {
    let mut user = pure();
    user.stem = "sample_cli-1.0".into();
    user.metadata = user
        .metadata
        .replace("Name: sample", "Name: sample-cli")
        .replace("Summary", "Requires-Dist: sample>=1.0\nSummary");
    for (requirement, expected) in
        [("sample>=1.0", true), ("sample==1.0", false), ("sample==0.9", true), ("sample~=1.0", true)]
    {
        let mut user = user.clone();
        user.metadata = user.metadata.replace("sample>=1.0", requirement);
        let found = found(&[file(&pure()), file(&user)]);
        assert_eq!(found.contains("SET003"), expected, "{requirement}: {found:?}");
    }
}

#[test]
fn fields_that_no_resolver_reads_are_a_warning() {
    let severity = |line: &str| {
        let mut second = linux(Elf::default());
        second.metadata = second.metadata.replace("Summary", &format!("{line}\nSummary"));
        let dists = facts(&[file(&pure()), file(&second)]);
        let found = verdict(&Set { dists: &dists, ..Set::default() }).findings;
        found.iter().find(|finding| finding.rule == "SET004").map(|finding| finding.severity)
    };
    assert_eq!(severity("Requires-Dist: more"), Some(Severity::Error));
    assert_eq!(severity("Keywords: more"), Some(Severity::Warning));
    assert_eq!(severity("Platform: linux"), None);
}

#[test]
fn the_order_of_files_does_not_matter() {
    let files: Vec<_> = ["py3-none-any", "py2-none-any", "cp312-cp312-win_amd64"]
        .iter()
        .map(|tag| file(&Wheel::sample(tag)))
        .collect();
    let all = |files: &[(String, Vec<u8>)]| {
        let dists = facts(files);
        verdict(&Set { dists: &dists, ..Set::default() }).findings
    };
    let mut reversed = files.clone();
    reversed.reverse();
    assert_eq!(all(&files), all(&reversed));
}
