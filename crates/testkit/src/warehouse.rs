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
use pydist::filename::DistName;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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
    /// How long its tokens are good, in seconds; 900 by default.
    pub life: Option<u64>,
    /// Minting is refused with this code.
    pub refuses: Option<&'static str>,
    /// The upload of this file is refused with this status and reason.
    pub rejects: Option<(&'static str, u16, &'static str)>,
    /// Its pages are HTML (PEP 503): with hashes, or without.
    pub html: Option<bool>,
    /// The project's status (PEP 792).
    pub status: Option<&'static str>,
}

/// A file that it holds.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The project's normalised name.
    pub project: String,
    /// The release's version.
    pub version: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// When it came.
    pub uploaded: OffsetDateTime,
    /// Whether it is yanked.
    pub yanked: bool,
    /// The form's fields but for the content.
    pub fields: Vec<(String, String)>,
    /// The content, where pages without hashes make somebody ask for it.
    content: Vec<u8>,
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
    /// Tokens, and until when they are good.
    tokens: BTreeMap<String, OffsetDateTime>,
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
                .route("/files/{name}", get(content))
                .route("/integrity/{name}/provenance", get(provenance))
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
        let name: Option<DistName> = filename.parse().ok();
        let stored = Stored {
            project: project.to_owned(),
            version: name.map(|name| name.version().to_owned()).unwrap_or_default(),
            sha256: hex(&Sha256::digest(bytes)),
            uploaded: OffsetDateTime::now_utc(),
            yanked: false,
            fields: vec![],
            content: bytes.to_vec(),
        };
        let mut held = self.shelf();
        held.releases.insert(format!("{project} {}", stored.version));
        held.files.insert(filename.to_owned(), stored);
    }

    /// How many tokens it has given.
    pub fn minted(&self) -> usize {
        self.shelf().tokens.len()
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
    let refuses = state.shelf().behaviour.refuses.or(claims.is_none().then_some("invalid-token"));
    if let Some(code) = refuses {
        let errors = json!([{ "code": code, "description": "not valid: malformed, reused or for others" }]);
        let body = json!({ "message": "Token request failed", "errors": errors });
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response();
    }
    let mut shelf = state.shelf();
    let token = format!("pypi-minted/{}+{}=", shelf.tokens.len(), token.len());
    let expires = OffsetDateTime::now_utc() + Duration::from_secs(shelf.behaviour.life.unwrap_or(900));
    shelf.tokens.insert(token.clone(), expires);
    Json(json!({ "success": true, "token": token, "expires": expires.unix_timestamp() })).into_response()
}

async fn page(State(state): State<Arc<Shared>>, Path(project): Path<String>) -> Response {
    let mut shelf = state.shelf();
    let files: Vec<Value> = shelf
        .files
        .iter()
        .filter(|(_, stored)| stored.project == project)
        .map(|(name, stored)| {
            json!({
                "filename": name, "url": format!("{}files/{name}", state.root), "yanked": stored.yanked,
                "hashes": { "sha256": stored.sha256 },
                "upload-time": stored.uploaded.format(&Rfc3339).expect("a time that can be written"),
                "provenance": attested(stored).map(|_| format!("/integrity/{name}/provenance")),
            })
        })
        .collect();
    let mut fresh = json!({
        "meta": { "api-version": "1.4", "_last-serial": shelf.order.len() }, "name": project, "files": files,
    });
    if let Some(status) = shelf.behaviour.status {
        fresh["project-status"] = json!({ "status": status });
    }
    let (cached, as_html) = (shelf.behaviour.cached, shelf.behaviour.html);
    let (left, page) = shelf.pages.entry(project).or_insert((cached, fresh.clone()));
    if *left > 0 {
        *left -= 1;
    } else {
        *page = fresh;
    }
    if page["files"].as_array().is_none_or(Vec::is_empty) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if let Some(hashes) = as_html {
        return ([(header::CONTENT_TYPE, "text/html")], html(page, hashes)).into_response();
    }
    let kind = [(header::CONTENT_TYPE, "application/vnd.pypi.simple.v1+json")];
    (kind, page.to_string()).into_response()
}

/// The same page as HTML (PEP 503).
fn html(page: &Value, hashes: bool) -> String {
    let link = |file: &Value| {
        let (name, url) = (file["filename"].as_str(), file["url"].as_str());
        let hash = file["hashes"]["sha256"].as_str().filter(|_| hashes);
        let hash = hash.map(|hash| format!("#sha256={hash}")).unwrap_or_default();
        format!("<a href=\"{}{hash}\">{}</a><br>\n", url.unwrap_or_default(), name.unwrap_or_default())
    };
    let links: String = page["files"].as_array().into_iter().flatten().map(link).collect();
    format!("<!DOCTYPE html>\n<html><body>\n{links}</body></html>\n")
}

async fn content(State(state): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match state.shelf().files.get(&name) {
        Some(stored) => stored.content.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The attestations that a file was sent with.
fn attested(stored: &Stored) -> Option<&str> {
    stored.fields.iter().find(|(name, _)| name == "attestations").map(|(_, text)| text.as_str())
}

async fn provenance(State(state): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    let shelf = state.shelf();
    let Some(text) = shelf.files.get(&name).and_then(attested) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let attestations: Value = serde_json::from_str(text).unwrap_or_default();
    let publisher = json!({ "kind": "GitHub", "repository": "octo/htty", "workflow": "release.yml" });
    let bundle = json!({ "publisher": publisher, "attestations": attestations });
    Json(json!({ "version": 1, "attestation_bundles": [bundle] })).into_response()
}

async fn upload(State(state): State<Arc<Shared>>, headers: HeaderMap, form: Multipart) -> Response {
    let authorization =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (mut fields, mut filename, mut hasher, mut size) = (Vec::new(), String::new(), Sha256::new(), 0);
    let (mut form, mut content, keeps) = (form, Vec::new(), state.shelf().behaviour.html == Some(false));
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
                hasher.update(&chunk);
                if keeps {
                    content.extend_from_slice(&chunk);
                }
            }
        }
        Ok::<_, axum::extract::multipart::MultipartError>(())
    };
    if read.await.is_err() {
        // The client went away: nothing is stored, nobody gets an answer.
        return error(400, "Bad Request");
    }
    state.shelf().received += size;
    let sha256 = hex(&hasher.finalize());
    let response = store(&state, authorization, &fields, &filename, &sha256, content).await;
    state.shelf().uploads.push((filename, response.status().as_u16()));
    response
}

async fn store(
    state: &Shared,
    authorization: &str,
    fields: &[(String, String)],
    filename: &str,
    sha256: &str,
    content: Vec<u8>,
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
    let until = state.shelf().tokens.get(&token).copied();
    match until {
        Some(until) if until < OffsetDateTime::now_utc() => {
            return refuse(403, "Invalid API Token: expired token");
        }
        None if token != TOKEN => {
            return refuse(403, "Invalid or non-existent authentication information.");
        }
        _ => {}
    }
    let rejects = state.shelf().behaviour.rejects.filter(|(name, ..)| *name == filename);
    if let Some((_, status, reason)) = rejects {
        return refuse(status, reason);
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
    let release_of = |stored: &&Stored| stored.project == project && stored.version == version;
    let first = shelf.files.values().filter(release_of).map(|stored| stored.uploaded).min();
    let now = OffsetDateTime::now_utc();
    if first.is_some_and(|first| now - first > time::Duration::days(14)) {
        drop(shelf);
        return refuse(400, "The release is older than 14 days and takes no new files.");
    }
    if creates && !shelf.releases.insert(release) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let stored = Stored {
        project,
        version: version.to_owned(),
        sha256: sha256.to_owned(),
        uploaded: now,
        yanked: false,
        fields: fields.to_vec(),
        content,
    };
    shelf.files.insert(filename.to_owned(), stored);
    shelf.order.push(filename.to_owned());
    StatusCode::OK.into_response()
}

/// What stands in a header for basic authentication.
fn plain(authorization: &str) -> String {
    let decoded = authorization.strip_prefix("Basic ").and_then(|text| BASE64_STANDARD.decode(text).ok());
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}
