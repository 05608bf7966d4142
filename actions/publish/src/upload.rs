//! Sends one file with the legacy upload API (Warehouse, "Upload API"), with the
//! fields that Warehouse accepts.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use index::{Basic, Client, HttpError, Index, connection_error, without_secrets};
use pydist::digest;
use pydist::filename::DistName;
use reqwest::header::ACCEPT;
use reqwest::{Body, RequestBuilder, Url, multipart};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::inspect::Dist;

/// An upload fails if no byte was sent for this long.
const STALL: Duration = Duration::from_secs(60);
/// The media type of a distribution.
pub(crate) const BINARY: &str = "application/octet-stream";
/// The size of the pieces in which a file is read and sent.
const PIECE: usize = 128 * 1024;

/// The legacy upload API.
pub struct LegacyApi<'a> {
    /// The HTTP client.
    pub client: &'a Client,
    /// The index to upload to.
    pub index: &'a Index,
    /// How long to wait for the answer once the file is sent.
    pub timeout: Duration,
}

impl LegacyApi<'_> {
    /// Sends `dist` with its attestations once. Calls `moved` periodically with
    /// the number of bytes sent so far.
    pub async fn upload(
        &self,
        dist: &Dist,
        basic: &Basic,
        attestations: &[Value],
        moved: &dyn Fn(u64),
    ) -> Result<(), HttpError> {
        let progress = Arc::new(BodyProgress::new());
        let mut form = fields(dist)
            .into_iter()
            .fold(multipart::Form::new(), |form, (name, value)| form.text(name, value));
        if !attestations.is_empty() {
            form = form.text("attestations", Value::from(attestations).to_string());
        }
        let body = pieces(dist.path.clone(), dist.size, dist.sha256.clone(), Arc::clone(&progress));
        let part = multipart::Part::stream_with_length(Body::wrap_stream(body), dist.size)
            .file_name(dist.filename.clone())
            .mime_str(BINARY)
            .map_err(|error| connection_error(&without_secrets(&self.index.upload), error))?;
        let request = self.client.sender.post(self.index.upload.clone()).header(ACCEPT, "application/json");
        let request = basic.apply(request).multipart(form.part("content", part));
        send(self.client, &self.index.upload, request, &progress, self.timeout, moved).await
    }
}

/// Sends a request whose body is [`pieces`] with this `progress`. Waits as long as
/// bytes are sent, and then up to `answer` for the answer.
pub(crate) async fn send(
    client: &Client,
    url: &Url,
    request: RequestBuilder,
    progress: &BodyProgress,
    answer: Duration,
    moved: &dyn Fn(u64),
) -> Result<(), HttpError> {
    let url = without_secrets(url);
    let send = async {
        let response = request.send().await.map_err(|error| connection_error(&url, error))?;
        client.success(response).await.map(drop)
    };
    let result = tokio::select! {
        result = send => result,
        (what, limit) = progress.watch(answer, moved) => {
            Err(HttpError::Timeout { url: url.clone(), what, limit })
        }
    };
    if result.is_err() && progress.changed.load(Ordering::Relaxed) {
        return Err(HttpError::Changed);
    }
    result
}

/// The progress of sending a request body.
pub(crate) struct BodyProgress {
    start: Instant,
    /// When the last piece was sent, in milliseconds after `start`.
    last: AtomicU64,
    /// Bytes sent.
    bytes: AtomicU64,
    /// Whether the last piece was sent.
    done: AtomicBool,
    /// Whether the file has changed.
    changed: AtomicBool,
}

impl BodyProgress {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            done: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        }
    }

    fn step(&self, bytes: u64, done: bool) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    /// Returns when there was no progress for too long, with what was missing.
    async fn watch(&self, answer: Duration, moved: &dyn Fn(u64)) -> (&'static str, Duration) {
        loop {
            moved(self.bytes.load(Ordering::Relaxed));
            let (what, limit) = if self.done.load(Ordering::Relaxed) {
                ("no answer", answer)
            } else {
                ("nothing could be sent", STALL.min(answer))
            };
            let end = Duration::from_millis(self.last.load(Ordering::Relaxed)) + limit;
            match end.checked_sub(self.start.elapsed()) {
                Some(left) if !left.is_zero() => {
                    tokio::time::sleep(left.min(Duration::from_millis(200))).await;
                }
                _ => return (what, limit),
            }
        }
    }
}

/// The file in pieces. Yields the last one only if the whole file still has the
/// inspected hash, so that the index stores only the bytes that were checked.
pub(crate) fn pieces(
    path: PathBuf,
    size: u64,
    sha256: String,
    progress: Arc<BodyProgress>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    struct State {
        file: Option<tokio::fs::File>,
        hasher: Sha256,
        left: u64,
    }
    let state = State { file: None, hasher: Sha256::new(), left: size };
    let seen = Arc::clone(&progress);
    let next = move |mut state: State| {
        let (path, sha256, progress) = (path.clone(), sha256.clone(), Arc::clone(&progress));
        async move {
            if state.left == 0 {
                return Ok(None);
            }
            let mut file = match state.file.take() {
                Some(file) => file,
                None => tokio::fs::File::open(&path).await?,
            };
            let size = usize::try_from(state.left).unwrap_or(PIECE).min(PIECE);
            let mut piece = vec![0; size];
            file.read_exact(&mut piece).await?;
            state.hasher.update(&piece);
            state.left -= size as u64;
            if state.left == 0 && digest::hex(&state.hasher.finalize_reset()) != sha256 {
                return Err(io::Error::other("the file has changed"));
            }
            progress.step(size as u64, state.left == 0);
            state.file = Some(file);
            Ok(Some((Bytes::from(piece), state)))
        }
    };
    futures_util::stream::try_unfold(state, next)
        .inspect_err(move |_| seen.changed.store(true, Ordering::Relaxed))
}

/// The form's fields except the file and the attestations.
fn fields(dist: &Dist) -> Vec<(String, String)> {
    let (filetype, pyversion) = match &dist.name {
        DistName::Wheel(wheel) => ("bdist_wheel", wheel.tags.python.join(".")),
        DistName::Sdist(_) => ("sdist", "source".to_owned()),
    };
    let metadata = &dist.metadata;
    let mut fields: Vec<(String, String)> = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("filetype", filetype),
        ("pyversion", &pyversion),
        ("sha256_digest", &dist.sha256),
        ("blake2_256_digest", &dist.blake2),
        ("metadata_version", &metadata.metadata_version),
        ("name", &metadata.name),
        ("version", &metadata.version),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if let Some(description) = metadata.description() {
        fields.push(("description".to_owned(), description.to_owned()));
    }
    for (name, value) in &metadata.headers.fields {
        let name = name.to_ascii_lowercase().replace('-', "_");
        let name = match name.as_str() {
            "metadata_version" | "name" | "version" | "description" => continue,
            // Some build backends wrote it before PEP 639.
            "license_file" if before_2_4(&metadata.metadata_version) => continue,
            "classifier" => "classifiers".to_owned(),
            "project_url" => "project_urls".to_owned(),
            _ => name,
        };
        fields.push((name, value.clone()));
    }
    fields
}

fn before_2_4(version: &str) -> bool {
    let parsed: Option<pep440_rs::Version> = version.parse().ok();
    parsed.is_some_and(|version| version < pep440_rs::Version::new([2, 4]))
}
