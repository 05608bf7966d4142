//! The state that all handlers of the fake share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::oidc::Issued;

/// How the server deviates from a healthy one.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a deviation of its own")]
pub struct Behaviour {
    /// Uploads are answered with 200, but not stored.
    pub swallow: bool,
    /// How many requests a page is served from a cache.
    pub cached: u32,
    /// How many uploads are answered with 429 and `Retry-After: 0`.
    pub limited: u32,
    /// How many tokens are rejected as expired.
    pub expired: u32,
    /// The OIDC audience; its own host by default.
    pub audience: Option<String>,
    /// Errors contain the credentials of the request.
    pub echo: bool,
    /// How long tokens are valid, in seconds; 900 by default.
    pub life: Option<u64>,
    /// Minting is rejected with this code.
    pub refuses: Option<&'static str>,
    /// The upload of this file is rejected with this status and reason.
    pub rejects: Option<(&'static str, u16, &'static str)>,
    /// Pages are HTML (PEP 503): with hashes, or without.
    pub html: Option<bool>,
    /// The project's status (PEP 792).
    pub status: Option<&'static str>,
    /// How many uploads are refused, with which status and reason.
    pub incident: Option<(u32, u16, &'static str)>,
    /// Every upload is answered with this status, content type and body, as by
    /// another index.
    pub answer: Option<(u16, &'static str, &'static str)>,
    /// How many files of other releases each page lists, too.
    pub padding: usize,
    /// Attestations are switched off: they are ignored.
    pub no_attestations: bool,
    /// Pages need the password; without it the answer is 404, as GitLab's.
    pub private: bool,
    /// Pages of projects that it lacks redirect to this other index.
    pub forwards: Option<&'static str>,
    /// The Simple API lists nothing, as if it were another index's.
    pub other_simple: bool,
}

/// A stored file.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The project's normalised name.
    pub project: String,
    /// The release's version.
    pub version: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// When it was uploaded.
    pub uploaded: OffsetDateTime,
    /// Whether it is yanked.
    pub yanked: bool,
    /// The form's fields without the content.
    pub fields: Vec<(String, String)>,
    /// The content, if pages without hashes make clients download it.
    pub(super) content: Vec<u8>,
}

/// The server's state and history.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Stored files by name.
    pub files: BTreeMap<String, Stored>,
    /// File names in the order in which they were stored.
    pub order: Vec<String>,
    /// Each upload's file name and status, in the order of the answers.
    pub uploads: Vec<(String, u16)>,
    /// Bytes of file content received.
    pub received: u64,
    pub(super) behaviour: Behaviour,
    pub(super) releases: BTreeSet<String>,
    /// Projects that exist, with or without files.
    pub(super) projects: BTreeSet<String>,
    /// Whether a pending publisher has created its project.
    pub(super) created: bool,
    /// Tokens, and when they expire.
    pub(super) tokens: BTreeMap<String, OffsetDateTime>,
    /// Cached pages, each with how often it is served again.
    pub(super) pages: BTreeMap<String, (u32, Value)>,
}

/// What all handlers share.
pub(super) struct Shared {
    pub(super) shelf: Mutex<Shelf>,
    pub(super) issued: Option<Arc<Issued>>,
    /// The server's address.
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
