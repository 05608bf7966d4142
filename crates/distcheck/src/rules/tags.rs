//! `TAG`: the tags in the file name.

use std::collections::BTreeSet;

use binfmt::elf::Kind;
use pep440_rs::Version;
use pydist::policy;
use pydist::tags::Platform;

use super::abi::is_importable;
use super::content::is_example;
use crate::dist::{Binary, Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRelease, BreaksRuntime, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule, some};

const TAGS: &str = "PyPA \"Platform compatibility tags\" (PEP 425, 600, 656).";

pub(super) static RULES: &[Rule] =
    &[ACCEPTED, ANY_PLATFORM, ONE_ARCH, PYTHON, REQUIRES_PYTHON, PLATFORM, SUPPORTED];

const REQUIRES_PYTHON: Rule = Rule {
    id: "TAG010",
    title: "Requires-Python allows the Python of the tag",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers check both: if no Python satisfies both, the wheel cannot be installed.",
    source: TAGS,
    fix: "Build for a Python that `requires-python` allows, or fix `requires-python`.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: the tag is for `cp312`, Requires-Python is `>=3.13`",
    check: Check::Wheel(requires_python),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::linux(fixture::Elf::default());
        wheel.metadata = wheel.metadata.replace(">=3.10", ">=3.13");
        wheel.into()
    },
};

fn requires_python(dist: &Dist, _: &Wheel, out: &mut Findings) {
    let (Some(name), Some(metadata)) = (dist.wheel_name(), dist.metadata()) else {
        return out.not_applicable();
    };
    let requires = metadata.headers.get("Requires-Python");
    let Some(requires) = requires.and_then(super::metadata::requires_python) else {
        return out.not_applicable();
    };
    let stable = name.tags.abi.iter().any(|abi| abi == "abi3" || abi == "none");
    let minor = |tag: &String| -> Option<u64> {
        let digits = ["cp3", "pp3"].iter().find_map(|prefix| tag.strip_prefix(prefix))?;
        digits.trim_end_matches(|c: char| c == '_' || c.is_ascii_alphabetic()).parse().ok()
    };
    let minors: Vec<u64> = name.tags.python.iter().filter_map(minor).collect();
    if minors.is_empty() || minors.len() != name.tags.python.len() {
        return out.not_applicable();
    }
    let admits = |minor: u64| (0..40).any(|micro| requires.contains(&Version::new([3, minor, micro])));
    // Wheels with the stable ABI or without an ABI also support later versions.
    let fits = |minor: &u64| admits(*minor) || (stable && (*minor..*minor + 20).any(admits));
    if !minors.iter().any(fits) {
        out.found(format!("the tag is for {}, Requires-Python is `{requires}`", some(&name.tags.python)));
    }
}

const PLATFORM: Rule = Rule {
    id: "TAG011",
    title: "a wheel for a platform contains something for it",
    severity: Warning,
    provenance: BreaksRelease,
    why: "The library or program was not packed, or the wheel should be for any platform.",
    source: TAGS,
    fix: "maturin: check `module-name`, `include` and `bindings`; setuptools: do not set `has_ext_modules` without one.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: it has no binary, but the tag is for `manylinux_2_17_x86_64`",
    check: Check::Wheel(platform),
    #[cfg(test)]
    fails: || fixture::retagged(fixture::pure(), fixture::LINUX),
};

fn platform(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let platforms = dist.platforms();
    if platforms.is_empty() || platforms.contains(&Platform::Any) {
        return out.not_applicable();
    }
    let binary = |member: &Member| member.binary.is_some() || member.error.is_some();
    if !wheel.members.iter().any(binary) {
        out.found(format!("it has no binary, but the tag is for `{}`", platforms[0]));
    }
}

const ACCEPTED: Rule = Rule {
    id: "TAG001",
    title: "the index accepts the platform tag",
    severity: Error,
    provenance: PypiRejects,
    why: "The index rejects `linux_*` (it does not state which libraries are needed), unknown platforms and macOS versions that do not exist.",
    source: "Warehouse, `utils/wheel.py`.",
    fix: "maturin: `--compatibility manylinux_2_17` or `pypi`, with zig on any machine; otherwise `auditwheel repair`. \
        macOS: set MACOSX_DEPLOYMENT_TARGET to 11.0 for arm64, 10.12 for x86_64.",
    example: "sample-1.0-cp312-cp312-linux_x86_64.whl: the platform tag `linux_x86_64` is rejected: it does not state which libraries the wheel needs",
    check: Check::Wheel(accepted),
    #[cfg(test)]
    fails: || fixture::retagged(fixture::linux(fixture::Elf::default()), "cp312-cp312-linux_x86_64"),
};

fn accepted(dist: &Dist, _: &Wheel, out: &mut Findings) {
    let Some(name) = dist.wheel_name() else { return out.not_applicable() };
    for tag in &name.tags.platform {
        if policy::index_accepts(tag) {
            continue;
        }
        let why = match Platform::parse(tag) {
            Platform::Linux { .. } => "it does not state which libraries the wheel needs",
            Platform::Macos { version: (11.., 1..), .. } => "from macOS 11 on, the minor version is 0",
            Platform::Macos { .. } => "PyPI does not know this macOS version or architecture",
            Platform::Manylinux { .. } | Platform::Musllinux { .. } => "PyPI does not know this architecture",
            _ => "PyPI does not know it",
        };
        out.found(format!("the platform tag `{tag}` is rejected: {why}"));
    }
}

/// The binaries that only one system can load or run, without test data and .NET
/// assemblies, which run everywhere.
pub(super) fn binaries(wheel: &Wheel) -> impl Iterator<Item = (&Member, Machine)> {
    wheel.members.iter().filter(|member| !is_example(&member.name)).filter_map(|member| {
        let machine = match &member.binary {
            Some(Binary::Elf(elf)) if matches!(elf.kind, Kind::Executable | Kind::Library) => {
                ("Linux", elf.arch().unwrap_or_default().to_owned())
            }
            Some(Binary::MachO(macho)) => {
                ("macOS", macho.slices.iter().map(|slice| slice.arch).collect::<Vec<_>>().join(" "))
            }
            Some(Binary::Pe(pe)) if !pe.is_managed => ("Windows", pe.arch().unwrap_or_default().to_owned()),
            _ => return None,
        };
        Some((member, machine))
    })
}

/// A system and an architecture.
pub(super) type Machine = (&'static str, String);

const ANY_PLATFORM: Rule = Rule {
    id: "TAG004",
    title: "a wheel for any platform works on every platform",
    severity: Error,
    provenance: BreaksInstall,
    why: "It is installed on systems on which its binaries do not work. Binaries for several systems, test data and \
        .NET assemblies are accepted.",
    source: TAGS,
    fix: "Build with maturin, or set the tag with `wheel tags --platform-tag`.",
    example: "sample-1.0-py3-none-any.whl: sample/bin/tool: only for Linux (x86_64), in a wheel tagged `any`",
    check: Check::Wheel(any_platform),
    #[cfg(test)]
    fails: || fixture::plus("sample/bin/tool", fixture::elf(|elf| elf.is_static = true).bytes()),
};

fn any_platform(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    if !dist.platforms().contains(&Platform::Any) {
        return out.not_applicable();
    }
    let machines: BTreeSet<Machine> = binaries(wheel).map(|(_, machine)| machine).collect();
    let systems: BTreeSet<&str> = machines.iter().map(|(system, _)| *system).collect();
    for (member, (system, arch)) in binaries(wheel) {
        // Python imports whatever module it finds, but a package chooses programs and
        // libraries itself, and may contain one for each machine.
        let others =
            if is_importable(member, &dist.platforms()) { systems.len() > 1 } else { machines.len() > 1 };
        if !others {
            out.at(&member.name, format!("only for {system} ({arch}), in a wheel tagged `any`"));
        }
    }
}

const ONE_ARCH: Rule = Rule {
    id: "TAG007",
    title: "all platforms of the tag have the same architecture",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A binary runs on only one architecture.",
    source: TAGS,
    fix: "Build one wheel for each architecture.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux_2_17_aarch64.whl: the tag names `aarch64`, `x86_64`",
    check: Check::Wheel(one_arch),
    #[cfg(test)]
    fails: || {
        fixture::retagged(
            fixture::linux(fixture::Elf::default()),
            "cp312-cp312-manylinux_2_17_x86_64.manylinux_2_17_aarch64",
        )
    },
};

fn one_arch(dist: &Dist, _: &Wheel, out: &mut Findings) {
    let platforms = dist.platforms();
    let archs: BTreeSet<&str> = platforms
        .iter()
        .filter(|platform| !matches!(platform, Platform::Macos { .. }))
        .filter_map(Platform::arch)
        .collect();
    if archs.len() > 1 {
        out.found(format!("the tag names {}", some(archs)));
    }
}

const PYTHON: Rule = Rule {
    id: "TAG008",
    title: "Python and ABI tags are known and match each other",
    severity: Error,
    provenance: BreaksInstall,
    why: "No interpreter supports such a tag, so the wheel is never installed, or is installed where it does not work.",
    source: TAGS,
    fix: "Let the build backend set the tags; for the stable ABI, use `cp3X-abi3`.",
    example: "sample-1.0-cp312-cp311-manylinux_2_17_x86_64.whl: the ABI `cp311` does not match the Python `cp312`",
    check: Check::Wheel(python),
    #[cfg(test)]
    fails: || fixture::retagged(fixture::linux(fixture::Elf::default()), "cp312-cp311-manylinux_2_17_x86_64"),
};

fn python(dist: &Dist, _: &Wheel, out: &mut Findings) {
    let Some(name) = dist.wheel_name() else { return out.not_applicable() };
    for tag in &name.tags.python {
        let digits = tag.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let known = ["py", "cp", "pp", "ip", "jy", "graalpy"].contains(&&tag[..tag.len() - digits.len()]);
        // `pp310`, `cp312`, `py2`, but not `cp` alone.
        if !known || digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || c == '_') {
            out.found(format!("`{tag}` is not a Python tag"));
        }
    }
    for abi in &name.tags.abi {
        let fits = match abi.as_str() {
            "none" => true,
            "abi3" => name.tags.python.iter().all(|tag| tag.starts_with("cp3")),
            abi if abi.starts_with("cp") => {
                let version: String = abi[2..].chars().take_while(char::is_ascii_digit).collect();
                let flags = &abi[2 + version.len()..];
                flags.chars().all(|c| "tdmu".contains(c))
                    && name.tags.python.iter().any(|tag| *tag == format!("cp{version}"))
            }
            _ => true,
        };
        if !fits {
            out.found(format!("the ABI `{abi}` does not match the Python {}", some(&name.tags.python)));
        }
    }
}

const SUPPORTED: Rule = Rule {
    id: "TAG012",
    title: "installers support the platform tag",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers compute the tags of their system and accept only those: Apple silicon starts at macOS 11.0, \
        from macOS 11 on, there are no minor versions, and tags are lower case without leading zeros.",
    source: TAGS,
    fix: "Set MACOSX_DEPLOYMENT_TARGET to 11.0 for arm64; let the build backend write the tag.",
    example: "sample-1.0-py3-none-macosx_10_12_arm64.whl: no installer supports `macosx_10_12_arm64`: Apple silicon starts at macOS 11.0",
    check: Check::Wheel(supported),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::macos(fixture::MachO::default());
        wheel.tag = "py3-none-macosx_10_12_arm64".into();
        wheel.into()
    },
};

fn supported(dist: &Dist, _: &Wheel, out: &mut Findings) {
    let Some(name) = dist.wheel_name() else { return out.not_applicable() };
    let problem = |tag: &String| match Platform::parse(tag) {
        Platform::Macos { version: (..11, _), arch } if arch == "arm64" => {
            Some("Apple silicon starts at macOS 11.0")
        }
        Platform::Macos { version: (11.., 1..), .. } => Some("from macOS 11 on, the minor version is 0"),
        Platform::Macos { arch, .. } if policy::macos_archs(&arch).is_empty() => {
            Some("no macOS has this architecture")
        }
        Platform::Manylinux { glibc: (major, _), .. } if major != 2 => Some("there is no such glibc"),
        Platform::Musllinux { musl: (major, _), .. } if major != 1 => Some("there is no such musl"),
        Platform::Other(tag)
            if ["manylinux", "musllinux", "macosx"].iter().any(|family| tag.starts_with(family)) =>
        {
            Some("it is not in the form that installers use")
        }
        _ if tag.chars().any(|c| c.is_ascii_uppercase()) => Some("installers use lower case"),
        _ => None,
    };
    // One of several tags may be for older installers.
    let problems: Vec<(&String, &str)> =
        name.tags.platform.iter().filter_map(|tag| Some((tag, problem(tag)?))).collect();
    if problems.len() == name.tags.platform.len() {
        for (tag, why) in problems {
            out.found(format!("no installer supports `{tag}`: {why}"));
        }
    }
}
