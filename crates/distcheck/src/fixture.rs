//! Defective distributions for the rules' tests.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

use std::collections::{BTreeMap, BTreeSet};

use installs::require::Requirement;
use pydist::filename::DistName;
use pydist::name::ProjectName;
pub(crate) use testkit::sample::*;
pub(crate) use testkit::wheel::{Elf, MachO, Member, Pe, Wheel, zip};

use crate::dist::Dist;
use crate::{Limits, Pattern, Published, PublishedFile, Selection, Set, check, scan};

/// A defective set: files and expectations.
#[derive(Default)]
pub(crate) struct Case {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// An attestation beside the first file.
    pub(crate) attestation: Option<Vec<u8>>,
    pub(crate) matrix: Vec<Pattern>,
    pub(crate) others: Vec<String>,
    pub(crate) tag: Option<&'static str>,
    pub(crate) expect_sdist: Vec<String>,
    pub(crate) previous: Option<Published>,
    pub(crate) top_level: Vec<String>,
    pub(crate) require: Vec<Requirement>,
}

impl Case {
    pub(crate) fn found(&self) -> BTreeSet<&'static str> {
        let mut dists = scan_files(&self.files);
        dists[0].attestation.clone_from(&self.attestation);
        check(&self.set(&dists), &Selection::All).findings.iter().map(|finding| finding.rule).collect()
    }

    pub(crate) fn set<'a>(&'a self, dists: &'a [Dist]) -> Set<'a> {
        Set {
            dists,
            matrix: &self.matrix,
            others: &self.others,
            tag: self.tag,
            expect_sdist: &self.expect_sdist,
            previous: self.previous.as_ref(),
            top_level: &self.top_level,
            require: &self.require,
            lost_is_error: false,
        }
    }
}

impl From<(String, Vec<u8>)> for Case {
    fn from(file: (String, Vec<u8>)) -> Self {
        Self { files: vec![file], ..Self::default() }
    }
}

impl From<Wheel> for Case {
    fn from(wheel: Wheel) -> Self {
        file(&wheel).into()
    }
}

pub(crate) fn scan_files(files: &[(String, Vec<u8>)]) -> Vec<Dist> {
    let dir = tempfile::tempdir().unwrap();
    let path = |(name, bytes): &(String, Vec<u8>)| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let paths: Vec<_> = files.iter().map(path).collect();
    scan(&paths, &Limits::default(), 2).unwrap()
}

/// The wheel with another member.
pub(crate) fn with(mut wheel: Wheel, member: Member) -> Case {
    wheel.members.push(member);
    wheel.into()
}

/// A pure wheel with another file.
pub(crate) fn plus(name: &str, data: impl Into<Vec<u8>>) -> Case {
    with(pure(), Member::new(name, data))
}

/// A pure wheel with other metadata.
pub(crate) fn metadata(from: &str, to: &str) -> Case {
    let mut wheel = pure();
    assert!(wheel.metadata.contains(from), "{from}");
    wheel.metadata = wheel.metadata.replace(from, to);
    wheel.into()
}

/// A pure wheel whose members are changed after RECORD was written.
pub(crate) fn after(change: impl FnOnce(&mut Vec<Member>)) -> Case {
    let mut members = pure().finished();
    change(&mut members);
    (pure().filename(), zip(&members)).into()
}

pub(crate) fn record(from: &str, to: &str) -> Case {
    after(|members| {
        let record = members.last_mut().unwrap();
        record.data = String::from_utf8(record.data.clone()).unwrap().replace(from, to).into_bytes();
    })
}

pub(crate) fn renamed(name: &str) -> Case {
    (name.to_owned(), pure().bytes()).into()
}

pub(crate) fn retagged(mut wheel: Wheel, tag: &str) -> Case {
    wheel.tag = tag.into();
    wheel.into()
}

pub(crate) fn imports(library: &str) -> Pe {
    Pe { imports: vec![(library.into(), vec![])], ..Pe::default() }
}

pub(crate) fn source(more: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Case {
    sdist(more).into()
}

/// The source distribution with another pyproject.toml.
pub(crate) fn project(text: &str) -> Case {
    let metadata = pure().metadata;
    let bytes = targz(|archive| {
        add(archive, "sample-1.0/PKG-INFO", metadata.as_bytes());
        add(archive, "sample-1.0/pyproject.toml", text.as_bytes());
    });
    ("sample-1.0.tar.gz".to_owned(), bytes).into()
}

/// Another version or project of the pure sample.
pub(crate) fn other(stem: &str, from: &str, to: &str) -> Wheel {
    let mut wheel = pure();
    wheel.stem = stem.into();
    wheel.metadata = wheel.metadata.replace(from, to);
    wheel
}

pub(crate) fn listed(filename: &str, sha256: Option<&str>) -> PublishedFile {
    let name: DistName = filename.parse().unwrap();
    PublishedFile {
        filename: filename.into(),
        name,
        sha256: sha256.map(str::to_owned),
        requires_python: Some(">=3.10".into()),
        yanked: false,
    }
}

pub(crate) fn published(files: &[(&str, Option<&str>)]) -> Published {
    let files = files.iter().map(|(name, sha256)| listed(name, *sha256)).collect();
    BTreeMap::from([(ProjectName::new("sample"), files)])
}

pub(crate) fn link(kind: tar::EntryType, target: &str) -> Case {
    source(|archive| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_path("sample-1.0/link").unwrap();
        header.set_link_name(target).unwrap();
        header.set_cksum();
        archive.append(&header, std::io::empty()).unwrap();
    })
}

pub(crate) const STORE_HASH: &str = "0123456789abcdfghijklmnpqrsvwxyz";
pub(crate) const STORE: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-glibc-2.40/lib";
pub(crate) const DATA: &str = "sample-1.0.data";

pub(crate) fn elf(change: impl FnOnce(&mut Elf)) -> Elf {
    let mut elf = Elf::default();
    change(&mut elf);
    elf
}

/// An Info-ZIP Unicode Path field.
pub(crate) fn unicode_path(name: &str, other: &str) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name.as_bytes());
    let body = [&[1][..], &crc.sum().to_le_bytes(), other.as_bytes()].concat();
    let size = u16::try_from(body.len()).unwrap();
    [&0x7075_u16.to_le_bytes()[..], &size.to_le_bytes(), &body].concat()
}

/// A member of 65 MiB of zeros.
pub(crate) fn bomb() -> Case {
    use std::io::Write as _;
    let size = 65 << 20;
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    let mut crc = flate2::Crc::new();
    for _ in 0..65 {
        deflate.write_all(&zeros).unwrap();
        crc.update(&zeros);
    }
    let data = deflate.finish().unwrap();
    let (length, sum) = (u32::try_from(data.len()).unwrap(), crc.sum());
    let member = Member { method: 8, crc32: Some(sum), ..Member::new("sample/zeros", data) };
    let mut bytes = zip(&[member]);
    // `zip` stores members, so both uncompressed sizes are patched.
    for start in [b"PK\x03\x04", b"PK\x01\x02"] {
        let at = bytes.windows(4).position(|window| window == start).unwrap();
        let sizes = at + if start == b"PK\x03\x04" { 18 } else { 20 };
        assert_eq!(bytes[sizes..sizes + 4], length.to_le_bytes());
        bytes[sizes + 4..sizes + 8].copy_from_slice(&u32::to_le_bytes(size));
    }
    ("sample-1.0-py3-none-any.whl".to_owned(), bytes).into()
}

/// A library whose GNU property requires x86-64-v3.
pub(crate) fn x86_64_v3() -> Case {
    let mut bytes = Elf::default().bytes();
    let note = bytes.len() as u64;
    for word in [4, 16, 5, 0x0055_4e47, 0xc000_8002, 4, 4, 0] {
        bytes.extend(u32::to_le_bytes(word));
    }
    // The third program header is free in a library.
    let header = 64 + 2 * 56;
    bytes[header..header + 4].copy_from_slice(&0x6474_e553u32.to_le_bytes());
    bytes[header + 8..header + 16].copy_from_slice(&note.to_le_bytes());
    bytes[header + 32..header + 40].copy_from_slice(&32u64.to_le_bytes());
    let mut wheel = Wheel::sample(LINUX);
    wheel.members.push(Member::new("sample/core.so", bytes));
    wheel.into()
}

/// A program for Apple silicon whose signature holds the hash of its only page;
/// with `is_changed`, a byte of the page differs.
pub(crate) fn signed_macho(is_changed: bool) -> Case {
    use sha2::Digest as _;
    const PAGE: usize = 4096;
    const LIMIT: u32 = 4096;
    let mut bytes = MachO::default().bytes();
    bytes.resize(PAGE, 0);
    let command = bytes.windows(8).position(|word| word == [0x1d, 0, 0, 0, 16, 0, 0, 0]).unwrap();
    let blob = [
        // A super blob with one code directory, at 20.
        vec![0xfade_0cc0, 20 + 44 + 32, 1, 0, 20],
        // Its version, flags, where hash and identifier are, counts, and what it covers.
        vec![0xfade_0c02, 44 + 32, 0x20001, 2, 44, 44, 0, 1, LIMIT],
    ];
    let mut signature: Vec<u8> = blob.concat().into_iter().flat_map(u32::to_be_bytes).collect();
    // SHA-256, pages of 2^12 bytes.
    signature.extend([32, 2, 0, 12, 0, 0, 0, 0]);
    let place = [LIMIT, u32::try_from(signature.len() + 32).unwrap()];
    bytes[command + 8..command + 16].copy_from_slice(&place.map(u32::to_le_bytes).concat());
    signature.extend(sha2::Sha256::digest(&bytes));
    if is_changed {
        bytes[PAGE - 1] = 1;
    }
    bytes.extend(signature);
    let mut wheel = Wheel::sample("py3-none-macosx_11_0_arm64");
    wheel.members.push(Member::new("sample/bin/tool", bytes).executable());
    wheel.into()
}
