//! `LNX`: how the kernel and the loader load an ELF file.

use std::collections::BTreeSet;

use binfmt::elf::{ElfInfo, Kind};
use pydist::member_path::directory;
use pydist::policy;
use pydist::store::is_store_path;
use pydist::tags::Platform;

use super::linux::{bundled, linux, loaded};
use crate::dist::{Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::BreaksRuntime;
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule, some};

pub(super) static RULES: &[Rule] = &[STACK, TEXT_RELOCATIONS, LIBRARIES_FOUND, RPATH, INTERPRETER];

const STACK: Rule = Rule {
    id: "LNX005",
    title: "no executable stack",
    severity: Error,
    provenance: BreaksRuntime,
    why: "glibc 2.41 and hardened kernels refuse to load a library that needs an executable stack, \
        or that does not declare its stack (most architectures then default to executable).",
    source: "glibc 2.41 NEWS; gABI extension PT_GNU_STACK.",
    fix: "Link with `-z noexecstack`; give assembler files a `.note.GNU-stack` section; `patchelf --clear-execstack`.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it does not declare its stack (no PT_GNU_STACK)",
    check: Check::Wheel(stack),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.says_stack = false)).into(),
};

fn stack(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    // musl never makes the stack executable for a library.
    let glibc = linux(dist).iter().any(|platform| matches!(platform, Platform::Manylinux { .. }));
    for (member, info) in loaded(wheel) {
        match info.exec_stack {
            Some(true) => out.at(&member.name, "it needs an executable stack (PT_GNU_STACK)"),
            None if glibc && info.is_dynamic && info.kind == Kind::Library => {
                out.at(&member.name, "it does not declare its stack (no PT_GNU_STACK)");
            }
            _ => {}
        }
    }
}

const TEXT_RELOCATIONS: Rule = Rule {
    id: "LNX012",
    title: "code is not modified at load time",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "SELinux and hardened kernels reject a library whose code the loader has to modify.",
    source: "gABI, DT_TEXTREL; pax-utils.",
    fix: "Compile everything with `-fPIC`; fix assembler code that uses absolute addresses.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: the loader has to modify its code (DT_TEXTREL)",
    check: Check::Wheel(text_relocations),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.text_relocations = true)).into(),
};

fn text_relocations(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    for (member, _) in loaded(wheel).filter(|(_, info)| info.text_relocations) {
        out.at(&member.name, "the loader has to modify its code (DT_TEXTREL)");
    }
}

/// The wheel's directories on a file's search path, as far as they are relative to
/// the file; `Err` with a path that leaves the environment.
pub(super) fn searched<'a>(member: &Member, info: &'a ElfInfo) -> Vec<Result<String, &'a str>> {
    let dir = directory(&member.name);
    let resolve = |path: &'a str| -> Option<Result<String, &'a str>> {
        let rest = path.strip_prefix("$ORIGIN").or_else(|| path.strip_prefix("${ORIGIN}"))?;
        let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
        for part in rest.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.pop().is_none() => return Some(Err(path)),
                ".." => {}
                part => parts.push(part),
            }
        }
        Some(Ok(parts.join("/")))
    };
    info.search_paths().filter_map(resolve).collect()
}

const LIBRARIES_FOUND: Rule = Rule {
    id: "LNX013",
    title: "search paths include the wheel's own libraries",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "A library in the wheel is not found unless its directory is in a RUNPATH or Python loads it first.",
    source: "ld.so(8); auditwheel.",
    fix: "`auditwheel repair` sets `$ORIGIN/../<package>.libs`; do not run `patchelf --remove-rpath` or `strip` after it. \
        In Nix set `dontPatchELF = true`.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it needs `libown.so.1`, which is in the wheel but not on its search path",
    check: Check::Wheel(libraries_found),
    #[cfg(test)]
    fails: || {
        let wheel = fixture::linux(fixture::elf(|elf| elf.needed.push("libown.so.1".into())));
        fixture::with(wheel, fixture::Member::new("sample.libs/libown.so.1", fixture::Elf::default().bytes()))
    },
};

fn libraries_found(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let (linux, bundled) = (linux(dist), bundled(wheel));
    if linux.is_empty() || wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    let paths: BTreeSet<String> =
        loaded(wheel).flat_map(|(member, info)| searched(member, info)).filter_map(Result::ok).collect();
    for (member, info) in loaded(wheel) {
        let lost: Vec<&str> = info
            .needed()
            .filter(|library| {
                bundled.contains(*library)
                    && !policy::linux().iter().any(|policy| policy.libraries.contains(*library))
            })
            .filter(|library| {
                let mut files = wheel
                    .elf()
                    .filter(|(other, info)| other.file_name() == *library || info.soname() == Some(*library));
                // Found, or already loaded by whatever loaded this file.
                !files.any(|(other, _)| {
                    let dir = directory(&other.name);
                    paths.contains(dir) || other.name.contains(".data/")
                })
            })
            .collect();
        if !lost.is_empty() {
            out.at(
                &member.name,
                format!("it needs {}, which is in the wheel but not on its search path", some(lost)),
            );
        }
    }
}

const RPATH: Rule = Rule {
    id: "LNX006",
    title: "search paths are relative to the file",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "The loader searches a directory of the build machine on the user's machine, where anyone may have created it.",
    source: "auditwheel removes RPATHs outside the wheel on repair.",
    fix: "`patchelf --remove-rpath`, or use `$ORIGIN`. CMake: `CMAKE_SKIP_RPATH` or `INSTALL_RPATH`.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: `$ORIGIN/../../lib` leaves the environment's library directory",
    check: Check::Wheel(rpath),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.runpath = Some("$ORIGIN/../../lib".into()))).into(),
};

fn rpath(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    for (member, info) in loaded(wheel) {
        let relative =
            |path: &str| path.starts_with("$ORIGIN") || path.starts_with("${ORIGIN}") || is_store_path(path);
        let paths: Vec<&str> = info.search_paths().filter(|path| !relative(path)).collect();
        if !paths.is_empty() {
            out.at(&member.name, format!("it searches {}", some(paths)));
        }
        // Files in `.data` move to another directory on installation.
        let outside = searched(member, info).into_iter().filter_map(Result::err);
        let outside: Vec<&str> = outside.filter(|_| !member.name.contains(".data/")).collect();
        if !outside.is_empty() {
            out.at(&member.name, format!("{} leaves the environment's library directory", some(outside)));
        }
    }
}

/// Whether a path is one at which systems have their loader.
fn is_loader_path(path: &str) -> bool {
    let Some((dir, file)) = path.rsplit_once('/') else { return false };
    ["/lib", "/lib64", "/libx32", "/lib32"].contains(&dir) && policy::is_loader(file)
}

const INTERPRETER: Rule = Rule {
    id: "LNX007",
    title: "the program interpreter is the system loader",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The kernel starts a program with the loader that it names, which users do not have at another path.",
    source: "System V ABI supplements (each architecture names its loader's path).",
    fix: "`patchelf --set-interpreter /lib64/ld-linux-x86-64.so.2` (aarch64: `/lib/ld-linux-aarch64.so.1`), or link statically.",
    example: "sample-1.0-py3-none-manylinux_2_17_x86_64.whl: sample/bin/tool: the program interpreter is `/lib/ld-linux-x86-64.so.2`, expected `/lib64/ld-linux-x86-64.so.2`",
    check: Check::Wheel(interpreter),
    #[cfg(test)]
    fails: || {
        fixture::program(fixture::elf(|elf| elf.interpreter = Some("/lib/ld-linux-x86-64.so.2".into())))
            .into()
    },
};

fn interpreter(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    // Other systems have other loaders.
    if dist.platforms().iter().any(|platform| matches!(platform, Platform::Other(_))) {
        return out.not_applicable();
    }
    let mut any = false;
    for (member, info) in wheel.elf() {
        let Some(path) = info.interpreter() else { continue };
        any = true;
        // 32-bit Arm has one loader for each floating-point ABI.
        let expected = info.arch().filter(|arch| *arch != "armv7l").and_then(policy::glibc_loader);
        let valid = match expected {
            Some(expected) => path == expected || path.starts_with("/lib/ld-musl-"),
            None => is_loader_path(path),
        };
        if !valid && !is_store_path(path) {
            let expected = expected.map(|path| format!(", expected `{path}`")).unwrap_or_default();
            out.at(&member.name, format!("the program interpreter is `{path}`{expected}"));
        }
    }
    if !any {
        out.not_applicable();
    }
}
