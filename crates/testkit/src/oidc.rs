//! Fakes of the identity providers of CI services: GitHub's endpoint for workflow runs,
//! Google's metadata server, and tokens of other services.
//!
//! Not implemented: signatures (tokens are recognised by their text), expiry, and most claims.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::server::Server;

/// A provider of tokens for a fictitious run. It runs until this value is dropped.
pub struct Oidc {
    server: Server,
    state: Arc<Issued>,
}

/// The issued tokens, shared with the services that verify them.
#[derive(Default)]
pub struct Issued {
    tokens: Mutex<BTreeSet<String>>,
    audiences: Mutex<Vec<String>>,
    pending: Mutex<u32>,
    reusable: AtomicBool,
}

/// The path of Google's metadata server.
const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";

/// The token that authorises requests for an identity token.
pub const REQUEST_TOKEN: &str = "runner-request-token-5d1a";

impl Oidc {
    /// Starts a provider that returns 403 for the first `pending` requests, as GitHub does while
    /// it does not know a run yet.
    pub fn start(pending: u32) -> Self {
        let state = Arc::new(Issued { pending: Mutex::new(pending), ..Issued::default() });
        let shared = Arc::clone(&state);
        let server = Server::start(|_| {
            Router::new().route("/token", get(issue)).route(METADATA, get(metadata)).with_state(shared)
        });
        Self { server, state }
    }

    /// The runner's variables.
    pub fn env(&self) -> [(&'static str, String); 2] {
        let url = format!("{}token?api-version=2.0", self.server.url());
        [("ACTIONS_ID_TOKEN_REQUEST_URL", url), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN.to_owned())]
    }

    /// The host and port, for use as a metadata server.
    pub fn host(&self) -> String {
        self.server.url().trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// The issued tokens.
    pub fn issued(&self) -> Arc<Issued> {
        Arc::clone(&self.state)
    }
}

impl Issued {
    /// The claims of `token`, if it was issued for `audience` and has not been used.
    pub fn redeem(&self, token: &str, audience: &str) -> Option<Value> {
        if !self.tokens.lock().expect("no panic while locked").remove(token) {
            return None;
        }
        let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        (claims["aud"] == audience).then_some(claims)
    }

    /// Makes the job part of a reusable workflow.
    pub fn set_reusable(&self) {
        self.reusable.store(true, Ordering::SeqCst);
    }

    /// Issues a token for `audience`.
    pub fn issue(&self, audience: &str) -> String {
        let mut audiences = self.audiences.lock().expect("no panic while locked");
        audiences.push(audience.to_owned());
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let caller = "octo/htty/.github/workflows/release.yml@refs/tags/v0.3.0";
        let is_reusable = self.reusable.load(Ordering::SeqCst);
        let own =
            if is_reusable { "octo/shared/.github/workflows/publish.yml@refs/heads/main" } else { caller };
        let claims = json!({
            "iss": "https://token.actions.githubusercontent.com",
            "sub": "repo:octo/htty:environment:pypi",
            "aud": audience, "jti": audiences.len(), "iat": now, "nbf": now, "exp": now + 300,
            "repository": "octo/htty", "workflow_ref": caller, "job_workflow_ref": own,
        });
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": "test" });
        let token = format!("{}.{}.{}", part(&head), part(&claims), BASE64_URL_SAFE_NO_PAD.encode([7; 256]));
        self.tokens.lock().expect("no panic while locked").insert(token.clone());
        token
    }

    /// The requested audiences, in order.
    pub fn audiences(&self) -> Vec<String> {
        self.audiences.lock().expect("no panic while locked").clone()
    }
}

async fn issue(
    State(state): State<Arc<Issued>>,
    Query(query): Query<std::collections::BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let authorised = headers.get("authorization").is_some_and(|value| {
        value.to_str().is_ok_and(|value| value.eq_ignore_ascii_case(&format!("bearer {REQUEST_TOKEN}")))
    });
    let (Some(audience), true) = (query.get("audience"), authorised) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    {
        let mut pending = state.pending.lock().expect("no panic while locked");
        if *pending > 0 {
            *pending -= 1;
            return (StatusCode::FORBIDDEN, "Pending state").into_response();
        }
    }
    axum::Json(json!({ "count": 1, "value": state.issue(audience) })).into_response()
}

async fn metadata(
    State(state): State<Arc<Issued>>,
    Query(query): Query<std::collections::BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let has_flavor = headers.get("metadata-flavor").is_some_and(|value| value == "Google");
    match query
        .get("audience")
        .filter(|_| has_flavor && query.get("format").is_some_and(|kind| kind == "full"))
    {
        Some(audience) => state.issue(audience).into_response(),
        None => StatusCode::FORBIDDEN.into_response(),
    }
}
