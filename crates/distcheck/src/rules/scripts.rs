//! `MET` and `CON`, continued: what a wheel starts, by entry points and
//! scripts.

use std::collections::BTreeSet;

use crate::facts::{Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRuntime};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Out, Rule};

pub(super) static RULES: &[Rule] = &[ENTRY_POINTS, FOREIGN, SHEBANG];

const ENTRY_POINTS: Rule = Rule {
    id: "MET014",
    title: "entry points are valid and their targets are in the wheel",
    severity: Error,
    provenance: BreaksInstall,
    why: "A command that names a missing module starts with an ImportError.",
    source: "PyPA \"Entry points specification\".",
    fix: "Check `[project.scripts]`: `name = \"package.module:function\"`.",
    example: "",
    check: Check::Wheel(entry_points),
    #[cfg(test)]
    fails: || fixture::plus("sample-1.0.dist-info/entry_points.txt", "[console_scripts]\nx = a b:c\n"),
};

fn entry_points(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let Some(text) = &wheel.entry_points else { return out.not_applicable() };
    let members: BTreeSet<&str> = wheel.members.iter().map(|member| member.name.as_str()).collect();
    let tops: BTreeSet<&str> = members.iter().filter_map(|name| name.split(['/', '.']).next()).collect();
    let (mut group, mut seen) = (String::new(), BTreeSet::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.trim().clone_into(&mut group);
            continue;
        }
        let Some((name, target)) = line.split_once('=').filter(|_| !group.is_empty()) else {
            out.found(format!("entry_points.txt: `{line}` is neither a group nor `name = target`"));
            continue;
        };
        let (name, target) = (name.trim(), target.split('[').next().unwrap_or_default().trim());
        if !seen.insert((group.clone(), name.to_owned())) {
            out.found(format!("entry_points.txt: `{name}` stands twice in [{group}]"));
        }
        let (module, attribute) = target
            .split_once(':')
            .map_or((target, None), |(module, attribute)| (module.trim(), Some(attribute.trim())));
        let is_path = |path: &str| {
            !path.is_empty()
                && path.split('.').all(|part| {
                    !part.is_empty()
                        && !part.starts_with(|c: char| c.is_ascii_digit())
                        && part.chars().all(|c| c.is_alphanumeric() || c == '_')
                })
        };
        let script = ["console_scripts", "gui_scripts"].contains(&group.as_str());
        if script && (attribute.is_none() || name.is_empty() || name.contains(['/', '\\'])) {
            out.found(format!("entry_points.txt: `{line}` is not `name = module:function`"));
        } else if !is_path(module) || attribute.is_some_and(|attribute| !is_path(attribute)) {
            out.found(format!("entry_points.txt: `{target}` is not the path of an object"));
        } else if script {
            // Only a module of a package that is here can be looked up.
            let path = module.replace('.', "/");
            let top = module.split('.').next().unwrap_or(module);
            let here = |name: &&str| {
                name.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['/', '.']))
            };
            let moved = |name: &&str| name.contains(".data/") && name.contains(&format!("/{path}"));
            if tops.contains(top) && !members.iter().any(|name| here(name) || moved(name)) {
                out.found(format!("entry_points.txt: `{name}` starts `{module}`, which is not in the wheel"));
            }
        }
    }
}

const FOREIGN: Rule = Rule {
    id: "MET019",
    title: "commands start modules of the wheel",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "The module may come from a requirement; otherwise the command starts with an ImportError.",
    source: "PyPA \"Entry points specification\".",
    fix: "Check `[project.scripts]`, and that the backend packs the module.",
    example: "",
    check: Check::Wheel(foreign),
    #[cfg(test)]
    fails: || fixture::plus("sample-1.0.dist-info/entry_points.txt", "[console_scripts]\nx = gone:main\n"),
};

fn foreign(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let Some(text) = &wheel.entry_points else { return out.not_applicable() };
    let tops: BTreeSet<&str> = wheel
        .members
        .iter()
        .filter_map(|member| {
            let name = member.name.as_str();
            let lib = name.split_once(".data/").and_then(|(_, rest)| rest.split_once("lib/"));
            lib.map_or(name, |(_, rest)| rest).split(['/', '.']).next()
        })
        .collect();
    let mut script = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            script = ["[console_scripts]", "[gui_scripts]"].contains(&line);
            continue;
        }
        let Some((name, target)) = line.split_once('=').filter(|_| script) else { continue };
        let module = target.split([':', '[']).next().unwrap_or_default().trim();
        let top = module.split('.').next().unwrap_or_default();
        if !top.is_empty() && !top.contains(' ') && !tops.contains(top) {
            out.found(format!(
                "entry_points.txt: `{}` starts `{module}`, and there is no `{top}` in the wheel",
                name.trim()
            ));
        }
    }
}

/// Folders in which every system keeps its programs.
const PROGRAMS: [&str; 5] = ["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"];

const SHEBANG: Rule = Rule {
    id: "CON016",
    title: "scripts are started by a program that users have",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The first line names a program of the build machine. Installers replace `#!python` alone.",
    source: "PyPA \"Binary distribution format\", \"Recommended installer features\"; execve(2).",
    fix: "Write `#!python` in the first line of scripts in `.data/scripts`, or use an entry point.",
    example: "",
    check: Check::Wheel(shebang),
    #[cfg(test)]
    fails: || {
        let name = format!("{}/scripts/tool", fixture::DATA);
        fixture::with(
            fixture::pure(),
            fixture::Member::new(name, "#!/home/me/venv/bin/python\n").executable(),
        )
    },
};

fn shebang(_: &Dist, wheel: &Wheel, out: &mut Out) {
    let mut any = false;
    for member in wheel.members.iter().filter(|member| member.name.contains(".data/scripts/")) {
        let Some(line) = member.shebang.as_deref() else { continue };
        any = true;
        let program = line.trim_start_matches("#!").trim_start().split(' ').next().unwrap_or_default();
        let folder = program.rsplit_once('/').map_or("", |(folder, _)| folder);
        let python = ["python", "pythonw"].contains(&program);
        // The store is NIX003's.
        if !python && !PROGRAMS.contains(&folder) && !program.starts_with("/nix/store/") {
            out.at(&member.name, format!("the first line is `{line}`"));
        } else if line.contains('\r') {
            out.at(
                &member.name,
                "the first line ends in a carriage return, which Unix takes for a part of the name",
            );
        }
    }
    if !any {
        out.not_applicable();
    }
}
