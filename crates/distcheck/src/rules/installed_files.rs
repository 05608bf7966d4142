//! `CON`: where a wheel's files are installed, and with which permissions.

use std::collections::BTreeSet;

use pydist::tags::Platform;

use super::content::{CWC, is_example};
use crate::facts::{Binary, Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRuntime, Hygiene};
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Out, Rule, some};

const WHEEL: &str = "PyPA \"Binary distribution format\".";

pub(super) static RULES: &[Rule] = &[DATA, EXECUTABLE, READABLE, LONG];

const DATA: Rule = Rule {
    id: "CON005",
    title: "the `.data` directory is named after the file and has known keys",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers refuse a scheme that they do not know.",
    source: WHEEL,
    fix: "Use purelib, platlib, headers, scripts or data.",
    example: "sample-1.0-py3-none-any.whl: sample-1.0.data/other/x: `other` is no scheme",
    check: Check::Wheel(data),
    #[cfg(test)]
    fails: || fixture::plus("sample-1.0.data/other/x", "x"),
};

fn data(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    let mut told = BTreeSet::new();
    for member in &wheel.members {
        let mut parts = member.name.split('/');
        let Some(top) = parts.next().filter(|top| top.ends_with(".data") && member.name.contains('/')) else {
            continue;
        };
        let expected = wheel.dist_info().map(|folder| folder.replace(".dist-info", ".data"));
        if expected.as_deref() != Some(top) && told.insert(top.to_owned()) {
            let found = dist.wheel_name().is_some().then_some(expected).flatten().unwrap_or_default();
            out.at(top, format!("expected `{found}`"));
        }
        if let Some(key) = parts.next().filter(|key| !key.is_empty())
            && !["purelib", "platlib", "headers", "scripts", "data"].contains(&key)
            && told.insert(format!("{top}/{key}"))
        {
            out.at(&member.name, format!("`{key}` is no scheme"));
        }
    }
}

/// Whether the archive has Unix modes at all; Windows' tools write none.
fn has_modes(wheel: &Wheel) -> bool {
    wheel.members.iter().any(|member| member.mode.is_some_and(|mode| mode & 0o777 != 0))
}

const EXECUTABLE: Rule = Rule {
    id: "CON006",
    title: "programs are executable",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A program without its executable bit ends in \"Permission denied\".",
    source: WHEEL,
    fix: "`chmod +x` before the wheel is made; zip tools that drop modes lose it.",
    example: "sample-1.0-py3-none-any.whl: sample-1.0.data/scripts/tool: a program of mode 644",
    check: Check::Wheel(executable),
    #[cfg(test)]
    fails: || {
        fixture::with(
            fixture::pure(),
            fixture::Member::new(format!("{}/scripts/tool", fixture::DATA), "#!python\nprint(1)\n"),
        )
    },
};

fn executable(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    // Windows has no executable bit.
    let windows = |platform: &Platform| matches!(platform, Platform::Windows { .. });
    let platforms = dist.platforms();
    if !platforms.is_empty() && platforms.iter().all(windows) {
        return out.not_applicable();
    }
    for member in wheel.members.iter().filter(|member| !member.is_dir()) {
        let mode = member.mode.unwrap_or_default();
        if mode & 0o111 != 0 {
            continue;
        }
        // Installers take the archive's bit, whatever system wrote it.
        let scripts = member.name.contains(".data/scripts/");
        let script = scripts && (member.binary.is_some() || member.shebang.is_some());
        let program = match &member.binary {
            Some(Binary::Elf(facts)) => facts.interpreter().is_some() && !member.name.contains(".so"),
            Some(Binary::MachO(facts)) => facts.slices.iter().any(|slice| slice.file_type == 2),
            _ => false,
        };
        if (program && !is_example(&member.name)) || script {
            out.at(&member.name, format!("a program of mode {:o}", mode & 0o7777));
        }
    }
}

const READABLE: Rule = Rule {
    id: "CON007",
    title: "file permissions are sane",
    severity: Warning,
    provenance: Hygiene,
    why: "`unzip` keeps the modes: files that everybody may write, or that run with their owner's rights. \
        A note where only their owner may read them: pip and uv give them a mode of their own.",
    source: "Info-ZIP; pip and uv take the executable bit alone.",
    fix: "`chmod a+r,go-w,ug-s` before the wheel is made; check the umask.",
    example: "sample-1.0-py3-none-any.whl: sample/x.py: mode 666: writable by everybody, or with another user's rights",
    check: Check::Wheel(readable),
    #[cfg(test)]
    fails: || {
        fixture::with(
            fixture::pure(),
            fixture::Member { mode: 0o100_666, ..fixture::Member::new("sample/x.py", "") },
        )
    },
};

fn readable(dist: &Dist, wheel: &Wheel, out: &mut Out) {
    // Windows has no such modes, and its tools write 666.
    let windows = |platform: &Platform| matches!(platform, Platform::Windows { .. });
    let platforms = dist.platforms();
    if !has_modes(wheel) || (!platforms.is_empty() && platforms.iter().all(windows)) {
        return out.not_applicable();
    }
    for member in wheel.members.iter().filter(|member| !member.is_dir()) {
        if let Some(mode) = member.mode.filter(|mode| mode & 0o7002 != 0 && !member.is_symlink()) {
            out.at(
                &member.name,
                format!("mode {:o}: writable by everybody, or with another user's rights", mode & 0o7777),
            );
        } else if let Some(mode) = member.mode.filter(|mode| mode & 0o777 != 0 && mode & 0o444 != 0o444) {
            out.only(Note).at(&member.name, format!("mode {:o}", mode & 0o7777));
        }
    }
}

const LONG: Rule = Rule {
    id: "CON009",
    title: "paths are short enough for Windows",
    severity: Warning,
    provenance: BreaksInstall,
    why: "Below a deep directory they pass Windows' 260 characters.",
    source: CWC,
    fix: "Use shorter names.",
    example: "sample-1.0-py3-none-any.whl: more than 200 characters: `sample/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.py`",
    check: Check::Wheel(long),
    #[cfg(test)]
    fails: || fixture::plus(&format!("sample/{}.py", "x".repeat(200)), ""),
};

fn long(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let long: Vec<&str> = wheel
        .members
        .iter()
        .map(|member| member.name.as_str())
        .filter(|name| name.chars().count() > 200)
        .collect();
    if !long.is_empty() {
        out.found(format!("more than 200 characters: {}", some(long)));
    }
}
