//! The state of the fake repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A release.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "GitHub's own fields")]
pub struct Release {
    /// The ID.
    pub id: u64,
    /// The tag.
    pub tag: String,
    /// The title.
    pub name: String,
    /// The target commit of the tag, if it does not exist.
    pub target: String,
    /// The `make_latest` of its publication.
    pub make_latest: Option<String>,
    /// The release notes.
    pub body: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// Whether it is a prerelease.
    pub prerelease: bool,
    /// Whether it is immutable.
    pub immutable: bool,
    /// The content of assets by name.
    pub assets: BTreeMap<String, (u64, Vec<u8>)>,
    /// Assets with an interrupted upload, which are listed nevertheless.
    pub starters: BTreeSet<String>,
    /// Whether its assets lack digests.
    pub no_digest: bool,
}

/// The repository and the history of requests.
#[derive(Debug, Default)]
pub struct Repository {
    /// Releases in the order of their creation.
    pub releases: Vec<Release>,
    /// The number of uploaded assets.
    pub sent: u32,
    /// How many requests return 502 without being processed.
    pub broken: u32,
    /// How many requests are rejected by the secondary rate limit.
    pub limited: u32,
    /// Assets of new releases lack digests, as on GitHub Enterprise Server.
    pub no_digest: bool,
    /// Another run creates a draft just before the next one.
    pub rival: bool,
    /// Whether releases become immutable when published (a setting of the repository).
    pub immutable: bool,
    /// The git repository with the objects and tags.
    pub git: Option<PathBuf>,
    /// The workflow runs as in the API, newest first.
    pub runs: Vec<Value>,
    /// When to interrupt the client.
    pub interrupt: Option<Interrupt>,
    /// The methods and paths of all requests.
    pub asked: Vec<String>,
    pub(super) next: u64,
}

/// Rejects all requests after some, to simulate an interrupted client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupt {
    /// How many requests succeed first.
    pub after: u32,
    /// Whether the first rejected request takes effect nevertheless.
    pub takes_effect: bool,
}

pub(super) struct Shared {
    pub(super) repository: Mutex<Repository>,
    /// The root URL that the last client used.
    pub(super) root: Mutex<String>,
}

impl Shared {
    pub(super) fn repository(&self) -> MutexGuard<'_, Repository> {
        self.repository.lock().expect("no panic while locked")
    }

    pub(super) fn json(&self, release: &Release) -> Value {
        let (root, id) = (self.root.lock().expect("no panic while locked").clone(), release.id);
        let time = "2026-01-01T00:00:00Z";
        let asset = |(name, (id, bytes)): (&String, &(u64, Vec<u8>))| {
            let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let state = if release.starters.contains(name) { "starter" } else { "uploaded" };
            json!({
                "id": id, "node_id": "n", "name": name, "label": null, "state": state,
                "url": format!("{root}repos/octo/htty/releases/assets/{id}"),
                "browser_download_url": format!("{root}download/{name}"), "content_type": "application/octet-stream",
                "size": bytes.len(), "digest": (!release.no_digest).then(|| format!("sha256:{digest}")), "download_count": 0,
                "created_at": time, "updated_at": time, "uploader": null,
            })
        };
        json!({
            "id": id, "node_id": "n", "tag_name": release.tag, "target_commitish": release.target, "name": release.name,
            "body": release.body, "draft": release.draft, "prerelease": release.prerelease,
            "immutable": release.immutable, "created_at": time, "published_at": null, "author": null,
            "url": format!("{root}repos/octo/htty/releases/{id}"),
            "html_url": format!("{root}octo/htty/releases/tag/{}", release.tag),
            "assets_url": format!("{root}repos/octo/htty/releases/{id}/assets"),
            "upload_url": format!("{root}uploads/{id}/assets{{?name,label}}"),
            "tarball_url": null, "zipball_url": null,
            "assets": release.assets.iter().map(asset).collect::<Vec<_>>(),
        })
    }

    pub(super) fn answer(&self, status: StatusCode, release: Option<&Release>) -> Response {
        match release {
            Some(release) => (status, Json(self.json(release))).into_response(),
            None => failure(StatusCode::NOT_FOUND, "Not Found"),
        }
    }
}

pub(super) fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message, "documentation_url": "https://docs.github.com/rest" })))
        .into_response()
}
