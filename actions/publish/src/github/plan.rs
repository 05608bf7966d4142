//! The plan of a GitHub Release: its tag, notes and files. Makes no requests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pep440_rs::Version;
use pydist::digest;
use pydist::release_tag::ReleaseTag;
use sha2::{Digest as _, Sha256};
use toolkit::{Context, FileError};

use crate::attestation::{self, Attestations};
use crate::error::Error;
use crate::inputs::{Files, Release};
use crate::inspect::Dist;
use crate::paths;

/// A file of the release.
pub(crate) struct ReleaseFile {
    pub(crate) sha256: String,
    pub(crate) size: u64,
    pub(crate) content: Content,
    /// Whether an asset of this name with other bytes is accepted: attestations
    /// are verified on their own, and each run makes new ones.
    pub(crate) accepts_other_bytes: bool,
}

pub(crate) enum Content {
    Path(PathBuf),
    Bytes(Bytes),
}

/// The plan of a release.
pub struct ReleasePlan {
    pub(crate) repository: (String, String),
    pub(crate) tag: String,
    /// The version that the tag names, if it names one.
    pub(crate) tagged: Option<Version>,
    pub(crate) versions: Vec<String>,
    pub(crate) target: Option<String>,
    pub(crate) name: String,
    pub(crate) notes: String,
    pub(crate) prerelease: bool,
    pub(crate) files: BTreeMap<String, ReleaseFile>,
}

impl ReleasePlan {
    /// Plans the release from the inputs and files; makes no requests.
    pub(crate) fn new(
        inputs: &Release,
        files: &Files,
        attestations: Option<&Path>,
        context: &Context,
        dists: &[Dist],
    ) -> Result<Self, Error> {
        let missing = |what: &str| Error::ReleaseInput(what.to_owned());
        let repository = context.repository.as_deref().and_then(|name| name.split_once('/'));
        let repository =
            repository.ok_or_else(|| missing("`GITHUB_REPOSITORY` does not name a repository"))?;
        let tag = inputs.tag.as_deref().or(context.tag());
        let tag = tag.ok_or_else(|| missing("no `tag` is given, and no tag started this workflow"))?;
        if !is_tag(tag) {
            return Err(Error::ReleaseInput(format!("input `tag`: `{tag}` is not a valid tag name")));
        }
        let tagged = match (ReleaseTag::parse(tag, inputs.tag_prefix.as_deref()), &inputs.tag_prefix) {
            (Ok(tag), _) => Some(tag.version),
            (Err(_), None) => None,
            (Err(error), Some(_)) => return Err(Error::ReleaseInput(format!("input `tag-prefix`: {error}"))),
        };
        let version = released_version(tagged.as_ref(), dists);
        let mut plan = Self {
            repository: (repository.0.to_owned(), repository.1.to_owned()),
            tag: tag.to_owned(),
            tagged,
            versions: dists
                .iter()
                .map(|dist| dist.version.clone())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            target: inputs.target.clone().or_else(|| context.sha.clone()),
            name: inputs.name.clone().unwrap_or_else(|| tag.to_owned()),
            notes: notes(inputs, version)?,
            prerelease: dists
                .iter()
                .any(|dist| dist.version.parse::<Version>().is_ok_and(|version| version.any_prerelease())),
            files: BTreeMap::new(),
        };
        plan.add_files(inputs, files, attestations, dists)?;
        Ok(plan)
    }

    /// Adds the distributions with their attestations, the manifest, the extra assets
    /// and the checksums.
    fn add_files(
        &mut self,
        inputs: &Release,
        files: &Files,
        attestations: Option<&Path>,
        dists: &[Dist],
    ) -> Result<(), Error> {
        let mut sums = String::new();
        for dist in dists {
            sums.push_str(&format!("{}  {}\n", dist.sha256, dist.filename));
            let file = ReleaseFile {
                sha256: dist.sha256.clone(),
                size: dist.size,
                content: Content::Path(dist.path.clone()),
                accepts_other_bytes: false,
            };
            self.files.insert(dist.filename.clone(), file);
            for kind in ["publish", "slsa"] {
                let name = format!("{}.{kind}.attestation", dist.filename);
                let saved = attestations.map(|directory| directory.join(&name));
                if let Some(path) = saved.filter(|path| path.is_file()) {
                    self.add(&name, std::fs::read(&path).map_err(FileError::new("read", &path))?, true);
                }
            }
        }
        if let Some(path) = &files.manifest {
            let bytes = std::fs::read(path).map_err(FileError::new("read", path))?;
            self.add("dist-manifest.json", bytes, false);
        }
        for path in paths::any_files(&inputs.extra_assets)? {
            self.add_path(&path, &mut sums)?;
        }
        self.add("SHA256SUMS", sums.into_bytes(), false);
        Ok(())
    }

    /// Whether the tag names a version of what is released.
    pub(crate) fn is_tagged(&self) -> bool {
        let mut versions = self.versions.iter().filter_map(|version| version.parse::<Version>().ok());
        self.tagged.as_ref().is_some_and(|tagged| versions.any(|version| version == *tagged))
    }

    /// Adds an extra asset.
    fn add_path(&mut self, path: &Path, sums: &mut String) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if self.files.contains_key(&name) {
            return Err(Error::ReleaseInput(format!("input `extra-assets`: duplicate file name `{name}`")));
        }
        let mut file = std::fs::File::open(path).map_err(FileError::new("read", path))?;
        let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 128 * 1024]);
        loop {
            let count = file.read(&mut buffer).map_err(FileError::new("read", path))?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            size += count as u64;
        }
        let sha256 = digest::hex(&hasher.finalize());
        sums.push_str(&format!("{sha256}  {name}\n"));
        self.files.insert(
            name,
            ReleaseFile { sha256, size, content: Content::Path(path.to_owned()), accepts_other_bytes: false },
        );
        Ok(())
    }

    /// Adds attestations.
    pub(crate) fn add_attestations(&mut self, attestations: &Attestations) {
        for (dist, list) in attestations {
            for attestation in list {
                let name = attestation::file_name(dist, attestation);
                self.add(&name, attestation.to_string().into_bytes(), true);
            }
        }
    }

    /// Adds a file that is in memory.
    pub(crate) fn add(&mut self, name: &str, bytes: Vec<u8>, accepts_other_bytes: bool) {
        let sha256 = digest::hex(&digest::sha256(&bytes));
        let file = ReleaseFile {
            sha256,
            size: bytes.len() as u64,
            content: Content::Bytes(bytes.into()),
            accepts_other_bytes,
        };
        self.files.insert(name.to_owned(), file);
    }
}

/// The version for the notes: the tag's, or else the newest (PEP 440).
fn released_version<'d>(tagged: Option<&Version>, dists: &'d [Dist]) -> &'d str {
    let parsed = |dist: &Dist| dist.version.parse::<Version>().ok();
    let named = dists.iter().find(|dist| tagged.is_some() && parsed(dist).as_ref() == tagged);
    let newest = || dists.iter().max_by_key(|dist| parsed(dist));
    named.or_else(newest).map_or("", |dist| &dist.version)
}

/// Whether `name` is a valid tag name for git (git-check-ref-format(1)).
fn is_tag(name: &str) -> bool {
    let odd = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name.split('/').all(part)
        && !name.contains(odd)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.starts_with('-')
}

/// The given notes, or the changelog's section about the version.
fn notes(inputs: &Release, version: &str) -> Result<String, Error> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(FileError::new("read", path));
    if let Some(path) = &inputs.notes {
        return Ok(read(path)?);
    }
    let Some(path) = &inputs.changelog else { return Ok(String::new()) };
    let section = section(&read(path)?, version);
    section.ok_or_else(|| {
        let path = path.display();
        Error::ReleaseInput(format!("input `changelog`: `{path}` has no heading that names {version}"))
    })
}

/// The text under the heading that names `version`, up to the next heading of
/// its level or above.
fn section(changelog: &str, version: &str) -> Option<String> {
    let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let is_it = |line: &&str| {
        let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || ".+-_!".contains(c)));
        (1..=3).contains(&level(line))
            && words.into_iter().any(|word| word.trim_start_matches('v') == version)
    };
    let start = changelog.lines().position(|line| is_it(&line))?;
    let own = level(changelog.lines().nth(start)?);
    let rest = changelog.lines().skip(start + 1);
    let lines: Vec<&str> = rest.take_while(|line| !(1..=own).contains(&level(line))).collect();
    Some(lines.join("\n").trim().to_owned())
}

/// The asset name that GitHub derives from a name with other characters.
pub(crate) fn renamed(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::tests::dist;

    #[test]
    fn accepts_only_tag_names_that_git_allows() {
        for good in ["v0.3.0", "htty/v1", "1.0+local", "übung"] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", "bad tag", "a~1", "a^", "a:b", "a..b", "a/", "/a", "a.lock", "-a", "a@{b", "a."] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn compares_versions_not_strings() {
        let dists = ["1.9", "1.10"].map(|version| dist(&format!("a-{version}.tar.gz"), ""));
        let version: Version = "1.9.0".parse().unwrap();
        assert_eq!(released_version(None, &dists), "1.10");
        assert_eq!(released_version(Some(&version), &dists), "1.9");
    }

    #[test]
    fn finds_the_section_of_a_version() {
        let changelog =
            "# Changelog\n\n## [0.3.1] - 2026-01-02\n\n### Fixed\n- x\n\n## v0.3.0\n- first\n\n## 0.3\nold\n";
        assert_eq!(section(changelog, "0.3.1").unwrap(), "### Fixed\n- x");
        assert_eq!(section(changelog, "0.3.0").unwrap(), "- first");
        assert_eq!(section(changelog, "0.3").unwrap(), "old");
        assert_eq!(section(changelog, "1.0"), None);
    }
}
