//! `ABI`: extension modules against the Python and ABI tags.

use std::collections::BTreeSet;

use pydist::policy;

use crate::facts::{Binary, Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::BreaksRuntime;
use crate::rule::Severity::Error;
use crate::rule::{Check, Out, Rule, some};

pub(super) static RULES: &[Rule] = &[STABLE, SUFFIX];

/// The Python symbols that a binary takes from outside.
fn undefined(member: &Member) -> BTreeSet<&str> {
    let symbols: Vec<&str> = match &member.binary {
        Some(Binary::Elf(facts)) => facts.undefined.iter().map(String::as_str).collect(),
        Some(Binary::MachO(facts)) => {
            facts.slices.iter().flat_map(|slice| &slice.undefined).map(String::as_str).collect()
        }
        Some(Binary::Pe(facts)) => facts.python_symbols.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    symbols.into_iter().filter(|symbol| symbol.starts_with("Py") || symbol.starts_with("_Py")).collect()
}

const STABLE: Rule = Rule {
    id: "ABI001",
    title: "an abi3 wheel uses the stable ABI only",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A symbol outside the stable ABI, or newer than the tag's Python, is missing in some Python that the tag promises.",
    source: "PEP 384; CPython's `Misc/stable_abi.toml` (`pydist/data/stable_abi.json`); abi3audit.",
    fix: "PyO3: the feature `abi3-py3X` of the tag's version; C: define Py_LIMITED_API.",
    example: "",
    check: Check::Wheel(stable),
    #[cfg(test)]
    fails: || {
        let mut wheel = fixture::Wheel::sample("cp39-abi3-manylinux_2_17_x86_64");
        let module = fixture::elf(|elf| elf.undefined = Some("PyModule_AddType".into()));
        wheel.members.push(fixture::Member::new("sample/core.abi3.so", module.bytes()));
        wheel.into()
    },
};

fn stable(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let Some(name) = dist.wheel_name().filter(|name| name.tags.abi.iter().any(|abi| abi == "abi3")) else {
        return out.not_applicable();
    };
    let minors = name.tags.python.iter().filter_map(|tag| tag.strip_prefix("cp3")?.parse::<u32>().ok());
    let lowest = (3, minors.min().unwrap_or(2));
    // A symbol that one file of the wheel defines is no call into Python.
    let defined: BTreeSet<&str> =
        wheel.elf().flat_map(|(_, facts)| &facts.defined_python).map(String::as_str).collect();
    for member in &wheel.members {
        // A file for one version beside the abi3 one is for that version alone.
        let file = member.file_name();
        if file.contains(".cpython-3") || file.contains(".cp3") || file.contains(".pypy") {
            continue;
        }
        let mut beyond = Vec::new();
        for symbol in undefined(member) {
            if defined.contains(symbol) || symbol.starts_with("PyInit_") || symbol.starts_with("PyModExport_")
            {
                continue;
            }
            match policy::stable_abi(symbol) {
                Some(added) if added <= lowest => {}
                Some((major, minor)) => beyond.push(format!("{symbol} (from {major}.{minor})")),
                None => beyond.push(symbol.to_owned()),
            }
        }
        if !beyond.is_empty() {
            out.at(
                &member.name,
                format!("for Python {}.{} the stable ABI lacks {}", lowest.0, lowest.1, some(beyond)),
            );
        }
    }
}

/// The tag of an extension module's file name: `cp312`, `pp310`, `abi3`.
fn module_tag(file: &str) -> Option<String> {
    let parts: Vec<&str> = file.split('.').collect();
    let [_, middle @ .., "so" | "pyd"] = &parts[..] else { return None };
    let middle = middle.last()?;
    if *middle == "abi3" {
        return Some("abi3".into());
    }
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    if let Some(rest) = middle.strip_prefix("cpython-") {
        return Some(format!("cp{}", digits(rest)));
    }
    if let Some(rest) = middle.strip_prefix("pypy") {
        return Some(format!("pp{}", digits(rest)));
    }
    middle.strip_prefix("cp").map(|rest| format!("cp{}", digits(rest)))
}

const SUFFIX: Rule = Rule {
    id: "ABI002",
    title: "extension modules are for the Python of the tag",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Python finds a module by the ABI in its file name; one for another Python is not found.",
    source: "PEP 3149; PyPA \"Platform compatibility tags\".",
    fix: "Build with the interpreter of the tag.",
    example: "",
    check: Check::Wheel(suffix),
    #[cfg(test)]
    fails: || fixture::retagged(fixture::linux(fixture::Elf::default()), "cp311-cp311-manylinux_2_17_x86_64"),
};

fn suffix(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let Some(name) = dist.wheel_name() else { return out.not_applicable() };
    let modules: Vec<(&Member, String)> = wheel
        .members
        .iter()
        .filter(|member| member.binary.is_some())
        .filter_map(|member| Some((member, module_tag(member.file_name())?)))
        .collect();
    if modules.is_empty() {
        return out.not_applicable();
    }
    let python = &name.tags.python;
    let fits = |tag: &String| match tag.as_str() {
        "abi3" => python.iter().any(|python| python.starts_with("cp3") || python.starts_with("py3")),
        tag => python.iter().any(|python| python == tag || python.starts_with("py")),
    };
    // A wheel may bring modules for several versions, if one fits.
    let versions: BTreeSet<&String> = modules.iter().map(|(_, tag)| tag).collect();
    let abi3 = name.tags.abi.iter().any(|abi| abi == "abi3");
    for (member, tag) in &modules {
        if !fits(tag) && versions.len() == 1 && !(abi3 && tag == "abi3") {
            out.at(&member.name, format!("it is for `{tag}`, the wheel is for {}", some(python)));
        }
    }
    // A module for one version in an abi3 wheel serves that version alone.
    if abi3 && versions.iter().all(|tag| *tag != "abi3") {
        for (member, tag) in modules.iter().filter(|(_, tag)| fits(tag)) {
            out.at(&member.name, format!("it is for `{tag}` alone, the wheel says abi3"));
        }
    }
}
