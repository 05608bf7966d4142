//! The platform tags that an environment accepts, best first (PEP 425, 600, 656,
//! 783), as the pip of that environment orders them.

use pep440_rs::Version;
use pydist::tags::LEGACY_MANYLINUX;

use crate::environment::{Environment, Runtime};

/// The tags that a pip knows; each generation includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// Before 20.3: `manylinux1`, `manylinux2010`, `manylinux2014`.
    Legacy,
    /// 20.3: `manylinux_x_y` (PEP 600), macOS 11.
    Pep600,
    /// 21.2: `musllinux_x_y` (PEP 656).
    Pep656,
    /// 24.1: RISC-V, LoongArch, free-threaded Pythons.
    Pip24,
    /// 26.1: `abi3t` (PEP 803).
    Abi3t,
    /// 26.3: `linux_*` before `manylinux_*`, and the name `fat3` of macOS.
    Pip26,
}

impl Generation {
    /// The generation of a version of pip.
    pub fn of(pip: &Version) -> Self {
        let part = |index: usize| pip.release().get(index).copied().unwrap_or_default();
        match (part(0), part(1)) {
            (26, 3..) | (27.., _) => Self::Pip26,
            (26, 1..) => Self::Abi3t,
            (24, 1..) | (25..=26, _) => Self::Pip24,
            (21, 2..) | (22..=24, _) => Self::Pep656,
            (20, 3..) | (21, _) => Self::Pep600,
            _ => Self::Legacy,
        }
    }
}

/// The platform tags, best first.
pub fn tags(environment: &Environment, generation: Generation) -> Vec<String> {
    let arch = environment.arch.as_str();
    match &environment.runtime {
        Runtime::Glibc(major, minor) => {
            linux(arch, manylinux(arch, (*major, *minor), generation), generation)
        }
        Runtime::Musl(major, minor) => linux(arch, musllinux(arch, (*major, *minor), generation), generation),
        Runtime::Macos(major, _) => macos(arch, *major, generation),
        Runtime::Windows => vec![windows(arch)],
        Runtime::Pyodide(tags) => tags.clone(),
    }
}

/// The platform tag of an architecture on Windows.
fn windows(arch: &str) -> String {
    match arch {
        "x86" => "win32".to_owned(),
        "x86_64" => "win_amd64".to_owned(),
        arch => format!("win_{arch}"),
    }
}

/// The `linux_*` tag before or after the portable ones.
fn linux(arch: &str, portable: Vec<String>, generation: Generation) -> Vec<String> {
    let own = vec![format!("linux_{arch}")];
    if generation >= Generation::Pip26 { [own, portable].concat() } else { [portable, own].concat() }
}

/// The minor version of the oldest glibc in an architecture's tags.
pub(crate) fn oldest_manylinux_minor(arch: &str) -> u32 {
    if ["x86_64", "i686"].contains(&arch) { 5 } else { 17 }
}

fn manylinux(arch: &str, glibc: (u32, u32), generation: Generation) -> Vec<String> {
    if ["riscv64", "loongarch64"].contains(&arch) && generation < Generation::Pip24 {
        return Vec::new();
    }
    let oldest = oldest_manylinux_minor(arch);
    let mut tags = Vec::new();
    for minor in (oldest..=glibc.1).rev() {
        if generation >= Generation::Pep600 {
            tags.push(format!("manylinux_{}_{minor}_{arch}", glibc.0));
        }
        if let Some((_, name)) = LEGACY_MANYLINUX.iter().find(|(version, _)| *version == (glibc.0, minor)) {
            tags.push(format!("{name}_{arch}"));
        }
    }
    tags
}

fn musllinux(arch: &str, musl: (u32, u32), generation: Generation) -> Vec<String> {
    if generation < Generation::Pep656 {
        return Vec::new();
    }
    (0..=musl.1).rev().map(|minor| format!("musllinux_{}_{minor}_{arch}", musl.0)).collect()
}

/// macOS 11 and later; no known system is older, or has a pip that does not know
/// macOS 11.
fn macos(arch: &str, newest: u32, generation: Generation) -> Vec<String> {
    let fat3 = if generation >= Generation::Pip26 { "fat3" } else { "fat32" };
    let formats: Vec<&str> = match arch {
        "x86_64" => vec!["x86_64", "intel", "fat64", fat3, "universal2", "universal"],
        arch => vec![arch, "universal2"],
    };
    // From 11 on, versions have one number; before that, the Intel part of a
    // universal wheel may name any 10.x.
    let recent = (11..=newest).rev().map(|major| (major, 0));
    let before = (4..=16).rev().map(|minor| (10, minor));
    let mut tags = Vec::new();
    for (major, minor) in recent.chain(before) {
        for format in &formats {
            if major > 10 || arch == "x86_64" || *format == "universal2" {
                tags.push(format!("macosx_{major}_{minor}_{format}"));
            }
        }
    }
    tags
}
