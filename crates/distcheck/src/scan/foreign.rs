//! Binaries in a wheel for a system other than that of its tags.

use binfmt::elf::Kind;
use pydist::tags::Platform;

use crate::dist::{Binary, Member};

/// Marks the members that are for another system. In a wheel for every system, or
/// for a system without rules, there are none.
pub(super) fn mark(platforms: &[Platform], members: &mut [Member]) {
    if platforms.iter().any(|platform| matches!(platform, Platform::Any | Platform::Other(_))) {
        return;
    }
    for member in members.iter_mut() {
        member.is_foreign = member.binary.as_ref().is_some_and(|binary| is_foreign(binary, platforms));
    }
}

fn is_foreign(binary: &Binary, platforms: &[Platform]) -> bool {
    let has = |is_own: &dyn Fn(&Platform) -> bool| platforms.is_empty() || platforms.iter().any(is_own);
    match binary {
        Binary::Elf(elf) if !matches!(elf.kind, Kind::Executable | Kind::Library) => false,
        Binary::Elf(elf) => {
            let found = elf.arch().unwrap_or_default();
            // ELF has one machine number for all levels of 32-bit Arm.
            let is_same =
                |arch: &str| arch == found || (arch.starts_with("armv") && found.starts_with("armv"));
            !has(&|platform| match platform {
                Platform::Manylinux { arch, .. }
                | Platform::Musllinux { arch, .. }
                | Platform::Linux { arch } => is_same(arch),
                _ => false,
            })
        }
        Binary::MachO(info) => {
            // 1 is macOS, 6 is Catalyst, which a zippered file also has.
            let is_other = |platform: u32| ![1, 6].contains(&platform);
            let mut loaded = info.slices.iter().filter(|slice| slice.is_loaded());
            loaded.any(|slice| slice.platform.is_some_and(is_other))
                || !has(&|platform| matches!(platform, Platform::Macos { .. }))
        }
        Binary::Pe(_) => !has(&|platform| matches!(platform, Platform::Windows { .. })),
        Binary::Archive | Binary::Wasm | Binary::Broken(..) => false,
    }
}
