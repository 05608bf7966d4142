//! Inspects the files, without a request.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

use blake2::{Blake2b256, Digest as _};
use distcheck::{Limits, Selection, Set, Severity};
use index::Index;
use pydist::digest;
use pydist::filename::DistName;
use pydist::manifest::Manifest;
use pydist::metadata::Metadata;
use pydist::name::{self, ProjectName};
use sha2::Sha256;
use toolkit::{FileError, Ui};

use crate::advice::{Advice, Problem};
use crate::archive;
use crate::error::Error;
use crate::inputs::Files;
use crate::paths::FoundFiles;

/// A distribution to publish.
#[derive(Debug, Clone)]
pub struct Dist {
    /// Where it is.
    pub path: PathBuf,
    /// Its file name.
    pub filename: String,
    /// Its parsed file name.
    pub name: DistName,
    /// The project's normalised name.
    pub project: ProjectName,
    /// The version from the metadata.
    pub version: String,
    /// In bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// BLAKE2b with 32 bytes of output, lower-case hexadecimal.
    pub blake2: String,
    /// Its core metadata.
    pub metadata: Metadata,
    /// The normalised names of the required projects.
    pub requires: BTreeSet<ProjectName>,
}

/// The distributions, and the warnings of the rules.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) dists: Vec<Dist>,
    pub(crate) warnings: Vec<String>,
}

/// Reads and checks all distributions, and reports all problems at once. With
/// `gate`, they must also pass PyPI's checks.
pub(crate) fn inspect(
    files: &Files,
    found_files: &FoundFiles,
    gate: Option<&Index>,
    ui: &Ui,
) -> Result<Inspected, Error> {
    let mut problems = Vec::new();
    let (mut dists, mut warnings) = (Vec::new(), Vec::new());
    for read in toolkit::parallel(found_files.dists.len(), |n| read(&found_files.dists[n])) {
        match read? {
            Ok(dist) => dists.push(dist),
            Err(problem) => problems.push(problem),
        }
    }
    match &files.manifest {
        Some(path) => bind(&dists, path, files.manifest_sha256.as_deref(), &mut problems, ui)?,
        None => ui.warning("no manifest (`manifest: none`): these files have not been verified"),
    }
    duplicates(&dists, &mut problems);
    if let Some(index) = gate {
        warnings = apply_gate(&found_files.dists, index, &mut problems)?;
    }
    if problems.is_empty() { Ok(Inspected { dists, warnings }) } else { Err(Error::Inspect(problems)) }
}

/// Rejects what PyPI and TestPyPI would reject after half of the release is
/// uploaded, by verify-dist's rules. Returns the warnings.
fn apply_gate(paths: &[PathBuf], index: &Index, problems: &mut Vec<Problem>) -> Result<Vec<String>, Error> {
    let dists = distcheck::scan(paths, &Limits::default(), toolkit::cores().min(8))?;
    let verdict = distcheck::check(&Set { dists: &dists, ..Set::default() }, &Selection::Gate);
    let mut warnings = Vec::new();
    for finding in &verdict.findings {
        let file = finding.file.clone().unwrap_or_else(|| "the set".to_owned());
        let member = finding.member.as_ref().map(|member| format!("`{member}`: ")).unwrap_or_default();
        let what = format!("{member}{} ({})", finding.message, finding.rule);
        match finding.severity {
            Severity::Error => {
                let what = format!("{index} rejects it: {what}");
                problems.push(Problem { file, what, advice: Advice::RuleErrors });
            }
            Severity::Warning => warnings.push(format!("{file}: {what}")),
            Severity::Note => {}
        }
    }
    Ok(warnings)
}

fn read(path: &Path) -> Result<Result<Dist, Problem>, Error> {
    let filename = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut file = File::open(path).map_err(FileError::new("read", path))?;
    let (mut sha256, mut blake2, mut size) = (Sha256::new(), Blake2b256::new(), 0);
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let count = file.read(&mut buffer).map_err(FileError::new("read", path))?;
        if count == 0 {
            break;
        }
        sha256.update(&buffer[..count]);
        blake2.update(&buffer[..count]);
        size += count as u64;
    }
    file.rewind().map_err(FileError::new("read", path))?;
    let problem = |what: String| Problem { file: filename.clone(), what, advice: Advice::Fix };
    let found = || -> Result<Dist, Problem> {
        let name: DistName = filename.parse().map_err(|error| problem(format!("{error}")))?;
        let bytes = archive::metadata(&file, &name).map_err(|error| problem(error.to_string()))?;
        let metadata = Metadata::parse(&bytes).map_err(|error| problem(format!("its metadata: {error}")))?;
        let (project, version) = (name.project(), metadata.version.clone());
        if ProjectName::new(&metadata.name) != project {
            return Err(problem(format!(
                "its metadata names `{}`, its file name `{project}`",
                metadata.name
            )));
        }
        let same = |text: &str| text.parse::<pep440_rs::Version>().ok();
        if same(&version) != same(&name.version().replace('_', "-")) {
            return Err(problem(format!(
                "its metadata has version {version}, its file name {}",
                name.version()
            )));
        }
        let requires = metadata.requires_dist().filter_map(required).collect();
        let (sha256, blake2) = (digest::hex(&sha256.finalize()), digest::hex(&blake2.finalize()));
        let (path, filename) = (path.to_owned(), filename.clone());
        Ok(Dist { path, filename, name, project, version, size, sha256, blake2, metadata, requires })
    };
    Ok(found())
}

/// The normalised name of a requirement (PEP 508), unless it belongs to an extra:
/// extras do not affect the upload order.
fn required(requirement: &str) -> Option<ProjectName> {
    let requirement = requirement.trim();
    if requirement.split_once(';').is_some_and(|(_, marker)| names_extra(marker)) {
        return None;
    }
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    let text = &requirement[..end.unwrap_or(requirement.len())];
    name::is_valid(text).then(|| ProjectName::new(text))
}

/// Whether a marker compares the variable `extra`.
fn names_extra(marker: &str) -> bool {
    // Outside of quotes: every other part.
    let outside = marker.split(['\'', '"']).step_by(2);
    outside
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .any(|word| word == "extra")
}

/// Checks that each file is in the manifest with the same bytes, and that each
/// file of these releases in the manifest is present.
fn bind(
    dists: &[Dist],
    path: &Path,
    expected: Option<&str>,
    problems: &mut Vec<Problem>,
    ui: &Ui,
) -> Result<(), Error> {
    let bytes = std::fs::read(path).map_err(FileError::new("read", path))?;
    let found = digest::hex(&digest::sha256(&bytes));
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(Error::ManifestHash { path: path.to_owned(), expected: expected.to_owned(), found });
    }
    let manifest =
        Manifest::parse(&bytes).map_err(|source| Error::Manifest { path: path.to_owned(), source })?;
    for dist in dists {
        let what = match manifest.file(&dist.filename) {
            None => "it is not in the manifest, so it was not verified".to_owned(),
            Some(entry) if entry.sha256 != dist.sha256 => {
                format!("its sha256 is {}, the manifest has {}", dist.sha256, entry.sha256)
            }
            Some(entry) if entry.size != dist.size => {
                format!("it has {} bytes, the manifest has {}", dist.size, entry.size)
            }
            Some(entry) if !agrees(dist, &entry.package, &entry.version) => {
                format!("the manifest lists it as {} {}", entry.package, entry.version)
            }
            Some(_) => continue,
        };
        problems.push(Problem { file: dist.filename.clone(), what, advice: Advice::Verify });
    }
    let left =
        manifest.files.iter().filter(|entry| !dists.iter().any(|dist| dist.filename == entry.filename));
    // A package may be published alone, but only as a whole.
    let (lost, later): (Vec<_>, Vec<_>) =
        left.partition(|entry| dists.iter().any(|dist| dist.project == ProjectName::new(&entry.package)));
    for entry in lost {
        let what = "it is in the manifest, but missing here".to_owned();
        problems.push(Problem { file: entry.filename.clone(), what, advice: Advice::Verify });
    }
    if !later.is_empty() {
        let names = later.iter().map(|entry| entry.filename.as_str()).collect::<Vec<_>>().join(", ");
        ui.warning(format!("the manifest also names packages that are not published now: {names}"));
    }
    Ok(())
}

/// Whether a manifest's package and version match the file.
fn agrees(dist: &Dist, package: &str, version: &str) -> bool {
    let parsed = |text: &str| text.replace('_', "-").parse::<pep440_rs::Version>().ok();
    ProjectName::new(package) == dist.project && parsed(version) == parsed(&dist.version)
}

/// Reports files with the same name, and files with the same bytes.
fn duplicates(dists: &[Dist], problems: &mut Vec<Problem>) {
    let (mut names, mut hashes) = (BTreeMap::new(), BTreeMap::new());
    for dist in dists {
        let what = if let Some(path) = names.insert(&dist.filename, dist.path.display()) {
            format!("duplicate of `{path}`")
        } else if let Some(other) = hashes.insert(&dist.sha256, &dist.filename) {
            format!("it has the same bytes as `{other}`; an index accepts them under one name only")
        } else {
            continue;
        };
        problems.push(Problem { file: dist.filename.clone(), what, advice: Advice::Verify });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A distribution in memory.
    pub(crate) fn dist(filename: &str, extra: &str) -> Dist {
        let name: DistName = filename.parse().unwrap();
        let text =
            format!("Metadata-Version: 2.4\nName: {}\nVersion: {}\n{extra}", name.project(), name.version());
        let metadata = Metadata::parse(text.as_bytes()).unwrap();
        Dist {
            path: filename.into(),
            filename: filename.to_owned(),
            project: name.project(),
            version: name.version().to_owned(),
            name,
            size: 3,
            sha256: digest::hex(&digest::sha256(filename.as_bytes())),
            blake2: String::new(),
            requires: metadata.requires_dist().filter_map(required).collect(),
            metadata,
        }
    }

    #[test]
    fn finds_the_name_of_a_requirement() {
        let name = |text| required(text).unwrap();
        assert_eq!(name("htty-core==0.3.0"), "htty-core");
        assert_eq!(name("Foo_Bar[x]>=1; python_version < '3'"), "foo-bar");
        assert_eq!(name("a@ https://x.example/a.whl"), "a");
        assert_eq!(required("(broken)"), None);
        assert_eq!(required("a; extra == 'all'"), None);
        assert_eq!(required("a; python_version > '3' and 'x' == extra"), None);
        assert_eq!(name("a; platform_version == 'extra'"), "a");
    }
}
