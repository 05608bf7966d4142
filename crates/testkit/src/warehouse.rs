//! A fake of PyPI's software, Warehouse, that behaves as the real one was
//! observed to: JSON error codes, the race at a release's creation, what it
//! does with a file that is there already, its cached pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::oidc::Issued;
use crate::server::Server;

/// How this one behaves.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// It answers 200 and stores nothing.
    pub swallow: bool,
    /// Its pages stay as they were when they were first asked for, for this
    /// many requests.
    pub cached: u32,
    /// So many uploads are answered with 429 and `Retry-After: 0`.
    pub limited: u32,
    /// So many tokens are refused as expired.
    pub expired: u32,
    /// What it says its audience is; its own host by default.
    pub audience: Option<String>,
    /// Its errors hold whatever authorised the request.
    pub echo: bool,
}

/// A file that it holds.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The project's normalised name.
    pub project: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// The form's fields but for the content.
    pub fields: Vec<(String, String)>,
}

/// What it holds and has seen.
#[derive(Debug, Default)]
pub struct Shelf {
    /// By file name.
    pub files: BTreeMap<String, Stored>,
    /// File names in the order in which they were stored.
    pub order: Vec<String>,
    /// Each upload's file name and status, in the order of the answers.
    pub uploads: Vec<(String, u16)>,
    /// Bytes of file content received.
    pub received: u64,
    behaviour: Behaviour,
    releases: BTreeSet<String>,
    tokens: BTreeSet<String>,
    pages: BTreeMap<String, (u32, Value)>,
}

struct Shared {
    shelf: Mutex<Shelf>,
    issued: Option<Arc<Issued>>,
    root: String,
}

/// The server; it ends with this value.
pub struct Warehouse {
    server: Server,
    shared: Arc<Shared>,
}

/// A token that is always good.
pub const TOKEN: &str = "pypi-test/token+with=signs";

impl Warehouse {
    /// With `issued`, identities from there are exchanged for tokens.
    pub fn start(behaviour: Behaviour, issued: Option<Arc<Issued>>) -> Self {
        let mut shared = None;
        let server = Server::start(|root| {
            let shelf = Shelf { behaviour, ..Shelf::default() };
            let state = Arc::new(Shared { shelf: Mutex::new(shelf), issued, root: root.to_owned() });
            shared = Some(Arc::clone(&state));
            Router::new()
                .route("/legacy/", post(upload))
                .route("/legacy", post(moved))
                .route("/simple/{project}/", get(page))
                .route("/_/oidc/audience", get(audience))
                .route("/_/oidc/mint-token", post(mint))
                .layer(DefaultBodyLimit::disable())
                .with_state(state)
        });
        Self { server, shared: shared.expect("the router was made") }
    }

    /// The legacy upload API.
    pub fn url(&self) -> String {
        format!("{}legacy/", self.server.url())
    }

    /// What it holds.
    pub fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shared.shelf()
    }

    /// Puts a file there, as an earlier run would have.
    pub fn put(&self, filename: &str, project: &str, bytes: &[u8]) {
        let stored =
            Stored { project: project.to_owned(), sha256: hex(&Sha256::digest(bytes)), fields: vec![] };
        self.shelf().files.insert(filename.to_owned(), stored);
    }
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("no panic while locked")
    }

    fn audience(&self) -> String {
        self.shelf().behaviour.audience.clone().unwrap_or_else(|| "127.0.0.1".to_owned())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn error(status: u16, reason: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let body =
        json!({ "message": reason, "code": format!("{} {reason}", status.as_u16()), "title": "Error" });
    (status, Json(body)).into_response()
}

async fn moved(State(state): State<Arc<Shared>>) -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, format!("{}legacy/", state.root))]).into_response()
}

async fn audience(State(state): State<Arc<Shared>>) -> Response {
    match state.issued {
        Some(_) => Json(json!({ "audience": state.audience() })).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn mint(State(state): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let token = body["token"].as_str().unwrap_or_default();
    let audience = state.audience();
    let claims = state.issued.as_ref().and_then(|issued| issued.redeem(token, &audience));
    if claims.is_none() {
        let errors = json!([{ "code": "invalid-token", "description": "malformed, reused or for others" }]);
        let body = json!({ "message": "Token request failed", "errors": errors });
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response();
    }
    let mut shelf = state.shelf();
    let token = format!("pypi-minted/{}+{}=", shelf.tokens.len(), token.len());
    shelf.tokens.insert(token.clone());
    Json(json!({ "success": true, "token": token })).into_response()
}

async fn page(State(state): State<Arc<Shared>>, Path(project): Path<String>) -> Response {
    let mut shelf = state.shelf();
    let files: Vec<Value> = shelf
        .files
        .iter()
        .filter(|(_, stored)| stored.project == project)
        .map(|(name, stored)| {
            let attested = stored.fields.iter().any(|(name, _)| name == "attestations");
            json!({
                "filename": name, "url": format!("{}files/{name}", state.root), "yanked": false,
                "hashes": { "sha256": stored.sha256 },
                "provenance": attested.then(|| format!("{}integrity/{name}/provenance", state.root)),
            })
        })
        .collect();
    let fresh = json!({ "meta": { "api-version": "1.4" }, "name": project, "files": files });
    let cached = shelf.behaviour.cached;
    let (left, page) = shelf.pages.entry(project).or_insert((cached, fresh.clone()));
    if *left > 0 {
        *left -= 1;
    } else {
        *page = fresh;
    }
    if page["files"].as_array().is_none_or(Vec::is_empty) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let kind = [(header::CONTENT_TYPE, "application/vnd.pypi.simple.v1+json")];
    (kind, page.to_string()).into_response()
}

async fn upload(State(state): State<Arc<Shared>>, headers: HeaderMap, form: Multipart) -> Response {
    let authorization =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (mut fields, mut filename, mut content, mut size) = (Vec::new(), String::new(), Sha256::new(), 0);
    let mut form = form;
    let read = async {
        while let Some(mut field) = form.next_field().await? {
            let name = field.name().unwrap_or_default().to_owned();
            if name != "content" {
                fields.push((name, field.text().await?));
                continue;
            }
            field.file_name().unwrap_or_default().clone_into(&mut filename);
            while let Some(chunk) = field.chunk().await? {
                size += chunk.len() as u64;
                content.update(&chunk);
            }
        }
        Ok::<_, axum::extract::multipart::MultipartError>(())
    };
    if read.await.is_err() {
        // The client went away: nothing is stored, nobody gets an answer.
        return error(400, "Bad Request");
    }
    state.shelf().received += size;
    let response = store(&state, authorization, &fields, &filename, &hex(&content.finalize())).await;
    state.shelf().uploads.push((filename, response.status().as_u16()));
    response
}

async fn store(
    state: &Shared,
    authorization: &str,
    fields: &[(String, String)],
    filename: &str,
    sha256: &str,
) -> Response {
    let field = |name: &str| fields.iter().find(|field| field.0 == name).map_or("", |field| field.1.as_str());
    let refuse = |status, reason: &str| {
        let echo = state.shelf().behaviour.echo;
        error(
            status,
            &if echo {
                format!("{reason} ({authorization}; {})", plain(authorization))
            } else {
                reason.to_owned()
            },
        )
    };
    {
        let mut shelf = state.shelf();
        if shelf.behaviour.limited > 0 {
            shelf.behaviour.limited -= 1;
            let mut response = error(429, "Too Many Requests");
            response.headers_mut().insert(header::RETRY_AFTER, "0".parse().expect("a value"));
            return response;
        }
        if shelf.behaviour.expired > 0 {
            shelf.behaviour.expired -= 1;
            return error(403, "Invalid API Token: expired token");
        }
    }
    let token = plain(authorization).strip_prefix("__token__:").unwrap_or_default().to_owned();
    if token != TOKEN && !state.shelf().tokens.contains(&token) {
        return refuse(403, "Invalid or non-existent authentication information.");
    }
    let (project, version) = (field("name").to_lowercase().replace(['_', '.'], "-"), field("version"));
    if field(":action") != "file_upload" || field("protocol_version") != "1" || project.is_empty() {
        return refuse(400, "Invalid form");
    }
    if field("sha256_digest") != sha256 {
        return refuse(400, "The digest supplied does not match a digest calculated from the uploaded file.");
    }
    if state.shelf().behaviour.swallow {
        return StatusCode::OK.into_response();
    }
    let release = format!("{project} {version}");
    let creates = !state.shelf().releases.contains(&release);
    if creates {
        // Between looking for the release and committing it, others look too;
        // of all that insert it, one can commit.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let mut shelf = state.shelf();
    // Duplicates are looked for before attestations are read.
    let known = shelf.files.get(filename).map(|stored| stored.sha256 == sha256);
    let twin = shelf.files.values().any(|stored| stored.sha256 == sha256);
    match known {
        Some(true) => return StatusCode::OK.into_response(),
        None if !twin => {}
        _ => {
            drop(shelf);
            return refuse(400, "File already exists. See the help for more information.");
        }
    }
    if fields.iter().any(|(name, value)| name == "attestations" && value == "[]") {
        drop(shelf);
        return refuse(400, "Invalid attestations supplied during upload: empty");
    }
    if creates && !shelf.releases.insert(release) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let stored = Stored { project, sha256: sha256.to_owned(), fields: fields.to_vec() };
    shelf.files.insert(filename.to_owned(), stored);
    shelf.order.push(filename.to_owned());
    StatusCode::OK.into_response()
}

/// What stands in a header for basic authentication.
fn plain(authorization: &str) -> String {
    let decoded = authorization.strip_prefix("Basic ").and_then(|text| BASE64_STANDARD.decode(text).ok());
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}
