//! Binaries for another platform than the wheel, such as test data or a
//! library for phones. They are reported, but neither repaired nor counted in
//! the wheel's requirements.

use std::collections::BTreeMap;
use std::io;

use binfmt::binary::Format;
use binfmt::elf::{self, ElfInfo, Kind};
use binfmt::macho::MachOInfo;
use binfmt::source::ReadAt;
use pydist::store::mentions_store;
use pydist::tags::{Platform, TagSet};
use pydist::target::Arch;
use pydist::zip::{Content, Member};

use super::contents::{ProgramPlatform, ProgramSystem};
use crate::build_target::BuildTarget;

/// The kind of a binary, from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryKind {
    /// With its architecture; `None` if no target has it.
    Elf(Option<Arch>),
    MachO,
}

impl BinaryKind {
    fn of(content: &(impl ReadAt + ?Sized)) -> Option<Self> {
        let size = content.size().ok()?.min(HEAD_SIZE);
        let mut head = vec![0; usize::try_from(size).ok()?];
        content.read_exact_at(0, &mut head).ok()?;
        Self::of_head(&head)
    }

    fn of_head(head: &[u8]) -> Option<Self> {
        match Format::detect(head)? {
            Format::MachO => Some(Self::MachO),
            Format::Elf => {
                let (is_64, big_endian) = match (*head.get(4)?, *head.get(5)?) {
                    (class @ (1 | 2), order @ (1 | 2)) => (class == 2, order == 2),
                    _ => return Some(Self::Elf(None)),
                };
                let bytes = [*head.get(18)?, *head.get(19)?];
                let machine = if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
                Some(Self::Elf(elf::arch_name(machine, is_64, big_endian).and_then(Arch::from_tag)))
            }
            _ => None,
        }
    }
}

/// Enough bytes to identify a binary and its machine.
const HEAD_SIZE: u64 = 64;

/// The platform of a wheel, as far as it is known before its binaries are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WheelPlatform {
    /// That of its binaries: nixpkgs and cross builds write wrong tags.
    Content,
    /// Linux, with the ELF machine.
    Linux(&'static str),
    Macos,
    /// Windows: its binaries are checked, not repaired.
    Windows,
    /// A platform whose binaries cannot be repaired, or several platforms.
    Unsupported,
}

impl WheelPlatform {
    /// The platform of a wheel that is built for `target` or has these tags. A
    /// target or tag that matches no binary is ignored.
    pub(super) fn of(
        target: Option<&BuildTarget>,
        tags: &TagSet,
        binaries: &BTreeMap<String, BinaryKind>,
    ) -> Self {
        let mut kinds: Vec<&BinaryKind> = Vec::new();
        for kind in binaries.values() {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let has_elf = |arch: &str| {
            kinds.iter().any(|kind| matches!(kind, BinaryKind::Elf(Some(found)) if found.machine() == arch))
        };
        let linux =
            |arch: Arch| if has_elf(arch.machine()) { Self::Linux(arch.machine()) } else { Self::Content };
        let macos = || if kinds.contains(&&BinaryKind::MachO) { Self::Macos } else { Self::Content };
        match target {
            Some(BuildTarget::Other(_)) => return Self::Unsupported,
            Some(target) if target.is_macos() => return macos(),
            Some(target) if target.is_windows() => return Self::Windows,
            Some(BuildTarget::Known(target)) => return linux(target.arch),
            Some(BuildTarget::Universal2) | None => {}
        }
        match tags.platforms().next() {
            Some(Platform::Macos { .. }) => macos(),
            Some(Platform::Any) if kinds.len() > 1 => Self::Unsupported,
            Some(Platform::Windows { .. }) => Self::Windows,
            Some(Platform::Other(_)) => Self::Unsupported,
            Some(platform) => platform.arch().and_then(Arch::from_tag).map_or(Self::Content, linux),
            None => Self::Content,
        }
    }
}

/// The ELF and Mach-O files among the members, by name.
pub(super) fn binaries(members: &[Member], source: &(impl ReadAt + ?Sized)) -> BTreeMap<String, BinaryKind> {
    let kind = |member: &Member| Some((member.name.clone(), BinaryKind::of_head(&head(member, source))?));
    members.iter().filter_map(kind).collect()
}

/// The first bytes of a member.
fn head(member: &Member, source: &(impl ReadAt + ?Sized)) -> Vec<u8> {
    let mut head = Vec::new();
    // Errors are reported when the whole member is read.
    let _ = member.read(source, |bytes| {
        head.extend(bytes.iter().take(usize::try_from(HEAD_SIZE).unwrap_or_default()));
        if head.len() as u64 >= HEAD_SIZE { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    });
    head
}

/// A binary for another platform, which is not repaired.
pub(super) struct ForeignBinary {
    /// The platform, for messages.
    pub(super) platform: String,
    /// A store path that its loader would use.
    pub(super) store_path: Option<String>,
    /// The system and the processors, if it is a program.
    pub(super) program: Option<ProgramPlatform>,
    /// Its loader (`PT_INTERP`).
    pub(super) interpreter: Option<String>,
}

/// Returns the binary `content` if it is for another platform than the wheel;
/// `None` for binaries that are repaired and for other files.
pub(super) fn foreign(content: &Content, wheel: WheelPlatform) -> Option<ForeignBinary> {
    match BinaryKind::of(content)? {
        BinaryKind::Elf(arch) => foreign_elf(content, arch, wheel),
        BinaryKind::MachO => foreign_macho(content, wheel),
    }
}

fn foreign_elf(content: &Content, arch: Option<Arch>, wheel: WheelPlatform) -> Option<ForeignBinary> {
    let is_repaired = match wheel {
        WheelPlatform::Content => arch.is_some(),
        WheelPlatform::Linux(machine) => arch.is_some_and(|arch| arch.machine() == machine),
        WheelPlatform::Macos | WheelPlatform::Windows | WheelPlatform::Unsupported => false,
    };
    if is_repaired {
        return None;
    }
    let elf = ElfInfo::read(content).ok();
    // A damaged binary counts as the wheel's own, and is reported as such.
    if elf.is_none() && wheel == WheelPlatform::Content {
        return None;
    }
    let platform = elf.as_ref().map_or_else(
        || "another machine (its ELF header is damaged)".to_owned(),
        |elf| {
            elf.arch()
                .map_or_else(|| format!("ELF machine {}", elf.machine), |arch| format!("Linux on {arch}"))
        },
    );
    let program = elf.as_ref().filter(|elf| elf.kind == Kind::Executable).map(|elf| ProgramPlatform {
        system: ProgramSystem::Linux,
        archs: elf.arch().map(str::to_owned).into_iter().collect(),
        name: platform.clone(),
    });
    let interpreter = elf.as_ref().and_then(|elf| elf.interpreter().map(str::to_owned));
    let strings = elf.iter().flat_map(|elf| {
        let texts = elf.dynamic.iter().filter_map(|entry| entry.text.clone());
        texts.chain(elf.interpreters.iter().map(|found| found.path.clone()))
    });
    Some(ForeignBinary {
        platform,
        store_path: strings.into_iter().find(|text| mentions_store(text)),
        program,
        interpreter,
    })
}

fn foreign_macho(content: &Content, wheel: WheelPlatform) -> Option<ForeignBinary> {
    let macho = MachOInfo::read(content).ok();
    let platforms = macho.iter().flat_map(|macho| &macho.slices).filter(|slice| slice.is_loaded());
    // 1 is macOS; 6 is Catalyst, which zippered files have as well.
    let other = platforms.filter_map(|slice| slice.platform).find(|platform| ![1, 6].contains(platform));
    let is_repaired = matches!(wheel, WheelPlatform::Content | WheelPlatform::Macos) && other.is_none();
    if is_repaired {
        return None;
    }
    let platform = match other {
        Some(platform) => format!("an Apple platform other than macOS (platform {platform})"),
        None => "macOS".to_owned(),
    };
    let commands = macho.iter().flat_map(|macho| &macho.slices).flat_map(|slice| &slice.commands);
    let mut paths = commands.filter_map(|command| command.path.as_ref().map(|path| path.text.clone()));
    let store_path = paths.find(|path| mentions_store(path));
    let mut slices = macho.iter().flat_map(|macho| &macho.slices);
    let program = slices.any(|slice| slice.file_type == 2).then(|| ProgramPlatform {
        system: if other.is_some() { ProgramSystem::Other } else { ProgramSystem::Macos },
        archs: macho.iter().flat_map(|macho| &macho.slices).map(|slice| slice.arch.to_owned()).collect(),
        name: platform.clone(),
    });
    Some(ForeignBinary { platform, store_path, program, interpreter: None })
}
