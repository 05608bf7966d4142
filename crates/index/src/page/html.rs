//! Pages in HTML (PEP 503).

use std::io::Read;

use pydist::filename::DistName;
use reqwest::Url;

use super::bounded::{Bounded, HtmlScan};
use super::common::{add, as_sha256, ended, malformed};
use crate::error::HttpError;
use crate::listing::{Keep, ListedFile, Listing};

const HTML: &str = "a Simple API page (PEP 503)";

/// Reads a page as HTML (PEP 503).
pub(crate) fn read(page: &Url, source: impl Read, keep: &Keep) -> Result<Listing, HttpError> {
    let bounded = Bounded::<_, HtmlScan>::new(source);
    let mut listing = Listing { exists: true, ..Listing::default() };
    let mut base = page.clone();
    // Login pages, captive portals and single-page applications are HTML too, but have no links
    // to files. They say nothing about the project.
    let (mut tags, mut links, mut files, mut foreign) = (0, 0, 0, false);
    for token in html5gum::Tokenizer::new(html5gum::IoReader::new(bounded)) {
        let token = token.map_err(|error| ended(page, HTML, error))?;
        let html5gum::Token::StartTag(tag) = token else { continue };
        tags += 1;
        let attribute = |name: &[u8]| {
            let value = tag.attributes.get(name)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        match tag.name.as_slice() {
            b"form" | b"input" | b"script" => foreign = true,
            b"meta" if attribute(b"name").as_deref() == Some("pypi:project-status") => {
                listing.status = attribute(b"content").filter(|status| status != "active");
            }
            b"base" => {
                let href = attribute(b"href").unwrap_or_default();
                base = base
                    .join(href.trim())
                    .map_err(|error| malformed(page, HTML, format!("`{href}`: {error}")))?;
            }
            b"a" => {
                let Some(href) = attribute(b"href") else { continue };
                links += 1;
                let url = base.join(href.trim());
                let url = url.map_err(|error| malformed(page, HTML, format!("`{href}`: {error}")))?;
                let Some(name) = file_name(&url) else { continue };
                files += 1;
                let sha256 = url.fragment().and_then(|fragment| fragment.strip_prefix("sha256="));
                let sha256 = sha256.and_then(as_sha256);
                let provenance = attribute(b"data-provenance");
                listing.lists_attestations |= provenance.is_some();
                let yanked = attribute(b"data-yanked").is_some();
                let requires_python = attribute(b"data-requires-python");
                let file = ListedFile {
                    url,
                    sha256,
                    size: None,
                    requires_python,
                    yanked,
                    provenance,
                    uploaded: None,
                };
                add(&mut listing, keep, name, file).map_err(|error| malformed(page, HTML, error))?;
            }
            _ => {}
        }
    }
    match files {
        0 if tags == 0 => Err(malformed(page, HTML, "a response that is not HTML")),
        0 if links > 0 => Err(malformed(page, HTML, "a page with links, but none to a distribution")),
        0 if foreign => Err(malformed(page, HTML, "a page with a form or a script, such as a login page")),
        _ => Ok(listing),
    }
}

/// The decoded last part of the path, if it is the file name of a distribution.
fn file_name(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    let mut bytes = Vec::new();
    let mut rest = last.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    let name = String::from_utf8(bytes).ok()?;
    name.parse::<DistName>().ok().map(|_| name)
}
