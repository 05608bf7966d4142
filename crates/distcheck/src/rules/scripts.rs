//! `MET` and `CON`, continued: entry points and scripts.

use pydist::member_path::directory;
use pydist::store::is_store_path;
use std::collections::BTreeSet;

use crate::dist::{Dist, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRuntime, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule};

pub(super) static RULES: &[Rule] = &[READABLE, ENTRY_POINTS, FOREIGN, SHEBANG];

const SPECIFICATION: &str = "PyPA \"Entry points specification\".";

const READABLE: Rule = Rule {
    id: "MET025",
    title: "the index can read entry_points.txt",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI rejects a file that is not UTF-8 or not in INI format, duplicate groups and names, and names of \
        commands with characters other than letters, digits, `_`, `.` and `-`.",
    source: "Warehouse, `utils/wheel.py`.",
    fix: "Check the names in `[project.scripts]`, `[project.gui-scripts]` and `[project.entry-points]`.",
    example: "sample-1.0-py3-none-any.whl: entry_points.txt: `a b` is not the name of a command",
    check: Check::Wheel(readable),
    #[cfg(test)]
    fails: || {
        fixture::plus("sample-1.0.dist-info/entry_points.txt", "[console_scripts]\na b = sample:main\n")
    },
};

fn readable(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    match &wheel.entry_points {
        None => out.not_applicable(),
        Some(Err(error)) => out.found(format!("entry_points.txt: {error}")),
        Some(Ok(found)) => {
            let plain = |c: char| c.is_alphanumeric() || "_.-".contains(c);
            for entry in found.entries.iter().filter(|entry| entry.is_script()) {
                if !entry.name.chars().all(plain) {
                    out.found(format!("entry_points.txt: `{}` is not the name of a command", entry.name));
                }
            }
        }
    }
}

const ENTRY_POINTS: Rule = Rule {
    id: "MET014",
    title: "entry points are valid and their targets are in the wheel",
    severity: Error,
    provenance: BreaksInstall,
    why: "A command for a missing module fails with an ImportError.",
    source: SPECIFICATION,
    fix: "Check `[project.scripts]`: `name = \"package.module:function\"`.",
    example: "sample-1.0-py3-none-any.whl: entry_points.txt: `a b:c` is not the path of an object",
    check: Check::Wheel(entry_points),
    #[cfg(test)]
    fails: || fixture::plus("sample-1.0.dist-info/entry_points.txt", "[console_scripts]\nx = a b:c\n"),
};

fn is_path(path: &str) -> bool {
    path.split('.').all(|part| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

fn entry_points(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(Ok(found)) = &wheel.entry_points else { return out.not_applicable() };
    let members: BTreeSet<&str> = wheel.members.iter().map(|member| member.name.as_str()).collect();
    let tops: BTreeSet<&str> = members.iter().filter_map(|name| name.split(['/', '.']).next()).collect();
    for entry in &found.entries {
        let (name, target, module) = (&entry.name, &entry.target, entry.module());
        if entry.is_script() && entry.object().is_none() {
            out.found(format!("entry_points.txt: expected `{name} = module:function`, found `{target}`"));
        } else if !is_path(module) || entry.object().is_some_and(|object| !is_path(object)) {
            out.found(format!("entry_points.txt: `{target}` is not the path of an object"));
        } else if entry.is_script() {
            // Only modules of packages in this wheel can be checked.
            let path = module.replace('.', "/");
            let top = module.split('.').next().unwrap_or(module);
            let here = |name: &&str| {
                name.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['/', '.']))
            };
            let moved = |name: &&str| name.contains(".data/") && name.contains(&format!("/{path}"));
            if tops.contains(top) && !members.iter().any(|name| here(name) || moved(name)) {
                out.found(format!("entry_points.txt: `{name}` runs `{module}`, which is not in the wheel"));
            }
        }
    }
}

const FOREIGN: Rule = Rule {
    id: "MET019",
    title: "commands run modules in the wheel",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "The module may come from a requirement; otherwise the command fails with an ImportError.",
    source: SPECIFICATION,
    fix: "Check `[project.scripts]`, and that the backend packs the module.",
    example: "sample-1.0-py3-none-any.whl: entry_points.txt: `x` runs `gone`, but `gone` is not in the wheel",
    check: Check::Wheel(foreign),
    #[cfg(test)]
    fails: || fixture::plus("sample-1.0.dist-info/entry_points.txt", "[console_scripts]\nx = gone:main\n"),
};

fn foreign(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let Some(Ok(found)) = &wheel.entry_points else { return out.not_applicable() };
    let tops: BTreeSet<&str> = wheel
        .members
        .iter()
        .filter_map(|member| {
            let name = member.name.as_str();
            let lib = name.split_once(".data/").and_then(|(_, rest)| rest.split_once("lib/"));
            lib.map_or(name, |(_, rest)| rest).split(['/', '.']).next()
        })
        .collect();
    for entry in found.entries.iter().filter(|entry| entry.is_script()) {
        let (module, name) = (entry.module(), &entry.name);
        let top = module.split('.').next().unwrap_or_default();
        if is_path(module) && !tops.contains(top) {
            out.found(format!("entry_points.txt: `{name}` runs `{module}`, but `{top}` is not in the wheel"));
        }
    }
}

/// The directories of programs on every system.
const PROGRAMS: [&str; 5] = ["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"];

const SHEBANG: Rule = Rule {
    id: "CON016",
    title: "scripts have an interpreter that users have",
    severity: Error,
    provenance: BreaksRuntime,
    why: "The first line names a program of the build machine. Installers replace only `#!python`.",
    source: "PyPA \"Binary distribution format\", \"Recommended installer features\"; execve(2).",
    fix: "Write `#!python` in the first line of scripts in `.data/scripts`, or use an entry point.",
    example: "sample-1.0-py3-none-any.whl: sample-1.0.data/scripts/tool: the first line is `#!/home/me/venv/bin/python`",
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

fn shebang(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    let mut any = false;
    for member in wheel.members.iter().filter(|member| member.name.contains(".data/scripts/")) {
        let Some(line) = member.shebang.as_deref() else { continue };
        any = true;
        let program = line.trim_start_matches("#!").trim_start().split(' ').next().unwrap_or_default();
        let dir = directory(program);
        let python = ["python", "pythonw"].contains(&program);
        // NIX003 reports store paths.
        if !python && !PROGRAMS.contains(&dir) && !is_store_path(program) {
            out.at(&member.name, format!("the first line is `{line}`"));
        } else if line.contains('\r') {
            out.at(
                &member.name,
                "the first line ends in a carriage return, which Unix treats as part of the name",
            );
        }
    }
    if !any {
        out.not_applicable();
    }
}
