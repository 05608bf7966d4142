//! `dist-manifest.json`: what verify-dist checked, and what publish may send.

use serde::{Deserialize, Serialize};

/// The schema's major version. Readers reject any other.
pub const SCHEMA: u32 = 1;

/// The manifest of a set of distributions (`docs/schema/dist-manifest.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The program that wrote it, with its version.
    pub generator: String,
    /// Every file of the set, sorted by name.
    pub files: Vec<File>,
}

/// One distribution of the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The file name, without a directory.
    pub filename: String,
    /// Wheel or source distribution.
    pub kind: Kind,
    /// The project's normalised name (PEP 503).
    pub package: String,
    /// The version, from the metadata.
    pub version: String,
    /// In bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// The expanded tags of a wheel; empty for a source distribution.
    pub tags: Vec<String>,
    /// The rules it passed, sorted.
    pub rules: Vec<String>,
}

/// Wheel or source distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A wheel (PEP 427).
    Wheel,
    /// A source distribution (PEP 625).
    Sdist,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON of the expected form.
    #[error("not a dist-manifest of schema {SCHEMA}")]
    Form(#[from] serde_json::Error),
    /// Another schema.
    #[error("the manifest has schema {0}, expected {SCHEMA}")]
    Schema(u32),
    /// A duplicate file.
    #[error("the manifest lists `{0}` twice")]
    Duplicate(String),
    /// A file name with a directory in it, or an invalid digest.
    #[error("the manifest's entry `{0}` is not a plain file name with a sha256 of 64 hexadecimal digits")]
    Entry(String),
}

impl Manifest {
    /// A manifest of `files`, sorted.
    pub fn new(generator: impl Into<String>, mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| a.filename.cmp(&b.filename));
        Self { schema: SCHEMA, generator: generator.into(), files }
    }

    /// Reads a manifest and checks its form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Major {
            schema: u32,
        }
        let Major { schema } = serde_json::from_slice(bytes)?;
        if schema != SCHEMA {
            return Err(ManifestError::Schema(schema));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        let mut names = std::collections::BTreeSet::new();
        for file in &manifest.files {
            let digest = file.sha256.len() == 64
                && file.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if !digest || file.filename.contains(['/', '\\']) || file.filename.starts_with('.') {
                return Err(ManifestError::Entry(file.filename.clone()));
            }
            if !names.insert(&file.filename) {
                return Err(ManifestError::Duplicate(file.filename.clone()));
            }
        }
        Ok(manifest)
    }

    /// The entry of a file.
    pub fn file(&self, filename: &str) -> Option<&File> {
        self.files.iter().find(|file| file.filename == filename)
    }

    /// Indented JSON with a newline at the end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let file = |name: &str| File {
            filename: name.into(),
            kind: Kind::Sdist,
            package: "a".into(),
            version: "1".into(),
            size: 3,
            sha256: "0".repeat(64),
            tags: vec![],
            rules: vec![],
        };
        Manifest::new("test", vec![file("b-1.tar.gz"), file("a-1.tar.gz")])
    }

    #[test]
    fn manifests_round_trip_and_are_sorted() {
        let manifest = Manifest::parse(&sample().to_json()).unwrap();
        assert_eq!(manifest, sample());
        assert_eq!(manifest.files[0].filename, "a-1.tar.gz");
    }

    #[test]
    fn rejects_invalid_manifests() {
        let change = |from: &str, to: &str| {
            let text = String::from_utf8(sample().to_json()).unwrap().replacen(from, to, 1);
            Manifest::parse(text.as_bytes()).unwrap_err().to_string()
        };
        assert!(change("\"schema\": 1", "\"schema\": 2").contains("schema 2"));
        assert!(change("a-1.tar.gz", "../a-1.tar.gz").contains("plain file name"));
        assert!(change("a-1.tar.gz", "b-1.tar.gz").contains("twice"));
        assert!(change("000", "xyz").contains("hexadecimal"));
        assert!(change("\"size\"", "\"sise\"").contains("not a dist-manifest"));
    }
}
