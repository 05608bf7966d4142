//! `TAG`: the file `WHEEL`.

use std::collections::BTreeSet;

use pydist::tags::{Platform, Tag, TagSet};

use super::tags::binaries;
use crate::dist::{Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, Hygiene, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule, some};

const WHEEL: &str = "PyPA \"Binary distribution format\", the file WHEEL.";

pub(super) static RULES: &[Rule] = &[SAME_TAGS, EXPANDED, PURELIB, PRESENT, WHEEL_VERSION, BUILD_NUMBER];

/// The lines of WHEEL with their tags, empty if a line is not a tag.
fn lines(wheel: &Wheel) -> Option<Vec<(String, Vec<Tag>)>> {
    let file = wheel.wheel.as_ref()?.as_ref().ok()?;
    let tags = |line: &str| line.parse::<TagSet>().map(|set| set.expand()).unwrap_or_default();
    let shown = |line: &str| line.chars().take(120).collect();
    Some(file.tags().map(|line| (shown(line), tags(line))).collect())
}

const SAME_TAGS: Rule = Rule {
    id: "TAG002",
    title: "WHEEL has the tags of the file name",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers choose by the file name and record WHEEL's tags: `pip check`, caches and uninstallers then disagree.",
    source: WHEEL,
    fix: "Do not rename a wheel; `wheel tags` changes both.",
    example: "sample-1.0-py2-none-any.whl: the file name has `py2-none-any`, WHEEL has `py3-none-any`",
    check: Check::Wheel(same_tags),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.0-py2-none-any.whl"),
};

fn same_tags(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let (Some(lines), Some(name)) = (lines(wheel), dist.wheel_name()) else { return out.not_applicable() };
    if lines.is_empty() {
        return out.not_applicable();
    }
    let declared: BTreeSet<Tag> = lines.into_iter().flat_map(|(_, tags)| tags).collect();
    let named: BTreeSet<Tag> = name.tags.expand().into_iter().collect();
    if declared != named {
        let text = |tags: &BTreeSet<Tag>| some(tags.iter().map(Tag::to_string));
        out.found(format!("the file name has {}, WHEEL has {}", text(&named), text(&declared)));
    }
}

const EXPANDED: Rule = Rule {
    id: "TAG003",
    title: "WHEEL lists each tag on its own line",
    severity: Warning,
    provenance: BreaksInstall,
    why: "A compressed tag set in WHEEL makes `pip check` report the package as unsupported (pip issue 13709).",
    source: WHEEL,
    fix: "Update maturin, or run `wheel tags --platform-tag …`, which expands them.",
    example: "sample-1.0-py2.py3-none-any.whl: `py2.py3-none-any` is 2 tags on one line",
    check: Check::Wheel(expanded),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::Wheel::sample("py2.py3-none-any");
        wheel.wheel = Some("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2.py3-none-any\n".into());
        wheel.into()
    },
};

fn expanded(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(lines) = lines(wheel) else { return out.not_applicable() };
    for (line, tags) in lines {
        match tags.len() {
            1 => {}
            0 => out.found(format!("`{line}` is not a tag")),
            count => out.found(format!("`{line}` is {count} tags on one line")),
        }
    }
}

const PURELIB: Rule = Rule {
    id: "TAG005",
    title: "Root-Is-Purelib matches the content",
    severity: Warning,
    provenance: BreaksInstall,
    why: "Platform-specific libraries belong in platlib: with `true`, they are installed in a directory that other architectures share, \
        on systems with separate directories.",
    source: "PyPA \"Binary distribution format\"; auditwheel, `NonPlatformWheelError` and its purelib check.",
    fix: "Let the build backend write WHEEL; maturin's is correct.",
    example: "sample-1.0-cp312-cp312-manylinux_2_17_x86_64.whl: Root-Is-Purelib is true, but the wheel has `sample/core.cpython-312-x86_64-linux-gnu.so`",
    check: Check::Wheel(purelib),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::linux(fixture::Elf::default());
        wheel.wheel = Some(format!("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {}\n", fixture::LINUX));
        wheel.into()
    },
};

fn purelib(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(Ok(file)) = &wheel.wheel else { return out.not_applicable() };
    if file.root_is_purelib() != Some(true) || dist.platforms().contains(&Platform::Any) {
        return;
    }
    let libraries: Vec<&str> = binaries(wheel)
        .map(|(member, _)| member.name.as_str())
        .filter(|name| !name.contains(".data/") || name.contains(".data/purelib/"))
        .collect();
    if !libraries.is_empty() {
        out.found(format!("Root-Is-Purelib is true, but the wheel has {}", some(libraries)));
    }
}

const PRESENT: Rule = Rule {
    id: "TAG013",
    title: "WHEEL exists and can be read",
    severity: Error,
    provenance: PypiRejects,
    why: "Installers and the index look for it in the `.dist-info` directory that the file name determines.",
    source: "PyPA \"Binary distribution format\"; Warehouse, `forklift/legacy.py`.",
    fix: "Build the wheel with a build backend.",
    example: "sample-1.0-py3-none-any.whl: the file `sample-1.0.dist-info/WHEEL` is missing or cannot be read",
    check: Check::Wheel(present),
    #[cfg(test)]
    fails: || fixture::after(|members| members.retain(|member| !member.name.ends_with("/WHEEL"))),
};

fn present(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    if let (Some(name), None) = (dist.wheel_name(), &wheel.wheel) {
        out.found(format!("the file `{}/WHEEL` is missing or cannot be read", name.dist_info()));
    }
}

const WHEEL_VERSION: Rule = Rule {
    id: "TAG006",
    title: "WHEEL is complete and has a known version",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers reject a wheel without Wheel-Version, Root-Is-Purelib or Tag, or with another major version.",
    source: WHEEL,
    fix: "Build the wheel with a build backend.",
    example: "sample-1.0-py3-none-any.whl: expected Wheel-Version 1.0, found `2.0`",
    check: Check::Wheel(file),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::pure();
        wheel.wheel = Some("Wheel-Version: 2.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".into());
        wheel.into()
    },
};

fn file(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let file = match &wheel.wheel {
        None => return out.not_applicable(),
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

const BUILD_NUMBER: Rule = Rule {
    id: "TAG009",
    title: "WHEEL has the build number of the file name",
    severity: Warning,
    provenance: Hygiene,
    why: "Installers read the file name; tools that unpack and pack the wheel lose the number.",
    source: WHEEL,
    fix: "Use `wheel tags --build`, which changes both.",
    example: "sample-1.0-1-py3-none-any.whl: the file name has build `1`, WHEEL has `none`",
    check: Check::Wheel(build),
    #[cfg(test)]
    fails: || fixture::renamed("sample-1.0-1-py3-none-any.whl"),
};

fn build(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let (Some(name), Some(Ok(file))) = (dist.wheel_name(), &wheel.wheel) else { return out.not_applicable() };
    let declared = file.headers.get("Build");
    if declared != name.build.as_deref() && (declared.is_some() || name.build.is_some()) {
        let (declared, named) = (declared.unwrap_or("none"), name.build.as_deref().unwrap_or("none"));
        out.found(format!("the file name has build `{named}`, WHEEL has `{declared}`"));
    }
}
