//! Attestations of distributions (PEP 740).

/// The predicate type of publish attestations (PyPI's documentation).
pub fn publish_predicate() -> String {
    format!("https://docs.{}.org/attestations/publish/v1", "pypi")
}
