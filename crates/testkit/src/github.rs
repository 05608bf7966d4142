//! GitHub's REST API, as far as a release needs it: releases, git's objects and
//! tags, the runs of a workflow.

mod git;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::server::Server;

/// A release.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "GitHub's own fields")]
pub struct Release {
    /// Its number.
    pub id: u64,
    /// Its tag.
    pub tag: String,
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
    next: u64,
}

/// From a request on all are refused: the client was cut off there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupt {
    /// So many requests are answered before.
    pub after: u32,
    /// Whether the first refused request takes effect all the same.
    pub takes_effect: bool,
}

struct Shared {
    repository: Mutex<Repository>,
    /// The root as the last client addressed it.
    root: Mutex<String>,
}

/// The server; it ends with this value.
pub struct GitHub {
    server: Server,
    shared: Arc<Shared>,
}

/// The token that it takes.
pub const TOKEN: &str = "ghs_test/token+with=signs";

impl GitHub {
    /// The repository `octo/htty` without releases.
    pub fn start() -> Self {
        let mut shared = None;
        let server = Server::start(|root| {
            let repository = Mutex::new(Repository { next: 1, ..Repository::default() });
            let state = Arc::new(Shared { repository, root: Mutex::new(root.to_owned()) });
            shared = Some(Arc::clone(&state));
            let releases = "/repos/octo/htty/releases";
            Router::new()
                .route(releases, get(list).post(create))
                .route(&format!("{releases}/tags/{{tag}}"), get(by_tag))
                .route(&format!("{releases}/generate-notes"), post(generate_notes))
                .route(&format!("{releases}/{{id}}"), get(by_id).patch(update).delete(remove_release))
                .route(&format!("{releases}/assets/{{id}}"), delete(remove).get(asset))
                .route("/uploads/{id}/assets", post(upload))
                .route("/files/{id}", get(file))
                .route("/repos/octo/htty/actions/workflows/{file}/runs", get(runs))
                .merge(git::router("/repos/octo/htty/git"))
                .layer(axum::middleware::from_fn_with_state(Arc::clone(&state), guard))
                .layer(DefaultBodyLimit::disable())
                .with_state(state)
        });
        Self { server, shared: shared.expect("the router was made") }
    }

    /// The runner's variables.
    pub fn env(&self) -> [(&'static str, String); 4] {
        let url = self.server.url();
        [
            ("GITHUB_API_URL", url.trim_end_matches('/').to_owned()),
            ("GITHUB_REPOSITORY", "octo/htty".to_owned()),
            ("GITHUB_REF_NAME", "v0.3.0".to_owned()),
            ("GITHUB_REF_TYPE", "tag".to_owned()),
        ]
    }

    /// The root, with a slash at the end.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What it holds.
    pub fn repository(&self) -> MutexGuard<'_, Repository> {
        self.shared.repository()
    }
}

impl Shared {
    fn repository(&self) -> MutexGuard<'_, Repository> {
        self.repository.lock().expect("no panic while locked")
    }

    fn json(&self, release: &Release) -> Value {
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
            "id": id, "node_id": "n", "tag_name": release.tag, "target_commitish": "main", "name": release.tag,
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

    fn answer(&self, status: StatusCode, release: Option<&Release>) -> Response {
        match release {
            Some(release) => (status, Json(self.json(release))).into_response(),
            None => failure(StatusCode::NOT_FOUND, "Not Found"),
        }
    }
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message, "documentation_url": "https://docs.github.com/rest" })))
        .into_response()
}

async fn guard(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    if let Some(host) = headers.get("host").and_then(|value| value.to_str().ok()) {
        *shared.root.lock().expect("no panic while locked") = format!("http://{host}/");
    }
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    if request.uri().path().starts_with("/files/") {
        // Another host than the API's, which takes no second kind of authentication.
        return match given {
            None => next.run(request).await,
            Some(_) => failure(StatusCode::BAD_REQUEST, "Only one auth mechanism allowed"),
        };
    }
    if given != Some(&format!("Bearer {TOKEN}")) {
        return failure(StatusCode::UNAUTHORIZED, "Bad credentials");
    }
    {
        let mut repository = shared.repository();
        if repository.limited > 0 {
            repository.limited -= 1;
            let mut response = failure(StatusCode::FORBIDDEN, "You have exceeded a secondary rate limit");
            response.headers_mut().insert("retry-after", "1".parse().expect("a value"));
            return response;
        }
        if repository.broken > 0 {
            repository.broken -= 1;
            return failure(StatusCode::BAD_GATEWAY, "Server Error");
        }
        repository.asked.push(format!("{} {}", request.method(), request.uri().path()));
    }
    let cut = || failure(StatusCode::BAD_REQUEST, "the client was cut off");
    let interrupt = shared.repository().interrupt.as_mut().map(|interrupt| {
        let now = *interrupt;
        interrupt.after = interrupt.after.saturating_sub(1);
        interrupt.takes_effect &= now.after > 0;
        now
    });
    match interrupt {
        Some(Interrupt { after: 0, takes_effect: true }) => {
            next.run(request).await;
            cut()
        }
        Some(Interrupt { after: 0, takes_effect: false }) => cut(),
        _ => next.run(request).await,
    }
}

/// One page of a list.
fn page<T>(list: impl Iterator<Item = T>, query: &BTreeMap<String, String>) -> Vec<T> {
    let number = |name: &str, default| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (size, page) = (number("per_page", 30), number("page", 1));
    list.skip(size * (page - 1)).take(size).collect()
}

async fn list(State(shared): State<Arc<Shared>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let repository = shared.repository();
    Json(page(repository.releases.iter().map(|release| shared.json(release)), &query)).into_response()
}

/// The runs that the query asks for: `status` is a run's conclusion, too.
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

/// An asset: what is known of it, or where its bytes are.
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

async fn create(State(shared): State<Arc<Shared>>, Json(asked): Json<Value>) -> Response {
    let mut repository = shared.repository();
    let tag = asked["tag_name"].as_str().unwrap_or_default().to_owned();
    // GitHub makes a second draft of a tag without a word.
    if std::mem::take(&mut repository.rival) {
        repository.next += 1;
        let id = repository.next;
        repository.releases.push(Release { id, tag: tag.clone(), draft: true, ..Release::default() });
    }
    repository.next += 1;
    let release = Release {
        id: repository.next,
        tag,
        body: asked["body"].as_str().unwrap_or_default().to_owned(),
        draft: asked["draft"] == true,
        prerelease: asked["prerelease"] == true,
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
    Json(asked): Json<Value>,
) -> Response {
    let mut repository = shared.repository();
    let (immutable, git) = (repository.immutable, repository.git.clone());
    let found = repository.releases.iter_mut().find(|release| release.id == id);
    if let (Some(release), Some(draft)) = (found, asked["draft"].as_bool()) {
        if release.immutable && draft {
            return failure(StatusCode::UNPROCESSABLE_ENTITY, "Cannot make an immutable release a draft");
        }
        if release.draft && !draft {
            // Publishing makes a tag that is not there.
            if let Some(Err(message)) = git.map(|git| git::tag(&git, &release.tag)) {
                return failure(StatusCode::UNPROCESSABLE_ENTITY, &message);
            }
            release.immutable = immutable;
        }
        release.draft = draft;
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
