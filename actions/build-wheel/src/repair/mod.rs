//! From a wheel that runs on the machine that built it to one that runs
//! elsewhere: one read, one write, all in memory.

mod archive;
mod binary;
mod codesign;
mod elf;
mod elf_edit;
mod macho;
mod sbom;
mod tags;

use std::borrow::Cow;
use std::collections::BTreeMap;

use pydist::digest;
use pydist::filename::{DistName, NameError, WheelName};
use pydist::headers::{HeaderError, Headers};
use pydist::record::{self, RecordError};
use pydist::tags::Platform;
use pydist::wheel_file::WheelFile;
use serde::Serialize;
use toolkit::{Exit, Failure};

pub use archive::ArchiveError;
pub use binary::{BinaryError, edit_elf_in_place, edit_macho};
pub use tags::{Floor, TagsError};

use crate::target::Target;
use archive::Member;

/// The earliest time that a zip archive can hold: 1980, in seconds since 1970.
pub const EARLIEST: u64 = 315_532_800;

/// What is asked of the result.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the wheel must be for; `None`: for whatever its content is.
    pub target: Option<Target>,
    /// The platform to declare; more than that must not be needed.
    pub compatibility: Option<Platform>,
    /// The time of all members, in seconds since 1970.
    pub epoch: u64,
    /// Whether absolute search paths outside the store go too.
    pub remove_rpaths: bool,
}

/// A wheel that can be published.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// Its file name.
    pub name: WheelName,
    /// The archive.
    pub bytes: Vec<u8>,
    /// The lowest system it runs on; `None` where it has no binary.
    pub floor: Option<Floor>,
    /// What was changed, member by member.
    pub changes: Vec<Change>,
    /// What is suspicious but no error.
    pub warnings: Vec<Change>,
    /// The programs it installs, and the modules that can be imported.
    pub contents: Contents,
}

/// Something about one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The member's path in the wheel.
    pub file: String,
    /// What was done, or what is the matter.
    pub what: String,
}

/// What there is to try out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The names of programs: scripts and console entry points.
    pub programs: Vec<String>,
    /// Of these, the members that are binaries.
    pub binaries: Vec<(String, String)>,
    /// Top-level modules.
    pub modules: Vec<String>,
    /// Whether other distributions must be installed beside it.
    pub requires: bool,
}

/// What an edit of one member did.
#[derive(Debug, Default)]
struct Edit {
    changes: Vec<String>,
    warnings: Vec<String>,
}

/// Why a wheel cannot be made portable.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// Not the name of a wheel.
    #[error("the file name is not a wheel's")]
    Name(#[from] NameError),
    /// Not a sound archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file that every wheel has is missing, or is there twice.
    #[error("expected exactly one `{0}` in the wheel, found {1}")]
    Metadata(&'static str, usize),
    /// `WHEEL` cannot be read.
    #[error("its WHEEL file cannot be read")]
    Wheel(#[from] HeaderError),
    /// `RECORD` cannot be read.
    #[error("its RECORD cannot be read")]
    Record(#[from] RecordError),
    /// `RECORD` and content differ.
    #[error("RECORD lies: {0}")]
    Lies(String),
    /// A binary cannot be used.
    #[error("`{file}`: {source}")]
    Binary {
        /// The member.
        file: String,
        /// Why.
        source: BinaryError,
    },
    /// A script needs an interpreter in the store.
    #[error("`{file}` begins with `{line}`: its interpreter is in the Nix store")]
    Interpreter {
        /// The member.
        file: String,
        /// Its first line.
        line: String,
    },
    /// No tag fits the content.
    #[error(transparent)]
    Tags(#[from] TagsError),
}

impl Failure for WheelError {
    fn exit(&self) -> Exit {
        Exit::Findings
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Binary { source, .. } => Some(source.hint().to_owned()),
            Self::Interpreter { .. } => {
                Some("use `#!/usr/bin/env …`, or set `dontPatchShebangs = true` in the derivation".into())
            }
            Self::Tags(TagsError::Floor { floor, .. }) => Some(match floor.system {
                "macOS" => "set `compatibility` higher, or build with a lower MACOSX_DEPLOYMENT_TARGET (nixpkgs: `darwinMinVersion`)".into(),
                _ => "no edit can lower it: link with `linker: zig`, build on a system with an older glibc, or for a `…-linux-musl` target".into(),
            }),
            Self::Archive(_) | Self::Record(_) | Self::Lies(_) => Some("build the wheel again".into()),
            _ => None,
        }
    }
}

/// Whether `text` names something in a Nix store.
fn in_store(text: &str) -> bool {
    text.contains("/nix/store/")
}

/// The content of one member of a wheel that [`repair`] has written.
pub fn member(wheel: &[u8], name: &str) -> Option<Vec<u8>> {
    let members = archive::read(wheel).ok()?;
    members.into_iter().find(|(member, _)| member.name == name).map(|(_, content)| content)
}

/// Makes the wheel `bytes`, whose file is called `file_name`, portable.
pub fn repair(file_name: &str, bytes: &[u8], options: &Options) -> Result<Repaired, WheelError> {
    let DistName::Wheel(mut name) = file_name.parse()? else { return Err(NameError::Suffix.into()) };
    let members = archive::read(bytes)?;
    let dist_info = dist_info(&members)?;
    check_record(&members, &dist_info)?;

    let mut facts = Facts::new(&members);
    let mut out = Vec::with_capacity(members.len());
    for (member, content) in &members {
        let new = facts.look(member, content, &dist_info, options)?;
        let (member, content) = match new {
            Some(new) => (Member::new(member.name.clone(), member.executable, &new), Cow::Owned(new)),
            None => (member.clone(), Cow::Borrowed(content.as_slice())),
        };
        out.push((member, content));
    }

    let needs = tags::combine(&facts.needs)?;
    if let Some(needs) = &needs {
        if let Some(target) = options.target {
            needs.check_target(target)?;
        }
        name.tags.platform = needs.platforms(options.compatibility.as_ref())?;
    } else if let Some(tag) = name.tags.platform.iter().find(|tag| *tag != "any") {
        facts.warn(file_name, &format!("has no binary that this program knows; its tag `{tag}` stays"));
    }
    let written = write_metadata(out, &dist_info, &name)?;
    Ok(Repaired {
        name,
        floor: needs.map(|needs| needs.floor()),
        changes: facts.changes,
        warnings: facts.warnings,
        contents: facts.contents,
        bytes: archive::write(&written, options.epoch),
    })
}

/// Names the first member in which two wheels differ.
pub fn first_difference(first: &[u8], second: &[u8]) -> Option<String> {
    let (first, second) = (archive::read(first).ok()?, archive::read(second).ok()?);
    for ((a, old), (b, new)) in first.iter().zip(&second) {
        if a.name != b.name {
            return Some(format!("one has `{}` where the other has `{}`", a.name, b.name));
        }
        if old != new {
            let at = old.iter().zip(new).position(|(a, b)| a != b).unwrap_or(old.len().min(new.len()));
            return Some(format!("`{}` from byte {at} on ({} and {} bytes)", a.name, old.len(), new.len()));
        }
    }
    (first.len() != second.len())
        .then(|| format!("one has {} members, the other {}", first.len(), second.len()))
}

/// The metadata folder, with a slash at its end.
fn dist_info(members: &[(Member<'_>, Vec<u8>)]) -> Result<String, WheelError> {
    let with = |file: &str| -> Vec<&str> {
        let names = members.iter().filter_map(|(member, _)| member.name.strip_suffix(file));
        names.filter(|folder| folder.ends_with(".dist-info/") && folder.matches('/').count() == 1).collect()
    };
    for file in ["METADATA", "RECORD"] {
        if with(file).len() != 1 {
            return Err(WheelError::Metadata(file, with(file).len()));
        }
    }
    match with("WHEEL")[..] {
        [folder] => Ok(folder.to_owned()),
        ref folders => Err(WheelError::Metadata("WHEEL", folders.len())),
    }
}

/// Compares `RECORD` with what is there.
fn check_record(members: &[(Member<'_>, Vec<u8>)], dist_info: &str) -> Result<(), WheelError> {
    let mut unlisted: BTreeMap<&str, &[u8]> =
        members.iter().map(|(member, content)| (member.name.as_str(), content.as_slice())).collect();
    let record_name = format!("{dist_info}RECORD");
    let lies = |what: String| Err(WheelError::Lies(what));
    for entry in record::parse(unlisted.get(record_name.as_str()).copied().unwrap_or_default())? {
        let Some(content) = unlisted.remove(entry.path.as_str()) else {
            return lies(format!("`{}` is listed, but not in the wheel (or listed before)", entry.path));
        };
        if let Some(size) = entry.size.filter(|size| *size != content.len() as u64) {
            return lies(format!("`{}` has {} bytes, listed are {size}", entry.path, content.len()));
        }
        match &entry.hash {
            None if unhashed(&entry.path, dist_info) => {}
            None => return lies(format!("`{}` is listed without a hash", entry.path)),
            Some((algorithm, listed)) if algorithm == "sha256" => {
                let found = digest::record_hash(&digest::sha256(content));
                if found != *listed {
                    return lies(format!("`{}` has the sha256 `{found}`, listed is `{listed}`", entry.path));
                }
            }
            Some((algorithm, _)) => {
                return lies(format!("`{}` is listed with `{algorithm}`, expected `sha256`", entry.path));
            }
        }
    }
    match unlisted.into_keys().find(|name| !unhashed(name, dist_info)) {
        Some(name) => lies(format!("`{name}` is in the wheel, but not listed")),
        None => Ok(()),
    }
}

/// `RECORD` and its signatures cannot be in `RECORD` with a hash.
fn unhashed(name: &str, dist_info: &str) -> bool {
    name.strip_prefix(dist_info).is_some_and(|file| matches!(file, "RECORD" | "RECORD.jws" | "RECORD.p7s"))
}

/// The members in their final order, with `WHEEL` and `RECORD` as they must
/// be.
fn write_metadata<'m>(
    mut members: Vec<(Member<'m>, Cow<'m, [u8]>)>,
    dist_info: &str,
    name: &WheelName,
) -> Result<Vec<Member<'m>>, WheelError> {
    let wheel_name = format!("{dist_info}WHEEL");
    let record_name = format!("{dist_info}RECORD");
    // A signature of the old RECORD says nothing about the new one.
    members.retain(|(member, _)| !unhashed(&member.name, dist_info));
    for (member, content) in members.iter_mut().filter(|(member, _)| member.name == wheel_name) {
        let new = WheelFile::parse(content)?.with_tags(&name.tags.expand()).write();
        *member = Member::new(wheel_name.clone(), false, &new);
        *content = Cow::Owned(new);
    }
    // Metadata at the end, as PEP 427 recommends, and RECORD last.
    members.sort_by(|(a, _), (b, _)| {
        let key = |member: &Member<'_>| member.name.starts_with(dist_info);
        (key(a), &a.name).cmp(&(key(b), &b.name))
    });
    let entries = members.iter().map(|(member, content)| record::Entry::of(&member.name, content));
    let entries: Vec<_> = entries.chain([record::Entry::unhashed(&record_name)]).collect();
    let record = Member::new(record_name, false, &record::write(&entries));
    Ok(members.into_iter().map(|(member, _)| member).chain([record]).collect())
}

/// What has been found so far.
struct Facts {
    /// The base names of all members: libraries that come along.
    files: Vec<String>,
    needs: Vec<tags::Needs>,
    changes: Vec<Change>,
    warnings: Vec<Change>,
    contents: Contents,
}

impl Facts {
    fn new(members: &[(Member<'_>, Vec<u8>)]) -> Self {
        let base = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        Self {
            files: members.iter().map(|(member, _)| base(&member.name)).collect(),
            needs: Vec::new(),
            changes: Vec::new(),
            warnings: Vec::new(),
            contents: Contents::default(),
        }
    }

    fn warn(&mut self, file: &str, what: &str) {
        self.warnings.push(Change { file: file.into(), what: what.into() });
    }

    /// Looks at one member; gives its new content where it must change.
    fn look(
        &mut self,
        member: &Member<'_>,
        content: &[u8],
        dist_info: &str,
        options: &Options,
    ) -> Result<Option<Vec<u8>>, WheelError> {
        let name = member.name.as_str();
        let script = name.split_once(".data/scripts/").map(|(_, script)| script.to_owned());
        self.contents.note(name, content, script.as_deref(), dist_info);
        let binary = |source| WheelError::Binary { file: name.to_owned(), source };
        if let Some(done) = binary::edit(content, name, options, &self.files).map_err(binary)? {
            self.needs.extend(done.needs);
            let note = |what| Change { file: name.to_owned(), what };
            self.changes.extend(done.edit.changes.into_iter().map(note));
            self.warnings.extend(done.edit.warnings.into_iter().map(note));
            if let Some(script) = script {
                self.contents.binaries.push((script, name.to_owned()));
            }
            let after = done.content.as_deref().unwrap_or(content);
            if memchr::memmem::find(after, b"/nix/store/").is_some() {
                self.warn(name, "mentions the Nix store, though not where the loader looks");
            }
            return Ok(done.content);
        }
        if name.starts_with(dist_info) && name.ends_with(".cyclonedx.json") {
            return Ok(sbom::normalize(content, options.epoch));
        }
        if script.is_some() {
            return self.shebang(name, content);
        }
        if memchr::memmem::find(content, b"/nix/store/").is_some() {
            self.warn(name, "mentions the Nix store");
        }
        Ok(None)
    }

    /// An installer writes its own interpreter in place of `#!python`.
    fn shebang(&mut self, file: &str, content: &[u8]) -> Result<Option<Vec<u8>>, WheelError> {
        let end = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
        let line = String::from_utf8_lossy(&content[..end]).into_owned();
        if !line.starts_with("#!") || !in_store(&line) {
            return Ok(None);
        }
        let program = line[2..].split_whitespace().next().and_then(|path| path.rsplit('/').next());
        let new = match program {
            Some(program) if program.starts_with("python") => "#!python",
            Some("sh") => "#!/bin/sh",
            Some("bash") => "#!/usr/bin/env bash",
            _ => return Err(WheelError::Interpreter { file: file.into(), line }),
        };
        self.changes.push(Change { file: file.into(), what: format!("`{line}` is now `{new}`") });
        Ok(Some([new.as_bytes(), &content[end..]].concat()))
    }
}

impl Contents {
    fn note(&mut self, name: &str, content: &[u8], script: Option<&str>, dist_info: &str) {
        if let Some(script) = script {
            self.programs.push(script.to_owned());
        } else if name == format!("{dist_info}METADATA") {
            let metadata = Headers::parse(content).unwrap_or_default();
            self.requires = metadata.get("Requires-Dist").is_some();
        } else if name == format!("{dist_info}entry_points.txt") {
            let text = String::from_utf8_lossy(content);
            let mut section = "";
            for line in text.lines().map(str::trim) {
                if line.starts_with('[') {
                    section = line;
                } else if let Some((program, _)) =
                    line.split_once('=').filter(|_| section == "[console_scripts]")
                {
                    self.programs.push(program.trim().to_owned());
                }
            }
        } else {
            let identifier =
                |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
            let module = match name.split_once('/') {
                Some((package, "__init__.py")) => Some(package),
                Some(_) => None,
                // `name.py`, or an extension: `name.abi3.so`.
                None => match name.rsplit('.').next() {
                    Some("py" | "so" | "pyd") => name.split('.').next(),
                    _ => None,
                },
            };
            self.modules.extend(module.filter(|module| identifier(module)).map(str::to_owned));
        }
    }
}
