//! A fake of Warehouse, PyPI's software, with the observed behaviour of the real one: its
//! responses ([`crate::refusals`]), the race when a release is created, duplicate files, and
//! cached pages.
//!
//! Not implemented: users and roles (one password is valid for every project, a minted token
//! for every existing project), organizations, checks of metadata, file names, tags and
//! archives (`publish` runs `distcheck` before uploading), size limits of files and projects,
//! prohibited names, rate limits, deleted files, the verification of attestations (tests do
//! that), the time limit of uploads, settings of publishers (tests choose the error code of
//! minting), and all pages except the Simple API and provenance. A pending publisher creates
//! its project when its first file is uploaded, not when its token is minted.

mod pages;
mod state;
mod tokens;
mod upload;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use pydist::filename::DistName;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::oidc::Issued;
use crate::server::Server;

pub use state::{Behaviour, Shelf, Stored, TOKEN};
use state::{Shared, hex};

/// The server, which runs until this value is dropped.
pub struct Warehouse {
    server: Server,
    shared: Arc<Shared>,
}

impl Warehouse {
    /// Starts the server. It mints tokens for the identities in `issued`.
    pub fn start(behaviour: Behaviour, issued: Option<Arc<Issued>>) -> Self {
        let mut shared = None;
        let server = Server::start(|root| {
            let shelf = Shelf { behaviour, ..Shelf::default() };
            let state = Arc::new(Shared { shelf: Mutex::new(shelf), issued, root: root.to_owned() });
            shared = Some(Arc::clone(&state));
            Router::new()
                .route("/legacy/", post(upload::upload))
                .route("/legacy", post(upload::redirect))
                .route("/simple/{project}/", get(pages::page))
                .route("/files/{name}", get(pages::content))
                .route("/integrity/{name}/provenance", get(pages::provenance))
                .route("/_/oidc/audience", get(tokens::audience))
                .route("/_/oidc/mint-token", post(tokens::mint))
                .layer(DefaultBodyLimit::disable())
                .with_state(state)
        });
        Self { server, shared: shared.expect("the router was made") }
    }

    /// Makes these projects exist.
    #[must_use]
    pub fn with_projects(self, projects: &[&str]) -> Self {
        self.shelf().projects.extend(projects.iter().map(|name| (*name).to_owned()));
        self
    }

    /// The URL of the legacy upload API.
    pub fn url(&self) -> String {
        format!("{}legacy/", self.server.url())
    }

    /// Its state.
    pub fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shared.shelf()
    }

    /// Adds a file, as if it had been uploaded earlier.
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
        held.projects.insert(project.to_owned());
        held.releases.insert(format!("{project} {}", stored.version));
        held.files.insert(filename.to_owned(), stored);
    }

    /// The number of minted tokens.
    pub fn minted(&self) -> usize {
        self.shelf().tokens.len()
    }
}
