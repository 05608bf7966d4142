//! Package indexes with a short name.

/// The hosts of the upload API and of the Simple API for `pypi` and `testpypi`.
/// This is the only place that composes them.
pub fn hosts(word: &str) -> Option<(String, String)> {
    let domain = format!("{}.org", "pypi");
    match word {
        "pypi" => Some((format!("upload.{domain}"), domain)),
        "testpypi" => Some((format!("test.{domain}"), format!("test.{domain}"))),
        _ => None,
    }
}
