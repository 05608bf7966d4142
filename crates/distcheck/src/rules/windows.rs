//! `WIN`: PE files, compared with the Windows tags.

use pydist::tags::Platform;

use super::foreign;
use super::linux_policy::EXTERNAL;
use crate::dist::{Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::libraries::missing_dlls;
use crate::rule::Provenance::BreaksRuntime;
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Findings, Rule, some};

pub(super) static RULES: &[Rule] = &[MACHINE, DEBUG, PYTHON, LIBRARIES];

const LIBRARIES: Rule = Rule {
    id: "WIN004",
    title: "libraries belong to Windows, Python or the wheel",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "A fresh Windows has neither the C++ runtime of Visual Studio nor the libraries of MinGW.",
    source: "delvewheel; Microsoft, \"Redistributing Visual C++ files\".",
    fix: "Copy them into the wheel (build-wheel: `graft: all`; otherwise `delvewheel repair`), or link the runtime statically (Rust: `-C target-feature=+crt-static`).",
    example: "sample-1.0-cp312-cp312-win_amd64.whl: sample/core.cp312-win_amd64.pyd: it needs `MSVCP140.dll`",
    check: Check::Wheel(libraries),
    #[cfg(test)]
    fails: || fixture::windows(&fixture::imports("MSVCP140.dll")).into(),
};

fn libraries(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.pe().next().is_none() {
        return out.not_applicable();
    }
    for (member, info) in wheel.pe() {
        let missing = missing_dlls(wheel, info).into_iter().map(|(name, ..)| name);
        let (external, missing): (Vec<&str>, Vec<&str>) =
            missing.partition(|name| wheel.external.iter().any(|known| known.eq_ignore_ascii_case(name)));
        if !external.is_empty() {
            out.with_severity(Note).at(&member.name, format!("it needs {}{EXTERNAL}", some(external)));
        }
        if !missing.is_empty() {
            out.at(&member.name, format!("it needs {}", some(missing)));
        }
    }
}

const MACHINE: Rule = Rule {
    id: "WIN001",
    title: "PE files match the tag's architecture and system",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Windows rejects a library for another architecture.",
    source: "PyPA \"Platform compatibility tags\"; Microsoft, \"PE Format\".",
    fix: "Check `--target` of the build: it must be the architecture in the tag.",
    example: "sample-1.0-cp312-cp312-win_amd64.whl: sample/core.cp312-win_amd64.pyd: it is for x86, the tag is for amd64",
    check: Check::Wheel(machine),
    #[cfg(test)]
    fails: || fixture::windows(&fixture::Pe { machine: 0x014c, ..fixture::Pe::default() }).into(),
};

fn machine(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let platforms = dist.platforms();
    let expected = platforms.iter().find_map(|platform| match platform {
        Platform::Windows { arch } => Some(arch.as_str()),
        _ => None,
    });
    if wheel.every_pe().next().is_none() || platforms.contains(&Platform::Any) {
        return out.not_applicable();
    }
    for (member, info) in wheel.every_pe() {
        let found = info.arch().unwrap_or("an unknown architecture");
        // A wheel may contain launchers and helpers for another architecture if
        // their names show it.
        let lower = member.name.to_ascii_lowercase();
        let library = lower.ends_with(".pyd") || member.name.contains(".data/scripts/");
        let is_named_for_arch = ["32", "64", "86", "arm"].iter().any(|hint| lower.contains(hint));
        match expected {
            Some(expected) if found != expected && (library || !is_named_for_arch) => {
                out.at(&member.name, format!("it is for {found}, the tag is for {expected}"));
            }
            None if library => {
                out.with_severity(foreign::severity(dist, wheel, member));
                out.at(&member.name, format!("a PE file in a wheel for `{}`", platforms[0]));
            }
            _ => {}
        }
    }
}

const DEBUG: Rule = Rule {
    id: "WIN002",
    title: "no file needs the debug runtime",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Only developers' machines have the debug libraries of Visual C++ and Python, and they may not be redistributed.",
    source: "Microsoft, \"Redistributing Visual C++ files\".",
    fix: "Build in release mode.",
    example: "sample-1.0-cp312-cp312-win_amd64.whl: sample/core.cp312-win_amd64.pyd: it needs `VCRUNTIME140D.dll`",
    check: Check::Wheel(debug),
    #[cfg(test)]
    fails: || fixture::windows(&fixture::imports("VCRUNTIME140D.dll")).into(),
};

fn debug(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.pe().next().is_none() {
        return out.not_applicable();
    }
    for (member, info) in wheel.pe() {
        let is_debug = |name: &&str| {
            let name = name.to_ascii_lowercase();
            name == "ucrtbased.dll"
                || (name.starts_with("vcruntime") && name.ends_with("d.dll"))
                || (name.starts_with("msvcp") && name.ends_with("d.dll"))
                || (name.starts_with("python") && name.ends_with("_d.dll"))
        };
        if let Some(library) = info.imports.iter().map(|import| import.name.as_str()).find(is_debug) {
            out.at(&member.name, format!("it needs `{library}`"));
        }
    }
}

const PYTHON: Rule = Rule {
    id: "WIN003",
    title: "extension modules need the tag's Python",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A module that needs `python311.dll` cannot be loaded by Python 3.12.",
    source: "PEP 384; CPython, \"Extending Python\" on Windows.",
    fix: "Build with the interpreter of the tag; for abi3 link with `python3.dll` (PyO3: the feature `abi3`).",
    example: "sample-1.0-cp312-cp312-win_amd64.whl: sample/core.cp312-win_amd64.pyd: it needs `python311.dll`, the tag is `cp312-cp312-win_amd64`",
    check: Check::Wheel(python),
    #[cfg(test)]
    fails: || fixture::windows(&fixture::imports("python311.dll")).into(),
};

fn python(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(name) = dist.wheel_name().filter(|_| wheel.pe().next().is_some()) else {
        return out.not_applicable();
    };
    for (member, info) in wheel.pe().filter(|(member, _)| member.name.to_ascii_lowercase().ends_with(".pyd"))
    {
        for library in info.imports.iter().map(|import| &import.name) {
            let lower = library.to_ascii_lowercase();
            let Some(version) = lower.strip_prefix("python3").and_then(|rest| rest.strip_suffix(".dll"))
            else {
                continue;
            };
            let minor = version.trim_end_matches('t');
            if minor.is_empty() || !minor.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let fits =
                name.tags.python.iter().any(|tag| {
                    *tag == format!("cp3{minor}") || tag.starts_with("py") || tag.starts_with("pp")
                });
            let stable = name.tags.abi.iter().any(|abi| abi == "abi3") && !member.name.contains(".cp3");
            if !fits || stable {
                out.at(&member.name, format!("it needs `{library}`, the tag is `{}`", name.tags));
            }
        }
    }
}
