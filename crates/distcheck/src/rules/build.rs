//! `SDI`, continued: whether a source distribution can be built.

use std::collections::BTreeSet;

use pydist::member_path::{directory, join};
use pydist::name::ProjectName;
use toml::{Table, Value};

use crate::dist::{Dist, Sdist};
#[cfg(test)]
use crate::fixture;
use crate::rule::Provenance::{BreaksInstall, BreaksRelease};
use crate::rule::Severity::{Error, Warning};
use crate::rule::{Check, Findings, Rule};

pub(super) static RULES: &[Rule] = &[PARSES, IDENTITY, CARGO, MODES];

const PARSES: Rule = Rule {
    id: "SDI009",
    title: "pyproject.toml is valid TOML",
    severity: Error,
    provenance: BreaksInstall,
    why: "Installers stop before the build.",
    source: "PEP 518; TOML 1.0.",
    fix: "Fix the syntax; a build backend that reads the file would have failed too.",
    example: "sample-1.0.tar.gz: pyproject.toml: unclosed table, expected `]`",
    check: Check::Sdist(parses),
    #[cfg(test)]
    fails: || fixture::project("[build-system"),
};

fn parses(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    let Some(text) = &sdist.pyproject else { return out.not_applicable() };
    if let Err(error) = text.parse::<Table>() {
        out.found(format!("pyproject.toml: {}", error.message()));
    }
}

/// The table of `pyproject.toml`.
fn pyproject(sdist: &Sdist) -> Option<Table> {
    sdist.pyproject.as_ref()?.parse().ok()
}

fn at<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

const IDENTITY: Rule = Rule {
    id: "SDI010",
    title: "pyproject.toml and PKG-INFO name the same project and version",
    severity: Error,
    provenance: BreaksRelease,
    why: "Users build another version than the one that they requested.",
    source: "PEP 621, PEP 643.",
    fix: "Rebuild the source distribution after changing the version.",
    example: "sample-1.0.tar.gz: pyproject.toml has the version `2.0`, PKG-INFO `1.0`",
    check: Check::Sdist(identity),
    #[cfg(test)]
    fails: || fixture::project("[project]\nname = 'sample'\nversion = '2.0'\n"),
};

fn identity(dist: &Dist, sdist: &Sdist, out: &mut Findings) {
    let (Some(table), Some(metadata)) = (pyproject(sdist), dist.metadata()) else {
        return out.not_applicable();
    };
    if let Some(project) = at(&table, &["project", "name"]).and_then(Value::as_str)
        && ProjectName::new(project) != ProjectName::new(&metadata.name)
    {
        out.found(format!("pyproject.toml has the name `{project}`, PKG-INFO `{}`", metadata.name));
    }
    let parse = |text: &str| text.parse::<pep440_rs::Version>().ok();
    if let Some(version) = at(&table, &["project", "version"]).and_then(Value::as_str)
        && parse(version) != parse(&metadata.version)
    {
        out.found(format!("pyproject.toml has the version `{version}`, PKG-INFO `{}`", metadata.version));
    }
}

const CARGO: Rule = Rule {
    id: "SDI011",
    title: "the crate that maturin builds is in the archive",
    severity: Error,
    provenance: BreaksInstall,
    why: "Without Cargo.toml, or without a crate that it requires by path, the build fails on every machine \
        except the author's.",
    source: "maturin, \"Source distribution\"; Cargo, \"Specifying path dependencies\".",
    fix: "Build it with `maturin sdist`, which adds path dependencies; check `include` and `exclude` in `[tool.maturin]`.",
    example: "sample-1.0.tar.gz: expected `Cargo.toml`, found none",
    check: Check::Sdist(cargo),
    #[cfg(test)]
    fails: || fixture::project("[build-system]\nrequires = ['maturin']\nbuild-backend = 'maturin'\n"),
};

fn cargo(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    let (Some(table), Some(top)) = (pyproject(sdist), sdist.top()) else { return out.not_applicable() };
    if at(&table, &["build-system", "build-backend"]).and_then(Value::as_str) != Some("maturin") {
        return out.not_applicable();
    }
    let given = at(&table, &["tool", "maturin", "manifest-path"]).and_then(Value::as_str);
    let manifest = if let Some(path) = given {
        join(&top, path)
    } else {
        // maturin looks beside pyproject.toml, then in `rust` and the package.
        let depth = |path: &&String| path.matches('/').count();
        sdist.cargo.keys().filter(|path| depth(path) <= 3).min_by_key(depth).cloned()
    };
    let Some(manifest) = manifest.filter(|manifest| sdist.cargo.contains_key(manifest)) else {
        return out.found(format!("expected `{}`, found none", given.unwrap_or("Cargo.toml")));
    };
    let (mut left, mut seen) = (vec![manifest.clone()], BTreeSet::from([manifest]));
    while let Some(manifest) = left.pop() {
        let Some(table) = sdist.cargo.get(&manifest).and_then(|text| text.parse::<Table>().ok()) else {
            out.at(&manifest, "it is not valid TOML");
            continue;
        };
        for (dependency, path) in path_dependencies(&table) {
            let next = join(directory(&manifest), &format!("{path}/Cargo.toml"));
            match next.filter(|next| sdist.cargo.contains_key(next)) {
                Some(next) if seen.insert(next.clone()) => left.push(next),
                Some(_) => {}
                None => out.at(
                    &manifest,
                    format!("it requires `{dependency}` from the path `{path}`, which is not in the archive"),
                ),
            }
        }
    }
}

/// The crates that a manifest requires by path.
fn path_dependencies(table: &Table) -> Vec<(String, String)> {
    let kinds = ["dependencies", "build-dependencies", "dev-dependencies"];
    let targets = table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(table).chain(targets.filter_map(Value::as_table));
    let required = tables.flat_map(|table| kinds.iter().filter_map(move |kind| table.get(*kind)?.as_table()));
    required
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.get("path")?.as_str()?.to_owned())))
        .collect()
}

const MODES: Rule = Rule {
    id: "SDI012",
    title: "file permissions are sane",
    severity: Warning,
    provenance: BreaksInstall,
    why: "Not every extractor corrects them: files that their owner cannot read stop the build, and set-user-ID \
        bits grant privileges.",
    source: "PEP 706, \"data\" filter.",
    fix: "`chmod u+rw,ug-s` before the archive is made; check the umask.",
    example: "sample-1.0.tar.gz: sample-1.0/x.py: mode 4755 has a set-ID bit",
    check: Check::Sdist(modes),
    #[cfg(test)]
    fails: || fixture::source(|archive| fixture::add_with_mode(archive, "sample-1.0/x.py", b"", 0o4755)),
};

fn modes(_: &Dist, sdist: &Sdist, out: &mut Findings) {
    for member in &sdist.members {
        let Some(mode) = member.mode.map(|mode| mode & 0o7777) else { continue };
        if mode & 0o6000 != 0 {
            out.at(&member.name, format!("mode {mode:o} has a set-ID bit"));
        } else if mode & 0o400 == 0 && !member.is_symlink() {
            out.at(&member.name, format!("mode {mode:o}: its owner cannot read it"));
        } else if member.is_dir() && mode & 0o100 == 0 {
            out.at(&member.name, format!("mode {mode:o}: the directory cannot be entered"));
        }
    }
}
