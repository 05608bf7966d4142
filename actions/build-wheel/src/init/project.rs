//! The packages of a repository, and the Pythons that each supports.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pep440_rs::{Version, VersionSpecifiers};
use toml::{Table, Value};
use toolkit::FileError;

use super::bindings::{Bindings, bindings};
use super::error::InitError;

/// A package of the repository.
#[derive(Debug, Clone)]
pub(super) struct Package {
    /// `project.name`, or the crate's.
    pub(super) name: String,
    /// Its directory relative to the repository, `.` for the root.
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

/// The packages and settings of a repository.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) root: PathBuf,
    /// The packages, those with Rust first.
    pub(super) packages: Vec<Package>,
    /// Whether uv builds the packages without Rust.
    pub(super) is_uv: bool,
    /// Whether `pyproject.toml` configures verify-dist.
    pub(super) has_verify_settings: bool,
    /// The attribute of the flake that builds the wheel.
    pub(super) flake_attr: Option<String>,
    /// The requirements file, with hashes, of the build tools.
    pub(super) requirements: Option<String>,
    /// Errors in a `pyproject.toml` that is not a valid package.
    pub(super) errors: Vec<InitError>,
}

/// The supported versions of CPython, as of November 2026.
const PYTHONS: [&str; 5] = ["3.10", "3.11", "3.12", "3.13", "3.14"];

/// The ids of the other jobs.
const JOBS: [&str; 6] = ["wheels", "sdist", "sdists", "python", "verify", "publish"];

/// Directories that are not searched for packages.
const SKIPPED_DIRS: [&str; 8] =
    ["target", "node_modules", "venv", "vendor", "third_party", "dist", "build", "tests"];

impl Project {
    /// Inspects the repository at `root`.
    pub(super) fn find(root: &Path, flake_attr: Option<&str>) -> Result<Self, InitError> {
        let top = read_toml(&root.join("pyproject.toml"))?.unwrap_or_default();
        let workspace = workspace_members(&top);
        let mut directories: BTreeSet<String> = BTreeSet::new();
        if is_package(&top) {
            directories.insert(".".to_owned());
        }
        let mut errors = Vec::new();
        if directories.is_empty() || workspace.is_some() {
            search(root, &mut directories, &mut errors);
        }
        let mut packages = Vec::new();
        for directory in &directories {
            match Package::read(root, directory) {
                Ok(found) => packages.extend(found),
                // One of several may be a template.
                Err(error) => errors.push(error),
            }
        }
        packages.sort_by_key(|package| package.bindings == Bindings::Pure);
        if !packages.iter().any(|package| package.bindings != Bindings::Pure) && !errors.is_empty() {
            return Err(errors.swap_remove(0));
        }
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
        let root = root.to_owned();
        Ok(Self { root, packages, is_uv, has_verify_settings, flake_attr, requirements, errors })
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
fn search(root: &Path, found: &mut BTreeSet<String>, errors: &mut Vec<InitError>) {
    let is_searched = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || !name.starts_with('.') && !SKIPPED_DIRS.contains(&&*name)
    };
    let walk = walkdir::WalkDir::new(root).min_depth(1).max_depth(4).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(is_searched).filter_map(Result::ok) {
        if entry.file_name() != "pyproject.toml" {
            continue;
        }
        let pyproject = match read_toml(entry.path()) {
            Ok(Some(pyproject)) => pyproject,
            Ok(None) => continue,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let directory = entry.path().parent().and_then(|path| path.strip_prefix(root).ok());
        if let Some(directory) = directory.filter(|_| is_package(&pyproject)) {
            let text = directory.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
            found.insert(if text.is_empty() { ".".to_owned() } else { text });
        }
    }
}

impl Package {
    fn read(root: &Path, directory: &str) -> Result<Option<Self>, InitError> {
        let path = if directory == "." { root.to_owned() } else { root.join(directory) };
        let Some(pyproject) = read_toml(&path.join("pyproject.toml"))? else { return Ok(None) };
        let backend = backend_of(&pyproject);
        let maturin = pyproject.get("tool").and_then(|tool| tool.get("maturin"));
        let manifest = maturin.and_then(|maturin| maturin.get("manifest-path")).and_then(Value::as_str);
        let manifest = path.join(manifest.unwrap_or("Cargo.toml"));
        let cargo = read_toml(&manifest)?;
        if cargo.is_none() && backend == "maturin" {
            let pyproject = path.join("pyproject.toml");
            return Err(InitError::NoManifest { manifest, pyproject });
        }
        let cargo = cargo.unwrap_or_default();
        if backend == "maturin" && !cargo.contains_key("package") {
            let pyproject = path.join("pyproject.toml");
            return Err(InitError::NoCrate { manifest, pyproject });
        }
        let workspace = workspace_manifest(&manifest)?;
        let bindings =
            if backend == "maturin" { bindings(maturin, &cargo, &workspace) } else { Bindings::Pure };
        let name = project_field(&pyproject, "name").and_then(Value::as_str);
        let name = name.or_else(|| cargo.get("package")?.get("name")?.as_str()).unwrap_or_default();
        if !pydist::name::is_valid(name) {
            let path = path.join("pyproject.toml");
            return Err(InitError::Name { path, name: name.chars().filter(|c| !c.is_control()).collect() });
        }
        let name = name.to_owned();
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

    /// The id of its job, which no other job has.
    pub(super) fn job(&self, taken: &[String]) -> String {
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' };
        let key = |name: &str| -> String { name.chars().map(plain).collect() };
        let last = self.directory.rsplit('/').next().filter(|name| *name != ".").unwrap_or(&self.name);
        let is_free = |key: &String| {
            key.starts_with(|c: char| c.is_ascii_lowercase())
                && !JOBS.contains(&key.as_str())
                && !taken.contains(key)
        };
        let names = [key(last), key(&self.name), format!("wheels-of-{}", key(&self.name))];
        let numbered = (2_u32..).map(|number| format!("wheels-of-{}-{number}", key(&self.name)));
        names.into_iter().chain(numbered).find(is_free).unwrap_or_default()
    }
}

/// The manifest of a crate's workspace; empty if there is none.
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

/// The minor version in `3.12` or `3.14t`.
fn minor(version: &str) -> Option<u32> {
    let digits = version.trim().strip_prefix("3.")?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Whether a `requires-python` allows Python 3 of this minor version.
fn allows(requires: &str, version: u32) -> bool {
    let Ok(specifiers) = requires.parse::<VersionSpecifiers>() else { return true };
    // With any patch release.
    (0..50).any(|patch| specifiers.contains(&Version::new([3, u64::from(version), patch])))
}

/// The attribute of a flake with `wheel` in its name.
fn flake_wheel(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let names = text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(|line| {
        let (name, _) = line.split_once('=')?;
        let name = name.trim().rsplit('.').next()?.trim_matches('"');
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        (is_name && name.contains("wheel")).then(|| name.to_owned())
    });
    // The shortest one: `wheel` before `wheel-aarch64-linux`.
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
    fn requires_python_selects_the_versions() {
        assert_eq!(pythons(""), PYTHONS);
        assert_eq!(pythons(">=3.12"), ["3.12", "3.13", "3.14"]);
        assert_eq!(pythons(">=3.8, <3.13"), ["3.10", "3.11", "3.12"]);
        assert_eq!(pythons("~=3.13"), ["3.13", "3.14"]);
        assert_eq!(pythons(">3.10.4,!=3.12.*,<3.14"), ["3.10", "3.11", "3.13"]);
        assert_eq!(pythons("==3.12.*"), ["3.12"]);
        assert_eq!(pythons("what is this"), PYTHONS);
    }
}
