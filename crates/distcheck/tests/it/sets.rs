//! The files of a release, taken together.

use distcheck::{Set, Severity};
use pydist::name::ProjectName;
use testkit::sample::{file, linux, pure};
use testkit::wheel::{Elf, Wheel};

use crate::kit::{found, scan_files, verdict};

#[test]
fn requires_exact_pins_of_this_release() {
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
fn fields_that_resolvers_do_not_read_are_a_warning() {
    let severity = |line: &str| {
        let mut second = linux(Elf::default());
        second.metadata = second.metadata.replace("Summary", &format!("{line}\nSummary"));
        let dists = scan_files(&[file(&pure()), file(&second)]);
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
        let dists = scan_files(files);
        verdict(&Set { dists: &dists, ..Set::default() }).findings
    };
    let mut reversed = files.clone();
    reversed.reverse();
    assert_eq!(all(&files), all(&reversed));
}

#[test]
fn the_matrix_accepts_platforms_and_pythons() {
    let files: Vec<_> =
        ["cp312-cp312-manylinux_2_17_x86_64", "cp313-cp313-win_amd64", "cp39-abi3-musllinux_1_2_x86_64"]
            .iter()
            .map(|tag| file(&Wheel::sample(tag)))
            .collect();
    let dists = scan_files(&files);
    let lacks = |pattern: &str| {
        let matrix = [pattern.parse().unwrap()];
        let findings = verdict(&Set { dists: &dists, matrix: &matrix, ..Set::default() }).findings;
        findings.iter().any(|finding| finding.message.contains(pattern))
    };
    for pattern in
        ["manylinux_*_x86_64", "cp312-*-manylinux_*_x86_64", "cp313-cp313-win_amd64", "cp39-abi3-*"]
    {
        assert!(!lacks(pattern), "{pattern}");
    }
    for pattern in
        ["manylinux_*_aarch64", "cp313-*-manylinux_*_x86_64", "cp312-*-win_amd64", "cp313t-*-win_amd64"]
    {
        assert!(lacks(pattern), "{pattern}");
    }
}

/// One rule for each level: a platform, a floor or a Python, an environment.
#[test]
fn reports_a_loss_with_the_given_severity() {
    let files = [file(&linux(Elf::default()))];
    let dists = scan_files(&files);
    let found = |names: &[&str]| {
        let listed = |name: &&str| distcheck::PublishedFile {
            filename: (*name).to_owned(),
            name: name.parse().unwrap(),
            sha256: None,
            requires_python: Some(">=3.10".into()),
            yanked: false,
        };
        let previous = [(ProjectName::new("sample"), names.iter().map(listed).collect())].into();
        let findings = verdict(&Set { dists: &dists, previous: Some(&previous), ..Set::default() }).findings;
        let rules = ["SET009", "SET011", "INS001"];
        rules
            .into_iter()
            .filter(|rule| findings.iter().any(|finding| finding.rule == *rule))
            .collect::<Vec<_>>()
    };
    // The wheel of today is cp312-cp312-manylinux_2_17_x86_64.
    assert_eq!(found(&["sample-0.9-cp312-cp312-manylinux_2_17_x86_64.whl"]), Vec::<&str>::new());
    assert_eq!(found(&["sample-0.9-cp312-cp312-manylinux_2_12_x86_64.whl"]), ["SET011"], "no known system");
    assert_eq!(
        found(&[
            "sample-0.9-cp312-cp312-manylinux_2_17_x86_64.whl",
            "sample-0.9-cp313-cp313-manylinux_2_17_x86_64.whl"
        ]),
        ["SET011", "INS001"]
    );
    assert_eq!(
        found(&["sample-0.9-cp312-cp312-manylinux_2_17_x86_64.whl", "sample-0.9-cp312-cp312-win_amd64.whl"]),
        ["SET009", "INS001"]
    );
}
