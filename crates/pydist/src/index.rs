//! Package indexes that are known by a word.

/// The hosts of the upload API and of the Simple API of `pypi` and `testpypi`.
/// This is the one place where they are put together.
pub fn hosts(word: &str) -> Option<(String, String)> {
    let domain = format!("{}.org", "pypi");
    match word {
        "pypi" => Some((format!("upload.{domain}"), domain)),
        "testpypi" => Some((format!("test.{domain}"), format!("test.{domain}"))),
        _ => None,
    }
}
