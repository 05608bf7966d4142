//! `LNX`: ELF files, compared with the Linux tags.

use std::collections::BTreeSet;

use binfmt::binary::Format;
use binfmt::elf::{ElfInfo, Kind};
use pydist::libc::Libc;
use pydist::policy;
use pydist::tags::Platform;

use super::content::{is_example, is_test_data};
use super::foreign;
use crate::dist::{Binary, Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRuntime};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule};

pub(super) const POLICY: &str = "PEP 600, PEP 656; auditwheel's policies (`pydist/data/linux.json`).";
pub(super) const REPAIR: &str = "maturin: `--zig --compatibility manylinux_2_17` links against an old glibc; Nix: `cargo-zigbuild` \
    or `auditwheel repair` with the tag that fits. Or give the wheel the tag that its content has.";

pub(super) static RULES: &[Rule] = &[MACHINE, LIBC, LIBPYTHON, READABLE, ISA];

/// The tags for Linux.
pub(super) fn linux(dist: &Dist) -> Vec<Platform> {
    let is_linux = |platform: &Platform| {
        matches!(platform, Platform::Manylinux { .. } | Platform::Musllinux { .. } | Platform::Linux { .. })
    };
    dist.platforms().into_iter().filter(is_linux).collect()
}

/// Names under which the wheel's own libraries are found.
pub(super) fn bundled(wheel: &Wheel) -> BTreeSet<String> {
    let names = wheel
        .elf()
        .flat_map(|(member, info)| [Some(member.file_name().to_owned()), info.soname().map(str::to_owned)]);
    names.flatten().collect()
}

pub(super) fn loaded(wheel: &Wheel) -> impl Iterator<Item = (&Member, &ElfInfo)> {
    wheel.elf().filter(|(_, info)| matches!(info.kind, Kind::Executable | Kind::Library))
}

const MACHINE: Rule = Rule {
    id: "LNX001",
    title: "ELF files match the tag's architecture and system",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The loader rejects a binary for another architecture. A warning for a binary that nothing in the wheel \
        loads, such as test data, beside those that match.",
    source: "PyPA \"Platform compatibility tags\".",
    fix: "Check `--target` of the build: it must be the architecture in the tag.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it is for aarch64, the tag is `manylinux_2_17_x86_64`",
    check: Check::Wheel(machine),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.machine = 183)).into(),
};

fn machine(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let platforms = dist.platforms();
    if platforms.contains(&Platform::Any) || platforms.is_empty() || wheel.every_elf().next().is_none() {
        return out.not_applicable();
    }
    let linux = linux(dist);
    let loaded = wheel.every_elf().filter(|(_, info)| matches!(info.kind, Kind::Executable | Kind::Library));
    for (member, info) in loaded {
        out.with_severity(foreign::severity(dist, wheel, member));
        let found = info.arch().unwrap_or("an unknown architecture");
        if linux.is_empty() {
            if platforms
                .iter()
                .any(|platform| matches!(platform, Platform::Macos { .. } | Platform::Windows { .. }))
            {
                out.at(&member.name, format!("an ELF file ({found}) in a wheel for `{}`", platforms[0]));
            }
            continue;
        }
        for platform in &linux {
            let expected = platform.arch().unwrap_or_default();
            // ELF has one machine number for all levels of 32-bit Arm.
            let same = expected == found || (expected.starts_with("armv") && found.starts_with("armv"));
            if !same {
                out.at(&member.name, format!("it is for {found}, the tag is `{platform}`"));
                break;
            }
        }
    }
}

const LIBC: Rule = Rule {
    id: "LNX008",
    title: "the C library matches the tag",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A binary for glibc does not run with musl, nor vice versa.",
    source: "PEP 600, PEP 656.",
    fix: "Build with the target of the tag (`x86_64-unknown-linux-gnu` or `-musl`).",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it is linked with musl, the tag is manylinux",
    check: Check::Wheel(libc),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.needed = vec!["libc.musl-x86_64.so.1".into()])).into(),
};

fn libc(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let linux = linux(dist);
    let musl = linux.iter().any(|platform| matches!(platform, Platform::Musllinux { .. }));
    let glibc = linux.iter().any(|platform| matches!(platform, Platform::Manylinux { .. }));
    if wheel.elf().next().is_none() || !(musl || glibc) {
        return out.not_applicable();
    }
    let bundled = bundled(wheel);
    for (member, info) in loaded(wheel) {
        match Libc::of(info, &bundled) {
            Some(Libc::Musl) if glibc => out.at(&member.name, "it is linked with musl, the tag is manylinux"),
            Some(Libc::Glibc) if musl => {
                out.at(&member.name, "it is linked with glibc, the tag is musllinux");
            }
            _ => {}
        }
    }
}

const LIBPYTHON: Rule = Rule {
    id: "LNX009",
    title: "nothing links with libpython",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Interpreters are often built without that library.",
    source: "PEP 513; PyPA \"Platform compatibility tags\".",
    fix: "PyO3: the feature `extension-module`. setuptools: do not add `-lpython`.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it needs `libpython3.12.so.1.0`",
    check: Check::Wheel(libpython),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.needed.push("libpython3.12.so.1.0".into()))).into(),
};

fn libpython(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    // On Android modules must link with it (PEP 738).
    if wheel.elf().next().is_none() || dist.is_only_for(&["android_"]) {
        return out.not_applicable();
    }
    let bundled = bundled(wheel);
    for (member, info) in loaded(wheel) {
        if let Some(library) =
            info.needed().find(|library| policy::is_libpython(library) && !bundled.contains(*library))
        {
            out.at(&member.name, format!("it needs `{library}`"));
        }
    }
}

const READABLE: Rule = Rule {
    id: "LNX010",
    title: "binaries are complete and readable",
    severity: Error,
    provenance: BreaksInstall,
    why: "A binary that its loader cannot read does not load.",
    source: "The formats' own specifications.",
    fix: "Rebuild it; check the step that changed it last (strip, patchelf, codesign).",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: Elf: damaged or cut off at byte 64: the program headers",
    check: Check::Wheel(readable),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::linux(fixture::Elf::default());
        let half = wheel.members[1].data.len() / 2;
        wheel.members[1].data.truncate(half);
        wheel.into()
    },
};

/// The platforms whose extension modules are WebAssembly.
const WASM: [&str; 4] = ["pyemscripten_", "pyodide_", "emscripten_", "wasi_"];

fn readable(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let accepts_wasm = dist.is_only_for(&WASM);
    for member in &wheel.members {
        if let Some(Binary::Broken(format, why)) = &member.binary {
            let is_library =
                [".so", ".dylib", ".pyd", ".dll", ".exe"].iter().any(|end| member.name.ends_with(end))
                    || member.name.contains(".so.")
                    || member.name.contains(".data/scripts/")
                    || (!matches!(format, Format::Pe) && member.mode.is_some_and(|mode| mode & 0o111 != 0));
            if is_library {
                // Test data of a parser may be damaged on purpose.
                if is_test_data(&member.name) {
                    out.with_severity(Warning);
                }
                out.at(&member.name, format!("{format:?}: {why}"));
            }
        } else if matches!(member.binary, Some(Binary::Wasm)) && !accepts_wasm && !is_example(&member.name) {
            let tags = dist.wheel_name().map(|name| name.tags.to_string()).unwrap_or_default();
            out.at(&member.name, format!("WebAssembly in a wheel for `{tags}`"));
        } else if member.binary.is_none() && member.error.is_none() {
            let extension = ["so", "pyd", "dylib"]
                .iter()
                .any(|end| std::path::Path::new(&member.name).extension().is_some_and(|found| found == *end));
            if extension && !member.is_symlink() {
                out.at(&member.name, "it is named like a binary but is not one");
            }
        }
    }
}

const ISA: Rule = Rule {
    id: "LNX011",
    title: "no instructions beyond the architecture's baseline are required",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The loader rejects the library on processors without x86-64-v2 (or v3, v4).",
    source: "x86-64 psABI, GNU_PROPERTY_X86_ISA_1_NEEDED; auditwheel 6.2.",
    fix: "Build with `-march=x86-64` (Rust: no `target-cpu=native`).",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.so: it needs x86-64-v3",
    check: Check::Wheel(isa),
    #[cfg(test)]
    fails: fixture::x86_64_v3,
};

fn isa(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    if linux(dist).is_empty() || wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    for (member, info) in loaded(wheel).filter(|(_, info)| info.arch() == Some("x86_64")) {
        if info.x86_isa_needed > 1 {
            out.at(&member.name, format!("it needs x86-64-v{}", 32 - info.x86_isa_needed.leading_zeros()));
        }
    }
}
