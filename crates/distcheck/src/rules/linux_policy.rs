//! `LNX`: libraries and symbols that the tag's policy does not allow.

use std::collections::BTreeSet;

use binfmt::elf::ElfInfo;
use pydist::libc::glibc_version;
use pydist::policy::{self, Excess};
use pydist::tags::Platform;

use super::linux::{POLICY, REPAIR, bundled, linux, loaded};
use super::linux_loading::searched;
use crate::dist::{Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::BreaksRuntime;
use crate::rule::Severity::{self, Error, Note, Warning};
use crate::rule::{Check, Findings, Rule, some};

pub(super) static RULES: &[Rule] = &[VERSIONS, LIBRARIES, FORBIDDEN];

/// The end of a message about a library that the wheel's SBOM declares.
pub(super) const EXTERNAL: &str = ", which the wheel declares as provided by the user's system";

/// A rule's report about one file: a message and a severity.
type FileReport = Option<(String, Option<Severity>)>;

/// Calls `report` with the excess of each file over the strictest tag.
fn excess(
    dist: &Dist,
    wheel: &Wheel,
    out: &mut Findings,
    report: impl Fn(&Member, &ElfInfo, &BTreeSet<Excess>) -> FileReport,
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
    for (member, info) in loaded(wheel).filter(|(_, info)| info.is_dynamic) {
        // A file that needs nothing from glibc also matches a musl tag.
        for (family, version, arch) in &tags {
            let excess = beyond(family, *version, arch, info, &bundled);
            if let Some((message, severity)) = report(member, info, &excess) {
                let (major, minor) = version;
                if let Some(severity) = severity {
                    out.with_severity(severity);
                }
                out.at(&member.name, format!("{message}; the tag is {family}_{major}_{minor}"));
                break;
            }
        }
    }
}

/// What a file needs beyond a tag. glibc versions are compared as numbers, to support
/// tags and architectures without a policy; for the rest, the next policy applies.
fn beyond(
    family: &str,
    version: (u32, u32),
    arch: &str,
    info: &ElfInfo,
    bundled: &BTreeSet<String>,
) -> BTreeSet<Excess> {
    let of_family = || policy::linux().iter().filter(|policy| policy.family == family);
    let next = of_family().find(|policy| policy.version >= version);
    let Some(policy) = next.or_else(|| of_family().next_back()) else { return BTreeSet::new() };
    let known = if policy.symbol_versions.contains_key(arch) { arch } else { "x86_64" };
    let mut excess = policy.excess(info, known, bundled);
    if family == "manylinux" {
        excess.retain(|excess| {
            !matches!(excess, Excess::Symbol(_, symbol) if glibc_version(symbol).is_some_and(|glibc| glibc <= version))
        });
        let foreign = info
            .versions
            .iter()
            .filter(|(library, _)| !bundled.contains(*library) && !policy::is_loader(library));
        for (library, symbols) in foreign {
            for symbol in
                symbols.iter().filter(|symbol| glibc_version(symbol).is_some_and(|glibc| glibc > version))
            {
                excess.insert(Excess::Symbol(library.clone(), symbol.clone()));
            }
        }
    }
    excess
}

const VERSIONS: Rule = Rule {
    id: "LNX002",
    title: "symbol versions are no newer than the tag allows",
    severity: Error,
    provenance: BreaksRuntime,
    why: "On the oldest systems that the tag allows, loading fails with \"version `GLIBC_2.34' not found\".",
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

fn versions(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
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
    why: "A library that some such systems lack is missing for their users. A warning if another package \
        or a driver may provide it; a note if the wheel's SBOM declares it as external.",
    source: POLICY,
    fix: "Link it statically, or let `auditwheel repair` (maturin: `--auditwheel repair`) copy it into the wheel. \
        build-wheel's `exclude` declares libraries that the user's system provides.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it needs `libssl.so.1.1`, which is neither in the wheel nor on every such system; the tag is manylinux_2_17",
    check: Check::Wheel(libraries),
    #[cfg(test)]
    fails: || fixture::linux(fixture::elf(|elf| elf.needed.push("libssl.so.1.1".into()))).into(),
};

fn libraries(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
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
    excess(dist, wheel, out, |member, info, excess| {
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
        // named like the library: another wheel provides it.
        let sibling = searched(member, info)
            .into_iter()
            .any(|path| path.is_ok_and(|path| !directories.contains(path.as_str())));
        let provided =
            |library: &&str| is_driver(library) || required.iter().any(|name| provides(name, library));
        let severity = (sibling || libraries.iter().all(provided)).then_some(Warning);
        let found = some(&libraries);
        Some((format!("it needs {found}, which is neither in the wheel nor on every such system"), severity))
    });
}

/// Libraries of device drivers, which no wheel can contain.
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

/// Whether a required package (without hyphens) provides a library.
fn provides(package: &str, library: &str) -> bool {
    let stem = library.trim_start_matches("lib").split('.').next().unwrap_or_default().to_ascii_lowercase();
    let stem = stem.split(['-', '_']).next().unwrap_or_default();
    // Libraries named differently from their package.
    let other = [("torch", "c10"), ("torch", "caffe2"), ("tensorflow", "tensorflow"), ("oneapi", "sycl")];
    (stem.len() > 2 && package.contains(stem)) || other.contains(&(package, stem))
}

const FORBIDDEN: Rule = Rule {
    id: "LNX004",
    title: "no imported symbol is forbidden by the policy",
    severity: Error,
    provenance: BreaksRuntime,
    why: "These symbols are missing in some builds of the library.",
    source: POLICY,
    fix: REPAIR,
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: sample/core.cpython-312-x86_64-linux-gnu.so: it imports `__cxa_thread_atexit_impl of libc.so.6`; the tag is manylinux_2_17",
    check: Check::Wheel(forbidden),
    #[cfg(test)]
    fails: || {
        fixture::linux(fixture::elf(|elf| elf.undefined = Some("__cxa_thread_atexit_impl".into()))).into()
    },
};

fn forbidden(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    excess(dist, wheel, out, |_, _, excess| {
        let symbols: Vec<String> = excess
            .iter()
            .filter_map(|excess| match excess {
                Excess::Forbidden(library, symbol) => Some(format!("{symbol} of {library}")),
                _ => None,
            })
            .collect();
        (!symbols.is_empty()).then(|| (format!("it imports {}", some(symbols)), None))
    });
}
