//! The files of a set as an installer sees them, with the needs of their content.

use std::collections::BTreeSet;

use binfmt::elf::{ElfInfo, Kind};
use binfmt::macho;
use installs::file::{File, Need, Needed};
use pydist::dll::DllOrigin;
use pydist::libc::{Libc, glibc_version};
use pydist::policy::{self, Excess, Linux};
use pydist::tags::Platform;

use crate::dist::{Dist, Wheel};
use crate::libraries::{DylibProblem, Dylibs, file_names, missing_dlls};
use crate::rule::PublishedFile;

/// The files of a set, without those that installers skip by name.
pub fn installable(dists: &[Dist]) -> Vec<File> {
    let file = |dist: &Dist| {
        let requires = dist.metadata().and_then(|metadata| metadata.headers.get("Requires-Python"));
        let mut file = File::new(&dist.filename, requires, false)?;
        if let Some(wheel) = dist.wheel() {
            let platforms = dist.platforms();
            file.needs =
                [linux(wheel, &platforms), macos(wheel, &platforms), windows(wheel, &platforms)].concat();
        }
        Some(file)
    };
    dists.iter().filter_map(file).collect()
}

/// Files as an index lists them, without the needs of their content.
pub(crate) fn published(files: &[&PublishedFile]) -> Vec<File> {
    let file = |listed: &&PublishedFile| {
        File::new(&listed.filename, listed.requires_python.as_deref(), listed.yanked)
    };
    files.iter().filter_map(file).collect()
}

fn need(what: Needed, member: &str) -> Need {
    Need { what, member: member.to_owned() }
}

fn linux(wheel: &Wheel, platforms: &[Platform]) -> Vec<Need> {
    let arch = platforms.iter().find_map(|platform| match platform {
        Platform::Linux { arch } | Platform::Manylinux { arch, .. } | Platform::Musllinux { arch, .. } => {
            Some(arch.as_str())
        }
        _ => None,
    });
    let Some(arch) = arch else { return Vec::new() };
    let names = wheel
        .elf()
        .flat_map(|(member, info)| [Some(member.file_name().to_owned()), info.soname().map(str::to_owned)]);
    let bundled: BTreeSet<String> = names.flatten().collect();
    let mut needs = Vec::new();
    for (member, info) in
        wheel.elf().filter(|(_, info)| matches!(info.kind, Kind::Executable | Kind::Library))
    {
        let found = info.arch().unwrap_or("an unknown architecture");
        // ELF has one machine number for all levels of 32-bit Arm.
        if found != arch && !(found.starts_with("armv") && arch.starts_with("armv")) {
            needs.push(need(Needed::LinuxArch(found.to_owned()), &member.name));
            continue;
        }
        if let Some(path) = info.interpreter().filter(|path| path.starts_with("/nix/")) {
            needs.push(need(Needed::Path(path.to_owned()), &member.name));
        }
        needs.extend(libc(info, &bundled).map(|what| need(what, &member.name)));
        let libraries = libraries(info, arch, platforms, &bundled).into_iter();
        let libraries = libraries.filter(|library| !wheel.external.contains(library));
        needs.extend(libraries.map(|library| need(Needed::Library(library), &member.name)));
    }
    needs
}

/// The C library that a file is linked with, with its version.
fn libc(info: &ElfInfo, bundled: &BTreeSet<String>) -> Option<Needed> {
    if Libc::of(info, bundled)? == Libc::Musl {
        return Some(Needed::Musl);
    }
    let own = info.versions.iter().filter(|(library, _)| !bundled.contains(*library));
    let newest = own.flat_map(|(_, versions)| versions.iter().filter_map(|text| glibc_version(text))).max();
    let (major, minor) = newest.unwrap_or((2, 0));
    Some(Needed::Glibc(major, minor))
}

/// The libraries that are neither in the wheel nor on every system of its tag.
fn libraries(
    info: &ElfInfo,
    arch: &str,
    platforms: &[Platform],
    bundled: &BTreeSet<String>,
) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for platform in platforms {
        let policy = match platform {
            Platform::Manylinux { glibc, .. } => Linux::of("manylinux", *glibc),
            Platform::Musllinux { musl, .. } => Linux::of("musllinux", *musl),
            _ => None,
        };
        for excess in policy.into_iter().flat_map(|policy| policy.excess(info, arch, bundled)) {
            if let Excess::Library(library) = excess {
                missing.insert(library);
            }
        }
    }
    missing
}

fn macos(wheel: &Wheel, platforms: &[Platform]) -> Vec<Need> {
    let archs: BTreeSet<&str> = platforms
        .iter()
        .filter_map(|platform| match platform {
            Platform::Macos { arch, .. } => Some(policy::macos_archs(arch)),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    let dylibs = Dylibs::new(wheel);
    let mut needs = Vec::new();
    for (member, info) in wheel.macho().filter(|_| !archs.is_empty()) {
        let loaded: Vec<&macho::Slice> = info.slices.iter().filter(|slice| slice.is_loaded()).collect();
        if let [slice] = loaded[..]
            && archs.iter().any(|arch| *arch != slice.arch)
        {
            needs.push(need(Needed::MacosArch(slice.arch.to_owned()), &member.name));
        }
        for slice in loaded.into_iter().filter(|slice| archs.contains(slice.arch)) {
            if let Some((major, minor)) = slice.min_macos {
                needs.push(need(
                    Needed::Macos { version: (major, minor), arch: slice.arch.to_owned() },
                    &member.name,
                ));
            }
            let store = slice.dylibs().find(|dylib| !dylib.weak && dylib.path.starts_with("/nix/"));
            needs.extend(store.map(|dylib| need(Needed::Path(dylib.path.to_owned()), &member.name)));
            let missing = dylibs.missing(member, slice).into_iter();
            let missing = missing.filter(|(_, problem)| {
                matches!(problem, DylibProblem::BuildMachine | DylibProblem::Elsewhere)
            });
            let missing = missing.filter(|(path, _)| !wheel.external.contains(*path));
            needs.extend(missing.map(|(path, _)| need(Needed::Path(path.to_owned()), &member.name)));
        }
        for arch in &member.broken_signatures {
            needs.push(need(Needed::Signature((*arch).to_owned()), &member.name));
        }
    }
    needs
}

fn windows(wheel: &Wheel, platforms: &[Platform]) -> Vec<Need> {
    let arch = platforms.iter().find_map(|platform| match platform {
        Platform::Windows { arch } => Some(arch.as_str()),
        _ => None,
    });
    let Some(arch) = arch else { return Vec::new() };
    let mut needs = Vec::new();
    let own = file_names(wheel);
    for (member, info) in wheel.pe().filter(|(member, _)| is_module(&member.name)) {
        if let Some(found) = info.arch().filter(|found| *found != arch) {
            needs.push(need(Needed::WindowsArch(found.to_owned()), &member.name));
        }
        // Most machines have Visual C++'s runtime; delayed imports may never be loaded.
        let missing = missing_dlls(&own, info).into_iter();
        let missing = missing.filter(|dll| dll.origin == DllOrigin::Port && !dll.is_delayed);
        needs.extend(missing.map(|dll| need(Needed::Library(dll.name.to_owned()), &member.name)));
    }
    needs
}

/// Whether Python itself loads the file; helpers may be for another architecture.
fn is_module(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".pyd")
}
