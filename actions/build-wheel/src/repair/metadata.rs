//! The wheel's metadata: `WHEEL`, and `RECORD`, which is checked first and
//! written last.

use std::collections::{BTreeMap, BTreeSet};

use pydist::digest;
use pydist::filename::WheelName;
use pydist::record::{self, Entry};
use pydist::wheel_file::WheelFile;
use pydist::zip::Member;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::error::WheelError;

/// The metadata directory, with a trailing slash.
pub(super) fn dist_info(members: &[Member]) -> Result<String, WheelError> {
    let directories_with = |file: &str| -> Vec<&str> {
        let names = members.iter().filter_map(|member| member.name.strip_suffix(file));
        names
            .filter(|directory| directory.ends_with(".dist-info/") && directory.matches('/').count() == 1)
            .collect()
    };
    for file in ["METADATA", "RECORD"] {
        if directories_with(file).len() != 1 {
            return Err(WheelError::Metadata(file, directories_with(file).len()));
        }
    }
    match directories_with("WHEEL")[..] {
        [directory] => Ok(directory.to_owned()),
        ref directories => Err(WheelError::Metadata("WHEEL", directories.len())),
    }
}

/// Hashes a member with the algorithm that `RECORD` names.
pub(super) enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    pub(super) fn new(algorithm: &str) -> Option<Self> {
        match algorithm {
            "sha256" => Some(Self::Sha256(Sha256::new())),
            "sha384" => Some(Self::Sha384(Sha384::new())),
            "sha512" => Some(Self::Sha512(Sha512::new())),
            _ => None,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => digest::record_hash(&hasher.finalize()),
            Self::Sha384(hasher) => digest::record_hash(&hasher.finalize()),
            Self::Sha512(hasher) => digest::record_hash(&hasher.finalize()),
        }
    }
}

/// The entries of `RECORD`.
pub(super) struct Record {
    entries: BTreeMap<String, Entry>,
    dist_info: String,
}

impl Record {
    /// Reads `RECORD` and compares its paths with those of the archive.
    pub(super) fn read(text: &[u8], members: &[Member], dist_info: &str) -> Result<Self, WheelError> {
        let mismatch = |what: String| Err(WheelError::Mismatch(what));
        let mut unlisted: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let mut entries = BTreeMap::new();
        for entry in record::parse(text)? {
            if !unlisted.remove(entry.path.as_str()) {
                let path = &entry.path;
                return mismatch(format!("`{path}` is listed, but not in the wheel (or listed twice)"));
            }
            entries.insert(entry.path.clone(), entry);
        }
        match unlisted.into_iter().find(|name| !is_unhashed(name, dist_info)) {
            Some(name) => mismatch(format!("`{name}` is in the wheel, but not listed")),
            None => Ok(Self { entries, dist_info: dist_info.to_owned() }),
        }
    }

    /// The hasher for a member; `None` if it is listed without a hash.
    pub(super) fn hasher(&self, name: &str) -> Result<Option<Hasher>, WheelError> {
        match self.entries.get(name).map(|entry| &entry.hash) {
            Some(Some((algorithm, _))) => Hasher::new(algorithm).map(Some).ok_or_else(|| {
                let expected = "expected `sha256`, `sha384` or `sha512`";
                WheelError::Mismatch(format!("`{name}` is listed with `{algorithm}`, {expected}"))
            }),
            _ if is_unhashed(name, &self.dist_info) => Ok(None),
            _ => Err(WheelError::Mismatch(format!("`{name}` is listed without a hash"))),
        }
    }

    /// Compares the size and hash of a member with its entry, and returns the
    /// entry.
    pub(super) fn check(&self, member: &Member, hasher: Option<Hasher>) -> Result<Option<Entry>, WheelError> {
        let (name, size) = (&member.name, member.size);
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        if let Some(listed) = entry.size.filter(|listed| *listed != size) {
            return Err(WheelError::Mismatch(format!("`{name}` has {size} bytes, RECORD lists {listed}")));
        }
        if let (Some((algorithm, listed)), Some(hasher)) = (&entry.hash, hasher) {
            let found = hasher.finish();
            if found != *listed {
                let what = format!("`{name}` has the {algorithm} `{found}`, RECORD lists `{listed}`");
                return Err(WheelError::Mismatch(what));
            }
        }
        Ok(Some(Entry { size: Some(size), ..entry.clone() }))
    }
}

/// Whether the member is `RECORD` or a signature of it, which `RECORD` cannot
/// list with a hash.
pub(super) fn is_unhashed(name: &str, dist_info: &str) -> bool {
    name.strip_prefix(dist_info).is_some_and(|file| matches!(file, "RECORD" | "RECORD.jws" | "RECORD.p7s"))
}

/// `WHEEL` with the tags of `name`.
pub(super) fn wheel_file(content: &[u8], name: &WheelName) -> Result<Vec<u8>, WheelError> {
    Ok(WheelFile::parse(content)?.with_tags(&name.tags.expand()).write())
}
