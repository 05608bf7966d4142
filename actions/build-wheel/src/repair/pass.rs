//! The state of a pass over a wheel, and the archive that it writes.

mod libraries;

use std::collections::BTreeSet;
use std::io::{self, Write};

use binfmt::binary::Format;
use binfmt::elf::ElfInfo;
use binfmt::macho::Slice;
use binfmt::source::ReadAt;
use pydist::digest;
use pydist::filename::WheelName;
use pydist::member_path::file_name;
use pydist::record::{self, Entry};
use pydist::store::STORES;
use pydist::zip::{
    Content, Deflated, Member, NewMember, Packed, Written, contains, each_piece, pack, pack_edited, write,
};
use sha2::{Digest as _, Sha256};

use super::archive::{self, ArchiveError};
use super::binary::{self, EditedBinary};
use super::binary_error::BinaryError;
use super::change::{Change, Edit};
use super::contents::{Contents, ProgramSystem};
use super::error::WheelError;
use super::foreign::{ForeignBinary, WheelPlatform, foreign};
use super::graft::{GraftScope, Grafts};
use super::metadata::{self, Record};
use super::options::Options;
use super::resolve::Libraries;
use super::surroundings::Surroundings;
use super::tags::{self, Needs};
use super::wrapper::is_wrapper;
use super::{elf, room, sbom, scripts};

/// The deflate level. For machine code, the next one takes a tenth more time and saves 1 %.
const LEVEL: u32 = 4;

/// Larger members are not read as text.
const TEXT_LIMIT: u64 = 64 << 20;

/// The state of a pass over a wheel.
pub(super) struct Pass<'a> {
    options: &'a Options,
    dist_info: &'a str,
    /// `<package>-<version>`.
    stem: String,
    pub(super) platform: WheelPlatform,
    /// Whether 32-bit Arm means Armv6: ELF files do not distinguish them.
    pub(super) is_armv6: bool,
    /// Members that are edited in place.
    pub(super) editable: BTreeSet<String>,
    /// Members for another platform.
    pub(super) foreign: BTreeSet<String>,
    /// The file names of all members, including bundled libraries.
    files: BTreeSet<String>,
    /// Libraries to copy into the wheel; `None` if `graft` is off.
    grafts: Option<Grafts>,
    libraries: Libraries,
    needs: Vec<Needs>,
    pub(super) changes: Vec<Change>,
    pub(super) warnings: Vec<Change>,
    pub(super) contents: Contents,
    /// Libraries that binaries need and that `exclude` matches.
    external: BTreeSet<String>,
    /// The SBOM of an earlier repair.
    previous_sbom: Option<Vec<u8>>,
    /// The PE files, until it is known which DLLs go into the wheel and under which names.
    held: Vec<ReadMember>,
    /// The members of the new archive.
    members: Vec<(NewMember, Entry)>,
    /// The compressed content of changed members.
    packed: Content,
}

/// A member that was read.
struct ReadMember {
    member: Member,
    content: Content,
    /// The blocks of its deflate stream in the wheel, for a binary that can be edited in place.
    deflated: Option<Deflated>,
    entry: Option<Entry>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(members: &[Member], dist_info: &'a str, options: &'a Options) -> Self {
        let stem = dist_info.trim_end_matches(".dist-info/").to_owned();
        Self {
            options,
            dist_info,
            files: members.iter().map(|member| file_name(&member.name).to_owned()).collect(),
            grafts: (options.graft != GraftScope::Off)
                .then(|| Grafts::new(&stem, options.graft, &options.scratch)),
            platform: WheelPlatform::Content,
            is_armv6: false,
            editable: BTreeSet::new(),
            foreign: BTreeSet::new(),
            libraries: Libraries::default(),
            needs: Vec::new(),
            changes: Vec::new(),
            warnings: Vec::new(),
            contents: Contents::new(&stem, members),
            stem,
            external: BTreeSet::new(),
            previous_sbom: None,
            held: Vec::new(),
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
        let record = members.iter().find(|member| member.name == name && member.size <= TEXT_LIMIT);
        let record = record.ok_or(WheelError::Metadata("RECORD", 0))?;
        let mut text = Vec::new();
        archive::read(record, source, |bytes| {
            text.extend(bytes);
            Ok(())
        })?;
        Record::read(&text, members, self.dist_info)
    }

    /// Processes every member. Returns the content of `WHEEL`, which is written
    /// last.
    pub(super) fn process_members(
        &mut self,
        source: &(impl ReadAt + ?Sized),
        members: &[Member],
    ) -> Result<Vec<u8>, WheelError> {
        let record = self.read_record(source, members)?;
        let mut wheel_file = Vec::new();
        for member in members {
            let read = self.read(source, member, &record)?;
            match member.name.strip_prefix(self.dist_info) {
                Some("WHEEL") => wheel_file = read.content.to_vec().map_err(ArchiveError::Write)?,
                _ => self.process(read, source)?,
            }
        }
        Ok(wheel_file)
    }

    /// Reads a member and compares it with `RECORD`.
    fn read(
        &self,
        source: &(impl ReadAt + ?Sized),
        member: &Member,
        record: &Record,
    ) -> Result<ReadMember, WheelError> {
        let mut hasher = record.hasher(&member.name)?;
        let mut content = Content::new(&self.options.scratch);
        // The most that deflate can inflate these bytes to (RFC 1951), if the size is wrong.
        content.reserve(member.size.min(member.compressed.saturating_mul(1032)));
        let sink = |bytes: &[u8]| {
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            content.push(bytes)
        };
        let deflated = if self.editable.contains(&member.name) {
            archive::read_deflated(member, source, sink)?
        } else {
            archive::read(member, source, sink)?;
            None
        };
        content.track_edits();
        let entry = record.check(member, hasher)?;
        Ok(ReadMember { member: member.clone(), content, deflated, entry })
    }

    /// Processes a member, or holds it back if it may import DLLs to graft.
    fn process(&mut self, read: ReadMember, source: &(impl ReadAt + ?Sized)) -> Result<(), WheelError> {
        let head = read.content.head(8).map_err(ArchiveError::Write)?;
        let is_windows = self.platform == WheelPlatform::Windows;
        if is_windows && self.grafts.is_some() && Format::detect(&head) == Some(Format::Pe) {
            self.held.push(read);
            return Ok(());
        }
        self.process_edited(read, false, source)
    }

    /// Edits a member. If nothing has changed, neither now nor before (`is_edited`), its
    /// compressed content is kept.
    fn process_edited(
        &mut self,
        read: ReadMember,
        is_edited: bool,
        source: &(impl ReadAt + ?Sized),
    ) -> Result<(), WheelError> {
        let ReadMember { member, mut content, deflated, entry } = read;
        let is_changed = self.edit_member(&member.name, member.is_executable(), &mut content)? || is_edited;
        // A signature of the old RECORD is not valid for the new one.
        if metadata::is_unhashed(&member.name, self.dist_info) {
            return Ok(());
        }
        // A program for another platform than the wheel may be test data.
        let is_own = |system| system == ProgramSystem::Windows && self.platform == WheelPlatform::Windows;
        let is_program = self.contents.script(&member.name).is_some()
            || self.contents.executables.iter().any(|program| {
                program.member == member.name
                    && program.platform.as_ref().is_none_or(|platform| is_own(platform.system))
            });
        if is_program && !member.is_executable() {
            self.change(&member.name, "made executable".to_owned());
        }
        let is_executable = is_program || member.is_executable();
        match entry.filter(|_| !is_changed) {
            Some(entry) => self.members.push((NewMember::kept(&member, is_executable), entry)),
            None => {
                match deflated {
                    Some(blocks) => self.add_edited(&member.name, is_executable, &content, &blocks, source),
                    None => self.add(&member.name, is_executable, &content),
                }
                .map_err(ArchiveError::Write)?;
            }
        }
        Ok(())
    }

    /// Adds a new member.
    pub(super) fn add(
        &mut self,
        name: &str,
        is_executable: bool,
        content: &(impl ReadAt + ?Sized),
    ) -> io::Result<()> {
        let packed = pack(content, LEVEL, &mut self.packed)?;
        let hash = hash(content)?;
        self.push(name, is_executable, packed, hash);
        Ok(())
    }

    /// Adds a member whose content was edited, with what can be kept of its stream.
    fn add_edited(
        &mut self,
        name: &str,
        is_executable: bool,
        content: &Content,
        deflated: &Deflated,
        source: &(impl ReadAt + ?Sized),
    ) -> io::Result<()> {
        let (packed, hash) = std::thread::scope(|scope| {
            let hash = scope.spawn(|| hash(content));
            let packed = pack_edited(content, deflated, source, LEVEL, &mut self.packed);
            (packed, hash.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        self.push(name, is_executable, packed?, hash?);
        Ok(())
    }

    fn push(&mut self, name: &str, is_executable: bool, packed: Packed, (hash, size): ([u8; 32], u64)) {
        let hash = Some(("sha256".to_owned(), digest::record_hash(&hash)));
        let entry = Entry { path: name.to_owned(), hash, size: Some(size) };
        self.members.push((NewMember::new(name, is_executable, packed), entry));
    }

    /// Inspects the member `name` and edits its content; returns whether the
    /// content has changed.
    fn edit_member(
        &mut self,
        name: &str,
        is_executable: bool,
        content: &mut Content,
    ) -> Result<bool, WheelError> {
        self.contents.add_module(name);
        if let Some(found) = foreign(content, self.platform) {
            self.report_foreign(name, found)?;
            return self.edit_text(name, is_executable, content);
        }
        let mut wheel = Surroundings {
            remove_rpaths: self.options.remove_rpaths,
            exclude: &self.options.exclude,
            files: &mut self.files,
            grafts: &mut self.grafts,
        };
        if self.options.graft == GraftScope::All
            && let Ok(elf) = ElfInfo::read(content)
            && let Some(path) = elf::search_path_without_room(&elf, name, &wheel)
        {
            room::make(content, &path, &self.options.scratch).map_err(ArchiveError::Write)?;
        }
        let binary_error = |source| WheelError::Binary { file: name.to_owned(), source };
        let edited = match binary::edit(content, name, &mut wheel).map_err(binary_error)? {
            Some(EditedBinary::Elf(elf)) => {
                self.external.extend(wheel.external(elf.info.needed()));
                self.contents.add_elf(name, &elf.info);
                if elf.needs.is_some() {
                    self.libraries.add_elf(&self.stem, name, &elf.info);
                }
                Some((elf.needs, elf.edit))
            }
            Some(EditedBinary::MachO(macho)) => {
                let slices = macho.info.slices.iter().filter(|slice| slice.is_loaded());
                self.external
                    .extend(wheel.external(slices.flat_map(Slice::dylibs).map(|library| library.path)));
                self.contents.add_macho(name, &macho.info);
                for slice in macho.info.slices.iter().filter(|slice| slice.is_loaded()) {
                    self.libraries.add_macho(&self.stem, name, slice);
                }
                Some((macho.needs, macho.edit))
            }
            Some(EditedBinary::Pe(pe)) => {
                self.external.extend(wheel.external(pe.imports.iter().map(|dll| dll.name.as_str())));
                self.contents.add_pe(name, &pe);
                Some((None, Edit::default()))
            }
            None => None,
        };
        let Some((needs, edit)) = edited else { return self.edit_text(name, is_executable, content) };
        let is_changed = !edit.changes.is_empty();
        self.needs.extend(needs.map(|needs| if self.is_armv6 { needs.for_armv6() } else { needs }));
        let note = |what| Change { file: name.to_owned(), what };
        self.changes.extend(edit.changes.into_iter().map(note));
        self.warnings.extend(edit.warnings.into_iter().map(note));
        let has = |needles: &[&[u8]]| contains(content, needles).map_err(ArchiveError::Write);
        if has(&STORES.map(str::as_bytes))? {
            // A wrapper compiled by makeBinaryWrapper contains its command line.
            if is_wrapper(content).map_err(ArchiveError::Write)? {
                let what =
                    "is a wrapper that executes a program in the Nix store (`makeBinaryWrapper`)".into();
                return Err(WheelError::Script { file: name.to_owned(), what });
            }
            self.warn(name, "mentions the Nix store, but the loader does not use it");
        }
        Ok(is_changed)
    }

    /// Reports a binary for another platform. A store path in it is an error if
    /// the wheel has no platform of its own, since its users would load it.
    fn report_foreign(&mut self, name: &str, found: ForeignBinary) -> Result<(), WheelError> {
        let ForeignBinary { platform, store_path, program, interpreter } = found;
        match (self.platform, store_path) {
            (WheelPlatform::Content, Some(_)) => {
                return Err(WheelError::Binary {
                    file: name.to_owned(),
                    source: BinaryError::Machine(platform),
                });
            }
            (WheelPlatform::Unsupported | WheelPlatform::Windows, Some(path)) => {
                return Err(WheelError::Binary {
                    file: name.to_owned(),
                    source: BinaryError::UnsupportedPlatform { platform, path },
                });
            }
            (WheelPlatform::Unsupported, None) => {}
            _ => self.warn(name, &format!("is for {platform}, unlike the wheel, and is not repaired")),
        }
        if let Some(program) = program {
            self.contents.add_foreign(name, program, interpreter);
        }
        self.foreign.insert(name.to_owned());
        Ok(())
    }

    fn edit_text(
        &mut self,
        name: &str,
        is_executable: bool,
        content: &mut Content,
    ) -> Result<bool, WheelError> {
        let is_metadata = name.starts_with(self.dist_info);
        // The kernel executes such a file wherever it is installed.
        let is_script = self.contents.script(name).is_some();
        let is_program =
            is_script || is_executable && content.head(2).map_err(ArchiveError::Write)?.starts_with(b"#!");
        let is_text = is_metadata || is_program;
        if is_text && content.size().map_err(ArchiveError::Write)? <= TEXT_LIMIT {
            let text = content.to_vec().map_err(ArchiveError::Write)?;
            self.contents.add_text(name, &text, self.dist_info);
            if name.strip_prefix(self.dist_info) == Some(sbom::MEMBER) {
                self.previous_sbom = Some(text.clone());
            }
            let new = if is_program {
                scripts::without_store(name, is_script, &text)?
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
        // RECORD is rewritten.
        if !metadata::is_unhashed(name, self.dist_info)
            && contains(content, &STORES.map(str::as_bytes)).map_err(ArchiveError::Write)?
        {
            self.warn(name, "mentions the Nix store");
        }
        Ok(false)
    }

    /// What the wheel installs that a smoke test can run.
    pub(super) fn take_contents(&mut self) -> Contents {
        let is_library = |file: &&String| [".so", ".dylib", ".dll"].iter().any(|part| file.contains(part));
        let mut contents = std::mem::take(&mut self.contents);
        contents.libraries = self.files.iter().filter(is_library).cloned().collect();
        contents.external.clone_from(&self.external);
        contents
    }

    pub(super) fn check_libraries(&self) -> Result<(), WheelError> {
        let members = self.members.iter().map(|(member, _)| member.name.clone()).collect();
        let checked = self.libraries.check(&self.stem, &members);
        checked.map_err(|(file, source)| WheelError::Binary { file, source })
    }

    /// Sets the platform tags to the requirements of the binaries. Returns
    /// `None` if none of them is repaired.
    pub(super) fn retag(
        &mut self,
        name: &mut WheelName,
        file_name: &str,
    ) -> Result<Option<Needs>, WheelError> {
        let target = self.options.target.as_ref();
        let needs = tags::combine(&self.needs)?;
        if let Some(needs) = &needs {
            if let Some(target) = target {
                needs.check_target(target)?;
            }
            name.tags.platform = needs.platforms(self.options.compatibility)?;
        } else if self.platform == WheelPlatform::Windows {
            // verify-dist's rules compare the tag with the binaries.
            if let Some(target) = target.filter(|_| self.contents.has_binaries()) {
                tags::check_windows(target, &name.tags.platform)?;
            }
        } else if self.platform == WheelPlatform::Unsupported {
            let tags = name.tags.platform.join(".");
            self.warn(
                file_name,
                &format!(
                    "is for `{tags}`, which build-wheel cannot repair: it is only checked, and keeps its tag"
                ),
            );
        } else if let Some(tag) = name.tags.platform.iter().find(|tag| *tag != "any") {
            self.warn(file_name, &format!("has no known kind of binary; it keeps its tag `{tag}`"));
        }
        Ok(needs)
    }

    /// Writes the members in their final order, with a new `RECORD`.
    pub(super) fn write(
        &mut self,
        source: &(impl ReadAt + ?Sized),
        out: &mut impl Write,
    ) -> io::Result<Written> {
        // Metadata at the end, as PEP 427 recommends, with RECORD last.
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

/// The SHA-256 and the size of the content.
fn hash(content: &(impl ReadAt + ?Sized)) -> io::Result<([u8; 32], u64)> {
    let mut hasher = Sha256::new();
    each_piece(content, 0, |_, bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok((hasher.finalize().into(), content.size()?))
}
