//! Releases with their assets, and workflow runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::git;
use super::state::{Release, Shared, failure};

/// The routes below `repository` and on other hosts.
pub(super) fn router(repository: &str) -> Router<Arc<Shared>> {
    let releases = format!("{repository}/releases");
    Router::new()
        .route(&releases, get(list).post(create))
        .route(&format!("{releases}/tags/{{tag}}"), get(by_tag))
        .route(&format!("{releases}/generate-notes"), post(generate_notes))
        .route(&format!("{releases}/{{id}}"), get(by_id).patch(update).delete(remove_release))
        .route(&format!("{releases}/assets/{{id}}"), delete(remove).get(asset))
        .route("/uploads/{id}/assets", post(upload))
        .route("/files/{id}", get(file))
        .route(&format!("{repository}/actions/workflows/{{file}}/runs"), get(runs))
}

/// A page of a list.
fn page<T>(list: impl Iterator<Item = T>, query: &BTreeMap<String, String>) -> Vec<T> {
    let number = |name: &str, default| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (size, page) = (number("per_page", 30), number("page", 1));
    list.skip(size * (page - 1)).take(size).collect()
}

async fn list(State(shared): State<Arc<Shared>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let repository = shared.repository();
    Json(page(repository.releases.iter().map(|release| shared.json(release)), &query)).into_response()
}

/// The runs for a query, in which `status` can also be a conclusion.
async fn runs(
    State(shared): State<Arc<Shared>>,
    Path(file): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let repository = shared.repository();
    let is = |run: &Value, field: &str, name: &str| query.get(name).is_none_or(|value| run[field] == **value);
    let found = repository.runs.iter().filter(|run| {
        run["path"] == format!(".github/workflows/{file}")
            && is(run, "head_branch", "branch")
            && is(run, "event", "event")
            && is(run, "conclusion", "status")
    });
    let found: Vec<&Value> = found.collect();
    Json(json!({ "total_count": found.len(), "workflow_runs": page(found.iter(), &query) })).into_response()
}

/// The metadata of an asset, or a redirect to its content.
async fn asset(State(shared): State<Arc<Shared>>, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    let repository = shared.repository();
    let has = |release: &&Release| release.assets.values().any(|(own, _)| *own == id);
    let Some(release) = repository.releases.iter().find(has) else {
        return failure(StatusCode::NOT_FOUND, "Not Found");
    };
    if headers.get("accept").is_some_and(|accept| accept == "application/octet-stream") {
        let root = shared.root.lock().expect("no panic while locked").clone();
        return (StatusCode::FOUND, [("location", format!("{root}files/{id}"))]).into_response();
    }
    let release = shared.json(release);
    let found = release["assets"].as_array().and_then(|all| all.iter().find(|asset| asset["id"] == id));
    Json(found.cloned()).into_response()
}

async fn file(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    let repository = shared.repository();
    let assets = repository.releases.iter().flat_map(|release| release.assets.values());
    match assets.into_iter().find(|(own, _)| *own == id) {
        Some((_, bytes)) => bytes.clone().into_response(),
        None => failure(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn by_tag(State(shared): State<Arc<Shared>>, Path(tag): Path<String>) -> Response {
    let repository = shared.repository();
    let found = repository.releases.iter().find(|release| release.tag == tag && !release.draft);
    shared.answer(StatusCode::OK, found)
}

async fn by_id(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    let repository = shared.repository();
    shared.answer(StatusCode::OK, repository.releases.iter().find(|release| release.id == id))
}

async fn create(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let mut repository = shared.repository();
    let tag = request["tag_name"].as_str().unwrap_or_default().to_owned();
    // GitHub allows several drafts of the same tag.
    if std::mem::take(&mut repository.rival) {
        repository.next += 1;
        let id = repository.next;
        repository.releases.push(Release { id, tag: tag.clone(), draft: true, ..Release::default() });
    }
    repository.next += 1;
    let release = Release {
        id: repository.next,
        name: request["name"].as_str().unwrap_or(&tag).to_owned(),
        target: request["target_commitish"].as_str().unwrap_or("main").to_owned(),
        make_latest: None,
        tag,
        body: request["body"].as_str().unwrap_or_default().to_owned(),
        draft: request["draft"] == true,
        prerelease: request["prerelease"] == true,
        immutable: false,
        assets: BTreeMap::new(),
        starters: BTreeSet::new(),
        no_digest: repository.no_digest,
    };
    repository.releases.push(release.clone());
    shared.answer(StatusCode::CREATED, Some(&release))
}

async fn update(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<u64>,
    Json(request): Json<Value>,
) -> Response {
    let mut repository = shared.repository();
    let (immutable, git) = (repository.immutable, repository.git.clone());
    let found = repository.releases.iter_mut().find(|release| release.id == id);
    if let (Some(release), Some(draft)) = (found, request["draft"].as_bool()) {
        if release.immutable && draft {
            return failure(StatusCode::UNPROCESSABLE_ENTITY, "Cannot make an immutable release a draft");
        }
        if release.draft && !draft {
            // Publishing creates a missing tag.
            if let Some(Err(message)) = git.map(|git| git::tag(&git, &release.tag)) {
                return failure(StatusCode::UNPROCESSABLE_ENTITY, &message);
            }
            release.immutable = immutable;
        }
        release.draft = draft;
        release.make_latest = request["make_latest"].as_str().map(str::to_owned);
    }
    shared.answer(StatusCode::OK, repository.releases.iter().find(|release| release.id == id))
}

async fn remove(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    let mut repository = shared.repository();
    for release in &mut repository.releases {
        if release.immutable && release.assets.values().any(|(own, _)| *own == id) {
            return failure(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Cannot delete asset from an immutable release",
            );
        }
        let gone = release.assets.iter().find(|(_, (own, _))| *own == id).map(|(name, _)| name.clone());
        if let Some(name) = gone {
            release.assets.remove(&name);
            release.starters.remove(&name);
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn upload(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<u64>,
    Query(query): Query<BTreeMap<String, String>>,
    bytes: Bytes,
) -> Response {
    let mut repository = shared.repository();
    repository.sent += 1;
    repository.next += 1;
    let (next, name) = (repository.next, query["name"].clone());
    let Some(release) = repository.releases.iter_mut().find(|release| release.id == id) else {
        return failure(StatusCode::NOT_FOUND, "Not Found");
    };
    if release.immutable {
        return failure(StatusCode::UNPROCESSABLE_ENTITY, "Cannot upload assets to an immutable release");
    }
    if release.assets.contains_key(&name) {
        return failure(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed");
    }
    release.assets.insert(name.clone(), (next, bytes.to_vec()));
    let release = shared.json(release);
    let asset =
        release["assets"].as_array().and_then(|assets| assets.iter().find(|asset| asset["name"] == name));
    (StatusCode::CREATED, Json(asset.cloned())).into_response()
}

async fn remove_release(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    shared.repository().releases.retain(|release| release.id != id);
    StatusCode::NO_CONTENT.into_response()
}

async fn generate_notes() -> Response {
    Json(json!({ "name": "v0.3.0", "body": "## What's Changed\n* all" })).into_response()
}
