//! One pass over a wheel: read, checked, edited, tagged, written.

use std::collections::BTreeSet;
use std::io::{self, Write};

use binfmt::elf::ElfInfo;
use binfmt::source::ReadAt;
use pydist::digest;
use pydist::filename::{DistName, NameError, WheelName};
use pydist::record::{self, Entry};
use pydist::zip::{Content, Member, NewMember, Written, contains, each_piece, pack, write};
use sha2::{Digest as _, Sha256};

use super::archive::{self, ArchiveError};
use super::binary::{self, Edited};
use super::binary_error::BinaryError;
use super::change::Change;
use super::contents::{Contents, script};
use super::error::WheelError;
use super::foreign::{Foreign, Home, foreign};
use super::graft::{GraftScope, Grafted, Grafts};
use super::metadata::{self, Record};
use super::options::Options;
use super::resolve::Libraries;
use super::surroundings::Surroundings;
use super::tags::{self, Floor, Needs};
use super::{elf, room, sbom, scripts};
use crate::target::Arch;

/// A wheel that can be published.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// Its file name.
    pub name: WheelName,
    /// The size of the archive, in bytes.
    pub size: u64,
    /// The SHA-256 of the archive.
    pub sha256: [u8; 32],
    /// The lowest system it runs on; `None` where it has no binary.
    pub floor: Option<Floor>,
    /// What was changed, member by member.
    pub changes: Vec<Change>,
    /// What is suspicious but no error.
    pub warnings: Vec<Change>,
    /// What it installs, as far as it can be tried out.
    pub contents: Contents,
    /// The members that are for another platform than the wheel.
    pub foreign: BTreeSet<String>,
}

/// Deflate's level. On machine code, the next one takes a tenth more time and saves 1 %.
const LEVEL: u32 = 4;

/// The members' content never exceeds this where it is text that is read.
const TEXT: u64 = 64 << 20;

/// Makes the wheel in `source`, whose file is called `file_name`, portable,
/// and writes it to `out`.
pub fn repair(
    file_name: &str,
    source: &(impl ReadAt + ?Sized),
    options: &Options,
    out: &mut impl Write,
) -> Result<Repaired, WheelError> {
    let DistName::Wheel(mut name) = file_name.parse()? else { return Err(NameError::Suffix.into()) };
    let members = archive::open(source)?;
    let dist_info = metadata::dist_info(&members)?;
    let mut pass = Pass::new(&members, &dist_info, options);
    pass.home = Home::of(options.target.as_ref(), &name.tags, &members, source);
    pass.is_armv6 = match &options.target {
        Some(target) => target.known().is_some_and(|target| target.arch == Arch::Armv6l),
        None => name.tags.platform.iter().any(|tag| tag.ends_with("armv6l")),
    };
    let record = pass.read_record(source, &members)?;
    let mut wheel_file = Vec::new();
    for member in &members {
        let (content, entry) = pass.read(source, member, &record)?;
        match member.name.strip_prefix(&dist_info) {
            Some("WHEEL") => wheel_file = content.to_vec().map_err(ArchiveError::Write)?,
            _ => pass.take(member, content, entry)?,
        }
    }
    while let Some(grafted) = pass.grafts.as_mut().and_then(Grafts::next) {
        pass.take_grafted(grafted)?;
    }
    if let Some(document) =
        pass.grafts.as_ref().and_then(|grafts| sbom::of_grafts(grafts.done(), options.epoch))
    {
        let name = format!("{dist_info}sboms/build-wheel.cyclonedx.json");
        pass.members.retain(|(member, _)| member.name != name);
        pass.add(&name, false, document.as_slice()).map_err(ArchiveError::Write)?;
    }
    pass.check_libraries()?;

    let needs = tags::combine(&pass.needs)?;
    if let Some(needs) = &needs {
        if let Some(target) = &options.target {
            needs.check_target(target)?;
        }
        name.tags.platform = needs.platforms(options.compatibility)?;
    } else if pass.home == Home::Windows {
        // The rules compare the tag with the binaries.
        if let Some(target) = options.target.as_ref().filter(|_| pass.contents.has_binaries()) {
            tags::check_windows(target, &name.tags.platform)?;
        }
    } else if pass.home == Home::Unruled {
        let tags = name.tags.platform.join(".");
        pass.warn(file_name, &format!("is for `{tags}`, for which there are no rules: it is checked and not repaired, and its tag stays"));
    } else if let Some(tag) = name.tags.platform.iter().find(|tag| *tag != "any") {
        pass.warn(file_name, &format!("has no binary that this program knows; its tag `{tag}` stays"));
    }
    let wheel_file = metadata::wheel_file(&wheel_file, &name)?;
    pass.add(&format!("{dist_info}WHEEL"), false, wheel_file.as_slice()).map_err(ArchiveError::Write)?;
    let written = pass.write(source, out).map_err(ArchiveError::Write)?;
    Ok(Repaired {
        name,
        size: written.size,
        sha256: written.sha256,
        floor: needs.map(|needs| needs.floor()),
        changes: pass.changes,
        warnings: pass.warnings,
        contents: pass.contents,
        foreign: pass.foreign,
    })
}

/// The content of one member of a wheel.
pub fn member(wheel: &(impl ReadAt + ?Sized), name: &str) -> Option<Vec<u8>> {
    let members = archive::open(wheel).ok()?;
    let member = members.iter().find(|member| member.name == name)?;
    member.content(wheel, u64::MAX).ok()
}

/// What has been found so far.
struct Pass<'a> {
    options: &'a Options,
    dist_info: &'a str,
    /// `<package>-<version>`.
    stem: String,
    home: Home,
    /// Whether its 32-bit Arm is the older one: an ELF file does not say.
    is_armv6: bool,
    /// Members that are for another platform.
    foreign: BTreeSet<String>,
    /// The base names of all members: libraries that come along.
    files: BTreeSet<String>,
    /// Libraries that are copied into the wheel, where they may be.
    grafts: Option<Grafts>,
    libraries: Libraries,
    needs: Vec<Needs>,
    changes: Vec<Change>,
    warnings: Vec<Change>,
    contents: Contents,
    /// What the new archive holds.
    members: Vec<(NewMember, Entry)>,
    /// The packed bytes of members that changed.
    packed: Content,
}

impl<'a> Pass<'a> {
    fn new(members: &[Member], dist_info: &'a str, options: &'a Options) -> Self {
        let base = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let stem = dist_info.trim_end_matches(".dist-info/").to_owned();
        Self {
            options,
            dist_info,
            files: members.iter().map(|member| base(&member.name)).collect(),
            grafts: (options.graft != GraftScope::Off)
                .then(|| Grafts::new(&stem, options.graft, &options.scratch)),
            stem,
            home: Home::Content,
            is_armv6: false,
            foreign: BTreeSet::new(),
            libraries: Libraries::default(),
            needs: Vec::new(),
            changes: Vec::new(),
            warnings: Vec::new(),
            contents: Contents::default(),
            members: Vec::new(),
            packed: Content::new(&options.scratch),
        }
    }

    fn warn(&mut self, file: &str, what: &str) {
        self.warnings.push(Change { file: file.into(), what: what.into() });
    }

    fn change(&mut self, file: &str, what: String) {
        self.changes.push(Change { file: file.into(), what });
    }

    fn read_record(&self, source: &(impl ReadAt + ?Sized), members: &[Member]) -> Result<Record, WheelError> {
        let name = format!("{}RECORD", self.dist_info);
        let record = members.iter().find(|member| member.name == name && member.size <= TEXT);
        let record = record.ok_or(WheelError::Metadata("RECORD", 0))?;
        let mut text = Vec::new();
        archive::read(record, source, |bytes| {
            text.extend(bytes);
            Ok(())
        })?;
        Record::read(&text, members, self.dist_info)
    }

    /// Reads a member and compares it with `RECORD`.
    fn read(
        &self,
        source: &(impl ReadAt + ?Sized),
        member: &Member,
        record: &Record,
    ) -> Result<(Content, Option<Entry>), WheelError> {
        let mut hasher = record.hasher(&member.name)?;
        let mut content = Content::new(&self.options.scratch);
        archive::read(member, source, |bytes| {
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            content.push(bytes)
        })?;
        let entry = record.check(member, hasher)?;
        Ok((content, entry))
    }

    /// Edits a member, and keeps it as it is, packed, where nothing changed.
    fn take(
        &mut self,
        member: &Member,
        mut content: Content,
        entry: Option<Entry>,
    ) -> Result<(), WheelError> {
        let is_changed = self.look(&member.name, &mut content)?;
        // A signature of the old RECORD says nothing about the new one.
        if metadata::is_unhashed(&member.name, self.dist_info) {
            return Ok(());
        }
        let is_program = script(&member.name).is_some()
            || self.contents.executables.iter().any(|program| program.member == member.name);
        if is_program && !member.is_executable() {
            self.change(&member.name, "made executable".to_owned());
        }
        let is_executable = is_program || member.is_executable();
        match entry.filter(|_| !is_changed) {
            Some(entry) => self.members.push((NewMember::kept(member, is_executable), entry)),
            None => {
                self.add(&member.name, is_executable, &content).map_err(ArchiveError::Write)?;
            }
        }
        Ok(())
    }

    fn take_grafted(&mut self, grafted: Grafted) -> Result<(), WheelError> {
        let Grafted { member, from, mut content } = grafted;
        self.change(&member, format!("copied from `{}`", from.display()));
        self.look(&member, &mut content)?;
        self.add(&member, true, &content).map_err(ArchiveError::Write)?;
        Ok(())
    }

    /// Adds a new member.
    fn add(&mut self, name: &str, is_executable: bool, content: &(impl ReadAt + ?Sized)) -> io::Result<()> {
        let packed = pack(content, LEVEL, &mut self.packed)?;
        let (hash, size) = hash(content)?;
        let hash = Some(("sha256".to_owned(), digest::record_hash(&hash)));
        let entry = Entry { path: name.to_owned(), hash, size: Some(size) };
        self.members.push((NewMember::new(name, is_executable, packed), entry));
        Ok(())
    }

    /// Looks at the member `name` and edits its content; tells whether that
    /// has changed.
    fn look(&mut self, name: &str, content: &mut Content) -> Result<bool, WheelError> {
        self.contents.add_module(name);
        if let Some(found) = foreign(content, self.home) {
            self.report_foreign(name, found)?;
            return self.look_at_text(name, content);
        }
        let mut wheel = Surroundings {
            remove_rpaths: self.options.remove_rpaths,
            exclude: &self.options.exclude,
            files: &mut self.files,
            grafts: &mut self.grafts,
        };
        if self.options.graft == GraftScope::All
            && let Ok(elf) = ElfInfo::read(content)
            && let Some(path) = elf::without_room(&elf, name, &wheel)
        {
            room::make(content, &path, &self.options.scratch).map_err(ArchiveError::Write)?;
        }
        let failed = |source| WheelError::Binary { file: name.to_owned(), source };
        let edited = match binary::edit(content, name, &mut wheel).map_err(failed)? {
            Some(Edited::Elf(elf)) => {
                self.contents.add_elf(name, &elf.info);
                if elf.needs.is_some() {
                    self.libraries.add_elf(&self.stem, name, &elf.info);
                }
                Some((elf.needs, elf.edit))
            }
            Some(Edited::MachO(macho)) => {
                self.contents.add_macho(name, &macho.info);
                for slice in macho.info.slices.iter().filter(|slice| slice.is_loaded()) {
                    self.libraries.add_macho(&self.stem, name, slice);
                }
                Some((macho.needs, macho.edit))
            }
            Some(Edited::Pe(pe)) => {
                self.contents.add_pe(name, &pe);
                None
            }
            None => None,
        };
        let Some((needs, edit)) = edited else { return self.look_at_text(name, content) };
        let is_changed = !edit.changes.is_empty();
        self.needs.extend(needs.map(|needs| if self.is_armv6 { needs.for_armv6() } else { needs }));
        let note = |what| Change { file: name.to_owned(), what };
        self.changes.extend(edit.changes.into_iter().map(note));
        self.warnings.extend(edit.warnings.into_iter().map(note));
        let has = |needles: &[&[u8]]| contains(content, needles).map_err(ArchiveError::Write);
        if has(&STORES)? {
            // What makeBinaryWrapper compiles holds its own command line.
            if has(&[MAKE_C_WRAPPER])? && wraps(&content.to_vec().map_err(ArchiveError::Write)?) {
                let what =
                    "is a wrapper that executes a program of the Nix store (`makeBinaryWrapper`)".into();
                return Err(WheelError::Script { file: name.to_owned(), what });
            }
            self.warn(name, "mentions the Nix store, though not where the loader looks");
        }
        Ok(is_changed)
    }

    /// Reports what is for another platform than the wheel. Where that is all
    /// there is, a store path in it is one that its users would meet.
    fn report_foreign(&mut self, name: &str, found: Foreign) -> Result<(), WheelError> {
        let Foreign { what, store } = found;
        match (self.home, store) {
            (Home::Content, Some(_)) => {
                return Err(WheelError::Binary { file: name.to_owned(), source: BinaryError::Machine(what) });
            }
            (Home::Unruled | Home::Windows, Some(path)) => {
                return Err(WheelError::Binary {
                    file: name.to_owned(),
                    source: BinaryError::Unruled { what, path },
                });
            }
            (Home::Unruled, None) => {}
            _ => self.warn(name, &format!("is for {what}, other than the wheel: it is not repaired")),
        }
        self.foreign.insert(name.to_owned());
        Ok(())
    }

    fn look_at_text(&mut self, name: &str, content: &mut Content) -> Result<bool, WheelError> {
        let is_metadata = name.starts_with(self.dist_info);
        let is_text = is_metadata || script(name).is_some();
        if is_text && content.size().map_err(ArchiveError::Write)? <= TEXT {
            let text = content.to_vec().map_err(ArchiveError::Write)?;
            self.contents.add_text(name, &text, self.dist_info);
            let new = if script(name).is_some() {
                scripts::without_store(name, &text)?
            } else if name.ends_with(".cyclonedx.json") {
                sbom::normalize(&text, self.options.epoch).map(|new| (new, String::new()))
            } else {
                None
            };
            if let Some((new, what)) = new {
                if !what.is_empty() {
                    self.change(name, what);
                }
                *content = Content::copy(&new, &self.options.scratch).map_err(ArchiveError::Write)?;
                return Ok(true);
            }
        }
        // RECORD is written anew.
        if !metadata::is_unhashed(name, self.dist_info)
            && contains(content, &STORES).map_err(ArchiveError::Write)?
        {
            self.warn(name, "mentions the Nix store");
        }
        Ok(false)
    }

    fn check_libraries(&self) -> Result<(), WheelError> {
        let members = self.members.iter().map(|(member, _)| member.name.clone()).collect();
        let checked = self.libraries.check(&self.stem, &members);
        checked.map_err(|(file, source)| WheelError::Binary { file, source })
    }

    /// Writes the members in their final order, with a `RECORD` of them.
    fn write(&mut self, source: &(impl ReadAt + ?Sized), out: &mut impl Write) -> io::Result<Written> {
        // Metadata at the end, as PEP 427 recommends, and RECORD last.
        let dist_info = self.dist_info;
        self.members.sort_by(|(a, _), (b, _)| {
            let key = |member: &NewMember| member.name.starts_with(dist_info);
            (key(a), &a.name).cmp(&(key(b), &b.name))
        });
        let record = format!("{dist_info}RECORD");
        let mut entries: Vec<Entry> = self.members.iter().map(|(_, entry)| entry.clone()).collect();
        entries.push(Entry::unhashed(&record));
        let packed = pack(&record::write(&entries), LEVEL, &mut self.packed)?;
        let mut members: Vec<NewMember> = self.members.iter().map(|(member, _)| member.clone()).collect();
        members.push(NewMember::new(record, false, packed));
        write(&members, source, &self.packed, self.options.epoch, out)
    }
}

/// What begins the command line in a wrapper that `makeBinaryWrapper` has compiled.
const MAKE_C_WRAPPER: &[u8] = b"makeCWrapper '";

/// Whether a binary has the command line of a wrapper of a store path. The word alone
/// proves nothing: this program has it, too.
fn wraps(binary: &[u8]) -> bool {
    memchr::memmem::find_iter(binary, MAKE_C_WRAPPER).any(|at| {
        let path = &binary[at + MAKE_C_WRAPPER.len()..];
        let path = path.strip_prefix(b"/nix/store/").unwrap_or_default();
        let name = path.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        name == 32 && path.get(name) == Some(&b'-')
    })
}

/// What betrays a path of the store.
const STORES: [&[u8]; 2] = [b"/nix/store/", b"/gnu/store/"];

/// The SHA-256 and the size of a content.
fn hash(content: &(impl ReadAt + ?Sized)) -> io::Result<([u8; 32], u64)> {
    let mut hasher = Sha256::new();
    each_piece(content, 0, |_, bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok((hasher.finalize().into(), content.size()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wrapper_of_a_store_path_is_one() {
        assert!(wraps(b"x makeCWrapper '/nix/store/abcdefghijklmnopqrstuvwxyz012345-x/bin/x' y"));
        for text in ["makeCWrapper '/nix/store/", "makeCWrapper '\0/nix/store/abc-x", "makeCWrapper 'x"] {
            assert!(!wraps(text.as_bytes()), "{text}");
        }
    }
}
