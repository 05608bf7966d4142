//! The listing of a project on an index.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;

use crate::url::without_secrets;

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Where to download it.
    pub url: Url,
    /// Lower-case hexadecimal, if provided.
    pub sha256: Option<String>,
    /// In bytes, if provided (PEP 700).
    pub size: Option<u64>,
    /// `Requires-Python`, if provided.
    pub requires_python: Option<String>,
    /// Whether it is yanked (PEP 592).
    pub yanked: bool,
    /// The URL of its attestations (PEP 740), if it has any.
    pub provenance: Option<String>,
    /// When it was uploaded (PEP 700), in RFC 3339.
    pub uploaded: Option<String>,
}

impl ListedFile {
    /// The download URL without parts that may be secret.
    pub fn shown_url(&self) -> String {
        without_secrets(&self.url)
    }
}

/// The listing of a project. The default is that of a missing project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Whether the index knows the project.
    pub exists: bool,
    /// The requested files, by name.
    pub files: BTreeMap<String, ListedFile>,
    /// The size of the largest file of the project, in bytes, if known.
    pub largest: Option<u64>,
    /// `archived`, `quarantined` or `deprecated` (PEP 792).
    pub status: Option<String>,
    /// Whether the index is Warehouse, PyPI's own software: only it has serials.
    pub is_warehouse: bool,
    /// Whether the index supports attestations, even if there are none.
    pub lists_attestations: bool,
    /// The other index that this one redirects to for the project.
    pub forwards_to: Option<String>,
}

/// Which files of a page are kept, by name and entry.
pub type Keep = Arc<dyn Fn(&str, &ListedFile) -> bool + Send + Sync>;
