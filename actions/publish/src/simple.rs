//! What an index has: the Simple API, as JSON (PEP 691) or HTML (PEP 503).

use std::collections::BTreeMap;
use std::time::Duration;

use pydist::{digest, name};
use reqwest::header::{ACCEPT, CACHE_CONTROL};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::auth::Basic;
use crate::http::{self, Http, HttpError};
use crate::index::Index;
use crate::inputs::is_loopback;

/// A file as an index lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it can be had.
    pub url: Url,
    /// Lower-case hexadecimal, where the index says it.
    pub sha256: Option<String>,
    /// Whether it is yanked (PEP 592).
    pub yanked: bool,
    /// Where its attestations are (PEP 740), if it has any.
    pub provenance: Option<String>,
    /// When it was uploaded (PEP 700), in RFC 3339.
    pub uploaded: Option<String>,
}

impl Listed {
    /// Where it can be had, without what may authorise that.
    pub fn shown(&self) -> String {
        http::shown(&self.url)
    }
}

/// What an index says about a project; the default is one that does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Whether the index knows the project.
    pub exists: bool,
    /// By name.
    pub files: BTreeMap<String, Listed>,
    /// `archived`, `quarantined` or `deprecated` (PEP 792).
    pub status: Option<String>,
    /// Whether PyPI's own software answers: it alone counts serials.
    pub warehouse: bool,
    /// Whether the index tells of attestations, if only that there are none.
    pub attests: bool,
}

/// For each page, and for each file that has to be hashed here.
const LIMIT: Duration = Duration::from_secs(60);
const DOWNLOAD: Duration = Duration::from_secs(600);

const KINDS: &str = "application/vnd.pypi.simple.v1+json, \
                     application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// Asks the index for a project (its normalised name). Credentials are sent
/// only when the index asks for them, and only to the host they are for.
pub async fn list(
    http: &Http,
    index: &Index,
    project: &str,
    basic: Option<&Basic>,
) -> Result<Listing, HttpError> {
    let url = index.project(project);
    let get = |basic: Option<&Basic>| {
        let client = if basic.is_some() { &http.sender } else { &http.reader };
        let request = client.get(url.clone()).header(ACCEPT, KINDS).header(CACHE_CONTROL, "no-cache");
        match basic {
            Some(basic) => basic.apply(request),
            None => request,
        }
    };
    let mut answer = http.fetch(LIMIT, || get(None)).await;
    let basic = basic.filter(|_| index.simple.origin() == index.upload.origin());
    if let (Err(error), Some(basic)) = (&answer, basic)
        && matches!(error.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
    {
        answer = http.fetch(LIMIT, || get(Some(basic))).await;
    }
    match answer {
        Ok((headers, body)) if http::is_json(&headers) || body.first() == Some(&b'{') => json(&url, &body),
        Ok((_, body)) => html(&url, &body),
        Err(error) if matches!(error.status(), Some(StatusCode::NOT_FOUND | StatusCode::GONE)) => {
            Ok(Listing::default())
        }
        Err(error) => Err(error),
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    name: Option<String>,
    files: Vec<File>,
    #[serde(default)]
    meta: Meta,
    #[serde(default, rename = "project-status")]
    status: Option<ProjectStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default, rename = "_last-serial")]
    serial: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct ProjectStatus {
    #[serde(default)]
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    #[serde(default)]
    yanked: serde_json::Value,
    #[serde(default, deserialize_with = "present")]
    provenance: Option<serde_json::Value>,
    #[serde(default)]
    upload_time: Option<String>,
}

/// A field that is there, if only as `null`.
fn present<'de, D: serde::Deserializer<'de>>(field: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(field).map(Some)
}

fn json(page: &Url, body: &[u8]) -> Result<Listing, HttpError> {
    let form = |found: String| HttpError::Form {
        url: http::shown(page),
        expected: "a Simple API page (PEP 691)",
        found,
    };
    let parsed: Page = serde_json::from_slice(body).map_err(|error| form(error.to_string()))?;
    let version = parsed.meta.api_version.unwrap_or_else(|| "1.0".to_owned());
    if version.split('.').next() != Some("1") {
        return Err(form(format!("its version is {version}, and only 1 is known")));
    }
    let project = page.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
    if let Some(other) = parsed.name.filter(|name| Some(name::normalize(name).as_str()) != project) {
        return Err(form(format!("it is about `{other}`")));
    }
    let mut listing = Listing {
        exists: true,
        status: parsed.status.and_then(|status| status.status).filter(|status| status != "active"),
        warehouse: parsed.meta.serial.is_some(),
        ..Listing::default()
    };
    for file in parsed.files {
        let url = page.join(&file.url).map_err(|error| form(format!("`{}`: {error}", file.url)))?;
        listing.attests |= file.provenance.is_some();
        let listed = Listed {
            url,
            sha256: file.hashes.get("sha256").and_then(|hash| is_sha256(hash)),
            yanked: !matches!(file.yanked, serde_json::Value::Null | serde_json::Value::Bool(false)),
            provenance: file.provenance.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned),
            uploaded: file.upload_time,
        };
        listing.files.insert(file.filename, listed);
    }
    Ok(listing)
}

fn html(page: &Url, body: &[u8]) -> Result<Listing, HttpError> {
    let form = |found: String| HttpError::Form {
        url: http::shown(page),
        expected: "a Simple API page (PEP 503)",
        found,
    };
    let text = std::str::from_utf8(body).map_err(|error| form(error.to_string()))?;
    let mut listing = Listing { exists: true, ..Listing::default() };
    let mut base = page.clone();
    // A login page or a captive portal has links too, but none to a file:
    // nothing may be concluded from it.
    let (mut is_html, mut links) = (false, 0);
    for token in html5gum::Tokenizer::new(text).flatten() {
        let html5gum::Token::StartTag(tag) = token else { continue };
        is_html = true;
        let attribute = |name: &[u8]| {
            let value = tag.attributes.get(name)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let Some(href) = attribute(b"href") else { continue };
        links += usize::from(tag.name.as_slice() == b"a");
        let url = base.join(href.trim()).map_err(|error| form(format!("`{href}`: {error}")))?;
        if tag.name.as_slice() == b"base" {
            base = url;
        } else if tag.name.as_slice() == b"a"
            && let Some(name) = file_name(&url)
        {
            let sha256 = url.fragment().and_then(|fragment| fragment.strip_prefix("sha256="));
            let sha256 = sha256.and_then(is_sha256);
            let yanked = attribute(b"data-yanked").is_some();
            let provenance = attribute(b"data-provenance");
            listing.attests |= provenance.is_some();
            listing.files.insert(name, Listed { url, sha256, yanked, provenance, uploaded: None });
        }
    }
    match links {
        _ if !is_html => Err(form("no HTML".to_owned())),
        1.. if listing.files.is_empty() => Err(form("it has links, but none to a distribution".to_owned())),
        _ => Ok(listing),
    }
}

/// Lower-case hexadecimal, if it is a sha256; what is none says nothing.
fn is_sha256(text: &str) -> Option<String> {
    let is = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is.then(|| text.to_ascii_lowercase())
}

/// The last part of the path, decoded, if it is a distribution's name.
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
    name.parse::<pydist::filename::DistName>().ok().map(|_| name)
}

/// The sha256 of a listed file: the index's own word, or else that of the
/// bytes it serves; `None` when those are more than `size`.
pub async fn sha256(http: &Http, listed: &Listed, size: u64) -> Result<Option<String>, HttpError> {
    if let Some(sha256) = &listed.sha256 {
        return Ok(Some(sha256.clone()));
    }
    let mut tries = 1;
    loop {
        let timeout = || HttpError::Timeout {
            url: http::shown(&listed.url),
            what: "no complete answer",
            limit: DOWNLOAD,
        };
        let hashed = tokio::time::timeout(DOWNLOAD, download(http, listed, size)).await;
        let error = match hashed.unwrap_or_else(|_| Err(timeout())) {
            Ok(sha256) => return Ok(sha256),
            Err(error) => error,
        };
        tries += 1;
        match http.pace.after(tries, &error) {
            Some(wait) => http.pause(&toolkit::error_chain(&error), wait).await?,
            None => return Err(error),
        }
    }
}

async fn download(http: &Http, listed: &Listed, size: u64) -> Result<Option<String>, HttpError> {
    let shown = http::shown(&listed.url);
    if listed.url.scheme() != "https" && !is_loopback(&listed.url) {
        let found = listed.url.scheme().to_owned();
        return Err(HttpError::Form {
            url: shown,
            expected: "a file with a sha256, or at an https URL",
            found,
        });
    }
    let sent = http.reader.get(listed.url.clone()).send().await;
    let mut response = http.success(sent.map_err(|error| http::connection(&shown, error))?).await?;
    let (mut hasher, mut seen) = (Sha256::new(), 0);
    while let Some(chunk) = response.chunk().await.map_err(|error| http::connection(&shown, error))? {
        seen += chunk.len() as u64;
        if seen > size {
            return Ok(None);
        }
        hasher.update(&chunk);
    }
    Ok(Some(digest::hex(&hasher.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Url {
        Url::parse("https://index.example/simple/a/").unwrap()
    }

    #[test]
    fn json_pages_are_read() {
        let body = format!(
            r#"{{"meta": {{"api-version": "1.4"}}, "name": "a", "files": [
              {{"filename": "a-1.tar.gz", "url": "../../f/a-1.tar.gz", "hashes": {{"sha256": "{}"}}, "yanked": "why",
                "provenance": "https://index.example/p", "upload-time": "2026-01-01T00:00:00Z"}},
              {{"filename": "a-2.tar.gz", "url": "https://files.example/a-2.tar.gz", "hashes": {{}}, "provenance": null}}]}}"#,
            "AB".repeat(32)
        );
        let listing = json(&page(), body.as_bytes()).unwrap();
        assert!(listing.exists && listing.attests && !listing.warehouse && listing.status.is_none());
        let one = &listing.files["a-1.tar.gz"];
        assert_eq!(one.url.as_str(), "https://index.example/f/a-1.tar.gz");
        assert_eq!(one.sha256, Some("ab".repeat(32)));
        assert!(one.yanked && one.provenance.is_some() && one.uploaded.is_some());
        let two = &listing.files["a-2.tar.gz"];
        assert!(!two.yanked && two.sha256.is_none() && two.provenance.is_none());
        let no = |body: &str| json(&page(), body.as_bytes()).unwrap_err().to_string();
        assert!(no(r#"{"files": 1}"#).contains("not a Simple API page"));
        assert!(no(r#"{"meta": {"api-version": "2.0"}, "files": []}"#).contains("version is 2.0"));
        assert!(no(r#"{"name": "other", "files": []}"#).contains("about `other`"));
        assert!(json(&page(), br#"{"name": "A", "files": []}"#).is_ok());
        let odd = br#"{"files": [{"filename": "a-1.tar.gz", "url": "f", "hashes": {"sha256": "zz"}}]}"#;
        assert_eq!(json(&page(), odd).unwrap().files["a-1.tar.gz"].sha256, None, "the bytes are hashed");
        let body = br#"{"meta": {"_last-serial": 7}, "project-status": {"status": "archived"}, "files": []}"#;
        let listing = json(&page(), body).unwrap();
        assert!(listing.warehouse && !listing.attests);
        assert_eq!(listing.status.as_deref(), Some("archived"));
    }

    #[test]
    fn html_pages_are_read() {
        let body = format!(
            "<!DOCTYPE html><html><body><a href=\"/packages/a-1%2Blocal-py3-none-any.whl#sha256={}\">x</a>\
             <a href='a-2.tar.gz#md5=00' data-yanked=\"\">a-2.tar.gz</a><a href=\"../\">up</a></body>",
            "0".repeat(64)
        );
        let listing = html(&page(), body.as_bytes()).unwrap();
        assert_eq!(listing.files.keys().collect::<Vec<_>>(), ["a-1+local-py3-none-any.whl", "a-2.tar.gz"]);
        assert_eq!(listing.files["a-1+local-py3-none-any.whl"].sha256, Some("0".repeat(64)));
        assert!(listing.files["a-2.tar.gz"].yanked && listing.files["a-2.tar.gz"].sha256.is_none());
        assert!(html(&page(), b"gateway says no").is_err(), "not a page");
        assert!(html(&page(), b"<html><body>please <a href=/login>log in</a></body></html>").is_err());
        assert_eq!(html(&page(), b"<!DOCTYPE html><html><body></body></html>").unwrap().files.len(), 0);
    }
}
