//! Builds wheels byte by byte, so that tests can introduce single errors.

use flate2::Crc;
use pydist::record::{self, Entry};

pub use crate::binary::{Elf, MachO};
pub use crate::pe::Pe;

/// A member of an archive, with fields that tests can make invalid.
#[derive(Debug, Clone)]
pub struct Member {
    /// The name in the central directory.
    pub name: String,
    /// The bytes, which are stored, not deflated.
    pub data: Vec<u8>,
    /// The Unix mode, including the file type.
    pub mode: u32,
    /// General purpose flags.
    pub flags: u16,
    /// The compression method.
    pub method: u16,
    /// The name in the local header, if it differs.
    pub local_name: Option<String>,
    /// The checksum, if it is wrong.
    pub crc32: Option<u32>,
    /// The comment in the central directory.
    pub comment: Vec<u8>,
    /// Extra fields, the same in both headers.
    pub extra: Vec<u8>,
}

impl Member {
    /// A regular file.
    pub fn new(name: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            data: data.into(),
            mode: 0o100_644,
            flags: 0,
            method: 0,
            local_name: None,
            crc32: None,
            comment: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Makes it executable.
    #[must_use]
    pub fn executable(mut self) -> Self {
        self.mode = 0o100_755;
        self
    }
}

/// A ZIP archive of `members`, unchanged.
pub fn zip(members: &[Member]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("tests use short names");
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).expect("tests use small files");
    for member in members {
        let offset = size(&out);
        let mut crc = Crc::new();
        crc.update(&member.data);
        let mut shared = Vec::new();
        for field in [20, member.flags, member.method, 0, 0x21] {
            shared.extend(u16::to_le_bytes(field));
        }
        shared.extend(member.crc32.unwrap_or(crc.sum()).to_le_bytes());
        shared.extend(size(&member.data).to_le_bytes());
        shared.extend(size(&member.data).to_le_bytes());
        let local = member.local_name.as_ref().unwrap_or(&member.name).as_bytes();
        out.extend(b"PK\x03\x04");
        out.extend(&shared);
        out.extend(length(local).to_le_bytes());
        out.extend(length(&member.extra).to_le_bytes());
        out.extend(local);
        out.extend(&member.extra);
        out.extend(&member.data);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&shared);
        directory.extend(length(member.name.as_bytes()).to_le_bytes());
        directory.extend(length(&member.extra).to_le_bytes());
        directory.extend(length(&member.comment).to_le_bytes());
        directory.extend([0; 4]);
        directory.extend((member.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(member.name.as_bytes());
        directory.extend(&member.extra);
        directory.extend(&member.comment);
    }
    let count = u16::try_from(members.len()).expect("tests use few members");
    let start = size(&out);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size(&directory).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// A wheel that tests can change.
#[derive(Debug, Clone)]
pub struct Wheel {
    /// `name-version`, as in file and directory names.
    pub stem: String,
    /// The compressed tag set of the file name.
    pub tag: String,
    /// `METADATA`.
    pub metadata: String,
    /// `WHEEL`; generated from the tag if `None`.
    pub wheel: Option<String>,
    /// The members outside of `.dist-info`, and additional ones inside.
    pub members: Vec<Member>,
}

impl Wheel {
    /// A valid wheel of the package `sample` 1.0 with one module.
    pub fn sample(tag: &str) -> Self {
        let metadata = "Metadata-Version: 2.4\nName: sample\nVersion: 1.0\nSummary: A sample.\n\
            Author: A. Sample\nProject-URL: Home, https://sample.example\nLicense-Expression: MIT\n\
            Requires-Python: >=3.10\nDescription-Content-Type: text/markdown\n\n# Sample\n";
        Self {
            stem: "sample-1.0".into(),
            tag: tag.into(),
            metadata: metadata.into(),
            wheel: None,
            members: vec![Member::new("sample/__init__.py", "x = 1\n")],
        }
    }

    /// The file name.
    pub fn filename(&self) -> String {
        format!("{}-{}.whl", self.stem, self.tag)
    }

    /// All members, with a correct `RECORD`.
    pub fn finished(&self) -> Vec<Member> {
        let dist_info = format!("{}.dist-info", self.stem);
        let wheel = self.wheel.clone().unwrap_or_else(|| {
            let set: pydist::tags::TagSet = self.tag.parse().expect("a tag");
            let pure = self.tag.ends_with("-any");
            let lines: String = set.expand().iter().map(|tag| format!("Tag: {tag}\n")).collect();
            format!("Wheel-Version: 1.0\nGenerator: testkit\nRoot-Is-Purelib: {pure}\n{lines}")
        });
        let mut members = self.members.clone();
        members.push(Member::new(format!("{dist_info}/METADATA"), self.metadata.clone()));
        members.push(Member::new(format!("{dist_info}/WHEEL"), wheel));
        let files = members.iter().filter(|member| !member.name.ends_with('/'));
        let mut entries: Vec<Entry> = files.map(|member| Entry::of(&member.name, &member.data)).collect();
        entries.push(Entry::unhashed(format!("{dist_info}/RECORD")));
        members.push(Member::new(format!("{dist_info}/RECORD"), record::write(&entries)));
        members
    }

    /// The bytes of the wheel.
    pub fn bytes(&self) -> Vec<u8> {
        zip(&self.finished())
    }
}
