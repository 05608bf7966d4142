//! What the tests share.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

use pydist::zip::Limits;
use testkit::wheel::{Elf, MachO, Member, Wheel, zip};
use verify_dist::facts::Dist;
use verify_dist::rules::{self, Set, Verdict};
use verify_dist::scan;

/// How the rules see `set`.
pub(crate) fn verdict(set: &Set<'_>) -> Verdict {
    rules::apply(set, |_| true)
}

/// The facts of `files`, which are written for it.
pub(crate) fn facts(files: &[(String, Vec<u8>)]) -> Vec<Dist> {
    let folder = tempfile::tempdir().unwrap();
    let path = |(name, bytes): &(String, Vec<u8>)| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let paths: Vec<_> = files.iter().map(path).collect();
    scan::scan(&paths, &Limits::default(), 2).unwrap()
}

/// The ids of the rules that find something in `files`.
pub(crate) fn found(files: &[(String, Vec<u8>)]) -> BTreeSet<&'static str> {
    let dists = facts(files);
    verdict(&Set { dists: &dists, ..Set::default() }).findings.iter().map(|finding| finding.rule).collect()
}

pub(crate) fn one(wheel: &Wheel) -> BTreeSet<&'static str> {
    found(&[file(wheel)])
}

pub(crate) fn file(wheel: &Wheel) -> (String, Vec<u8>) {
    (wheel.filename(), wheel.bytes())
}

pub(crate) const LINUX: &str = "cp312-cp312-manylinux_2_17_x86_64";
pub(crate) const MACOS: &str = "py3-none-macosx_11_0_arm64";

pub(crate) fn pure() -> Wheel {
    Wheel::sample("py3-none-any")
}

pub(crate) fn linux(elf: Elf) -> Wheel {
    let mut wheel = Wheel::sample(LINUX);
    wheel.members.push(Member::new("sample/core.cpython-312-x86_64-linux-gnu.so", elf.bytes()));
    wheel
}

pub(crate) fn program(elf: Elf) -> Wheel {
    let mut wheel = Wheel::sample("py3-none-manylinux_2_17_x86_64");
    wheel.members.push(Member::new("sample/bin/tool", elf.bytes()).executable());
    wheel
}

pub(crate) fn macos(macho: MachO) -> Wheel {
    let mut wheel = Wheel::sample(MACOS);
    wheel.members.push(Member::new("sample/bin/tool", macho.bytes()).executable());
    wheel
}

/// `wheel` with its finished members changed after RECORD was written.
pub(crate) fn changed(wheel: &Wheel, change: impl FnOnce(&mut Vec<Member>)) -> BTreeSet<&'static str> {
    let mut members = wheel.finished();
    change(&mut members);
    found(&[(wheel.filename(), zip(&members))])
}

pub(crate) fn assert_only(found: &BTreeSet<&'static str>, expected: &str, what: &str) {
    assert_eq!(found, &BTreeSet::from([expected]), "{what}");
}

/// A gzip-compressed tar archive of files with their content.
pub(crate) fn targz(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    build(&mut archive);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

/// Adds a file.
pub(crate) fn add(archive: &mut tar::Builder<Vec<u8>>, name: &str, data: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    // Not `append_data`, which refuses what a hostile archive may hold.
    let bytes = header.as_old_mut();
    bytes.name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    archive.append(&header, data).unwrap();
}

/// The source distribution `sample` 1.0, sound but for what `more` adds.
pub(crate) fn sdist(more: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> (String, Vec<u8>) {
    let bytes = targz(|archive| {
        add(archive, "sample-1.0/PKG-INFO", Wheel::sample("py3-none-any").metadata.as_bytes());
        add(archive, "sample-1.0/pyproject.toml", b"[build-system]\n");
        more(archive);
    });
    ("sample-1.0.tar.gz".into(), bytes)
}
