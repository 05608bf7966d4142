//! What is known about a distribution after one pass over its bytes. Rules
//! read facts; they never open a file.

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
    /// Where it is.
    pub path: PathBuf,
    /// Its name without the folder.
    pub filename: String,
    /// The name, understood.
    pub name: Result<DistName, NameError>,
    /// In bytes.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Sha256Bytes,
    /// The attestation beside it (`….publish.attestation`), if there is one.
    pub attestation: Option<Vec<u8>>,
    /// What is inside.
    pub body: Body,
}

/// What is inside a distribution.
#[derive(Debug)]
pub enum Body {
    /// A ZIP archive.
    Wheel(Box<Wheel>),
    /// A tar archive.
    Sdist(Box<Sdist>),
    /// It cannot be read as what its name says.
    Broken(String),
}

/// The content of a wheel.
#[derive(Debug, Default)]
pub struct Wheel {
    /// Where the records break the rules.
    pub faults: Vec<zip::Fault>,
    /// In the order of the central directory.
    pub members: Vec<Member>,
    /// The names of all `….dist-info` folders at the top.
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
    /// Libraries that the user's system provides, as the wheel's bills of
    /// materials declare them (PEP 770; CycloneDX 1.7, `isExternal`).
    pub external: BTreeSet<String>,
}

/// The content of a source distribution.
#[derive(Debug, Default)]
pub struct Sdist {
    /// In the order of the archive.
    pub members: Vec<Member>,
    /// Kinds of the members that are neither file nor folder, by index.
    pub odd: Vec<(usize, tar::Kind)>,
    /// `PKG-INFO` of the top folder.
    pub metadata: Option<Result<Metadata, MetadataError>>,
    /// `pyproject.toml` of the top folder.
    pub pyproject: Option<String>,
    /// Every `Cargo.toml`, by its path.
    pub cargo: BTreeMap<String, String>,
    /// Why reading ended early.
    pub fault: Option<String>,
}

/// One member of an archive.
#[derive(Debug, Default)]
pub struct Member {
    /// Its path.
    pub name: String,
    /// In bytes, inflated.
    pub size: u64,
    /// In the archive.
    pub compressed: u64,
    /// The Unix mode, if there is one.
    pub mode: Option<u32>,
    /// Of the inflated bytes; none where they could not be read.
    pub sha256: Option<Sha256Bytes>,
    /// Of the same bytes, by the other algorithm (`sha384`, `sha512`) that
    /// RECORD uses for it.
    pub other_hash: Option<(&'static str, String)>,
    /// Why the bytes could not be read.
    pub error: Option<String>,
    /// Store paths in it: the first few different ones.
    pub store_paths: Vec<String>,
    /// The first line of a script (`#!…`).
    pub shebang: Option<String>,
    /// Whether it starts with a private key.
    pub private_key: bool,
    /// Whether it is a file in which a tool keeps credentials, with some in it.
    pub credentials: bool,
    /// The tool that obfuscated the code, if it is one that the index rejects.
    pub obfuscator: Option<&'static str>,
    /// What it is, if it is a binary.
    pub binary: Option<Binary>,
    /// Whether it is a binary for another system than the wheel's tags: test
    /// data, a library for a phone.
    pub is_foreign: bool,
    /// The architectures of a Mach-O file whose code is not what their
    /// signature says.
    pub broken_signatures: Vec<&'static str>,
    /// The text of a licence file, for comparison with what is declared.
    pub licence: Option<String>,
}

/// A binary, understood by its loader's format.
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
    /// It starts like one and cannot be understood.
    Broken(Format, String),
}

impl Dist {
    /// The wheel, if it is one that could be read.
    pub fn wheel(&self) -> Option<&Wheel> {
        match &self.body {
            Body::Wheel(wheel) => Some(wheel),
            _ => None,
        }
    }

    /// The wheel's file name, understood.
    pub fn wheel_name(&self) -> Option<&WheelName> {
        self.name.as_ref().ok().and_then(DistName::wheel)
    }

    /// The metadata, if they could be read.
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

    /// The platform tags of a wheel, understood.
    pub fn platforms(&self) -> Vec<Platform> {
        self.wheel_name().map(|name| name.tags.platforms().collect()).unwrap_or_default()
    }

    /// Whether the wheel is for a system whose tags start with this, and for no
    /// other: `ios_`, `android_`, `pyodide_`.
    pub(crate) fn is_only_for(&self, systems: &[&str]) -> bool {
        let platforms = self.platforms();
        let is_of = |tag: &Platform| matches!(tag, Platform::Other(tag) if systems.iter().any(|it| tag.starts_with(it)));
        !platforms.is_empty() && platforms.iter().all(is_of)
    }

    /// The project: by the file name, else by the metadata.
    pub fn project(&self) -> Option<ProjectName> {
        match &self.name {
            Ok(name) => Some(name.project()),
            Err(_) => self.metadata().map(|metadata| ProjectName::new(&metadata.name)),
        }
    }

    /// The version as the metadata have it, else as the file name has it.
    pub fn version(&self) -> String {
        match (self.metadata(), &self.name) {
            (Some(metadata), _) => metadata.version.clone(),
            (_, Ok(name)) => name.version().to_owned(),
            _ => String::new(),
        }
    }
}

impl Sdist {
    /// The directory that holds all members, as the index finds it; none where
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
    /// The one `….dist-info` folder that belongs to the file name, or else the
    /// only one there is.
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

    /// The ELF files, those for other systems included.
    pub fn every_elf(&self) -> impl Iterator<Item = (&Member, &ElfInfo)> {
        self.members.iter().filter_map(|member| match &member.binary {
            Some(Binary::Elf(facts)) => Some((member, &**facts)),
            _ => None,
        })
    }

    /// The Mach-O files, those for other systems included.
    pub fn every_macho(&self) -> impl Iterator<Item = (&Member, &MachOInfo)> {
        self.members.iter().filter_map(|member| match &member.binary {
            Some(Binary::MachO(facts)) => Some((member, &**facts)),
            _ => None,
        })
    }

    /// The PE files, those for other systems included.
    pub fn every_pe(&self) -> impl Iterator<Item = (&Member, &PeInfo)> {
        self.members.iter().filter_map(|member| match &member.binary {
            Some(Binary::Pe(facts)) => Some((member, &**facts)),
            _ => None,
        })
    }
}

impl Member {
    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.name.ends_with('/')
    }

    /// The name without its folders.
    pub fn file_name(&self) -> &str {
        self.name.trim_end_matches('/').rsplit('/').next().unwrap_or(&self.name)
    }

    /// Where a wheel's installer puts it: in the library directory, if it comes
    /// from `purelib` or `platlib` of `….data`.
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
