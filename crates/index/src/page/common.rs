//! Shared code for both kinds of pages.

use std::io;

use pydist::digest::is_hex;
use reqwest::Url;

use crate::error::HttpError;
use crate::listing::{Keep, ListedFile, Listing};
use crate::url::without_secrets;

/// The maximum number of files of one project.
const MAX_FILES: usize = 100_000;

/// Adds a file to the listing.
pub(super) fn add(listing: &mut Listing, keep: &Keep, name: String, file: ListedFile) -> Result<(), String> {
    listing.largest = listing.largest.max(file.size);
    if keep(&name, &file) {
        listing.files.insert(name, file);
    }
    if listing.files.len() > MAX_FILES { Err(format!("more than {MAX_FILES} files")) } else { Ok(()) }
}

pub(super) fn malformed(page: &Url, expected: &'static str, found: impl ToString) -> HttpError {
    HttpError::Malformed { url: without_secrets(page), expected, found: found.to_string() }
}

/// The error for a failed stream: the network error, if it was one.
pub(super) fn ended(page: &Url, expected: &'static str, error: io::Error) -> HttpError {
    error.downcast::<HttpError>().unwrap_or_else(|error| malformed(page, expected, error))
}

/// `text` in lower case if it is a SHA-256; otherwise `None`.
pub(super) fn as_sha256(text: &str) -> Option<String> {
    is_hex(text, 64).then(|| text.to_ascii_lowercase())
}
