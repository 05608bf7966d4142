//! `SDI`: source distributions.

use std::collections::{BTreeMap, BTreeSet};

use pydist::filename::DistName;
use pydist::member_path::directory;
use pydist::tar::Kind;

use super::content;
use crate::dist::{Dist, Sdist};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, Hygiene, PypiRejects};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule, some};

const FORMAT: &str = "PyPA \"Source distribution format\" (PEP 517, 625, 706, 721).";

pub(super) static RULES: &[Rule] =
    &[TOP, PYPROJECT, LINKS, SPECIAL, BINARIES, BUILD_LEFTOVERS, STORE, DUPLICATES];

fn plain(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}

const TOP: Rule = Rule {
    id: "SDI001",
    title: "there is one top-level directory, with a PKG-INFO",
    severity: Error,
    provenance: PypiRejects,
    why: "PyPI looks for PKG-INFO in the one directory that holds all members. \
        A warning if the directory is not named `name-version`, as PEP 625 requires.",
    source: "Warehouse, `forklift/legacy.py`; PEP 625.",
    fix: "Let the build backend create the archive: `maturin sdist`, `python -m build --sdist`.",
    example: "sample-1.0.tar.gz: expected one directory at the top, found `other`, `sample-1.0`",
    check: Check::Sdist(top),
    #[cfg(test)]
    fails: || fixture::source(|archive| fixture::add(archive, "other/x.py", b"")),
};

fn top(dist: &Dist, sdist: &Sdist, out: &mut Findings) {
    let Some(top) = sdist.top() else {
        let tops: BTreeSet<&str> = sdist
            .members
            .iter()
            .map(|member| plain(&member.name).split('/').next().unwrap_or_default())
            .filter(|top| !top.is_empty())
            .collect();
        return out.found(format!("expected one directory at the top, found {}", some(tops)));
    };
    // The index compares exact names: not `./name-version/PKG-INFO`.
    let file = format!("{top}/PKG-INFO");
    if !sdist.members.iter().any(|member| member.name == file) {
        return out.found(format!("expected `{file}`, found none"));
    }
    let Ok(DistName::Sdist(name)) = &dist.name else { return };
    let expected = format!("{}-{}", name.name, name.version);
    if top != expected {
        out.with_severity(Warning).found(format!("expected the directory `{expected}`, found `{top}`"));
    }
}

const PYPROJECT: Rule = Rule {
    id: "SDI002",
    title: "there is a pyproject.toml",
    severity: Error,
    provenance: BreaksInstall,
    why: "Without it (or setup.py), there are no build instructions.",
    source: FORMAT,
    fix: "Add pyproject.toml with a `[build-system]`.",
    example: "sample-1.0.tar.gz: there is neither pyproject.toml nor setup.py",
    check: Check::Sdist(pyproject),
    #[cfg(test)]
    fails: || {
        let metadata = fixture::pure().metadata;
        let bytes =
            fixture::targz(|archive| fixture::add(archive, "sample-1.0/PKG-INFO", metadata.as_bytes()));
        ("sample-1.0.tar.gz".to_owned(), bytes).into()
    },
};

fn pyproject(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    let setup = sdist
        .members
        .iter()
        .any(|member| plain(&member.name).split_once('/').is_some_and(|(_, rest)| rest == "setup.py"));
    if sdist.pyproject.is_none() && !setup {
        out.found("there is neither pyproject.toml nor setup.py");
    }
}

const LINKS: Rule = Rule {
    id: "SDI003",
    title: "links stay inside the archive",
    severity: Error,
    provenance: BreaksInstall,
    why: "A link out of the directory can read or write the user's files; safe extractors reject it.",
    source: "PEP 706, PEP 721.",
    fix: "Replace the link with a copy of the file.",
    example: "sample-1.0.tar.gz: sample-1.0/link: a link to `/etc/passwd`, which is outside `sample-1.0`",
    check: Check::Sdist(links),
    #[cfg(test)]
    fails: || fixture::link(tar::EntryType::Symlink, "/etc/passwd"),
};

fn links(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    let symlinks: BTreeMap<&str, &str> = sdist
        .special
        .iter()
        .filter_map(|(index, kind)| match kind {
            Kind::Symlink(target) => Some((plain(&sdist.members[*index].name), target.as_str())),
            _ => None,
        })
        .collect();
    for (index, kind) in &sdist.special {
        let name = plain(&sdist.members[*index].name);
        let top = name.split('/').next().unwrap_or_default();
        let (target, path) = match kind {
            Kind::Symlink(target) => {
                let directory = directory(name);
                (target, format!("{directory}/{target}"))
            }
            // A hard link's target is a path from the archive's top.
            Kind::Hardlink(target) => (target, plain(target).to_owned()),
            _ => continue,
        };
        let inside = resolve(&path, &symlinks).is_some_and(|path| path.split('/').next() == Some(top));
        if target.starts_with('/') || !inside {
            out.at(&sdist.members[*index].name, format!("a link to `{target}`, which is outside `{top}`"));
        }
    }
}

/// Resolves a path through the archive's own links; `None` if it leaves the archive
/// or loops.
fn resolve(path: &str, symlinks: &BTreeMap<&str, &str>) -> Option<String> {
    let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut found: Vec<String> = Vec::new();
    let mut followed = 0;
    while let Some(part) = left.pop() {
        match part.as_str() {
            "" | "." => {}
            ".." => drop(found.pop()?),
            _ => {
                found.push(part);
                if let Some(target) = symlinks.get(found.join("/").as_str()) {
                    followed += 1;
                    if followed > 40 || target.starts_with('/') {
                        return None;
                    }
                    found.pop();
                    left.extend(target.split('/').rev().map(str::to_owned));
                }
            }
        }
    }
    Some(found.join("/"))
}

const SPECIAL: Rule = Rule {
    id: "SDI004",
    title: "there are only files, directories and links",
    severity: Error,
    provenance: PypiRejects,
    why: "Devices, pipes and sparse files cannot be extracted safely everywhere.",
    source: "PEP 721; Warehouse rejects sparse members.",
    fix: "Create the archive with `tarfile` or the build backend.",
    example: "sample-1.0.tar.gz: sample-1.0/link: a member of type `3`",
    check: Check::Sdist(special),
    #[cfg(test)]
    fails: || fixture::link(tar::EntryType::Char, "none"),
};

fn special(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    for (index, kind) in &sdist.special {
        let what = match kind {
            Kind::Sparse => "a sparse file".to_owned(),
            Kind::Special(kind) => format!("a member of type `{}`", char::from(*kind).escape_default()),
            _ => continue,
        };
        out.at(&sdist.members[*index].name, what);
    }
}

fn is_library(name: &str) -> bool {
    let end = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    ["so", "dylib", "pyd", "dll", "exe", "a", "o"].contains(&end.as_str()) || name.contains(".so.")
}

const BINARIES: Rule = Rule {
    id: "SDI005",
    title: "no binaries",
    severity: Warning,
    provenance: Hygiene,
    why: "Users import a stale binary of the author's machine instead of the one that they build.",
    source: "The known case of htty 0.2.25.",
    fix: "Exclude them: maturin `exclude = [\"**/*.so\"]` in `[tool.maturin]`, or delete them before the build.",
    example: "sample-1.0.tar.gz: sample-1.0/x.so: a binary",
    check: Check::Sdist(binaries),
    #[cfg(test)]
    fails: || {
        fixture::source(|archive| fixture::add(archive, "sample-1.0/x.so", &fixture::Elf::default().bytes()))
    },
};

fn binaries(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    for member in sdist.members.iter().filter(|member| member.binary.is_some()) {
        let test = member.name.split('/').any(|part| part.contains("test") || part == "fixtures");
        if !test {
            out.at(&member.name, "a binary");
        }
    }
}

const STORE: Rule = Rule {
    id: "SDI007",
    title: "no binary in a source distribution refers to the store",
    severity: Error,
    provenance: BreaksInstall,
    why: "A library with store paths, imported instead of the built one, does not load.",
    source: "The known case of htty 0.2.25.",
    fix: "Delete the binary; see SDI005 and NIX001.",
    example: "sample-1.0.tar.gz: sample-1.0/x.so: it holds `/nix/store/…-glibc-2.40/lib`",
    check: Check::Sdist(store),
    #[cfg(test)]
    fails: || {
        let library = fixture::elf(|elf| elf.runpath = Some(fixture::STORE.into())).bytes();
        fixture::source(|archive| fixture::add(archive, "sample-1.0/x.so", &library))
    },
};

fn store(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    for member in sdist.members.iter().filter(|member| member.binary.is_some() && is_library(&member.name)) {
        if !member.store_paths.is_empty() && !content::is_example(&member.name) {
            out.at(&member.name, format!("it holds {}", some(&member.store_paths)));
        }
    }
}

const BUILD_LEFTOVERS: Rule = Rule {
    id: "SDI006",
    title: "no caches, editor files or build directories",
    severity: Warning,
    provenance: Hygiene,
    why: "They belong to the author's machine.",
    source: "pydistcheck.",
    fix: "List them in .gitignore, or exclude them in the backend's configuration.",
    example: "sample-1.0.tar.gz: sample-1.0/.venv/x.cfg: a file of the author's machine",
    check: Check::Sdist(build_leftovers),
    #[cfg(test)]
    fails: || fixture::source(|archive| fixture::add(archive, "sample-1.0/.venv/x.cfg", b"")),
};

fn build_leftovers(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    for member in &sdist.members {
        let dir = member.name.split('/').nth(1).filter(|part| {
            ["target", "dist", "result"].contains(part) && member.name.matches('/').count() > 1
        });
        if content::is_build_leftover(&member.name) || dir.is_some() {
            out.at(&member.name, "a file of the author's machine");
        }
    }
}

const DUPLICATES: Rule = Rule {
    id: "SDI008",
    title: "no duplicate members",
    severity: Error,
    provenance: BreaksInstall,
    why: "Which of two members is extracted depends on the tool. A warning if they are identical.",
    source: FORMAT,
    fix: "Create the archive with the build backend.",
    example: "sample-1.0.tar.gz: sample-1.0/x.py: duplicate member",
    check: Check::Sdist(duplicates),
    #[cfg(test)]
    fails: || {
        fixture::source(|archive| {
            fixture::add(archive, "sample-1.0/x.py", b"1");
            fixture::add(archive, "sample-1.0/x.py", b"2");
        })
    },
};

fn duplicates(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    let mut seen = BTreeMap::new();
    for member in sdist.members.iter().filter(|member| !member.is_dir()) {
        let Some(first) = seen.insert(plain(&member.name), member) else { continue };
        if first.sha256.is_some() && first.sha256 == member.sha256 {
            out.with_severity(Warning).at(&member.name, "duplicate member with the same content");
        } else {
            out.at(&member.name, "duplicate member");
        }
    }
}
