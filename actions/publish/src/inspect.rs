//! The files themselves, before anyone is asked anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

use blake2::{Blake2b256, Digest as _};
use pydist::digest;
use pydist::filename::DistName;
use pydist::manifest::Manifest;
use pydist::metadata::Metadata;
use pydist::name;
use sha2::Sha256;
use toolkit::{FileError, Ui};

use crate::archive;
use crate::error::{Error, Fault};
use crate::index::Index;
use crate::inputs::Inputs;

/// The most that PyPI takes in one file, in bytes, unless a project was given
/// more (its documentation, "File size limit").
const LARGEST: u64 = 100 * 1024 * 1024;
/// The newest metadata that Warehouse accepts.
const METADATA: [u64; 2] = [2, 5];

/// A distribution that is to be published.
#[derive(Debug, Clone)]
pub struct Dist {
    /// Where it is.
    pub path: PathBuf,
    /// Its name without folder.
    pub filename: String,
    /// Its name, understood.
    pub name: DistName,
    /// The project's normalised name.
    pub project: String,
    /// The version as the metadata has it.
    pub version: String,
    /// In bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// BLAKE2b with 32 bytes of output, lower-case hexadecimal.
    pub blake2: String,
    /// Its core metadata.
    pub metadata: Metadata,
    /// The normalised names of the projects that it requires.
    pub requires: BTreeSet<String>,
}

/// Reads and checks all distributions; every fault is told at once.
pub fn inspect(inputs: &Inputs, ui: &Ui) -> Result<Vec<Dist>, Error> {
    let (paths, others) = gather(&inputs.paths)?;
    if !others.is_empty() {
        ui.warning(format!("not published, as they are no distributions: {}", others.join(", ")));
    }
    if paths.is_empty() {
        return Err(Error::Nothing(inputs.paths.clone()));
    }
    let mut faults = Vec::new();
    let mut dists = Vec::new();
    for path in &paths {
        match read(path)? {
            Ok(dist) => dists.push(dist),
            Err(fault) => faults.push(fault),
        }
    }
    match &inputs.manifest {
        Some(path) => bind(&dists, path, inputs.manifest_sha256.as_deref(), &mut faults, ui)?,
        None => ui.warning("no manifest (`manifest: none`): nothing has verified what is published"),
    }
    twins(&dists, &mut faults);
    if inputs.index.known.is_some() {
        for dist in &dists {
            limits(dist, &inputs.index, &mut faults);
        }
    }
    if faults.is_empty() { Ok(dists) } else { Err(Error::Inspect(faults)) }
}

/// The files named, and the distributions in the folders named; what else is
/// in those.
fn gather(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<String>), Error> {
    let (mut files, mut others) = (BTreeSet::new(), Vec::new());
    for path in paths {
        if !path.is_dir() {
            files.insert(path.clone());
            continue;
        }
        for entry in std::fs::read_dir(path).map_err(FileError::new("read", path))? {
            let entry = entry.map_err(FileError::new("read", path))?.path();
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            if entry.is_file() && (name.ends_with(".whl") || name.ends_with(".tar.gz")) {
                files.insert(entry);
            } else {
                others.push(format!("`{}`", entry.display()));
            }
        }
    }
    others.sort();
    Ok((files.into_iter().collect(), others))
}

fn read(path: &Path) -> Result<Result<Dist, Fault>, Error> {
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
    let fault = |what: String| Fault { file: filename.clone(), what };
    let found = || -> Result<Dist, Fault> {
        let name: DistName = filename.parse().map_err(|error| fault(format!("{error}")))?;
        let bytes = archive::metadata(&file, &name).map_err(|error| fault(error.to_string()))?;
        let metadata = Metadata::parse(&bytes).map_err(|error| fault(format!("its metadata: {error}")))?;
        let (project, version) = (name.project(), metadata.version.clone());
        if name::normalize(&metadata.name) != project {
            return Err(fault(format!("its metadata is of `{}`, its name of `{project}`", metadata.name)));
        }
        let same = |text: &str| text.parse::<pep440_rs::Version>().ok();
        if same(&version) != same(&name.version().replace('_', "-")) {
            return Err(fault(format!("its metadata has version {version}, its name {}", name.version())));
        }
        let requires = metadata.requires_dist().filter_map(required).collect();
        let (sha256, blake2) = (digest::hex(&sha256.finalize()), digest::hex(&blake2.finalize()));
        let (path, filename) = (path.to_owned(), filename.clone());
        Ok(Dist { path, filename, name, project, version, size, sha256, blake2, metadata, requires })
    };
    Ok(found())
}

/// The normalised name at the start of a requirement (PEP 508).
fn required(requirement: &str) -> Option<String> {
    let requirement = requirement.trim();
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    let text = &requirement[..end.unwrap_or(requirement.len())];
    name::is_valid(text).then(|| name::normalize(text))
}

/// Each file must be in the manifest, with the same bytes, and each file that
/// the manifest has of these releases must be here.
fn bind(
    dists: &[Dist],
    path: &Path,
    expected: Option<&str>,
    faults: &mut Vec<Fault>,
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
            None => "it is not in the manifest, so nothing has verified it".to_owned(),
            Some(entry) if entry.sha256 != dist.sha256 => {
                format!("its sha256 is {}, the manifest has {}", dist.sha256, entry.sha256)
            }
            Some(entry) if entry.size != dist.size => {
                format!("it has {} bytes, the manifest says {}", dist.size, entry.size)
            }
            Some(entry) if !agrees(dist, &entry.package, &entry.version) => {
                format!("the manifest has it under {} {}", entry.package, entry.version)
            }
            Some(_) => continue,
        };
        faults.push(Fault { file: dist.filename.clone(), what });
    }
    let left =
        manifest.files.iter().filter(|entry| !dists.iter().any(|dist| dist.filename == entry.filename));
    // A package may be published by itself, and only as a whole.
    let (lost, later): (Vec<_>, Vec<_>) =
        left.partition(|entry| dists.iter().any(|dist| dist.project == name::normalize(&entry.package)));
    for entry in lost {
        let what = "it is in the manifest, but not here: the release would lack it".to_owned();
        faults.push(Fault { file: entry.filename.clone(), what });
    }
    if !later.is_empty() {
        let names = later.iter().map(|entry| entry.filename.as_str()).collect::<Vec<_>>().join(", ");
        ui.warning(format!("the manifest names packages that are not published now: {names}"));
    }
    Ok(())
}

/// Whether a manifest's package and version are those of the file.
fn agrees(dist: &Dist, package: &str, version: &str) -> bool {
    let parsed = |text: &str| text.replace('_', "-").parse::<pep440_rs::Version>().ok();
    name::normalize(package) == dist.project && parsed(version) == parsed(&dist.version)
}

/// Two files with one name, or two names for the same bytes.
fn twins(dists: &[Dist], faults: &mut Vec<Fault>) {
    let (mut names, mut hashes) = (BTreeMap::new(), BTreeMap::new());
    for dist in dists {
        let what = if let Some(path) = names.insert(&dist.filename, dist.path.display()) {
            format!("it is given twice, also as `{path}`")
        } else if let Some(other) = hashes.insert(&dist.sha256, &dist.filename) {
            format!("it has the same bytes as `{other}`; an index takes them under one name only")
        } else {
            continue;
        };
        faults.push(Fault { file: dist.filename.clone(), what });
    }
}

/// What PyPI and TestPyPI would refuse once half of the release is there.
fn limits(dist: &Dist, index: &Index, faults: &mut Vec<Fault>) {
    let mut fault =
        |what: String| faults.push(Fault { file: dist.filename.clone(), what: format!("{index} {what}") });
    if dist.size > LARGEST {
        fault(format!("takes files up to {LARGEST} bytes, this one has {}", dist.size));
    }
    let newest = pep440_rs::Version::new(METADATA);
    let found = &dist.metadata.metadata_version;
    if found.parse::<pep440_rs::Version>().map_or(true, |version| version > newest) {
        fault(format!("takes metadata up to version {newest}, this one has {found}"));
    }
    if dist.version.contains('+') {
        fault(format!("takes no local versions, this one is {}", dist.version));
    }
    let platforms = dist.name.wheel().map(|wheel| wheel.tags.platform.as_slice()).unwrap_or_default();
    if let Some(tag) = platforms.iter().find(|tag| tag.starts_with("linux_")) {
        fault(format!("takes no wheels for `{tag}`; build for a manylinux or musllinux tag"));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A distribution that exists in memory alone.
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
    fn the_name_of_a_requirement_is_found() {
        let name = |text| required(text).unwrap();
        assert_eq!(name("htty-core==0.3.0"), "htty-core");
        assert_eq!(name("Foo_Bar[x]>=1; python_version < '3'"), "foo-bar");
        assert_eq!(name("a@ https://x.example/a.whl"), "a");
        assert_eq!(required("(broken)"), None);
    }

    #[test]
    fn what_pypi_refuses_is_known_before() {
        let index = Index::parse("pypi", None, false).unwrap();
        let check = |dist: &Dist| {
            let mut faults = Vec::new();
            limits(dist, &index, &mut faults);
            faults.into_iter().map(|fault| fault.what).collect::<String>()
        };
        assert_eq!(check(&dist("a-1-py3-none-manylinux_2_17_x86_64.whl", "")), "");
        assert!(check(&dist("a-1-py3-none-linux_x86_64.whl", "")).contains("`linux_x86_64`"));
        assert!(check(&dist("a-1+x-py3-none-any.whl", "")).contains("local versions"));
        assert!(
            check(&Dist { size: LARGEST + 1, ..dist("a-1.tar.gz", "") }).contains("up to 104857600 bytes")
        );
        let mut new = dist("a-1.tar.gz", "");
        new.metadata.metadata_version = "2.6".to_owned();
        assert!(check(&new).contains("up to version 2.5"));
    }
}
