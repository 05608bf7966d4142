//! `LNX`: libraries and symbols that the policy of the tag does not grant.

use std::collections::BTreeSet;

use binfmt::elf::ElfInfo;
use pydist::policy::{self, Excess};
use pydist::tags::Platform;

use super::linux::{POLICY, REPAIR, bundled, linux, loaded};
use super::linux_loading::searched;
use crate::facts::{Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::BreaksRuntime;
use crate::rule::Severity::{self, Error, Note, Warning};
use crate::rule::{Check, Out, Rule, some};

pub(super) static RULES: &[Rule] = &[VERSIONS, LIBRARIES, FORBIDDEN];

/// What is said of a library that the wheel's bill of materials names.
pub(super) const EXTERNAL: &str = ", which the wheel declares as provided by the user's system";

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
    title: "libraries belong to the system or the wheel",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A library that not every such system has is missing for some users. A warning if another package \
        or a driver may bring it; a note if the wheel's bill of materials declares it as external.",
    source: POLICY,
    fix: "Link it statically, or let `auditwheel repair` (maturin: `--auditwheel repair`) copy it into the wheel. \
        build-wheel's `exclude` declares what the user's system provides.",
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
        let (external, libraries): (Vec<&str>, Vec<&str>) =
            libraries.into_iter().partition(|library| wheel.external.contains(*library));
        if libraries.is_empty() {
            let message = || format!("it needs {}{EXTERNAL}", some(&external));
            return (!external.is_empty()).then(|| (message(), Some(Note)));
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
    title: "no symbol is imported that the policy forbids",
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
