//! Requests to the Simple API.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::stream::try_unfold;
use pydist::digest;
use reqwest::header::{ACCEPT, CACHE_CONTROL};
use reqwest::{RequestBuilder, Response, Url};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::client::{Client, interruption, is_json, within};
use crate::credentials::Basic;
use crate::error::{HttpError, connection_error};
use crate::listing::{Keep, ListedFile, Listing};
use crate::page;
use crate::url::{is_loopback, same_origin, without_secrets};

/// Timeout of a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(300);
/// Timeout of downloading a file to hash it.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(600);

const SIMPLE_TYPES: &str = "application/vnd.pypi.simple.v1+json, \
                     application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// Lists a project by the URL of its page ([`crate::Index::project`]). If the index does not
/// know the project or redirects to another index, the [`Listing`]'s `exists` is false.
pub async fn list(
    client: &Client,
    page: &Url,
    basic: Option<&Basic>,
    keep: &Keep,
) -> Result<Listing, HttpError> {
    let get = || {
        let request =
            client.reader.get(page.clone()).header(ACCEPT, SIMPLE_TYPES).header(CACHE_CONTROL, "no-cache");
        match basic {
            Some(basic) => basic.apply(request),
            None => request,
        }
    };
    match client.retry(async || read(client, page, get(), keep).await).await {
        Err(error) if matches!(error.status(), Some(404 | 410)) => Ok(Listing::default()),
        Err(HttpError::Redirect { to, .. }) if is_same_page(page, &to) => {
            Ok(Listing { forwards_to: Some(to), ..Listing::default() })
        }
        other => other,
    }
}

/// Whether `to` is the page of the same project on another host.
fn is_same_page(page: &Url, to: &str) -> bool {
    let last = |url: &Url| {
        url.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty())).map(str::to_owned)
    };
    Url::parse(to).is_ok_and(|to| !same_origin(page, &to) && last(page) == last(&to))
}

/// Parses a page while it arrives.
async fn read(
    client: &Client,
    page: &Url,
    request: RequestBuilder,
    keep: &Keep,
) -> Result<Listing, HttpError> {
    let shown = without_secrets(page);
    let end = Instant::now() + PAGE_TIMEOUT;
    let response = async {
        let sent = request.send().await;
        client.success(sent.map_err(|error| connection_error(&shown, error))?).await
    };
    let mut response = within(&shown, PAGE_TIMEOUT, response).await?;
    let first = within(&shown, PAGE_TIMEOUT, chunk(&shown, &mut response)).await?.unwrap_or_default();
    let is_json = is_json(response.headers()) || first.first() == Some(&b'{');
    // The parsers read from a blocking source in their own thread. A timeout or an interrupt
    // ends the stream, and thereby the thread.
    let rest = try_unfold((response, shown), move |(mut response, shown)| async move {
        let next = tokio::select! {
            chunk = chunk(&shown, &mut response) => chunk,
            () = tokio::time::sleep_until(end) => {
                Err(HttpError::Timeout { url: shown.clone(), what: "no complete response", limit: PAGE_TIMEOUT })
            }
            () = interruption() => Err(HttpError::Interrupted),
        };
        Ok(next?.map(|chunk| (chunk, (response, shown))))
    });
    let whole = futures_util::stream::once(async { Ok(first) });
    let whole =
        futures_util::StreamExt::chain(whole, rest).map_err(|error: HttpError| io::Error::other(error));
    let source = SyncIoBridge::new(StreamReader::new(Box::pin(whole)));
    let (page, keep) = (page.clone(), Arc::clone(keep));
    let parse =
        move || if is_json { page::json(&page, source, &keep) } else { page::html(&page, source, &keep) };
    match tokio::task::spawn_blocking(parse).await {
        Ok(listing) => listing,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

async fn chunk(url: &str, response: &mut Response) -> Result<Option<bytes::Bytes>, HttpError> {
    response.chunk().await.map_err(|error| connection_error(url, error))
}

/// The SHA-256 of a listed file, from the listing or else from a download; `None` if the file
/// is larger than `size`.
pub async fn sha256(
    client: &Client,
    file: &ListedFile,
    size: u64,
    basic: Option<&Basic>,
) -> Result<Option<String>, HttpError> {
    if let Some(sha256) = &file.sha256 {
        return Ok(Some(sha256.clone()));
    }
    let url = file.shown_url();
    client.retry(async || within(&url, DOWNLOAD_TIMEOUT, download(client, file, size, basic)).await).await
}

async fn download(
    client: &Client,
    file: &ListedFile,
    size: u64,
    basic: Option<&Basic>,
) -> Result<Option<String>, HttpError> {
    let shown = file.shown_url();
    if file.url.scheme() != "https" && !is_loopback(&file.url) {
        let found = format!("a file without one, at a {} URL", file.url.scheme());
        return Err(HttpError::Malformed {
            url: shown,
            expected: "a file with a sha256, or at an https URL",
            found,
        });
    }
    let mut request = client.reader.get(file.url.clone());
    if let Some(basic) = basic {
        request = basic.apply(request);
    }
    let sent = request.send().await;
    let mut response = client.success(sent.map_err(|error| connection_error(&shown, error))?).await?;
    let (mut hasher, mut seen) = (Sha256::new(), 0);
    while let Some(chunk) = chunk(&shown, &mut response).await? {
        seen += chunk.len() as u64;
        if seen > size {
            return Ok(None);
        }
        hasher.update(&chunk);
    }
    Ok(Some(digest::hex(&hasher.finalize())))
}
