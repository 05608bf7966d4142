//! Malicious tarballs with the expected hash.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use liblzma::read::XzDecoder;
use liblzma::write::XzEncoder;
use pydist::digest::{hex, sha256};
use tar::EntryType;

use crate::machine::{Machine, tarball, text};

/// The top-level directory of the archive.
const TOP_DIR: &str = "nix-9.9.9-here";

/// A member of the archive, with an arbitrary name.
fn member(kind: EntryType, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A valid, uncompressed tarball, created once for all tests.
static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = tarball(dir.path(), |_| {});
    let mut valid = Vec::new();
    XzDecoder::new(fs::File::open(file).unwrap()).read_to_end(&mut valid).unwrap();
    valid
});

/// A machine, and a valid tarball on it with `members` before the others.
fn with(members: &[Vec<u8>]) -> (Machine, PathBuf) {
    let machine = Machine::new();
    let file = machine.dir.path().join("nix.tar.xz");
    pack(&file, &members.concat());
    (machine, file)
}

fn pack(file: &Path, members: &[u8]) {
    let mut encoder = XzEncoder::new(fs::File::create(file).unwrap(), 0);
    encoder.write_all(members).unwrap();
    encoder.write_all(&VALID).unwrap();
    encoder.finish().unwrap();
}

/// Installs `file` with its actual hash.
fn install(machine: &Machine, file: &Path) -> Output {
    let tarball = format!("--tarball={}", file.display());
    let digest = format!("--sha256={}", hex(&sha256(&fs::read(file).unwrap())));
    machine.run(&["install", "--reuse=never", "--cache=off", &tarball, &digest])
}

fn names(dir: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.into_string().unwrap()).collect()
}

/// Asserts that `file` is rejected because of `why`, and that `/nix` contains only the lock.
fn assert_rejected(machine: &Machine, file: &Path, why: &str) {
    let output = install(machine, file);
    let log = text(&output);
    assert_eq!(output.status.code(), Some(1), "{why}: {log}");
    assert!(log.contains("is not a Nix tarball") && log.contains(why), "{why}: {log}");
    assert_eq!(names(machine.path("nix")), ["store"], "{why}");
    assert_eq!(names(machine.store()), [".setup-nix.lock"], "{why}");
}

#[test]
fn installs_without_hostile_members() {
    let (machine, file) = with(&[]);
    let output = install(&machine, &file);
    assert!(output.status.success(), "{}", text(&output));
    machine.verify();
}

#[test]
fn rejects_a_member_outside_of_the_directory() {
    for name in [format!("{TOP_DIR}/../../../escaped"), "../escaped".into()] {
        for kind in [EntryType::Regular, EntryType::Directory] {
            let (machine, file) = with(&[member(kind, &name, "", b"")]);
            assert_rejected(&machine, &file, "is not allowed");
        }
    }
}

#[test]
fn rejects_an_absolute_member() {
    let (machine, file) = with(&[member(EntryType::Regular, "/nix/escaped", "", b"x")]);
    assert_rejected(&machine, &file, "expected one directory");
}

#[test]
fn writes_nothing_through_a_link() {
    let link = member(EntryType::Symlink, &format!("{TOP_DIR}/link"), "/nix", b"");
    for kind in [EntryType::Regular, EntryType::Directory] {
        let through = member(kind, &format!("{TOP_DIR}/link/escaped"), "", b"");
        let (machine, file) = with(&[link.clone(), through]);
        assert_rejected(&machine, &file, "cannot unpack it");
    }
}

#[test]
fn rejects_a_hard_link_to_a_file_outside() {
    let (machine, file) = with(&[]);
    let outside = machine.path("work/outside");
    fs::write(&outside, "mine").unwrap();
    let target = outside.display().to_string();
    pack(&file, &member(EntryType::Link, &format!("{TOP_DIR}/hard"), &target, b""));
    assert_rejected(&machine, &file, "cannot unpack it");
    assert_eq!(fs::read_to_string(outside).unwrap(), "mine");
}

#[test]
fn rejects_devices_and_pipes() {
    for kind in [EntryType::Fifo, EntryType::Char, EntryType::Block] {
        let (machine, file) = with(&[member(kind, &format!("{TOP_DIR}/special"), "", b"")]);
        assert_rejected(&machine, &file, "is not allowed");
    }
}

#[test]
fn rejects_a_truncated_tarball() {
    let (machine, file) = with(&[]);
    let complete = fs::read(&file).unwrap();
    for size in [complete.len() / 2, complete.len() - 1, 3, 0] {
        fs::write(&file, &complete[..size]).unwrap();
        assert_rejected(&machine, &file, "cannot unpack it");
    }
    fs::write(&file, b"<html>not found</html>").unwrap();
    assert_rejected(&machine, &file, "expected xz or zstd");
}
