//! Real distributions (`tests/corpus.txt`, verify-dist's `benches/wheels.txt`): known
//! defects are reported by their rules, and valid files have no errors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use distcheck::dist::Dist;
use distcheck::{Limits, Set, Severity};

use testkit::tools::corpus as path;

use crate::kit::verdict;

/// The files of a list, from the line that starts with `after`.
fn list(name: &str, after: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().skip_while(|line| !line.starts_with(after));
    let file = |line: &str| line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    lines.filter(|line| !line.starts_with('#')).map(file).collect()
}

/// The wheels of the bench, and the other valid files.
pub(crate) fn sound() -> Vec<String> {
    [list("../../actions/verify-dist/benches/wheels.txt", "#"), list("tests/corpus.txt", "# Sound")].concat()
}

pub(crate) fn defective() -> Vec<String> {
    let sound = sound();
    list("tests/corpus.txt", "#").into_iter().filter(|file| !sound.contains(file)).collect()
}

pub(crate) fn scanned(file: &str) -> Vec<Dist> {
    distcheck::scan(&[path(file)], &Limits::default(), 2).unwrap()
}

/// The rules with a finding of at least this severity in a file.
pub(crate) fn rules_of(file: &str, least: Severity) -> BTreeSet<&'static str> {
    let dists = scanned(file);
    let findings = verdict(&Set { dists: &dists, ..Set::default() }).findings;
    findings.iter().filter(|finding| finding.severity >= least).map(|finding| finding.rule).collect()
}

/// The expected errors and warnings of the known cases, by the start of their
/// names.
const KNOWN: [(&str, &[&str], &[&str]); 15] = [
    ("htty-0.1.16-py3-none-manylinux", &["LNX002", "NIX001", "TAG002"], &["TAG005"]),
    ("htty-0.1.16-py3-none-macosx_11_0", &["NIX002", "TAG002"], &["TAG005"]),
    ("htty-0.1.16-py3-none-macosx_10_9", &["NIX002", "TAG002"], &["MAC002", "TAG005"]),
    ("htty-0.1.18-py3-none-manylinux", &["LNX002", "NIX001", "TAG002"], &["TAG005"]),
    ("htty-0.1.18-py3-none-macosx_11_0", &["NIX002", "TAG002"], &["TAG005"]),
    ("htty-0.1.18-py3-none-macosx_10_9", &["NIX002", "TAG002"], &["MAC002", "TAG005"]),
    ("htty-0.2.2", &["SDI007"], &["MET015", "SDI005"]),
    ("htty-0.2.30", &["SDI007"], &["MET015", "SDI005"]),
    ("parry_guard-0.1.4-py3-none-macosx_14_0_arm64", &["NIX002"], &["NIX004"]),
    ("parry_guard-0.1.4-py3-none-macosx_14_0_x86_64", &[], &["NIX004"]),
    ("parry_guard-0.1.4-py3-none-musllinux", &["TAG002"], &["NIX004"]),
    ("furo-2022.12.7", &["REC002"], &[]),
    ("ruckig-0.9.2-cp311", &["MAC001"], &[]),
    ("ruckig-0.9.2-cp310", &[], &[]),
    ("pyscn-1.31.1", &["LNX002"], &[]),
];

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn reports_known_defects_by_their_rules() {
    for file in defective() {
        let (_, errors, warnings) = KNOWN.iter().find(|(start, ..)| file.starts_with(start)).unwrap();
        let found = rules_of(&file, Severity::Error);
        assert_eq!(found, errors.iter().copied().collect(), "errors of {file}");
        let found = rules_of(&file, Severity::Warning);
        for rule in *warnings {
            assert!(found.contains(rule), "{file}: {rule} is not in {found:?}");
        }
    }
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn finds_the_83_wrong_hashes_of_furo() {
    let dists = scanned("furo-2022.12.7-py3-none-any.whl");
    let findings = verdict(&Set { dists: &dists, ..Set::default() }).findings;
    assert_eq!(findings.iter().filter(|finding| finding.rule == "REC002").count(), 83);
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn valid_distributions_have_no_errors() {
    let wrong: BTreeMap<String, BTreeSet<&str>> = sound()
        .into_iter()
        .map(|file| (file.clone(), rules_of(&file, Severity::Error)))
        .filter(|(_, rules)| !rules.is_empty())
        .collect();
    assert_eq!(wrong, BTreeMap::new());
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn reports_compressed_tags_in_a_wheel_file() {
    let linux = |file: &String| file.starts_with("htty_core-0.2.30") && file.contains("linux");
    let files: Vec<String> = sound().into_iter().filter(linux).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        assert!(rules_of(&file, Severity::Warning).contains("TAG003"), "{file}");
    }
}
