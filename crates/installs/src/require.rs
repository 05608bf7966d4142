//! Environments that must get a wheel: `alpine-3.20 aarch64 cp312`.

use crate::environment::{Environment, Python, Runtime, known};
use crate::matrix::{Cell, Matrix};
use crate::names::{self, Cells};
use pydist::name::ProjectName;
use pydist::target::{System, Target};

/// A required environment: system, architecture and Python; `*` in each matches
/// any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    text: String,
    /// The environments and Pythons that it names, by their indices in [`known`].
    pub cells: Cells,
}

/// Why a requirement matches no environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// Not three words.
    #[error(
        "expected a system, an architecture and a Python, such as `alpine-3.20 aarch64 cp312`, found `{0}`"
    )]
    Form(String),
    /// Unknown system.
    #[error("unknown system `{0}`, expected one of {1}")]
    System(String, String),
    /// Unknown architecture of the system.
    #[error("`{0}` has no architecture `{1}`; it has {2}")]
    Arch(String, String, String),
    /// Unknown Python.
    #[error("unknown Python `{0}`, expected one of {1}")]
    Python(String, String),
    /// The environment has no such Python.
    #[error("there is no {0} for `{1}`")]
    Absent(String, String),
}

/// A required environment that gets no wheel.
#[derive(Debug)]
pub struct Unmet {
    /// The project.
    pub project: ProjectName,
    /// The requirement, as written.
    pub requirement: String,
    /// The environments and Pythons without a wheel.
    pub cells: Cells,
    /// The outcome there: `sdist`, `nothing`, `wheel, but does not load`.
    pub outcome: &'static str,
    /// The inputs to pass to build-wheel; `None` if it does not support the environment.
    pub build: Option<Build>,
}

/// The inputs for build-wheel that add the missing wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The target, such as `aarch64-unknown-linux-musl`.
    pub target: Target,
    /// `musllinux_1_2`: the newest that all of the environments accept. `None` for Windows,
    /// whose tags have no version.
    pub compatibility: Option<String>,
}

impl std::str::FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [system, arch, python] = words[..] else { return Err(RequirementError::Form(text.to_owned())) };
        let rows = rows(system, arch)?;
        let columns = columns(python)?;
        let known = known();
        let pairs = rows.iter().flat_map(|row| columns.iter().map(move |column| (*row, *column)));
        let cells: Cells =
            pairs.filter(|(row, column)| known.environments[*row].has(&known.pythons[*column])).collect();
        if cells.is_empty() {
            return Err(RequirementError::Absent(python.to_owned(), format!("{system} {arch}")));
        }
        Ok(Self { text: text.to_owned(), cells })
    }
}

/// The indices of the environments that match a system and an architecture.
fn rows(system: &str, arch: &str) -> Result<Vec<usize>, RequirementError> {
    let known = &known().environments;
    let of_system: Vec<usize> = (0..known.len()).filter(|row| is_system(&known[*row], system)).collect();
    if of_system.is_empty() {
        let all = known.iter().map(|environment| environment.system.as_str());
        return Err(RequirementError::System(system.to_owned(), list(all)));
    }
    let rows: Vec<usize> = of_system.iter().copied().filter(|row| is_arch(&known[*row], arch)).collect();
    if rows.is_empty() {
        let archs = of_system.iter().map(|row| known[*row].arch.as_str());
        return Err(RequirementError::Arch(system.to_owned(), arch.to_owned(), list(archs)));
    }
    Ok(rows)
}

/// The indices of the Pythons that match a word.
fn columns(word: &str) -> Result<Vec<usize>, RequirementError> {
    let known = &known().pythons;
    let columns: Vec<usize> = (0..known.len()).filter(|column| is_python(&known[*column], word)).collect();
    if columns.is_empty() {
        let all = known.iter().map(|python| python.name.as_str());
        return Err(RequirementError::Python(word.to_owned(), list(all)));
    }
    Ok(columns)
}

/// Unique words, in order.
fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for word in words {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen.join(", ")
}

/// AlmaLinux and Rocky are rebuilds of RHEL.
fn is_system(environment: &Environment, word: &str) -> bool {
    let rebuilt = |family: &str| Some(format!("rhel-{}", word.strip_prefix(family)?));
    let of_rhel = ["alma-", "almalinux-", "rocky-"].into_iter().find_map(rebuilt);
    matches(of_rhel.as_deref().unwrap_or(word), &environment.system)
}

/// Accepts the common aliases, such as `arm64` for Linux's `aarch64`.
fn is_arch(environment: &Environment, word: &str) -> bool {
    let is_64_bit_arm = |arch: &str| arch == "arm64" || arch == "aarch64";
    let alias = match word {
        "amd64" | "x64" | "intel" => "x86_64",
        "i386" if environment.runtime != Runtime::Windows => "i686",
        "armv7" | "armhf" => "armv7l",
        "ppc64el" => "ppc64le",
        word if is_64_bit_arm(word) && is_64_bit_arm(&environment.arch) => &environment.arch,
        word => word,
    };
    matches(alias, &environment.arch)
}

fn is_python(python: &Python, word: &str) -> bool {
    matches(word, &python.name) || matches(word, &python.title)
}

/// Whether `text` matches `pattern`, in which `*` matches any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(tail, &rest[at..]))
}

impl Requirement {
    /// The requirement, as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the requirement is not met, by outcome.
    pub fn unmet(&self, matrix: &Matrix) -> Vec<Unmet> {
        let mut unmet: Vec<Unmet> = Vec::new();
        for (row, column) in &self.cells {
            let cell = matrix.cell(*row, *column);
            if matches!(cell, Cell::Wheel(_) | Cell::Absent) {
                continue;
            }
            let build = build(&known().environments[*row]);
            let target = |build: &Option<Build>| build.as_ref().map(|build| build.target);
            let same =
                |other: &&mut Unmet| other.outcome == cell.word() && target(&other.build) == target(&build);
            if let Some(found) = unmet.iter_mut().find(same) {
                found.cells.insert((*row, *column));
                // The oldest system decides.
                let older = build.and_then(|build| build.compatibility);
                let compatibility = found.build.as_mut().and_then(|build| build.compatibility.as_mut());
                if let (Some(compatibility), Some(older)) = (compatibility, older)
                    && version(&older) < version(compatibility)
                {
                    *compatibility = older;
                }
                continue;
            }
            unmet.push(Unmet {
                project: matrix.project.clone(),
                requirement: self.text.clone(),
                cells: Cells::from([(*row, *column)]),
                outcome: cell.word(),
                build,
            });
        }
        unmet
    }
}

impl Unmet {
    /// The message for reports.
    pub fn text(&self) -> String {
        format!(
            "`{}` requires a wheel of `{}` for {}, found {}",
            self.requirement,
            self.project,
            names::cells(&self.cells),
            self.outcome
        )
    }
}

/// The numbers at the end of a compatibility: `[1, 2]` for `musllinux_1_2`.
fn version(compatibility: &str) -> Vec<u32> {
    compatibility.split('_').filter_map(|part| part.parse().ok()).collect()
}

/// The inputs of build-wheel for an environment.
fn build(environment: &Environment) -> Option<Build> {
    let (system, compatibility) = match &environment.runtime {
        Runtime::Glibc(major, minor) => (System::Gnu, Some(format!("manylinux_{major}_{minor}"))),
        Runtime::Musl(major, minor) => (System::Musl, Some(format!("musllinux_{major}_{minor}"))),
        Runtime::Macos(major, _) => (System::Macos, Some(format!("macosx_{major}_0"))),
        Runtime::Windows => (System::Msvc, None),
        Runtime::Pyodide(_) => return None,
    };
    let is_arch = |target: &Target| [target.arch.tag(), target.tag_arch()].contains(&&*environment.arch);
    let target = Target::all().find(|target| target.system == system && is_arch(target))?;
    Some(Build { target, compatibility })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_environments_by_name_and_alias() {
        let count = |text: &str| text.parse::<Requirement>().unwrap().cells.len();
        assert_eq!(count("alpine-3.20 aarch64 cp312"), 1);
        assert_eq!(count("alma-8 amd64 3.12"), 1);
        assert_eq!(count("macos-14 aarch64 3.13t"), 1);
        assert_eq!(count("alpine-* x86_64 cp31*"), 6 * 9);
        assert_eq!(count("debian-* arm64 pp311"), 3);
    }

    #[test]
    fn errors_list_the_known_names() {
        let error = |text: &str| text.parse::<Requirement>().unwrap_err().to_string();
        assert!(error("alpine-3.20 aarch64").contains("found `alpine-3.20 aarch64`"));
        assert!(error("alpin-3.20 aarch64 cp312").contains("alpine-3.23"));
        assert!(error("rhel-8 riscv64 cp312").contains("it has x86_64, aarch64, ppc64le, s390x"));
        assert!(error("rhel-8 x86_64 cp399").contains("cp315t"));
        assert!(error("alpine-3.20 x86_64 pp311").contains("no pp311 for `alpine-3.20 x86_64`"));
    }

    #[test]
    fn every_environment_except_pyodide_and_alpine_s390x_has_a_target() {
        let without = |environment: &&Environment| build(environment).is_none();
        let names: Vec<String> =
            known().environments.iter().filter(without).map(ToString::to_string).collect();
        let is_expected = |name: &String| {
            // build-wheel has no musl target for s390x.
            name.starts_with("pyodide-") || name.starts_with("alpine-") && name.ends_with(" s390x")
        };
        assert!(names.iter().all(is_expected), "{names:?}");
        let target = |name: &str| {
            let environment = known().environments.iter().find(|one| one.to_string() == name).unwrap();
            build(environment).unwrap().target.triple()
        };
        for (name, triple) in [
            ("debian-12 s390x", "s390x-unknown-linux-gnu"),
            ("debian-12 i686", "i686-unknown-linux-gnu"),
            ("debian-12 armv7l", "armv7-unknown-linux-gnueabihf"),
            ("macos-14 arm64", "aarch64-apple-darwin"),
            ("windows x86_64", "x86_64-pc-windows-msvc"),
            ("windows x86", "i686-pc-windows-msvc"),
            ("windows arm64", "aarch64-pc-windows-msvc"),
        ] {
            assert_eq!(target(name), triple, "{name}");
        }
    }
}
