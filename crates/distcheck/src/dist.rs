//! The data of a distribution after one pass over its bytes. Rules read this data;
//! they never open a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use binfmt::binary::Format;
use binfmt::elf::ElfInfo;
use binfmt::macho::MachOInfo;
use binfmt::pe::PeInfo;
use pydist::digest::Sha256Bytes;
use pydist::entry_points::{EntryPoints, EntryPointsError};
use pydist::filename::{DistName, NameError, WheelName};
use pydist::metadata::{Metadata, MetadataError};
use pydist::name::ProjectName;
use pydist::record::{self, RecordError};
use pydist::tags::Platform;
use pydist::wheel_file::WheelFile;
use pydist::{tar, zip};

/// A distribution file.
#[derive(Debug)]
pub struct Dist {
    /// Its path.
    pub path: PathBuf,
    /// Its file name.
    pub filename: String,
    /// The parsed file name.
    pub name: Result<DistName, NameError>,
    /// In bytes.
    pub size: u64,
    /// The digest of the whole file.
    pub sha256: Sha256Bytes,
    /// The attestation beside it (`….publish.attestation`), if there is one.
    pub attestation: Option<Vec<u8>>,
    /// Its content.
    pub body: Body,
}

/// The content of a distribution.
#[derive(Debug)]
pub enum Body {
    /// A ZIP archive.
    Wheel(Box<Wheel>),
    /// A tar archive.
    Sdist(Box<Sdist>),
    /// Unreadable, or not of the format that its name declares, with the reason.
    Broken(String),
}

/// The content of a wheel.
#[derive(Debug, Default)]
pub struct Wheel {
    /// Violations of the ZIP format.
    pub faults: Vec<zip::Fault>,
    /// In the order of the central directory.
    pub members: Vec<Member>,
    /// The names of all top-level `….dist-info` directories.
    pub dist_infos: Vec<String>,
    /// `METADATA`.
    pub metadata: Option<Result<Metadata, MetadataError>>,
    /// `WHEEL`.
    pub wheel: Option<Result<WheelFile, pydist::headers::HeaderError>>,
    /// `RECORD`.
    pub record: Option<Result<Vec<record::Entry>, RecordError>>,
    /// The first empty line of `RECORD`, counted from 1.
    pub record_empty_line: Option<usize>,
    /// `entry_points.txt`.
    pub entry_points: Option<Result<EntryPoints, EntryPointsError>>,
    /// Libraries that the wheel's SBOMs declare as provided by the user's system
    /// (PEP 770; CycloneDX 1.7, `isExternal`).
    pub external: BTreeSet<String>,
}

/// The content of a source distribution.
#[derive(Debug, Default)]
pub struct Sdist {
    /// In the order of the archive.
    pub members: Vec<Member>,
    /// The types of members that are neither files nor directories, by index.
    pub special: Vec<(usize, tar::Kind)>,
    /// `PKG-INFO` in the top-level directory.
    pub metadata: Option<Result<Metadata, MetadataError>>,
    /// `pyproject.toml` in the top-level directory.
    pub pyproject: Option<String>,
    /// Every `Cargo.toml`, by path.
    pub cargo: BTreeMap<String, String>,
    /// Why reading ended early.
    pub fault: Option<String>,
}

/// One member of an archive.
#[derive(Debug, Default)]
pub struct Member {
    /// Its path.
    pub name: String,
    /// Its uncompressed size, in bytes.
    pub size: u64,
    /// Its compressed size, in bytes.
    pub compressed: u64,
    /// The Unix mode, if there is one.
    pub mode: Option<u32>,
    /// The digest of the uncompressed bytes; `None` if they could not be read.
    pub sha256: Option<Sha256Bytes>,
    /// The hash with the other algorithm (`sha384`, `sha512`) that RECORD uses for
    /// it, if it does.
    pub other_hash: Option<(&'static str, String)>,
    /// Why the bytes could not be read.
    pub error: Option<String>,
    /// The first few distinct store paths in it.
    pub store_paths: Vec<String>,
    /// The first line of a script (`#!…`).
    pub shebang: Option<String>,
    /// Whether it starts with a private key.
    pub has_private_key: bool,
    /// Whether it is a credentials file of a tool, with credentials in it.
    pub has_credentials: bool,
    /// The tool that obfuscated the code, if the index rejects it.
    pub obfuscator: Option<&'static str>,
    /// The binary, if it is one.
    pub binary: Option<Binary>,
    /// Whether it is a binary for a system other than the wheel's: test data, a
    /// library for a phone.
    pub is_foreign: bool,
    /// The architectures of a Mach-O file whose code does not match their
    /// signature.
    pub broken_signatures: Vec<&'static str>,
    /// The text of a licence file, for comparison with the declared licence.
    pub licence: Option<String>,
}

/// A parsed binary.
#[derive(Debug)]
pub enum Binary {
    /// Linux.
    Elf(Box<ElfInfo>),
    /// macOS.
    MachO(Box<MachOInfo>),
    /// Windows.
    Pe(Box<PeInfo>),
    /// A static library.
    Archive,
    /// An extension module for Emscripten (Pyodide).
    Wasm,
    /// It has the magic number of a binary but cannot be parsed.
    Broken(Format, String),
}

impl Dist {
    /// The wheel, if it is a readable one.
    pub fn wheel(&self) -> Option<&Wheel> {
        match &self.body {
            Body::Wheel(wheel) => Some(wheel),
            _ => None,
        }
    }

    /// The wheel's parsed file name.
    pub fn wheel_name(&self) -> Option<&WheelName> {
        self.name.as_ref().ok().and_then(DistName::wheel)
    }

    /// The metadata, if it could be read.
    pub fn metadata(&self) -> Option<&Metadata> {
        let metadata = match &self.body {
            Body::Wheel(wheel) => wheel.metadata.as_ref(),
            Body::Sdist(sdist) => sdist.metadata.as_ref(),
            Body::Broken(_) => None,
        };
        metadata.and_then(|metadata| metadata.as_ref().ok())
    }

    /// All members.
    pub fn members(&self) -> &[Member] {
        match &self.body {
            Body::Wheel(wheel) => &wheel.members,
            Body::Sdist(sdist) => &sdist.members,
            Body::Broken(_) => &[],
        }
    }

    /// The parsed platform tags of a wheel.
    pub fn platforms(&self) -> Vec<Platform> {
        self.wheel_name().map(|name| name.tags.platforms().collect()).unwrap_or_default()
    }

    /// Whether all platform tags of the wheel start with one of these: `ios_`,
    /// `android_`, `pyodide_`.
    pub(crate) fn is_only_for(&self, systems: &[&str]) -> bool {
        let platforms = self.platforms();
        let is_of = |tag: &Platform| matches!(tag, Platform::Other(tag) if systems.iter().any(|it| tag.starts_with(it)));
        !platforms.is_empty() && platforms.iter().all(is_of)
    }

    /// The project, from the file name or else the metadata.
    pub fn project(&self) -> Option<ProjectName> {
        match &self.name {
            Ok(name) => Some(name.project()),
            Err(_) => self.metadata().map(|metadata| ProjectName::new(&metadata.name)),
        }
    }

    /// The version, from the metadata or else the file name.
    pub fn version(&self) -> String {
        match (self.metadata(), &self.name) {
            (Some(metadata), _) => metadata.version.clone(),
            (_, Ok(name)) => name.version().to_owned(),
            _ => String::new(),
        }
    }
}

impl Sdist {
    /// The directory that holds all members, as the index determines it; `None` if
    /// there are several.
    pub fn top(&self) -> Option<String> {
        let parts = |name: &str| -> Vec<String> {
            name.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
        };
        let mut members = self.members.iter().map(|member| parts(&member.name));
        let first = members.next()?;
        let common = members.fold(first, |common, member| {
            let same = common.iter().zip(&member).take_while(|(left, right)| left == right).count();
            common[..same].to_vec()
        });
        Some(common.join("/")).filter(|common| !common.is_empty())
    }
}

impl Wheel {
    /// The `….dist-info` directory that matches the file name, or else the only
    /// one.
    pub fn dist_info(&self) -> Option<&str> {
        self.dist_infos.first().map(String::as_str)
    }

    /// The ELF files for the system of the wheel, with their members.
    pub fn elf(&self) -> impl Iterator<Item = (&Member, &ElfInfo)> {
        self.every_elf().filter(|(member, _)| !member.is_foreign)
    }

    /// The Mach-O files for the system of the wheel, with their members.
    pub fn macho(&self) -> impl Iterator<Item = (&Member, &MachOInfo)> {
        self.every_macho().filter(|(member, _)| !member.is_foreign)
    }

    /// The PE files for the system of the wheel, with their members.
    pub fn pe(&self) -> impl Iterator<Item = (&Member, &PeInfo)> {
        self.every_pe().filter(|(member, _)| !member.is_foreign)
    }

    /// The ELF files, including those for other systems.
    pub fn every_elf(&self) -> impl Iterator<Item = (&Member, &ElfInfo)> {
        self.members.iter().filter_map(|member| match &member.binary {
            Some(Binary::Elf(info)) => Some((member, &**info)),
            _ => None,
        })
    }

    /// The Mach-O files, including those for other systems.
    pub fn every_macho(&self) -> impl Iterator<Item = (&Member, &MachOInfo)> {
        self.members.iter().filter_map(|member| match &member.binary {
            Some(Binary::MachO(info)) => Some((member, &**info)),
            _ => None,
        })
    }

    /// The PE files, including those for other systems.
    pub fn every_pe(&self) -> impl Iterator<Item = (&Member, &PeInfo)> {
        self.members.iter().filter_map(|member| match &member.binary {
            Some(Binary::Pe(info)) => Some((member, &**info)),
            _ => None,
        })
    }
}

impl Member {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.name.ends_with('/')
    }

    /// The name without directories.
    pub fn file_name(&self) -> &str {
        self.name.trim_end_matches('/').rsplit('/').next().unwrap_or(&self.name)
    }

    /// The path at which an installer puts a wheel's member: members in `purelib`
    /// and `platlib` of `….data` move to the library directory.
    pub fn installed_path(&self) -> &str {
        let name = self.name.as_str();
        let data = name.split_once('/').filter(|(top, _)| top.ends_with(".data"));
        let schemes = ["purelib/", "platlib/"];
        data.and_then(|(_, rest)| schemes.iter().find_map(|scheme| rest.strip_prefix(scheme))).unwrap_or(name)
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.mode.is_some_and(|mode| mode & 0o170_000 == 0o120_000)
    }
}
