//! `LNX`: ELF files against the Linux tags.

use std::collections::BTreeSet;

use binfmt::binary::Format;
use binfmt::elf::{ElfInfo, Kind};
use pydist::policy::{self, Excess};
use pydist::tags::Platform;

use super::content::is_example;
use crate::facts::{Binary, Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRuntime};
use crate::rule::Severity::{self, Error, Warning};
use crate::rule::{Check, Out, Rule, some};

const POLICY: &str = "PEP 600, PEP 656; auditwheel's policies (`pydist/data/linux.json`).";
const REPAIR: &str = "maturin: `--zig --compatibility manylinux_2_17` links against an old glibc; Nix: `cargo-zigbuild` \
    or `auditwheel repair` with the tag that fits. Or give the wheel the tag that its content has.";

pub(super) static RULES: &[Rule] = &[
    MACHINE,
    VERSIONS,
    LIBRARIES,
    FORBIDDEN,
    STACK,
    RPATH,
    INTERPRETER,
    LIBC,
    LIBPYTHON,
    WHOLE,
    ISA,
    TEXT_RELOCATIONS,
    FOUND,
];

/// The tags that are for Linux.
fn linux(dist: &Dist) -> Vec<Platform> {
    let is_linux = |platform: &Platform| {
        matches!(platform, Platform::Manylinux { .. } | Platform::Musllinux { .. } | Platform::Linux { .. })
    };
    dist.platforms().into_iter().filter(is_linux).collect()
}

/// Names by which the wheel's own libraries are found.
fn bundled(wheel: &Wheel) -> BTreeSet<String> {
    let names = wheel
        .elf()
        .flat_map(|(member, facts)| [Some(member.file_name().to_owned()), facts.soname().map(str::to_owned)]);
    names.flatten().collect()
}

fn loaded(wheel: &Wheel) -> impl Iterator<Item = (&Member, &ElfInfo)> {
    wheel.elf().filter(|(_, facts)| matches!(facts.kind, Kind::Executable | Kind::Library))
}

const MACHINE: Rule = Rule {
    id: "LNX001",
    title: "ELF files are of the tag's architecture and system",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The loader refuses a binary of another architecture.",
    source: "PyPA \"Platform compatibility tags\".",
    fix: "Check `--target` of the build: it must be the architecture in the tag.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it is for aarch64, the tag is `manylinux_2_17_x86_64`",
    check: Check::Wheel(machine),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.machine = 183)).into(),
};

fn machine(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let platforms = dist.platforms();
    if platforms.contains(&Platform::Any) || platforms.is_empty() || wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    let linux = linux(dist);
    for (member, facts) in loaded(wheel) {
        let found = facts.arch().unwrap_or("an unknown architecture");
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
            // 32-bit ARM is one machine for all its levels.
            let same = expected == found || (expected.starts_with("armv") && found.starts_with("armv"));
            if !same {
                out.at(&member.name, format!("it is for {found}, the tag is `{platform}`"));
                break;
            }
        }
    }
}

/// What a rule reports of one file: a message, and where it weighs less.
type Report = Option<(String, Option<Severity>)>;

/// Calls `report` with what each file needs beyond the strictest tag.
fn excess(
    dist: &Dist,
    wheel: &Wheel,
    out: &mut Out,
    report: impl Fn(&Member, &ElfInfo, &BTreeSet<Excess>) -> Report,
) {
    let tags: Vec<(&str, (u32, u32), String)> = linux(dist)
        .into_iter()
        .filter_map(|platform| match platform {
            Platform::Manylinux { glibc, arch } => Some(("manylinux", glibc, arch)),
            Platform::Musllinux { musl, arch } => Some(("musllinux", musl, arch)),
            _ => None,
        })
        .collect();
    if tags.is_empty() || wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    let bundled = bundled(wheel);
    for (member, facts) in loaded(wheel).filter(|(_, facts)| facts.is_dynamic) {
        // A file that needs nothing of glibc fits a musl tag beside it.
        for (family, version, arch) in &tags {
            let excess = beyond(family, *version, arch, facts, &bundled);
            if let Some((message, weight)) = report(member, facts, &excess) {
                let (major, minor) = version;
                if let Some(weight) = weight {
                    out.only(weight);
                }
                out.at(&member.name, format!("{message}; the tag is {family}_{major}_{minor}"));
                break;
            }
        }
    }
}

/// What a file needs beyond a tag. Versions of glibc are compared as numbers,
/// so that tags and architectures count for which there is no policy; for what
/// else there is, the next policy holds.
fn beyond(
    family: &str,
    version: (u32, u32),
    arch: &str,
    facts: &ElfInfo,
    bundled: &BTreeSet<String>,
) -> BTreeSet<Excess> {
    let of_family = || policy::linux().iter().filter(|policy| policy.family == family);
    let next = of_family().find(|policy| policy.version >= version);
    let Some(policy) = next.or_else(|| of_family().next_back()) else { return BTreeSet::new() };
    let known = if policy.symbol_versions.contains_key(arch) { arch } else { "x86_64" };
    let mut excess = policy.excess(facts, known, bundled);
    if family == "manylinux" {
        excess.retain(|excess| {
            !matches!(excess, Excess::Symbol(_, symbol) if glibc(symbol).is_some_and(|glibc| glibc <= version))
        });
        let foreign = facts
            .versions
            .iter()
            .filter(|(library, _)| !bundled.contains(*library) && !policy::is_loader(library));
        for (library, symbols) in foreign {
            for symbol in symbols.iter().filter(|symbol| glibc(symbol).is_some_and(|glibc| glibc > version)) {
                excess.insert(Excess::Symbol(library.clone(), symbol.clone()));
            }
        }
    }
    excess
}

/// `GLIBC_2.34` as a number.
fn glibc(symbol: &str) -> Option<(u32, u32)> {
    let mut parts = symbol.strip_prefix("GLIBC_")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

const VERSIONS: Rule = Rule {
    id: "LNX002",
    title: "symbol versions are no newer than the tag allows",
    severity: Error,
    provenance: BreaksRuntime,
    why: "On a system as old as the tag promises, the loader says \"version `GLIBC_2.34' not found\".",
    source: POLICY,
    fix: REPAIR,
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it needs `GLIBC_2.34 of libc.so.6`; the tag is manylinux_2_17",
    check: Check::Wheel(versions),
    #[cfg(test)]
    fails: || {
        fixture::linux(fixture::elf(|elf| elf.version = Some(("libc.so.6".into(), "GLIBC_2.34".into()))))
            .into()
    },
};

fn versions(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    excess(dist, wheel, out, |_, _, excess| {
        let symbols: Vec<String> = excess
            .iter()
            .filter_map(|excess| match excess {
                Excess::Symbol(library, version) => Some(format!("{version} of {library}")),
                _ => None,
            })
            .collect();
        (!symbols.is_empty()).then(|| (format!("it needs {}", some(symbols.iter().rev())), None))
    });
}

const LIBRARIES: Rule = Rule {
    id: "LNX003",
    title: "libraries are of the system or in the wheel",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A library that not every such system has is missing for some users. A warning if another package \
        or a driver may bring it.",
    source: POLICY,
    fix: "Link it statically, or let `auditwheel repair` (maturin: `--auditwheel repair`) copy it into the wheel.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it needs `libssl.so.1.1`, which is neither in the wheel nor on every such system; the tag is manylinux_2_17",
    check: Check::Wheel(libraries),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.needed.push("libssl.so.1.1".into()))).into(),
};

fn libraries(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let required: Vec<String> = dist
        .metadata()
        .into_iter()
        .flat_map(pydist::metadata::Metadata::requires_dist)
        .filter_map(|text| pydist::requirement::parse(text).ok())
        .map(|requirement| requirement.name.to_string().replace('-', ""))
        .collect();
    let directories: BTreeSet<&str> = wheel
        .members
        .iter()
        .filter_map(|member| member.name.rsplit_once('/'))
        .map(|(directory, _)| directory)
        .collect();
    excess(dist, wheel, out, |member, facts, excess| {
        let libraries: Vec<&str> = excess
            .iter()
            .filter_map(|excess| match excess {
                Excess::Library(library) => Some(library.as_str()),
                _ => None,
            })
            .collect();
        if libraries.is_empty() {
            return None;
        }
        // A relative path to a directory of another package, or a requirement
        // that is called like the library: another wheel brings it.
        let sibling = searched(member, facts)
            .into_iter()
            .any(|path| path.is_ok_and(|path| !directories.contains(path.as_str())));
        let brought =
            |library: &&str| is_driver(library) || required.iter().any(|name| brings(name, library));
        let weight = (sibling || libraries.iter().all(brought)).then_some(Warning);
        let found = some(&libraries);
        Some((format!("it needs {found}, which is neither in the wheel nor on every such system"), weight))
    });
}

/// Libraries of device drivers, which no wheel can bring.
fn is_driver(library: &str) -> bool {
    [
        "libcuda.so",
        "libnvidia-",
        "libOpenCL.so",
        "libvulkan.so",
        "libnvcuvid.so",
        "libamdhip64.so",
        "libze_loader.so",
    ]
    .iter()
    .any(|driver| library.starts_with(driver))
}

/// Whether a required package (without hyphens) is one that brings a library.
fn brings(package: &str, library: &str) -> bool {
    let stem = library.trim_start_matches("lib").split('.').next().unwrap_or_default().to_ascii_lowercase();
    let stem = stem.split(['-', '_']).next().unwrap_or_default();
    // Libraries that are called otherwise than their package.
    let other = [("torch", "c10"), ("torch", "caffe2"), ("tensorflow", "tensorflow"), ("oneapi", "sycl")];
    (stem.len() > 2 && package.contains(stem)) || other.contains(&(package, stem))
}

const FORBIDDEN: Rule = Rule {
    id: "LNX004",
    title: "no symbol is taken that the policy forbids",
    severity: Error,
    provenance: BreaksRuntime,
    why: "These symbols are missing in some builds of the library.",
    source: POLICY,
    fix: REPAIR,
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it takes `__cxa_thread_atexit_impl of libc.so.6`; the tag is manylinux_2_17",
    check: Check::Wheel(forbidden),
    #[cfg(test)]
    fails: || {
        fixture::linux(fixture::elf(|elf| elf.undefined = Some("__cxa_thread_atexit_impl".into()))).into()
    },
};

fn forbidden(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    excess(dist, wheel, out, |_, _, excess| {
        let symbols: Vec<String> = excess
            .iter()
            .filter_map(|excess| match excess {
                Excess::Forbidden(library, symbol) => Some(format!("{symbol} of {library}")),
                _ => None,
            })
            .collect();
        (!symbols.is_empty()).then(|| (format!("it takes {}", some(symbols)), None))
    });
}

const STACK: Rule = Rule {
    id: "LNX005",
    title: "no executable stack",
    severity: Error,
    provenance: BreaksRuntime,
    why: "glibc 2.41 and hardened kernels refuse to load a library that asks for an executable stack, \
        or that does not say (then most architectures' default is executable).",
    source: "glibc 2.41 NEWS; gABI extension PT_GNU_STACK.",
    fix: "Link with `-z noexecstack`; give assembler files a `.note.GNU-stack` section; `patchelf --clear-execstack`.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it does not say what stack it needs (no PT_GNU_STACK)",
    check: Check::Wheel(stack),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.says_stack = false)).into(),
};

fn stack(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    if wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    // musl never makes the stack executable for a library.
    let glibc = linux(dist).iter().any(|platform| matches!(platform, Platform::Manylinux { .. }));
    for (member, facts) in loaded(wheel) {
        match facts.exec_stack {
            Some(true) => out.at(&member.name, "it asks for an executable stack (PT_GNU_STACK)"),
            None if glibc && facts.is_dynamic && facts.kind == Kind::Library => {
                out.at(&member.name, "it does not say what stack it needs (no PT_GNU_STACK)");
            }
            _ => {}
        }
    }
}

const TEXT_RELOCATIONS: Rule = Rule {
    id: "LNX012",
    title: "code is not written to",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "SELinux and hardened kernels refuse a library whose code the loader has to write to.",
    source: "gABI, DT_TEXTREL; pax-utils.",
    fix: "Compile everything with `-fPIC`; mend assembler code that uses absolute addresses.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: the loader has to write to its code (DT_TEXTREL)",
    check: Check::Wheel(text_relocations),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.text_relocations = true)).into(),
};

fn text_relocations(_: &Dist, wheel: &Wheel, out: &mut Out) {
    if wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    for (member, _) in loaded(wheel).filter(|(_, facts)| facts.text_relocations) {
        out.at(&member.name, "the loader has to write to its code (DT_TEXTREL)");
    }
}

/// The folders of the wheel that a file's search paths lead to, as far as they
/// are relative to it; `Err` with a path that leads out of the environment.
fn searched<'a>(member: &Member, facts: &'a ElfInfo) -> Vec<Result<String, &'a str>> {
    let folder = member.name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let resolve = |path: &'a str| -> Option<Result<String, &'a str>> {
        let rest = path.strip_prefix("$ORIGIN").or_else(|| path.strip_prefix("${ORIGIN}"))?;
        let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
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
    facts.search_paths().filter_map(resolve).collect()
}

const FOUND: Rule = Rule {
    id: "LNX013",
    title: "search paths lead to the wheel's own libraries",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "A library in the wheel is not found unless a RUNPATH leads to its directory, or Python loads it first.",
    source: "ld.so(8); auditwheel.",
    fix: "`auditwheel repair` sets `$ORIGIN/../<package>.libs`; do not run `patchelf --remove-rpath` or `strip` after it. \
        In Nix set `dontPatchELF = true`.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it needs `libown.so.1`, to which no search path of the wheel leads",
    check: Check::Wheel(found),
    #[cfg(test)]
    fails: || {
        let wheel = fixture::linux(fixture::elf(|elf| elf.needed.push("libown.so.1".into())));
        fixture::with(wheel, fixture::Member::new("sample.libs/libown.so.1", fixture::Elf::default().bytes()))
    },
};

fn found(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let (linux, bundled) = (linux(dist), bundled(wheel));
    if linux.is_empty() || wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    let paths: BTreeSet<String> =
        loaded(wheel).flat_map(|(member, facts)| searched(member, facts)).filter_map(Result::ok).collect();
    for (member, facts) in loaded(wheel) {
        let lost: Vec<&str> = facts
            .needed()
            .filter(|library| {
                bundled.contains(*library)
                    && !policy::linux().iter().any(|policy| policy.libraries.contains(*library))
            })
            .filter(|library| {
                let mut files = wheel.elf().filter(|(other, facts)| {
                    other.file_name() == *library || facts.soname() == Some(*library)
                });
                // Loaded already, by whoever loaded this file, or found.
                !files.any(|(other, _)| {
                    let folder = other.name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    paths.contains(folder) || other.name.contains(".data/")
                })
            })
            .collect();
        if !lost.is_empty() {
            out.at(
                &member.name,
                format!("it needs {}, to which no search path of the wheel leads", some(lost)),
            );
        }
    }
}

const RPATH: Rule = Rule {
    id: "LNX006",
    title: "search paths are relative to the file",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "A directory of the build machine is searched on the user's machine, where anybody may have made it.",
    source: "auditwheel removes RPATHs outside the wheel on repair.",
    fix: "`patchelf --remove-rpath`, or use `$ORIGIN`. CMake: `CMAKE_SKIP_RPATH` or `INSTALL_RPATH`.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: `$ORIGIN/../../lib` leads out of the environment's library",
    check: Check::Wheel(rpath),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.runpath = Some("$ORIGIN/../../lib".into()))).into(),
};

fn rpath(_: &Dist, wheel: &Wheel, out: &mut Out) {
    if wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    for (member, facts) in loaded(wheel) {
        let relative = |path: &str| {
            path.starts_with("$ORIGIN") || path.starts_with("${ORIGIN}") || path.starts_with("/nix/store/")
        };
        let paths: Vec<&str> = facts.search_paths().filter(|path| !relative(path)).collect();
        if !paths.is_empty() {
            out.at(&member.name, format!("it searches {}", some(paths)));
        }
        // From `.data` files move to where the environment wants them.
        let outside = searched(member, facts).into_iter().filter_map(Result::err);
        let outside: Vec<&str> = outside.filter(|_| !member.name.contains(".data/")).collect();
        if !outside.is_empty() {
            out.at(&member.name, format!("{} leads out of the environment's library", some(outside)));
        }
    }
}

/// The paths at which systems have their loader.
fn is_loader_path(path: &str) -> bool {
    let Some((folder, file)) = path.rsplit_once('/') else { return false };
    ["/lib", "/lib64", "/libx32", "/lib32"].contains(&folder) && policy::is_loader(file)
}

const INTERPRETER: Rule = Rule {
    id: "LNX007",
    title: "the program interpreter is the system's",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The kernel starts a program through the loader that it names; at another path there is none.",
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

fn interpreter(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let mut any = false;
    for (member, facts) in wheel.elf() {
        let Some(path) = facts.interpreter() else { continue };
        any = true;
        // 32-bit ARM has one loader for each way to pass floating-point numbers.
        let expected = facts.arch().filter(|arch| *arch != "armv7l").and_then(policy::glibc_loader);
        let sound = match expected {
            Some(expected) => path == expected || path.starts_with("/lib/ld-musl-"),
            None => is_loader_path(path),
        };
        if !sound && !path.starts_with("/nix/store/") {
            let expected = expected.map(|path| format!(", expected `{path}`")).unwrap_or_default();
            out.at(&member.name, format!("the program interpreter is `{path}`{expected}"));
        }
    }
    if !any {
        out.not_applicable();
    }
}

const LIBC: Rule = Rule {
    id: "LNX008",
    title: "the C library is the tag's",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A binary for glibc does not run with musl, nor the other way round.",
    source: "PEP 600, PEP 656.",
    fix: "Build with the target of the tag (`x86_64-unknown-linux-gnu` or `-musl`).",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it is linked with musl, the tag is manylinux",
    check: Check::Wheel(libc),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.needed = vec!["libc.musl-x86_64.so.1".into()])).into(),
};

fn libc(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let linux = linux(dist);
    let musl = linux.iter().any(|platform| matches!(platform, Platform::Musllinux { .. }));
    let glibc = linux.iter().any(|platform| matches!(platform, Platform::Manylinux { .. }));
    if wheel.elf().next().is_none() || !(musl || glibc) {
        return out.not_applicable();
    }
    for (member, facts) in loaded(wheel) {
        let interpreter = facts.interpreter().unwrap_or_default();
        let needs = |prefix: &str| facts.needed().any(|library| library.starts_with(prefix));
        let is_musl = interpreter.contains("ld-musl")
            || needs("libc.musl-")
            || facts.needed().any(|library| library == "libc.so");
        let is_glibc = interpreter.contains("ld-linux") || needs("libc.so.6");
        if glibc && is_musl {
            out.at(&member.name, "it is linked with musl, the tag is manylinux");
        } else if musl && is_glibc {
            out.at(&member.name, "it is linked with glibc, the tag is musllinux");
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

fn libpython(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    // On Android modules must link with it (PEP 738).
    if wheel.elf().next().is_none() || dist.is_only_for(&["android_"]) {
        return out.not_applicable();
    }
    let bundled = bundled(wheel);
    for (member, facts) in loaded(wheel) {
        if let Some(library) =
            facts.needed().find(|library| policy::is_libpython(library) && !bundled.contains(*library))
        {
            out.at(&member.name, format!("it needs `{library}`"));
        }
    }
}

const WHOLE: Rule = Rule {
    id: "LNX010",
    title: "binaries are whole and understood",
    severity: Error,
    provenance: BreaksInstall,
    why: "A binary that its loader cannot read does not load.",
    source: "The formats' own specifications.",
    fix: "Build it again; check the step that changed it last (strip, patchelf, codesign).",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: Elf: the program headers at byte 64 is damaged or cut off",
    check: Check::Wheel(whole),
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

fn whole(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let takes_wasm = dist.is_only_for(&WASM);
    for member in &wheel.members {
        if let Some(Binary::Broken(format, why)) = &member.binary {
            let is_library =
                [".so", ".dylib", ".pyd", ".dll", ".exe"].iter().any(|end| member.name.ends_with(end))
                    || member.name.contains(".so.")
                    || member.name.contains(".data/scripts/")
                    || (!matches!(format, Format::Pe) && member.mode.is_some_and(|mode| mode & 0o111 != 0));
            if is_library {
                out.at(&member.name, format!("{format:?}: {why}"));
            }
        } else if matches!(member.binary, Some(Binary::Wasm)) && !takes_wasm && !is_example(&member.name) {
            let tags = dist.wheel_name().map(|name| name.tags.to_string()).unwrap_or_default();
            out.at(&member.name, format!("WebAssembly in a wheel for `{tags}`"));
        } else if member.binary.is_none() && member.error.is_none() {
            let extension = ["so", "pyd", "dylib"]
                .iter()
                .any(|end| std::path::Path::new(&member.name).extension().is_some_and(|found| found == *end));
            if extension && !member.is_symlink() {
                out.at(&member.name, "it is named like a binary and is none");
            }
        }
    }
}

const ISA: Rule = Rule {
    id: "LNX011",
    title: "no instructions beyond the architecture's baseline are required",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The loader refuses the library on processors without x86-64-v2 (or v3, v4).",
    source: "x86-64 psABI, GNU_PROPERTY_X86_ISA_1_NEEDED; auditwheel 6.2.",
    fix: "Build with `-march=x86-64` (Rust: no `target-cpu=native`).",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.so: it needs x86-64-v3",
    check: Check::Wheel(isa),
    #[cfg(test)]
    fails: fixture::x86_64_v3,
};

fn isa(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    if linux(dist).is_empty() || wheel.elf().next().is_none() {
        return out.not_applicable();
    }
    for (member, facts) in loaded(wheel).filter(|(_, facts)| facts.arch() == Some("x86_64")) {
        if facts.x86_isa_needed > 1 {
            out.at(&member.name, format!("it needs x86-64-v{}", 32 - facts.x86_isa_needed.leading_zeros()));
        }
    }
}
