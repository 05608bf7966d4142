//! `TAG`: what the tags say, in the file name and in `WHEEL`.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use binfmt::elf::Kind;
use pep440_rs::{Version, VersionSpecifiers};
use pydist::policy;
use pydist::tags::{Platform, Tag, TagSet};

use crate::facts::{Binary, Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRelease, BreaksRuntime, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Out, Rule, some};

const TAGS: &str = "PyPA \"Platform compatibility tags\" (PEP 425, 600, 656).";
const WHEEL: &str = "PyPA \"Binary distribution format\", the file WHEEL.";

pub(super) static RULES: &[Rule] =
    &[ACCEPTED, SAME, EXPANDED, PURE, PURELIB, FILE, ONE, PYTHON, BUILD, ADMITTED, PLATFORM];

const ADMITTED: Rule = Rule {
    id: "TAG010",
    title: "Requires-Python admits the Python of the tag",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers look at both: with no Python that fits both, nobody can install the wheel.",
    source: TAGS,
    fix: "Build for a Python that `requires-python` admits, or mend `requires-python`.",
    example: "",
    check: Check::Wheel(admitted),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::linux(fixture::Elf::default());
        wheel.metadata = wheel.metadata.replace(">=3.10", ">=3.13");
        wheel.into()
    },
};

fn admitted(dist: &Dist, _: &Wheel, out: &mut Out) {
    let (Some(name), Some(metadata)) = (dist.wheel_name(), dist.metadata()) else {
        return out.not_applicable();
    };
    let requires = metadata.headers.get("Requires-Python");
    let Some(requires) =
        requires.and_then(|text| VersionSpecifiers::from_str(text.trim_end_matches(',')).ok())
    else {
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
    // The stable ABI, and a wheel without one, serve later versions too.
    let fits = |minor: &u64| admits(*minor) || (stable && (*minor..*minor + 20).any(admits));
    if !minors.iter().any(fits) {
        out.found(format!("the tag is for {}, Requires-Python is `{requires}`", some(&name.tags.python)));
    }
}

const PLATFORM: Rule = Rule {
    id: "TAG011",
    title: "a wheel for a platform has something of the platform",
    severity: Warning,
    provenance: BreaksRelease,
    why: "The library or program was not packed, or the wheel could serve every platform.",
    source: TAGS,
    fix: "maturin: check `module-name`, `include` and `bindings`; setuptools: do not set `has_ext_modules` without one.",
    example: "",
    check: Check::Wheel(platform),
    #[cfg(test)]
    fails: || fixture::retagged(fixture::pure(), fixture::LINUX),
};

fn platform(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let platforms = dist.platforms();
    if platforms.is_empty() || platforms.contains(&Platform::Any) {
        return out.not_applicable();
    }
    let binary = |member: &crate::facts::Member| member.binary.is_some() || member.error.is_some();
    if !wheel.members.iter().any(binary) {
        out.found(format!("there is no binary in it, and the tag is for `{}`", platforms[0]));
    }
}

const ACCEPTED: Rule = Rule {
    id: "TAG001",
    title: "the index accepts the platform tag",
    severity: Error,
    provenance: PypiRejects,
    why: "The index refuses `linux_*` (it says nothing about libraries), unknown platforms and macOS versions that do not exist.",
    source: "Warehouse, `utils/wheel.py`.",
    fix: "maturin: `--compatibility manylinux_2_17` or `pypi`, with zig on any machine; otherwise `auditwheel repair`. \
        macOS: set MACOSX_DEPLOYMENT_TARGET to 11.0 for arm64, 10.12 for x86_64.",
    example: "",
    check: Check::Wheel(accepted),
    #[cfg(test)]
    fails: || fixture::retagged(fixture::linux(fixture::Elf::default()), "cp312-cp312-linux_x86_64"),
};

fn accepted(dist: &Dist, _: &Wheel, out: &mut Out) {
    for platform in dist.platforms() {
        let why = match &platform {
            Platform::Any => continue,
            Platform::Windows { arch } if ["x86", "amd64", "arm64"].contains(&arch.as_str()) => continue,
            Platform::Linux { arch } if ["armv6l", "armv7l"].contains(&arch.as_str()) => continue,
            Platform::Linux { .. } => "says nothing about the libraries it needs",
            Platform::Macos { arch, .. } if policy::macos_archs(arch).is_empty() => {
                "is of no known architecture"
            }
            Platform::Macos { version, .. } if !policy::macos_accepted(*version) => {
                "is of no macOS version that there is"
            }
            Platform::Macos { .. } => continue,
            Platform::Manylinux { arch, .. } | Platform::Musllinux { arch, .. } => {
                if policy::LINUX_ARCHS.contains(&arch.as_str()) {
                    continue;
                }
                "is of no architecture that the index knows"
            }
            Platform::Other(tag)
                if ["ios_", "android_", "pyodide_", "pyemscripten_"]
                    .iter()
                    .any(|known| tag.starts_with(known)) =>
            {
                continue;
            }
            Platform::Windows { .. } | Platform::Other(_) => "is not known to the index",
        };
        out.found(format!("the platform tag `{platform}` {why}"));
    }
}

/// The tags in WHEEL: each line with its tags, or none where it is not a tag.
fn lines(wheel: &Wheel) -> Option<Vec<(String, Vec<Tag>)>> {
    let file = wheel.wheel.as_ref()?.as_ref().ok()?;
    let tags = |line: &str| line.parse::<TagSet>().map(|set| set.expand()).unwrap_or_default();
    let shown = |line: &str| line.chars().take(120).collect();
    Some(file.tags().map(|line| (shown(line), tags(line))).collect())
}

const SAME: Rule = Rule {
    id: "TAG002",
    title: "WHEEL has the tags of the file name",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers choose by the file name and record WHEEL's tags: `pip check`, caches and uninstallers then disagree.",
    source: WHEEL,
    fix: "Do not rename a wheel; `wheel tags` changes both.",
    example: "",
    check: Check::Wheel(same),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.0-py2-none-any.whl"),
};

fn same(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let (Some(lines), Some(name)) = (lines(wheel), dist.wheel_name()) else { return out.not_applicable() };
    if lines.is_empty() {
        return out.not_applicable();
    }
    let said: BTreeSet<Tag> = lines.into_iter().flat_map(|(_, tags)| tags).collect();
    let named: BTreeSet<Tag> = name.tags.expand().into_iter().collect();
    if said != named {
        let text = |tags: &BTreeSet<Tag>| some(tags.iter().map(Tag::to_string));
        out.found(format!("the file name has {}, WHEEL has {}", text(&named), text(&said)));
    }
}

const EXPANDED: Rule = Rule {
    id: "TAG003",
    title: "WHEEL lists each tag on a line of its own",
    severity: Warning,
    provenance: BreaksInstall,
    why: "A compressed tag set in WHEEL makes `pip check` report the package as unsupported (pip issue 13709).",
    source: WHEEL,
    fix: "Update maturin, or run `wheel tags --platform-tag …`, which expands them.",
    example: "",
    check: Check::Wheel(expanded),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::Wheel::sample("py2.py3-none-any");
        wheel.wheel = Some("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2.py3-none-any\n".into());
        wheel.into()
    },
};

fn expanded(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let Some(lines) = lines(wheel) else { return out.not_applicable() };
    for (line, tags) in lines {
        match tags.len() {
            1 => {}
            0 => out.found(format!("`{line}` is not a tag")),
            count => out.found(format!("`{line}` is {count} tags in one line")),
        }
    }
}

fn binaries(wheel: &Wheel) -> impl Iterator<Item = &str> {
    wheel.members.iter().filter_map(|member| match &member.binary {
        Some(Binary::Elf(facts)) if matches!(facts.kind, Kind::Executable | Kind::Library) => {
            Some(member.name.as_str())
        }
        Some(Binary::MachO(_)) => Some(&member.name),
        Some(Binary::Pe(_)) if !is_launcher(&member.name) => Some(&member.name),
        _ => None,
    })
}

/// Windows launchers that installers carry for every platform.
fn is_launcher(name: &str) -> bool {
    let is_exe =
        std::path::Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("exe"));
    is_exe && !name.contains(".data/")
}

const PURE: Rule = Rule {
    id: "TAG004",
    title: "a wheel for any platform has no binaries",
    severity: Error,
    provenance: BreaksInstall,
    why: "It would be installed on systems on which it cannot work.",
    source: TAGS,
    fix: "Build with maturin, or set the tag with `wheel tags --platform-tag`.",
    example: "",
    check: Check::Wheel(pure),
    #[cfg(test)]
    fails: || fixture::plus("sample/bin/tool", fixture::elf(|elf| elf.is_static = true).bytes()),
};

fn pure(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    if !dist.platforms().contains(&Platform::Any) {
        return out.not_applicable();
    }
    for name in binaries(wheel) {
        out.at(name, "a binary in a wheel that is tagged `any`");
    }
}

const PURELIB: Rule = Rule {
    id: "TAG005",
    title: "Root-Is-Purelib fits the content",
    severity: Error,
    provenance: BreaksInstall,
    why: "Libraries of a platform go to platlib: with `true` they land in a folder that other architectures share.",
    source: "PyPA \"Binary distribution format\"; auditwheel, `NonPlatformWheelError` and the check of purelib.",
    fix: "Let the build backend write WHEEL (maturin does it right).",
    example: "",
    check: Check::Wheel(purelib),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::linux(fixture::Elf::default());
        wheel.wheel = Some(format!("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {}\n", fixture::LINUX));
        wheel.into()
    },
};

fn purelib(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let Some(Ok(file)) = &wheel.wheel else { return out.not_applicable() };
    if file.root_is_purelib() != Some(true) || dist.platforms().contains(&Platform::Any) {
        return;
    }
    let libraries: Vec<&str> =
        binaries(wheel).filter(|name| !name.contains(".data/") || name.contains(".data/purelib/")).collect();
    if !libraries.is_empty() {
        out.found(format!("Root-Is-Purelib is true, and there is {}", some(libraries)));
    }
}

const FILE: Rule = Rule {
    id: "TAG006",
    title: "WHEEL is there, complete and of a known version",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers refuse a wheel without Wheel-Version, Root-Is-Purelib or Tag, and one of another major version.",
    source: WHEEL,
    fix: "Build the wheel with a build backend.",
    example: "",
    check: Check::Wheel(file),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::pure();
        wheel.wheel = Some("Wheel-Version: 2.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".into());
        wheel.into()
    },
};

fn file(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let file = match &wheel.wheel {
        None => return out.found("there is no WHEEL"),
        Some(Err(error)) => return out.found(format!("WHEEL: {error}")),
        Some(Ok(file)) => file,
    };
    match file.headers.get("Wheel-Version") {
        None => out.found("WHEEL has no Wheel-Version"),
        Some(version) if version.split('.').next() != Some("1") => {
            out.found(format!("expected Wheel-Version 1.0, found `{version}`"));
        }
        Some(_) => {}
    }
    if file.root_is_purelib().is_none() {
        let found = file.headers.get("Root-Is-Purelib").unwrap_or("none");
        out.found(format!("expected Root-Is-Purelib `true` or `false`, found `{found}`"));
    }
    if file.tags().next().is_none() {
        out.found("WHEEL has no Tag");
    }
}

const ONE: Rule = Rule {
    id: "TAG007",
    title: "all platforms of the tag are of one architecture",
    severity: Error,
    provenance: BreaksRuntime,
    why: "One binary runs on one architecture only.",
    source: TAGS,
    fix: "Build one wheel for each architecture.",
    example: "",
    check: Check::Wheel(one),
    #[cfg(test)]
    fails: || {
        fixture::retagged(
            fixture::linux(fixture::Elf::default()),
            "cp312-cp312-manylinux_2_17_x86_64.manylinux_2_17_aarch64",
        )
    },
};

fn one(dist: &Dist, _: &Wheel, out: &mut Out) {
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
    title: "Python and ABI tags are known and fit each other",
    severity: Error,
    provenance: BreaksInstall,
    why: "No interpreter asks for such a tag, so the wheel is never chosen, or is chosen where it cannot work.",
    source: TAGS,
    fix: "Let the build backend set the tags; for the stable ABI `cp3X-abi3`.",
    example: "",
    check: Check::Wheel(python),
    #[cfg(test)]
    fails: || fixture::retagged(fixture::linux(fixture::Elf::default()), "cp312-cp311-manylinux_2_17_x86_64"),
};

fn python(dist: &Dist, _: &Wheel, out: &mut Out) {
    let Some(name) = dist.wheel_name() else { return out.not_applicable() };
    for tag in &name.tags.python {
        let digits = tag.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let known = ["py", "cp", "pp", "ip", "jy", "graalpy"].contains(&&tag[..tag.len() - digits.len()]);
        // `pp310`, `cp312`, `py2`; never a bare `cp`.
        if !known || digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || c == '_') {
            out.found(format!("`{tag}` is not the tag of a Python"));
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
            out.found(format!("the ABI `{abi}` does not fit the Python {}", some(&name.tags.python)));
        }
    }
}

const BUILD: Rule = Rule {
    id: "TAG009",
    title: "WHEEL has the build number of the file name",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The build number decides which of two wheels of a version is installed.",
    source: WHEEL,
    fix: "Use `wheel tags --build`, which changes both.",
    example: "",
    check: Check::Wheel(build),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.0-1-py3-none-any.whl"),
};

fn build(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let (Some(name), Some(Ok(file))) = (dist.wheel_name(), &wheel.wheel) else { return out.not_applicable() };
    let said = file.headers.get("Build");
    if said != name.build.as_deref() && (said.is_some() || name.build.is_some()) {
        let (said, named) = (said.unwrap_or("none"), name.build.as_deref().unwrap_or("none"));
        out.found(format!("the file name has build `{named}`, WHEEL has `{said}`"));
    }
}
