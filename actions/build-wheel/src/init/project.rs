//! The packages of a repository: what each is built from, and for which
//! Pythons.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use toolkit::FileError;

use super::error::InitError;

/// What a package is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bindings {
    /// A wheel for each Python.
    PerPython,
    /// A module in the stable ABI: one wheel for all Pythons.
    Abi3,
    /// A program, cffi or uniffi: one wheel for all Pythons.
    AnyPython,
    /// No Rust.
    Pure,
}

impl Bindings {
    /// In words.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::PerPython => "an extension module, one wheel for each Python",
            Self::Abi3 => "an extension module in the stable ABI",
            Self::AnyPython => "a program or a library, one wheel for all Pythons",
            Self::Pure => "no Rust",
        }
    }
}

/// A package of the repository.
#[derive(Debug, Clone)]
pub(super) struct Package {
    /// `project.name`, or the crate's.
    pub(super) name: String,
    /// Its directory below the repository, `.` for the repository itself.
    pub(super) directory: String,
    pub(super) bindings: Bindings,
    /// The Pythons that it supports, such as `3.12`.
    pub(super) pythons: Vec<String>,
    /// `project.requires-python`.
    pub(super) requires_python: String,
    /// Whether it requires other packages.
    pub(super) has_requirements: bool,
    /// The PEP 517 backend.
    pub(super) backend: String,
    pub(super) pyproject: Table,
}

/// What is in a repository.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) root: PathBuf,
    /// Those with Rust first.
    pub(super) packages: Vec<Package>,
    /// Whether uv builds the packages without Rust.
    pub(super) is_uv: bool,
    /// Whether `pyproject.toml` configures verify-dist.
    pub(super) has_verify_settings: bool,
    /// The attribute of the flake that builds the wheel.
    pub(super) flake_attr: Option<String>,
    /// The requirements file, with hashes, that installs the build tools.
    pub(super) requirements: Option<String>,
}

/// The versions of CPython that are supported in November 2026.
const PYTHONS: [&str; 5] = ["3.10", "3.11", "3.12", "3.13", "3.14"];

/// Directories that hold no packages of the repository's own.
const OTHERS: [&str; 8] =
    ["target", "node_modules", "venv", "vendor", "third_party", "dist", "build", "tests"];

impl Project {
    /// Looks at the repository at `root`.
    pub(super) fn find(root: &Path, flake_attr: Option<&str>) -> Result<Self, InitError> {
        let top = read_toml(&root.join("pyproject.toml"))?.unwrap_or_default();
        let workspace = workspace_members(&top);
        let mut directories: BTreeSet<String> = BTreeSet::new();
        if is_package(&top) {
            directories.insert(".".to_owned());
        }
        if directories.is_empty() || workspace.is_some() {
            search(root, &mut directories)?;
        }
        let mut packages = Vec::new();
        for directory in &directories {
            packages.extend(Package::read(root, directory)?);
        }
        packages.sort_by_key(|package| package.bindings == Bindings::Pure);
        if packages.is_empty() {
            return Err(InitError::NoPackage(root.to_owned()));
        }
        let is_uv = workspace.is_some() || root.join("uv.lock").is_file();
        let flake_attr = match flake_attr {
            Some(attr) => Some(attr.to_owned()),
            None => flake_wheel(&root.join("flake.nix")),
        };
        if packages.iter().all(|package| package.bindings == Bindings::Pure) && flake_attr.is_none() {
            return Err(InitError::NoRust(root.to_owned()));
        }
        let has_verify_settings = top.get("tool").is_some_and(|tool| tool.get("verify-dist").is_some());
        let requirements = requirements(root);
        Ok(Self { root: root.to_owned(), packages, is_uv, has_verify_settings, flake_attr, requirements })
    }

    /// The packages that are built from Rust.
    pub(super) fn native(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.bindings != Bindings::Pure)
    }
}

fn is_package(pyproject: &Table) -> bool {
    pyproject.contains_key("build-system") && project_field(pyproject, "name").is_some()
        || backend_of(pyproject) == "maturin"
}

fn project_field<'t>(pyproject: &'t Table, name: &str) -> Option<&'t Value> {
    pyproject.get("project")?.get(name)
}

fn backend_of(pyproject: &Table) -> String {
    let backend = pyproject.get("build-system").and_then(|table| table.get("build-backend"));
    backend.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn workspace_members(pyproject: &Table) -> Option<&Value> {
    pyproject.get("tool")?.get("uv")?.get("workspace")
}

/// Adds the directories of packages, down to the third level.
fn search(root: &Path, found: &mut BTreeSet<String>) -> Result<(), InitError> {
    let is_searched = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !name.starts_with('.') && !OTHERS.contains(&&*name)
    };
    let walk = walkdir::WalkDir::new(root).min_depth(1).max_depth(4).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(is_searched).filter_map(Result::ok) {
        if entry.file_name() != "pyproject.toml" {
            continue;
        }
        let Some(pyproject) = read_toml(entry.path())? else { continue };
        let directory = entry.path().parent().and_then(|path| path.strip_prefix(root).ok());
        if let Some(directory) = directory.filter(|_| is_package(&pyproject)) {
            let text = directory.to_string_lossy().into_owned();
            found.insert(if text.is_empty() { ".".to_owned() } else { text });
        }
    }
    Ok(())
}

impl Package {
    fn read(root: &Path, directory: &str) -> Result<Option<Self>, InitError> {
        let path = root.join(directory);
        let Some(pyproject) = read_toml(&path.join("pyproject.toml"))? else { return Ok(None) };
        let backend = backend_of(&pyproject);
        let maturin = pyproject.get("tool").and_then(|tool| tool.get("maturin"));
        let manifest = maturin.and_then(|maturin| maturin.get("manifest-path")).and_then(Value::as_str);
        let manifest = path.join(manifest.unwrap_or("Cargo.toml"));
        let cargo = read_toml(&manifest)?.unwrap_or_default();
        let workspace = workspace_manifest(&manifest)?;
        let bindings =
            if backend == "maturin" { bindings(maturin, &cargo, &workspace) } else { Bindings::Pure };
        let name = project_field(&pyproject, "name").and_then(Value::as_str);
        let name =
            name.or_else(|| cargo.get("package")?.get("name")?.as_str()).unwrap_or("project").to_owned();
        let requires =
            project_field(&pyproject, "requires-python").and_then(Value::as_str).unwrap_or_default();
        let has_requirements = project_field(&pyproject, "dependencies")
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty());
        let (directory, pythons) = (directory.to_owned(), pythons(requires));
        let requires_python = requires.to_owned();
        Ok(Some(Self {
            name,
            directory,
            bindings,
            pythons,
            requires_python,
            has_requirements,
            backend,
            pyproject,
        }))
    }

    /// Whether it allows a Python such as `3.14t` or `pypy3.11`.
    pub(super) fn allows(&self, python: &str) -> bool {
        let version = python.strip_prefix("pypy").unwrap_or(python);
        minor(version).is_none_or(|minor| allows(&self.requires_python, minor))
    }

    /// Its name as the key of a job.
    pub(super) fn job(&self) -> String {
        let last = self.directory.rsplit('/').next().filter(|name| *name != ".").unwrap_or(&self.name);
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' };
        last.chars().map(plain).collect()
    }
}

/// What maturin makes of a crate: what `[tool.maturin]` says, else what it
/// depends on.
fn bindings(maturin: Option<&Value>, cargo: &Table, workspace: &Table) -> Bindings {
    match maturin.and_then(|maturin| maturin.get("bindings")).and_then(Value::as_str) {
        Some("bin" | "cffi" | "uniffi") => return Bindings::AnyPython,
        Some("pyo3-ffi" | "pyo3" | "rust-cpython") => {
            return if is_abi3(maturin, cargo, workspace) { Bindings::Abi3 } else { Bindings::PerPython };
        }
        _ => {}
    }
    let depends = |name: &str| dependencies(cargo).any(|table| table.get(name).is_some());
    if depends("pyo3") || depends("pyo3-ffi") {
        if is_abi3(maturin, cargo, workspace) { Bindings::Abi3 } else { Bindings::PerPython }
    } else {
        // A program, or a library for cffi or uniffi.
        Bindings::AnyPython
    }
}

/// The tables of dependencies: that of all targets, and those of some.
fn dependencies(cargo: &Table) -> impl Iterator<Item = &Value> {
    let targets = cargo.get("target").and_then(Value::as_table).into_iter().flatten();
    let of_targets = targets.filter_map(|(_, table)| table.get("dependencies"));
    cargo.get("dependencies").into_iter().chain(of_targets)
}

/// Whether a feature `abi3…` of pyo3 is on: in the dependency, in the
/// workspace's, or by a feature of the crate.
fn is_abi3(maturin: Option<&Value>, cargo: &Table, workspace: &Table) -> bool {
    let features = |list: Option<&Value>| -> Vec<String> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let of_dependency = |table: Option<&Value>, name: &str| {
        features(table.and_then(|table| table.get(name)).and_then(|pyo3| pyo3.get("features")))
    };
    let shared = workspace.get("workspace").and_then(|table| table.get("dependencies"));
    let mut on: Vec<String> = Vec::new();
    for name in ["pyo3", "pyo3-ffi"] {
        for own in dependencies(cargo) {
            on.extend(of_dependency(Some(own), name));
            if own.get(name).and_then(|pyo3| pyo3.get("workspace")).is_some() {
                on.extend(of_dependency(shared, name));
            }
        }
    }
    // Features of the crate that are on, and those that they turn on.
    let table = cargo.get("features");
    let mut enabled = vec!["default".to_owned()];
    enabled.extend(features(maturin.and_then(|maturin| maturin.get("features"))));
    for _ in 0..8 {
        let implied: Vec<String> =
            enabled.iter().flat_map(|name| features(table.and_then(|table| table.get(name)))).collect();
        enabled.extend(implied);
        enabled.sort();
        enabled.dedup();
    }
    on.extend(enabled);
    on.iter().any(|feature| feature.rsplit('/').next().is_some_and(|name| name.starts_with("abi3")))
}

/// The manifest of the workspace that a crate is in; empty where there is
/// none.
fn workspace_manifest(manifest: &Path) -> Result<Table, InitError> {
    for directory in manifest.ancestors().skip(1).take(5) {
        if let Some(table) = read_toml(&directory.join("Cargo.toml"))?
            && table.contains_key("workspace")
        {
            return Ok(table);
        }
    }
    Ok(Table::new())
}

/// The supported versions that a `requires-python` allows.
fn pythons(requires: &str) -> Vec<String> {
    let allowed =
        PYTHONS.iter().filter(|version| minor(version).is_some_and(|minor| allows(requires, minor)));
    allowed.map(|version| (*version).to_owned()).collect()
}

/// The minor version of `3.12`, `3.14t` or `3.*`.
fn minor(version: &str) -> Option<u32> {
    let digits = version.trim().strip_prefix("3.")?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Whether a `requires-python` allows Python 3 of this minor version.
fn allows(requires: &str, version: u32) -> bool {
    requires.split(',').map(str::trim).all(|clause| {
        if let Some(bound) = clause.strip_prefix(">=").or_else(|| clause.strip_prefix("~=")) {
            minor(bound).is_none_or(|bound| version >= bound)
        } else if let Some(bound) = clause.strip_prefix("<=") {
            minor(bound).is_none_or(|bound| version <= bound)
        } else if let Some(bound) = clause.strip_prefix('<') {
            minor(bound).is_none_or(|bound| version < bound)
        } else if let Some(bound) = clause.strip_prefix('>') {
            minor(bound).is_none_or(|bound| version > bound)
        } else {
            true
        }
    })
}

/// The attribute with `wheel` in its name that a flake assigns.
fn flake_wheel(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let names = text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(|line| {
        let (name, _) = line.split_once('=')?;
        let name = name.trim().rsplit('.').next()?.trim_matches('"');
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        (is_name && name.contains("wheel")).then(|| name.to_owned())
    });
    // The shortest: `wheel` before `wheel-aarch64-linux`.
    names.min_by_key(String::len)
}

/// A requirements file with hashes that installs maturin.
fn requirements(root: &Path) -> Option<String> {
    let places = [
        super::names::REQUIREMENTS,
        "requirements.txt",
        "requirements-release.txt",
        "requirements-build.txt",
        "requirements/release.txt",
        "requirements/build.txt",
        ".github/requirements.txt",
    ];
    let is_pinned = |place: &&str| {
        let text = std::fs::read_to_string(root.join(place)).unwrap_or_default();
        text.contains("--hash=sha256:") && text.lines().any(|line| line.starts_with("maturin=="))
    };
    places.into_iter().find(is_pinned).map(str::to_owned)
}

fn read_toml(path: &Path) -> Result<Option<Table>, InitError> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(FileError::new("read", path))?;
    let parsed = text.parse();
    parsed.map(Some).map_err(|source| InitError::Toml { path: path.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requires_python_chooses_the_versions() {
        assert_eq!(pythons(""), PYTHONS);
        assert_eq!(pythons(">=3.12"), ["3.12", "3.13", "3.14"]);
        assert_eq!(pythons(">=3.8, <3.13"), ["3.10", "3.11", "3.12"]);
        assert_eq!(pythons("~=3.13"), ["3.13", "3.14"]);
    }

    fn bindings_of(maturin: &str, cargo: &str) -> Bindings {
        let maturin: Table = maturin.parse().unwrap();
        let workspace = "[workspace.dependencies]\npyo3 = { version = '1', features = ['abi3-py39'] }";
        let maturin = Value::Table(maturin);
        bindings(Some(&maturin), &cargo.parse().unwrap(), &workspace.parse().unwrap())
    }

    #[test]
    fn the_manifests_tell_the_bindings() {
        for (maturin, cargo, expected) in [
            ("", "[dependencies]\npyo3 = '1'", Bindings::PerPython),
            ("", "[dependencies]\npyo3 = { version = '1', features = ['abi3-py310'] }", Bindings::Abi3),
            ("", "[dependencies]\npyo3 = { workspace = true }", Bindings::Abi3),
            (
                "features = ['stable']",
                "[dependencies]\npyo3 = '1'\n[features]\nstable = ['pyo3/abi3-py38']",
                Bindings::Abi3,
            ),
            ("", "[dependencies]\npyo3 = '1'\n[features]\nstable = ['pyo3/abi3-py38']", Bindings::PerPython),
            (
                "",
                "[dependencies]\npyo3 = '1'\n[features]\ndefault = ['x']\nx = ['pyo3/abi3']",
                Bindings::Abi3,
            ),
            (
                "",
                "[target.'cfg(not(target_family = \"wasm\"))'.dependencies]\npyo3 = { workspace = true }",
                Bindings::Abi3,
            ),
            ("", "[target.'cfg(unix)'.dependencies]\npyo3 = '1'", Bindings::PerPython),
            ("bindings = 'bin'", "", Bindings::AnyPython),
            ("bindings = 'cffi'", "", Bindings::AnyPython),
            ("", "[dependencies]\nuniffi = '1'", Bindings::AnyPython),
        ] {
            assert_eq!(bindings_of(maturin, cargo), expected, "{maturin} {cargo}");
        }
    }
}
