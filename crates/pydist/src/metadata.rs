//! Core metadata: `METADATA` of a wheel, `PKG-INFO` of a source distribution.

use crate::headers::{HeaderError, Headers};

/// A distribution's core metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// All fields as written.
    pub headers: Headers,
    /// Metadata-Version.
    pub metadata_version: String,
    /// Name, as written.
    pub name: String,
    /// Version, as written.
    pub version: String,
}

/// Why metadata cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not in the header format.
    #[error(transparent)]
    Headers(#[from] HeaderError),
    /// A required field is missing.
    #[error("the required field `{0}` is missing")]
    Missing(&'static str),
}

impl Metadata {
    /// Reads core metadata, which must have the three required fields.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        let headers = Headers::parse(bytes)?;
        let field = |name: &'static str| {
            let value = headers.get(name).filter(|value| !value.is_empty());
            value.map(str::to_owned).ok_or(MetadataError::Missing(name))
        };
        let (metadata_version, name, version) =
            (field("Metadata-Version")?, field("Name")?, field("Version")?);
        Ok(Self { headers, metadata_version, name, version })
    }

    /// The description: the body if there is one, or else the field.
    pub fn description(&self) -> Option<&str> {
        let body = self.headers.body.as_deref().filter(|body| !body.trim().is_empty());
        body.or_else(|| self.headers.get("Description"))
    }

    /// Whether the declared metadata version is this one or later.
    pub fn is_at_least(&self, major: u64, minor: u64) -> bool {
        let version = self.metadata_version.parse::<pep440_rs::Version>();
        version.is_ok_and(|version| version >= pep440_rs::Version::new([major, minor]))
    }

    /// The requirements (PEP 508), as written.
    pub fn requires_dist(&self) -> impl Iterator<Item = &str> {
        self.headers.all("Requires-Dist")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_metadata_without_a_required_field() {
        let error = Metadata::parse(b"Metadata-Version: 2.4\nName: a\n\n").unwrap_err();
        assert_eq!(error, MetadataError::Missing("Version"));
        let metadata = Metadata::parse(b"Metadata-Version: 2.4\nName: a\nVersion: 1\n\nHello\n").unwrap();
        assert_eq!(metadata.description(), Some("Hello\n"));
    }
}
