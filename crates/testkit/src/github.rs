//! A fake of GitHub's REST API for releases: releases, git objects and tags, and workflow runs.
//!
//! Not implemented: users and permissions (one token can do everything), the primary rate
//! limit, the visibility of drafts, limits on the size and number of assets, and fields that
//! this repository does not use.

mod git;
mod releases;
mod state;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::server::Server;

pub use state::{Interrupt, Release, Repository};
use state::{Shared, failure};

/// The server, which runs until this value is dropped.
pub struct GitHub {
    server: Server,
    shared: Arc<Shared>,
}

/// The valid token.
pub const TOKEN: &str = "ghs_test/token+with=signs";

impl GitHub {
    /// Starts a server with the repository `octo/htty`, without releases.
    pub fn start() -> Self {
        let mut shared = None;
        let server = Server::start(|root| {
            let repository = Mutex::new(Repository { next: 1, ..Repository::default() });
            let state = Arc::new(Shared { repository, root: Mutex::new(root.to_owned()) });
            shared = Some(Arc::clone(&state));
            Router::new()
                .merge(releases::router("/repos/octo/htty"))
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

    /// The root URL, with a trailing slash.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The state of the repository.
    pub fn repository(&self) -> MutexGuard<'_, Repository> {
        self.shared.repository()
    }
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
        // A storage host, which rejects a second authentication mechanism.
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
