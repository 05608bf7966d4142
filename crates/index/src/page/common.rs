//! What pages of both kinds have in common.

use std::io;

use reqwest::Url;

use crate::error::HttpError;
use crate::listing::{Keep, ListedFile, Listing};
use crate::url::without_secrets;

/// How many files of one project are kept.
const MOST: usize = 100_000;

/// Adds a file to what is known of the project.
pub(super) fn add(listing: &mut Listing, keep: &Keep, name: String, file: ListedFile) -> Result<(), String> {
    listing.largest = listing.largest.max(file.size);
    if keep(&name, &file) {
        listing.files.insert(name, file);
    }
    if listing.files.len() > MOST { Err(format!("more than {MOST} files")) } else { Ok(()) }
}

pub(super) fn malformed(page: &Url, expected: &'static str, found: impl ToString) -> HttpError {
    HttpError::Malformed { url: without_secrets(page), expected, found: found.to_string() }
}

/// The error that ended a stream: the network's, if that is what it was.
pub(super) fn ended(page: &Url, expected: &'static str, error: io::Error) -> HttpError {
    error.downcast::<HttpError>().unwrap_or_else(|error| malformed(page, expected, error))
}

/// Lower-case hexadecimal, if it is a sha256. Anything else counts as none.
pub(super) fn as_sha256(text: &str) -> Option<String> {
    let is = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is.then(|| text.to_ascii_lowercase())
}
