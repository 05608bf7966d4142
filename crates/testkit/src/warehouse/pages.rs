//! Project pages, files, and provenance.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::state::{Shared, Shelf, Stored, TOKEN};
use super::upload::plain;

pub(super) async fn page(
    State(state): State<Arc<Shared>>,
    Path(project): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut shelf = state.shelf();
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_open = !shelf.behaviour.private || plain(authorization.unwrap_or_default()).ends_with(TOKEN);
    if !is_open || shelf.behaviour.other_simple {
        return StatusCode::NOT_FOUND.into_response();
    }
    let exists = shelf.projects.contains(&project);
    if let Some(other) = shelf.behaviour.forwards.filter(|_| !exists) {
        return (StatusCode::FOUND, [(header::LOCATION, format!("{other}{project}/"))]).into_response();
    }
    let fresh = fresh(&shelf, &state.root, &project);
    let (cached, as_html) = (shelf.behaviour.cached, shelf.behaviour.html);
    let (left, page) = shelf.pages.entry(project).or_insert((cached, fresh.clone()));
    if *left > 0 {
        *left -= 1;
    } else {
        *page = fresh;
    }
    if page.is_null() {
        return StatusCode::NOT_FOUND.into_response();
    }
    if let Some(hashes) = as_html {
        return ([(header::CONTENT_TYPE, "text/html")], html(page, hashes)).into_response();
    }
    let kind = [(header::CONTENT_TYPE, "application/vnd.pypi.simple.v1+json")];
    (kind, page.to_string()).into_response()
}

/// The current page of a project; null if it does not exist.
fn fresh(shelf: &Shelf, root: &str, project: &str) -> Value {
    // The cache also keeps 404 responses.
    if !shelf.projects.contains(project) && !shelf.files.values().any(|stored| stored.project == project) {
        return Value::Null;
    }
    let attests = !shelf.behaviour.no_attestations;
    let other = |number: usize| {
        let name = format!("{}-0.0.{number}.tar.gz", project.replace('-', "_"));
        json!({
            "filename": name, "url": format!("{root}files/{name}"), "size": 1, "yanked": false,
            "hashes": { "sha256": format!("{number:064x}") }, "upload-time": "2020-01-01T00:00:00Z",
            "requires-python": ">=3.8, !=3.9.0, !=3.9.1", "provenance": null,
        })
    };
    let mut files: Vec<Value> = (0..shelf.behaviour.padding).map(other).collect();
    let own = shelf
        .files
        .iter()
        .filter(|(_, stored)| stored.project == project)
        .map(|(name, stored)| {
            json!({
                "filename": name, "url": format!("{root}files/{name}"), "yanked": stored.yanked,
                "hashes": { "sha256": stored.sha256 },
                "upload-time": stored.uploaded.format(&Rfc3339).expect("a time that can be written"),
                "provenance": attested(stored).filter(|_| attests).map(|_| format!("/integrity/{name}/provenance")),
            })
        });
    files.extend(own);
    let mut page = json!({
        "meta": { "api-version": "1.4", "_last-serial": shelf.order.len() }, "name": project, "files": files,
    });
    if let Some(status) = shelf.behaviour.status {
        page["project-status"] = json!({ "status": status });
    }
    page
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

pub(super) async fn content(State(state): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match state.shelf().files.get(&name) {
        Some(stored) => stored.content.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The attestations of a file.
fn attested(stored: &Stored) -> Option<&str> {
    stored.fields.iter().find(|(name, _)| name == "attestations").map(|(_, text)| text.as_str())
}

pub(super) async fn provenance(State(state): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    let shelf = state.shelf();
    let Some(text) = shelf.files.get(&name).and_then(attested) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let attestations: Value = serde_json::from_str(text).unwrap_or_default();
    let publisher = json!({ "kind": "GitHub", "repository": "octo/htty", "workflow": "release.yml" });
    let bundle = json!({ "publisher": publisher, "attestations": attestations });
    Json(json!({ "version": 1, "attestation_bundles": [bundle] })).into_response()
}
