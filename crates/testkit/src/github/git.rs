//! Git objects and tags, in a real repository.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path as FilePath;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use serde_json::{Value, json};

use super::state::{Shared, failure};

/// The routes below `root`.
pub(super) fn router(root: &str) -> Router<Arc<Shared>> {
    Router::new()
        .route(&format!("{root}/ref/tags/{{*tag}}"), get(reference))
        .route(&format!("{root}/refs"), post(create_reference))
        .route(&format!("{root}/commits/{{sha}}"), get(commit))
        .route(&format!("{root}/commits"), post(create_commit))
        .route(&format!("{root}/trees/{{sha}}"), get(tree))
        .route(&format!("{root}/trees"), post(create_tree))
        .route(&format!("{root}/blobs/{{sha}}"), get(blob))
}

/// Checks that the tag of a published release exists. Tests create it first.
pub(super) fn tag(git: &FilePath, name: &str) -> Result<(), String> {
    run(git, &["rev-parse", "--verify", &format!("refs/tags/{name}")], &[], "").map(drop)
}

/// Runs git; returns its output without the final line break, or its error message.
fn run(git: &FilePath, args: &[&str], env: &[(&str, &str)], stdin: &str) -> Result<String, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(git).args(args).envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(stdin.as_bytes())
        .map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The response of a request that runs git.
fn git_response(
    shared: &Shared,
    status: StatusCode,
    refused: StatusCode,
    work: impl FnOnce(&FilePath) -> Result<Value, String>,
) -> Response {
    let Some(git) = shared.repository().git.clone() else {
        return failure(StatusCode::NOT_FOUND, "Not Found");
    };
    match work(&git) {
        Ok(value) => (status, Json(value)).into_response(),
        Err(message) => failure(refused, &message),
    }
}

fn tag_json(tag: &str, commit: &str) -> Value {
    json!({ "ref": format!("refs/tags/{tag}"), "object": { "type": "commit", "sha": commit } })
}

async fn reference(State(shared): State<Arc<Shared>>, Path(tag): Path<String>) -> Response {
    git_response(&shared, StatusCode::OK, StatusCode::NOT_FOUND, |git| {
        let commit = run(git, &["rev-parse", "--verify", &format!("refs/tags/{tag}")], &[], "")?;
        Ok(tag_json(&tag, &commit))
    })
}

async fn create_reference(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    git_response(&shared, StatusCode::CREATED, StatusCode::UNPROCESSABLE_ENTITY, |git| {
        let (name, sha) = (text(&request, "ref"), text(&request, "sha"));
        run(git, &["cat-file", "-e", sha], &[], "").map_err(|_| "Object does not exist".to_owned())?;
        // Fails if it exists.
        let nothing = "0".repeat(40);
        run(git, &["update-ref", name, sha, &nothing], &[], "")
            .map_err(|_| "Reference already exists".to_owned())?;
        Ok(tag_json(name.trim_start_matches("refs/tags/"), sha))
    })
}

async fn commit(State(shared): State<Arc<Shared>>, Path(sha): Path<String>) -> Response {
    git_response(&shared, StatusCode::OK, StatusCode::NOT_FOUND, |git| commit_json(git, &sha))
}

fn commit_json(git: &FilePath, sha: &str) -> Result<Value, String> {
    let shown = run(git, &["show", "-s", "--format=%H%n%T%n%cI%n%P", sha], &[], "")?;
    let mut lines = shown.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (sha, tree, date) = (line(), line(), line());
    let parents: Vec<Value> = line().split_whitespace().map(|parent| json!({ "sha": parent })).collect();
    Ok(json!({ "sha": sha, "tree": { "sha": tree }, "committer": { "date": date }, "parents": parents }))
}

async fn create_commit(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    git_response(&shared, StatusCode::CREATED, StatusCode::UNPROCESSABLE_ENTITY, |git| {
        let mut args = vec!["commit-tree", text(&request, "tree"), "-m", text(&request, "message")];
        for parent in request["parents"].as_array().into_iter().flatten() {
            args.extend(["-p", parent.as_str().unwrap_or_default()]);
        }
        let person = |role: &str, field: &str| request[role][field].as_str().unwrap_or_default().to_owned();
        let env: Vec<(String, String)> = ["author", "committer"]
            .into_iter()
            .flat_map(|role| {
                ["name", "email", "date"].map(|field| {
                    (format!("GIT_{}_{}", role.to_uppercase(), field.to_uppercase()), person(role, field))
                })
            })
            // The default is the time of the request.
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let env: Vec<(&str, &str)> =
            env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let sha = run(git, &args, &env, "")?;
        commit_json(git, &sha)
    })
}

async fn tree(
    State(shared): State<Arc<Shared>>,
    Path(sha): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    git_response(&shared, StatusCode::OK, StatusCode::NOT_FOUND, |git| {
        let mut args = vec!["ls-tree", "-t", sha.as_str()];
        if query.contains_key("recursive") {
            args.insert(1, "-r");
        }
        let listed = run(git, &args, &[], "")?;
        let entry = |line: &str| {
            let (head, path) = line.split_once('\t')?;
            let mut words = head.split(' ');
            Some(json!({ "mode": words.next()?, "type": words.next()?, "sha": words.next()?, "path": path }))
        };
        let entries: Vec<Value> = listed.lines().filter_map(entry).collect();
        Ok(json!({ "sha": sha, "tree": entries, "truncated": false }))
    })
}

async fn create_tree(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    git_response(&shared, StatusCode::CREATED, StatusCode::UNPROCESSABLE_ENTITY, |git| {
        let index = std::env::temp_dir().join(format!("index-{}", std::process::id()));
        let path = index.display().to_string();
        let env = [("GIT_INDEX_FILE", path.as_str())];
        run(git, &["read-tree", text(&request, "base_tree")], &env, "")?;
        for entry in request["tree"].as_array().into_iter().flatten() {
            let blob = run(git, &["hash-object", "-w", "--stdin"], &[], text(entry, "content"))?;
            let info = format!("{},{blob},{}", text(entry, "mode"), text(entry, "path"));
            run(git, &["update-index", "--add", "--cacheinfo", &info], &env, "")?;
        }
        let sha = run(git, &["write-tree"], &env, "")?;
        // Each request reads its own base tree into the index.
        let _ = std::fs::remove_file(&index);
        Ok(json!({ "sha": sha }))
    })
}

async fn blob(State(shared): State<Arc<Shared>>, Path(sha): Path<String>) -> Response {
    git_response(&shared, StatusCode::OK, StatusCode::NOT_FOUND, |git| {
        let output = Command::new("git").arg("-C").arg(git).args(["cat-file", "blob", &sha]).output();
        let bytes = output.map_err(|error| error.to_string())?.stdout;
        let content = base64::engine::general_purpose::STANDARD.encode(bytes);
        Ok(json!({ "sha": sha, "encoding": "base64", "content": content }))
    })
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
