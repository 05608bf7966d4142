//! Compares the assets of a release with the plan, and uploads them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use index::{Client, HttpError};
use octocrab::models::repos::{Asset, Release};
use pydist::digest;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Response, Url};
use sha2::{Digest as _, Sha256};
use toolkit::Secret;

use super::abort::Abort;
use super::plan::{Content, ReleaseFile, renamed};
use crate::upload::{self, BINARY, BodyProgress};

/// The timeout for the answer to an upload.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The timeout for downloading an asset to hash it.
const DOWNLOAD: Duration = Duration::from_secs(600);

/// The planned assets of a release.
pub(super) struct Assets<'a> {
    pub(super) client: &'a Client,
    pub(super) token: &'a Secret,
    /// By name.
    pub(super) files: &'a BTreeMap<String, ReleaseFile>,
    /// GitHub's API, the only host that gets the token.
    pub(super) api: &'a str,
    pub(super) insecure_loopback: bool,
}

impl<'a> Assets<'a> {
    /// Compares the assets of `release` with the plan.
    pub(super) async fn compare(&self, release: &Release) -> Result<Difference<'a>, Abort> {
        let mut differs = Difference::default();
        for (name, file) in self.files {
            match release.assets.iter().find(|asset| asset.name == *name || asset.name == renamed(name)) {
                None => differs.missing.push(name),
                // The upload was cut off.
                Some(asset) if asset.state != "uploaded" => {
                    differs.cut_off.push((name, asset.id.into_inner()))
                }
                Some(asset) if self.is_same(asset, file).await? => {}
                Some(asset) => differs.other.push((name, asset.id.into_inner())),
            }
        }
        Ok(differs)
    }

    async fn is_same(&self, asset: &Asset, file: &ReleaseFile) -> Result<bool, Abort> {
        if file.accepts_other_bytes {
            return Ok(true);
        }
        if u64::try_from(asset.size).ok() != Some(file.size) {
            return Ok(false);
        }
        if let Some(digest) = asset.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:")) {
            return Ok(digest == file.sha256);
        }
        // Older assets, and those of GitHub Enterprise Server, have no digest.
        let sha256 = tokio::time::timeout(DOWNLOAD, self.hash(asset)).await;
        let late = |_| HttpError::Timeout {
            url: asset.url.to_string(),
            what: "no complete response",
            limit: DOWNLOAD,
        };
        Ok(sha256.map_err(late)?? == file.sha256)
    }

    /// The SHA-256 of an asset's bytes. The API redirects to another host, which
    /// does not get the token.
    async fn hash(&self, asset: &Asset) -> Result<String, Abort> {
        let client = self.client;
        let url = self.checked(asset.url.as_str())?;
        let shown = index::without_secrets(&url);
        let failed = |error| index::connection_error(&shown, error);
        let request = client.sender.get(url.clone()).bearer_auth(self.token.expose()).header(ACCEPT, BINARY);
        let mut response: Response = request.send().await.map_err(failed)?;
        if let Some(to) = response.headers().get(LOCATION).filter(|_| response.status().is_redirection()) {
            let to = String::from_utf8_lossy(to.as_bytes()).into_owned();
            let to = url
                .join(&to)
                .map_err(|error| Abort::Refused(format!("GitHub redirects to `{to}`: {error}")))?;
            let to = index::checked(to.as_str(), self.insecure_loopback);
            let to = to.map_err(|error| Abort::Refused(format!("GitHub redirects elsewhere: {error}")))?;
            response = client.reader.get(to).send().await.map_err(failed)?;
        }
        let mut response = client.success(response).await?;
        let mut hasher = Sha256::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            hasher.update(&chunk);
        }
        Ok(digest::hex(&hasher.finalize()))
    }

    /// The upload URL of the release, which must be on GitHub's own hosts.
    pub(super) fn upload_url(&self, release: &Release) -> Result<Url, Abort> {
        self.checked(release.upload_url.split('{').next().unwrap_or_default())
    }

    fn checked(&self, text: &str) -> Result<Url, Abort> {
        let refused = || Abort::Refused(format!("GitHub's API returned a URL on another host: `{text}`"));
        let url = index::checked(text, self.insecure_loopback).map_err(|_| refused())?;
        let api = Url::parse(self.api).map_err(|_| refused())?;
        let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
        let uploads = host(&api).strip_prefix("api.").map(|domain| format!("uploads.{domain}"));
        let own = host(&url) == host(&api) && url.port() == api.port() || uploads == Some(host(&url));
        if own { Ok(url) } else { Err(refused()) }
    }

    /// Uploads in pieces; octocrab would hold the whole file in memory.
    pub(super) async fn send(&self, url: &Url, name: &str, file: &ReleaseFile) -> Result<(), Abort> {
        let progress = Arc::new(BodyProgress::new());
        let body = match &file.content {
            Content::Bytes(bytes) => Body::from(bytes.clone()),
            Content::Path(path) => {
                let (path, sha256) = (path.clone(), file.sha256.clone());
                Body::wrap_stream(upload::pieces(path, file.size, sha256, Arc::clone(&progress)))
            }
        };
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("name", name);
        let request = self.client.sender.post(url.clone()).bearer_auth(self.token.expose());
        let request = request.header(CONTENT_TYPE, BINARY).header(CONTENT_LENGTH, file.size).body(body);
        Ok(upload::send(self.client, &url, request, &progress, TIMEOUT, &|_| {}).await?)
    }
}

/// The differences between a release and its plan.
#[derive(Default)]
pub(super) struct Difference<'a> {
    pub(super) missing: Vec<&'a str>,
    /// Names and ids of assets whose upload was cut off.
    pub(super) cut_off: Vec<(&'a str, u64)>,
    /// Names and ids of assets with other bytes.
    pub(super) other: Vec<(&'a str, u64)>,
}
