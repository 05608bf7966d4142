//! The legacy upload API.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::state::{Shared, Shelf, Stored, TOKEN, error, hex};
use crate::refusals;

/// Redirects the URL without a trailing slash.
pub(super) async fn redirect(State(state): State<Arc<Shared>>) -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, format!("{}legacy/", state.root))]).into_response()
}

pub(super) async fn upload(
    State(state): State<Arc<Shared>>,
    headers: HeaderMap,
    form: Multipart,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let authorization = authorization.unwrap_or_default().to_owned();
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
        // The client disconnected: nothing is stored.
        return error(400, "Bad Request");
    }
    state.shelf().received += size;
    let sha256 = hex(&hasher.finalize());
    let upload = Upload { authorization, fields, filename: filename.clone(), sha256, content };
    let response = store(&state, upload).await;
    state.shelf().uploads.push((filename, response.status().as_u16()));
    response
}

/// A parsed upload form.
struct Upload {
    authorization: String,
    fields: Vec<(String, String)>,
    filename: String,
    sha256: String,
    content: Vec<u8>,
}

/// A status and the reason for a rejected upload.
type Rejection = (u16, String);

impl Upload {
    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|field| field.0 == name).map_or("", |field| field.1.as_str())
    }

    /// Whether the token was minted for a trusted publisher.
    fn is_trusted(&self) -> bool {
        !plain(&self.authorization).ends_with(TOKEN)
    }

    fn project(&self) -> String {
        self.field("name").to_lowercase().replace(['_', '.'], "-")
    }
}

async fn store(state: &Shared, upload: Upload) -> Response {
    if let Some(response) = busy(state) {
        return response;
    }
    let checked = authorize(state, &upload.authorization).and_then(|()| check_form(state, &upload));
    let result = match checked {
        Ok(()) if state.shelf().behaviour.swallow => return StatusCode::OK.into_response(),
        Ok(()) => {
            let creates = !state.shelf().releases.contains(&release(&upload));
            if creates {
                // Simulate the race of concurrent uploads that create a release: only one succeeds.
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            commit(&mut state.shelf(), &upload, creates)
        }
        Err(rejection) => Err(rejection),
    };
    match result {
        Ok(status) => status.into_response(),
        Err((status, reason)) if state.shelf().behaviour.echo => {
            let authorization = &upload.authorization;
            error(status, &format!("{reason} ({authorization}; {})", plain(authorization)))
        }
        Err((status, reason)) => error(status, &reason),
    }
}

/// The response of a server that temporarily or permanently accepts no uploads.
fn busy(state: &Shared) -> Option<Response> {
    let mut shelf = state.shelf();
    if shelf.behaviour.limited > 0 {
        shelf.behaviour.limited -= 1;
        let mut response = error(429, "Too Many Requests");
        response.headers_mut().insert(header::RETRY_AFTER, "0".parse().expect("a value"));
        return Some(response);
    }
    if shelf.behaviour.expired > 0 {
        shelf.behaviour.expired -= 1;
        return Some(error(403, refusals::EXPIRED));
    }
    if let Some((left, status, reason)) = shelf.behaviour.incident.as_mut().filter(|(left, ..)| *left > 0) {
        *left -= 1;
        return Some(error(*status, reason));
    }
    shelf.behaviour.answer.map(|(status, kind, body)| {
        let status = StatusCode::from_u16(status).expect("a status");
        (status, [(header::CONTENT_TYPE, kind)], body).into_response()
    })
}

fn authorize(state: &Shared, authorization: &str) -> Result<(), Rejection> {
    let token = plain(authorization).strip_prefix("__token__:").unwrap_or_default().to_owned();
    match state.shelf().tokens.get(&token) {
        Some(until) if *until < OffsetDateTime::now_utc() => Err((403, refusals::EXPIRED.to_owned())),
        None if token != TOKEN => Err((403, refusals::CREDENTIALS.to_owned())),
        _ => Ok(()),
    }
}

fn check_form(state: &Shared, upload: &Upload) -> Result<(), Rejection> {
    let rejects = state.shelf().behaviour.rejects.filter(|(name, ..)| *name == upload.filename);
    if let Some((_, status, reason)) = rejects {
        return Err((status, reason.to_owned()));
    }
    let is_upload = upload.field(":action") == "file_upload" && upload.field("protocol_version") == "1";
    if !is_upload || upload.project().is_empty() {
        return Err((400, "Invalid form".to_owned()));
    }
    if upload.field("sha256_digest") != upload.sha256 {
        return Err((400, refusals::DIGEST.to_owned()));
    }
    let mut shelf = state.shelf();
    let is_new = !shelf.projects.contains(&upload.project());
    // The pending publisher has become a publisher of the first new project.
    if upload.is_trusted() && is_new && std::mem::replace(&mut shelf.created, true) {
        return Err((400, refusals::NEW_PROJECT.to_owned()));
    }
    Ok(())
}

/// The key of the release of an upload.
fn release(upload: &Upload) -> String {
    format!("{} {}", upload.project(), upload.field("version"))
}

fn commit(shelf: &mut Shelf, upload: &Upload, creates: bool) -> Result<StatusCode, Rejection> {
    // Warehouse checks for duplicates before it parses attestations.
    let known = shelf.files.get(&upload.filename).map(|stored| stored.sha256 == upload.sha256);
    let twin = shelf.files.values().any(|stored| stored.sha256 == upload.sha256);
    match known {
        Some(true) => return Ok(StatusCode::OK),
        None if !twin => {}
        _ => {
            let (name, hash) = (&upload.filename, upload.field("blake2_256_digest"));
            return Err((
                400,
                format!(
                    "File already exists ('{name}', with blake2_256 hash '{hash}'). See \
                     https://index.example/help/#file-name-reuse for more information."
                ),
            ));
        }
    }
    match upload.field("attestations") {
        "" => {}
        _ if shelf.behaviour.no_attestations => {}
        "[]" => return Err((400, refusals::EMPTY_ATTESTATIONS.to_owned())),
        _ if !upload.is_trusted() => return Err((400, refusals::NOT_TRUSTED.to_owned())),
        _ => {}
    }
    let (project, version) = (upload.project(), upload.field("version").to_owned());
    let release_of = |stored: &&Stored| stored.project == project && stored.version == version;
    let first = shelf.files.values().filter(release_of).map(|stored| stored.uploaded).min();
    let now = OffsetDateTime::now_utc();
    if first.is_some_and(|first| now - first > time::Duration::days(14)) {
        return Err((400, refusals::OLD_RELEASE.to_owned()));
    }
    if upload.field("filetype") == "sdist"
        && shelf.files.iter().any(|(name, stored)| {
            release_of(&stored) && std::path::Path::new(name).extension().is_some_and(|end| end == "gz")
        })
    {
        return Err((400, refusals::SECOND_SDIST.to_owned()));
    }
    if creates && !shelf.releases.insert(release(upload)) {
        return Ok(StatusCode::INTERNAL_SERVER_ERROR);
    }
    // Releases are yanked as a whole, including files that are uploaded later.
    let yanked = shelf.files.values().filter(release_of).any(|stored| stored.yanked);
    shelf.projects.insert(upload.project());
    let stored = Stored {
        project,
        version,
        sha256: upload.sha256.clone(),
        uploaded: now,
        yanked,
        fields: upload.fields.clone(),
        content: upload.content.clone(),
    };
    shelf.files.insert(upload.filename.clone(), stored);
    shelf.order.push(upload.filename.clone());
    Ok(StatusCode::OK)
}

/// The decoded credentials of a basic authentication header.
pub(super) fn plain(authorization: &str) -> String {
    let decoded = authorization.strip_prefix("Basic ").and_then(|text| BASE64_STANDARD.decode(text).ok());
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}
