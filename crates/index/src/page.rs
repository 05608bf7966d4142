//! Pages of the Simple API, read as a stream: what is kept has a limit, the
//! page has none.

use std::io::{self, BufReader, Read};

use pydist::filename::DistName;
use pydist::name;
use reqwest::Url;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::HttpError;
use crate::listing::{Keep, ListedFile, Listing};
use crate::url::without_secrets;

/// The longest string of a JSON page, or the longest tag or text of an HTML
/// page, in bytes.
const LONGEST: usize = 1024 * 1024;
/// How deep the values of a JSON page may be nested.
const DEEPEST: usize = 64;
/// How many files of one project are kept.
const MOST: usize = 100_000;

const JSON: &str = "a Simple API page (PEP 691)";
const HTML: &str = "a Simple API page (PEP 503)";

/// Adds a file to what is known of the project.
fn add(listing: &mut Listing, keep: &Keep, name: String, file: ListedFile) -> Result<(), String> {
    listing.largest = listing.largest.max(file.size);
    if keep(&name, &file) {
        listing.files.insert(name, file);
    }
    if listing.files.len() > MOST { Err(format!("more than {MOST} files")) } else { Ok(()) }
}

fn malformed(page: &Url, expected: &'static str, found: impl ToString) -> HttpError {
    HttpError::Malformed { url: without_secrets(page), expected, found: found.to_string() }
}

/// The error that ended a stream: the network's, if that is what it was.
fn ended(page: &Url, expected: &'static str, error: io::Error) -> HttpError {
    error.downcast::<HttpError>().unwrap_or_else(|error| malformed(page, expected, error))
}

/// Reads a page as JSON (PEP 691).
pub(crate) fn json(page: &Url, source: impl Read, keep: &Keep) -> Result<Listing, HttpError> {
    let bounded = Bounded { source, scan: JsonScan::default() };
    let mut reader = serde_json::Deserializer::from_reader(BufReader::with_capacity(64 * 1024, bounded));
    let parsed = PageSeed { page, keep }.deserialize(&mut reader).and_then(|page| {
        reader.end()?;
        Ok(page)
    });
    let parsed = parsed.map_err(|error| {
        if error.is_io() { ended(page, JSON, error.into()) } else { malformed(page, JSON, error) }
    })?;
    let version = parsed.meta.api_version.unwrap_or_else(|| "1.0".to_owned());
    if version.split('.').next() != Some("1") {
        return Err(malformed(page, "version 1 of the Simple API", format!("version {version}")));
    }
    let project = page.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
    if let Some(other) = parsed.name.filter(|name| Some(name::normalize(name).as_str()) != project) {
        let project = project.unwrap_or_default();
        return Err(malformed(page, JSON, format!("the page of `{other}` in place of `{project}`")));
    }
    let mut listing = parsed.listing.ok_or_else(|| malformed(page, JSON, "no field `files`"))?;
    listing.exists = true;
    listing.status = parsed.status.and_then(|status| status.status).filter(|status| status != "active");
    listing.is_warehouse = parsed.meta.serial.is_some();
    Ok(listing)
}

#[derive(Default)]
struct Page {
    name: Option<String>,
    meta: Meta,
    status: Option<ProjectStatus>,
    listing: Option<Listing>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default, rename = "_last-serial")]
    serial: Option<IgnoredAny>,
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
    hashes: Hashes,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    requires_python: Option<String>,
    #[serde(default)]
    yanked: serde_json::Value,
    #[serde(default, deserialize_with = "present")]
    provenance: Option<serde_json::Value>,
    #[serde(default)]
    upload_time: Option<String>,
}

#[derive(Default, Deserialize)]
struct Hashes {
    #[serde(default)]
    sha256: Option<String>,
}

/// A field that is there, even as `null`.
fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(field).map(Some)
}

struct PageSeed<'a> {
    page: &'a Url,
    keep: &'a Keep,
}

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page, A::Error> {
        let mut page = Page::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => page.name = map.next_value()?,
                "meta" => page.meta = map.next_value()?,
                "project-status" => page.status = map.next_value()?,
                "files" => page.listing = Some(map.next_value_seed(FilesSeed(&self))?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(page)
    }
}

struct FilesSeed<'a>(&'a PageSeed<'a>);

impl<'de> DeserializeSeed<'de> for FilesSeed<'_> {
    type Value = Listing;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Listing, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for FilesSeed<'_> {
    type Value = Listing;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut files: A) -> Result<Listing, A::Error> {
        let mut listing = Listing::default();
        while let Some(file) = files.next_element::<File>()? {
            let url = self.0.page.join(&file.url);
            let url = url.map_err(|error| A::Error::custom(format!("`{}`: {error}", file.url)))?;
            listing.lists_attestations |= file.provenance.is_some();
            let listed = ListedFile {
                url,
                sha256: file.hashes.sha256.as_deref().and_then(as_sha256),
                size: file.size,
                requires_python: file.requires_python,
                yanked: !matches!(file.yanked, serde_json::Value::Null | serde_json::Value::Bool(false)),
                provenance: file.provenance.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned),
                uploaded: file.upload_time,
            };
            add(&mut listing, self.0.keep, file.filename, listed).map_err(A::Error::custom)?;
        }
        Ok(listing)
    }
}

/// Reads a page as HTML (PEP 503).
pub(crate) fn html(page: &Url, source: impl Read, keep: &Keep) -> Result<Listing, HttpError> {
    let bounded = Bounded { source, scan: HtmlScan::default() };
    let mut listing = Listing { exists: true, ..Listing::default() };
    let mut base = page.clone();
    // A login page, a captive portal or an application's shell is HTML too, but
    // has no link to a file: nothing may be concluded from it.
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
        0 if tags == 0 => Err(malformed(page, HTML, "an answer that is not HTML")),
        0 if links > 0 => Err(malformed(page, HTML, "a page with links, but none to a distribution")),
        0 if foreign => Err(malformed(page, HTML, "a page with a form or a script, as for a login")),
        _ => Ok(listing),
    }
}

/// Lower-case hexadecimal, if it is a sha256. Anything else counts as none.
fn as_sha256(text: &str) -> Option<String> {
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
    name.parse::<DistName>().ok().map(|_| name)
}

/// A source that ends with an error once a part of it, which a parser holds in
/// memory as a whole, is too long.
struct Bounded<R, S> {
    source: R,
    scan: S,
}

/// Follows a stream byte by byte; false once a part of it is too long.
trait Scan {
    fn step(&mut self, byte: u8) -> bool;
}

impl<R: Read, S: Scan> Read for Bounded<R, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if buffer[..count].iter().all(|byte| self.scan.step(*byte)) {
            return Ok(count);
        }
        Err(io::Error::other(format!(
            "a part longer than {LONGEST} bytes, or nested deeper than {DEEPEST} levels"
        )))
    }
}

#[derive(Default)]
struct JsonScan {
    in_string: bool,
    escaped: bool,
    length: usize,
    depth: usize,
}

impl Scan for JsonScan {
    fn step(&mut self, byte: u8) -> bool {
        self.length += 1;
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => (self.in_string, self.length) = (!self.in_string, 0),
            b'[' | b'{' if !self.in_string => self.depth += 1,
            b']' | b'}' if !self.in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth <= DEEPEST && (self.length <= LONGEST || !self.in_string)
    }
}

#[derive(Default)]
struct HtmlScan {
    length: usize,
}

impl Scan for HtmlScan {
    fn step(&mut self, byte: u8) -> bool {
        self.length = if matches!(byte, b'<' | b'>') { 0 } else { self.length + 1 };
        self.length <= LONGEST
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn page() -> Url {
        Url::parse("https://index.example/simple/a/").unwrap()
    }

    fn all() -> Keep {
        Arc::new(|_, _| true)
    }

    fn json(body: &[u8]) -> Result<Listing, HttpError> {
        super::json(&page(), body, &all())
    }

    fn html(body: &[u8]) -> Result<Listing, HttpError> {
        super::html(&page(), body, &all())
    }

    #[test]
    fn json_pages_are_read() {
        let body = format!(
            r#"{{"meta": {{"api-version": "1.4"}}, "name": "a", "files": [
              {{"filename": "a-1.tar.gz", "url": "../../f/a-1.tar.gz", "hashes": {{"sha256": "{}"}}, "yanked": "why",
                "size": 7, "provenance": "https://index.example/p", "upload-time": "2026-01-01T00:00:00Z"}},
              {{"filename": "a-2.tar.gz", "url": "https://files.example/a-2.tar.gz", "hashes": {{}}, "requires-python": ">=3.9",
                "provenance": null}}]}}"#,
            "AB".repeat(32)
        );
        let listing = json(body.as_bytes()).unwrap();
        assert!(listing.exists && listing.lists_attestations && !listing.is_warehouse);
        assert_eq!((listing.status, listing.largest), (None, Some(7)));
        let one = &listing.files["a-1.tar.gz"];
        assert_eq!(one.url.as_str(), "https://index.example/f/a-1.tar.gz");
        assert_eq!(one.sha256, Some("ab".repeat(32)));
        assert!(one.yanked && one.provenance.is_some() && one.uploaded.is_some());
        let two = &listing.files["a-2.tar.gz"];
        assert!(!two.yanked && two.sha256.is_none() && two.provenance.is_none());
        assert_eq!((one.requires_python.as_deref(), two.requires_python.as_deref()), (None, Some(">=3.9")));
        let no = |body: &str| json(body.as_bytes()).unwrap_err().to_string();
        assert!(no(r#"{"files": 1}"#).contains("expected a Simple API page"));
        assert!(no(r#"{"name": "a"}"#).contains("no field `files`"));
        assert!(no(r#"{"meta": {"api-version": "2.0"}, "files": []}"#).contains("version 2.0"));
        assert!(no(r#"{"name": "other", "files": []}"#).contains("the page of `other`"));
        assert!(no(r#"{"name": "a", "files": []} trailing"#).contains("trailing"));
        assert!(json(br#"{"name": "A", "files": []}"#).is_ok());
        let odd = br#"{"files": [{"filename": "a-1.tar.gz", "url": "f", "hashes": {"sha256": "zz"}}]}"#;
        assert_eq!(json(odd).unwrap().files["a-1.tar.gz"].sha256, None, "the bytes are hashed");
        let body = br#"{"meta": {"_last-serial": 7}, "project-status": {"status": "archived"}, "files": []}"#;
        let listing = json(body).unwrap();
        assert!(listing.is_warehouse && !listing.lists_attestations);
        assert_eq!(listing.status.as_deref(), Some("archived"));
    }

    #[test]
    fn html_pages_are_read() {
        let body = format!(
            "<!DOCTYPE html><html><meta name=\"pypi:project-status\" content=\"archived\"><body>\
             <a href=\"/packages/a-1%2Blocal-py3-none-any.whl#sha256={}\">x</a>\
             <a href='a-2.tar.gz#md5=00' data-yanked=\"\" data-requires-python=\"&gt;=3.9\">a-2.tar.gz</a><a href=\"../\">up</a></body>",
            "0".repeat(64)
        );
        let listing = html(body.as_bytes()).unwrap();
        assert_eq!(listing.files.keys().collect::<Vec<_>>(), ["a-1+local-py3-none-any.whl", "a-2.tar.gz"]);
        assert_eq!(listing.files["a-1+local-py3-none-any.whl"].sha256, Some("0".repeat(64)));
        assert!(listing.files["a-2.tar.gz"].yanked && listing.files["a-2.tar.gz"].sha256.is_none());
        assert_eq!(listing.files["a-2.tar.gz"].requires_python.as_deref(), Some(">=3.9"));
        assert_eq!(listing.status.as_deref(), Some("archived"));
        for (other, why) in [
            ("gateway says no", "not HTML"),
            ("<html><body>please <a href=/login>log in</a></body></html>", "none to a distribution"),
            ("<html><form method=post><input name=user></form></html>", "as for a login"),
            ("<!DOCTYPE html><div id=root></div><script src=/app.js></script>", "as for a login"),
        ] {
            let error = html(other.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(html(b"<!DOCTYPE html><html><body></body></html>").unwrap().files.len(), 0);
    }

    #[test]
    fn only_what_is_asked_for_is_kept() {
        let file = |number: u32| {
            format!(r#"{{"filename": "a-{number}.tar.gz", "url": "f", "size": {number}, "hashes": {{}}}}"#)
        };
        let files = (0..50_000).map(file).collect::<Vec<_>>().join(",");
        let body = format!(r#"{{"name": "a", "versions": ["1"], "files": [{files}]}}"#);
        let keep: Keep = Arc::new(|name, _| name == "a-7.tar.gz");
        let listing = super::json(&page(), body.as_bytes(), &keep).unwrap();
        assert_eq!(listing.files.keys().collect::<Vec<_>>(), ["a-7.tar.gz"]);
        assert_eq!(listing.largest, Some(49_999));
    }

    #[test]
    fn no_part_of_a_page_is_endless() {
        let long = "x".repeat(2 * LONGEST);
        for body in [
            format!(r#"{{"name": "{long}"#),
            format!(r#"{{"x": {}"#, "[".repeat(1000)),
            format!(r#"{{"files": [{{"filename": "\"{}"#, long.replace('x', "\\\"")),
        ] {
            assert!(json(body.as_bytes()).unwrap_err().to_string().contains("a part longer"));
        }
        let spaces = format!(r#"{{"files": {} []}}"#, " ".repeat(2 * LONGEST));
        assert!(json(spaces.as_bytes()).is_ok(), "white space is not held in memory");
        let tag = format!("<a href=\"{long}");
        assert!(html(tag.as_bytes()).unwrap_err().to_string().contains("a part longer"));
    }
}
