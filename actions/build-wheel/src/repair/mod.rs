//! From a wheel that runs on the machine that built it to one that runs
//! elsewhere: one read, one write, all in memory.

mod archive;
mod binary;
mod codesign;
mod contents;
mod elf;
mod elf_edit;
mod elf_names;
mod graft;
mod macho;
mod macho_edit;
mod metadata;
mod sbom;
mod tags;

use std::collections::BTreeSet;

use pydist::filename::{DistName, NameError, WheelName};
use pydist::headers::HeaderError;
use pydist::record::RecordError;
use pydist::tags::Platform;
use serde::Serialize;
use toolkit::{Exit, Failure};

pub use archive::ArchiveError;
pub use binary::{BinaryError, edit_elf_in_place, edit_macho};
pub use contents::Contents;
pub use graft::GraftError;
pub use tags::{Floor, TagsError};

use crate::target::Target;
use archive::Member;
use graft::{Grafted, Grafts};
use metadata::Written;

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
    /// Whether libraries of the store go into the wheel.
    pub graft: bool,
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
    let dist_info = metadata::dist_info(&members)?;
    let mut record = metadata::check_record(&members, &dist_info)?;

    let mut facts = Facts::new(&members, &dist_info, options);
    let mut wheel_file = None;
    let mut out = Vec::with_capacity(members.len());
    for (member, mut content) in members {
        if member.name.strip_prefix(&dist_info) == Some("WHEEL") {
            wheel_file = Some((member.name, content));
            continue;
        }
        let changed = facts.look(&member.name, &mut content)?;
        // What did not change is copied as it is, compressed.
        out.push(match record.remove(&member.name).filter(|_| !changed) {
            Some(entry) => Written { member, entry },
            None => Written::new(&member.name, member.executable, &content),
        });
    }
    while let Some(Grafted { member, from, mut content }) = facts.grafts.as_mut().and_then(Grafts::next) {
        facts.change(&member, format!("copied from `{}`", from.display()));
        facts.look(&member, &mut content)?;
        out.push(Written::new(&member, true, &content));
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
    if let Some((path, content)) = wheel_file {
        out.push(Written::new(&path, false, &metadata::wheel_file(&content, &name)?));
    }
    Ok(Repaired {
        name,
        floor: needs.map(|needs| needs.floor()),
        changes: facts.changes,
        warnings: facts.warnings,
        contents: facts.contents,
        bytes: archive::write(&metadata::with_record(out, &dist_info), options.epoch),
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
        if a.executable != b.executable {
            return Some(format!("`{}` can be executed in one of them", a.name));
        }
    }
    (first.len() != second.len())
        .then(|| format!("one has {} members, the other {}", first.len(), second.len()))
}

/// What has been found so far.
struct Facts<'a> {
    options: &'a Options,
    dist_info: &'a str,
    /// The base names of all members: libraries that come along.
    files: BTreeSet<String>,
    /// Libraries that are taken along, where they may be.
    grafts: Option<Grafts>,
    needs: Vec<tags::Needs>,
    changes: Vec<Change>,
    warnings: Vec<Change>,
    contents: Contents,
}

impl<'a> Facts<'a> {
    fn new(members: &[(Member<'_>, Vec<u8>)], dist_info: &'a str, options: &'a Options) -> Self {
        let base = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let stem = dist_info.trim_end_matches(".dist-info/");
        Self {
            options,
            dist_info,
            files: members.iter().map(|(member, _)| base(&member.name)).collect(),
            grafts: options.graft.then(|| Grafts::new(stem)),
            needs: Vec::new(),
            changes: Vec::new(),
            warnings: Vec::new(),
            contents: Contents::default(),
        }
    }

    fn warn(&mut self, file: &str, what: &str) {
        self.warnings.push(Change { file: file.into(), what: what.into() });
    }

    fn change(&mut self, file: &str, what: String) {
        self.changes.push(Change { file: file.into(), what });
    }

    /// Looks at the member `name` and edits its content; tells whether that
    /// has changed.
    fn look(&mut self, name: &str, content: &mut Vec<u8>) -> Result<bool, WheelError> {
        let script = name.split_once(".data/scripts/").map(|(_, script)| script);
        self.contents.note(name, content, script, self.dist_info);
        let binary = |source| WheelError::Binary { file: name.to_owned(), source };
        let wheel = binary::Wheel { options: self.options, files: &mut self.files, grafts: &mut self.grafts };
        if let Some(done) = binary::edit(content, name, wheel).map_err(binary)? {
            let changed = !done.edit.changes.is_empty();
            self.needs.extend(done.needs);
            let note = |what| Change { file: name.to_owned(), what };
            self.changes.extend(done.edit.changes.into_iter().map(note));
            self.warnings.extend(done.edit.warnings.into_iter().map(note));
            if let Some(script) = script {
                self.contents.binaries.push((script.to_owned(), name.to_owned()));
            }
            if mentions_store(content) {
                self.warn(name, "mentions the Nix store, though not where the loader looks");
            }
            return Ok(changed);
        }
        if name.starts_with(self.dist_info) && name.ends_with(".cyclonedx.json") {
            let Some(normal) = sbom::normalize(content, self.options.epoch) else { return Ok(false) };
            *content = normal;
            return Ok(true);
        }
        if script.is_some() {
            let Some((new, what)) = contents::without_store_shebang(name, content)? else { return Ok(false) };
            *content = new;
            self.change(name, what);
            return Ok(true);
        }
        if mentions_store(content) {
            self.warn(name, "mentions the Nix store");
        }
        Ok(false)
    }
}

/// Whether a store path stands anywhere in the content.
fn mentions_store(content: &[u8]) -> bool {
    memchr::memmem::find(content, b"/nix/store/").is_some()
}
