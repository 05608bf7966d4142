//! `NIX`: references to the store of Nix or Guix, which users do not have.

use binfmt::macho::Slice;
use pydist::store::{is_store_path, mentions_store};

use super::foreign;
use crate::dist::{Binary, Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksRuntime, Hygiene};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule, some};

const SOURCE: &str =
    "The loaders' own rules: System V ABI (program interpreter, search paths), Apple's dyld.";

pub(super) static RULES: &[Rule] = &[ELF, MACHO, SCRIPTS, MENTIONS];

const ELF: Rule = Rule {
    id: "NIX001",
    title: "no ELF file has the store in its interpreter, search path or libraries",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The kernel or the loader looks for a path under /nix/store or Guix's /gnu/store, which users do not have: \"No such file or \
        directory\". A warning for a binary for another system that nothing in the wheel loads.",
    source: SOURCE,
    fix: "Build in Nix with `auditwheel repair`, or set `patchelf --set-interpreter` to the system's loader and \
        `--remove-rpath`; maturin: `--compatibility pypi` with zig (`maturin build --zig`). build-wheel's `nix` backend does this.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: RUNPATH holds `/nix/store/…-glibc-2.40/lib`",
    check: Check::Wheel(elf),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.runpath = Some(fixture::STORE.into()))).into(),
};

fn elf(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let mut any = false;
    for (member, info) in wheel.every_elf() {
        any = true;
        let severity = foreign::severity(dist, wheel, member);
        if let Some(interpreter) = info.interpreter().filter(|path| is_store_path(path)) {
            out.with_severity(severity)
                .at(&member.name, format!("the program interpreter (PT_INTERP) is `{interpreter}`"));
        }
        let paths: [(_, Vec<&str>); 2] =
            [("RPATH", info.rpath().collect()), ("RUNPATH", info.runpath().collect())];
        for (name, paths) in paths {
            let found: Vec<_> = paths.into_iter().filter(|path| mentions_store(path)).collect();
            if !found.is_empty() {
                out.with_severity(severity).at(&member.name, format!("{name} holds {}", some(found)));
            }
        }
        let needed: Vec<_> = info.needed().filter(|path| is_store_path(path)).collect();
        if !needed.is_empty() {
            out.with_severity(severity).at(&member.name, format!("it needs {}", some(needed)));
        }
    }
    if !any {
        out.not_applicable();
    }
}

const MACHO: Rule = Rule {
    id: "NIX002",
    title: "no Mach-O file loads a library from the store",
    severity: Error,
    provenance: BreaksRuntime,
    why: "dyld stops the program if a library that it names (often libiconv or libc++) is missing.",
    source: SOURCE,
    fix: "`install_name_tool -change /nix/store/…/libiconv.2.dylib /usr/lib/libiconv.2.dylib FILE`, then sign again \
        (`codesign -f -s -`); in Nix, drop `libiconv` from buildInputs or use `delocate-wheel`. build-wheel's repair does this.",
    example: "sample-1.0-py3-none-macosx_11_0_arm64.whl: sample/bin/tool: the arm64 slice loads `/nix/store/…-glibc-2.40/lib/x.dylib`",
    check: Check::Wheel(macho),
    #[cfg(test)]
    fails: || {
        fixture::macos(fixture::MachO {
            dylibs: vec![format!("{}/x.dylib", fixture::STORE)],
            ..fixture::MachO::default()
        })
        .into()
    },
};

fn macho(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let mut any = false;
    for (member, info) in wheel.every_macho() {
        any = true;
        let severity = foreign::severity(dist, wheel, member);
        for slice in &info.slices {
            let loads = slice.dylibs().map(|dylib| dylib.path).chain(slice.dylinker());
            let loads: Vec<_> = loads.filter(|path| is_store_path(path)).collect();
            if !loads.is_empty() {
                out.with_severity(severity)
                    .at(&member.name, format!("the {} slice loads {}", slice.arch, some(loads)));
            }
            let paths: Vec<_> = slice.rpaths().filter(|path| is_store_path(path)).collect();
            if !paths.is_empty() {
                out.with_severity(severity)
                    .at(&member.name, format!("the {} slice's LC_RPATH holds {}", slice.arch, some(paths)));
            }
        }
    }
    if !any {
        out.not_applicable();
    }
}

const SCRIPTS: Rule = Rule {
    id: "NIX003",
    title: "no script has an interpreter in the store",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The first line names a program that users do not have.",
    source: "execve(2): the interpreter of a script is the path after `#!`.",
    fix: "Set `dontPatchShebangs = true`, or build the wheel before Nix's fixup phase runs.",
    example: "sample-1.0-py3-none-any.whl: sample-1.0.data/scripts/tool: the first line is `#!/nix/store/…-glibc-2.40/lib/bin/sh`",
    check: Check::Dist(scripts),
    #[cfg(test)]
    fails: || {
        let name = format!("{}/scripts/tool", fixture::DATA);
        fixture::with(
            fixture::pure(),
            fixture::Member::new(name, format!("#!{}/bin/sh\n", fixture::STORE)).executable(),
        )
    },
};

fn scripts(dist: &Dist, out: &mut Findings) {
    for member in dist.members() {
        if let Some(line) = member.shebang.as_deref().filter(|line| mentions_store(line)) {
            out.at(&member.name, format!("the first line is `{line}`"));
        }
    }
}

const MENTIONS: Rule = Rule {
    id: "NIX004",
    title: "no file mentions the store",
    severity: Warning,
    provenance: Hygiene,
    why: "The path may be a file that the program opens later (certificates, data), or only a trace of the build; \
        it reveals the build environment and prevents reproducing the release elsewhere.",
    source: "Nix manual, `remove-references-to`.",
    fix: "`remove-references-to -t PATH FILE`; for Rust panics `--remap-path-prefix`; for C `-ffile-prefix-map`.",
    example: "sample-1.0-py3-none-any.whl: sample/config.py: it holds `/nix/store/…-glibc-2.40/lib`",
    check: Check::Dist(mentions),
    #[cfg(test)]
    fails: || fixture::plus("sample/config.py", format!("PATH = '{}'\n", fixture::STORE)),
};

fn mentions(dist: &Dist, out: &mut Findings) {
    for member in dist.members().iter().filter(|member| !member.store_paths.is_empty()) {
        // Paths that the loader reads are already errors.
        let reported: Vec<&str> = match &member.binary {
            Some(Binary::Elf(info)) => {
                info.search_paths().chain(info.interpreter()).chain(info.needed()).collect()
            }
            Some(Binary::MachO(info)) => {
                info.slices.iter().flat_map(Slice::dylibs).map(|dylib| dylib.path).collect()
            }
            _ => Vec::new(),
        };
        let rest: Vec<&String> =
            member.store_paths.iter().filter(|path| !reported.contains(&path.as_str())).collect();
        if !rest.is_empty() {
            out.at(&member.name, format!("it holds {}", some(rest)));
        }
    }
}
