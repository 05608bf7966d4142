//! Tarballs that are not what they say, though their hash is as expected.

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

/// The archive's one folder.
const TOP: &str = "nix-9.9.9-here";

/// One member, with names that no tool would write.
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

/// A sound tarball, not compressed; made once for all tests.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = tarball(folder.path(), |_| {});
    let mut sound = Vec::new();
    XzDecoder::new(fs::File::open(file).unwrap()).read_to_end(&mut sound).unwrap();
    sound
});

/// A machine, and a sound tarball on it with `members` before all others.
fn with(members: &[Vec<u8>]) -> (Machine, PathBuf) {
    let machine = Machine::new();
    let file = machine.folder.path().join("nix.tar.xz");
    pack(&file, &members.concat());
    (machine, file)
}

fn pack(file: &Path, members: &[u8]) {
    let mut encoder = XzEncoder::new(fs::File::create(file).unwrap(), 0);
    encoder.write_all(members).unwrap();
    encoder.write_all(&SOUND).unwrap();
    encoder.finish().unwrap();
}

/// Installs `file` with the hash that it has.
fn install(machine: &Machine, file: &Path) -> Output {
    let tarball = format!("--tarball={}", file.display());
    let digest = format!("--sha256={}", hex(&sha256(&fs::read(file).unwrap())));
    machine.run(&["install", "--reuse=never", "--cache=off", &tarball, &digest])
}

fn names(folder: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.into_string().unwrap()).collect()
}

/// It is refused for `why`, and `/nix` has nothing but the lock.
fn refused(machine: &Machine, file: &Path, why: &str) {
    let output = install(machine, file);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{why}: {said}");
    assert!(said.contains("is no Nix tarball") && said.contains(why), "{why}: {said}");
    assert_eq!(names(machine.path("nix")), ["store"], "{why}");
    assert_eq!(names(machine.store()), [".setup-nix.lock"], "{why}");
}

#[test]
fn without_a_hostile_member_it_installs() {
    let (machine, file) = with(&[]);
    let output = install(&machine, &file);
    assert!(output.status.success(), "{}", text(&output));
    machine.verify();
}

#[test]
fn a_member_that_climbs_out_is_refused() {
    for name in [format!("{TOP}/../../../escaped"), "../escaped".into()] {
        for kind in [EntryType::Regular, EntryType::Directory] {
            let (machine, file) = with(&[member(kind, &name, "", b"")]);
            refused(&machine, &file, "is not allowed");
        }
    }
}

#[test]
fn an_absolute_member_is_refused() {
    let (machine, file) = with(&[member(EntryType::Regular, "/nix/escaped", "", b"x")]);
    refused(&machine, &file, "expected one directory");
}

#[test]
fn nothing_is_written_through_a_link() {
    let link = member(EntryType::Symlink, &format!("{TOP}/link"), "/nix", b"");
    for kind in [EntryType::Regular, EntryType::Directory] {
        let through = member(kind, &format!("{TOP}/link/escaped"), "", b"");
        let (machine, file) = with(&[link.clone(), through]);
        refused(&machine, &file, "cannot unpack it");
    }
}

#[test]
fn a_hard_link_to_a_file_outside_is_refused() {
    let (machine, file) = with(&[]);
    let outside = machine.path("work/outside");
    fs::write(&outside, "mine").unwrap();
    let target = outside.display().to_string();
    pack(&file, &member(EntryType::Link, &format!("{TOP}/hard"), &target, b""));
    refused(&machine, &file, "cannot unpack it");
    assert_eq!(fs::read_to_string(outside).unwrap(), "mine");
}

#[test]
fn devices_and_pipes_are_refused() {
    for kind in [EntryType::Fifo, EntryType::Char, EntryType::Block] {
        let (machine, file) = with(&[member(kind, &format!("{TOP}/special"), "", b"")]);
        refused(&machine, &file, "is not allowed");
    }
}

#[test]
fn a_tarball_cut_off_in_the_middle_is_refused() {
    let (machine, file) = with(&[]);
    let whole = fs::read(&file).unwrap();
    for size in [whole.len() / 2, whole.len() - 1, 3, 0] {
        fs::write(&file, &whole[..size]).unwrap();
        refused(&machine, &file, "cannot unpack it");
    }
    fs::write(&file, b"<html>not found</html>").unwrap();
    refused(&machine, &file, "neither by xz nor by zstd");
}
