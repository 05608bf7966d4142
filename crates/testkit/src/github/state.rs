//! What the fake holds, and what all its handlers share.

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
    /// Its number.
    pub id: u64,
    /// Its tag.
    pub tag: String,
    /// Its title.
    pub name: String,
    /// What its tag is made from, if it does not exist.
    pub target: String,
    /// Whether it was to become the latest one, when it was published.
    pub make_latest: Option<String>,
    /// Its notes.
    pub body: String,
    /// Whether nobody sees it yet.
    pub draft: bool,
    /// Whether it is marked as not final.
    pub prerelease: bool,
    /// Whether it can no longer change.
    pub immutable: bool,
    /// Bytes by name.
    pub assets: BTreeMap<String, (u64, Vec<u8>)>,
    /// The assets whose upload was cut off: they are listed all the same.
    pub starters: BTreeSet<String>,
    /// Whether its assets have no digest.
    pub no_digest: bool,
}

/// What it holds and has seen.
#[derive(Debug, Default)]
pub struct Repository {
    /// In the order in which they were made.
    pub releases: Vec<Release>,
    /// How many assets were sent.
    pub sent: u32,
    /// So many requests are answered with 502 before they are looked at.
    pub broken: u32,
    /// So many requests are refused by the secondary rate limit.
    pub limited: u32,
    /// Assets of new releases have no digest, as on GitHub Enterprise Server.
    pub no_digest: bool,
    /// Another run makes a draft just before the next one.
    pub rival: bool,
    /// Whether a release becomes immutable when it is published: a setting of
    /// the repository.
    pub immutable: bool,
    /// The git repository behind it, for objects and tags.
    pub git: Option<PathBuf>,
    /// The runs of its workflows, as the API lists them: the newest first.
    pub runs: Vec<Value>,
    /// Where the client is cut off.
    pub interrupt: Option<Interrupt>,
    /// What was asked: methods and paths.
    pub asked: Vec<String>,
    pub(super) next: u64,
}

/// From a request on all are refused: the client was cut off there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupt {
    /// So many requests are answered before.
    pub after: u32,
    /// Whether the first refused request takes effect all the same.
    pub takes_effect: bool,
}

pub(super) struct Shared {
    pub(super) repository: Mutex<Repository>,
    /// The root as the last client addressed it.
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
