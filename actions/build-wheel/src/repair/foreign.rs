//! Binaries in a wheel that are for another platform than the wheel: test
//! data, a library for a phone. They are reported, and neither repaired nor
//! asked what the wheel needs.

use std::io;

use binfmt::binary::Format;
use binfmt::elf::ElfInfo;
use binfmt::macho::MachOInfo;
use binfmt::source::ReadAt;
use pydist::tags::{Platform, TagSet};
use pydist::zip::{Content, Member};

use super::archive;
use super::store::in_store;
use crate::build_target::BuildTarget;
use crate::target::Arch;

/// What a binary is for, as far as its first bytes show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The architecture as platform tags name it; none that has a target.
    Elf(Option<Arch>),
    MachO,
}

impl Kind {
    fn of(content: &(impl ReadAt + ?Sized)) -> Option<Self> {
        let size = content.size().ok()?.min(HEAD);
        let mut head = vec![0; usize::try_from(size).ok()?];
        content.read_exact_at(0, &mut head).ok()?;
        Self::of_head(&head)
    }

    fn of_head(head: &[u8]) -> Option<Self> {
        match Format::detect(head)? {
            Format::MachO => Some(Self::MachO),
            Format::Elf => {
                let (class, data) = (*head.get(4)?, *head.get(5)?);
                let bytes = [*head.get(18)?, *head.get(19)?];
                let machine = if data == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
                Some(Self::Elf(match (machine, class, data) {
                    (62, 2, 1) => Some(Arch::X86_64),
                    (3, 1, 1) => Some(Arch::I686),
                    (183, 2, 1) => Some(Arch::Aarch64),
                    (40, 1, 1) => Some(Arch::Armv7l),
                    (21, 2, 1) => Some(Arch::Ppc64le),
                    (22, 2, 2) => Some(Arch::S390x),
                    (243, 2, 1) => Some(Arch::Riscv64),
                    (258, 2, 1) => Some(Arch::Loongarch64),
                    _ => None,
                }))
            }
            _ => None,
        }
    }
}

/// What identifies a binary and its machine.
const HEAD: u64 = 64;

/// What the wheel is for, as far as that is known before its binaries are
/// looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// For whatever they are: nixpkgs and cross builds give wrong tags.
    Content,
    /// Linux, with the architecture as ELF files name it.
    Linux(&'static str),
    Macos,
    /// Windows: its binaries are checked, and nothing in them is repaired.
    Windows,
    /// A platform without rules, or several.
    Unruled,
}

impl Home {
    /// Of a wheel that is built for `target`, or has these tags. A target or
    /// tag that no binary is for does not count.
    pub(super) fn of(
        target: Option<&BuildTarget>,
        tags: &TagSet,
        members: &[Member],
        source: &(impl ReadAt + ?Sized),
    ) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        for kind in members.iter().filter_map(|member| Kind::of_head(&head(member, source))) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let has_elf = |arch: &str| {
            kinds.iter().any(|kind| matches!(kind, Kind::Elf(Some(own)) if own.machine() == arch))
        };
        let linux =
            |arch: Arch| if has_elf(arch.machine()) { Self::Linux(arch.machine()) } else { Self::Content };
        let macos = || if kinds.contains(&Kind::MachO) { Self::Macos } else { Self::Content };
        match target {
            Some(BuildTarget::Other(_)) => return Self::Unruled,
            Some(target) if target.is_macos() => return macos(),
            Some(target) if target.is_windows() => return Self::Windows,
            Some(BuildTarget::Known(target)) => return linux(target.arch),
            Some(BuildTarget::Universal2) | None => {}
        }
        match tags.platforms().next() {
            Some(Platform::Macos { .. }) => macos(),
            Some(Platform::Any) if kinds.len() > 1 => Self::Unruled,
            Some(Platform::Windows { .. }) => Self::Windows,
            Some(Platform::Other(_)) => Self::Unruled,
            Some(platform) => platform.arch().and_then(Arch::from_tag).map_or(Self::Content, linux),
            None => Self::Content,
        }
    }
}

/// The first bytes of a member.
fn head(member: &Member, source: &(impl ReadAt + ?Sized)) -> Vec<u8> {
    let mut head = Vec::new();
    // Whatever is wrong with the member is reported when all of it is read.
    let _ = archive::read(member, source, |bytes| {
        head.extend(bytes.iter().take(usize::try_from(HEAD).unwrap_or_default()));
        if head.len() as u64 >= HEAD { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    });
    head
}

/// A binary that is not repaired.
pub(super) struct Foreign {
    /// What it is for, in words.
    pub(super) what: String,
    /// A path of the store that its loader would look at.
    pub(super) store: Option<String>,
}

/// Whether the binary `content` is for something else than `home`; none for
/// what is repaired, and for what is no binary.
pub(super) fn foreign(content: &Content, home: Home) -> Option<Foreign> {
    match Kind::of(content)? {
        Kind::Elf(arch) => {
            let is_own = match home {
                Home::Content => arch.is_some(),
                Home::Linux(own) => arch.is_some_and(|arch| arch.machine() == own),
                Home::Macos | Home::Windows | Home::Unruled => false,
            };
            if is_own {
                return None;
            }
            let elf = ElfInfo::read(content).ok();
            // What is damaged is the wheel's own, unless something else is.
            if elf.is_none() && home == Home::Content {
                return None;
            }
            let what = elf.as_ref().map_or_else(
                || "another machine (its ELF header cannot be read further)".to_owned(),
                |elf| {
                    elf.arch().map_or_else(
                        || format!("ELF machine {}", elf.machine),
                        |arch| format!("Linux on {arch}"),
                    )
                },
            );
            let strings = elf.iter().flat_map(|elf| {
                let texts = elf.dynamic.iter().filter_map(|entry| entry.text.clone());
                texts.chain(elf.interpreters.iter().map(|found| found.path.clone()))
            });
            Some(Foreign { what, store: strings.into_iter().find(|text| in_store(text)) })
        }
        Kind::MachO => {
            let macho = MachOInfo::read(content).ok();
            let platforms = macho.iter().flat_map(|macho| &macho.slices).filter(|slice| slice.is_loaded());
            // 1 is macOS, 6 is Catalyst, which a zippered file has beside it.
            let other =
                platforms.filter_map(|slice| slice.platform).find(|platform| ![1, 6].contains(platform));
            let is_own = matches!(home, Home::Content | Home::Macos) && other.is_none();
            if is_own {
                return None;
            }
            let what = match other {
                Some(platform) => format!("another of Apple's systems than macOS (platform {platform})"),
                None => "macOS".to_owned(),
            };
            let commands = macho.iter().flat_map(|macho| &macho.slices).flat_map(|slice| &slice.commands);
            let mut paths =
                commands.filter_map(|command| command.path.as_ref().map(|path| path.text.clone()));
            Some(Foreign { what, store: paths.find(|path| in_store(path)) })
        }
    }
}
