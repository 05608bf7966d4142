//! What an index has of a project.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;

use crate::url::without_secrets;

/// A file as an index lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Where to download it.
    pub url: Url,
    /// Lower-case hexadecimal, if the index gives it.
    pub sha256: Option<String>,
    /// In bytes, if the index gives it (PEP 700).
    pub size: Option<u64>,
    /// `Requires-Python`, if the index gives it.
    pub requires_python: Option<String>,
    /// Whether it is yanked (PEP 592).
    pub yanked: bool,
    /// Where its attestations are (PEP 740), if it has any.
    pub provenance: Option<String>,
    /// When it was uploaded (PEP 700), in RFC 3339.
    pub uploaded: Option<String>,
}

impl ListedFile {
    /// Where to download it, without what may authorise that.
    pub fn shown_url(&self) -> String {
        without_secrets(&self.url)
    }
}

/// What an index says about a project; the default is one that does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Whether the index knows the project.
    pub exists: bool,
    /// The files that were asked for, by name.
    pub files: BTreeMap<String, ListedFile>,
    /// The size of the largest file of the project, in bytes, if known.
    pub largest: Option<u64>,
    /// `archived`, `quarantined` or `deprecated` (PEP 792).
    pub status: Option<String>,
    /// Whether PyPI's own software answers: only Warehouse counts serials.
    pub is_warehouse: bool,
    /// Whether the index lists attestations, if only that there are none.
    pub lists_attestations: bool,
    /// The other index that this one redirects to for the project.
    pub forwards_to: Option<String>,
}

/// Which files of a page are kept, by name and entry.
pub type Keep = Arc<dyn Fn(&str, &ListedFile) -> bool + Send + Sync>;
