//! The state of the fake server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::oidc::Issued;

/// Deviations from a normal server.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent deviation")]
pub struct Behaviour {
    /// Uploads return 200, but are not stored.
    pub swallow: bool,
    /// For how many requests a page is served from a cache.
    pub cached: u32,
    /// How many uploads return 429 with `Retry-After: 0`.
    pub limited: u32,
    /// How many tokens are rejected as expired.
    pub expired: u32,
    /// The OIDC audience; the server's host by default.
    pub audience: Option<String>,
    /// Error messages contain the credentials of the request.
    pub echo: bool,
    /// The lifetime of tokens in seconds; 900 by default.
    pub life: Option<u64>,
    /// Minting is rejected with this code.
    pub refuses: Option<&'static str>,
    /// The upload of this file is rejected with this status and reason.
    pub rejects: Option<(&'static str, u16, &'static str)>,
    /// Pages are HTML (PEP 503), with or without hashes.
    pub html: Option<bool>,
    /// The project's status (PEP 792).
    pub status: Option<&'static str>,
    /// How many uploads are rejected, with which status and reason.
    pub incident: Option<(u32, u16, &'static str)>,
    /// Every upload returns this status, content type and body, like another index.
    pub answer: Option<(u16, &'static str, &'static str)>,
    /// How many files of other releases each page also lists.
    pub padding: usize,
    /// Attestations are disabled and ignored.
    pub no_attestations: bool,
    /// Pages require the password; without it they return 404, like GitLab.
    pub private: bool,
    /// Pages of unknown projects redirect to this other index.
    pub forwards: Option<&'static str>,
    /// The Simple API lists nothing, as if it belonged to another index.
    pub other_simple: bool,
}

/// A stored file.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The normalised name of the project.
    pub project: String,
    /// The version of the release.
    pub version: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// When it was uploaded.
    pub uploaded: OffsetDateTime,
    /// Whether it is yanked.
    pub yanked: bool,
    /// The fields of the form without the content.
    pub fields: Vec<(String, String)>,
    /// The content, for pages without hashes, which require a download.
    pub(super) content: Vec<u8>,
}

/// The stored files and the history of requests.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Stored files by name.
    pub files: BTreeMap<String, Stored>,
    /// File names in the order of their uploads.
    pub order: Vec<String>,
    /// The file name and status of each upload, in the order of the responses.
    pub uploads: Vec<(String, u16)>,
    /// Received bytes of file content.
    pub received: u64,
    pub(super) behaviour: Behaviour,
    pub(super) releases: BTreeSet<String>,
    /// Projects that exist, with or without files.
    pub(super) projects: BTreeSet<String>,
    /// Whether a pending publisher has created its project.
    pub(super) created: bool,
    /// Tokens with their expiry.
    pub(super) tokens: BTreeMap<String, OffsetDateTime>,
    /// Cached pages, with the number of remaining requests that they are served for.
    pub(super) pages: BTreeMap<String, (u32, Value)>,
}

/// The state that all handlers share.
pub(super) struct Shared {
    pub(super) shelf: Mutex<Shelf>,
    pub(super) issued: Option<Arc<Issued>>,
    /// The URL of the server.
    pub(super) root: String,
}

/// A token that is always valid.
pub const TOKEN: &str = "pypi-test/token+with=signs";

impl Shared {
    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("no panic while locked")
    }

    pub(super) fn audience(&self) -> String {
        self.shelf().behaviour.audience.clone().unwrap_or_else(|| "127.0.0.1".to_owned())
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error in the JSON form of the upload API.
pub(super) fn error(status: u16, reason: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let body =
        json!({ "message": reason, "code": format!("{} {reason}", status.as_u16()), "title": "Error" });
    (status, Json(body)).into_response()
}
