//! `CON`: the installed paths and permissions of a wheel's files.

use std::collections::BTreeSet;

use pydist::tags::Platform;

use super::content::{CWC, is_example};
use crate::dist::{Binary, Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRuntime, Hygiene};
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Findings, Rule, some};

const WHEEL: &str = "PyPA \"Binary distribution format\".";

pub(super) static RULES: &[Rule] = &[DATA, EXECUTABLE, READABLE, LONG];

const DATA: Rule = Rule {
    id: "CON005",
    title: "the `.data` directory is named after the file and has known keys",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers reject unknown schemes.",
    source: WHEEL,
    fix: "Use purelib, platlib, headers, scripts or data.",
    example: "sample-1.0-py3-none-any.whl: sample-1.0.data/other/x: `other` is not an install scheme",
    check: Check::Wheel(data),
    #[cfg(test)]
    fails: || fixture::plus("sample-1.0.data/other/x", "x"),
};

fn data(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let mut reported = BTreeSet::new();
    for member in &wheel.members {
        let mut parts = member.name.split('/');
        let Some(top) = parts.next().filter(|top| top.ends_with(".data") && member.name.contains('/')) else {
            continue;
        };
        let expected = wheel.dist_info().map(|dir| dir.replace(".dist-info", ".data"));
        if expected.as_deref() != Some(top) && reported.insert(top.to_owned()) {
            let found = dist.wheel_name().is_some().then_some(expected).flatten().unwrap_or_default();
            out.at(top, format!("expected `{found}`"));
        }
        if let Some(key) = parts.next().filter(|key| !key.is_empty())
            && !["purelib", "platlib", "headers", "scripts", "data"].contains(&key)
            && reported.insert(format!("{top}/{key}"))
        {
            out.at(&member.name, format!("`{key}` is not an install scheme"));
        }
    }
}

/// Whether the archive has Unix modes; tools on Windows write none.
fn has_modes(wheel: &Wheel) -> bool {
    wheel.members.iter().any(|member| member.mode.is_some_and(|mode| mode & 0o777 != 0))
}

const EXECUTABLE: Rule = Rule {
    id: "CON006",
    title: "programs are executable",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Running a program without its executable bit fails with \"Permission denied\".",
    source: WHEEL,
    fix: "`chmod +x` before the wheel is built; some zip tools drop modes.",
    example: "sample-1.0-py3-none-any.whl: sample-1.0.data/scripts/tool: a program with mode 644",
    check: Check::Wheel(executable),
    #[cfg(test)]
    fails: || {
        fixture::with(
            fixture::pure(),
            fixture::Member::new(format!("{}/scripts/tool", fixture::DATA), "#!python\nprint(1)\n"),
        )
    },
};

fn executable(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
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
        // Installers use the archive's bit, whatever system wrote it.
        let scripts = member.name.contains(".data/scripts/");
        let script = scripts && (member.binary.is_some() || member.shebang.is_some());
        let program = match &member.binary {
            Some(Binary::Elf(info)) => info.interpreter().is_some() && !member.name.contains(".so"),
            Some(Binary::MachO(info)) => info.slices.iter().any(|slice| slice.file_type == 2),
            _ => false,
        };
        if (program && !is_example(&member.name)) || script {
            out.at(&member.name, format!("a program with mode {:o}", mode & 0o7777));
        }
    }
}

const READABLE: Rule = Rule {
    id: "CON007",
    title: "file permissions are sane",
    severity: Warning,
    provenance: Hygiene,
    why: "`unzip` keeps the modes: files that anyone may write, or that run with their owner's privileges. \
        A note if only their owner may read them, because pip and uv set the mode themselves.",
    source: "Info-ZIP; pip and uv keep only the executable bit.",
    fix: "`chmod a+r,go-w,ug-s` before the wheel is built; check the umask.",
    example: "sample-1.0-py3-none-any.whl: sample/x.py: mode 666: writable by anyone, or with a set-ID bit",
    check: Check::Wheel(readable),
    #[cfg(test)]
    fails: || {
        fixture::with(
            fixture::pure(),
            fixture::Member { mode: 0o100_666, ..fixture::Member::new("sample/x.py", "") },
        )
    },
};

fn readable(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    // Windows has no such modes; its tools write 666.
    let windows = |platform: &Platform| matches!(platform, Platform::Windows { .. });
    let platforms = dist.platforms();
    if !has_modes(wheel) || (!platforms.is_empty() && platforms.iter().all(windows)) {
        return out.not_applicable();
    }
    for member in wheel.members.iter().filter(|member| !member.is_dir()) {
        if let Some(mode) = member.mode.filter(|mode| mode & 0o7002 != 0 && !member.is_symlink()) {
            out.at(
                &member.name,
                format!("mode {:o}: writable by anyone, or with a set-ID bit", mode & 0o7777),
            );
        } else if let Some(mode) = member.mode.filter(|mode| mode & 0o777 != 0 && mode & 0o444 != 0o444) {
            out.with_severity(Note).at(&member.name, format!("mode {:o}", mode & 0o7777));
        }
    }
}

const LONG: Rule = Rule {
    id: "CON009",
    title: "paths are short enough for Windows",
    severity: Warning,
    provenance: BreaksInstall,
    why: "Below a deep directory, they exceed Windows' limit of 260 characters.",
    source: CWC,
    fix: "Use shorter names.",
    example: "sample-1.0-py3-none-any.whl: more than 200 characters: `sample/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.py`",
    check: Check::Wheel(long),
    #[cfg(test)]
    fails: || fixture::plus(&format!("sample/{}.py", "x".repeat(200)), ""),
};

fn long(_: &Dist, wheel: &Wheel, out: &mut Findings) {
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
