//! What the index has of the packages, by the Simple API, as JSON (PEP 691)
//! or HTML (PEP 503). Asked only where `previous` is given: everything else
//! that this program does needs no network.

use std::collections::BTreeMap;
use std::time::Duration;

use distcheck::{Published, PublishedFile};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use crate::error::Error;

const KINDS: &str = "application/vnd.pypi.simple.v1+json, \
    application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
/// For one page.
const LIMIT: Duration = Duration::from_secs(60);
/// The largest page there is has about 10 MB.
const PAGE: usize = 64 << 20;

/// The Simple API's address of `pypi`, `testpypi` or a URL.
pub(crate) fn simple(text: &str) -> Result<Url, Error> {
    let text = match pydist::index::hosts(text) {
        Some((_, host)) => format!("https://{host}/simple/"),
        None => format!("{}/", text.trim_end_matches('/')),
    };
    let url = Url::parse(&text).map_err(|_| Error::Previous(text.clone()))?;
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if url.scheme() == "https" || (url.scheme() == "http" && loopback) {
        Ok(url)
    } else {
        Err(Error::Previous(text))
    }
}

/// Asks the index for each project (normalised names). One that it does not
/// know has no files.
pub(crate) fn published(index: &Url, projects: impl Iterator<Item = String>) -> Result<Published, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::Runtime { source })?;
    let client = Client::builder()
        .user_agent(concat!("verify-dist/", env!("CARGO_PKG_VERSION")))
        .timeout(LIMIT)
        .build();
    let client = client.map_err(|source| Error::Index { url: index.to_string(), source })?;
    runtime.block_on(async {
        let mut published = Published::new();
        for project in projects {
            let mut url = index.clone();
            url.set_path(&format!("{}{project}/", index.path()));
            let files = listing(&client, &url).await?;
            published.insert(project, files);
        }
        Ok(published)
    })
}

async fn listing(client: &Client, url: &Url) -> Result<Vec<PublishedFile>, Error> {
    let failed = |source| Error::Index { url: url.to_string(), source };
    let sent = client.get(url.clone()).header(ACCEPT, KINDS).send().await.map_err(failed)?;
    if [StatusCode::NOT_FOUND, StatusCode::GONE].contains(&sent.status()) {
        return Ok(Vec::new());
    }
    let mut sent = sent.error_for_status().map_err(failed)?;
    let kind = sent.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_json = kind.is_some_and(|kind| kind.contains("json"));
    let mut body = Vec::new();
    while let Some(piece) = sent.chunk().await.map_err(failed)? {
        body.extend_from_slice(&piece);
        if body.len() > PAGE {
            return Err(Error::Page { url: url.to_string(), found: format!("more than {PAGE} bytes") });
        }
    }
    let page = |found| Error::Page { url: url.to_string(), found };
    if is_json { json(&body).map_err(page) } else { html(url, &body).map_err(page) }
}

fn listed(filename: String, sha256: Option<String>, yanked: bool) -> Option<PublishedFile> {
    let name = filename.parse().ok()?;
    Some(PublishedFile { filename, name, sha256, yanked })
}

fn json(body: &[u8]) -> Result<Vec<PublishedFile>, String> {
    #[derive(Deserialize)]
    struct Page {
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        filename: String,
        #[serde(default)]
        hashes: BTreeMap<String, String>,
        #[serde(default)]
        yanked: serde_json::Value,
    }
    let page: Page = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let file = |file: File| {
        let yanked = !matches!(file.yanked, serde_json::Value::Null | serde_json::Value::Bool(false));
        listed(file.filename, file.hashes.get("sha256").cloned(), yanked)
    };
    Ok(page.files.into_iter().filter_map(file).collect())
}

fn html(page: &Url, body: &[u8]) -> Result<Vec<PublishedFile>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let (mut files, mut is_html) = (Vec::new(), false);
    for token in html5gum::Tokenizer::new(text).flatten() {
        let html5gum::Token::StartTag(tag) = token else { continue };
        is_html = true;
        let attribute =
            |name: &[u8]| tag.attributes.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let Some(href) = attribute(b"href").filter(|_| tag.name.as_slice() == b"a") else { continue };
        let url = page.join(href.trim()).map_err(|error| format!("`{href}`: {error}"))?;
        let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
        let sha256 = url.fragment().and_then(|fragment| fragment.strip_prefix("sha256=")).map(str::to_owned);
        // Of what may be escaped, a file name holds `+` and `!` alone.
        let name = last.replace("%2B", "+").replace("%2b", "+").replace("%21", "!");
        files.extend(listed(name, sha256, attribute(b"data-yanked").is_some()));
    }
    if is_html { Ok(files) } else { Err("no HTML".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let hash = "a".repeat(64);
        let expected = [
            listed("a-1.0-py3-none-any.whl".into(), Some(hash.clone()), false),
            listed("a-1.0+x.tar.gz".into(), None, true),
        ]
        .map(Option::unwrap);
        let text = format!(
            r#"{{"files": [{{"filename": "a-1.0-py3-none-any.whl", "url": "u", "hashes": {{"sha256": "{hash}"}}}},
            {{"filename": "a-1.0+x.tar.gz", "url": "u", "yanked": "broken"}}, {{"filename": "a.egg", "url": "u"}}]}}"#
        );
        assert_eq!(json(text.as_bytes()).unwrap(), expected);
        let page = Url::parse("https://index.example/simple/a/").unwrap();
        let text = format!(
            "<!DOCTYPE html><a href='../../f/a-1.0-py3-none-any.whl#sha256={hash}'>x</a>\n\
            <a data-yanked='broken' href='https://files.example/a-1.0%2Bx.tar.gz'>y</a><a href='/'>up</a>"
        );
        assert_eq!(html(&page, text.as_bytes()).unwrap(), expected);
        assert!(html(&page, b"captive").is_err() && json(b"{}").is_err());
    }

    #[test]
    fn only_safe_addresses_are_asked() {
        assert_eq!(simple("pypi").unwrap().path(), "/simple/");
        assert_eq!(simple("http://127.0.0.1:1/simple").unwrap().path(), "/simple/");
        for bad in ["http://index.example/simple", "ftp://x/", "pypy"] {
            assert!(simple(bad).is_err(), "{bad}");
        }
    }
}
