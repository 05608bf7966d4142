//! Helpers shared by the tests.

use std::collections::BTreeSet;
use std::path::PathBuf;

use distcheck::dist::Dist;
use distcheck::{Limits, Selection, Set, Verdict, check, scan};
use testkit::sample::file;
use testkit::wheel::{Member, Wheel, zip};

/// The verdict of all rules on `set`.
pub(crate) fn verdict(set: &Set<'_>) -> Verdict {
    check(set, &Selection::All)
}

/// Writes `files` and scans them.
pub(crate) fn scan_files(files: &[(String, Vec<u8>)]) -> Vec<Dist> {
    let dir = tempfile::tempdir().unwrap();
    let path = |(name, bytes): &(String, Vec<u8>)| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let paths: Vec<_> = files.iter().map(path).collect();
    scan(&paths, &Limits::default(), 2).unwrap()
}

/// The ids of the rules that find something in `files`.
pub(crate) fn found(files: &[(String, Vec<u8>)]) -> BTreeSet<&'static str> {
    let dists = scan_files(files);
    verdict(&Set { dists: &dists, ..Set::default() }).findings.iter().map(|finding| finding.rule).collect()
}

pub(crate) fn one(wheel: &Wheel) -> BTreeSet<&'static str> {
    found(&[file(wheel)])
}

/// The findings in `wheel` with its members changed after RECORD was written.
pub(crate) fn changed(wheel: &Wheel, change: impl FnOnce(&mut Vec<Member>)) -> BTreeSet<&'static str> {
    let mut members = wheel.finished();
    change(&mut members);
    found(&[(wheel.filename(), zip(&members))])
}

pub(crate) fn assert_only(found: &BTreeSet<&'static str>, expected: &str, what: &str) {
    assert_eq!(found, &BTreeSet::from([expected]), "{what}");
}
